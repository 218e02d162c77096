"""Divergence: losses or gradients that are no longer finite."""

import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np

from foveax.runs.config import TrainingConfig

CAUSES = (
    "a learning rate that is too high (learning_rate {learning.learning_rate:g}, policy_learning_rate "
    "{learning.policy_learning_rate:g}), a clip that lets large gradients through (gradient_clip "
    "{learning.gradient_clip:g}), a scale of the policy so small that its log-probabilities overflow "
    "(scale_start {pipeline.scale_start:g}, scale_end {pipeline.scale_end:g}), numbers in further arrays of "
    "the data or in modules of your own that are not finite (a logarithm or root of 0), or too few digits "
    "(precision {pipeline.precision})"
)
"""The usual ones, with the configuration's values."""


class DivergenceWarning(UserWarning):
    """Losses or gradients were not finite, and the update was skipped."""


class DivergenceError(ArithmeticError):
    """A training ended since too many consecutive updates were skipped; the message says what to try."""


def warn_of_skips(metrics: Mapping[str, Any], config: TrainingConfig) -> bool:
    """Warns if an update was skipped, with the usual causes; returns whether it did."""
    skipped = np.sum(metrics["skipped"])
    if not skipped:
        return False
    message = f"by step {metrics['step']} losses or gradients were not finite in {skipped} steps, which were skipped"
    warnings.warn(f"{message}; usual causes: {CAUSES.format_map(vars(config))}", DivergenceWarning, stacklevel=2)
    return True


def divergence(step: int, config: TrainingConfig, place: str) -> DivergenceError:
    """The error that ends a training at a step; `place` says where those of the last update are."""
    skips = f"by step {step} losses or gradients were not finite in {config.learning.max_skips} consecutive steps"
    return DivergenceError(f"training diverged: {skips}; usual causes: {CAUSES.format_map(vars(config))}; {place}")
