"""The response of receptors to light: a curve that is steep in the middle and flat at both ends."""

import functools
import math

import jax
import jax.numpy as jnp

from foveax._arrays import check_number
from foveax._types import Array
from foveax.retina.crop import as_float


def saturate(image: Array, gain: float) -> Array:
    """The response of receptors to the light on them, pixel by pixel.

    ``r(x) = (1 + tanh(gain (x - 1/2) / 2) / tanh(gain / 4)) / 2``, a logistic function with that gain, stretched so
    that r is 0, 1/2 and 1 where x is: the greater the gain, the less a small change near black or white shows.
    Receptors respond to light by ``I^n / (I^n + c^n)`` (Naka and Rushton 1966, J. Physiol. 185:536), a logistic
    function of ``log I``; this one is logistic in the pixel's value. A network of MNIST that was trained against an
    adversary had such a threshold in its first layer (Madry et al. 2018, https://arxiv.org/abs/1706.06083, appendix C).

    Args:
      image: ``[H, W, C]``, uint8 in [0, 255] or a float in [0, 1].
      gain: at least 0, where the response is the image; above 150 the slope at black and white vanishes in float32.

    Returns:
      ``[H, W, C]``, in [0, 1]; float32 for uint8 images, else of the image's dtype.

    Example:
      >>> import jax.numpy as jnp
      >>> [round(float(value), 2) for value in saturate(jnp.array([0.0, 0.3, 0.5, 0.7, 1.0]), 20.0)]
      [0.0, 0.02, 0.5, 0.98, 1.0]
    """
    gain = check_number("gain", gain)
    return _response(gain, as_float(image)) if gain else as_float(image)


@functools.partial(jax.custom_jvp, nondiff_argnums=(0,))
def _response(gain: float, image: Array) -> Array:
    return (1 + jnp.tanh(gain * (image - 0.5) / 2) / math.tanh(gain / 4)) / 2


@_response.defjvp
def _response_jvp(gain: float, primals: tuple[Array], tangents: tuple[Array]) -> tuple[Array, Array]:
    """The slope from the decay, which is not lost where the response rounds to 0 or 1."""
    (image,), (tangent,) = primals, tangents
    decay = jnp.exp(-gain * jnp.abs(image - 0.5))
    slope = gain * decay / (1 + decay) ** 2 / math.tanh(gain / 4)
    return _response(gain, image), slope * tangent
