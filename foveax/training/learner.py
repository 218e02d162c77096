"""The learner: one pure step that trains every module of a graph, supervised and by reinforcement."""

import functools
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from foveax._types import BORDER_PIXELS, REFIXATION_PIXELS, Array, Batch, InputError, Key, Metrics, Params
from foveax.graph.compile import Trajectory, at_a_turn, number
from foveax.graph.compile import compile as compile_graph
from foveax.graph.graph import Graph, Source, batch_size, init, initial_memory, parse_port
from foveax.graph.modules import AGENT_OUTPUTS, Loss, Module
from foveax.graph.ports import describe
from foveax.learning.hyperparameters import Hyperparameters, LearningConfig
from foveax.learning.ppo import agent_loss, with_credit
from foveax.training.collectives import averaged, example_keys, gathered


class TrainState(NamedTuple):
    """What a step needs next.

    Attributes:
      params: by module.
      optimizer: optax's state, by module.
      step: int32, the steps done.
      key: the same throughout: each step's keys are folded from it and the number of the step.
      skipped: int32, the steps whose update was skipped, since a loss or gradient was not finite.
      consecutive_skips: int32, the steps skipped since the last update that was made. Once there are
        `LearningConfig.max_skips`, all further updates are skipped: the parameters stay those of the last update.
    """

    params: dict[str, Params]
    optimizer: dict[str, Any]
    step: Array
    key: Key
    skipped: Array
    consecutive_skips: Array


class Learner(NamedTuple):
    """Two pure functions, and the numbers that they are to be given.

    Attributes:
      init: ``(key) -> state``.
      step: ``(state, batch, hyperparameters=None) -> (state, metrics)``; a batch holds, with a leading ``[B]``, the
        graph's inputs by name; without hyper-parameters the step takes those below.
      hyperparameters: of the configuration and the graph.
      steps: of the training, along which rates and scales fall.
    """

    init: Callable[[Key], TrainState]
    step: Callable[..., tuple[TrainState, Metrics]]
    hyperparameters: Hyperparameters
    steps: int


Attack = Callable[[dict[str, Params], Batch, Array, Key, Key, Hyperparameters], Batch]
"""``(params, batch, progress, keys [B], attack_keys [B], hyper) -> batch``: the keys of the step, and its own."""


