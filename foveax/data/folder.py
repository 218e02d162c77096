"""Pictures in the folders of their classes, or in a list of files, as a data set."""

import csv
import functools
import hashlib
import io
import math
import os
import shutil
import tempfile
import warnings
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from foveax._types import InputError
from foveax.data.dataset import Data, DataWarning, from_named
from foveax.data.mapped import map_folder, release
from foveax.data.names import check_names
from foveax.data.pictures import SUFFIXES, Fit, Header, read_header, read_picture
from foveax.runtime.files import read_json, read_text, write_json

LARGEST_SIDE = 512
"""Of images that are given no side, if the pictures differ in size."""
RESIDENT_BYTES = 2**31
"""Decoded sets of up to this size are kept in memory; larger ones are read from their files."""
TEST_SHARE = 0.2
"""Of each class that is for tests, where nothing says which pictures are."""
AT_ONCE = 1_000
"""Pictures that are decoded before the next are begun."""
SHOWN = 3
"""Files that a message names."""
TESTS = ("test", "val", "validation")
"""Folders of the test split, the first of those that there are."""
SPLITS = ("train", "test")
"""As data sets have them."""
KEPT = "unreadable.json"
"""The last file that is written of a decoded set: what could not be read."""


Read = Callable[[Callable[[int, "Listed"], Any], Sequence["Listed"]], Iterator[tuple[int, Any]]]


class Listed(NamedTuple):
    """A picture of a set: its file, the name of its class, and whether it is for tests."""

    file: Path
    label: str
    is_test: bool


def load_folder(
    path: Path,
    *,
    fit: Fit = "pad",
    side: int = 0,
    test_share: float = TEST_SHARE,
    like: Sequence[int] | None = None,
) -> Data:
    """Loads pictures from a folder with a folder for each class, or from a CSV file that lists them.

    The folders of the classes may lie in ``train`` and ``test`` (or ``val``); otherwise a share of each class, always
    the same pictures, is the test split. The CSV file has the columns ``path``, relative to its own place, ``label``,
    and optionally ``split``: train or test.

    The pictures are read as `read_picture` says, in grey if all are grey. If all are of one size, and no side is given,
    they stay as they are. Else images are squares of this side; by default it is that of the longest picture, and at
    most 512 pixels. Pictures that are padded are not made larger. The data then hold an array ``extent`` ``[N, 2]``,
    float32: which shares, along x and y, of the way from the first pixel to the last are picture.

    What is decoded is kept in the cache, so that the next start only reads it. Pictures that cannot be read are left
    out; a `DataWarning` counts them and names some.

    Args:
      path: of the folder, or of the CSV file.
      fit: how pictures of several sizes become images of one.
      side: of the images, in pixels; 0 as above.
      test_share: of each class that is for tests, where nothing says which.
      like: height, width and channels that the images must have.

    Raises:
      InputError: if pictures of at least two classes are not there, or the cache cannot be written.
    """
    listed = list_pictures(path, test_share=test_share)
    folder = _cache_folder(path, listed, f"1 {fit} {side} {like}")
    if not (folder / KEPT).exists():
        _keep(folder, lambda partial: _decode(partial, listed, fit, side, like))
    left_out = read_json(folder / KEPT)
    if left_out:
        count = f"{len(left_out)} of {len(listed)} pictures are left out"
        warnings.warn(f"{count}: {_some(left_out)}", DataWarning, stacklevel=3)
    arrays = map_folder(folder)
    if sum(array.nbytes for array in arrays.values()) <= RESIDENT_BYTES:
        arrays = {name: np.array(array) for name, array in arrays.items()}
    return from_named(path, arrays)


def list_pictures(path: Path, *, test_share: float = TEST_SHARE) -> list[Listed]:
    """The pictures of a folder or a CSV file, as `load_folder` takes them, by class and name; training ones first."""
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


def without_padding(data: Data) -> Data:
    """The same data with an array ``extent`` that says that nothing is padding."""
    splits = ({**split, "extent": np.ones((len(split["label"]), 2), np.float32)} for split in (data.train, data.test))
    return data._replace(**dict(zip(("train", "test"), splits, strict=True)))


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
        yield from (file for file in place.iterdir() if file.suffix.lower() in SUFFIXES and file.name[0] != ".")


def _cache_folder(path: Path, listed: Sequence[Listed], kind: str) -> Path:
    """Where decoded pictures are kept; others, changed ones and other shapes have another folder."""
    digest = hashlib.sha256(kind.encode())
    for file, label, is_test in listed:
        try:
            stat = file.stat()
            state = f"{stat.st_size} {stat.st_mtime_ns}"
        except OSError:
            state = "not there"
        digest.update("\0".join([str(file), label, str(is_test), state, ""]).encode("utf-8", "surrogateescape"))
    home = Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")).expanduser()
    return home / "foveax" / f"{path.stem}-{digest.hexdigest()[:16]}"


