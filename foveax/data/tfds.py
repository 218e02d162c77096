"""TensorFlow Datasets, read without TensorFlow; decoded arrays are cached, so that `tfds` is imported only once."""

import bisect
import contextlib
import hashlib
import itertools
import os
import re
from pathlib import Path
from typing import Any

import numpy as np

from foveax._checked import in_line
from foveax._types import InputError
from foveax.data.dataset import Data, from_named
from foveax.runtime.files import cache_home, read_json, write_npz
from foveax.runtime.machine import import_extra

FEATURES = {
    f"tensorflow_datasets.core.features.{name}"
    for name in (
        "features_dict.FeaturesDict",
        "image_feature.Image",
        "class_label_feature.ClassLabel",
        "text_feature.Text",
        "tensor_feature.Tensor",
        "scalar.Scalar",
        "bounding_boxes.BBoxFeature",
        "sequence_feature.Sequence",
    )
}
"""Classes that may describe the features of a set of labelled images, and what else it holds."""


def load_tfds(name: str, *, data_dir: str | Path | None = None, download: bool = False) -> Data:
    """Loads an image classification set of TFDS, prepared as array records, from disk or from the cache.

    The arguments are those of `foveax.load`; the name is as TFDS spells it: ``"mnist"``, ``"name/config"``. The test
    split is ``validation`` where there is no ``test``. Raises `InputError` if the set is not there or not prepared as
    array records (the message says how to prepare it), or is no set of labelled images of one size.
    """
    root = Path(data_dir or os.environ.get("TFDS_DATA_DIR", "~/tensorflow_datasets")).expanduser()
    if not re.fullmatch(r"\w+(/[\w.-]+)?", name):
        kinds = "mnist5k, a path to an .npz file or a folder of .npy files or pictures, or the name of a TFDS set"
        raise InputError(f"data must be {kinds}; got {name!r}")
    try:
        prepared = _find_prepared(root / name)
    except ValueError:  # of characters that no path has
        raise InputError(f"data_dir must be a path; got {str(root)!r}") from None
    if prepared is None and download:
        _download(name, root)
        prepared = _find_prepared(root / name)
    if prepared is None:
        raise InputError(
            f"data {name!r} must be prepared: no dataset_info.json below {root / name}. Pass --download "
            f"(in Python, download=True) to fetch and prepare it there, or name another place with --data-dir"
        )
    _check_files(prepared)
    cached = _cache_file(prepared)
    try:
        with cached.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            return from_named(cached, dict(arrays))
    except Exception:  # noqa: BLE001 - what is not there, or damaged, is decoded again
        arrays = _decode(prepared)
    with contextlib.suppress(OSError, InputError):  # without a cache the next start takes longer
        cached.parent.mkdir(parents=True, exist_ok=True)
        write_npz(cached, arrays)
    return from_named(prepared, arrays)


def _find_prepared(folder: Path) -> Path | None:
    """The newest prepared version below a set's folder (which may have a level of configurations between)."""
    found = [path.parent for pattern in ("*", "*/*") for path in folder.glob(f"{pattern}/dataset_info.json")]
    versions = {path: [int(part) for part in path.name.split(".") if part.isdigit()] for path in found}
    return max(versions, key=lambda path: versions[path], default=None)


def _import_tfds() -> Any:
    import_extra("array_record", "tfds", "a TFDS set")  # which TFDS imports only when it reads
    return import_extra("tensorflow_datasets", "tfds", "a TFDS set")


def _download(name: str, root: Path) -> None:
    tfds = _import_tfds()
    try:
        tfds.builder(name, data_dir=root, file_format="array_record").download_and_prepare()
    except Exception as error:  # TFDS raises whatever the network and the set's own code raise
        raise InputError(f"data {name!r} could not be downloaded to {root}: {in_line(error)}") from error


def _decode(prepared: Path) -> dict[str, np.ndarray]:
    tfds = _import_tfds()
    _check_features(prepared)
    try:
        builder: Any = tfds.builder_from_directory(prepared)
    except Exception as error:
        raise InputError(f"data must be prepared by TFDS; {prepared} is not readable: {in_line(error)}") from error
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
    if features["image"].np_dtype != np.uint8:
        raise InputError(f"data must have images of uint8; those of {prepared} are {features['image'].np_dtype}")
    test = "test" if "test" in builder.info.splits else "validation"
    arrays = {"classes": np.asarray(features["label"].num_classes)}
    numbers = [str(number) for number in range(features["label"].num_classes)]
    if features["label"].names not in (None, numbers):
        arrays["names"] = np.asarray(features["label"].names)
    for split, name in (("train", "train"), ("test", test)):
        if name not in builder.info.splits:
            raise InputError(f"data must have a split {name!r}; {prepared} has {', '.join(builder.info.splits)}")
        arrays[f"{split}_image"], arrays[f"{split}_label"] = _decode_split(builder, name)
    return arrays


def _check_features(prepared: Path) -> None:
    """Refuses a description of the features that names classes other than those known, which TFDS would import."""
    file = prepared / "features.json"
    described = read_json(file.resolve())
    if not isinstance(described, dict) or "type" in described:
        raise InputError(f"data must be described as today's TFDS does; {file} is of an older form: prepare it again")
    parts: list[Any] = [described]
    while parts:
        part = parts.pop()
        for name, inner in part.items():
            if name in ("jsonFeature", "json_feature"):  # text in which classes could be named again
                raise InputError(f"data must have features of TFDS's own; {file} holds a {name}")
            if name in ("pythonClassName", "python_class_name") and isinstance(inner, str) and inner not in FEATURES:
                raise InputError(f"data must have features of TFDS's own; {file} names {inner!r:.80}")
            parts += [each for each in (inner if isinstance(inner, list) else [inner]) if isinstance(each, dict)]


def _check_files(prepared: Path) -> None:
    """Refuses a prepared version with a pipe or a device in it, reading which would not end."""
    for path in prepared.iterdir():
        if not path.is_file() and not path.is_dir():
            raise InputError(f"data must be plain files; {path} is not")
    read_json((prepared / "dataset_info.json").resolve())


def _decode_split(builder: Any, name: str) -> tuple[np.ndarray, np.ndarray]:
    info, index = builder.info.splits[name], 0
    shape, size = builder.info.features["image"].shape, info.num_examples
    images, labels = np.empty((size, *shape), np.uint8), np.empty(size, np.int32)
    try:
        source = builder.as_data_source(name)
        if len(source) != size:
            raise ValueError(f"it holds {len(source)} records, and should hold {size}")
        for index in range(size):
            example = source[index]
            images[index], labels[index] = example["image"], example["label"]
    except Exception as error:  # array_record raises its own
        shard = bisect.bisect_right(list(itertools.accumulate(info.shard_lengths)), index)
        place = info.filepaths[min(shard, len(info.filepaths) - 1)]
        raise InputError(f"data must be whole; record {index} of {name} in {place} is not: {in_line(error)}") from error
    return images, labels


def _cache_file(prepared: Path) -> Path:
    """Where the decoded arrays of a prepared set are kept; another set, or another version, has another file."""
    digest = hashlib.sha256(b"with names" + (prepared / "dataset_info.json").read_bytes())
    for path in sorted(prepared.iterdir()):
        digest.update(f"{path.name} {path.stat().st_size} {path.stat().st_mtime_ns}".encode())
    return cache_home() / f"{'-'.join(prepared.parts[-2:])}-{digest.hexdigest()[:16]}.npz"