def make_learner(graph: Graph, learning: LearningConfig, *, steps: int, attack: Attack | None = None) -> Learner:
    """The learner of a graph: one forward pass, one backward pass, one update of each module.

    Learning rates, scales and the entropy bonus fall along the `steps` of the training, the most that `fit` makes. A
    step minimises the sum of all modules' declared losses, over all parameters but the agents', and for each agent its
    policy and value losses less its entropy bonus. The pass that produced the trajectory is the one that is
    differentiated; later PPO epochs compute the agent again, on the experience of that pass. If a loss or a gradient of
    any epoch is not finite, no module is updated, and the step is counted as skipped. Metrics are scalars:
    ``loss/MODULE.PORT`` for each declared loss, without its weight; ``MODULE.PORT`` for each declared metric;
    ``accuracy`` if the graph declares a belief and a label; and per agent, under its name, ``reward`` (mean sum over
    an episode) and the terms of `agent_loss`: ``policy_loss``, ``value_loss``, ``entropy`` and ``kl``. With one epoch
    these are of the policy that acted, for which ``kl`` is 0, and so is ``policy_loss`` where advantages are
    standardised: its gradient alone has a meaning. With several they are taken after the last one, and say how far the
    step has moved the policy. Where the agent has a port ``mode``, acts on a memory, and the graph has an input
    ``image``, there are also the signs of collapse ``refixation`` and ``border`` (`foveax.diagnose`), of its modes.
    An `attack` changes each batch before a step learns from it (`foveax.training.adversary`). Raises `InputError` if
    `steps` is no whole number, at least 1, or if the configuration names an adversary and there is no attack.

    Example:
      >>> import foveax as fx, jax, jax.numpy as jnp
      >>> learner = fx.make_learner(fx.standard_pipeline(fx.load("mnist5k")), fx.LearningConfig(), steps=100)
      >>> state = learner.init(jax.random.key(0))
      >>> batch = {"image": jnp.zeros((8, 28, 28, 1), jnp.uint8), "label": jnp.zeros(8, jnp.int32)}
      >>> state, metrics = jax.jit(learner.step)(state, batch)
      >>> int(state.step), round(float(metrics["loss/decision.cross_entropy"]), 1)
      (1, 2.3)
    """
    check_steps(steps)
    if learning.adversary and attack is None:
        raise InputError(
            f"adversary must be 0 without an attack, which foveax.training.adversary.learner_of makes; got "
            f"{learning.adversary:g}"
        )
    moving = graph.length > 1  # with a single glimpse no action is credited
    agents = {name: agent for name, module in graph.modules.items() if (agent := module.agent) and moving}
    replays = learning.epochs > 1  # an agent is computed again from all that it gave
    needed = (*AGENT_OUTPUTS, "mode")
    outputs = {name: [port for port in graph.wiring.outputs[name] if replays or port in needed] for name in agents}
    ports = {f"{name}.{port}" for name in agents for port in outputs[name]}
    ports |= {*map(str, (*graph.losses, *graph.metrics)), graph.roles.belief, graph.roles.label}
    ports |= {agent.reward for agent in agents.values()}
    rollout = jax.vmap(compile_graph(graph, sorted(ports - {""})), in_axes=(None, 0, 0, None, None))
    defaults = learning.hyperparameters(dict(graph.hyperparameters))

    def optimizers(hyper: Hyperparameters) -> dict[str, optax.GradientTransformation]:
        return {name: make_optimizer(module, learning, hyper, steps=steps) for name, module in graph.modules.items()}

    def start(key: Key) -> TrainState:
        params_key, step_key = jax.random.split(key)
        params = init(graph, params_key)
        optimizer = {name: own.init(params[name]) for name, own in optimizers(defaults).items()}
        step, skipped, consecutive = (jnp.zeros((), jnp.int32) for _ in range(3))  # each its own, to be donated
        return TrainState(params, optimizer, step, step_key, skipped, consecutive)

    def objective(
        params: dict[str, Params], inputs: Batch, progress: Array, keys: Key, hyper: Hyperparameters
    ) -> tuple[Array, tuple[dict, Metrics]]:
        trajectory = rollout(params, inputs, keys, progress, hyper.graph)
        total, metrics = _supervised(trajectory, graph.losses, progress, hyper)
        metrics |= _observed(trajectory, graph)
        episodes = {}
        for name, agent in agents.items():
            paid = parse_port(agent.reward)
            episode = {port: trajectory[name][port][:, :-1] for port in outputs[name]}
            episode["reward"] = trajectory[paid.module][paid.port][:, 1:]
            episode = with_credit(episode, hyper, normalize=learning.normalize, gather=gathered)
            loss, terms = agent_loss(episode, episode, hyper, bonus_at(hyper, progress, learning))
            total, episodes[name] = total + loss, episode
            terms["reward"] = jnp.mean(jnp.sum(episode["reward"], axis=1))
            terms |= _gaze(episode, graph, name, inputs)
            metrics |= {f"{name}/{term}": value for term, value in terms.items()}
        return total, (episodes, metrics)

    def step(
        state: TrainState, batch: Batch, hyperparameters: Hyperparameters | None = None
    ) -> tuple[TrainState, Metrics]:
        hyper = defaults if hyperparameters is None else hyperparameters
        keys = example_keys(jax.random.fold_in(state.key, state.step), batch_size(graph, batch, "batch"))
        progress = progress_at(state.step, steps)
        if attack:
            attack_key = jax.random.fold_in(jax.random.fold_in(state.key, 0xADE5A), state.step)
            batch = attack(state.params, batch, progress, keys, example_keys(attack_key, len(keys)), hyper)
        differentiate = jax.value_and_grad(objective, has_aux=True)
        (total, (episodes, metrics)), grads = differentiate(state.params, batch, progress, keys, hyper)
        total, grads, metrics = averaged((total, grads, metrics))
        made = is_finite(total, grads) & (state.consecutive_skips < learning.max_skips)
        own = optimizers(hyper)
        before = state.params, state.optimizer
        params, optimizer = _updated(own, grads, state.optimizer, state.params, made)
        if replays:
            for name in agents:
                again = functools.partial(replayed_loss, graph.modules[name], graph.wiring.inputs[name])
                given = episodes[name], hyper, bonus_at(hyper, progress, learning)
                first = params[name], optimizer[name], made
                last = later_epochs(again, own[name], *first, given, epochs=learning.epochs - 1)
                params[name], optimizer[name], made = last
                terms = averaged(again(params[name], *given)[1])  # once more, after the last update
                metrics |= {f"{name}/{term}": value for term, value in terms.items()}
            # one epoch that is not finite takes back those before it
            params, optimizer = jax.lax.cond(made, lambda new, _: new, lambda _, old: old, (params, optimizer), before)
        state = state._replace(params=params, optimizer=optimizer, step=state.step + 1)
        skipped = state.skipped + jnp.where(made, 0, 1)
        consecutive = jnp.where(made, 0, state.consecutive_skips + 1)
        return state._replace(skipped=skipped, consecutive_skips=consecutive), metrics

    return Learner(jax.jit(start), step, defaults, steps)  # init is many small operations, compiled as one


