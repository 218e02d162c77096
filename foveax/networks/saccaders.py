"""Saccaders: policies over the next fixation, with a value head, that read a layer of the classifier."""

import functools
import math
from typing import Any, Literal, NamedTuple, cast

import flax.linen as nn
import jax
import jax.numpy as jnp

from foveax._types import Array, InputError, Key, Params
from foveax.graph.modules import Agent, Module, State, Values, zeros_like
from foveax.graph.ports import FLOATS, POINT, Port
from foveax.learning import policies
from foveax.networks.cells import Core, initial_carry, recurrent_core
from foveax.networks.encoders import fourier_features

Deviation = Literal["fixed", "scheduled", "learned"]

GOLDEN_ANGLE = math.pi * (3 - math.sqrt(5))


class Heads(NamedTuple):
    """What a saccader's network gives: ``location`` ``[2]``, ``log_deviation`` ``[2]`` (learned), ``value`` ``[]``."""

    location: Array
    log_deviation: Array
    value: Array


def sunflower(key: Key, shape: tuple[int, ...], dtype: Any = jnp.float32, *, radius: float) -> Array:
    """Points spread evenly over a disc, turned at random: an initializer of shape ``(T, 2)``, the last row unused.

    Point k of the T - 1 lies at the radius ``radius sqrt((k + 1/2) / (T - 1))``, each a golden angle, 2.4 rad, on from
    the one before (Vogel 1979, Mathematical Biosciences 44).

    Args:
      key: of the turn.
      shape: ``(T, 2)``.
      dtype: of the result.
      radius: of the disc.

    Example:
      >>> import jax
      >>> points = sunflower(jax.random.key(0), (6, 2), radius=1.0)
      >>> [round(float(distance), 2) for distance in (points[:5] ** 2).sum(-1)]
      [0.1, 0.3, 0.5, 0.7, 0.9]
    """
    order = jnp.arange(shape[0], dtype=jnp.float32)
    angle = 2 * jnp.pi * jax.random.uniform(key) + GOLDEN_ANGLE * order
    distance = radius * jnp.sqrt((order + 0.5) / max(shape[0] - 1, 1))
    return (distance[:, None] * jnp.stack([jnp.cos(angle), jnp.sin(angle)], axis=-1)).astype(dtype)


class SaccadeNetwork(nn.Module):
    """A layer of relu units, optionally a recurrent core, and the heads.

    The location is the sum of what the layer says and of a *sequence*, one place per glimpse, that does not depend on
    the input. The layer's part starts near zero; the sequence starts spread over the image (`sunflower`). Without it
    all saccades of a rollout start at one place, are drawn by the first one's reward to where that first saccade should
    go, and the classifier never learns to read any other.

    Attributes:
      hidden: units of the layer, and of the core.
      core: ``None``, or the recurrent core between layer and heads: a memory of the saccader's own.
      initial_deviation: where the learned deviation begins.
      initial_spread: radius of the initial sequence, before the squash.
      dtype: of the hidden computation; the heads are float32.
    """

    hidden: int = 128
    core: Core | None = None
    initial_deviation: float = 1.0
    initial_spread: float = 1.6
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, carry: Any, observed: Array, time: Array | None = None) -> tuple[Any, Heads]:
        """What the saccader reads, ``[D]``, and the glimpse as one-hot ``[T]``, to the next carry and the heads."""
        layer = nn.relu(nn.Dense(self.hidden, dtype=self.dtype, name="layer")(observed))
        if self.core:
            carry, layer = recurrent_core(self.core, self.hidden, self.dtype)(carry, layer)
        layer = layer.astype(jnp.float32)
        location = nn.Dense(2, kernel_init=nn.initializers.normal(0.01), name="location")(layer)
        if time is not None:
            spread = functools.partial(sunflower, radius=self.initial_spread)
            location += nn.Dense(2, use_bias=False, kernel_init=spread, name="sequence")(time)
        value = nn.Dense(1, name="value")(layer)[0]
        initial = nn.initializers.constant(jnp.log(self.initial_deviation))
        return carry, Heads(location, self.param("log_deviation", initial, (2,), jnp.float32), value)

    @nn.nowrap
    def initialize_carry(self) -> Any:
        """The carry before the first glimpse: zeros, or nothing without a core."""
        return initial_carry(self.core, self.hidden, self.dtype) if self.core else ()


