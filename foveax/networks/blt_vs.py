"""BLT-VS: areas of the ventral stream with a bottom-up and a top-down stream each, in two orders of updating."""

import functools
import math
from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from foveax._types import Array
from foveax.networks.areas import Connection, Norm

SPARE = 100
"""Channels of the read-out beside the classes, which speak to the area below alone."""


class Stage(NamedTuple):
    """Channels of an area; the side of its kernels for images of 224 and of 128 pixels, and their stride."""

    channels: int
    kernels: tuple[int, int]
    stride: int


STAGES = {
    "retina": Stage(32, (7, 5), 2),
    "lgn": Stage(32, (7, 3), 2),
    "v1": Stage(576, (5, 3), 2),
    "v2": Stage(480, (1, 1), 1),
    "v3": Stage(352, (5, 3), 1),
    "v4": Stage(256, (3, 3), 1),
    "loc": Stage(352, (3, 3), 2),
}
READOUT = ((5, 3), 2)
"""As of a `Stage`."""
LATERAL = (5, 3)
SKIP_UP, SKIP_DOWN = (7, 5), (3, 3)
"""Sides of lateral kernels, and of those from V1 up to V4 and from V4 down to V1."""


class StreamStates(NamedTuple):
    """What the network keeps from step to step.

    Attributes:
      up: bottom-up states ``[H, W, C]``, by area.
      down: top-down states, by area, the read-out among them.
      present: bool, by area, whether it has been active at all.
      step: int32, the steps so far.
      logits: of the last step with a read-out, ``[K]``.
    """

    up: dict[str, Array]
    down: dict[str, Array]
    present: dict[str, Array]
    step: Array
    logits: Array


class TwoStreamArea(nn.Module):
    """An area whose two streams gate each other.

    ``up = norm(relu(B + L_up + S_up) 2 sigmoid(T + S_down))`` and ``down = norm(relu(T + L_down + S_down) 2 sigmoid(B +
    S_up))``: B is a convolution of what lies below, T the adjoint of one, of the stream from above, L of the stream's
    own last state, S of an area further away. What is not there is left out; without anything in it a gate is 1.

    Attributes:
      channels: of both streams.
      kernel: side of the kernels of B.
      stride: of B.
      above: side and stride of the kernels of T, those of the area above; none without T.
      lateral: side of the kernels of L, for each channel, before a product at each place; 0 without L. The top-down
        stream has one if there is T.
      skip_up: side of the kernels of S_up, in groups, before a product at each place; 0 without.
      skip_down: of S_down.
    """

    channels: int
    kernel: int
    stride: int
    above: tuple[int, int] | None = None
    lateral: int = 0
    skip_up: int = 0
    skip_down: int = 0

    @nn.compact
    def __call__(self, inputs: Mapping[str, Array], present: Mapping[str, Any]) -> tuple[Array, Array]:
        """Both streams from ``below``, ``up``, ``down``, ``above``, ``skip_up``, ``skip_down``, and which are there."""
        drives = {"below": Connection(self.channels, self.kernel, self.stride, name="bottom_up")(inputs["below"])}
        rows, columns = drives["below"].shape[:2]
        if self.above:
            connection = Connection(self.channels, *self.above, name="top_down")
            drives["above"] = connection(inputs["above"], size=(rows, columns))
        others = {"up": self.lateral, "skip_up": self.skip_up, "skip_down": self.skip_down}
        others |= {"down": self.lateral} if self.above else {}
        for name, kernel in others.items():
            if kernel:
                source = inputs[name]
                groups = math.gcd(source.shape[-1], self.channels)
                grouped = Connection(self.channels, kernel, groups=groups, name=f"{name}_groups")(source)
                drives[name] = Connection(self.channels, 1, name=f"{name}_places")(grouped)
        drives = {name: jnp.where(present[name], drive, jnp.zeros_like(drive)) for name, drive in drives.items()}

        def stream(name: str, driven: tuple[str, ...], gated: tuple[str, ...]) -> Array:
            nothing = jnp.zeros_like(drives["below"])
            total = nn.relu(sum((drives[source] for source in driven if source in drives), nothing))
            gates = [source for source in gated if source in drives]
            if gates:
                is_gated = jnp.stack([jnp.asarray(present[source]) for source in gates]).any()
                gain = 2 * nn.sigmoid(sum(drives[source] for source in gates))
                total *= jnp.where(is_gated, gain, jnp.ones_like(gain))
            return Norm("group", name=f"{name}_norm")(total, 0)

        up = stream("up", ("below", "up", "skip_up"), ("above", "skip_down"))
        return up, stream("down", ("above", "down", "skip_down"), ("below", "skip_up"))