def replayed_loss(
    module: Module, inputs: Mapping[str, Any], params: Params, episodes: Mapping[str, Array], hyper: Hyperparameters,
    entropy: Any,
) -> tuple[Array, Metrics]:  # fmt: skip
    """An agent's loss when it is computed again, glimpse by glimpse, on the experience of an earlier pass."""
    agent = module.agent
    assert agent is not None

    def replay(outputs: Mapping[str, Array]) -> Mapping[str, Array]:
        def glimpse(state: Any, outputs: Mapping[str, Array]) -> tuple[Any, Mapping[str, Array]]:
            again, state = agent.evaluate(params, state, outputs)
            return state, {port: again[port] for port in ("log_prob", "value", "entropy")}

        saccades = len(jax.tree.leaves(outputs)[0])
        return jax.lax.scan(glimpse, module.begin(inputs), outputs, unroll=at_a_turn(saccades))[1]

    credit = ("reward", "return", "advantage", "baselined")
    own = {port: value for port, value in episodes.items() if port not in credit}
    return agent_loss(jax.vmap(replay)(own), episodes, hyper, entropy)


def later_epochs(
    loss: Callable[..., tuple[Array, Metrics]], optimizer: optax.GradientTransformation, params: Params, state: Any,
    made: Array, given: tuple[Any, ...], *, epochs: int,
) -> tuple[Params, Any, Array]:  # fmt: skip
    """An agent's parameters, optax's state, and whether all was finite, after more epochs on what is given.

    They are a loop, so that more of them take no longer to compile. Once one is not finite, none updates.
    """
    differentiate = jax.value_and_grad(loss, has_aux=True)

    def epoch(_: Array, carry: tuple[Params, Any, Array]) -> tuple[Params, Any, Array]:
        params, state, made = carry
        (value, _), grad = averaged(differentiate(params, *given))
        made &= is_finite(value, {"": grad})
        moved = functools.partial(update, optimizer, grad)
        params, state = jax.lax.cond(made, moved, lambda state, params: (params, state), state, params)
        return params, state, made

    return jax.lax.fori_loop(0, epochs, epoch, (params, state, made))


def check_steps(steps: int) -> None:
    """Refuses a length of a training that is no number of steps."""
    if not isinstance(steps, int | np.integer) or steps < 1:
        raise InputError(f"steps must be a whole number, at least 1; got {steps!r}")


def progress_at(step: Array, steps: int) -> Array:
    """The share of training that is done before a step."""
    return jnp.minimum(step.astype(jnp.float32) / steps, 1.0)


