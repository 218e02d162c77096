"""The learner: one pure step that trains every module of a graph, supervised and by reinforcement."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import optax

from foveax._fields import Checked, bounded
from foveax._types import Array, Batch, Key, Params
from foveax.analysis.scanpaths import BORDER_PIXELS, REFIXATION_PIXELS
from foveax.graph import compile as compile_graph
from foveax.graph.graph import Graph, init
from foveax.graph.modules import AGENT_OUTPUTS, Agent, Values
from foveax.learning.losses import approximate_kl, clipped_surrogate_loss, reinforce_loss, value_loss
from foveax.learning.returns import discounted_returns, generalized_advantages

Metrics = dict[str, Array]


@dataclasses.dataclass(frozen=True)
class Learning(Checked):
    """How the two heads learn.

    Raises:
      InputError: for a value out of range; the message names the field.
    """

    learning_rate: float = bounded(2e-3, 0.0)
    """Adam's learning rate for all but the saccader."""
    policy_learning_rate: float = bounded(5e-4, 0.0)
    """Adam's learning rate for the saccader."""
    decay: Literal["cosine", "constant"] = "cosine"
    """The learning rates over training: down to 0 along a cosine, or constant."""
    supervise: Literal["each", "last"] = "each"
    """Which glimpses' cross-entropy is minimised: the mean over each, or that of the last."""
    ppo: float = bounded(1.0, 0.0)
    """Weight of PPO's clipped surrogate."""
    reinforce: float = bounded(0.0, 0.0)
    """Weight of REINFORCE with the value as baseline."""
    value: float = bounded(0.5, 0.0)
    """Weight of the value loss."""
    entropy: float = bounded(0.01, 0.0)
    """Weight of the entropy bonus."""
    discount: float = bounded(0.5, 0.0, 1.0)
    """Discount per glimpse, gamma."""
    gae_lambda: float = bounded(0.84, 0.0, 1.0)
    """Decay of generalised advantage estimation, lambda."""
    epsilon: float = bounded(0.2, above=0.0)
    """PPO's clipping range of the probability ratio."""
    epochs: int = bounded(1, 1, 100)
    """Passes of PPO over a batch; from the second on only the saccader is computed again."""
    normalize: Literal["glimpse", "batch", "none"] = "glimpse"
    """Standardise the advantages: over the batch at each glimpse, so that late saccades, whose rewards are small, learn
    as fast as the first; over batch and glimpses together; or not."""
    gradient_clip: float = bounded(10.0, above=0.0)
    """Largest norm of each module's gradient."""


class TrainState(NamedTuple):
    """What a step needs next.

    Attributes:
      params: by module.
      optimizer: optax's state, by module.
      step: int32, the steps done.
      key: the same throughout: each step's keys are folded from it and the number of the step.
      varied: hyper-parameters that are arrays, by name, which differ between the members of a population.
    """

    params: dict[str, Params]
    optimizer: dict[str, Any]
    step: Array
    key: Key
    varied: dict[str, Array] = {}  # noqa: RUF012


class Learner(NamedTuple):
    """Two pure functions: `init(key) -> state` and `step(state, batch) -> (state, metrics)`.

    A batch holds, with a leading ``[B]``, the graph's inputs by name, but for ``progress``, which the step supplies.
    """

    init: Callable[[Key], TrainState]
    step: Callable[[TrainState, Batch], tuple[TrainState, Metrics]]


