"""A run under several sources of fixations, all else unchanged."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

from foveax._types import InputError
from foveax.evaluation.evaluate import Evaluation, Report, evaluate, silent
from foveax.modules.sources import steer
from foveax.runs.load import LoadedRun
from foveax.runs.scanpaths import PERMUTED, parse_source, trials, write_scanpaths


def evaluate_sources(run: LoadedRun, names: Sequence[str], own: Evaluation, report: Report = silent) -> dict:
    """The test split under sources of fixations other than the run's own, by ``"fixations NAME"``.

    The network is the one that was trained with the run's own fixations, `own`; one that is trained for another source
    is a run of its own (`TrainingConfig.fixations`).

    Args:
      run: with a gaze.
      names: of sources (`parse_source`), or ``permuted``: the run's own scanpaths, each on another image.
      own: the run's own evaluation.
      report: called with what is done next, as a line.

    Raises:
      InputError: for an unknown source, a file that does not fit, or a run without a gaze.
    """
    if own.fixations is None:
        raise InputError("a run must declare a gaze (Roles) for other fixations to move it; this one declares none")
    eyes: dict[str, Any] = {name: "given" if name == PERMUTED else parse_source(name).eye for name in names}
    paths = own.in_picture(own.fixations)
    evaluations = {}
    for name, eye in eyes.items():
        kind, colon, file = name.rpartition(":")
        title = f"fixations {kind}{colon}{Path(file).name}"
        report(f"test images, {title}")
        shown = trials(run.data.test, name, glimpses=run.graph.length, own=paths)
        key = jax.random.key(run.config.seed)
        evaluations[title] = evaluate(steer(run.graph, eye), run.params, shown, key=key)
    return evaluations


def export_scanpaths(run: LoadedRun, file: str | Path) -> tuple[np.ndarray, np.ndarray]:
    """Writes the run's scanpaths on its training and its test images as a file that another training can follow.

    The policy takes its mode, and training images are not augmented. Returns both, ``[N, T, 2]``. Raises `InputError`
    for a run without a gaze, or images that training shows in another shape, as on a canvas.
    """
    key, paths = jax.random.key(run.config.seed), []
    for split in (run.data.train, run.data.test):
        shown = evaluate(run.graph, run.params, split, key=key)
        if shown.fixations is None:
            raise InputError("a graph must declare a gaze (Roles) to have scanpaths; this one declares none")
        paths.append(shown.in_picture(shown.fixations))
    write_scanpaths(file, *paths)
    return paths[0], paths[1]
