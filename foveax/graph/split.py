"""Splits a graph in two: an environment, and the modules that act in it."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from foveax._types import Array, InputError, Key, Params
from foveax.graph.compile import (
    Trajectory,
    arriving_at,
    begin,
    check_values,
    own_values,
    recorded_ports,
    remembered,
    select,
)
from foveax.graph.graph import Graph, Source, glimpse_keys, loop_values, module_key, parse_port, waiting_for
from foveax.graph.modules import State, Values
from foveax.graph.ports import GraphError

Ports = dict[str, Any]
"""Values, or their shapes and dtypes, by module and port."""


class EpisodeState(NamedTuple):
    """Where an episode stands: what the rest of this glimpse, and the next ones, need.

    Attributes:
      key: of the episode, from which each module's own are split as in the compiled graph.
      glimpse: int32, from 0.
      inputs: the graph's own, of the example looked at.
      states: of the modules in the environment, after those of this glimpse that do not wait for the action.
      values: what these gave, by module and port.
      memory: as it is read at this glimpse.
    """

    key: Key
    glimpse: Array
    inputs: Values
    states: dict[str, State]
    values: Ports
    memory: dict[str, Array]


class TimeStep(NamedTuple):
    """What an environment answers.

    Attributes:
      observation: what enters the modules that act, by module and port.
      reward: float32 ``[]`` by agent, for the action before; 0 at a reset.
      terminated: bool ``[]``, whether this is the last glimpse.
      info: the recorded ports, by module and port: of this glimpse, or of the one that the action has ended where they
        wait for the action; zeros at a reset.
    """

    observation: Ports
    reward: dict[str, Array]
    terminated: Array
    info: Trajectory


class Environment(NamedTuple):
    """A graph without some of its modules: pure functions for one episode, to be jitted, vmapped and scanned.

    Attributes:
      reset: ``(key, params, inputs, progress=1.0) -> (state, time_step)``: the first glimpse, of the example that
        `inputs` hold by name.
      step: ``(state, action, params, progress=1.0) -> (state, time_step)``: ends this glimpse with the action, and
        begins the next. `action` holds a value for each port in the attribute `action`. An episode has T - 1 actions;
        one more, after the last glimpse, ends that glimpse: only `TimeStep.info` then has a meaning.
      observation: shape and dtype of what enters the modules that act.
      action: shape and dtype of what they give to the others, such as ``{"saccader": {"fixation": float32[2]}}``.
      length: the number of glimpses T.
    """

    reset: Callable[..., tuple[EpisodeState, TimeStep]]
    step: Callable[..., tuple[EpisodeState, TimeStep]]
    observation: Ports
    action: Ports
    length: int


class Actor(NamedTuple):
    """A module that acts in the environment of a split graph.

    Attributes:
      init: ``(key) -> params``, the same as in the whole graph.
      begin: ``() -> state`` before the first glimpse.
      act: ``(params, state, observation, key) -> (outputs, state)``: all that the module gives, among it its part of
        the action. The observation is the actor's own, by port; the key that of its glimpse (`actor_keys`), or None for
        the mode of an agent's policy.
    """

    init: Callable[[Key], Params]
    begin: Callable[[], State]
    act: Callable[[Params, State, Values, Key | None], tuple[Values, State]]


def split(graph: Graph, *names: str, record: tuple[str, ...] = ()) -> tuple[Environment, dict[str, Actor]]:
    """Cuts a graph at the border of some modules: links into them are the observation, those out of them the action.

    The modules become actors, by name; rolled against the environment with the keys of the compiled graph, they give
    its trajectory. A glimpse is run in two parts: what does not wait for the action, up to the observation, and what
    does, which begins the next step.

    Args:
      graph: to be cut.
      names: of the modules to cut out; by default all agents. Agents that are not named stay in the environment, and
        act there by themselves.
      record: ports that `TimeStep.info` holds, as ``"module.port"`` or ``"memory.name"``.

    Raises:
      GraphError: if there is no such module, a port to record does not exist or belongs to one that is cut out, or one
        of the modules waits for another of them within a glimpse.

    Example:
      >>> import foveax as fx, jax, jax.numpy as jnp
      >>> graph = fx.standard_pipeline(fx.load("mnist5k"))
      >>> environment, actors = fx.split(graph, record=("decision.correct",))
      >>> params = fx.init(graph, jax.random.key(0))
      >>> inputs = {"image": jnp.zeros((28, 28, 1), jnp.uint8), "label": jnp.int32(3)}
      >>> state, time_step = environment.reset(jax.random.key(1), params, inputs)
      >>> time_step.observation["saccader"]["observation"].shape, bool(time_step.terminated)
      ((256,), False)
      >>> action = {"saccader": {"fixation": jnp.array([0.2, 0.8])}}
      >>> state, time_step = environment.step(state, action, params)
      >>> int(state.glimpse), time_step.info["decision"]["correct"].shape
      (1, ())
    """
    names = names or tuple(graph.agents)
    for name in names:
        if not isinstance(name, str) or name not in graph.modules:
            raise GraphError(f"no module {name!r} to split off; modules are {', '.join(graph.modules)}")
    waiting = waiting_for(graph.wiring, names)
    recorded = recorded_ports(graph, record)
    _check_split(graph, names, waiting, recorded)
    first = [name for name in graph.wiring.order if name not in waiting]
    rest = [name for name in graph.wiring.order if name in waiting and name not in names]
    now, ended = ([source for source in recorded if (source.module in rest) == late] for late in (False, True))
    rewards = {name: parse_port(agent.reward) for name in names if (agent := graph.modules[name].agent)}

    def run(modules: list[str], state: EpisodeState, values: Ports, params: Mapping[str, Params]) -> dict[str, State]:
        """Applies some of the modules of a glimpse, and adds what they give to the values."""
        states = dict(state.states)
        for name in modules:
            module = graph.modules[name]
            key = glimpse_keys(graph, state.key, name)[state.glimpse] if module.random else None
            arriving = arriving_at(graph, name, values)
            outputs, states[name] = module.apply(params.get(name, {}), states[name], arriving, key)
            values[name] = dict(outputs)
        return states

    def own(state: EpisodeState, progress: Array | float) -> Ports:
        loop = loop_values(graph, state.glimpse, progress)
        return {**own_values(graph, state.inputs, None), "loop": loop, "memory": state.memory}

    def look(
        state: EpisodeState, params: Mapping[str, Params], progress: Array | float, after: Trajectory
    ) -> tuple[EpisodeState, TimeStep]:
        """The part of a glimpse that does not wait for the action."""
        values = own(state, progress)
        states = run(first, state, values, params)
        paid = {name: values[port.module][port.port] for name, port in rewards.items()}
        reward = {name: jnp.where(state.glimpse > 0, value, 0.0) for name, value in paid.items()}
        info = {**select(values, now), **after}  # a module's ports are all of one part of the glimpse
        observation = {name: arriving_at(graph, name, values) for name in names}
        state = state._replace(states=states, values={name: values[name] for name in first})
        return state, TimeStep(observation, reward, state.glimpse == graph.length - 1, info)

    def reset(
        key: Key, params: Mapping[str, Params], inputs: Values, progress: Array | float = 1.0
    ) -> tuple[EpisodeState, TimeStep]:
        states, memory = begin(graph, inputs, without=names)
        specs = select(graph.wiring.outputs, ended)
        zeros = jax.tree.map(lambda spec: jnp.zeros(spec.shape, spec.dtype), specs)
        return look(EpisodeState(key, jnp.int32(0), inputs, states, {}, memory), params, progress, zeros)

    def step(
        state: EpisodeState, action: Ports, params: Mapping[str, Params], progress: Array | float = 1.0
    ) -> tuple[EpisodeState, TimeStep]:
        _check_action(action, select(graph.wiring.outputs, acting_ports(graph, names)))
        values = {**own(state, progress), **state.values, **action}
        states = run(rest, state, values, params)
        memory = remembered(graph, values)
        state = state._replace(glimpse=state.glimpse + 1, states=states, memory=memory)
        return look(state, params, progress, select(values, ended))

    observation = {name: dict(graph.wiring.inputs[name]) for name in names}
    action = {name: {} for name in names} | select(graph.wiring.outputs, acting_ports(graph, names))
    environment = Environment(reset, step, observation, action, graph.length)
    return environment, {name: _actor(graph, name) for name in names}


def actor_keys(graph: Graph, key: Key, name: str) -> Key:
    """An actor's keys of a rollout, ``[T]``, one per glimpse, as the compiled graph splits them from its key."""
    return glimpse_keys(graph, key, name)


