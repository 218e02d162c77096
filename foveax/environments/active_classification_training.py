"""Training in an environment that others wrote: classifier and saccader, on the episodes played there."""

from collections.abc import Iterator

import jax

from foveax._types import Params
from foveax.environments.active_classification import ActiveClassification, play_episodes
from foveax.learning.hyperparameters import LearningConfig
from foveax.training.adversary import learner_of
from foveax.training.collectives import example_keys


def train_active_classification(
    task: ActiveClassification, learning: LearningConfig, *, seed: int, steps: int
) -> Iterator[tuple[dict[str, Params], dict[str, float]]]:
    """Trains classifier and saccader in an environment of others (`make_active_classification`), a batch a step.

    Each step is that of `foveax.make_learner` for the graph that received the episodes' glimpses: with the keys of the
    play it makes the same saccades, and its own reward pays them.

    Yields:
      the parameters, by module, and metrics with ``reward``, the environment's own, summed over an episode.
    """
    learner = learner_of(task.graph, learning, steps=steps)
    state = learner.init(jax.random.key(seed))
    step = jax.jit(learner.step)
    for number in range(steps):
        keys = example_keys(jax.random.fold_in(state.key, state.step), task.environments.num_envs)  # as in the step
        played = play_episodes(task, state.params, keys=keys, progress=number / steps, sample=True)
        state, metrics = step(state, played.inputs)
        own = {"reward": float(played.reward.sum(axis=1).mean())}
        yield state.params, {**{name: float(value) for name, value in metrics.items()}, **own}
