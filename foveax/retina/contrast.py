"""Contrast and luminance: what a crop shows, apart from how bright it is and from how strong its contrasts are."""

import jax
import jax.numpy as jnp

from foveax._types import Array, InputError

GAIN = 2.0
"""Factor on the contrast, which is small where the patch is nearly uniform."""
SEMISATURATION = 0.02
"""Contrast, as a deviation of the image's values in [0, 1], at which normalisation is half way."""


def contrast_luminance(patch: Array) -> Array:
    """Splits a crop into contrast channels, normalised contrast channels and luminance channels.

    ``contrast = 2 (patch - mean)``, ``normalised = (patch - mean) / sqrt(var + c^2)`` with c = 0.02, and
    ``luminance = mean``: the mean over the crop's pixels, per channel, the variance over its pixels and channels. A
    network that sees raw pixels spends its first layer on the mean, which says little of the object and, under a smooth
    gradient of light, hides it; retinal ganglion cells signal contrast (Shapley, Enroth-Cugell 1984), with a gain that
    falls with the contrast around (normalisation: Heeger 1992; Carandini, Heeger 2012). The contrast itself is kept
    next to it, since how strong it is tells a whole stroke from the rim of one.

    ``[G, G, C]``, float in [0, 1], to ``[G, G, 3 C]``: first the contrast channels, then the normalised ones, then the
    luminance channels, constant over the crop.

    Example:
      >>> import foveax as fx, jax.numpy as jnp
      >>> seen = fx.contrast_luminance(jnp.array([[[0.0], [1.0]], [[1.0], [0.0]]]))
      >>> [round(float(value), 2) for value in seen[0, 1]]
      [1.0, 1.0, 0.5]
    """
    if jnp.ndim(patch) != 3 or not jnp.issubdtype(jnp.result_type(patch), jnp.floating):
        came = f"{jnp.result_type(patch)} {list(jnp.shape(patch))}"
        raise InputError(f"patch must be a float of the shape [G, G, C]; got {came}")
    mean = jnp.broadcast_to(patch.mean(axis=(0, 1), keepdims=True), patch.shape)
    contrast = patch - mean
    normalised = contrast * jax.lax.rsqrt(jnp.mean(contrast**2) + SEMISATURATION**2)
    return jnp.concatenate([GAIN * contrast, normalised, mean], axis=-1)
