"""The end of a training: its evaluation beside the controls, its summary, its sheet of scanpaths."""

import platform
from pathlib import Path
from typing import Any, NamedTuple

import jax

from foveax._types import Params
from foveax.data.dataset import Data
from foveax.graph.graph import Graph
from foveax.plot.scanpath import fixation_sheet
from foveax.training.config import Config
from foveax.training.controls import evaluate_with_controls
from foveax.training.diagnosis import diagnose
from foveax.training.evaluate import Evaluation, evaluate, scores
from foveax.training.files import write_atomically, write_json
from foveax.training.learner import TrainState
from foveax.training.provenance import versions

SHEET_TRIALS = 16
TRAIN_SAMPLE = 5000
"""Training images, as they are shown, on which the accuracy is given beside that of the test."""


class Result(NamedTuple):
    """A finished training.

    Attributes:
      graph: the pipeline.
      params: by module.
      evaluations: of the test split under the pipeline's own policy and under the controls, by policy.
      summary: as in ``summary.json``.
    """

    graph: Graph
    params: dict[str, Params]
    evaluations: dict[str, Evaluation]
    summary: dict[str, Any]


def conclude(config: Config, data: Data, state: TrainState, timing: dict[str, float], path: Path | None) -> Result:
    """Evaluates a trained pipeline beside its controls, and writes ``summary.json`` and ``fixations.png``.

    Args:
      config: of the run.
      data: prepared.
      state: at the end of training.
      timing: of it.
      path: the run directory; None writes nothing.
    """
    graph = config.pipeline(data)
    key = jax.random.key(config.seed)
    evaluations = evaluate_with_controls(graph, state.params, data, policy=config.model.policy, key=key)
    trained = evaluate(graph, state.params, data.sample(key, TRAIN_SAMPLE), key=key)
    summary = _summary(config, data, state.params, evaluations, trained) | timing
    if path is not None:
        write_json(path / "summary.json", summary)
        _write_sheet(path / "fixations.png", data, evaluations[config.model.policy], config.model.crop)
    return Result(graph, state.params, evaluations, summary)


def _summary(
    config: Config, data: Data, params: dict[str, Params], evaluations: dict[str, Evaluation], trained: Evaluation
) -> dict[str, Any]:
    height, width = data.test["image"].shape[1:3]
    return {
        "test": {name: scores(run, height=height, width=width) for name, run in evaluations.items()},
        "train": [float(share) for share in trained.accuracy],
        "diagnosis": diagnose(evaluations, policy=config.model.policy, config=config, data=data),
        "images": config.steps * config.batch,
        "parameters": {name: sum(leaf.size for leaf in jax.tree.leaves(part)) for name, part in params.items()},
        "versions": versions(),
        "python": platform.python_version(),
        "device": jax.devices()[0].device_kind,
        "config": config.to_json(),
    }


def _write_sheet(path: Path, data: Data, evaluation: Evaluation, size: int) -> None:
    """Draws the first test images with their scanpaths and crops."""
    rows = slice(0, SHEET_TRIALS)
    decided = zip(evaluation.label[rows], evaluation.predicted[rows, -1], strict=True)
    titles = [f"{label}, taken for {decision}" if label != decision else f"{label}" for label, decision in decided]
    figure = fixation_sheet(data.test["image"][rows], evaluation.fixations[rows], titles=titles, size=size)
    write_atomically(path, lambda file: figure.savefig(file, format="png", dpi=110))
