"""How an agent learns from what it did: its loss over a batch of episodes, and a learner for one played elsewhere."""

import functools
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from foveax._types import Array, InputError, Key, Metrics, Params
from foveax.graph.graph import Graph, module_key
from foveax.graph.modules import Agent, Values
from foveax.learning.losses import approximate_kl, clipped_surrogate_loss, reinforce_loss, value_loss
from foveax.learning.returns import discounted_returns, generalized_advantages
from foveax.training.config import Learning
from foveax.training.optimizers import is_finite, make_optimizer, update
from foveax.training.shards import averaged, gathered


class AgentState(NamedTuple):
    """What an agent's learner needs next: its parameters, optax's state, and the steps taken."""

    params: Params
    optimizer: Any
    step: Array


class AgentLearner(NamedTuple):
    """Two pure functions: `init(key) -> state` and `step(state, experience) -> (state, metrics)`.

    Experience holds what `Player.act` gave in each episode, ``[B, T - 1, ...]`` by port, with the ``reward`` that
    followed each action in the place of the one before it.
    """

    init: Callable[[Key], AgentState]
    step: Callable[[AgentState, Values], tuple[AgentState, Metrics]]


def make_agent_learner(graph: Graph, learning: Learning, *, steps: int, agent: str = "saccader") -> AgentLearner:
    """The learner of the agent that `foveax.split` cuts from a graph, for episodes that were played elsewhere.

    A step is that of `foveax.make_learner` for the agent alone: given the same experience it makes the same update, but
    that no pathwise gradient reaches the agent. If the loss or a gradient is not finite, only the step is counted.

    Args:
      graph: that was split.
      learning: weights, rates and discounts; `learning.epochs` passes are made over each batch.
      steps: the length of training, along which the learning rate and the entropy bonus fall.
      agent: the name of the agent's module.

    Raises:
      InputError: if there is no such agent.

    Example:
      >>> import foveax as fx, jax, jax.numpy as jnp
      >>> graph = fx.standard_pipeline(fx.Model(), fx.image_source((28, 28, 1)), classes=10)
      >>> environment, player = fx.split(graph)
      >>> learner = fx.make_agent_learner(graph, fx.Learning(), steps=100)
      >>> state = learner.init(jax.random.key(0))
      >>> inputs = {"image": jnp.zeros((28, 28, 1), jnp.uint8), "label": jnp.int32(3), "progress": jnp.float32(1)}
      >>> _, seen = environment.reset(jax.random.key(1), fx.init(graph, jax.random.key(0)), inputs)
      >>> outputs, _ = player.act(state.params, player.begin(), seen, jax.random.key(2))
      >>> experience = jax.tree.map(lambda value: jnp.broadcast_to(value, (8, 5, *value.shape)), dict(outputs))
      >>> state, metrics = learner.step(state, experience)
      >>> sorted(metrics)
      ['entropy', 'kl', 'policy_loss', 'value_loss']
    """
    module = graph.modules.get(agent)
    acting = module.agent if module else None
    if module is None or acting is None:
        agents = ", ".join(name for name, other in graph.modules.items() if other.agent) or "none"
        raise InputError(f"agent must be one of the graph's agents, {agents}; got {agent!r}")
    optimizer = make_optimizer(module, learning, steps=steps)

    def init(key: Key) -> AgentState:
        params = module.init(module_key(key, agent), graph.wiring.inputs[agent])
        return AgentState(params, optimizer.init(params), jnp.zeros((), jnp.int32))

    def step(state: AgentState, experience: Values) -> tuple[AgentState, Metrics]:
        episode, metrics = with_advantages(experience, learning), {}
        progress = progress_at(state.step, steps)
        for _ in range(learning.epochs):
            gradient = jax.value_and_grad(replayed_loss, has_aux=True)
            (loss, metrics), grads = averaged(gradient(state.params, graph, agent, acting, episode, progress, learning))
            params, moments = update(optimizer, grads, state.optimizer, state.params)
            moved = state._replace(params=params, optimizer=moments)
            state = jax.tree.map(functools.partial(jnp.where, is_finite(loss, {agent: grads})), moved, state)
        return state._replace(step=state.step + 1), metrics

    return AgentLearner(jax.jit(init), step)


