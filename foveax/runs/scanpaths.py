"""Scanpaths from files: what an eye that is given its fixations follows, in training and in evaluation."""

from pathlib import Path
from typing import Any, NamedTuple, get_args

import numpy as np

from foveax._arrays import check_count
from foveax._checked import in_line
from foveax._types import InputError
from foveax.analysis.gaze_file import read_csv
from foveax.analysis.table import FixationTable
from foveax.data.dataset import Data, Split
from foveax.modules.scripted import check_fixations
from foveax.modules.sources import Scripted
from foveax.runtime.files import write_npz

PERMUTED = "permuted"
NAMES = ("learned", *get_args(Scripted))


class Source(NamedTuple):
    """A source of fixations, read from its name.

    Attributes:
      eye: as `foveax.modules.sources.steer` takes it.
      file: the scanpaths of a given eye; None of one without data.
      permuted: whether each image gets the scanpath of another.
    """

    eye: Any
    file: Path | None = None
    permuted: bool = False


def parse_source(name: str) -> Source:
    """A source by name: one of `steer`'s, a file of scanpaths, or ``permuted:FILE``.

    Raises `InputError` for what is neither.

    Example:
      >>> parse_source("random").eye, parse_source("permuted:paths.npz").permuted
      ('random', True)
    """
    if name in NAMES:
        return Source(name)
    kind, colon, rest = name.partition(":")
    permuted = kind == PERMUTED and bool(colon)
    file = Path(rest if permuted else name)
    if file.suffix not in (".npz", ".csv"):
        names = f"{', '.join(NAMES)}, a file of scanpaths (.npz, .csv) or permuted:FILE"
        raise InputError(f"fixations must be one of {names}; got {in_line(name)}")
    try:
        return Source("given", file.expanduser().absolute(), permuted)
    except (RuntimeError, OSError) as error:  # of no such user
        raise InputError(f"fixations must be a file within reach; {in_line(name)} is not: {error}") from None


def absolute_source(name: str) -> str:
    """The name of a source as it is the same in every folder."""
    source = parse_source(name)
    return name if source.file is None else f"{PERMUTED}:{source.file}" if source.permuted else str(source.file)


def write_scanpaths(file: str | Path, train: np.ndarray, test: np.ndarray) -> None:
    """Writes scanpaths, one for each training and each test image, ``[N, T, 2]``, that an eye can follow.

    They are fractions of the image within [0, 1], the first fixation included; `to_scanpaths` gives them from a table.

    Example:
      >>> import tempfile
      >>> with tempfile.TemporaryDirectory() as folder:
      ...     write_scanpaths(f"{folder}/paths.npz", np.full((5, 6, 2), 0.5), np.full((2, 6, 2), 0.5))
    """
    splits = {"train_fixations": train, "test_fixations": test}
    write_npz(Path(file).expanduser(), {name: _check(name, paths) for name, paths in splits.items()})


def follow_scanpaths(data: Data, name: str, *, first: bool = False) -> Data:
    """The same data with an array ``fixations`` ``[N, L - 1, 2]``, if the source is a file: those after the first of L.

    Args:
      data: not yet prepared, of as many images as the file has scanpaths.
      name: of the source (`parse_source`); of any other than a file the data are returned as they are.
      first: whether the first fixation is the file's as well, as an array ``first`` ``[N, 2]``.

    Raises:
      InputError: if the file cannot be read, is a table of test images alone, or is of another number of images.
    """
    source = parse_source(name)
    if source.file is None:
        return data
    if source.file.suffix == ".csv":
        cure = "make one with foveax.analysis.to_scanpaths and foveax.runs.scanpaths.write_scanpaths"
        raise InputError(f"fixations to train with must be a .npz file, of both splits; got {source.file.name}: {cure}")
    paths = _read_npz(source.file)
    arrays = {}
    for number, split in enumerate(("train", "test")):
        own = _fitting(paths, f"{split}_fixations", len(getattr(data, split)["label"]), source.file)
        own = own[_other_images(len(own), number)] if source.permuted else own
        arrays[split] = {**getattr(data, split), "fixations": own[:, 1:], **({"first": own[:, 0]} if first else {})}
    return data._replace(train=arrays["train"], test=arrays["test"])


