"""The policy network of other libraries."""

from typing import Literal

import flax.linen as nn
import jax.numpy as jnp

from foveax._types import Array
from foveax.networks.encoders import index_features

Activation = Literal["tanh", "relu"]
Squash = Literal["clip", "tanh"]


class Perceptron(nn.Module):
    """Layers of `hidden` units with one activation, and a linear one that gives the fixation.

    ``f = (squash(u) + 1) / 2`` in [0, 1], where u is the last layer's and squash brings it to [-1, 1]: ``"clip"`` as
    for a Gaussian whose samples are clipped, or ``"tanh"`` as for one that is squashed.
    """

    hidden: tuple[int, ...]
    activation: Activation = "tanh"
    squash: Squash = "clip"

    @nn.compact
    def __call__(
        self, observation: Array, position: Array | None = None, index: Array | None = None
    ) -> dict[str, Array]:
        """A layer of the classifier ``[D]``, and if given the fixation ``[2]`` and the number of the glimpse."""
        time = None if index is None else index_features(index)
        parts = [part for part in (observation, position, time) if part is not None]
        layer = jnp.concatenate([part.astype(jnp.float32).reshape(-1) for part in parts])
        activate = nn.tanh if self.activation == "tanh" else nn.relu
        for number, units in enumerate(self.hidden):
            layer = activate(nn.Dense(units, name=f"layer_{number}")(layer))
        action = nn.Dense(2, name="action")(layer)
        action = jnp.tanh(action) if self.squash == "tanh" else jnp.clip(action, -1, 1)
        return {"fixation": (action + 1) / 2}
