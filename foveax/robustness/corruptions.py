"""Common corruptions of images, at five severities: noise, blur, contrast, brightness, JPEG, occlusion, shifts.

Each is a pure function ``(image, key, severity) -> image`` of ``[H, W, C]`` float32 in [0, 1], of any size and number
of channels, which runs on the device under `jax.jit` and `jax.vmap`. The severity is 1 to 5, an int or int32; where it
is known, another raises `InputError`, as does what is no such image. Severities are those of ImageNet-C (Hendrycks and
Dietterich 2019, https://arxiv.org/abs/1903.12261) unless a function says otherwise.
"""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from foveax._arrays import check_count, is_traced
from foveax._types import Array, InputError, Key

SEVERITIES = 5
Corruption = Callable[[Array, Key, Any], Array]
"""``(image [H, W, C] float32 in [0, 1], key, severity) -> image``."""
TRUNCATED = 4.0
"""Standard deviations after which a blur's kernel ends."""
LUMINANCE = (
    (16, 11, 10, 16, 24, 40, 51, 61), (12, 12, 14, 19, 26, 58, 60, 55), (14, 13, 16, 24, 40, 57, 69, 56),
    (14, 17, 22, 29, 51, 87, 80, 62), (18, 22, 37, 56, 68, 109, 103, 77), (24, 35, 55, 64, 81, 104, 113, 92),
    (49, 64, 78, 87, 103, 121, 120, 101), (72, 92, 95, 98, 112, 100, 103, 99),
)  # fmt: skip
CHROMINANCE = (
    (17, 18, 24, 47, 99, 99, 99, 99), (18, 21, 26, 66, 99, 99, 99, 99), (24, 26, 56, 99, 99, 99, 99, 99),
    (47, 66, 99, 99, 99, 99, 99, 99), *((99,) * 8,) * 4,
)  # fmt: skip
"""Steps of JPEG's quantisation at quality 50 (ITU-T T.81, tables K.1 and K.2)."""
QUALITIES = (25, 18, 15, 10, 7)
TO_YCBCR = np.array([[0.299, 0.587, 0.114], [-0.168736, -0.331264, 0.5], [0.5, -0.418688, -0.081312]], np.float32)
TO_RGB = np.array([[1, 0, 1.402], [1, -0.344136, -0.714136], [1, 1.772, 0]], np.float32)
"""Of colours in the columns (JFIF 1.02)."""


def gaussian_noise(image: Array, key: Key, severity: Any) -> Array:
    """Independent noise of standard deviation 0.08, 0.12, 0.18, 0.26, 0.38, cut off at black and white.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> noisy = gaussian_noise(jnp.full((64, 64, 1), 0.5), jax.random.key(0), 1)
      >>> round(noisy.std().item(), 2)
      0.08
    """
    scale = _level(image, severity, (0.08, 0.12, 0.18, 0.26, 0.38))
    return jnp.clip(image + scale * jax.random.normal(key, image.shape), 0.0, 1.0)


def impulse_noise(image: Array, key: Key, severity: Any) -> Array:
    """Salt and pepper: a share 0.03, 0.06, 0.09, 0.17, 0.27 of the values is 0 or 1, each as often.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> noisy = impulse_noise(jnp.full((64, 64, 1), 0.5), jax.random.key(0), 5)
      >>> round((noisy != 0.5).mean().item(), 1)
      0.3
    """
    draw = jax.random.uniform(key, image.shape)
    share = _level(image, severity, (0.03, 0.06, 0.09, 0.17, 0.27))
    return jnp.where(draw < share / 2, 0.0, jnp.where(draw < share, 1.0, image))