def trials(split: Split, name: str, *, glimpses: int, own: np.ndarray | None = None) -> Split:
    """The test images as an eye that is given its fixations sees them: with an array ``fixations`` ``[M, T - 1, 2]``.

    Of a table of people, each scanpath of at least T fixations is a trial, so that an image is shown as often as people
    looked at it. ``permuted`` without a file deals out `own`, the network's own scanpaths ``[N, T, 2]``. Of a source
    without data, the split is returned as it is. Raises `InputError` as `follow_scanpaths`.
    """
    size = len(next(iter(split.values())))
    if name == PERMUTED and own is not None:
        return {**split, "fixations": _check("fixations", own)[_other_images(size, 1), 1:]}
    source = parse_source(name)
    if source.file is None:
        return split
    if source.file.suffix == ".csv":
        images, paths = _people(read_csv(source.file), size, check_count("glimpses", glimpses), source.file)
    else:
        images = np.arange(size)
        paths = _fitting(_read_npz(source.file), "test_fixations", size, source.file)[:, :glimpses]
    if paths.shape[1] < glimpses:
        raise InputError(f"scanpaths must be of {glimpses} fixations at least; {source.file.name} has {paths.shape[1]}")
    paths = paths[_other_images(len(paths), 1)] if source.permuted else paths
    return {**{array: split[array][images] for array in split}, "fixations": paths[:, 1:]}


def _people(table: FixationTable, size: int, glimpses: int, file: Path) -> tuple[np.ndarray, np.ndarray]:
    """The images and the scanpaths of all trials of a table that are long enough, cut to T fixations."""
    whose = [column for column in (table.subject, table.image) if column is not None]
    names = np.stack([np.unique(column, return_inverse=True)[1] for column in whose])
    _, trial, counts = np.unique(names, axis=1, return_inverse=True, return_counts=True)
    order = np.lexsort([table.glimpse, trial.ravel()])
    order = order[(counts[trial.ravel()] >= glimpses)[order]]
    starts = np.flatnonzero(np.diff(trial.ravel()[order], prepend=-1))
    rows = order[starts[:, None] + np.arange(glimpses)] if len(starts) else order.reshape(0, glimpses)
    images = table.image[rows[:, 0]]
    if not len(rows) or images.min() < 0 or images.max() >= size:
        raise InputError(
            f"{file.name} must hold scanpaths of {glimpses} fixations at least, on test images from 0 to {size - 1}; "
            f"{len(rows)} are so long"
        )
    return images, _check(file.name, np.clip(np.stack([table.x, table.y], axis=-1)[rows], 0, 1))


def _read_npz(file: Path) -> dict[str, np.ndarray]:
    try:
        with np.load(file, allow_pickle=False) as arrays:
            return {name: arrays[name] for name in arrays.files}
    except Exception as error:  # noqa: BLE001 - a damaged file makes its reader raise anything
        raise InputError(f"scanpaths must be a .npz file of plain arrays; {file} is not: {in_line(error)}") from None


def _fitting(paths: dict[str, np.ndarray], name: str, size: int, file: Path) -> np.ndarray:
    """The scanpaths of a split, one for each image."""
    if name not in paths:
        raise InputError(f"{file.name} must hold {name}; it holds {', '.join(paths) or 'none'}")
    own = _check(f"{name} in {file.name}", paths[name])
    if len(own) != size:
        raise InputError(f"{name} in {file.name} must be one for each of {size} images; got {len(own)}")
    return own


def _check(name: str, paths: np.ndarray) -> np.ndarray:
    points = check_fixations(paths)
    if points.ndim != 3 or not len(points):
        raise InputError(f"{name} must be [N, T, 2], N at least 1; got {list(points.shape)}")
    return points


def _other_images(size: int, seed: int) -> np.ndarray:
    """For each image the number of another, each once; of a single image itself."""
    order = np.random.default_rng(seed).permutation(size)
    other = np.empty(size, int)
    other[order] = np.roll(order, 1)
    return other
