"""Classifiers: networks that read one glimpse after another and say what the image shows."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from foveax._types import Array
from foveax.networks.cells import ClassifierCore, initial_carry, recurrent_core
from foveax.networks.encoders import GlimpseEncoder


class LinearReadout(nn.Module):
    """Logits of K classes as a linear function of features, in float32."""

    classes: int

    @nn.compact
    def __call__(self, features: Array) -> dict[str, Array]:
        """Features ``[D]`` to ``logits`` ``[K]``."""
        return {"logits": nn.Dense(self.classes, name="readout")(features.astype(jnp.float32))}


class RecurrentClassifier(nn.Module):
    """Glimpse encoder, recurrent core of `hidden` units, linear read-out of K logits.

    Without a core, a layer of relu units judges each glimpse alone; a transformer attends to the last `length` of them.
    The computation is in `dtype`; parameters and logits are float32.
    """

    classes: int
    encoder: GlimpseEncoder = GlimpseEncoder()
    core: ClassifierCore | None = "gru"
    hidden: int = 256
    dtype: Any = jnp.float32
    length: int = 0

    @nn.compact
    def __call__(self, carry: Any, glimpse: Array, fixation: Array | None = None) -> tuple[Any, dict[str, Array]]:
        """One glimpse ``[G, G, C]``: the next carry; ``features`` ``[D]``, ``hidden``, and ``logits`` ``[K]``."""
        features = self.encoder(glimpse, fixation)
        if self.core:
            carry, hidden = recurrent_core(self.core, self.hidden, self.dtype, self.length)(carry, features)
        else:
            hidden = nn.relu(nn.Dense(self.hidden, dtype=self.dtype, name="core")(features))
        logits = nn.Dense(self.classes, dtype=self.dtype, name="readout")(hidden).astype(jnp.float32)
        return carry, {"features": features, "hidden": hidden, "logits": logits}

    @nn.nowrap
    def initialize_carry(self, rng: jax.Array, input_shape: tuple[int, ...]) -> Any:
        """The carry before the first glimpse: zeros, or nothing without a core."""
        return initial_carry(self.core, self.hidden, self.dtype, self.length)
