"""Which pictures a data set has, of which classes, and in which split: of folders, or a list of files."""

import csv
import io
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from foveax._types import InputError
from foveax.data.dataset import DataWarning
from foveax.data.names import check_names
from foveax.data.pictures import pictures_in
from foveax.runtime.files import read_text

TEST_SHARE = 0.2
"""Of each class that is for tests, where nothing says which pictures are."""
SPLITS = ("train", "test")
"""As data sets have them."""
TESTS = ("test", "val", "validation")
"""Folders of the test split, the first of those that there are."""


class Listed(NamedTuple):
    """A picture of a set: its file, the name of its class, and whether it is for tests."""

    file: Path
    label: str
    is_test: bool


def list_pictures(path: Path, *, test_share: float = TEST_SHARE) -> list[Listed]:
    """The pictures of a folder or a CSV file, as `foveax.data.folder` takes them, by class and name.

    Those for training come first. Raises `InputError` if they are not of two classes and both splits at least.
    """
    try:
        listed = _of_table(path, test_share) if path.suffix.lower() == ".csv" else _of_folder(path, test_share)
    except OSError as error:
        raise InputError(f"folders of pictures must be readable; {error.filename} is not: {error.strerror}") from None
    names = sorted({picture.label for picture in listed})
    check_names("the names of classes", np.array(names))
    if len(names) < 2:
        raise InputError(
            f"pictures must be of two classes at least; those of {path} are of {', '.join(names) or 'none'}"
        )
    for split in SPLITS:
        if not any(picture.is_test == (split == "test") for picture in listed):
            raise InputError(f"pictures must be there for both splits; {path} has none for {split}")
    return sorted(listed, key=lambda picture: picture.is_test)


def holds_pictures(folder: Path) -> bool:
    """Whether a folder holds one with pictures in it, or one that does."""
    if not folder.is_dir():
        return False
    inside = _folders(folder)
    splits = [each for split in inside if split.name in ("train", *TESTS) for each in _folders(split)]
    return any(next(_files(each), None) for each in (*inside, *splits))


def _of_folder(path: Path, test_share: float) -> list[Listed]:
    inside = {folder.name: folder for folder in _folders(path)}
    tests = [name for name in TESTS if name in inside]
    if "train" not in inside:
        return _shared_out(_by_class(path), test_share)
    if not tests:
        return _shared_out(_by_class(inside["train"]), test_share)
    if len(tests) > 1:
        warnings.warn(f"{path / tests[1]} is left out: the test split is {tests[0]}", DataWarning, stacklevel=4)
    train, test = (_by_class(inside[name]) for name in ("train", tests[0]))
    if unknown := sorted(set(test) - set(train)):
        raise InputError(
            f"classes for tests must be those for training; {inside[tests[0]]} also has {unknown[0]!r:.60}"
        )
    pairs = ((files, split) for files, split in ((train, False), (test, True)))
    return [Listed(file, label, split) for files, split in pairs for label in files for file in files[label]]


def _by_class(folder: Path) -> dict[str, list[Path]]:
    for inside in _folders(folder):
        if inside.is_symlink() and folder.resolve().is_relative_to(inside.resolve()):
            raise InputError(f"a folder of pictures must not hold itself; {inside} leads to {inside.resolve()}")
    files = {inside.name: sorted(_files(inside)) for inside in _folders(folder)}
    if empty := [name for name, of_class in files.items() if not of_class]:
        raise InputError(f"a class must have a folder with pictures in it; {folder / empty[0]} has none")
    return files


def _of_table(path: Path, test_share: float) -> list[Listed]:
    try:
        rows = list(csv.DictReader(io.StringIO(read_text(path.resolve()).decode("utf-8-sig"))))
    except (UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"a list of pictures must be CSV in UTF-8; {path} is not: {error}") from None
    columns = list(rows[0]) if rows else []
    if not {"path", "label"} <= set(columns):
        raise InputError(f"a list of pictures must have the columns path and label; {path} has {', '.join(columns)}")
    for number, row in enumerate(rows, 2):
        split = row.get("split", "train")
        if not row["path"] or not row["label"] or split not in ("train", *TESTS):
            came = f"{row['path']!r:.60}, {row['label']!r:.60}, {split!r:.60}"
            raise InputError(f"{path}, line {number}: must be a path, a label and, if any, train or test; got {came}")
    places = [(path.parent / row["path"], row["label"], row.get("split", "")) for row in rows]
    if "split" in columns:
        return [Listed(file, label, split != "train") for file, label, split in places]
    by_class: dict[str, list[Path]] = {}
    for file, label, _ in places:
        by_class.setdefault(label, []).append(file)
    return _shared_out(by_class, test_share)


def _shared_out(files: dict[str, list[Path]], test_share: float) -> list[Listed]:
    """Pictures by class, of each of which a share, at least one and not all, is for tests."""
    rng, listed = np.random.default_rng(0), []
    for label, of_class in sorted(files.items()):
        count = min(max(round(test_share * len(of_class)), 1), len(of_class) - 1)
        tests = set(rng.permutation(len(of_class))[:count].tolist())
        listed += [Listed(file, label, row in tests) for row, file in enumerate(of_class)]
    return listed


def _folders(folder: Path) -> list[Path]:
    """The folders in a folder, by name, but for hidden ones."""
    return sorted(each for each in folder.iterdir() if each.is_dir() and not each.name.startswith("."))


def _files(folder: Path) -> Iterator[Path]:
    """The pictures in a folder, and in the folders in it, by their names; no link to a folder is followed there."""
    for place in (folder, *(each for each in _folders(folder) if not each.is_symlink())):
        yield from pictures_in(place)