def acting_ports(graph: Graph, names: tuple[str, ...]) -> list[Source]:
    """The ports by which some modules act: those that other modules or the memory read, in order of their names."""
    wiring = graph.wiring
    links = [source for name in graph.modules if name not in names for source in wiring.sources[name].values()]
    return sorted({source for source in (*links, *wiring.writes.values()) if source.module in names})


def _check_split(graph: Graph, names: tuple[str, ...], waiting: set[str], recorded: list[Source]) -> None:
    if not names:
        raise GraphError("the modules to split off must be named in a graph without agents; got none")
    for name in names:
        for other in sorted(waiting_for(graph.wiring, [name]).intersection(names) - {name}):
            raise GraphError(f"modules that are split off must act at once; {other!r} waits for {name!r}")
        agent = graph.modules[name].agent
        if agent and parse_port(agent.reward).module in waiting:
            reason = f"wait for an action of the same glimpse; {agent.reward} does"
            raise GraphError(f"the reward of {name!r} must not {reason}")
    for source in recorded:
        if source.module in names:
            raise GraphError(f"a port to record must belong to the environment; {source} is the action's own")


def _check_action(action: Ports, specs: Ports) -> None:
    for name, ports in specs.items():
        missing = [port for port in ports if port not in action.get(name, {})]
        if missing:
            raise InputError(f"an action must hold {name}.{missing[0]}; it holds {', '.join(action) or 'nothing'}")
        check_values(f"the action of {name!r}", action[name], ports)


def _actor(graph: Graph, name: str) -> Actor:
    module = graph.modules[name]
    inputs = graph.wiring.inputs[name]

    def act(params: Params, state: State, observation: Values, key: Key | None) -> tuple[Values, State]:
        apply = module.agent.mode if key is None and module.agent else module.apply
        return apply(params, state, observation, key)

    return Actor(lambda key: module.init(module_key(key, name), inputs), lambda: module.begin(inputs), act)
