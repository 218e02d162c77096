"""The end of a training: its evaluation next to the controls, its summary, its sheet of scanpaths."""

import platform
from pathlib import Path
from typing import Any, NamedTuple

import jax

from foveax._types import Params
from foveax.data.dataset import Data
from foveax.evaluation.controls import evaluate_with_controls, own_name
from foveax.evaluation.diagnosis import diagnose
from foveax.evaluation.evaluate import Evaluation, Report, class_balance, make_evaluator, scores, silent
from foveax.graph.graph import Graph
from foveax.plot.scanpath import fixation_sheet
from foveax.plot.style import trial_title
from foveax.runs.run import Run
from foveax.runtime.files import write_atomically, write_json
from foveax.runtime.machine import versions
from foveax.runtime.processes import is_main

SHEET_TRIALS = 16
TRAIN_SAMPLE = 5000
"""Training images, rendered as in training, on which the accuracy is given next to that of the test."""


class Result(NamedTuple):
    """A finished training.

    Attributes:
      evaluations: of the test split under the pipeline's own policy, first, and under the controls, by name; empty if
        the training was not evaluated.
      summary: as in ``summary.json``.
    """

    graph: Graph
    params: dict[str, Params]
    evaluations: dict[str, Evaluation]
    summary: dict[str, Any]

    def __repr__(self) -> str:
        tested = {name: f"{100 * scores['accuracy'][-1]:.2f}" for name, scores in self.summary.get("test", {}).items()}
        sizes = ", ".join(f"{name} {size:,}" for name, size in self.summary["parameters"].items() if size)
        return (
            f"Result of {self.summary['images']:,} training images\n"
            f"  at the last glimpse, in %: {', '.join(map(' '.join, tested.items())) or 'not evaluated'}\n"
            f"  parameters: {sizes}"
        )


def conclude(
    run: Run, data: Data, graph: Graph, params: dict[str, Params], *, evaluate: bool = True, report: Report = silent
) -> Result:
    """Evaluates a trained pipeline next to its controls; process 0 writes ``summary.json`` and ``fixations.png``.

    Without evaluation, the summary holds only what is known without showing an image.
    """
    config = run.record.config
    key = jax.random.key(config.seed)
    height, width = data.test["image"].shape[1:3]
    evaluations: dict[str, Evaluation] = {}
    summary: dict[str, Any] = {
        "images": run.step * config.batch,
        "parameters": {name: sum(leaf.size for leaf in jax.tree.leaves(part)) for name, part in params.items()},
        "versions": versions(),
        "python": platform.python_version(),
        "device": jax.devices()[0].device_kind,
        "config": config.to_json(),
    }
    if evaluate:
        evaluator = make_evaluator(graph)
        evaluations = evaluate_with_controls(graph, params, data, key=key, evaluator=evaluator, report=report)
        report("training images")
        train = evaluator(params, data.sample(key, TRAIN_SAMPLE), key)
        report("diagnosis")
        summary |= {
            "own": own_name(graph),
            "test": {name: scores(evaluation, height=height, width=width) for name, evaluation in evaluations.items()},
            "balance": class_balance(evaluations[own_name(graph)], data.train["label"], data.names),
            "train": train.accuracy.tolist(),
            "diagnosis": diagnose(evaluations, graph, height=height, width=width),
        }
    if run.best.step:
        summary["validation"] = {**run.best._asdict(), "keep": config.keep}
    summary |= run.timing
    if run.path is not None and is_main():
        write_json(run.path / "summary.json", summary)
        if evaluate:
            report("figure")
            _write_sheet(run.path / "fixations.png", data, graph, evaluations[own_name(graph)])
    return Result(graph, params, evaluations, summary)


def _write_sheet(path: Path, data: Data, graph: Graph, evaluation: Evaluation) -> None:
    """Draws the first test images with their scanpaths and crops; nothing without a gaze."""
    if evaluation.fixations is None:
        return
    rows = slice(0, SHEET_TRIALS)
    titles = None
    if evaluation.probabilities is not None and evaluation.label is not None:
        pairs = zip(evaluation.label[rows], evaluation.predicted[rows, -1], strict=True)
        titles = [trial_title(*map(data.class_name, pair)) for pair in pairs]
    images, fixations = data.test["image"][rows], evaluation.fixations[rows]
    figure = fixation_sheet(images, fixations, titles=titles, size=graph.roles.crop_size or None)
    write_atomically(path, lambda file: figure.savefig(file, format="png", dpi=110))
