"""Pictures in files as a data set: decoded once, and kept."""

import functools
import hashlib
import math
import os
import shutil
import tempfile
import warnings
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from foveax._types import InputError
from foveax.data.dataset import Data, DataWarning, from_named
from foveax.data.listing import SPLITS, TEST_SHARE, Listed, list_pictures
from foveax.data.mapped import map_folder, release
from foveax.data.pictures import Fit, Header, read_header, read_picture
from foveax.runtime.files import cache_home, read_json, write_json

LARGEST_SIDE = 512
"""Of images that are given no side, if the pictures differ in size."""
RESIDENT_BYTES = 2**31
"""Decoded sets of up to this size are kept in memory; larger ones are read from their files."""
AT_ONCE = 1_000
"""Pictures that are decoded before the next are begun."""
SHOWN = 3
"""Files that a message names."""
KEPT = "unreadable.json"
"""The last file that is written of a decoded set: what could not be read."""


Read = Callable[[Callable[[int, Listed], Any], Sequence[Listed]], Iterator[tuple[int, Any]]]
"""Calls a function with pictures and their numbers, and gives what comes of those that can be read."""


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


def without_padding(data: Data) -> Data:
    """The same data with an array ``extent`` that says that nothing is padding."""
    train, test = (
        {**split, "extent": np.ones((len(split["label"]), 2), np.float32)} for split in (data.train, data.test)
    )
    return data._replace(train=train, test=test)


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
    return cache_home() / f"{path.stem}-{digest.hexdigest()[:16]}"


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
