"""Predictors: what the next glimpse will show, from the state of a recurrent network and the saccade."""

from typing import Any

import flax.linen as nn
import jax.numpy as jnp

from foveax._types import Array
from foveax.networks.encoders import fourier_features


class GlimpsePredictor(nn.Module):
    """Two layers of relu units, and a linear read-out of what is predicted.

    Attributes:
      shape: of what is predicted.
      hidden: units of each layer.
      bands: frequencies of `fourier_features`, for the place.
      dtype: of the computation; parameters and prediction are float32.
    """

    shape: tuple[int, ...]
    hidden: int = 256
    bands: int = 4
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, state: Array, place: Array | None = None) -> Array:
        """State ``[D]`` and the place, or saccade, of the next glimpse ``[2]`` to the prediction."""
        read = [state] if place is None else [state, fourier_features(place, bands=self.bands).astype(state.dtype)]
        values = jnp.concatenate(read)
        for name in ("first", "second"):
            values = nn.relu(nn.Dense(self.hidden, dtype=self.dtype, name=name)(values))
        size = 1
        for side in self.shape:
            size *= side
        return nn.Dense(size, dtype=self.dtype, name="readout")(values).astype(jnp.float32).reshape(self.shape)
