"""A perceptron as a saccader that does not learn here: policies that other libraries trained take this form."""

from typing import Literal

import flax.linen as nn
import jax.numpy as jnp

from foveax._types import Array
from foveax.graph.modules import Module
from foveax.graph.ports import FLOATS, POINT, Port
from foveax.networks.wrap import from_linen

Activation = Literal["tanh", "relu"]
Squash = Literal["clip", "tanh"]


class Perceptron(nn.Module):
    """Layers of one activation, and a linear one that gives the fixation.

    ``f = (squash(u) + 1) / 2`` in [0, 1], where u is the last layer's and squash brings it to [-1, 1].

    Attributes:
      hidden: units of each layer.
      activation: ``"tanh"`` or ``"relu"``.
      squash: ``"clip"``, as for a Gaussian whose samples are clipped, or ``"tanh"``, as for one that is squashed.
    """

    hidden: tuple[int, ...]
    activation: Activation = "tanh"
    squash: Squash = "clip"

    @nn.compact
    def __call__(
        self, observation: Array, position: Array | None = None, time: Array | None = None
    ) -> dict[str, Array]:
        """A layer of the classifier ``[D]``, and if given the fixation ``[2]`` and the glimpse as one-hot ``[T]``."""
        parts = [part for part in (observation, position, time) if part is not None]
        layer = jnp.concatenate([part.astype(jnp.float32).reshape(-1) for part in parts])
        activate = nn.tanh if self.activation == "tanh" else nn.relu
        for index, units in enumerate(self.hidden):
            layer = activate(nn.Dense(units, name=f"layer_{index}")(layer))
        action = nn.Dense(2, name="action")(layer)
        action = jnp.tanh(action) if self.squash == "tanh" else jnp.clip(action, -1, 1)
        return {"fixation": (action + 1) / 2}


def perceptron_saccader(hidden: tuple[int, ...], *, activation: Activation, squash: Squash) -> Module:
    """A `Perceptron` as a saccader: it reads ``observation`` and, if linked, ``position`` and ``time``, in this order.

    Args:
      hidden: units of each layer.
      activation: of these.
      squash: of the action.

    Example:
      >>> list(perceptron_saccader((8,), activation="tanh", squash="clip").inputs)
      ['observation', 'position', 'time']
    """
    ports = {"observation": Port(("D",), FLOATS), "position": POINT, "time": Port(("T",), (jnp.float32,))}
    return from_linen(Perceptron(hidden, activation, squash), ports=ports)
