"""Convolutional recurrent networks of areas, step by step, over one image or over one glimpse after another."""

from typing import Any, Literal, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from foveax._types import Array
from foveax.networks.areas import Area, at_least_float32
from foveax.retina.crop import as_float

Letters = Literal["B", "BL", "BT", "BLT"]


class AreaStates(NamedTuple):
    """What a network of areas keeps from step to step.

    Attributes:
      areas: the state of each area ``[H, W, C]``, by name.
      step: int32, the steps so far.
      total: the sum of the logits of the steps so far, ``[K]``.
    """

    areas: dict[str, Array]
    step: Array
    total: Array


class RecurrentConvolutional(nn.Module):
    """Areas, one above the other, and a linear read-out of K logits from the last, reduced over its places.

    A step goes from the first area to the last: each hears the one below as it is at this step, itself and the one
    above as they were at the step before. Given one glimpse after another it makes `internal_steps` steps with each,
    from where the last one has left it; given an image, all its steps at once.

    Attributes:
      areas: names and areas, from the image on.
      classes: K.
      internal_steps: steps at each call.
      bias: whether the read-out has one.
      cumulative: whether ``logits`` are the sum over all steps so far, or those of the last step.
      over_places: whether the read-out is from the mean of the last area over its places, or from the maximum.
      dtype: of the computation; parameters and logits are float32.
    """

    areas: tuple[tuple[str, Area], ...]
    classes: int
    internal_steps: int = 1
    bias: bool = True
    cumulative: bool = False
    over_places: Literal["mean", "max"] = "mean"
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, carry: AreaStates, glimpse: Array) -> tuple[AreaStates, dict[str, Array]]:
        """One glimpse ``[H, W, C]``: the next carry; ``logits`` ``[K]``, and those of each step, ``[steps, K]``.

        ``hidden`` is the mean or maximum over places of the last area, ``[C]``; ``NAME_by_step`` are an area's states,
        ``[steps, H, W, C]``.
        """
        areas = [area.clone(parent=self, name=name) for name, area in self.areas]
        names = [name for name, _ in self.areas]
        readout = nn.Dense(self.classes, use_bias=self.bias, dtype=self.dtype, name="readout")
        image = (as_float(glimpse) if jnp.issubdtype(glimpse.dtype, jnp.integer) else glimpse).astype(self.dtype)
        constant = _leading([area.is_steady for area in areas])
        history, logits, hidden = [], [], jnp.zeros(())
        for index in range(self.internal_steps):
            states, below = {}, image
            for number, (name, area) in enumerate(zip(names, areas, strict=True)):
                if index and number < constant:  # what no state drives is the same at each step
                    below = states[name] = history[-1][name]
                    continue
                above = self._above(area, carry, number)
                below = states[name] = area(below, carry.areas[name], above, carry.step)
            hidden = below.mean((0, 1)) if self.over_places == "mean" else below.max((0, 1))
            readout_logits = readout(hidden).astype(at_least_float32(self.dtype))
            carry = AreaStates(states, carry.step + 1, carry.total + readout_logits)
            history.append(states)
            logits.append(readout_logits)
        by_step = {f"{name}_by_step": jnp.stack([states[name] for states in history]) for name in names}
        last = carry.total if self.cumulative else logits[-1]
        return carry, {"logits": last, "hidden": hidden, "logits_by_step": jnp.stack(logits), **by_step}

    @nn.nowrap
    def _above(self, area: Area, carry: AreaStates, number: int) -> Array | None:
        """The state that an area hears from above, if it listens; the last one zeros, for ever."""
        if not area.above:
            return None
        if number + 1 < len(self.areas):
            return carry.areas[self.areas[number + 1][0]]
        own = carry.areas[self.areas[number][0]]
        return jnp.zeros((-(-own.shape[0] // 2), -(-own.shape[1] // 2), area.above), own.dtype)

    @nn.nowrap
    def initialize_carry(self, rng: jax.Array, input_shape: tuple[int, ...]) -> AreaStates:
        """The carry before the first step: zeros."""
        states, (rows, columns) = {}, input_shape[:2]
        for name, area in self.areas:
            rows, columns = area.places(rows, columns)
            states[name] = jnp.zeros((rows, columns, area.channels), self.dtype)
        total = jnp.zeros(self.classes, at_least_float32(self.dtype))
        return AreaStates(states, jnp.int32(0), total)


def _leading(values: list[bool]) -> int:
    """How many at the beginning are true."""
    return next((number for number, value in enumerate(values) if not value), len(values))


def ccn23(
    letters: Letters = "BLT",
    *,
    classes: int = 100,
    combine: Literal["add", "multiply"] = "add",
    channels: tuple[int, int, int, int, int] = (32, 64, 128, 256, 512),
    kernel: int = 3,
    norm: bool = True,
    only_last: bool = False,
    internal_steps: int = 10,
    bias: bool = False,
) -> RecurrentConvolutional:
    """Retina, V1, V2, V4, IT and a pooled area, as published as *BLT-pytorch-CCN23* (Kietzmann Lab 2023).

    Each area but the retina is normalised over all its places and channels at once, with a scale and a bias for each,
    so that a network is made for images of one size: 64 x 64 as published, or 128 x 128 with kernels of 5. V1 is never
    given a state, and its lateral and top-down weights are idle.

    Args:
      letters: B without, L with lateral, T with top-down connections.
      classes: K.
      combine: whether lateral and top-down drives are added, or multiply.
      channels: of retina, V1, V2, V4, IT; from V1 on each must have twice those below for T.
      kernel: side of all kernels.
      norm: without, connections have biases.
      only_last: lateral connections in the pooled area alone.
      internal_steps: steps at each call.
      bias: whether the read-out has one.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> network = ccn23(channels=(4, 4, 8, 16, 32), classes=10, internal_steps=3)
      >>> image = jnp.zeros((32, 32, 3))
      >>> carry = network.initialize_carry(jax.random.key(0), image.shape)
      >>> params = network.init(jax.random.key(0), carry, image)
      >>> network.apply(params, carry, image)[1]["logits_by_step"].shape
      (3, 10)
    """
    retina, *deeper = channels
    lateral, top_down = "L" in letters and not only_last, "T" in letters and not only_last
    shared: dict[str, Any] = {"combine": combine, "bias": not norm, "norm": "layer" if norm else "none"}
    areas = [("retina", Area(retina, kernel, bias=True, norm="none"))]
    for number, name in enumerate(("v1", "v2", "v4", "it")):
        above = deeper[number + 1] if top_down and number < 3 else 0
        idle: tuple = () if number else ("lateral", "top_down")
        own = Area(deeper[number], kernel, pool=number > 0, lateral=lateral, above=above, idle=idle, **shared)
        areas.append((name, own))
    pooled = Area(deeper[-1], 1, average=True, bottom_up=False, lateral="L" in letters or only_last, **shared)
    return RecurrentConvolutional((*areas, ("gap", pooled)), classes, internal_steps, bias)


def spoerer2017(
    letters: Letters = "BLT",
    *,
    classes: int = 10,
    features: int = 32,
    kernel: int = 3,
    layers: int = 2,
    internal_steps: int = 4,
    train: bool = False,
    axis: str | None = None,
) -> RecurrentConvolutional:
    """Two layers that hear themselves and each other, after Spoerer et al. 2017, as *CAR_torch* has them (Ernst 2021).

    Each drive has its own batch norm, shared by all steps; states begin as zeros, which are sent through the
    connections, and the last layer hears zeros from above for ever. All parameters are there whatever the letters, and
    a norm that nothing uses: 47,402 with the defaults and images of one channel. The local response norm of the paper
    is switched off. Training by batch statistics (`train`, over the mapped `axis`) is for loops of one's own: a graph
    keeps none.

    Example:
      >>> spoerer2017("BL").areas[0][1].idle
      ('top_down', 'sum')
    """
    idle: tuple = tuple(name for name, letter in (("lateral", "L"), ("top_down", "T")) if letter not in letters)
    options: dict[str, Any] = {"lateral": True, "above": features, "bias": True, "norm": "batch", "norm_of": "each"}
    options |= {"from_zeros": True, "idle": (*idle, "sum"), "train": train, "axis": axis}
    areas = [(f"layer_{number}", Area(features, kernel, pool=number > 0, **options)) for number in range(layers)]
    return RecurrentConvolutional(tuple(areas), classes, internal_steps)


def layered(
    letters: Letters = "BLT",
    *,
    classes: int = 10,
    filters: tuple[int, ...] = (32, 32),
    kernel: int = 3,
    internal_steps: int = 4,
    norm: Literal["group", "layer", "none"] = "group",
    cumulative: bool = False,
    dtype: Any = jnp.float32,
) -> RecurrentConvolutional:
    """Layers with 2 x 2 pools between them, B, BL, BT or BLT, that a graph takes: the design of Spoerer et al. 2017.

    Read out from the maximum over places, as published (https://doi.org/10.3389/fpsyg.2017.01551). Each layer is
    normalised over all its places and channels, in place of the local response norm of the paper. Its controls with
    larger kernels (B-K: 5) and more features (B-F: 64) are ``"B"`` with other arguments.

    Args:
      letters: B without, L with lateral, T with top-down connections.
      classes: K.
      filters: channels of each layer.
      kernel: side of all kernels.
      internal_steps: steps at each call.
      norm: with a scale and a bias for each channel (group), or for each channel and place (layer), or none.
      cumulative: as of `RecurrentConvolutional`.
      dtype: likewise.

    Example:
      >>> [area.above for _, area in layered("BT").areas]
      [32, 0]
    """
    areas = []
    for number, channels in enumerate(filters):
        above = filters[number + 1] if "T" in letters and number + 1 < len(filters) else 0
        bias = norm == "none"
        area = Area(channels, kernel, pool=number > 0, lateral="L" in letters, above=above, bias=bias, norm=norm)
        areas.append((f"layer_{number}", area))
    options: dict[str, Any] = {"cumulative": cumulative, "over_places": "max", "dtype": dtype}
    return RecurrentConvolutional(tuple(areas), classes, internal_steps, **options)


SAT_FILTERS = (96, 128, 192, 256, 512, 1024, 2048)
SAT_KERNELS = (7, 5, 3, 3, 3, 3, 1)
SAT_WIDE_KERNELS = (11, 7, 5, 5, 5, 5, 3)


def rcnn_sat(
    variant: Literal["B", "BL", "B-K", "B-F", "B-D"] = "BL",
    *,
    classes: int = 1000,
    filters: tuple[int, ...] = SAT_FILTERS,
    kernels: tuple[int, ...] = SAT_KERNELS,
    internal_steps: int = 8,
    cumulative: bool = True,
    train: bool = False,
    axis: str | None = None,
) -> RecurrentConvolutional:
    """Seven layers with lateral connections, and their feed-forward controls, after *rcnn-sat* (Spoerer et al. 2020).

    A batch norm of its own for each layer and step (https://doi.org/10.1371/journal.pcbi.1008215). Controls have one
    step: B without lateral connections, B-K with larger kernels, B-F with twice the filters, B-D with each layer twice.

    Example:
      >>> [name for name, _ in rcnn_sat("B-D").areas][:4]
      ['layer_0', 'layer_0b', 'layer_1', 'layer_1b']
    """
    steps = internal_steps if variant == "BL" else 1
    kernels = SAT_WIDE_KERNELS if variant == "B-K" else kernels
    filters = tuple(2 * number for number in filters) if variant == "B-F" else filters
    shared: dict[str, Any] = {"norm": "batch", "steps": steps, "epsilon": 1e-3, "momentum": 0.99}
    shared |= {"lateral": variant == "BL", "train": train, "axis": axis}
    areas = []
    for number, (channels, kernel) in enumerate(zip(filters, kernels, strict=True)):
        areas.append((f"layer_{number}", Area(channels, kernel, pool=number > 0, **shared)))
        if variant == "B-D":
            areas.append((f"layer_{number}b", Area(channels, kernel, **shared)))
    return RecurrentConvolutional(tuple(areas), classes, steps, cumulative=cumulative)
