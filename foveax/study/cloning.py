"""Fitting an eye to people: its policy's parameters by maximum likelihood on their scanpaths, alone or with reward.

Behaviour cloning (Pomerleau 1989, ALVINN, NIPS 1) through the run's own classifier, which stays as it is: the saccader
reads what the classifier saw along a participant's gaze, and is trained to hold the next fixation probable.
"""

import functools
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from foveax._arrays import check_count, check_number
from foveax._types import Array, InputError, Key, Params
from foveax.data.dataset import Data
from foveax.graph.compile import at_a_turn
from foveax.graph.compile import compile as compile_graph
from foveax.graph.graph import Graph, parse_port
from foveax.learning.hyperparameters import LearningConfig
from foveax.learning.ppo import with_credit
from foveax.study.following import batch_of, follow_paths, gaze_agent, inputs_of, inside_picture
from foveax.study.trials import Trials
from foveax.training.learner import replayed_loss

CHECKS = 20
"""The number of times that the likelihood of held-out trials is measured."""
HELD_OUT = 0.2
"""Share of the images whose trials are held out, to stop where their likelihood is greatest."""
FEWEST_IMAGES = 5
"""The number of images from which on some are held out."""
CLIP = 1.0
"""Greatest norm of a gradient."""


class Clone(NamedTuple):
    """An eye that was fitted to people.

    Attributes:
      params: those of all modules; those of the eye are new.
      log_prob: the log probability at each check, in nats per fixation, of held-out trials, or else of all.
      step: the training step of the parameters, at which `log_prob` is greatest.
    """

    params: dict[str, Params]
    log_prob: np.ndarray
    step: int


