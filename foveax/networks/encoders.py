"""Encoders: what a glimpse shows, and where it was taken, as one vector of features."""

from typing import Any, Literal

import flax.linen as nn
import jax
import jax.numpy as jnp

from foveax._types import Array, InputError
from foveax.networks.residual import Kernels, ResidualBlock, group_norm, windows

Combine = Literal["add", "multiply"]
KERNEL, STRIDE = 6, 2
"""Side of the kernels, and from one place of a kernel to the next, in pixels, if nothing else is said."""


def fourier_features(point: Array, *, bands: int) -> Array:
    """A point's coordinates with their sines and cosines at `bands` doubling frequencies: ``[2]`` to ``[2 + 4 bands]``.

    ``[x, sin(π 2^b x), cos(π 2^b x)]`` for b from 0 to ``bands - 1``, with coordinates in [-1, 1], so that a network
    tells near places apart (Tancik et al. 2020, https://arxiv.org/abs/2006.10739, section 2, positional encoding).

    Example:
      >>> import jax.numpy as jnp
      >>> fourier_features(jnp.array([0.5, 1.0]), bands=0).tolist()
      [0.0, 1.0]
    """
    centred = 2 * point - 1
    angles = (centred[None, :] * (jnp.pi * 2.0 ** jnp.arange(bands, dtype=jnp.float32))[:, None]).reshape(-1)
    return jnp.concatenate([centred, jnp.sin(angles), jnp.cos(angles)])


def index_features(index: Array) -> Array:
    """The number of a glimpse, below 4,096, as octal digits, each one-hot, ``[29]``, whatever the rollout's length.

    A zero is left out above the lowest digit, so that the first eight glimpses are simply one-hot.

    Example:
      >>> import jax.numpy as jnp
      >>> [jnp.flatnonzero(index_features(jnp.int32(index))).tolist() for index in (0, 5, 8, 13)]
      [[0], [5], [0, 8], [5, 8]]
    """
    one_hot = jax.nn.one_hot(jnp.right_shift(index, 3 * jnp.arange(4)) & 7, 8)
    return jnp.concatenate([one_hot[0], one_hot[1:, 1:].reshape(-1)])


def kernel_windows(planes: Array, *, size: int = KERNEL, stride: int = STRIDE) -> Array:
    """The `windows` of a glimpse's scales, ``[H, W, S, C]`` to ``[S, n, m, size^2 C]``.

    Raises `InputError` if a side is less than `size`.

    Example:
      >>> import jax.numpy as jnp
      >>> kernel_windows(jnp.zeros((12, 12, 3, 2))).shape
      (3, 4, 4, 72)
    """
    check_kernel_size(planes, size)
    return windows(jnp.moveaxis(planes, 2, 0), size=size, stride=stride)


def check_kernel_size(planes: Array, size: int) -> None:
    """Refuses kernels that are larger than what they are to read, ``[H, W, S, C]``."""
    side = min(planes.shape[:2])
    if side < size:
        raise InputError(f"crop_size must be at least {size} pixels to be read by kernels; got {side}")


class GlimpseEncoder(nn.Module):
    """Features of what a glimpse shows and, if a fixation is given, of where it was taken.

    ``what = relu(W glimpse)``, ``where = relu(V fourier(fixation))``, both ``[D]``, combined by adding two further
    linear maps, ``relu(A what + B where)`` (Mnih et al. 2014, arXiv 1406.6247, section 4), or by multiplying,
    ``what * where`` (Larochelle, Hinton 2010, section 4.1).

    With kernels, what is read is not the pixels but ``relu(K window)`` for the `kernel_windows` of each scale: a
    convolution whose weights all places and all scales share. Luminance, constant over a scale, is read once, apart.
    `blocks` are residual blocks over the kernels' places (`ResidualBlock`), by stages: each stage after the first has
    twice the channels at half the places along each axis.

    Attributes:
      features: D.
      kernels: the number of kernels; 0 reads the pixels.
      kernel_size: their side in pixels.
      stride: from one place of a kernel to the next, in pixels.
      blocks: the number of residual blocks in each stage; of none, only the kernels.
      pool: average over the kernels' places.
      scales: S.
      contrast: whether each scale is split by `foveax.contrast_luminance`.
      layers: of ``what``, each of D relu units; as output ports ``what``, ``what_2``, and so on.
      bands: frequencies of `fourier_features`.
      dtype: of the computation; parameters are float32.
    """

    features: int = 256
    kernels: int = 0
    kernel_size: int = KERNEL
    stride: int = STRIDE
    blocks: tuple[int, ...] = ()
    pool: bool = False
    scales: int = 1
    contrast: bool = False
    layers: int = 1
    combine: Combine = "multiply"
    bands: int = 4
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, glimpse: Array, fixation: Array | None = None) -> Array:
        """``[G, G, C]`` and ``[2]`` to ``[D]``; without a fixation ``what`` alone.

        Raises `InputError` if kernels cannot read it, since G is less than their side, or C no multiple of S, or of 3 S
        with contrast; and for blocks without kernels.
        """
        if self.kernels:
            planes, luminance = _planes(glimpse, self.scales, self.contrast)
            check_kernel_size(planes, self.kernel_size)
            read = Kernels(self.kernels, self.kernel_size, self.stride, dtype=self.dtype, name="kernels")
            strokes = self._stages(read(jnp.moveaxis(planes, 2, 0)))
            strokes = strokes.mean(axis=(1, 2)) if self.pool else strokes
            what = jnp.concatenate([strokes.reshape(-1), luminance.astype(strokes.dtype)])
        elif self.blocks:
            raise InputError("blocks must have kernels to begin with; got 0 kernels")
        else:
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

    def _stages(self, planes: Array) -> Array:
        """The residual blocks, ``[S, n, m, kernels]`` to ``[S, n', m', C']``, and a last relu."""
        if not self.blocks:
            return nn.relu(planes)
        for stage, blocks in enumerate(self.blocks):
            for block in range(blocks):
                stride = 2 if stage and not block else 1
                layer = ResidualBlock(self.kernels << stage, stride, self.dtype, name=f"block_{stage + 1}_{block + 1}")
                planes = layer(planes)
        return nn.relu(group_norm(planes, "norm"))


def _planes(glimpse: Array, scales: int, contrast: bool) -> tuple[Array, Array]:
    """What kernels read of a glimpse, ``[G, G, S, C]``, and the luminance of each scale in a row, if it is apart."""
    channels = glimpse.shape[-1]
    parts = 3 * scales if contrast else scales
    if channels % parts:
        raise InputError(f"channels must be a multiple of {parts} to be read by kernels; got {channels}")
    planes = glimpse.reshape(*glimpse.shape[:2], scales, channels // scales)
    apart = channels // parts if contrast else 0
    planes, luminance = jnp.split(planes, [channels // scales - apart], axis=-1)
    return planes, luminance[0, 0].reshape(-1)
