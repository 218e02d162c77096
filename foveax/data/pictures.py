"""Pictures in files, as arrays of one shape."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from foveax._checked import in_line
from foveax._types import InputError

MODES = {1: "L", 3: "RGB"}
"""How pictures are read, by the number of channels."""
SUFFIXES = (".bmp", ".gif", ".jpeg", ".jpg", ".png", ".ppm", ".tif", ".tiff", ".webp")


def picture_files(paths: Sequence[str | Path]) -> list[Path]:
    """Files, and the pictures that lie in folders, by name.

    Raises `InputError` for what is not there, or a folder without a picture.
    """
    files: list[Path] = []
    for path in (Path(path).expanduser() for path in paths):
        inside = sorted(file for file in path.iterdir() if file.suffix.lower() in SUFFIXES) if path.is_dir() else [path]
        if not inside or not all(file.is_file() for file in inside):
            raise InputError(f"pictures must be files, or folders that hold some; {path} is neither")
        files += inside
    return files


def read_picture(file: Path, *, height: int, width: int, channels: int) -> tuple[np.ndarray, bool]:
    """A picture as ``[H, W, C]`` uint8, upright as its camera says, and whether it had to be scaled to that size.

    It is read in grey for one channel, in colour for three; what is transparent is as it would be without.

    Raises `InputError` if it is no picture of 8 bits, or the channels are not 1 or 3.
    """
    if channels not in MODES:
        raise InputError(f"pictures have 1 or 3 channels; the images of this run have {channels}")
    try:
        with Image.open(file) as opened:
            if opened.mode.startswith(("I", "F")):
                raise InputError(f"pictures must be of 8 bits a channel; {file} is of the mode {opened.mode}")
            picture = ImageOps.exif_transpose(opened).convert(MODES[channels])
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise InputError(f"pictures must be readable; {file} is not: {in_line(error)}") from None
    scaled = picture.size != (width, height)
    picture = picture.resize((width, height), Image.Resampling.BILINEAR) if scaled else picture
    return np.asarray(picture).reshape(height, width, channels), scaled
