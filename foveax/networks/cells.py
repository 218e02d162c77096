"""Recurrent cells: flax's, and a GRU in two matrix products."""

import functools
from typing import Any, Literal

import flax.linen as nn
import jax
import jax.numpy as jnp

from foveax._types import Array
from foveax.networks.transformer import TransformerCell

Core = Literal["rnn", "gru", "lstm"]
ClassifierCore = Literal["rnn", "gru", "lstm", "transformer"]


class GRUCell(nn.RNNCellBase):
    """A gated recurrent unit that computes all its gates from one product per operand.

    ``r = σ(W_r x + U_r h)``, ``z = σ(W_z x + U_z h)``, ``n = tanh(W_n x + r (U_n h + b))``, ``h' = (1 - z) n + z h``
    (Cho et al. 2014, https://arxiv.org/abs/1406.1078, in the form of flax's `GRUCell`), with ``W`` and ``U`` each a
    single matrix of ``3 D`` columns, in the order r, z, n; D is `features`. Parameters are float32 at any `dtype`.
    """

    features: int
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, carry: Array, inputs: Array) -> tuple[Array, Array]:
        """``h`` ``[D]`` and ``x`` to the new ``h``, twice: as carry and as output."""
        gates = functools.partial(nn.Dense, 3 * self.features, dtype=self.dtype)
        x = gates(name="input")(inputs)
        h = gates(use_bias=False, kernel_init=nn.initializers.orthogonal(), name="recurrent")(carry)
        bias = self.param("bias", nn.initializers.zeros, (self.features,), jnp.float32).astype(self.dtype)
        (x_reset, x_update, x_new), (h_reset, h_update, h_new) = jnp.split(x, 3), jnp.split(h, 3)
        update = nn.sigmoid(x_update + h_update)
        new = nn.tanh(x_new + nn.sigmoid(x_reset + h_reset) * (h_new + bias))
        carry = (1 - update) * new + update * carry
        return carry, carry

    @nn.nowrap
    def initialize_carry(self, rng: jax.Array, input_shape: tuple[int, ...]) -> Array:
        """Zeros ``[D]``."""
        return jnp.zeros(self.features, self.dtype)


def recurrent_core(core: ClassifierCore, features: int, dtype: Any, length: int = 0) -> nn.RNNCellBase:
    """A cell of `features` units: a simple RNN with relu (as RAM's core), a GRU, an LSTM, or a transformer.

    Of these the last needs the number of glimpses to attend to.
    """
    if core == "transformer":
        return TransformerCell(features, length, dtype=dtype, name="core")
    simple = functools.partial(nn.SimpleCell, activation_fn=nn.relu)
    cell = {"rnn": simple, "gru": GRUCell, "lstm": nn.OptimizedLSTMCell}[core]
    return cell(features, dtype=dtype, name="core")


def initial_carry(core: ClassifierCore | None, features: int, dtype: Any, length: int = 0) -> Any:
    """The carry of a core before the first glimpse: zeros, or nothing without a core."""
    if core is None:
        return ()
    carry = recurrent_core(core, features, dtype, length).initialize_carry(jax.random.key(0), (features,))
    return jax.tree.map(lambda leaf: leaf.astype(dtype) if jnp.issubdtype(leaf.dtype, jnp.floating) else leaf, carry)
