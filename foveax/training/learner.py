"""The learner: one pure step that trains every module of a graph, supervised and by reinforcement."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from foveax._types import Array, Batch, Key, Metrics, Params
from foveax.analysis.scanpaths import BORDER_PIXELS, REFIXATION_PIXELS
from foveax.graph import compile as compile_graph
from foveax.graph.graph import Graph, as_initial, init
from foveax.graph.modules import AGENT_OUTPUTS
from foveax.training.config import Learning
from foveax.training.optimizers import is_finite, make_optimizer, update
from foveax.training.reinforcement import agent_loss, progress_at, replayed_loss, with_advantages
from foveax.training.shards import averaged, example_keys


class TrainState(NamedTuple):
    """What a step needs next.

    Attributes:
      params: by module.
      optimizer: optax's state, by module.
      step: int32, the steps done.
      key: the same throughout: each step's keys are folded from it and the number of the step.
      skipped: int32, the steps whose update was skipped, since a loss or gradient was not finite.
      skipped_in_a_row: int32, the latest of these without one between that was made. Once there are
        `Learning.skips_in_a_row`, all further updates are skipped: the parameters stay the last good ones.
      varied: hyper-parameters that are arrays, by name, which differ between the members of a population.
    """

    params: dict[str, Params]
    optimizer: dict[str, Any]
    step: Array
    key: Key
    skipped: Array
    skipped_in_a_row: Array
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
    differentiated; later PPO epochs compute the agent again, on the experience of that pass. If a loss or a gradient is
    not finite, no module is updated, and the step is counted as skipped. Metrics are scalars:
    ``loss/MODULE.PORT`` for each declared loss, ``accuracy`` if there is a port ``classifier.correct``, and per agent
    ``policy_loss``, ``value_loss``, ``entropy``, ``kl`` (between the policies before and after the epochs) and
    ``reward`` (mean sum over an episode), each under the agent's name; and where the agent has a port ``aim``, the
    graph an input ``image``, and the fixation is fed back, the signs of collapse ``refixation`` and ``border``
    (`foveax.diagnose`), of its aims.

    Args:
      graph: with any number of losses and agents.
      learning: weights, rates and discounts.
      steps: the length of training, along which learning rates, deviations and the entropy bonus fall.

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
    moving = graph.length > 1  # with a single glimpse no action is credited
    agents = {name: module.agent for name, module in graph.modules.items() if module.agent and moving}
    losses = [f"{name}.{port}" for name, module in graph.modules.items() for port in module.losses]
    observed = ["classifier.correct"] if "correct" in graph.wiring.outputs.get("classifier", {}) else []
    experience = [f"{name}.{port}" for name in agents for port in _experience_ports(graph, name, learning.epochs)]
    rollout = jax.vmap(compile_graph(graph, [*losses, *observed, *experience]), in_axes=(None, 0, 0))
    optimizers = {name: make_optimizer(graph.modules[name], learning, steps=steps) for name in graph.modules}

    def start(key: Key) -> TrainState:
        params_key, step_key = jax.random.split(key)
        params = init(graph, params_key)
        optimizer = {name: optimizers[name].init(params[name]) for name in params}
        step, skipped, in_a_row = (jnp.zeros((), jnp.int32) for _ in range(3))  # each its own: they are donated
        return TrainState(params, optimizer, step, step_key, skipped, in_a_row)

    def objective(
        params: dict[str, Params], inputs: Batch, progress: Array, keys: Key
    ) -> tuple[Array, tuple[dict, Metrics]]:
        trajectory = rollout(params, inputs, keys)
        metrics = {f"loss/{port}": _supervised(trajectory[port], learning.supervise) for port in losses}
        total = sum(metrics.values(), start=jnp.zeros(()))
        if observed:
            metrics["accuracy"] = jnp.mean(trajectory["classifier.correct"][:, -1].astype(jnp.float32))
        episodes = {name: with_advantages(_saccades(trajectory, name), learning) for name in agents}
        for name, episode in episodes.items():
            loss, terms = agent_loss(episode, episode, progress, learning)
            total += loss
            metrics |= {f"{name}/{term}": value for term, value in terms.items()}
            metrics[f"{name}/reward"] = jnp.mean(jnp.sum(episode["reward"], axis=1))
            begins = _first_fixation(graph, name)
            if "aim" in episode and "image" in graph.inputs and begins is not None:
                gaze = _gaze(episode["aim"], begins, graph.inputs["image"].shape)
                metrics |= {f"{name}/{sign}": value for sign, value in gaze.items()}
        return total, (episodes, metrics)

    def step(state: TrainState, batch: Batch) -> tuple[TrainState, Metrics]:
        size = len(next(iter(batch.values())))
        keys = example_keys(jax.random.fold_in(state.key, state.step), size)
        progress = progress_at(state.step, steps)
        inputs = {**batch, "progress": jnp.broadcast_to(progress, (size,))}
        inputs = {name: inputs[name] for name in graph.inputs}
        differentiate = jax.value_and_grad(objective, has_aux=True)
        (total, (episodes, metrics)), grads = differentiate(state.params, inputs, progress, keys)
        total, grads, metrics = averaged((total, grads, metrics))
        made = is_finite(total, grads) & (state.skipped_in_a_row < learning.skips_in_a_row)
        params, optimizer = _updated(optimizers, grads, state.optimizer, state.params, made)
        for name, agent in agents.items():
            for _ in range(learning.epochs - 1):
                again = jax.value_and_grad(replayed_loss, has_aux=True)
                replayed = again(params[name], graph, name, agent, episodes[name], progress, learning)
                (loss, terms), grad = averaged(replayed)
                made &= is_finite(loss, {name: grad})
                moved = _updated(optimizers, {name: grad}, optimizer, params, made)
                params, optimizer = ({**old, **new} for old, new in zip((params, optimizer), moved, strict=True))
                metrics |= {f"{name}/{term}": value for term, value in terms.items()}
        return _counted(state._replace(params=params, optimizer=optimizer), made), metrics

    return Learner(jax.jit(start), step)  # init is many small operations, each of which would be compiled by itself


def _updated(
    optimizers: Mapping[str, Any],
    grads: dict[str, Params],
    optimizer: dict[str, Any],
    params: dict[str, Params],
    made: Array,
) -> tuple[dict[str, Params], dict[str, Any]]:
    """Parameters and optimiser states of the modules that have gradients: updated, or as before if not `made`."""
    before = {name: params[name] for name in grads}, {name: optimizer[name] for name in grads}

    def make(params: dict[str, Params], optimizer: dict[str, Any]) -> tuple[dict[str, Params], dict[str, Any]]:
        after = {name: update(optimizers[name], grads[name], optimizer[name], params[name]) for name in grads}
        return {name: new for name, (new, _) in after.items()}, {name: new for name, (_, new) in after.items()}

    return jax.lax.cond(made, make, lambda params, optimizer: (params, optimizer), *before)


def _counted(state: TrainState, made: Array) -> TrainState:
    """The state one step on, its update made, or skipped and counted."""
    return state._replace(
        step=state.step + 1,
        skipped=state.skipped + jnp.where(made, 0, 1),
        skipped_in_a_row=jnp.where(made, 0, state.skipped_in_a_row + 1),
    )


def _saccades(trajectory: Metrics, name: str) -> dict[str, Array]:
    """An agent's outputs over its T - 1 saccades, ``[B, T - 1, ...]``, with the reward that followed each."""
    ports = {port.partition(".")[2]: value for port, value in trajectory.items() if port.startswith(f"{name}.")}
    return {port: value[:, :-1] for port, value in ports.items()} | {"reward": ports["reward"][:, 1:]}


