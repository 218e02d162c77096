"""Encoders: what a glimpse shows, and where it was taken, as one vector of features."""

from typing import Any, Literal

import flax.linen as nn
import jax.numpy as jnp

from foveax._types import Array

Combine = Literal["add", "multiply"]


def fourier_features(point: Array, *, bands: int) -> Array:
    """A point's coordinates with their sines and cosines at doubling frequencies.

    ``[x, sin(π 2^b x), cos(π 2^b x)]`` for b from 0 to ``bands - 1``, with coordinates in [-1, 1], so that a network
    tells near places apart (Tancik et al. 2020, https://arxiv.org/abs/2006.10739, section 2, positional encoding).

    Args:
      point: ``[2]`` in [0, 1].
      bands: number of frequencies; 0 leaves the coordinates alone.

    Returns:
      ``[2 + 4 bands]``, float32.

    Example:
      >>> import jax.numpy as jnp
      >>> fourier_features(jnp.array([0.5, 1.0]), bands=0).tolist()
      [0.0, 1.0]
    """
    centred = 2 * point - 1
    angles = (centred[None, :] * (jnp.pi * 2.0 ** jnp.arange(bands, dtype=jnp.float32))[:, None]).reshape(-1)
    return jnp.concatenate([centred, jnp.sin(angles), jnp.cos(angles)])


class GlimpseEncoder(nn.Module):
    """Features of what a glimpse shows and, if a fixation is given, of where it was taken.

    ``what = relu(W glimpse)``, ``where = relu(V fourier(fixation))``, both ``[D]``, combined by adding two further
    linear maps, ``relu(A what + B where)`` (Mnih et al. 2014, arXiv 1406.6247, section 4), or by multiplying,
    ``what * where`` (Larochelle, Hinton 2010, section 4.1).

    Attributes:
      features: D.
      layers: of ``what``, each of D relu units; as output ports ``what``, ``what_2``, and so on.
      combine: ``"add"`` or ``"multiply"``; without a fixation the features are ``what`` alone.
      bands: frequencies of `fourier_features`.
      dtype: of the computation; parameters are float32.
    """

    features: int = 256
    layers: int = 1
    combine: Combine = "multiply"
    bands: int = 4
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, glimpse: Array, fixation: Array | None = None) -> Array:
        """``[G, G, C]`` and ``[2]``, or None, to ``[D]``."""
        what = glimpse.reshape(-1)
        for layer in range(1, self.layers + 1):
            name = "what" if layer == 1 else f"what_{layer}"
            what = nn.relu(nn.Dense(self.features, dtype=self.dtype, name=name)(what))
        if fixation is None:
            return what
        place = fourier_features(fixation, bands=self.bands)
        where = nn.relu(nn.Dense(self.features, dtype=self.dtype, name="where")(place))
        if self.combine == "multiply":
            return what * where
        return nn.relu(nn.Dense(self.features, dtype=self.dtype, name="both")(jnp.concatenate([what, where])))
