"""A learner for one agent alone, on episodes that were played elsewhere."""

import functools
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from foveax._types import Array, InputError, Key, Metrics, Params
from foveax.graph.graph import Graph, module_key
from foveax.learning.hyperparameters import LearningConfig
from foveax.learning.ppo import with_credit
from foveax.training.collectives import averaged, gathered
from foveax.training.learner import (
    bonus_at,
    check_steps,
    is_finite,
    later_epochs,
    make_optimizer,
    progress_at,
    replayed_loss,
    update,
)


class AgentState(NamedTuple):
    """What an agent's learner needs next: its parameters, optax's state, and the steps taken."""

    params: Params
    optimizer: Any
    step: Array


class AgentLearner(NamedTuple):
    """Two pure functions: `init(key) -> state` and `step(state, experience) -> (state, metrics)`.

    Experience holds what `Actor.act` gave in each episode, ``[B, T - 1, ...]`` by port, and the ``reward`` that
    followed each action.
    """

    init: Callable[[Key], AgentState]
    step: Callable[[AgentState, Mapping[str, Array]], tuple[AgentState, Metrics]]


def make_agent_learner(graph: Graph, learning: LearningConfig, *, steps: int, agent: str) -> AgentLearner:
    """The learner of an agent that `foveax.split` cuts from a graph, for episodes that were played elsewhere.

    A step is that of `foveax.make_learner` for the agent alone: given the same experience it makes the same update, but
    that no pathwise gradient reaches the agent; `learning.epochs` passes are made over each batch. If the loss or a
    gradient of one is not finite, only the step is counted. Metrics are the agent's terms there. Learning rate and
    entropy bonus fall along the `steps`.

    Raises:
      InputError: if the graph has no such agent, or `steps` is no whole number, at least 1.

    Example:
      >>> import foveax as fx, jax, jax.numpy as jnp
      >>> graph = fx.standard_pipeline(fx.load("mnist5k"))
      >>> environment, actors = fx.split(graph)
      >>> learner = fx.make_agent_learner(graph, fx.LearningConfig(), steps=100, agent="saccader")
      >>> state, actor = learner.init(jax.random.key(0)), actors["saccader"]
      >>> inputs = {"image": jnp.zeros((28, 28, 1), jnp.uint8), "label": jnp.int32(3)}
      >>> _, time_step = environment.reset(jax.random.key(1), fx.init(graph, jax.random.key(0)), inputs)
      >>> outputs, _ = actor.act(state.params, actor.begin(), time_step.observation["saccader"], jax.random.key(2))
      >>> experience = {**outputs, "reward": jnp.float32(1)}
      >>> experience = jax.tree.map(lambda value: jnp.broadcast_to(value, (8, 5, *value.shape)), experience)
      >>> state, metrics = learner.step(state, experience)
      >>> sorted(metrics)
      ['entropy', 'kl', 'policy_loss', 'value_loss']
    """
    if agent not in graph.agents:
        raise InputError(f"agent must be one of the graph's agents, {', '.join(graph.agents) or 'none'}; got {agent!r}")
    check_steps(steps)
    module, inputs = graph.modules[agent], graph.wiring.inputs[agent]
    hyper = learning.hyperparameters(dict(graph.hyperparameters))
    optimizer = make_optimizer(module, learning, hyper, steps=steps)

    def init(key: Key) -> AgentState:
        params = module.init(module_key(key, agent), inputs)
        return AgentState(params, optimizer.init(params), jnp.zeros((), jnp.int32))

    def step(state: AgentState, experience: Mapping[str, Array]) -> tuple[AgentState, Metrics]:
        episodes = with_credit(experience, hyper, normalize=learning.normalize, gather=gathered)
        bonus = bonus_at(hyper, progress_at(state.step, steps), learning)
        again = functools.partial(replayed_loss, module, inputs)
        given = episodes, hyper, bonus
        (loss, metrics), grads = averaged(jax.value_and_grad(again, has_aux=True)(state.params, *given))
        params, moments = update(optimizer, grads, state.optimizer, state.params)
        made = is_finite(loss, {agent: grads})
        if learning.epochs > 1:
            first = params, moments, made
            params, moments, made = later_epochs(again, optimizer, *first, given, epochs=learning.epochs - 1)
            metrics = averaged(again(params, *given)[1])  # once more, after the last update
        after = state._replace(params=params, optimizer=moments)
        state = jax.tree.map(functools.partial(jnp.where, made), after, state)
        return state._replace(step=state.step + 1), metrics

    return AgentLearner(jax.jit(init), step)