def make_learner(graph: Graph, learning: Learning, *, steps: int) -> Learner:
    """The learner of a graph: one forward pass, one backward pass, one update of each module.

    A step minimises the sum of all modules' declared losses, over all parameters but the agents', and for each agent
    its policy and value losses less its entropy bonus. The pass that produced the trajectory is the one that is
    differentiated; later PPO epochs compute the agent again, on the experience of that pass. Metrics are scalars:
    ``loss/MODULE.PORT`` for each declared loss, ``accuracy`` if there is a port ``classifier.correct``, and per agent
    ``policy_loss``, ``value_loss``, ``entropy``, ``kl`` (between the policies before and after the epochs) and
    ``reward`` (mean sum over an episode), each under the agent's name; and where the agent has a port ``aim`` and the
    graph an input ``image``, the signs of collapse ``refixation`` and ``border`` (`foveax.diagnose`), of its aims.

    Args:
      graph: with any number of losses and agents.
      learning: weights, rates and discounts.
      steps: the length of training, along which learning rates and deviations are scheduled.

    Example:
      >>> import foveax as fx, jax, jax.numpy as jnp
      >>> graph = fx.standard_pipeline(fx.Model(), fx.image_source((28, 28, 1)), classes=10)
      >>> learner = fx.make_learner(graph, fx.Learning(), steps=100)
      >>> state = learner.init(jax.random.key(0))
      >>> batch = {"image": jnp.zeros((8, 28, 28, 1), jnp.uint8), "label": jnp.zeros(8, jnp.int32)}
      >>> state, metrics = jax.jit(learner.step)(state, batch)
      >>> int(state.step), round(float(metrics["loss/classifier.cross_entropy"]), 1)
      (1, 2.3)
    """
    agents = {name: module.agent for name, module in graph.modules.items() if module.agent}
    losses = [f"{name}.{port}" for name, module in graph.modules.items() for port in module.losses]
    observed = ["classifier.correct"] if "correct" in graph.wiring.outputs.get("classifier", {}) else []
    experience = [f"{name}.{port}" for name in agents for port in _experience_ports(graph, name, learning.epochs)]
    rollout = jax.vmap(compile_graph(graph, [*losses, *observed, *experience]), in_axes=(None, 0, 0))
    optimizers = {name: _optimizer(graph, name, learning, steps) for name in graph.modules}

    def start(key: Key) -> TrainState:
        params_key, step_key = jax.random.split(key)
        params = init(graph, params_key)
        optimizer = {name: optimizers[name].init(params[name]) for name in params}
        return TrainState(params, optimizer, jnp.zeros((), jnp.int32), step_key)

    def objective(params: dict[str, Params], inputs: Batch, keys: Key) -> tuple[Array, tuple[dict, Metrics]]:
        trajectory = rollout(params, inputs, keys)
        metrics = {f"loss/{port}": _supervised(trajectory[port], learning.supervise) for port in losses}
        total = sum(metrics.values(), start=jnp.zeros(()))
        if observed:
            metrics["accuracy"] = jnp.mean(trajectory["classifier.correct"][:, -1].astype(jnp.float32))
        episodes = {name: _episode(trajectory, name, learning) for name in agents}
        for name, episode in episodes.items():
            loss, terms = agent_loss(episode, episode, learning)
            total += loss
            metrics |= {f"{name}/{term}": value for term, value in terms.items()}
            metrics[f"{name}/reward"] = jnp.mean(jnp.sum(episode["reward"], axis=1))
            if "aim" in episode and "image" in graph.inputs:
                gaze = _gaze(episode["aim"], graph.inputs["image"].shape)
                metrics |= {f"{name}/{sign}": value for sign, value in gaze.items()}
        return total, (episodes, metrics)

    def step(state: TrainState, batch: Batch) -> tuple[TrainState, Metrics]:
        size = len(next(iter(batch.values())))
        keys = jax.random.split(jax.random.fold_in(state.key, state.step), size)
        progress = jnp.minimum(state.step.astype(jnp.float32) / steps, 1.0)
        inputs = {**batch, "progress": jnp.broadcast_to(progress, (size,))}
        inputs = {name: inputs[name] for name in graph.inputs}
        (_, (episodes, metrics)), grads = jax.value_and_grad(objective, has_aux=True)(state.params, inputs, keys)
        params, optimizer = dict(state.params), dict(state.optimizer)
        for name in params:
            params[name], optimizer[name] = _update(optimizers[name], grads[name], optimizer[name], params[name])
        for name, agent in agents.items():
            for _ in range(learning.epochs - 1):
                grad, terms = jax.grad(_replayed_loss, has_aux=True)(
                    params[name], graph, name, agent, episodes[name], learning
                )
                params[name], optimizer[name] = _update(optimizers[name], grad, optimizer[name], params[name])
                metrics |= {f"{name}/{term}": value for term, value in terms.items()}
        return state._replace(params=params, optimizer=optimizer, step=state.step + 1), metrics

    return Learner(start, step)


def agent_loss(episode: Values, acted: Values, learning: Learning) -> tuple[Array, Metrics]:
    """An agent's loss over a batch of episodes, and its terms.

    Args:
      episode: ``log_prob``, ``value`` and ``entropy`` ``[B, T - 1]`` under the parameters that learn.
      acted: ``log_prob`` ``[B, T - 1]`` under those that acted, ``advantage`` and ``return`` ``[B, T - 1]``.
      learning: the weights.
    """
    log_prob, old_log_prob = episode["log_prob"], jax.lax.stop_gradient(acted["log_prob"])
    advantage = acted["advantage"]
    surrogate = jax.vmap(clipped_surrogate_loss, in_axes=(0, 0, 0, None))
    baselined = acted["return"] - jax.lax.stop_gradient(acted["value"])
    terms = {
        "ppo_loss": jnp.mean(surrogate(log_prob, old_log_prob, advantage, learning.epsilon)),
        "reinforce_loss": jnp.mean(jax.vmap(reinforce_loss)(log_prob, _standardized(baselined, learning))),
        "value_loss": jnp.mean(jax.vmap(value_loss)(episode["value"], acted["return"])),
        "entropy": jnp.mean(episode["entropy"]),
        "kl": jnp.mean(jax.vmap(approximate_kl)(log_prob, old_log_prob)),
    }
    policy = learning.ppo * terms.pop("ppo_loss") + learning.reinforce * terms.pop("reinforce_loss")
    loss = policy + learning.value * terms["value_loss"] - learning.entropy * terms["entropy"]
    return loss, {"policy_loss": policy, **terms}


