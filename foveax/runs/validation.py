"""Validation while training: the accuracy on a share of the training images that is held out, and the best so far."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np

from foveax._types import InputError, Metrics
from foveax.data.dataset import Split
from foveax.evaluation.evaluate import make_evaluator
from foveax.graph.graph import Graph
from foveax.runs.config import TrainingConfig
from foveax.training.learner import TrainState
from foveax.training.mesh import local_copy

METRIC = "val_accuracy"
"""The accuracy after the last glimpse on the images that are held out, in the metrics of the steps at which it is
computed."""


class Best(NamedTuple):
    """The best validation so far: its step and accuracy, and the number of validations `since` that were no better."""

    step: int = 0
    accuracy: float | None = None
    since: int = 0

    def after(self, step: int, accuracy: float) -> "Best":
        """The best once there is another; of equal ones the first.

        Example:
          >>> Best().after(10, 0.5).after(20, 0.5).after(30, 0.4)
          Best(step=10, accuracy=0.5, since=2)
        """
        better = self.accuracy is None or accuracy > self.accuracy
        return Best(step, accuracy) if better else self._replace(since=self.since + 1)


def make_validation(
    graph: Graph, split: Split, config: TrainingConfig
) -> Callable[[TrainState, Metrics], dict[str, Any]]:
    """``(state, metrics) -> metrics`` of a dispatch, with `METRIC` where a validation is due, or the training ends.

    It is that of `foveax.evaluate`: the mode of the policies, one pass. An empty split changes nothing.
    """
    evaluator = make_evaluator(graph)

    def validate(state: TrainState, metrics: Metrics) -> dict[str, Any]:
        if not split:
            return metrics
        step = int(np.max(metrics["step"]))  # waits for the dispatch
        if step % config.validation_steps and step < config.steps:
            return metrics
        evaluation = evaluator(local_copy(state.params), split, jax.random.key(config.seed))
        return {**metrics, METRIC: float(evaluation.accuracy[-1])}

    return validate


def check_unvalidated(config: TrainingConfig, what: str) -> None:
    """Refuses a configuration that is validated while it trains."""
    if config.validate:
        raise InputError(f"validate must be 0 in {what}, which is not validated while it trains; got {config.validate}")