def gaussian_blur(image: Array, key: Key, severity: Any) -> Array:
    """A Gaussian blur whose standard deviation is 0.4, 0.6, 0.7, 0.8, 1 thirty-seconds of the longer side.

    These are the severities of CIFAR-10-C, whose images have 32 pixels a side; the border is repeated beyond the image,
    and the kernel ends after four standard deviations. The key is not used.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> dot = jnp.zeros((32, 32, 1)).at[16, 16].set(1.0)
      >>> round(gaussian_blur(dot, jax.random.key(0), 5)[16, 16, 0].item(), 3)  # 1 / (2 pi)
      0.159
    """
    height, width = image.shape[:2]
    widths = np.array((0.4, 0.6, 0.7, 0.8, 1.0)) * max(height, width) / 32
    scale = _level(image, severity, widths)
    reach = int(TRUNCATED * widths.max() + 0.5)
    offset = np.arange(-reach, reach + 1, dtype=np.float32)
    is_near = np.abs(offset) <= jnp.floor(TRUNCATED * scale + 0.5)
    kernel = jnp.where(is_near, jnp.exp(-jnp.square(offset / scale) / 2), 0.0)
    kernel = kernel / jnp.sum(kernel)

    def along(size: int) -> Array:
        """The blur of a side as a matrix ``[size, size]``."""
        row = np.arange(size)[:, None]
        source = np.clip(row + offset, 0, size - 1).astype(np.int32)
        return jnp.zeros((size, size)).at[row, source].add(jnp.broadcast_to(kernel, source.shape))

    return jnp.einsum("ij,jkc,lk->ilc", along(height), image, along(width), precision="highest")


def contrast(image: Array, key: Key, severity: Any) -> Array:
    """Contrast, about the mean of each channel, of 0.4, 0.3, 0.2, 0.1, 0.05 of what it was. The key is not used."""
    factor = _level(image, severity, (0.4, 0.3, 0.2, 0.1, 0.05))
    mean = jnp.mean(image, axis=(0, 1), keepdims=True)
    return jnp.clip((image - mean) * factor + mean, 0.0, 1.0)


def brightness(image: Array, key: Key, severity: Any) -> Array:
    """A value, the V of HSV, that is greater by 0.1, 0.2, 0.3, 0.4, 0.5, at most 1. The key is not used.

    Hue and saturation stay: ``x (V + b) / V``, V the greatest of a pixel's channels; black becomes grey.
    """
    value = jnp.max(image, axis=-1, keepdims=True)
    brighter = jnp.minimum(value + _level(image, severity, (0.1, 0.2, 0.3, 0.4, 0.5)), 1.0)
    return jnp.where(value > 0, image * brighter / jnp.where(value > 0, value, 1.0), brighter)


def jpeg(image: Array, key: Key, severity: Any) -> Array:
    """What JPEG of quality 25, 18, 15, 10, 7 leaves of an image; the key is not used.

    Three channels are coded as luminance and colour, which keep all pixels (4:4:4, where ImageNet-C has 4:2:0); of any
    other number each is coded as luminance. Blocks of 8 by 8 pixels, beyond the border filled with its pixels, go to
    cosines, whose amplitudes are rounded to multiples of a step, and back (ITU-T T.81).

    Example:
      >>> import jax, jax.numpy as jnp
      >>> round(jpeg(jnp.full((8, 8, 1), 0.5), jax.random.key(0), 5)[0, 0].item() * 255)
      128
    """
    pixels = jnp.round(image * 255)
    if image.shape[-1] != 3:
        coded = _coded(pixels, _level(image, severity, _steps(LUMINANCE))[..., None])
        return jnp.clip(jnp.round(coded), 0, 255) / 255
    shift = np.array([0, 128, 128], np.float32)
    steps = jnp.stack(
        [_level(image, severity, _steps(table)) for table in (LUMINANCE, CHROMINANCE, CHROMINANCE)], axis=-1
    )
    colours = jnp.round(jnp.einsum("hwc,dc->hwd", pixels, TO_YCBCR, precision="highest") + shift[None, None])
    coded = jnp.clip(jnp.round(_coded(colours, steps)), 0, 255)
    back = jnp.einsum("hwc,dc->hwd", coded - shift[None, None], TO_RGB, precision="highest")
    return jnp.clip(jnp.round(back), 0, 255) / 255


