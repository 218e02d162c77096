"""Kernels, on a processor as one product of windows, and residual blocks of them."""

import functools
import math
from collections.abc import Callable, Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from foveax._types import Array

Padding = Sequence[tuple[int, int]]
"""Zeros before and after the rows, and the columns."""
LEAST_CHANNELS = 16
"""Channels from which on a GPU a convolution is faster than a product with windows (``benchmarks/kernels.py``)."""
GROUP = 8
"""Channels that are normalised together, if their number is a multiple of it."""


def windows(planes: Array, *, size: int, stride: int) -> Array:
    """Square windows of `size` pixels a side, `stride` apart, ``[..., H, W, C]`` to ``[..., n, m, size^2 C]``.

    As many as it takes to read every pixel, ``n = ceil((H - size) / stride) + 1`` along one axis; beyond the planes is
    zero. A product with them is a convolution.

    Example:
      >>> import jax.numpy as jnp
      >>> windows(jnp.arange(16.0).reshape(4, 4, 1), size=2, stride=2)[0, 1].tolist()
      [2.0, 3.0, 6.0, 7.0]
    """
    below, beside = ((size - side) % stride for side in planes.shape[-3:-1])
    planes = _padded(planes, (0, below), (0, beside))
    down, across = (side - size + 1 for side in planes.shape[-3:-1])
    places = [(row, column) for row in range(size) for column in range(size)]
    pixels = [planes[..., row : row + down : stride, column : column + across : stride, :] for row, column in places]
    return jnp.concatenate(pixels, axis=-1)


class Kernels(nn.Module):
    """Square kernels, the same at every place.

    They are one product with `windows`, but on a GPU XLA's convolution if it reads many channels: in loops on a
    processor its gradients are slow, and with few channels it is everywhere (``benchmarks/kernels.py``). The two differ
    by the rounding of sums. Parameters are those of a dense layer that reads a window.

    Attributes:
      channels: of the output, K.
      size: the kernels' side, odd or even.
      stride: from one place to the next, in places of the input.
      padding: zeros around, to which as many are added behind as it takes to read every pixel.
      use_bias: whether there is one for each channel.
      kernel_init: how the kernels begin.
      dtype: of the computation; parameters are float32.
    """

    channels: int
    size: int
    stride: int = 1
    padding: Padding = ((0, 0), (0, 0))
    use_bias: bool = True
    kernel_init: Callable[..., Array] = nn.initializers.lecun_normal()
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, planes: Array) -> Array:
        """``[S, H, W, C]`` to ``[S, n, m, K]``, with as many places as it takes to read every pixel (`windows`)."""
        size, channels = self.size, planes.shape[-1]
        ends = [
            (before, after + (size - before - side - after) % self.stride)
            for side, (before, after) in zip(planes.shape[1:3], self.padding, strict=True)
        ]
        kernel = self.param("kernel", self.kernel_init, (size * size * channels, self.channels), jnp.float32)
        sizes = {"size": size, "stride": self.stride, "padding": ends}
        product = functools.partial(by_product, **sizes)
        convolution = functools.partial(by_convolution, **sizes)
        output = jax.lax.platform_dependent(
            planes.astype(self.dtype),
            kernel.astype(self.dtype),
            cpu=product,
            default=convolution if channels >= LEAST_CHANNELS else product,
        )
        if not self.use_bias:
            return output
        bias = self.param("bias", nn.initializers.zeros, (self.channels,), jnp.float32)
        return output + bias.astype(self.dtype)[None, None, None]


def by_product(planes: Array, kernel: Array, *, size: int, stride: int, padding: Padding) -> Array:
    """Kernels ``[size^2 C, K]`` at every `stride`-th place of planes ``[S, H, W, C]``, as a product with windows."""
    return windows(_padded(planes, *padding), size=size, stride=stride) @ kernel


def by_convolution(planes: Array, kernel: Array, *, size: int, stride: int, padding: Padding) -> Array:
    """The same as a convolution, where the padded planes are read by a whole number of strides."""
    shaped = kernel.reshape(size, size, planes.shape[-1], kernel.shape[-1])
    layout = ("NHWC", "HWIO", "NHWC")
    return jax.lax.conv_general_dilated(planes, shaped, (stride, stride), padding, dimension_numbers=layout)


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
        inner = self._around(read, self.stride, use_bias=False, name="first")
        inner = nn.relu(group_norm(inner, "inner_norm"))
        inner = self._around(inner, 1, kernel_init=nn.initializers.zeros, name="second")
        if self.stride == 1 and planes.shape[-1] == self.channels:
            return planes + inner
        rows, columns = ((side - 1) // self.stride * self.stride + 1 for side in read.shape[1:3])
        past = Kernels(self.channels, 1, self.stride, use_bias=False, dtype=self.dtype, name="past")
        return past(read[:, :rows, :columns]) + inner

    def _around(self, planes: Array, stride: int, **options: Any) -> Array:
        """Kernels of 3x3 about every `stride`-th place, ``[S, n, m, C]`` to ``[S, ceil(n / stride), ..., K]``."""
        after = [stride * (-(-side // stride) - 1) + 2 - side for side in planes.shape[1:3]]
        padding = ((1, after[0]), (1, after[1]))
        return Kernels(self.channels, 3, stride, padding, dtype=self.dtype, **options)(planes)


def group_norm(planes: Array, name: str) -> Array:
    """Normalises groups of eight channels of each scale, ``[S, n, m, C]``, in the module that is being called."""
    norm = nn.GroupNorm(num_groups=None, group_size=math.gcd(planes.shape[-1], GROUP), name=name)
    return norm(planes.astype(jnp.float32)).astype(planes.dtype)


def _padded(planes: Array, rows: tuple[int, int], columns: tuple[int, int]) -> Array:
    return jnp.pad(planes, [(0, 0)] * (planes.ndim - 3) + [rows, columns, (0, 0)])