def _experience_ports(graph: Graph, name: str, epochs: int) -> list[str]:
    """What is recorded of an agent: all that it gives if it is to be computed again, else what is needed of it."""
    needed = (*AGENT_OUTPUTS, "aim")
    return [port for port in graph.wiring.outputs[name] if epochs > 1 or port in needed]


def _first_fixation(graph: Graph, name: str) -> Array | None:
    """Where an eye is before its first saccade, ``[2]``, if its fixation is fed back."""
    sources = [
        source for source in graph.wiring.feedback.values() if (source.module, source.port) == (name, "fixation")
    ]
    return as_initial(sources[0].initial) if sources else None


def _gaze(aims: Array, begins: Array, image: tuple[int, ...]) -> Metrics:
    """Signs of collapse: how many of the late aims ``[B, T - 1, 2]`` return to an earlier one, or lie on the border.

    Late is from the second half of the glimpses on; the eye begins at ``[2]``; the image is ``[H, W, C]``.
    """
    sides = jnp.array([image[1] - 1, image[0] - 1], jnp.float32)
    saccades = aims.shape[1]
    late = saccades // 2
    aims = jax.lax.stop_gradient(aims)
    points = jnp.concatenate([jnp.broadcast_to(begins, (len(aims), 1, 2)), aims], axis=1) * sides[None, None, :]
    ends = points[:, 1 + late :]
    distance = jnp.linalg.norm(ends[:, :, None] - points[:, None, :], axis=-1)
    earlier = jnp.tri(saccades + 1, k=-1, dtype=bool)[None, 1 + late :]
    border = jnp.minimum(ends, sides[None, None, :] - ends) <= BORDER_PIXELS
    return {
        "refixation": jnp.mean(((distance <= REFIXATION_PIXELS) & earlier).any(axis=-1).astype(jnp.float32)),
        "border": jnp.mean(border.any(axis=-1).astype(jnp.float32)),
    }


def _supervised(loss: Array, supervise: str) -> Array:
    """The mean over a batch of ``[B, T]`` losses: of each glimpse, or of the last alone."""
    return jnp.mean(loss[:, -1] if supervise == "last" else loss)
