"""One area of a convolutional recurrent network: driven from below, by its own last state, and from above."""

from typing import Any, Literal

import flax.linen as nn
import jax
import jax.numpy as jnp

from foveax._types import Array
from foveax.networks.residual import windows

Drive = Literal["bottom_up", "lateral", "top_down"]


def convolve(planes: Array, kernel: Array, *, stride: int = 1, groups: int = 1) -> Array:
    """Cross-correlation with an odd kernel, zeros around: ``[H, W, C]``, ``[k, k, C / groups, D]`` to ``[h, w, D]``.

    ``(k - 1) / 2`` zeros on each of the four sides, whatever the stride s, so that ``h = ceil(H / s)``.

    Example:
      >>> import jax.numpy as jnp
      >>> convolve(jnp.ones((4, 4, 1)), jnp.ones((3, 3, 1, 1)), stride=2)[..., 0].tolist()
      [[4.0, 6.0], [6.0, 9.0]]
    """
    reach = kernel.shape[0] // 2
    return _correlate(planes, kernel, [(reach, reach)] * 2, window_strides=(stride, stride), feature_group_count=groups)


def convolve_up(planes: Array, kernel: Array, *, stride: int, size: tuple[int, int]) -> Array:
    """The adjoint of `convolve` at some stride: ``[h, w, C]``, ``[k, k, C, D]`` to ``[*size, D]``.

    Places are spread with zeros between and correlated with the kernel, which is the one of the adjoint turned by 180
    degrees. `size` is one that `convolve` takes to ``[h, w]``.
    """
    reach = kernel.shape[0] // 2
    extra = [side - (stride * (places - 1) + 1) for side, places in zip(size, planes.shape[:2], strict=True)]
    padding = [(reach, reach + more) for more in extra]
    return _correlate(planes, kernel, padding, window_strides=(1, 1), lhs_dilation=(stride, stride))