def _keep(folder: Path, write: Callable[[Path], None]) -> None:
    """Makes a folder whole or not at all."""
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        partial = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}"))
    except OSError as error:
        raise InputError(f"the cache must be writable; {folder.parent} is not: {error.strerror}") from None
    try:
        write(partial)
        shutil.rmtree(folder, ignore_errors=True)
        partial.rename(folder)
    except OSError as error:
        raise InputError(f"decoded pictures must fit into the cache {folder.parent}: {error.strerror}") from None
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _decode(folder: Path, listed: Sequence[Listed], fit: Fit, side: int, like: Sequence[int] | None) -> None:
    """Writes the arrays of a set, and what could not be read of it."""
    left_out: dict[str, str] = {}
    with ThreadPoolExecutor(os.cpu_count()) as threads, warnings.catch_warnings():  # decoding lets the interpreter go
        warnings.filterwarnings("ignore", module="PIL")  # of odd files, which are read, or named as unreadable
        read = functools.partial(_read, threads, left_out)
        headers = dict(read(lambda row, picture: read_header(picture.file), listed))
        shape = tuple(like or _shape(list(headers.values()), side))
        there = [listed[row] for row in headers]
        _check_space(folder, len(there) * math.prod(shape))
        while True:
            before = len(left_out)
            there = [picture for picture in there if str(picture.file) not in left_out]
            splits = {split: [each for each in there if each.is_test == (split == "test")] for split in SPLITS}
            if empty := [split for split, own in splits.items() if not own]:
                raise InputError(f"pictures must be readable; none is for the split {empty[0]}: {_some(left_out)}")
            extents = {
                split: _write(folder / f"{split}_image.npy", read, own, fit, shape) for split, own in splits.items()
            }
            if len(left_out) == before:  # what cannot be decoded, in spite of its header, takes no row
                break
    names = sorted({picture.label for picture in listed})
    for split, own in splits.items():
        np.save(folder / f"{split}_label.npy", np.array([names.index(picture.label) for picture in own], np.int32))
        if any((extent < 1).any() for extent in extents.values()):
            np.save(folder / f"{split}_extent.npy", extents[split])
    np.save(folder / "names.npy", np.array(names))
    np.save(folder / "classes.npy", np.array(len(names)))
    write_json(folder / KEPT, left_out)


def _write(file: Path, read: Read, pictures: Sequence[Listed], fit: Fit, shape: tuple[int, ...]) -> np.ndarray:
    """Writes the images of pictures, and gives their extents ``[N, 2]``."""
    height, width, channels = shape
    image = np.lib.format.open_memmap(file, "w+", np.uint8, (len(pictures), *shape))
    extents = np.ones((len(pictures), 2), np.float32)

    def decode(row: int, picture: Listed) -> tuple[float, float]:
        decoded = read_picture(picture.file, height=height, width=width, channels=channels, fit=fit)
        image[row] = decoded.pixels
        return decoded.extent

    for row, extents[row] in read(decode, pictures):
        if row % AT_ONCE == 0:
            release(image)
    return extents


def _read(
    threads: ThreadPoolExecutor,
    left_out: dict[str, str],
    read: Callable[[int, Listed], Any],
    pictures: Sequence[Listed],
) -> Iterator[tuple[int, Any]]:
    """What is read of pictures and their numbers, by threads, with the numbers; of the others it is noted why not."""

    def tried(row: int, picture: Listed) -> Any:
        try:
            return read(row, picture)
        except InputError as error:
            return error

    for begin in range(0, len(pictures), AT_ONCE):  # no more wait for a thread
        some = range(begin, min(begin + AT_ONCE, len(pictures)))
        for row, result in zip(some, threads.map(tried, some, pictures[begin : begin + AT_ONCE]), strict=True):
            if isinstance(result, InputError):
                left_out[str(pictures[row].file)] = str(result)
            else:
                yield row, result


def _shape(headers: Sequence[Header], side: int) -> tuple[int, int, int]:
    """Height, width and channels of the images of pictures."""
    sizes = {(header.height, header.width) for header in headers} or {(1, 1)}
    channels = 3 if any(header.colour for header in headers) else 1
    if len(sizes) == 1 and not side:
        return (*sizes.pop(), channels)
    side = side or min(max(map(max, sizes)), LARGEST_SIDE)
    return side, side, channels


def _check_space(folder: Path, needed: int) -> None:
    free = shutil.disk_usage(folder).free
    if needed > free:
        sizes = f"{needed / 2**30:,.1f} GB are needed, {free / 2**30:,.1f} GB free"
        raise InputError(f"decoded pictures must fit into the cache {folder.parent}: {sizes}; choose a smaller side")


def _some(left_out: dict[str, str]) -> str:
    """Why pictures are left out, of some of them."""
    more = f"; and {len(left_out) - SHOWN} more" if len(left_out) > SHOWN else ""
    return "; ".join(list(left_out.values())[:SHOWN]) + more
