"""The report on a run: what its eye does, in numbers beside their controls, and in figures."""

import csv
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np

from foveax import analysis
from foveax._types import InputError
from foveax.data.dataset import Data
from foveax.plot.scanpath import animate_trial
from foveax.report.figures import figures, telling_trial
from foveax.report.page import page
from foveax.report.tables import (
    Table,
    accuracy_table,
    density_table,
    direction_table,
    expanded,
    information_table,
    similarity_table,
    speed_table,
    statistics_table,
)
from foveax.training.config import Config
from foveax.training.controls import evaluate_with_controls
from foveax.training.diagnosis import diagnose
from foveax.training.evaluate import Evaluation, sample_scanpaths
from foveax.training.files import write_atomically
from foveax.training.metrics_file import read_metrics
from foveax.training.run import load_run

OBSERVED_IMAGES, PASSES = 200, 8
"""Test images on which the policy is sampled, and how often: its passes are compared as observers are."""


class Findings(NamedTuple):
    """What a report is made of.

    Attributes:
      config: of the run.
      data: whose test split was shown.
      evaluations: of the pipeline's own policy, first, and of its controls.
      passes: ``[O, N, T, 2]``, the policy sampled on the first test images.
      people: ``[S, N, T, 2]``, what people did on the first test images, or None.
      verdict: of `foveax.diagnose`.
    """

    config: Config
    data: Data
    evaluations: dict[str, Evaluation]
    passes: np.ndarray
    people: np.ndarray | None
    verdict: dict

    @property
    def own(self) -> Evaluation:
        """Of the pipeline's own policy."""
        return self.evaluations[self.config.model.policy]

    @property
    def sides(self) -> dict[str, int]:
        """Height and width of the images."""
        height, width = self.data.test["image"].shape[1:3]
        return {"height": height, "width": width}


def write_report(run: str | Path, out: str | Path | None = None, *, people: str | Path | None = None) -> Path:
    """Analyses a run, and writes a folder: ``report.html``, ``tables/*.csv``, ``figures/*.png`` and ``.pdf``.

    ``tables/fixations.csv`` holds every fixation (`foveax.analysis.FixationTable`); the other tables are those of the
    page, which holds all tables and figures and needs no other file. ``figures/trial.gif`` shows one trial.

    Args:
      run: the run directory of a pipeline with saccades.
      out: the folder; by default ``analysis`` in the run directory.
      people: a CSV file of people's fixations (`foveax.analysis.read_csv`) on the first test images, each of them seen
        by every subject; their column ``image`` counts from 0. All scanpaths are cut to the length of the shortest, and
        fixations outside the image are left out where maps are scored.

    Returns:
      the folder.

    Raises:
      InputError: if the run or the people's fixations cannot be read, or the pipeline makes no saccades.
    """
    seen = None if people is None else _people(people)  # before what takes long
    found = _findings(run, seen)
    lines = read_metrics(Path(run) / "metrics.jsonl")
    folder = Path(out) if out else Path(run) / "analysis"
    tables = _tables(found)
    drawn = figures(found.evaluations, found.config, found.data, lines)
    for name in ("tables", "figures"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    table = analysis.fixation_table(
        found.own.fixations,
        probabilities=found.own.probabilities,
        label=found.own.label,
        seed=found.config.seed,
        **found.sides,
    )
    analysis.write_csv(folder / "tables" / "fixations.csv", table)
    for shown in tables:
        _write_table(folder / "tables" / f"{shown.name}.csv", shown)
    for name, (_, figure) in drawn.items():
        figure.savefig(folder / "figures" / f"{name}.png", dpi=200)
        figure.savefig(folder / "figures" / f"{name}.pdf")
    _animate(folder / "figures" / "trial.gif", found)
    whole = page(Path(run).name, found.config, found.verdict, tables, drawn, folder / "figures")
    write_atomically(folder / "report.html", lambda file: file.write(whole.encode()))
    return folder


def _findings(run: str | Path, people: np.ndarray | None) -> Findings:
    config, data, graph, params = load_run(run)
    images = len(data.test["label"])
    if people is not None and people.shape[1] > images:
        raise InputError(f"people must have looked at the test images, {images}; got fixations on {people.shape[1]}")
    if graph.length == 1:
        raise InputError("a run must make saccades to be analysed; this one has a single glimpse")
    key, sample_key = jax.random.split(jax.random.key(config.seed))
    evaluations = evaluate_with_controls(graph, params, data, policy=config.model.policy, key=key)
    few = {name: array[:OBSERVED_IMAGES] for name, array in data.test.items()}
    passes = sample_scanpaths(graph, params, few, key=sample_key, passes=PASSES)
    verdict = diagnose(evaluations, policy=config.model.policy, config=config, data=data)
    return Findings(config, data, evaluations, passes, people, verdict)


def _people(file: str | Path) -> np.ndarray:
    """People's fixations as ``[S, N, T, 2]``, T that of the shortest scanpath."""
    table = analysis.read_csv(file)
    if table.subject is None:
        raise InputError(f"people's fixations must have the column subject; {file} has none")
    subjects, seen = np.unique(table.subject), np.unique(table.image)
    _, lengths = np.unique(
        np.stack([table.image, np.searchsorted(subjects, table.subject)]), axis=1, return_counts=True
    )
    paths = analysis.to_scanpaths(table, length=int(lengths.min(initial=len(table.image))))
    if seen.tolist() != list(range(len(seen))) or len(paths) != len(seen) * len(subjects):
        raise InputError(f"every subject in {file} must have seen the same first test images, numbered from 0")
    return paths.reshape(len(seen), len(subjects), *paths.shape[1:]).swapaxes(0, 1)


def _tables(found: Findings) -> list[Table]:
    own, sides = found.own, found.sides
    few = own.fixations[: found.passes.shape[1]]
    tables = [
        accuracy_table(found.evaluations),
        statistics_table(found.evaluations, crop=found.config.model.crop, **sides),
        direction_table(own.fixations, **sides),
        information_table(found.verdict),
        speed_table(found.evaluations),
        similarity_table("the policy's own passes", found.passes, {"its mean action": few}, **sides),
        density_table("the policy's own passes", found.passes, {}, **sides),
    ]
    if found.people is not None:
        count = found.people.shape[1]
        tables.append(similarity_table("people", found.people, {"the model": own.fixations[:count]}, **sides))
        seen = min(count, OBSERVED_IMAGES)
        if len(found.people) > 1:
            maps = {"the model": analysis.observed_densities(found.passes[:, :seen], **sides)}
            tables.append(density_table("people", found.people[:, :seen], maps, **sides))
    return tables


def _write_table(path: Path, table: Table) -> None:
    with path.open("w", newline="") as file:
        csv.writer(file).writerows(expanded(table))


def _animate(path: Path, found: Findings) -> None:
    own, model = found.own, found.config.model
    index = telling_trial(own)
    animate_trial(
        path,
        found.data.test["image"][index],
        own.fixations[index],
        size=model.crop,
        scales=model.scales,
        probabilities=own.probabilities[index],
    )