def _correlate(
    planes: Array,
    kernel: Array,
    padding: list[tuple[int, int]],
    *,
    window_strides: tuple[int, int],
    lhs_dilation: tuple[int, int] = (1, 1),
    feature_group_count: int = 1,
) -> Array:
    kernel = kernel.astype(planes.dtype)

    def convolution(planes: Array, kernel: Array) -> Array:
        return jax.lax.conv_general_dilated(
            planes[None],
            kernel,
            window_strides,
            padding,
            lhs_dilation,
            dimension_numbers=("NHWC", "HWIO", "NHWC"),
            feature_group_count=feature_group_count,
        )[0]

    def product(planes: Array, kernel: Array) -> Array:
        spread = [(low, high, gap - 1) for (low, high), gap in zip(padding, lhs_dilation, strict=True)]
        spread = jax.lax.pad(planes, jnp.zeros((), planes.dtype), [*spread, (0, 0, 0)])
        side, stride = kernel.shape[0], window_strides[0]
        rows, columns = ((length - side) // stride + 1 for length in spread.shape[:2])
        read = windows(spread, size=side, stride=stride)[:rows, :columns]
        return jnp.tensordot(read, kernel.reshape(-1, kernel.shape[-1]), 1)

    if feature_group_count > 1:
        return convolution(planes, kernel)
    # a processor takes tens of times as long for a convolution within a loop, as trainings are
    return jax.lax.platform_dependent(planes, kernel, cpu=product, default=convolution)


class Connection(nn.Module):
    """A convolution, or where a `size` is given its adjoint (`convolve_up`), and its bias.

    Attributes:
      channels: of the output.
      kernel: its side, odd.
      stride: of the convolution, or of that whose adjoint it is.
      groups: into which the channels are divided.
      bias: whether there is one for each channel.
    """

    channels: int
    kernel: int = 3
    stride: int = 1
    groups: int = 1
    bias: bool = True

    @nn.compact
    def __call__(self, planes: Array, size: tuple[int, int] | None = None) -> Array:
        """``[H, W, C]`` to ``[ceil(H / stride), ..., channels]``, or to ``[*size, channels]``."""
        shape = (self.kernel, self.kernel, planes.shape[-1] // self.groups, self.channels)
        kernel = self.param("kernel", nn.initializers.glorot_uniform(), shape, jnp.float32)
        if size is None:
            output = convolve(planes, kernel, stride=self.stride, groups=self.groups)
        else:
            output = convolve_up(planes, kernel, stride=self.stride, size=size)
        if not self.bias:
            return output
        bias = self.param("bias", nn.initializers.zeros, (self.channels,), jnp.float32)
        return output + bias.astype(planes.dtype)[None, None]


class Norm(nn.Module):
    """Normalises an area's activity ``[H, W, C]``, with scales and biases.

    ``(x - mean) / sqrt(variance + epsilon) * scale + bias``. Mean and variance are of all places and channels (layer
    and group), or of each channel over all places, in training over those of the batch as well (batch); scales are one
    for each place and channel (layer), or for each channel.

    Attributes:
      kind: layer, group or batch.
      epsilon: of the variance.
      steps: more than 1 gives each step, up to this many, its own scales, biases and running values.
      momentum: of the running values, which take the place of the batch's unless it trains.
      train: whether it does.
      axis: the name of the axis along which a batch is mapped, if it is.
    """

    kind: Literal["layer", "group", "batch"]
    epsilon: float = 1e-5
    steps: int = 1
    momentum: float = 0.9
    train: bool = False
    axis: str | None = None

    @nn.compact
    def __call__(self, planes: Array, step: Any) -> Array:
        """Normalises at a step; steps count from 0."""
        shape = planes.shape if self.kind == "layer" else planes.shape[-1:]
        whole = shape if self.steps == 1 else (self.steps, *shape)
        at = () if self.steps == 1 else (jnp.minimum(step, self.steps - 1),)
        scale = self.param("scale", nn.initializers.ones, whole, jnp.float32)[at]
        bias = self.param("bias", nn.initializers.zeros, whole, jnp.float32)[at]
        values = planes.astype(at_least_float32(planes.dtype))
        if self.kind == "batch":
            mean, variance = self._moments(values, whole, at)
        else:
            mean = values.mean()
            variance = jnp.square(values - mean).mean()
        along = (None,) * (3 - len(shape))
        even = (values - _spread(mean)) * jax.lax.rsqrt(_spread(variance) + self.epsilon)
        return (even * scale[along] + bias[along]).astype(planes.dtype)

    def _moments(self, values: Array, whole: tuple[int, ...], at: tuple) -> tuple[Array, Array]:
        """Mean and variance of each channel: the running ones or, while it trains, those of the batch."""
        means = self.variable("batch_stats", "mean", jnp.zeros, whole, jnp.float32)
        variances = self.variable("batch_stats", "variance", jnp.ones, whole, jnp.float32)
        if not self.train:
            return means.value[at], variances.value[at]

        def over_batch(value: Array) -> Array:
            return value if self.axis is None else jax.lax.pmean(value, self.axis)

        mean = over_batch(values.mean((0, 1)))
        variance = over_batch(jnp.square(values - _spread(mean)).mean((0, 1)))
        count = values.shape[0] * values.shape[1] * (1 if self.axis is None else jax.lax.axis_size(self.axis))
        if not self.is_initializing():
            for stored, value in ((means, mean), (variances, variance * (count / (count - 1)))):
                updated = self.momentum * stored.value[at] + (1 - self.momentum) * value
                stored.value = stored.value.at[at].set(updated)
        return mean, variance


def at_least_float32(dtype: Any) -> Any:
    """The dtype of means, variances and logits."""
    return dtype if jnp.dtype(dtype).itemsize > 4 else jnp.float32


def _spread(value: Array) -> Array:
    """One number, or one for each channel, so that it fits ``[H, W, C]``."""
    return value if value.ndim == 0 else value[None, None]


class Area(nn.Module):
    """An area at one step: ``h = relu(norm(b + l + t))``, or ``h = relu(norm(b (1 + l + t)))``.

    b is a convolution of what lies below at the same step, l of the area's own state at the step before, t the adjoint
    of a convolution, of the state above at the step before; letters B, L and T after Spoerer et al. 2017
    (https://doi.org/10.3389/fpsyg.2017.01551).

    Attributes:
      channels: of the area.
      kernel: side of all its kernels.
      stride: of b.
      pool: whether what lies below is first reduced by the maximum over 2 x 2.
      average: whether it is first averaged over all places.
      bottom_up: whether b is a convolution; without, it is what lies below itself.
      lateral: whether there is l.
      depthwise: whether l is a convolution of each channel by itself, and then a product at each place.
      above: the channels of the area above, of half as many places along each axis, if there is t; else 0, and it is
        given no state from above.
      combine: whether l and t are added to b, or multiply it.
      bias: whether the connections have biases.
      norm: of the area, or none.
      norm_of: whether the norm is of the sum, or each drive has its own.
      steps: as of `Norm`.
      epsilon: as of `Norm`.
      momentum: as of `Norm`.
      from_zeros: whether a state of zeros is read before the first step, with the biases of its connection. Else a
        connection adds nothing as long as there is no state.
      idle: drives whose parameters there are, and which are not used, as some published networks have them; with
        ``"sum"``, also the norm of the sum where each drive has its own.
      train: as of `Norm`.
      axis: as of `Norm`.
    """

    channels: int
    kernel: int = 3
    stride: int = 1
    pool: bool = False
    average: bool = False
    bottom_up: bool = True
    lateral: bool = False
    depthwise: bool = False
    above: int = 0
    combine: Literal["add", "multiply"] = "add"
    bias: bool = False
    norm: Literal["layer", "group", "batch", "none"] = "layer"
    norm_of: Literal["sum", "each"] = "sum"
    steps: int = 1
    epsilon: float = 1e-5
    momentum: float = 0.9
    from_zeros: bool = False
    idle: tuple[Drive | Literal["sum"], ...] = ()
    train: bool = False
    axis: str | None = None

    @nn.compact
    def __call__(self, below: Array, own: Array, above: Array | None, step: Any) -> Array:
        """What lies below, the area's state, the state above and the number of the step, to the area's next state."""
        below = nn.max_pool(below, (2, 2), (2, 2)) if self.pool else below
        below = below.mean((0, 1), keepdims=True) if self.average else below
        drives: dict[Drive, Array] = {"bottom_up": below}
        if self.bottom_up:
            drives["bottom_up"] = self._connection("bottom_up", stride=self.stride)(below)
        if self.lateral and self.depthwise:
            own = self._connection("each_channel", groups=self.channels)(own)
            drives["lateral"] = self._connection("lateral", kernel=1)(own)
        elif self.lateral:
            drives["lateral"] = self._connection("lateral")(own)
        if above is not None:
            rows, columns = own.shape[:2]
            drives["top_down"] = self._connection("top_down", stride=2)(above, size=(rows, columns))
        if self.norm_of == "each":
            drives = {name: self._norm(f"{name}_norm", idle=name in self.idle)(drives[name], step) for name in drives}
        terms = {name: drive for name, drive in drives.items() if name not in self.idle}
        bottom_up = terms.pop("bottom_up")
        if not self.from_zeros:
            terms = {name: jnp.where(step > 0, drive, jnp.zeros_like(drive)) for name, drive in terms.items()}
        total = bottom_up * sum(terms.values(), 1) if self.combine == "multiply" else sum(terms.values(), bottom_up)
        if self.norm != "none" and (self.norm_of == "sum" or "sum" in self.idle):
            even = self._norm("norm", idle="sum" in self.idle)(total, step)
            total = even if self.norm_of == "sum" else total
        return nn.relu(total)

    @nn.nowrap
    def _connection(self, name: str, **changes: Any) -> Connection:
        options = {"kernel": self.kernel, "bias": self.bias, **changes}
        return Connection(self.channels, name=name, **options)

    @nn.nowrap
    def _norm(self, name: str, *, idle: bool) -> Norm:
        assert self.norm != "none"
        train = self.train and not idle
        return Norm(self.norm, self.epsilon, self.steps, self.momentum, train, self.axis, name=name)

    @nn.nowrap
    def places(self, rows: int, columns: int) -> tuple[int, int]:
        """The rows and columns of the area over so many of what lies below."""
        if self.average:
            return 1, 1
        shrink = 2 if self.pool else 1
        return -(-(rows // shrink) // self.stride), -(-(columns // shrink) // self.stride)

    @property
    def is_steady(self) -> bool:
        """Whether the area is the same at each step of one image, if what lies below is: it hears no state."""
        feedback = (self.lateral and "lateral" not in self.idle) or (self.above and "top_down" not in self.idle)
        return not feedback and not self.train and self.steps == 1