class Readout(nn.Module):
    """A convolution whose mean over places are the logits, and which speaks to the area below."""

    classes: int
    kernel: int
    stride: int
    spare: int = SPARE

    @nn.compact
    def __call__(self, planes: Array) -> tuple[Array, Array]:
        """The bottom-up state below to logits ``[K]`` and a top-down state."""
        output = Connection(self.classes + self.spare, self.kernel, self.stride, name="readout")(planes)
        return output.mean((0, 1))[: self.classes], Norm("group", name="down_norm")(nn.relu(output), 0)


class BLTVS(nn.Module):
    """Retina, LGN, V1 to V4, LOC and a read-out with lateral, top-down and skip connections (Kietzmann Lab 2024).

    Unrolled as in biology, a step updates all areas at once from what they were, each as soon as anything but itself
    reaches it; the read-out is reached at the fifth step. Otherwise a step is a sweep up, which updates the bottom-up
    streams, and a sweep down, which updates the top-down streams. Images are in [-1, 1].

    Attributes:
      classes: K.
      unroll: bio or sweeps.
      internal_steps: steps at each call; 12 and 6 as published.
      large: kernels for images of 224 pixels, else for those of 128.
      stages: the areas, by name.
      lateral: whether there are lateral connections.
      top_down: whether there are top-down connections from area to area.
      skips: whether there are connections from V1 to V4, and from V4 to V1.
      skip_as_published: in sweeps, the one from V4 to V1 is offered to V4, which has no weights for it: it is idle.
      weighted: whether ``logits`` are a mean over the read-outs with learned weights, or those of the last step.
      spare: channels of the read-out beside the classes.
      dtype: of the computation; parameters and logits are float32.
    """

    classes: int = 1000
    unroll: Literal["bio", "sweeps"] = "sweeps"
    internal_steps: int = 6
    large: bool = True
    stages: tuple[tuple[str, Stage], ...] = tuple(STAGES.items())
    lateral: bool = True
    top_down: bool = True
    skips: bool = True
    skip_as_published: bool = True
    weighted: bool = False
    spare: int = SPARE
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, carry: StreamStates, glimpse: Array) -> tuple[StreamStates, dict[str, Array]]:
        """One glimpse ``[H, W, C]``: the next carry; ``logits`` ``[K]``, and those of each step, ``[steps, K]``.

        ``hidden`` is the mean over places of the last area's bottom-up state, ``[C]``; ``NAME_up_by_step`` and
        ``NAME_down_by_step`` are an area's states, ``[steps, H, W, C]``.
        """
        areas = {name: self._area(name) for name, _ in self.stages}
        kernels, stride = READOUT
        readout = Readout(self.classes, self._side(kernels), stride, self.spare, name="readout")
        sweeps = functools.partial(_sweeps, repaired=not self.skip_as_published)
        step = _bio_step if self.unroll == "bio" else sweeps
        image, history = glimpse.astype(self.dtype), []
        for _ in range(self.internal_steps):
            carry = step(carry, image, areas, readout)
            history.append(carry)
        by_step = {
            f"{name}_{stream}_by_step": jnp.stack([getattr(states, stream)[name] for states in history])
            for stream in ("up", "down")
            for name in getattr(carry, stream)
        }
        by_step |= {"logits_by_step": jnp.stack([states.logits for states in history])}
        logits = carry.logits
        if self.weighted:
            first = 4 if self.unroll == "bio" else 0
            weights = self.param("readout_weights", nn.initializers.ones, (self.internal_steps - first,))
            logits = jax.nn.softmax(weights).astype(self.dtype) @ by_step["logits_by_step"][first:]
        hidden = carry.up[self.stages[-1][0]].mean((0, 1))
        return carry, {"logits": logits, "hidden": hidden, **by_step}

    @nn.nowrap
    def _side(self, kernels: tuple[int, int]) -> int:
        return kernels[0] if self.large else kernels[1]

    @nn.nowrap
    def _area(self, name: str) -> TwoStreamArea:
        stages, (kernels, stride) = dict(self.stages), READOUT
        stage, names = stages[name], list(stages)
        if name != names[-1]:
            _, kernels, stride = stages[names[names.index(name) + 1]]
        return TwoStreamArea(
            stage.channels,
            self._side(stage.kernels),
            stage.stride,
            above=(self._side(kernels), stride) if self.top_down and name != "retina" else None,
            lateral=self._side(LATERAL) if self.lateral and name not in ("retina", "lgn") else 0,
            skip_up=self._side(SKIP_UP) if self.skips and name == "v4" else 0,
            skip_down=self._side(SKIP_DOWN) if self.skips and name == "v1" else 0,
            name=name,
        )

    @nn.nowrap
    def initialize_carry(self, rng: jax.Array, input_shape: tuple[int, ...]) -> StreamStates:
        """The carry before the first step: no area is active."""
        (rows, columns), states = input_shape[:2], {}
        for name, stage in self.stages:
            rows, columns = -(-rows // stage.stride), -(-columns // stage.stride)
            states[name] = jnp.zeros((rows, columns, stage.channels), self.dtype)
        above = jnp.zeros((-(-rows // READOUT[1]), -(-columns // READOUT[1]), self.classes + self.spare), self.dtype)
        down = {**states, "readout": above}
        present = {name: jnp.bool_(False) for name in down}
        return StreamStates(states, down, present, jnp.int32(0), jnp.zeros(self.classes, self.dtype))


Areas = Mapping[str, TwoStreamArea]


def _given(carry: StreamStates, name: str, below: Array, above: Array) -> dict[str, Array]:
    """An area's inputs by name; those of areas further away are there for all, and read by two."""
    return {
        "below": below,
        "up": carry.up[name],
        "down": carry.down[name],
        "above": above,
        "skip_up": carry.up["v1"],
        "skip_down": carry.down["v4"],
    }


def _bio_step(carry: StreamStates, image: Array, areas: Areas, readout: Readout) -> StreamStates:
    """All areas at once, from what they were; an area from the moment when anything but itself reaches it."""
    names = [*areas, "readout"]
    up, down, present = dict(carry.up), dict(carry.down), dict(carry.present)
    for number, name in enumerate(areas):
        area, above = areas[name], names[number + 1]
        is_there = {
            "below": carry.present[names[number - 1]] if number else jnp.bool_(True),
            "up": carry.present[name],
            "down": carry.present[name],
            "above": carry.present[above],
            "skip_up": carry.present["v1"],
            "skip_down": carry.present["v4"],
        }
        below = carry.up[names[number - 1]] if number else image
        streams = area(_given(carry, name, below, carry.down[above]), is_there)
        sources = [is_there["below"], *([is_there["above"]] if area.above else [])]
        sources += [is_there[skip] for skip in ("skip_up", "skip_down") if getattr(area, skip)]
        active = jnp.stack(sources).any()
        for states, stream in ((up, streams[0]), (down, streams[1])):
            states[name] = jnp.where(active, stream, states[name])
        present[name] = present[name] | active
    last = names[-2]
    logits, top_down = readout(up[last])
    down["readout"] = jnp.where(present[last], top_down, carry.down["readout"])
    present["readout"] = present[last]
    logits = jnp.where(present[last], logits, carry.logits)
    return StreamStates(up, down, present, carry.step + 1, logits)


def _sweeps(carry: StreamStates, image: Array, areas: Areas, readout: Readout, repaired: bool) -> StreamStates:
    """Bottom-up streams from the image on, then top-down streams from the read-out back."""
    names, there = [*areas, "readout"], jnp.bool_(True)
    up, down = dict(carry.up), dict(carry.down)
    nothing = dict.fromkeys(("below", "up", "down", "above", "skip_up", "skip_down"), jnp.bool_(False))
    below = image
    for number, name in enumerate(areas):
        above = names[number + 1]
        is_there = nothing | {
            "below": there,
            "up": carry.present[name],
            "above": carry.present[above],
            "skip_up": there,
        }
        given = _given(carry._replace(up=up), name, below, carry.down[above]) | {"up": carry.up[name]}
        below = up[name] = areas[name](given, is_there)[0]
    logits, down["readout"] = readout(below)
    for number, name in reversed(list(enumerate(areas))):
        above = names[number + 1]
        is_there = nothing | {"below": there, "down": carry.present[name], "above": there}
        is_there["skip_down"] = jnp.bool_(repaired)
        given = _given(carry._replace(up=up, down=down), name, up[names[number - 1]] if number else image, down[above])
        down[name] = areas[name](given | {"down": carry.down[name]}, is_there)[1]
    return StreamStates(up, down, jax.tree.map(jnp.ones_like, carry.present), carry.step + 1, logits)
