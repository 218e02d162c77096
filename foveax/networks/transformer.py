"""A transformer over the glimpses so far, one at a time."""

import math
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from foveax._types import Array

MOST_HEADS = 4


class Attended(NamedTuple):
    """Keys and values ``[L, M, D]`` of the last M glimpses in each layer, and the number of glimpses so far, int32."""

    keys: Array
    values: Array
    glimpses: Array


class TransformerCell(nn.RNNCellBase):
    """A causal transformer that is given one glimpse after another, and keeps the keys and values of those before.

    A glimpse's features are mapped to D numbers. To these each of L layers adds twice: by attention over the glimpses
    so far, itself included, with four heads (two or one, if D is no multiple of four), and by a layer of 2 D gelu
    units; both read what is normalised (Vaswani et al. 2017, https://arxiv.org/abs/1706.03762, section 3, with the norm
    before each sub-layer: Xiong et al. 2020, https://arxiv.org/abs/2002.04745). Glimpses have no number: place and time
    are among the features, as far as they are linked.

    Attributes:
      features: D.
      length: M, the glimpses that are attended to at most, the last ones; no parameter depends on it.
      layers: L.
      dtype: of the computation; parameters are float32.
    """

    features: int
    length: int
    layers: int = 2
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, carry: Attended, inputs: Array) -> tuple[Attended, Array]:
        """The memory and features ``[F]`` of a glimpse to the next memory and ``[D]``, normalised."""
        stream = nn.Dense(self.features, dtype=self.dtype, name="embed")(inputs)
        place, is_there = carry.glimpses % self.length, jnp.arange(self.length) <= carry.glimpses
        for layer in range(self.layers):
            read = _normalised(stream, f"norm_{layer + 1}")
            projected = nn.Dense(3 * self.features, dtype=self.dtype, name=f"attend_{layer + 1}")(read)
            query, key, value = jnp.split(projected, 3)
            carry = carry._replace(
                keys=carry.keys.at[layer, place].set(key), values=carry.values.at[layer, place].set(value)
            )
            attended = _attention(query, carry.keys[layer], carry.values[layer], is_there, self._heads)
            stream += nn.Dense(self.features, dtype=self.dtype, name=f"attended_{layer + 1}")(attended)
            read = _normalised(stream, f"inner_norm_{layer + 1}")
            inner = nn.gelu(nn.Dense(2 * self.features, dtype=self.dtype, name=f"inner_{layer + 1}")(read))
            stream += nn.Dense(self.features, dtype=self.dtype, name=f"outer_{layer + 1}")(inner)
        output = _normalised(stream, "norm")
        return carry._replace(glimpses=carry.glimpses + 1), output

    @nn.nowrap
    def initialize_carry(self, rng: jax.Array, input_shape: tuple[int, ...]) -> Attended:
        """The memory before the first glimpse."""
        empty = jnp.zeros((self.layers, self.length, self.features), self.dtype)
        return Attended(empty, empty, jnp.int32(0))

    @property
    def _heads(self) -> int:
        return math.gcd(self.features, MOST_HEADS)


def _normalised(stream: Array, name: str) -> Array:
    """A layer norm in float32, in the module that is being called."""
    return nn.LayerNorm(name=name)(stream.astype(jnp.float32)).astype(stream.dtype)


def _attention(query: Array, keys: Array, values: Array, is_there: Array, heads: int) -> Array:
    """``softmax(q k / sqrt(d)) v`` over those of the keys and values ``[M, D]`` that are there, by head: ``[D]``."""
    query, keys, values = (array.reshape(*array.shape[:-1], heads, -1) for array in (query, keys, values))
    scores = jnp.einsum("hd,mhd->hm", query, keys).astype(jnp.float32) / math.sqrt(query.shape[-1])
    weights = jax.nn.softmax(jnp.where(is_there[None, :], scores, -jnp.inf), axis=-1).astype(values.dtype)
    return jnp.einsum("hm,mhd->hd", weights, values).reshape(-1)
