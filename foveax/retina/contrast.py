"""Contrast and luminance: what a crop shows, apart from how bright it is."""

import jax.numpy as jnp

from foveax._types import Array


def contrast_luminance(patch: Array, *, gain: float = 2.0) -> Array:
    """Splits a crop into contrast channels and luminance channels.

    ``contrast = gain (patch - mean)``, ``luminance = mean``, with the mean over the crop's pixels, per channel. A
    network that sees raw pixels spends its first layer on the mean, which says little of the object and, under a
    smooth gradient of light, hides it; retinal ganglion cells signal contrast (Shapley, Enroth-Cugell 1984).

    Args:
      patch: ``[G, G, C]``, float.
      gain: factor on the contrast, which is small where the patch is nearly uniform.

    Returns:
      ``[G, G, 2 C]``: first the contrast channels, then the luminance channels, constant over the crop.

    Example:
      >>> import foveax as fx, jax.numpy as jnp
      >>> fx.contrast_luminance(jnp.array([[[0.0], [1.0]], [[1.0], [0.0]]]))[0].tolist()
      [[-1.0, 0.5], [1.0, 0.5]]
    """
    mean = jnp.broadcast_to(patch.mean(axis=(0, 1), keepdims=True), patch.shape)
    return jnp.concatenate([gain * (patch - mean), mean], axis=-1)
