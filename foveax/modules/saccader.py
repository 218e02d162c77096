"""The saccader as a module: an agent that chooses where to look next."""

from typing import Any, Literal, cast, get_args

import jax
import jax.numpy as jnp

from foveax._checked import in_line
from foveax._types import Array, InputError, Key, Params
from foveax.graph.modules import Agent, Factor, Module, State, Values, zeros_like
from foveax.graph.ports import FLOATS, POINT, Port
from foveax.learning.policies import Policy, scheduled_scale, squashed_gaussian
from foveax.modules.flax import from_linen, stateless
from foveax.networks.encoders import fourier_features, index_features
from foveax.networks.saccaders import Activation, Heads, Perceptron, SaccadeNetwork, Squash

Exploration = Literal["fixed", "scheduled", "learned"]
INPUTS = {
    "observation": Port(("D",), FLOATS),
    "glimpse": Port(("H", "W", "C"), FLOATS, required=False),
    "position": POINT._replace(required=False),
    "index": Port((), (jnp.int32,), required=False),
    **dict.fromkeys(("progress", "scale_start", "scale_end"), Port((), (jnp.float32,), required=False)),
}


def saccader(
    network: Any = None,
    policy: Policy | None = None,
    *,
    exploration: Exploration = "fixed",
    scale_start: float = 1.0,
    scale_end: float = 1.0,
    bands: int = 2,
    reward: str = "reward.reward",
    pathwise: Factor = 0.0,
) -> Module:
    """A saccader that learns: a policy over the next fixation (`foveax.learning.policies`).

    Inputs: ``observation`` ``[D]``, such as a layer of the classifier; and if linked, the ``glimpse`` itself
    ``[H, W, C]``, the current fixation ``position`` and the number of the glimpse ``index``, which it then reads too;
    the share of training done ``progress``, which a scheduled scale needs; ``scale_start`` and ``scale_end``, which
    take the place of the numbers given here.
    Outputs: ``fixation`` ``[2]``, where to look next; ``mode`` ``[2]``, where it would look without exploration; its
    experience (`foveax.graph.modules.Agent`): ``action``, ``log_prob``, ``entropy``, ``value``; and what it read.

    Args:
      network: a flax linen cell, ``(carry, observed [D], index) -> (carry, Heads)``; by default a `SaccadeNetwork`.
      policy: by default a `squashed_gaussian`.
      exploration: the policy's scale: ``"fixed"`` at `scale_start`; ``"scheduled"`` from `scale_start` to `scale_end`
        (`scheduled_scale`); ``"learned"`` from the network's own initial scale, the same for all inputs.
      scale_start: more than 0.
      scale_end: more than 0.
      bands: Fourier frequencies of the position.
      reward: the port that pays it, as ``"module.port"``.
      pathwise: the weight of the gradient that losses send through the fixation (`foveax.graph.modules.Agent`).

    Raises:
      InputError: if an argument is of another kind, a scale is not positive, or is scheduled without a link to
        ``progress``, or a policy that is relative to the present fixation has no link to ``position``.

    Example:
      >>> import foveax as fx
      >>> eye = fx.saccader(policy=fx.grid_categorical(7))
      >>> eye.agent.reward, eye.random
      ('reward.reward', True)
    """
    if not (scale_start > 0 and scale_end > 0):
        raise InputError(f"scale must be more than 0; got {scale_start} to {scale_end}")
    if exploration not in get_args(Exploration):
        raise InputError(f"exploration must be one of {', '.join(get_args(Exploration))}; got {exploration!r}")
    policy = squashed_gaussian() if policy is None else policy
    if not isinstance(policy, Policy):
        raise InputError(f"policy must be a Policy, such as squashed_gaussian(); got {in_line(policy)}")
    net = network or SaccadeNetwork(policy.size, initial=policy.initial, initial_scale=scale_start)

    def scale_of(heads: Heads, experience: Values) -> Array:
        if exploration == "learned":
            return jnp.exp(heads.log_scale)
        start, end = experience.get("scale_start", scale_start), experience.get("scale_end", scale_end)
        now = scheduled_scale(start, end, experience["progress"]) if exploration == "scheduled" else start
        return jnp.full(2, now, jnp.float32)

    def judge(params: Params, state: State, action: Array | None, read: Values, key: Key | None) -> tuple[Any, State]:
        """Outputs for the action given; without one, for a sample, or for the mode if there is no key either."""
        with stateless(net):
            state, heads = cast(tuple[State, Heads], net.apply(params, state, read["observed"], read.get("index")))
        scale, usual = scale_of(heads, read), policy.mode(heads.policy)
        position = read.get("position", jnp.full(2, 0.5, jnp.float32))
        if action is None:
            action = usual if key is None else policy.sample(key, heads.policy, scale)
        executed = jax.lax.stop_gradient(action)
        return {
            "fixation": policy.fixation(action, position),
            "mode": policy.fixation(usual, position),
            "action": executed,
            "log_prob": policy.log_prob(executed, heads.policy, scale, position),
            "entropy": policy.entropy(action, heads.policy, scale, position),
            "value": heads.value,
        }, state

    def observed(inputs: Values) -> dict[str, Any]:
        """What the network reads in place of the parts that it is made of."""
        read = {**inputs, "observed": _observed(inputs, bands)}
        return {name: value for name, value in read.items() if name not in ("observation", "glimpse")}

    def begin(inputs: Values) -> State:
        return net.initialize_carry(jax.random.key(0), inputs["observation"].shape)

    def init(key: Key, inputs: Values) -> Params:
        if exploration == "scheduled" and "progress" not in inputs:
            raise InputError("a scheduled scale needs a link from loop.progress to the saccader's port progress")
        if policy.relative and "position" not in inputs:
            raise InputError("a relative policy needs a link from the gaze to the saccader's port position")
        zeros = zeros_like(inputs)
        return net.init(key, begin(inputs), _observed(zeros, bands), zeros.get("index"))

    def apply(params: Params, state: State, inputs: Values, key: Key | None) -> tuple[Values, State]:
        read = observed(inputs)
        outputs, state = judge(params, state, None, read, key)
        return {**outputs, **read}, state

    def mode(params: Params, state: State, inputs: Values, key: Key | None) -> tuple[Values, State]:
        return apply(params, state, inputs, None)

    def follow(params: Params, state: State, inputs: Values, fixation: Array) -> tuple[Values, State]:
        if policy.action is None:
            raise InputError("a policy must say by which action it looks at a place (Policy.action); this one does not")
        position = inputs.get("position", jnp.full(2, 0.5, jnp.float32))
        action, read = policy.action(fixation, position), observed(inputs)
        outputs, state = judge(params, state, action, read, None)
        cells = policy.size if jnp.issubdtype(action.dtype, jnp.integer) else 1  # a mass, of cells of one size
        density = outputs["log_prob"] + jnp.log(jnp.float32(cells))
        return {**outputs, **read, "fixation": fixation, "log_density": density}, state

    def evaluate(params: Params, state: State, outputs: Values) -> tuple[Values, State]:
        return judge(params, state, outputs["action"], outputs, None)

    agent = Agent(evaluate, mode, reward, pathwise, policy.reach, follow)
    return Module(INPUTS, apply, init, begin, random=True, agent=agent)


def perceptron_saccader(hidden: tuple[int, ...], *, activation: Activation, squash: Squash) -> Module:
    """A saccader that does not learn: the `Perceptron` of another library's policy, which takes its mode.

    Inputs: ``observation`` ``[D]`` and, if linked, ``position`` ``[2]`` and ``index`` (int32). Outputs: ``fixation``
    ``[2]``, and each layer by its name.
    """
    return from_linen(Perceptron(hidden, activation, squash), ports=INPUTS)


def _observed(inputs: Values, bands: int) -> Array:
    """All that a saccader's network reads, as one vector of the observation's dtype."""
    parts = [inputs["observation"]]
    if "glimpse" in inputs:
        parts.append(inputs["glimpse"].reshape(-1))
    if "position" in inputs:
        parts.append(fourier_features(inputs["position"], bands=bands))
    if "index" in inputs:
        parts.append(index_features(inputs["index"]))
    return jnp.concatenate([part.astype(parts[0].dtype) for part in parts])