def make_optimizer(
    module: Module, learning: LearningConfig, hyper: Hyperparameters, *, steps: int
) -> optax.GradientTransformation:
    """Adam with clipped gradients, its rate scheduled over the `steps` of a training, for one module."""
    rate = hyper.policy_learning_rate if module.agent else hyper.learning_rate
    every = max(module.fit_every, 1 if module.agent else learning.fit_every)
    updates = max(steps * (learning.epochs if module.agent else 1) // every, 1)
    schedule = optax.cosine_decay_schedule(rate, updates) if learning.decay == "cosine" else rate
    adam = optax.adam(schedule)
    if learning.weight_decay and not module.agent:
        adam = optax.adamw(schedule, weight_decay=learning.weight_decay, mask=_is_matrix)
    optimizer = optax.chain(optax.clip_by_global_norm(hyper.gradient_clip), adam)
    return optimizer if every == 1 else optax.MultiSteps(optimizer, every).gradient_transformation()


def _is_matrix(params: Params) -> Params:
    """Which arrays are weights, and no biases or scales."""
    return jax.tree.map(lambda array: array.ndim > 1, params)


def update(optimizer: optax.GradientTransformation, grads: Params, state: Any, params: Params) -> tuple[Params, Any]:
    """Parameters and optax's state after a step along a gradient."""
    with jax.numpy_dtype_promotion("standard"):  # optax raises floats to the power of an integer count
        updates, state = optimizer.update(grads, state, params)
    return optax.apply_updates(params, updates), state


def is_finite(loss: Array, grads: Mapping[str, Params]) -> Array:
    """Whether a loss and all of its gradients are finite: so are their norms, which clipping computes anyway."""
    norms = [optax.tree.norm(grad) for grad in grads.values() if jax.tree.leaves(grad)]
    return jnp.isfinite(jnp.stack([loss, *norms])).all()


def _updated(
    optimizers: dict[str, Any], grads: dict[str, Params], states: dict[str, Any], params: dict[str, Params], made: Array
) -> tuple[dict[str, Params], dict[str, Any]]:
    """Parameters and optimiser states of the modules that have gradients: updated, or as before if not `made`."""
    before = {name: params[name] for name in grads}, {name: states[name] for name in grads}

    def make(params: dict[str, Params], states: dict[str, Any]) -> tuple[dict[str, Params], dict[str, Any]]:
        after = {name: update(optimizers[name], grads[name], states[name], params[name]) for name in grads}
        return {name: new for name, (new, _) in after.items()}, {name: new for name, (_, new) in after.items()}

    return jax.lax.cond(made, make, lambda params, states: (params, states), *before)


def _supervised(
    trajectory: Trajectory, losses: Mapping[Source, Loss], progress: Array, hyper: Hyperparameters
) -> tuple[Array, Metrics]:
    """The weighted sum of the declared losses, and each by itself: its mean over the batch and its glimpses."""
    total, metrics = jnp.zeros(()), {}
    for source, loss in losses.items():
        value = trajectory[source.module][source.port]  # [B, T]
        mean = jnp.mean(value[:, -1] if loss.glimpses == "last" else value)
        metrics[f"loss/{source}"] = mean
        weight = number(loss.weight, hyper.graph)
        scheduled = mean if loss.schedule is None else loss.schedule(progress) * mean
        total += scheduled if isinstance(weight, float | int) and weight == 1 else weight * scheduled
    return total, metrics


def supervised_loss(graph: Graph) -> Callable[[Trajectory, Array, Hyperparameters], Array]:
    """The weighted sum of a graph's declared losses, as a function of a trajectory."""

    def loss(trajectory: Trajectory, progress: Array, hyper: Hyperparameters) -> Array:
        return _supervised(trajectory, graph.losses, progress, hyper)[0]

    return loss


def _observed(trajectory: Trajectory, graph: Graph) -> Metrics:
    """The declared metrics after the last glimpse, and the accuracy of the belief."""
    metrics = {
        str(source): jnp.mean(trajectory[source.module][source.port][:, -1].astype(jnp.float32))
        for source in graph.metrics
    }
    if graph.roles.belief and graph.roles.label:
        belief, label = (parse_port(port) for port in (graph.roles.belief, graph.roles.label))
        predicted = jnp.argmax(trajectory[belief.module][belief.port][:, -1], axis=-1)
        correct = predicted == trajectory[label.module][label.port][:, -1]
        metrics["accuracy"] = jnp.mean(correct.astype(jnp.float32))
    return metrics


def bonus_at(hyper: Hyperparameters, progress: Array, learning: LearningConfig) -> Any:
    """The weight of the entropy bonus now."""
    return hyper.entropy if learning.decay == "constant" else hyper.entropy * (1 - progress)


def _gaze(episode: Mapping[str, Array], graph: Graph, name: str, inputs: Batch) -> Metrics:
    """Signs of collapse: the share of the late modes that return to an earlier one, or lie on the border.

    Late is from the second half of the glimpses on, to return to come within a third of a crop. Nothing of an agent
    whose modes do not go into a memory of places.
    """
    memories = [memory for memory, source in graph.wiring.writes.items() if source.module == name]
    held = [describe(graph.wiring.outputs["memory"][memory]) for memory in memories]
    if "mode" not in episode or "image" not in graph.inputs or held != ["float32[2]"]:
        return {}
    image, modes = graph.inputs["image"].shape, jax.lax.stop_gradient(episode["mode"])
    sides = jnp.array([image[1] - 1, image[0] - 1], jnp.float32)
    late = modes.shape[1] // 2
    begins = jnp.broadcast_to(initial_memory(graph, inputs)[memories[0]], (len(modes), 2))[:, None]
    points = jnp.concatenate([begins, modes], axis=1) * sides[None, None, :]
    ends = points[:, 1 + late :]
    distance = jnp.linalg.norm(ends[:, :, None] - points[:, None, :], axis=-1)
    earlier = jnp.tri(modes.shape[1] + 1, k=-1, dtype=bool)[None, 1 + late :]
    near = graph.roles.crop_size / 3 or REFIXATION_PIXELS
    border = jnp.minimum(ends, sides[None, None, :] - ends) <= BORDER_PIXELS
    return {
        "refixation": jnp.mean(((distance <= near) & earlier).any(axis=-1).astype(jnp.float32)),
        "border": jnp.mean(border.any(axis=-1).astype(jnp.float32)),
    }
