"""Lessons: a classifier that learns from the episodes it was part of, whoever moved the eye."""

import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp

from foveax._types import Array, Key, Metrics, Params
from foveax.graph.graph import Graph
from foveax.pipelines import following
from foveax.training.config import Learning
from foveax.training.learner import Learner, TrainState, make_learner


def make_lessons(graph: Graph, learning: Learning, *, key: Key, batch: int, steps: int = 0) -> "Lessons":
    """Lessons for the classifier of a graph, from the beginning.

    Args:
      graph: with the modules ``retina`` and ``saccader``; every module but the saccader learns.
      learning: of which the saccader's part is not used.
      key: of the parameters, which are those of `foveax.make_learner`'s state for this key.
      batch: episodes of which a lesson consists, at least.
      steps: lessons in all, along which learning rates and the entropy bonus fall; 0 keeps them constant.

    Example:
      >>> import foveax as fx, jax
      >>> graph = fx.standard_pipeline(fx.Model(hidden=8, features=8), fx.image_source((28, 28, 1)), classes=10)
      >>> make_lessons(graph, fx.Learning(), key=jax.random.key(0), batch=32).given
      0
    """
    learning = learning if steps else dataclasses.replace(learning, decay="constant")
    learner = make_learner(following(graph), learning, steps=max(steps, 1))
    return Lessons(learner, learner.init(key), batch)


class Lessons:
    """A classifier's learning state, and the episodes that await the next lesson.

    A class, since environments of other frameworks are asked for one step at a time, and hold what learns within them.
    How often the parameters change with the lessons, the batching capsule decides (`foveax.batching`).

    Attributes:
      state: of the learner.
      given: lessons so far.
    """

    def __init__(self, learner: Learner, state: TrainState, batch: int):
        self.state, self.given = state, 0
        self._step = jax.jit(functools.partial(_lesson, learner))
        self._batch, self._waiting = batch, list[dict[str, Any]]()
        self._sums, self._since = dict[str, Any](), 0

    @property
    def params(self) -> dict[str, Params]:
        """The newest parameters, by module."""
        return self.state.params

    def attend(self, inputs: dict[str, Any], fixations: Array) -> None:
        """Adds finished episodes, and gives a lesson once there are enough of them.

        Args:
          inputs: of the graph, ``[B, ...]`` each, by name.
          fixations: ``[B, T - 1, 2]``, those after the first.
        """
        shown = {name: array for name, array in inputs.items() if name != "progress"}
        self._waiting.append({**shown, "fixations": fixations})
        if sum(len(episodes["label"]) for episodes in self._waiting) < self._batch:
            return
        self.state, metrics = self._step(self.state, self._waiting)
        self._waiting, self.given = [], self.given + 1
        self._sums = {name: self._sums.get(name, 0.0) + value for name, value in metrics.items()}

    def take_metrics(self) -> dict[str, float]:
        """Metrics by name, averaged over the lessons since the last call; nothing without any."""
        sums, lessons = self._sums, self.given - self._since
        self._sums, self._since = {}, self.given
        return {name: float(value) / lessons for name, value in sums.items()}


def _lesson(learner: Learner, state: TrainState, waiting: list[dict[str, Array]]) -> tuple[TrainState, Metrics]:
    return learner.step(state, jax.tree.map(lambda *parts: jnp.concatenate(parts), *waiting))