def _episode(trajectory: Mapping[str, Array], name: str, learning: Learning) -> dict[str, Array]:
    """An agent's outputs over its T - 1 saccades, ``[B, T - 1, ...]``, with the reward that followed each."""
    ports = [port for port in trajectory if port.startswith(f"{name}.")]
    episode = {port.removeprefix(f"{name}."): trajectory[port] for port in ports}
    reward = episode["reward"][:, 1:]
    episode = {port: value[:, :-1] for port, value in episode.items()} | {"reward": reward}
    value = jax.lax.stop_gradient(episode["value"])
    advantage = jax.vmap(generalized_advantages, in_axes=(0, 0, None, None))
    advantages = advantage(reward, value, learning.discount, learning.gae_lambda)
    episode["return"] = jax.vmap(discounted_returns, in_axes=(0, None))(reward, learning.discount)
    episode["advantage"] = _standardized(advantages, learning)
    return episode


def _standardized(advantages: Array, learning: Learning) -> Array:
    if learning.normalize == "none":
        return advantages
    axis = 0 if learning.normalize == "glimpse" else None
    mean, deviation = jnp.mean(advantages, axis, keepdims=True), jnp.std(advantages, axis, keepdims=True)
    return (advantages - mean) / (deviation + 1e-6)


def _replayed_loss(
    params: Params, graph: Graph, name: str, agent: Agent, episode: Values, learning: Learning
) -> tuple[Array, Metrics]:
    """The agent's loss when it is computed again, glimpse by glimpse, on the experience of an earlier pass."""
    initial = graph.modules[name].begin(graph.wiring.inputs[name])

    def replay(experience: Values) -> Values:
        def glimpse(state: Any, outputs: Values) -> tuple[Any, Values]:
            judged, state = agent.evaluate(params, state, outputs)
            return state, {port: judged[port] for port in ("log_prob", "value", "entropy")}

        return jax.lax.scan(glimpse, initial, experience, unroll=True)[1]

    recorded = {port: episode[port] for port in graph.wiring.outputs[name]}
    return agent_loss(jax.vmap(replay)(recorded), episode, learning)


def _experience_ports(graph: Graph, name: str, epochs: int) -> list[str]:
    """What is recorded of an agent: all that it gives if it is to be computed again, else what is needed of it."""
    needed = (*AGENT_OUTPUTS, "aim")
    return [port for port in graph.wiring.outputs[name] if epochs > 1 or port in needed]


def _gaze(aims: Array, image: tuple[int, ...]) -> Metrics:
    """Signs of collapse: how many of the late aims ``[B, T - 1, 2]`` return to an earlier one, or lie on the border.

    Late is from the second half of the glimpses on; the image is ``[H, W, C]``.
    """
    sides = jnp.array([image[1] - 1, image[0] - 1], jnp.float32)
    saccades = aims.shape[1]
    late = saccades // 2
    points = jax.lax.stop_gradient(aims) * sides[None, None, :]
    distance = jnp.linalg.norm(points[:, late:, None] - points[:, None, :], axis=-1)
    earlier = jnp.tri(saccades, k=-1, dtype=bool)[None, late:]
    border = jnp.minimum(points, sides[None, None, :] - points)[:, late:] <= BORDER_PIXELS
    return {
        "refixation": jnp.mean(((distance <= REFIXATION_PIXELS) & earlier).any(axis=-1).astype(jnp.float32)),
        "border": jnp.mean(border.any(axis=-1).astype(jnp.float32)),
    }


def _supervised(loss: Array, supervise: str) -> Array:
    """The mean over a batch of ``[B, T]`` losses: of each glimpse, or of the last alone."""
    return jnp.mean(loss[:, -1] if supervise == "last" else loss)


def _optimizer(graph: Graph, name: str, learning: Learning, steps: int) -> optax.GradientTransformation:
    module = graph.modules[name]
    rate = learning.policy_learning_rate if module.agent else learning.learning_rate
    updates = max(steps * (learning.epochs if module.agent else 1) // module.fit_every, 1)
    schedule = optax.cosine_decay_schedule(rate, updates) if learning.decay == "cosine" else rate
    optimizer = optax.chain(optax.clip_by_global_norm(learning.gradient_clip), optax.adam(schedule))
    if module.fit_every == 1:
        return optimizer
    return optax.MultiSteps(optimizer, module.fit_every).gradient_transformation()


def _update(optimizer: optax.GradientTransformation, grads: Params, state: Any, params: Params) -> tuple[Params, Any]:
    with jax.numpy_dtype_promotion("standard"):  # optax raises floats to the power of an integer count
        updates, state = optimizer.update(grads, state, params)
    return optax.apply_updates(params, updates), state
