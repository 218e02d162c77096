"""The report on a run: the folder of tables and figures, and the page that holds them all."""

import csv
import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from foveax import analysis
from foveax._types import InputError
from foveax.data.dataset import Data
from foveax.evaluation.controls import own_name
from foveax.pipelines.named import Build, Pipeline
from foveax.plot.scanpath import animate_trial
from foveax.report.figures import draw_figures, representative_trial
from foveax.report.findings import SAMPLED_IMAGES, Findings, Track, collect_findings
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
from foveax.runs.directory import RunRecord, read_single_run
from foveax.runs.load import LoadedRun, load_run
from foveax.runs.metrics_file import read_metrics
from foveax.runtime.files import write_atomically

if TYPE_CHECKING:
    from matplotlib.figure import Figure

LONGEST_NAME = 100
"""Characters of a data set's name in that of a folder."""
PASSES_NAME = "the policy's own passes"


def write_report(
    run: str | Path,
    out: str | Path | None = None,
    *,
    people: str | Path | None = None,
    data: Data | None = None,
    new_data: Data | str | None = None,
    pipeline: Build | Pipeline | None = None,
    data_dir: str | Path | None = None,
) -> Path:
    """Analyses a run, and writes a folder: ``report.html``, ``tables/*.csv``, ``figures/*.png`` and ``.pdf``.

    ``tables/fixations.csv`` holds every fixation (`foveax.analysis.FixationTable`); the other tables are those of the
    page, which holds all tables and figures and needs no other file. ``figures/trial.gif`` is a film of one trial.

    The run may be of any pipeline: what is written follows from the roles that its graph declares (`foveax.Roles`). A
    sentence on the page says what is left out. Of several agents, each has tables, figures and a verdict by its name.

    Args:
      run: the run directory of a pipeline with saccades.
      out: the folder; by default ``analysis`` in the run directory, or ``analysis-on-NAME`` if it is judged on a new
        set.
      people: a CSV file of people's fixations (`foveax.analysis.read_csv`) on the first test images, each of which
        every subject has looked at; their column ``image`` counts from 0. All scanpaths are cut to the length of the
        shortest, and fixations outside the image are left out where maps are scored.
      data: as in `foveax.load_run`.
      new_data: another set to judge the run on, as there; the page then says so.
      pipeline: as there.
      data_dir: as there.

    Returns:
      the folder.

    Raises:
      InputError: if the run or the people's fixations cannot be read, or the pipeline makes no saccades.

    Example:
      >>> import foveax as fx, tempfile
      >>> config = fx.TrainingConfig(images=64, pipeline=fx.PipelineConfig(glimpses=2, hidden=8, features=8))
      >>> with tempfile.TemporaryDirectory() as folder:
      ...     result = fx.train(config, out=f"{folder}/run", evaluate=False)
      ...     sorted(path.name for path in write_report(f"{folder}/run").iterdir())
      ['figures', 'report.html', 'tables']
    """
    observers = None if people is None else _people(people)  # before what takes long
    loaded = load_run(run, data, new_data=new_data, pipeline=pipeline, data_dir=data_dir)
    record = read_single_run(loaded.path)
    trained_on = _trained_on(loaded, record, arrays=data is not None)
    findings = collect_findings(loaded, record, trained_on=trained_on, people=observers)
    folder = loaded.path / _folder_name(loaded.judged_on) if out is None else Path(out).expanduser()
    suffixes = _suffixes(findings.tracks)
    tables, lost_tables = _tables(findings, suffixes)
    figures, lost_figures = draw_figures(findings, read_metrics(loaded.path / "metrics.jsonl"), suffixes)
    for name in ("tables", "figures"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    _write_fixations(folder / "tables" / "fixations.csv", findings)
    for table in tables:
        _write_table(folder / "tables" / f"{table.name}.csv", table)
    for name, captioned in figures.items():
        _write_figure(folder / "figures" / name, captioned.figure)
    _write_film(folder / "figures" / "trial.gif", findings)
    omissions = [*findings.omissions, *lost_tables, *lost_figures]
    text = page(findings, tables, figures, omissions, folder / "figures")
    write_atomically(folder / "report.html", lambda file: file.write(text.encode()))
    return folder


def _trained_on(run: LoadedRun, record: RunRecord, *, arrays: bool) -> str:
    """The data of the training in words: by their name only if they were compared with it."""
    if not run.judged_on:
        return "arrays given in Python" if arrays else run.config.data
    dtype, shape, _ = record.data["train"]["image"]
    return f"{shape[0]:,} images {dtype}{shape[1:]}"


def _folder_name(judged_on: str) -> str:
    if not judged_on:
        return "analysis"
    return f"analysis-on-{_file_name(judged_on)[-LONGEST_NAME:]}"


def _file_name(name: str) -> str:
    """A name without characters that mean something to a file system or a shell."""
    return re.sub(r"[^\w.-]+", "-", name, flags=re.ASCII).strip("-.") or "unnamed"


def _suffixes(tracks: Iterable[Track]) -> dict[str, str]:
    """What the names of a track's files end with, by the track's name: nothing, if there is one alone."""
    names = [track.name for track in tracks]
    if len(names) == 1:
        return {names[0]: ""}
    suffixes: dict[str, str] = {}
    for name in names:
        suffix = f"_{_file_name(name)}"
        while suffix in suffixes.values():
            suffix += "_"
        suffixes[name] = suffix
    return suffixes


def _people(file: str | Path) -> np.ndarray:
    """People's fixations as ``[S, N, T, 2]``, T that of the shortest scanpath."""
    table = analysis.read_csv(file)
    if table.subject is None:
        raise InputError(f"people's fixations must have the column subject; {file} has none")
    subjects = np.unique(table.subject)
    images = np.unique(table.image)
    _, lengths = np.unique(
        np.stack([table.image, np.searchsorted(subjects, table.subject)]), axis=1, return_counts=True
    )
    paths = analysis.to_scanpaths(table, length=int(lengths.min(initial=len(table.image))))
    if images.tolist() != list(range(len(images))) or len(paths) != len(images) * len(subjects):
        raise InputError(f"every subject in {file} must have looked at the same first test images, numbered from 0")
    return paths.reshape(len(images), len(subjects), *paths.shape[1:]).swapaxes(0, 1)


def _tables(findings: Findings, suffixes: dict[str, str]) -> tuple[list[Table], list[str]]:
    """All tables, and sentences on those that cannot be made."""
    tables = []
    for track in findings.tracks:
        suffix = suffixes[track.name]
        for table in _track_tables(findings, track):
            title = f"{table.title}: {track.name}" if suffix else table.title
            tables.append(table._replace(name=f"{table.name}{suffix}", title=title))
    fixations, passes = findings.own.fixations, findings.passes
    if fixations is None or passes is None:
        return tables, []
    sides = findings.sides
    modes = {"its mode": fixations[: passes.shape[1]]}
    attempts: dict[str, Callable[[], Table]] = {
        "similarity of passes": lambda: similarity_table(PASSES_NAME, passes, modes, **sides),
        "prediction of passes": lambda: density_table(PASSES_NAME, passes, {}, **sides),
    }
    omissions = []
    for name, attempt in attempts.items():
        try:
            tables.append(attempt())
        except InputError as error:
            omissions.append(f"The table on the {name} is left out: {error}.")
    return tables + _people_tables(findings, fixations, passes), omissions


def _track_tables(findings: Findings, track: Track) -> list[Table]:
    """Scores, scanpaths, information about the class and reading time of one agent, or of the gaze."""
    sides = findings.sides
    tables = [accuracy_table(track.evaluations)] if track.evaluations else []
    if track.places:
        crop_size = findings.retina.get("size", 0) if track.is_gaze else 0
        tables.append(statistics_table(track.places, **sides, crop_size=crop_size))
        tables.append(direction_table(track.places[own_name(findings.graph)], **sides))
    if track.measures is not None:
        tables.append(information_table(track.measures))
    if track.evaluations and findings.has_distributions:
        tables.append(speed_table(track.evaluations))
    return tables


def _people_tables(findings: Findings, fixations: np.ndarray, passes: np.ndarray) -> list[Table]:
    """How like people the pipeline looks, and how well its passes predict where people look."""
    people = findings.people
    if people is None:
        return []
    count = people.shape[1]
    tables = [similarity_table("people", people, {"the model": fixations[:count]}, **findings.sides)]
    if len(people) > 1:
        images = min(count, SAMPLED_IMAGES)
        maps = {"the model": analysis.observed_densities(passes[:, :images], **findings.sides)}
        tables.append(density_table("people", people[:, :images], maps, **findings.sides))
    return tables


def _write_fixations(path: Path, findings: Findings) -> None:
    """Writes the table of all fixations; nothing without a gaze."""
    own = findings.own
    if own.fixations is None:
        return
    probabilities = own.probabilities if findings.has_distributions else None
    seed = findings.run.config.seed
    table = analysis.fixation_table(
        own.fixations, probabilities=probabilities, label=own.label, seed=seed, **findings.sides
    )
    analysis.write_csv(path, table)


def _write_table(path: Path, table: Table) -> None:
    with path.open("w", newline="") as file:
        csv.writer(file).writerows(expanded(table))


def _write_figure(path: Path, figure: "Figure") -> None:
    """Writes a figure as PNG and PDF, laid out once."""
    figure.savefig(path.with_name(f"{path.name}.png"), dpi=200)
    figure.set_layout_engine("none")
    figure.savefig(path.with_name(f"{path.name}.pdf"))


def _write_film(path: Path, findings: Findings) -> None:
    """Writes the film of a trial; nothing without a gaze."""
    own = findings.own
    if own.fixations is None:
        return
    index = representative_trial(own)
    probabilities = None if own.probabilities is None else own.probabilities[index]
    animate_trial(path, findings.images[index], own.fixations[index], **findings.retina, probabilities=probabilities)
