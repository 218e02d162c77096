"""The log-polar retina: rings about the fixation, ever farther apart, as the cortex magnifies the fovea."""

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np

from foveax._arrays import check_count
from foveax._types import Array, InputError
from foveax.retina.foveate import foveate


def log_polar(image: Array, fixation: Array, *, rings: int, wedges: int, radius: float, foveal: float = 1.0) -> Array:
    """Samples an image on rings about a fixation, with radii ``exp(w) - a``, w evenly spaced.

    From the fixation itself, where ``w = log a``, to the radius R, where ``w = log(R + a)``: near the fixation rings
    are evenly spaced, and a is where they begin to spread (Schwartz 1980, Vision Research 20, whose map ``log(z + a)``
    of the visual field is the cortex's). Each ring has equally many samples, at even angles, from the right clockwise.

    A ring whose samples lie s pixels or more apart, outwards and along it, is sampled, bilinearly, from the scale of
    `foveate` that averages blocks of ``b x b`` pixels, b the greatest power of two up to s, so that little is aliased.
    The cost depends on the radius, and not on the size of the image.

    Args:
      image: ``[H, W, C]``, uint8 in [0, 255] or a float in [0, 1]; zero beyond.
      fixation: ``[2]`` float32, (x, y) as fractions of the image.
      rings: at least 2.
      wedges: samples on a ring.
      radius: R, of the outermost ring, in pixels.
      foveal: a, in pixels.

    Returns:
      ``[rings, wedges, C]``: float32 in [0, 1] for uint8 images, else of the image's dtype.

    Raises:
      InputError: for less than two rings, a wedge, or numbers above 0; and as `foveate`.

    Example:
      >>> import foveax as fx, jax.numpy as jnp
      >>> image = jnp.broadcast_to(jnp.arange(31.0)[None, :, None], (31, 31, 1)) / 32
      >>> seen = fx.log_polar(image, jnp.array([0.5, 0.5]), rings=4, wedges=4, radius=7.0)
      >>> (32 * seen[:, 0, 0] - 15).round(2).tolist()  # to the right
      [0.0, 1.0, 3.0, 7.0]
    """
    rings, wedges = check_count("rings", rings, 2), check_count("wedges", wedges)
    for name, value in (("radius", radius), ("foveal", foveal)):
        if not 0 < value < math.inf:
            raise InputError(f"{name} must be a number of pixels above 0; got {value}")
    scale_of, size, weights = _samples(rings, wedges, float(radius), float(foveal))
    patches = foveate(image, fixation, size=size, scales=1 + max(scale_of))
    by_scale = jnp.asarray(weights, patches.dtype)
    return jnp.einsum("rwgh,rghc->rwc", by_scale, patches[np.array(scale_of)], precision=jax.lax.Precision.HIGHEST)


@functools.lru_cache(maxsize=16)
def _samples(rings: int, wedges: int, radius: float, foveal: float) -> tuple[tuple[int, ...], int, np.ndarray]:
    """The scale of each ring, the side G of a patch that holds them, and bilinear weights ``[rings, wedges, G, G]``."""
    radii = np.exp(np.linspace(math.log(foveal), math.log(radius + foveal), rings)) - foveal
    apart = np.minimum(np.gradient(radii), np.maximum(2 * np.pi * radii / wedges, radii[1]))
    scale_of = np.floor(np.log2(np.maximum(apart, 1))).astype(int)
    steps = radii / 2.0**scale_of
    size = 2 * math.ceil(steps.max()) + 3
    angles = 2 * np.pi * np.arange(wedges) / wedges
    middle, pixel = (size - 1) / 2, np.arange(size)
    columns, rows = (middle + steps[:, None] * wave(angles) for wave in (np.cos, np.sin))
    along, down = (np.maximum(1 - np.abs(place[..., None] - pixel), 0) for place in (columns, rows))
    return tuple(scale_of.tolist()), size, down[..., :, None] * along[..., None, :]