def clone(
    graph: Graph,
    params: dict[str, Params],
    trials: Trials,
    *,
    share: float = 1.0,
    data: Data | None = None,
    learning: LearningConfig | None = None,
    hyper: Mapping[str, float] | None = None,
    steps: int = 2_000,
    batch: int = 64,
    rate: float = 1e-3,
    seed: int = 0,
) -> Clone:
    """Fits the eye of a run to people's trials, and leaves all other parameters as they are.

    ``L = -share mean_t log π(f_t) + (1 - share) L_agent``: the mean log probability of people's fixations, and the
    agent's loss (`foveax.learning.ppo.agent_loss`) on its own episodes on training images. The steps are Adam's, with a
    rate that falls along a cosine; the parameters are those of the step at which the trials of held-out images are most
    probable.

    Args:
      graph: the run's, of as many glimpses as the trials have fixations.
      params: the run's.
      trials: those to train on.
      share: weight of the likelihood in the loss; 1 is cloning alone, and needs no data.
      data: prepared data, on whose training images the eye is rewarded.
      learning: the losses of reward; by default `LearningConfig()`.
      hyper: numbers in the place of the graph's hyper-parameters, such as the policy's scale.
      steps: number of training steps.
      batch: trials, and images, in each step.
      rate: the learning rate at the start.
      seed: the seed of the order of trials and images, and of the eye's exploration.

    Raises:
      InputError: if no agent of the graph can say how probable a fixation is, or a share below 1 comes without data.
    """
    name = gaze_agent(graph)
    if not name:
        raise InputError("an agent must move the gaze and have a policy that says by which action; this graph has none")
    if not 0 < check_number("share", share) <= 1:
        raise InputError(f"share must be more than 0 and at most 1; got {share:g}")
    if share < 1 and data is None:
        raise InputError("a share below 1 must come with data, on whose images the eye is rewarded; got none")
    learning = learning or LearningConfig()
    numbers = {**graph.hyperparameters, **(hyper or {})}
    experience, weight = _experience(graph, name, params, trials, numbers)
    held = _held_out(trials, seed)
    own = np.flatnonzero(~held)
    log_prob = jax.jit(functools.partial(_mean_log_prob, graph, name))
    rewarded = _rewarded(graph, name, params, learning, numbers) if share < 1 else None
    optimizer = optax.chain(
        optax.clip_by_global_norm(CLIP), optax.adam(optax.cosine_decay_schedule(rate, check_count("steps", steps)))
    )

    @jax.jit
    def step(eye: Params, state: Any, rows: Array, images: Any, key: Key) -> tuple[Params, Any]:
        def objective(eye: Params) -> Array:
            chosen = jax.tree.map(lambda array: array[rows], (experience, weight))
            loss = -share * _mean_log_prob(graph, name, eye, *chosen)
            return loss if rewarded is None else loss + (1 - share) * rewarded(eye, images, key)

        with jax.numpy_dtype_promotion("standard"):  # optax raises floats to the power of an integer count
            updates, state = optimizer.update(jax.grad(objective)(eye), state, eye)
        return optax.apply_updates(eye, updates), state

    rng = np.random.default_rng(seed)
    key, eye = jax.random.key(seed), params[name]
    state, best = optimizer.init(eye), (eye, 0)
    judged = jax.tree.map(lambda array: array[np.flatnonzero(held) if held.any() else own], (experience, weight))
    curve = [float(log_prob(eye, *judged))]
    every = max(steps // CHECKS, 1)
    for number in range(1, steps + 1):
        rows = rng.choice(own, min(batch, len(own)), replace=len(own) < batch)
        render_key, act_key = jax.random.split(jax.random.fold_in(key, number))
        images = {} if data is None or share == 1 else _rendered(data, rng, render_key, batch)
        eye, state = step(eye, state, jnp.asarray(rows), images, act_key)
        if number % every == 0 or number == steps:
            curve.append(float(log_prob(eye, *judged)))
            best = (eye, number) if np.argmax(curve) == len(curve) - 1 else best
    return Clone({**params, name: best[0]}, np.array(curve), best[1])


def _experience(
    graph: Graph, name: str, params: dict[str, Params], trials: Trials, numbers: Mapping[str, float]
) -> tuple[Any, Array]:
    """The experience of the agent along people's gaze ``[R, T - 1, ...]``; 1 where a fixation counts, else 0."""
    along = follow_paths(graph)
    ports = [f"{name}.{port}" for port in along.wiring.outputs[name]]
    rollout = jax.jit(jax.vmap(compile_graph(along, ports), in_axes=(None, 0, None, None, None)))
    parts = []
    at_once = batch_of(trials)
    for start in range(0, len(trials.image), at_once):
        rows = np.arange(start, min(start + at_once, len(trials.image)))
        inputs = inputs_of(graph, trials, trials.fixations, rows)
        given = {port: inputs[port] for port in along.inputs}
        parts.append(rollout(params, given, jax.random.key(0), 1.0, numbers)[name])
    found = jax.tree.map(lambda *arrays: jnp.concatenate(arrays)[:, :-1], *parts)
    inside = inside_picture(graph, trials, trials.fixations)[:, 1:]
    counts = inside & np.isfinite(np.asarray(found["log_density"]))
    return found, jnp.asarray(counts, jnp.float32)


def _mean_log_prob(graph: Graph, name: str, eye: Params, experience: Mapping[str, Array], weight: Array) -> Array:
    """The mean log probability of the actions of some trials under an eye's parameters."""
    module, inputs = graph.modules[name], graph.wiring.inputs[name]
    agent = module.agent
    assert agent is not None

    def replay(outputs: Mapping[str, Array]) -> Array:
        def glimpse(state: Any, outputs: Mapping[str, Array]) -> tuple[Any, Array]:
            again, state = agent.evaluate(eye, state, outputs)
            return state, again["log_prob"]

        saccades = len(jax.tree.leaves(outputs)[0])
        return jax.lax.scan(glimpse, module.begin(inputs), outputs, unroll=at_a_turn(saccades))[1]

    log_prob = jax.vmap(replay)(experience)
    return jnp.sum(jnp.where(weight > 0, log_prob, 0.0)) / jnp.maximum(jnp.sum(weight), 1.0)


def _rewarded(
    graph: Graph, name: str, params: dict[str, Params], learning: LearningConfig, numbers: Mapping[str, float]
) -> Callable[[Params, Any, Key], Array]:
    """``(eye, images, key) -> loss``: the agent's loss on its own episodes on a batch of images."""
    module = graph.modules[name]
    agent = module.agent
    assert agent is not None
    paid = parse_port(agent.reward)
    ports = [f"{name}.{port}" for port in graph.wiring.outputs[name]] + [str(paid)]
    rollout = jax.vmap(compile_graph(graph, ports), in_axes=(None, 0, 0, None, None))
    hyper = learning.hyperparameters(dict(numbers))

    def loss(eye: Params, images: Any, key: Key) -> Array:
        keys = jax.random.split(key, len(jax.tree.leaves(images)[0]))
        acted = rollout({**params, name: jax.lax.stop_gradient(eye)}, images, keys, 1.0, numbers)
        episodes = {port: value[:, :-1] for port, value in acted[name].items()}
        episodes["reward"] = acted[paid.module][paid.port][:, 1:]
        credited = with_credit(episodes, hyper, normalize=learning.normalize)
        return replayed_loss(module, graph.wiring.inputs[name], eye, credited, hyper, hyper.entropy)[0]

    return loss


def _rendered(data: Data, rng: np.random.Generator, key: Key, batch: int) -> Any:
    rows = np.sort(rng.integers(0, len(data.train["label"]), batch))
    return data.render(key, {name: jnp.asarray(array[rows]) for name, array in data.train.items()})


def _held_out(trials: Trials, seed: int) -> np.ndarray:
    """Whether each trial is on one of the images that are held out."""
    images = np.unique(trials.image)
    if len(images) < FEWEST_IMAGES:
        return np.zeros(len(trials.image), bool)
    count = max(round(HELD_OUT * len(images)), 1)
    return np.isin(trials.image, np.random.default_rng(seed).permutation(images)[:count])


def split_trials(trials: Trials, *, seed: int = 0) -> tuple[Trials, Trials]:
    """Trials to fit an eye to, and trials to judge it on, of other participants on other images: half of each.

    Where participants are not known, or there is one, the images alone are divided. Trials of one half of the
    participants on the other half of the images are in neither part.

    Raises:
      InputError: if there are fewer than two images, or a part is without trials.
    """
    rng = np.random.default_rng(seed)
    images = rng.permutation(np.unique(trials.image))
    subjects = rng.permutation(np.unique(trials.subject))
    if len(images) < 2:
        raise InputError("trials must be on at least 2 images to fit an eye to one half; got 1")
    other_image = np.isin(trials.image, images[len(images) // 2 :])
    both = trials.has_subjects and len(subjects) > 1
    other_subject = np.isin(trials.subject, subjects[len(subjects) // 2 :]) if both else other_image
    masks = ~other_image & ~other_subject, other_image & other_subject
    counts = [int(mask.sum()) for mask in masks]
    if 0 in counts:
        raise InputError(
            "half of the participants must have trials on half of the images, and the others on the others; got "
            f"{counts[0]} and {counts[1]} trials"
        )
    return trials.select(masks[0]), trials.select(masks[1])