def progress_at(step: Array, steps: int) -> Array:
    """The share of training that is done before a step."""
    return jnp.minimum(step.astype(jnp.float32) / steps, 1.0)


def agent_loss(episode: Values, acted: Values, progress: Array, learning: Learning) -> tuple[Array, Metrics]:
    """An agent's loss over a batch of episodes, and its terms.

    Args:
      episode: ``log_prob``, ``value`` and ``entropy`` ``[B, T - 1]`` under the parameters that learn.
      acted: ``log_prob`` ``[B, T - 1]`` under those that acted, and what `with_advantages` adds, ``[B, T - 1]``.
      progress: the share of training done, along which the entropy bonus falls.
      learning: the weights.
    """
    log_prob, old_log_prob = episode["log_prob"], jax.lax.stop_gradient(acted["log_prob"])
    advantage = acted["advantage"]
    surrogate = jax.vmap(clipped_surrogate_loss, in_axes=(0, 0, 0, None))
    terms = {
        "ppo_loss": jnp.mean(surrogate(log_prob, old_log_prob, advantage, learning.epsilon)),
        "reinforce_loss": jnp.mean(jax.vmap(reinforce_loss)(log_prob, acted["baselined"])),
        "value_loss": jnp.mean(jax.vmap(value_loss)(episode["value"], acted["return"])),
        "entropy": jnp.mean(episode["entropy"]),
        "kl": jnp.mean(jax.vmap(approximate_kl)(log_prob, old_log_prob)),
    }
    policy = learning.ppo * terms.pop("ppo_loss") + learning.reinforce * terms.pop("reinforce_loss")
    bonus = learning.entropy * (1 if learning.decay == "constant" else 1 - progress)
    loss = policy + learning.value * terms["value_loss"] - bonus * terms["entropy"]
    return loss, {"policy_loss": policy, **terms}


def with_advantages(episode: Mapping[str, Array], learning: Learning) -> dict[str, Array]:
    """An agent's experience, ``[B, T - 1, ...]``, with the ``return`` and what credits each action, standardised.

    PPO credits the ``advantage``, REINFORCE the return less the value as it was, ``baselined``.
    """
    reward, value = episode["reward"], jax.lax.stop_gradient(episode["value"])
    advantage = jax.vmap(generalized_advantages, in_axes=(0, 0, None, None))
    advantages = advantage(reward, value, learning.discount, learning.gae_lambda)
    returns = jax.vmap(discounted_returns, in_axes=(0, None))(reward, learning.discount)
    credit = {"advantage": advantages, "baselined": returns - value}
    return {**episode, "return": returns, **_standardized(credit, learning)}


def _standardized(credit: dict[str, Array], learning: Learning) -> dict[str, Array]:
    """Credit ``[B, T - 1]`` by name, less its mean and over its deviation in the whole batch."""
    if learning.normalize == "none":
        return credit
    axis, whole = 0 if learning.normalize == "glimpse" else None, gathered(credit)
    mean = {name: jnp.mean(value, axis, keepdims=True) for name, value in whole.items()}
    deviation = {name: jnp.std(value, axis, keepdims=True) for name, value in whole.items()}
    return {name: (value - mean[name]) / (deviation[name] + 1e-6) for name, value in credit.items()}


def replayed_loss(
    params: Params, graph: Graph, name: str, agent: Agent, episode: Values, progress: Array, learning: Learning
) -> tuple[Array, Metrics]:
    """The agent's loss when it is computed again, glimpse by glimpse, on the experience of an earlier pass."""
    initial = graph.modules[name].begin(graph.wiring.inputs[name])

    def replay(experience: Values) -> Values:
        def glimpse(state: Any, outputs: Values) -> tuple[Any, Values]:
            judged, state = agent.evaluate(params, state, outputs)
            return state, {port: judged[port] for port in ("log_prob", "value", "entropy")}

        return jax.lax.scan(glimpse, initial, experience, unroll=True)[1]

    recorded = {port: episode[port] for port in graph.wiring.outputs[name]}
    return agent_loss(jax.vmap(replay)(recorded), episode, progress, learning)
