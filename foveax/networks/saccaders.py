"""Networks of saccaders: what they read, to the heads of a policy and a value."""

from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from foveax._types import Array
from foveax.networks.cells import Core, initial_carry, recurrent_core
from foveax.networks.encoders import index_features

Activation = Literal["tanh", "relu"]
Squash = Literal["clip", "tanh"]


class Heads(NamedTuple):
    """The policy's heads ``[size]``, the logarithm of a learned scale ``[2]``, and the expected return."""

    policy: Array
    log_scale: Array
    value: Array


class SaccadeNetwork(nn.Module):
    """A layer of relu units, optionally a recurrent core, and the heads.

    The policy's heads, of the size given, are the sum of what the layer says, which starts near zero, and of a
    *sequence*, one place per glimpse, that does not depend on the input and starts at `initial` (`Policy.initial`).
    Without it all saccades of a rollout start at one place, are drawn by the first one's reward to where that first
    saccade should go, and the classifier never learns to read any other.

    Attributes:
      hidden: units of the layer, and of the core.
      core: the recurrent core between layer and heads, a memory of the saccader's own; or None.
      initial_scale: where a learned scale begins.
      dtype: of the hidden computation; the heads are float32.
    """

    size: int = 2
    hidden: int = 128
    core: Core | None = None
    initial: Callable[..., Array] = nn.initializers.zeros
    initial_scale: float = 1.0
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, carry: Any, observed: Array, index: Array | None = None) -> tuple[Any, Heads]:
        """What the saccader reads, ``[D]``, and the number of the glimpse, int32, to the next carry and the heads."""
        layer = nn.relu(nn.Dense(self.hidden, dtype=self.dtype, name="layer")(observed))
        if self.core:
            carry, layer = recurrent_core(self.core, self.hidden, self.dtype)(carry, layer)
        layer = layer.astype(jnp.float32)
        policy = nn.Dense(self.size, kernel_init=nn.initializers.normal(0.01), name="policy")(layer)
        if index is not None:
            sequence = nn.Dense(self.size, use_bias=False, kernel_init=self.initial, name="sequence")
            policy += sequence(index_features(index))
        value = nn.Dense(1, name="value")(layer)[0]
        initial = nn.initializers.constant(jnp.log(self.initial_scale))
        return carry, Heads(policy, self.param("log_scale", initial, (2,), jnp.float32), value)

    @nn.nowrap
    def initialize_carry(self, rng: jax.Array, input_shape: tuple[int, ...]) -> Any:
        """The carry before the first glimpse: zeros, or nothing without a core."""
        return initial_carry(self.core, self.hidden, self.dtype)


class Perceptron(nn.Module):
    """The policy network of other libraries: layers of `hidden` units, and a linear one that gives the fixation.

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