def saccader(
    network: SaccadeNetwork | None = None,
    *,
    deviation: Deviation = "fixed",
    start: float = 1.0,
    end: float = 1.0,
    bands: int = 2,
    pathwise: float = 0.0,
) -> Module:
    """A saccader that learns: a squashed Gaussian over the next fixation (`foveax.learning.policies`).

    Inputs: ``observation`` ``[D]``, a layer of the classifier, and ``reward``; if linked, the current fixation at
    ``position`` and the glimpse at ``time``, which it then reads too, and ``progress``, the share of training done,
    which a scheduled deviation needs. Outputs: ``fixation`` ``[2]``, where to look next; ``aim`` ``[2]``, where it
    would look without exploration; and its experience (`foveax.graph.Agent`): ``action``, ``log_prob``, ``entropy``,
    ``value``, ``reward``, and what it read.

    Args:
      network: by default a `SaccadeNetwork` of 128 units.
      deviation: of the Gaussian, before the squash: ``"fixed"`` at `start`; ``"scheduled"`` from `start` to `end`
        (`scheduled_deviation`); ``"learned"`` from `start`, the same for all inputs.
      start: more than 0.
      end: more than 0.
      bands: Fourier frequencies of the position.
      pathwise: the weight of the gradient that the classifier's losses send through the fixation.

    Raises:
      InputError: if a deviation is not positive, or is scheduled without a link to ``progress``.
    """
    if not all(isinstance(given, jax.Array) or given > 0 for given in (start, end)):
        raise InputError(f"deviation must be more than 0; got {start} to {end}")
    net = network or SaccadeNetwork(initial_deviation=start)

    def spread(heads: Heads, progress: Array) -> Array:
        if deviation == "learned":
            return jnp.exp(heads.log_deviation)
        now = policies.scheduled_deviation(start, end, progress) if deviation == "scheduled" else start
        return jnp.full(2, now, jnp.float32)

    def judge(params: Params, state: State, action: Array | None, inputs: Values, key: Key | None) -> tuple[Any, State]:
        """Outputs for the action given; without one, for a sample, or for the mode if there is no key either."""
        state, heads = cast(tuple[State, Heads], net.apply(params, state, inputs["observed"], inputs.get("time")))
        scale = spread(heads, inputs["progress"])
        if action is None:
            action = heads.location if key is None else policies.sample(key, heads.location, scale)
        executed = jax.lax.stop_gradient(action)
        noise = jax.lax.stop_gradient((action - heads.location) / scale)
        moved = heads.location + scale * noise  # the action, as it moves with the policy, whoever drew it
        return {
            "fixation": policies.squash(action),
            "aim": policies.squash(heads.location),
            "action": executed,
            "log_prob": policies.log_prob(executed, heads.location, scale),
            "entropy": policies.entropy(moved, heads.location, scale),
            "value": heads.value,
        }, state

    def init(key: Key, inputs: Values) -> Params:
        zeros = zeros_like(inputs)
        return net.init(key, net.initialize_carry(), observe(zeros, bands), zeros.get("time"))

    def apply(params: Params, state: State, inputs: Values, key: Key | None) -> tuple[Values, State]:
        kept = {port: inputs[port] for port in ("reward", "time") if port in inputs}
        experience = {**kept, "observed": observe(inputs, bands), "progress": _progress(inputs, deviation)}
        outputs, state = judge(params, state, None, experience, key)
        return {**outputs, **experience}, state

    def mode(params: Params, state: State, inputs: Values, key: Key | None) -> tuple[Values, State]:
        del key
        return apply(params, state, inputs, None)

    def evaluate(params: Params, state: State, outputs: Values) -> tuple[Values, State]:
        return judge(params, state, outputs["action"], outputs, None)

    return Module(
        inputs=INPUTS,
        apply=apply,
        init=init,
        begin=lambda inputs: net.initialize_carry(),
        random=True,
        agent=Agent(evaluate=evaluate, mode=mode, pathwise=pathwise),
    )


INPUTS = {
    "observation": Port(("D",), FLOATS),
    "reward": Port((), (jnp.float32,)),
    "position": POINT._replace(required=False),
    "time": Port(("T",), (jnp.float32,), required=False),
    "progress": Port((), (jnp.float32,), required=False),
}


def observe(inputs: Values, bands: int) -> Array:
    """All that a saccader reads, as one vector of the observation's dtype."""
    parts = [inputs["observation"]]
    if "position" in inputs:
        parts.append(fourier_features(inputs["position"], bands=bands))
    if "time" in inputs:
        parts.append(inputs["time"])
    return jnp.concatenate([part.astype(parts[0].dtype) for part in parts])


def _progress(inputs: Values, deviation: Deviation) -> Array:
    if "progress" in inputs:
        return inputs["progress"]
    if deviation == "scheduled":
        raise InputError('a scheduled deviation needs the link "input.progress -> saccader.progress"')
    return jnp.zeros(())
