"""Kernels as one product of windows, and residual blocks of them."""

import math
from typing import Any

import flax.linen as nn
import jax.numpy as jnp

from foveax._types import Array

GROUP = 8
"""Channels that are normalised together, if their number is a multiple of it."""


def windows(planes: Array, *, size: int, stride: int) -> Array:
    """Square windows of `size` pixels a side, `stride` apart, ``[..., H, W, C]`` to ``[..., n, m, size^2 C]``.

    As many as it takes to read every pixel, ``n = ceil((H - size) / stride) + 1`` along one axis; beyond the planes is
    zero. A product with them is a convolution, and faster than XLA's on a CPU (``benchmarks/kernels.py``).

    Example:
      >>> import jax.numpy as jnp
      >>> windows(jnp.arange(16.0).reshape(4, 4, 1), size=2, stride=2)[0, 1].tolist()
      [2.0, 3.0, 6.0, 7.0]
    """
    below, beside = ((side - size) % stride for side in planes.shape[-3:-1])
    planes = _padded(planes, (0, below), (0, beside))
    down, across = (side - size + 1 for side in planes.shape[-3:-1])
    places = [(row, column) for row in range(size) for column in range(size)]
    pixels = [planes[..., row : row + down : stride, column : column + across : stride, :] for row, column in places]
    return jnp.concatenate(pixels, axis=-1)


class ResidualBlock(nn.Module):
    """Two layers of 3x3 kernels beside a way past them, each normalised before its relu (He et al. 2016).

    ``y = P x' + V relu(norm(U x'))``, with ``x' = relu(norm(x))``, U of some `stride` and V convolutions, and P a
    product at each place; where neither channels nor places change, x in the place of ``P x'``
    (https://arxiv.org/abs/1603.05027, figure 1b). Normalisation is by groups of eight channels over one scale's places
    (Wu, He 2018, https://arxiv.org/abs/1803.08494). V begins at zero, so that a block begins as the way past it.

    Attributes:
      channels: of the output.
      stride: from one place of the output to the next, in places of the input.
      dtype: of the computation; parameters are float32.
    """

    channels: int
    stride: int = 1
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, planes: Array) -> Array:
        """``[S, n, m, C]`` to ``[S, ceil(n / stride), ceil(m / stride), channels]``."""
        read = nn.relu(group_norm(planes, "norm"))
        inner = nn.Dense(self.channels, use_bias=False, dtype=self.dtype, name="first")(_around(read, self.stride))
        inner = nn.relu(group_norm(inner, "inner_norm"))
        second = nn.Dense(self.channels, kernel_init=nn.initializers.zeros, dtype=self.dtype, name="second")
        inner = second(_around(inner, 1))
        if self.stride == 1 and planes.shape[-1] == self.channels:
            return planes + inner
        past = read[:, :: self.stride, :: self.stride]
        return nn.Dense(self.channels, use_bias=False, dtype=self.dtype, name="past")(past) + inner


def group_norm(planes: Array, name: str) -> Array:
    """Normalises groups of eight channels of each scale, ``[S, n, m, C]``, in the module that is being called."""
    norm = nn.GroupNorm(num_groups=None, group_size=math.gcd(planes.shape[-1], GROUP), name=name)
    return norm(planes.astype(jnp.float32)).astype(planes.dtype)


def _around(planes: Array, stride: int) -> Array:
    """Windows of 3x3 about every `stride`-th place: ``[S, n, m, C]`` to ``[S, ceil(n / stride), ..., 9 C]``."""
    below, beside = (stride * (-(-side // stride) - 1) + 2 - side for side in planes.shape[-3:-1])
    return windows(_padded(planes, (1, below), (1, beside)), size=3, stride=stride)


def _padded(planes: Array, rows: tuple[int, int], columns: tuple[int, int]) -> Array:
    return jnp.pad(planes, [(0, 0)] * (planes.ndim - 3) + [rows, columns, (0, 0)])
