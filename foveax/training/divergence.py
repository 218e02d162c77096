"""Divergence: what is said when losses or gradients are no longer finite, and when a training ends for it."""

import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np

from foveax.training.config import Config

CAUSES = (
    "a learning rate that is too high (learning_rate {learning.learning_rate:g}, policy_learning_rate "
    "{learning.policy_learning_rate:g}), a clip that lets large gradients through (gradient_clip "
    "{learning.gradient_clip:g}), a deviation of the policy so small that its log-probabilities overflow "
    "(deviation_start {model.deviation_start:g}, deviation_end {model.deviation_end:g}), numbers in further arrays of "
    "the data or in modules of your own that are not finite (a logarithm or root of 0), or too few digits "
    "(precision {model.precision})"
)
"""The usual ones, with the configuration's values."""


class DivergenceWarning(UserWarning):
    """Losses or gradients were not finite, and the update was skipped."""


class DivergenceError(ArithmeticError):
    """A training ended since too many updates in a row were skipped; the message says what to try."""


def warn_of_skips(metrics: Mapping[str, Any], config: Config) -> bool:
    """Warns if an update was skipped, with the usual causes; returns whether it did."""
    skipped = np.sum(metrics["skipped"])
    if not skipped:
        return False
    warnings.warn(
        f"by step {metrics['step']} losses or gradients were not finite in {skipped} steps, which were skipped; "
        f"usual causes: {CAUSES.format_map(config.__dict__)}",
        DivergenceWarning,
        stacklevel=2,
    )
    return True


def has_diverged(metrics: Mapping[str, Any], config: Config) -> bool:
    """Whether no further update will be made; of a population, of any member."""
    return bool(np.all(np.asarray(metrics["skipped_in_a_row"]) >= config.learning.skips_in_a_row))


def divergence(step: int, config: Config, place: str) -> DivergenceError:
    """The error that ends a training.

    Args:
      step: at which it ends.
      config: of the training.
      place: where the last good parameters are, as the end of a sentence.
    """
    return DivergenceError(
        f"training diverged: by step {step} losses or gradients were not finite in {config.learning.skips_in_a_row} "
        f"steps in a row; usual causes: {CAUSES.format_map(config.__dict__)}; {place}"
    )
