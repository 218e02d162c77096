"""TensorFlow Datasets, read without TensorFlow; the decoded arrays are cached.

`tensorflow_datasets` is imported only when a set is read for the first time.
"""

import hashlib
import os
import re
from pathlib import Path
from typing import Any

import numpy as np

from foveax._types import InputError
from foveax.data.dataset import Data, from_arrays


def load_tfds(name: str, *, data_dir: str | Path | None = None, download: bool = False) -> Data:
    """Loads an image classification set of TFDS, prepared as array records, from disk or from the cache.

    Args:
      name: as TFDS spells it: ``"mnist"``, ``"cifar10"``, ``"name/config"``.
      data_dir: where TFDS sets lie; by default ``$TFDS_DATA_DIR``, or ``~/tensorflow_datasets``.
      download: whether to download and prepare the set if it is not there.

    Returns:
      the splits ``train`` and ``test`` (or ``validation``, if there is no ``test``).

    Raises:
      InputError: if the set is not there or not prepared as array records (the message says how to prepare it), or
        if it is no set of labelled images of one size.
    """
    root = Path(data_dir or os.environ.get("TFDS_DATA_DIR", "~/tensorflow_datasets")).expanduser()
    if not re.fullmatch(r"\w+(/[\w.-]+)?", name):
        raise InputError(
            "data must be mnist5k, a path to an .npz file or a folder of .npy files, or the name of a TFDS set; "
            f"got {name!r}"
        )
    prepared = _find_prepared(root / name)
    if prepared is None and download:
        _download(name, root)
        prepared = _find_prepared(root / name)
    if prepared is None:
        raise InputError(
            f"data {name!r} must be prepared: no dataset_info.json below {root / name}. Pass --download "
            f"(in Python, download=True) to fetch and prepare it there, or name another place with --data-dir"
        )
    cached = _cache_file(prepared)
    if cached.is_file():
        with np.load(cached, allow_pickle=False) as arrays:
            return _as_data(dict(arrays))
    arrays = _decode(prepared)
    _write_cache(cached, arrays)
    return _as_data(arrays)


def _find_prepared(folder: Path) -> Path | None:
    """The newest prepared version below a set's folder (which may have a level of configurations between)."""
    found = [path.parent for pattern in ("*", "*/*") for path in folder.glob(f"{pattern}/dataset_info.json")]
    versions = {path: [int(part) for part in path.name.split(".") if part.isdigit()] for path in found}
    return max(versions, key=lambda path: versions[path], default=None)


def _download(name: str, root: Path) -> None:
    import tensorflow_datasets as tfds

    try:
        tfds.builder(name, data_dir=root, file_format="array_record").download_and_prepare()
    except Exception as error:  # TFDS raises whatever the network and the set's own code raise
        raise InputError(f"data {name!r} could not be downloaded to {root}: {error}") from error


def _decode(prepared: Path) -> dict[str, np.ndarray]:
    import tensorflow_datasets as tfds

    builder: Any = tfds.builder_from_directory(prepared)
    if builder.info.file_format.value != "array_record":
        raise InputError(
            f"data must be prepared as array_record; {prepared} is {builder.info.file_format.value}. Prepare it again: "
            f"tfds.builder({builder.name!r}, file_format='array_record').download_and_prepare()"
        )
    features = builder.info.features or {}
    if "image" not in features or "label" not in features or not hasattr(features["label"], "num_classes"):
        raise InputError(f"data must have the features image and label, a class; {prepared} has {', '.join(features)}")
    if None in features["image"].shape:
        raise InputError(f"data must have images of one size; those of {prepared} are {features['image'].shape}")
    test = "test" if "test" in builder.info.splits else "validation"
    arrays = {"classes": np.asarray(features["label"].num_classes)}
    for split, source_name in (("train", "train"), ("test", test)):
        if source_name not in builder.info.splits:
            raise InputError(f"data must have a split {source_name!r}; {prepared} has {', '.join(builder.info.splits)}")
        arrays |= _decode_split(split, builder.as_data_source(source_name), features["image"].shape)
    return arrays


def _decode_split(split: str, source: Any, shape: tuple[int, ...]) -> dict[str, np.ndarray]:
    images, labels = np.empty((len(source), *shape), np.uint8), np.empty(len(source), np.int32)
    for index, example in enumerate(source):
        images[index], labels[index] = example["image"], example["label"]
    return {f"{split}_image": images, f"{split}_label": labels}


def _as_data(arrays: dict[str, np.ndarray]) -> Data:
    train, test = ({name: arrays[f"{split}_{name}"] for name in ("image", "label")} for split in ("train", "test"))
    return from_arrays(train, test, classes=int(arrays["classes"]))


def _cache_file(prepared: Path) -> Path:
    """Where the decoded arrays of a prepared set are kept; another set, or another version, has another file."""
    home = Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")).expanduser() / "foveax"
    digest = hashlib.sha256((prepared / "dataset_info.json").read_bytes())
    for path in sorted(prepared.iterdir()):
        digest.update(f"{path.name} {path.stat().st_size} {path.stat().st_mtime_ns}".encode())
    return home / f"{'-'.join(prepared.parts[-2:])}-{digest.hexdigest()[:16]}.npz"


def _write_cache(path: Path, arrays: dict[str, np.ndarray]) -> None:
    """Keeps decoded arrays; a cache that cannot be written costs time at the next start, and nothing else."""
    temporary = path.with_suffix(f".{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("wb") as file:
            np.savez(file, **arrays)  # pyright: ignore[reportArgumentType]
        temporary.replace(path)
    except OSError:
        temporary.unlink(missing_ok=True)
