"""Digits as glyphs: a black face with a white outline, drawn large, for the sets of digit clutter and digit debris."""

import functools
from pathlib import Path
from typing import NamedTuple

import numpy as np

DIGITS = 10
CANVAS = 512
"""Side of the canvas on which glyphs are drawn and placed, in pixels."""
SIDE = 32
"""Side of an image, each of whose pixels is the mean of a block of the canvas."""
BLOCK = CANVAS // SIDE
EM, OUTLINE = 384, 10
"""Pixels to the em of the font, and of the outline outside of the face."""
GROUND = 119
"""Grey level behind the digits, of 255."""


class Glyphs(NamedTuple):
    """The ten digits, each with the middle of its ink at the middle of the canvas.

    Attributes:
      cover: share of each pixel that lies under face or outline, of 255, ``[10, CANVAS, CANVAS]`` uint8.
      white: share of each pixel that is white, of 255; at most `cover`.
    """

    cover: np.ndarray
    white: np.ndarray


@functools.cache
def glyphs() -> Glyphs:
    """The digits of DejaVu Sans Bold, which comes with matplotlib, drawn by Pillow at 384 pixels to the em.

    The outline is a stroke of 20 pixels about the edge of the face, which is then drawn over it: 10 are left.

    Example:
      >>> glyphs().cover.shape
      (10, 512, 512)
    """
    import matplotlib
    from PIL import Image, ImageDraw, ImageFont

    file = Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSans-Bold.ttf"
    font = ImageFont.truetype(file, EM, layout_engine=ImageFont.Layout.BASIC)

    def draw(digit: int, stroke: int) -> np.ndarray:
        image = Image.new("L", (2 * CANVAS, 2 * CANVAS))
        ImageDraw.Draw(image).text((CANVAS, CANVAS), str(digit), fill=255, font=font, stroke_width=stroke, anchor="ms")
        return np.asarray(image, np.int32)

    def centred(digit: int) -> tuple[np.ndarray, np.ndarray]:
        face, stroked = draw(digit, 0), draw(digit, OUTLINE)
        rows, columns = (np.flatnonzero(face.any(axis)) for axis in (1, 0))
        begin = [(lines[0] + lines[-1] + 1) // 2 - CANVAS // 2 for lines in (rows, columns)]
        window = tuple(slice(first, first + CANVAS) for first in begin)
        return face[window], stroked[window]

    face, cover = (np.stack(layers) for layers in zip(*map(centred, range(DIGITS)), strict=True))
    cover = np.maximum(cover, face)
    white = (cover * (255 - face) + 127) // 255
    return Glyphs(cover.astype(np.uint8), white.astype(np.uint8))


class Template(NamedTuple):
    """A digit as fragments are cut from it: reduced to the size of images, trimmed to its ink.

    Attributes:
      value: grey levels, ``[R, C]`` uint8.
      mask: whether a pixel is of the digit: at least 127 of 255 of it are covered.
    """

    value: np.ndarray
    mask: np.ndarray


@functools.cache
def templates() -> tuple[Template, ...]:
    """The ten digits, each drawn at the middle of the canvas.

    Example:
      >>> [template.value.shape for template in templates()][1]
      (20, 14)
    """
    return tuple(_template(cover, white) for cover, white in zip(*glyphs(), strict=True))


def _template(cover: np.ndarray, white: np.ndarray) -> Template:
    cover, white = cover.astype(np.int32), white.astype(np.int32)
    value = reduced((GROUND * (255 - cover) + 255 * white + 127) // 255)
    share = reduced(cover)
    rows, columns = (np.flatnonzero(share.any(axis)) for axis in (1, 0))
    ink = np.s_[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    return Template(value[ink].astype(np.uint8), share[ink] >= 127)


def reduced(canvas: np.ndarray) -> np.ndarray:
    """The mean of each block, rounded: whole numbers ``[CANVAS, CANVAS]`` to ``[SIDE, SIDE]``."""
    blocks = canvas.reshape(SIDE, BLOCK, SIDE, BLOCK).sum((1, 3))
    return (blocks + BLOCK**2 // 2) // BLOCK**2
