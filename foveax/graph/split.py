"""Splits a graph in two: an environment, and the agent that acts in it."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from foveax._types import Array, Key, Params
from foveax.graph.compile import apply_module, arriving_at, feed_back, initial, loop_values, read
from foveax.graph.graph import Graph, glimpse_keys, module_key
from foveax.graph.modules import State, Values
from foveax.graph.ports import GraphError


class EnvironmentState(NamedTuple):
    """Where an episode stands: what the rest of this glimpse, and the next ones, need.

    Attributes:
      key: of the episode, from which each module's own are split as in the compiled graph.
      glimpse: int32, from 0.
      inputs: the graph's own, of the example looked at.
      states: of the modules, after those of this glimpse that do not wait for the action.
      values: what these gave, by module and port.
      fed_back: what was fed back from the glimpse before, by the ports that it enters.
    """

    key: Key
    glimpse: Array
    inputs: Values
    states: dict[str, State]
    values: dict[str, Values]
    fed_back: dict[tuple[str, str], Any]


class Step(NamedTuple):
    """What an environment answers.

    Attributes:
      observation: by the agent's input ports, without ``reward``.
      reward: float32 ``[]``, for the action before; 0 at a reset.
      terminated: bool ``[]``, whether this was the last glimpse.
      info: the recorded ports of this glimpse, by ``"module.port"``.
    """

    observation: dict[str, Array]
    reward: Array
    terminated: Array
    info: dict[str, Array]


class Environment(NamedTuple):
    """A graph without its agent: pure functions for one episode of T - 1 actions, to be jitted, vmapped and scanned.

    Attributes:
      reset: ``(key, params, inputs) -> (state, step)``: the first glimpse, of the example that `inputs` hold by name.
      step: ``(state, action, params) -> (state, step)``: ends this glimpse with the agent's action, and takes the next.
        `action` holds a value for each port in the attribute `action`. Not to be called after the last glimpse.
      observation: shape and dtype of each part of an observation.
      action: shape and dtype of each port that leaves the agent, such as ``fixation``.
      length: T.
    """

    reset: Callable[[Key, Mapping[str, Params], Values], tuple[EnvironmentState, Step]]
    step: Callable[[EnvironmentState, Values, Mapping[str, Params]], tuple[EnvironmentState, Step]]
    observation: dict[str, jax.ShapeDtypeStruct]
    action: dict[str, jax.ShapeDtypeStruct]
    length: int


class Player(NamedTuple):
    """The agent of a split graph.

    Attributes:
      init: ``(key) -> params``, the same as in the whole graph.
      begin: ``() -> state`` before the first glimpse.
      act: ``(params, state, step, key) -> (outputs, state)``: all that the agent gives, among it what
        `Environment.action` names. The key is that of the saccade (`saccade_keys`), or None for the usual action.
    """

    init: Callable[[Key], Params]
    begin: Callable[[], State]
    act: Callable[[Params, State, Step, Key | None], tuple[Values, State]]


def split(graph: Graph, agent: str = "saccader", *, record: tuple[str, ...] = ()) -> tuple[Environment, Player]:
    """Cuts a graph at the border of an agent: the links into it are the observation, those out of it the action.

    Rolling one against the other with the keys of the compiled graph gives its trajectory; but an agent that reads its
    reward to act is told 0 before its first action. A glimpse is run in two parts: what does not wait for the action,
    up to the observation, and what does, which begins the next step.

    Args:
      graph: any graph that could be built.
      agent: the name of the agent's module; other agents stay in the environment, and act there by themselves.
      record: ports that `Step.info` holds, as ``"module.port"``, none of which may wait for the action.

    Raises:
      GraphError: if there is no such agent, or a port to record does not exist or waits for the action.

    Example:
      >>> import foveax as fx, jax, jax.numpy as jnp
      >>> graph = fx.standard_pipeline(fx.Model(), fx.image_source((28, 28, 1)), classes=10)
      >>> environment, player = fx.split(graph, record=("classifier.correct",))
      >>> params = fx.init(graph, jax.random.key(0))
      >>> inputs = {"image": jnp.zeros((28, 28, 1), jnp.uint8), "label": jnp.int32(3), "progress": jnp.float32(1)}
      >>> state, seen = environment.reset(jax.random.key(1), params, inputs)
      >>> seen.observation["observation"].shape, bool(seen.terminated)
      ((256,), False)
      >>> state, seen = environment.step(state, {"fixation": jnp.array([0.2, 0.8])}, params)
      >>> int(state.glimpse), sorted(seen.info)
      (1, ['classifier.correct'])
    """
    modules = [name for name, module in graph.modules.items() if module.agent]
    if agent not in modules:
        raise GraphError(f"agent must be one of the graph's agents, {', '.join(modules) or 'none'}; got {agent!r}")
    waiting = downstream(graph, agent)
    first = [name for name in graph.wiring.order if name not in waiting]
    rest = [name for name in graph.wiring.order if name in waiting and name != agent]
    ready = [f"{name}.{port}" for name in (*first, "loop") for port in graph.wiring.outputs[name]]
    for port in record:
        if port not in ready:
            raise GraphError(f"a port to record must not wait for the action: {port!r} is not among {', '.join(ready)}")

    def look(key: Key, index: Array, inputs: Values, states: Any, fed_back: Any, params: Any) -> Any:
        """The part of a glimpse that does not wait for the action, and what the agent is told of it."""
        keys = _keys_at(graph, first, key, index)
        values: dict[str, Values] = {"input": inputs, "loop": loop_values(index, graph.length)}
        for name in first:
            values[name], states[name] = apply_module(graph, name, params, states, values, fed_back, keys)
        arriving = arriving_at(graph, agent, values, fed_back)
        reward = jnp.where(index > 0, arriving.pop("reward", 0.0), 0.0).astype(jnp.float32)
        info = {port: read(values, port) for port in record}
        seen = {name: values[name] for name in first}
        last = index == graph.length - 1
        return EnvironmentState(key, index, inputs, states, seen, fed_back), Step(arriving, reward, last, info)

    def reset(key: Key, params: Mapping[str, Params], inputs: Values) -> tuple[EnvironmentState, Step]:
        begun, fed_back = initial(graph, without=agent)
        return look(key, jnp.int32(0), inputs, begun, fed_back, params)

    def step(state: EnvironmentState, action: Values, params: Mapping[str, Params]) -> tuple[EnvironmentState, Step]:
        keys = _keys_at(graph, rest, state.key, state.glimpse)
        loop = loop_values(state.glimpse, graph.length)
        values: dict[str, Values] = {"input": state.inputs, "loop": loop, **state.values, agent: action}
        states = dict(state.states)
        for name in rest:
            values[name], states[name] = apply_module(graph, name, params, states, values, state.fed_back, keys)
        return look(state.key, state.glimpse + 1, state.inputs, states, feed_back(graph, values), params)

    outputs = graph.wiring.outputs[agent]
    acting = {source.port for name in graph.modules for source in graph.wiring.sources[name].values()
              if source.module == agent}  # fmt: skip
    observed = {port: spec for port, spec in graph.wiring.inputs[agent].items() if port != "reward"}
    environment = Environment(reset, step, observed, {port: outputs[port] for port in sorted(acting)}, graph.length)
    return environment, _player(graph, agent)


def saccade_keys(graph: Graph, key: Key, agent: str = "saccader") -> Key:
    """The agent's keys of a rollout, ``[T]``, one per glimpse, as the compiled graph splits them from its key."""
    return glimpse_keys(graph, key, agent)


def _player(graph: Graph, agent: str) -> Player:
    module = graph.modules[agent]
    inputs = graph.wiring.inputs[agent]

    def act(params: Params, state: State, step: Step, key: Key | None) -> tuple[Values, State]:
        fed = {"reward": step.reward} if "reward" in inputs else {}
        apply = module.agent.mode if key is None and module.agent else module.apply
        return apply(params, state, {**step.observation, **fed}, key)

    return Player(
        init=lambda key: module.init(module_key(key, agent), inputs),
        begin=lambda: module.begin(inputs),
        act=act,
    )


def downstream(graph: Graph, agent: str) -> set[str]:
    """The agent, and the modules that wait for its action within a glimpse."""
    waiting = {agent}
    for name in graph.wiring.order:
        now = (source.module for source in graph.wiring.sources[name].values() if source.initial is None)
        if waiting.intersection(now):
            waiting.add(name)
    return waiting


def _keys_at(graph: Graph, names: list[str], key: Key, index: Array) -> dict[str, Key]:
    """The keys of the random modules among these at a glimpse."""
    random = [name for name in names if graph.modules[name].random]
    return {name: glimpse_keys(graph, key, name)[index] for name in random}
