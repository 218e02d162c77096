"""Arrays that lie in files, of which only the rows that are looked at are read."""

import mmap
from pathlib import Path
from typing import Any

import numpy as np

from foveax._checked import in_line
from foveax._types import InputError

IN_PLACE = (np.uint8, np.float32)
"""The dtypes of images that are used as they lie; any other would be converted, and so read, as a whole."""


def map_folder(folder: Path) -> dict[str, np.ndarray]:
    """The arrays of a folder of ``.npy`` files, by the files' names, mapped into memory.

    Raises `InputError` if a file is no plain array, or an image is of a dtype that must be converted.
    """
    arrays = {}
    for file in sorted(folder.glob("*.npy")):
        if not file.is_file():
            raise InputError(f"data must be plain files; {file} is not")
        try:
            arrays[file.stem] = np.load(file, mmap_mode="r", allow_pickle=False)
        except (OSError, ValueError, EOFError) as error:
            raise InputError(f"data must be .npy files of plain arrays; {file} is not: {in_line(error)}") from None
        if file.stem.endswith("_image") and arrays[file.stem].dtype not in IN_PLACE:
            raise InputError(f"{file} must be uint8 or float32, which are read in place; got {arrays[file.stem].dtype}")
    return arrays


def file_of(array: Any) -> mmap.mmap | None:
    """The file that an array lies in, or None."""
    while array is not None and not isinstance(array, mmap.mmap):
        array = getattr(array, "base", None)
    return array


def take(array: np.ndarray, rows: Any) -> np.ndarray:
    """The rows ``array[rows]`` of ``[N, ...]``; of an array in a file, the pages that were read are let go again.

    Else each page that was looked at would count as this process's memory; the system still caches them.
    """
    taken = array[rows]
    release(array)
    return taken


def release(array: np.ndarray) -> None:
    """Lets go of the memory that the pages of an array in a file take; of any other, nothing."""
    source = file_of(array)
    if source is not None and hasattr(mmap, "MADV_DONTNEED"):
        source.madvise(mmap.MADV_DONTNEED)
