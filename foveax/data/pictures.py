"""Pictures in files, as arrays of one shape."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
from PIL import Image, ImageOps

from foveax._checked import in_line
from foveax._types import InputError

Fit = Literal["pad", "crop", "stretch"]
"""How a picture of another size is brought to that of an array: made smaller where it must be, and padded with zeros to
the right and below; scaled and cropped about its centre; or stretched."""
MODES = {1: "L", 3: "RGB"}
"""How pictures are read, by the number of channels."""
GREY = ("1", "L", "LA", "I", "I;16", "I;16L", "I;16B")
"""Modes of files without colour."""
SUFFIXES = (".bmp", ".gif", ".jpeg", ".jpg", ".png", ".ppm", ".tif", ".tiff", ".webp")
WHITE_16 = 2**16 - 1
ORIENTATION, TURNED = 0x0112, (5, 6, 7, 8)
"""The number of EXIF's orientation, and those of pictures that lie on their side."""


class Picture(NamedTuple):
    """A picture as an array.

    Attributes:
      pixels: ``[H, W, C]`` uint8.
      width: of what is picture, from the left, in pixels; the rest is padding.
      height: likewise, from above.
      scaled: whether it was of another size.
    """

    pixels: np.ndarray
    width: int
    height: int
    scaled: bool

    @property
    def extent(self) -> tuple[float, float]:
        """The shares along x and y of the array, from its first pixel to its last, that are picture."""
        height, width, _ = self.pixels.shape
        return (self.width - 1) / max(width - 1, 1), (self.height - 1) / max(height - 1, 1)


class Header(NamedTuple):
    """What a file says of its picture: its sides in pixels, upright as its camera says, and whether it is in colour."""

    width: int
    height: int
    colour: bool


def picture_files(paths: Sequence[str | Path]) -> list[Path]:
    """Files, and the pictures that lie in folders, by name.

    Raises `InputError` for what is not there, or a folder without a picture.
    """
    files: list[Path] = []
    for path in (Path(path).expanduser() for path in paths):
        inside = pictures_in(path) if path.is_dir() else [path]
        if not inside or not all(file.is_file() for file in inside):
            raise InputError(f"pictures must be files, or folders that hold some; {path} is neither")
        files += inside
    return files


def pictures_in(folder: Path) -> list[Path]:
    """The pictures that lie in a folder, by name, but for hidden files."""
    return sorted(file for file in folder.iterdir() if file.suffix.lower() in SUFFIXES and file.name[0] != ".")


def read_header(file: Path) -> Header:
    """The size of a picture, and whether it is in colour; raises `InputError` if it is no picture."""
    try:
        with _plain(file).open("rb") as read, Image.open(read) as opened:
            width, height = opened.size
            turned = opened.getexif().get(ORIENTATION) in TURNED
            return Header(*((height, width) if turned else (width, height)), colour=_in_colour(opened))
    except Exception as error:  # a damaged file makes its reader raise anything
        raise InputError(f"pictures must be readable; {file} is not: {in_line(error)}") from error


def read_picture(file: Path, *, height: int, width: int, channels: int, fit: Fit = "stretch") -> Picture:
    """A picture of one size, upright as its camera says.

    It is read in grey for one channel, in colour for three; what is transparent shows white. Of files with several
    pictures, such as a moving GIF, it is the first. 16 bits a channel become 8.

    Raises `InputError` if it cannot be read as a picture of whole numbers, or the channels are not 1 or 3.
    """
    if channels not in MODES:
        raise InputError(f"pictures have 1 or 3 channels; the images of this run have {channels}")
    try:
        with _plain(file).open("rb") as read, Image.open(read) as opened:
            full, upright = opened.size, _upright(opened, 2 * max(height, width), MODES[channels])
    except Exception as error:  # a damaged file makes its reader raise anything
        raise InputError(f"pictures must be readable; {file} is not: {in_line(error)}") from error
    picture = upright
    if fit == "crop":
        picture = ImageOps.fit(upright, (width, height), Image.Resampling.BILINEAR)
    elif fit == "stretch":
        picture = upright.resize((width, height), Image.Resampling.BILINEAR)
    elif upright.width > width or upright.height > height:
        picture = ImageOps.contain(upright, (width, height), Image.Resampling.BILINEAR)
    pixels = np.zeros((height, width, channels), np.uint8)
    pixels[: picture.height, : picture.width] = np.asarray(picture).reshape(picture.height, picture.width, channels)
    return Picture(pixels, picture.width, picture.height, scaled=sorted(picture.size) != sorted(full))


def _upright(opened: Any, side: int, mode: str) -> Image.Image:
    """The first picture of a file, opaque and of 8 bits; a JPEG's is decoded smaller, if both sides stay that long."""
    opened.draft(None, (side, side))
    if opened.mode.startswith("F"):
        raise InputError("it holds fractions, whose range is not known")
    picture: Image.Image = opened
    if opened.mode.startswith("I"):
        values = np.asarray(opened)
        if values.min() < 0 or values.max() > WHITE_16:
            raise InputError(f"it holds values from {values.min()} to {values.max()}, which are no 16 bits")
        picture = Image.fromarray(np.round(values / WHITE_16 * 255).astype(np.uint8))
        picture.info.update(opened.info)
    picture.load()
    ImageOps.exif_transpose(picture, in_place=True)  # a large picture is not copied where it need not be
    if picture.has_transparency_data:
        clear = picture.convert("RGBA")
        picture = Image.alpha_composite(Image.new("RGBA", clear.size, "white"), clear)
    return picture if picture.mode == mode else picture.convert(mode)


def _in_colour(opened: Any) -> bool:
    palette = opened.getpalette("RGB") if opened.mode == "P" else None
    if palette:
        return bool(np.ptp(np.reshape(palette, (-1, 3)), axis=1).any())
    return opened.mode not in GREY


def _plain(file: Path) -> Path:
    """A file that can be read to its end."""
    if file.exists() and not file.is_file():
        raise InputError("it is no plain file")
    return file
