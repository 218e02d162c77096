"""Training of the modules inside an environment, from the episodes that they were part of, whoever moved the eye."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp

from foveax._types import Array, Key, Metrics, Params
from foveax.environments.episodes import acting_port
from foveax.graph.graph import Graph
from foveax.learning.hyperparameters import LearningConfig
from foveax.modules.scripted import following
from foveax.training.learner import Learner, TrainState, make_learner


def make_classifier_training(
    graph: Graph, learning: LearningConfig, agent: str | None = None, *, key: Key, batch: int, steps: int = 0
) -> "ClassifierTraining":
    """The training of all modules of a graph but the agent that acts, from the parameters of `foveax.make_learner`.

    Graph and agent are as in `make_episodes`; other agents, which stay in the environment, learn by reinforcement. A
    step learns from at least `batch` episodes. Learning rates and the entropy bonus fall along `steps`; 0 keeps them
    constant.

    Raises:
      GraphError: if there is no such agent, or it does not act by its fixation alone.

    Example:
      >>> import foveax as fx, jax
      >>> graph = fx.standard_pipeline(fx.load("mnist5k"), fx.PipelineConfig(hidden=8, features=8))
      >>> training = make_classifier_training(graph, fx.LearningConfig(), key=jax.random.key(0), batch=32)
      >>> training.steps, sorted(name for name, params in training.params.items() if params)
      (0, ['classifier'])
    """
    learning = learning if steps else dataclasses.replace(learning, decay="constant")
    port = acting_port(graph, agent)
    acting = graph.modules[port.module].agent
    position = graph.wiring.sources[port.module].get("position")
    followed = following(graph, port, acting.reach if acting else None, str(position))
    learner = make_learner(followed.remove(port.module), learning, steps=max(steps, 1))
    return ClassifierTraining(learner, learner.init(key), batch)


class ClassifierTraining:
    """The learner's `state`, the number of its `steps` so far, and the episodes that await the next.

    A class, since environments of other frameworks are asked for one step at a time, and hold what learns within them.
    The batching capsule (`foveax.batching`) decides after how many steps the parameters change.
    """

    def __init__(self, learner: Learner, state: TrainState, batch: int):
        def step(state: TrainState, batches: list[dict[str, Array]]) -> tuple[TrainState, Metrics]:
            return learner.step(state, jax.tree.map(lambda *parts: jnp.concatenate(parts), *batches))

        self.state = state
        self.steps = 0
        self._step = jax.jit(step)
        self._batch = batch
        self._episodes = list[dict[str, Any]]()
        self._sums = dict[str, Any]()
        self._steps_before = 0

    @property
    def params(self) -> dict[str, Params]:
        """The newest parameters, by module."""
        return self.state.params

    def add_episodes(self, inputs: dict[str, Any], fixations: Array) -> None:
        """Adds episodes: inputs ``[B, ...]``, fixations after the first ``[B, T - 1, 2]``; may take a step."""
        self._episodes.append({**inputs, "fixations": fixations})
        if sum(len(episodes["fixations"]) for episodes in self._episodes) < self._batch:
            return
        self.state, metrics = self._step(self.state, self._episodes)
        self._episodes = []
        self.steps += 1
        self._sums = {name: self._sums.get(name, 0.0) + value for name, value in metrics.items()}

    def take_metrics(self) -> dict[str, float]:
        """Metrics by name, averaged over the steps since the last call; nothing without any."""
        sums, steps = self._sums, self.steps - self._steps_before
        self._sums, self._steps_before = {}, self.steps
        return {name: float(value) / steps for name, value in sums.items()}


ModuleParams = Mapping[str, Params] | ClassifierTraining
"""The parameters of the modules in an environment, by name; or their training, whose newest are taken."""