def occlusion(image: Array, key: Key, severity: Any) -> Array:
    """A grey square (0.5) wholly in the image, anywhere; its side is 0.2, 0.3, 0.4, 0.5, 0.6 of the shorter one.

    It has no counterpart in ImageNet-C. The side is rounded to pixels, at least 1.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> occlusion(jnp.zeros((10, 20, 1)), jax.random.key(0), 3).sum().item()  # 4 pixels a side
      8.0
    """
    height, width = image.shape[:2]
    sides = np.maximum(np.round(np.array((0.2, 0.3, 0.4, 0.5, 0.6)) * min(height, width)), 1).astype(np.int32)
    side = _level(image, severity, sides)
    corner = jax.random.randint(key, (2,), 0, jnp.array([height, width]) - side + 1)
    row, column = np.arange(height) - corner[0], np.arange(width) - corner[1]
    inside = ((row >= 0) & (row < side))[:, None] & ((column >= 0) & (column < side))[None]
    return jnp.where(inside[..., None], 0.5, image)


def shift(image: Array, key: Key, severity: Any) -> Array:
    """A shift by whole pixels in a direction at random, by 0.04, 0.08, 0.12, 0.16, 0.2 of the longer side.

    It has no counterpart in ImageNet-C. What comes in repeats the border.
    """
    height, width = image.shape[:2]
    angle = 2 * np.pi * jax.random.uniform(key)
    distance = _level(image, severity, (0.04, 0.08, 0.12, 0.16, 0.2)) * max(height, width)
    row = jnp.arange(height) - jnp.round(distance * jnp.sin(angle)).astype(jnp.int32)
    column = jnp.arange(width) - jnp.round(distance * jnp.cos(angle)).astype(jnp.int32)
    return image[jnp.clip(row, 0, height - 1)][:, jnp.clip(column, 0, width - 1)]


CORRUPTIONS: dict[str, Corruption] = {
    "Gaussian noise": gaussian_noise,
    "impulse noise": impulse_noise,
    "Gaussian blur": gaussian_blur,
    "contrast": contrast,
    "brightness": brightness,
    "JPEG": jpeg,
    "occlusion": occlusion,
    "shift": shift,
}
"""All of them, by name."""


def _level(image: Array, severity: Any, values: Sequence[Any] | np.ndarray) -> Array:
    """What a severity stands for; refuses what is no image, and what is no severity."""
    if jnp.ndim(image) != 3 or not jnp.issubdtype(jnp.result_type(image), jnp.floating):
        came = f"{jnp.result_type(image)} {list(jnp.shape(image))}"
        raise InputError(f"image must be a float of the shape [H, W, C], in [0, 1]; got {came}")
    if not is_traced(severity) and check_count("severity", severity) > SEVERITIES:
        raise InputError(f"severity must be at most {SEVERITIES}; got {severity}")
    array = np.asarray(values)
    return jnp.asarray(array if array.dtype == np.int32 else array.astype(np.float32))[severity - 1]


def _steps(table: tuple[tuple[int, ...], ...]) -> np.ndarray:
    """The steps of the quantisation ``[5, 8, 8]`` at each severity, scaled to a quality as libjpeg does."""
    scales = [5000 // quality if quality < 50 else 200 - 2 * quality for quality in QUALITIES]
    return np.stack([np.clip((np.array(table) * scale + 50) // 100, 1, 255) for scale in scales]).astype(np.float32)


def _cosines() -> np.ndarray:
    """The orthonormal cosine transform of eight values, ``[8, 8]``, a frequency in each row."""
    frequency, place = np.mgrid[:8, :8]
    basis = np.cos(np.pi * (2 * place + 1) * frequency / 16) / 2
    basis[0] /= np.sqrt(2)
    return basis.astype(np.float32)


def _coded(pixels: Array, steps: Array) -> Array:
    """Channels ``[H, W, C]`` from 0 to 255 whose cosines in blocks of 8 by 8 are rounded to steps ``[8, 8, C]``."""
    height, width, channels = pixels.shape
    padded = jnp.pad(pixels - 128, ((0, -height % 8), (0, -width % 8), (0, 0)), mode="edge")
    blocks = padded.reshape(padded.shape[0] // 8, 8, padded.shape[1] // 8, 8, channels)
    basis = _cosines()
    amplitude = jnp.einsum("ui,aibjc,vj->aubvc", basis, blocks, basis, precision="highest")
    step = steps[None, :, None]
    rounded = step * jnp.round(amplitude / step)
    back = jnp.einsum("ui,aubvc,vj->aibjc", basis, rounded, basis, precision="highest")
    return back.reshape(padded.shape)[:height, :width] + 128
