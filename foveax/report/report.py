"""The report on a run: the folder of tables and figures, and the page that holds them all."""

import csv
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np

from foveax import analysis
from foveax._types import InputError
from foveax.analysis.table import known_columns
from foveax.data.dataset import Data
from foveax.pipelines.named import Build, Pipeline
from foveax.plot.scanpath import animate_trial
from foveax.report.figures import figures_of_run, figures_of_track, representative_trial
from foveax.report.findings import Findings, Makers, Part, Parts, People, Track, collect_findings
from foveax.report.page import page
from foveax.report.tables import expanded, tables_of_decisions, tables_of_observers, tables_of_track
from foveax.runs.directory import read_single_run
from foveax.runs.load import load_run
from foveax.runtime.files import write_atomically


def write_report(
    run: str | Path,
    out: str | Path | None = None,
    *,
    people: analysis.FixationTable | str | Path | None = None,
    data: Data | None = None,
    new_data: Data | str | None = None,
    pipeline: Build | Pipeline | None = None,
    data_dir: str | Path | None = None,
) -> Path:
    """Analyses a run, and writes a folder: ``report.html``, ``tables/*.csv``, ``figures/*.png`` and ``.pdf``.

    ``tables/fixations.csv`` holds every fixation (`foveax.analysis.FixationTable`); the other tables are those of the
    page, which holds all tables and figures and needs no other file. ``figures/trial.gif`` is a film of one trial.

    The run may be of any pipeline with saccades: what is written follows from the roles that its graph declares
    (`foveax.Roles`). A sentence on the page says what is left out. Of several agents, each has tables, figures and a
    verdict by its name. The data, the pipeline and `data_dir` are as in `foveax.load_run`; if the run is judged on new
    data, the page says so. Returns the path of the folder, by default ``analysis`` in the run directory, or
    ``analysis-on-NAME`` on new data.

    People's fixations are a table, or a CSV file as `foveax.analysis.read_csv` reads it without options; its column
    ``image`` counts the test images from 0. They are compared on the images that every subject has looked at for long
    enough, over as many fixations of each: the length is chosen so that as many fixations as can be are compared, and
    is said. Fixations outside the image are left out where maps are scored.

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
    table = analysis.read_csv(people) if isinstance(people, str | Path) else people
    observers = None if table is None else people_of(table)  # refused before anything that takes long
    loaded = load_run(run, data, new_data=new_data, pipeline=pipeline, data_dir=data_dir)
    record = read_single_run(loaded.path)
    trained_on = loaded.config.data if data is None else "arrays given in Python"
    if loaded.judged_on:  # the name of the data of the training was not compared with anything
        dtype, shape, _ = record.data["train"]["image"]
        trained_on = f"{shape[0]:,} images {dtype}{shape[1:]}"
    findings = collect_findings(loaded, record, trained_on, observers)
    default = f"analysis-on-{_file_name(loaded.judged_on)}" if loaded.judged_on else "analysis"
    folder = loaded.path / default if out is None else Path(out).expanduser()
    for name in ("tables", "figures"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    failures: list[str] = []
    of_tracks = _of_tracks(tables_of_track, findings)
    of_run = {**tables_of_decisions(findings), **tables_of_observers(findings)}
    tables = _make("table", {**of_tracks, **of_run}, failures)
    figures = _make("figure", {**figures_of_run(findings), **_of_tracks(figures_of_track, findings)}, failures)
    for name, (_, table) in tables.items():
        with (folder / "tables" / f"{name}.csv").open("w", newline="") as file:
            csv.writer(file).writerows(expanded(table))
    for name, (_, figure) in figures.items():
        figure.savefig(folder / "figures" / f"{name}.png", dpi=200)
        figure.set_layout_engine("none")  # the layout of the first file is kept
        figure.savefig(folder / "figures" / f"{name}.pdf")
    _write_gaze(folder, findings, failures)
    text = page(findings, tables, figures, failures, folder / "figures")
    write_atomically(folder / "report.html", lambda file: file.write(text.encode()))
    return folder


def people_of(table: analysis.FixationTable) -> People:
    """The fixations on images that all subjects looked at for a length, chosen so that most are compared."""
    if table.subject is None:
        raise InputError("people's fixations must have the column subject; these have none")
    images, image = np.unique(table.image, return_inverse=True)
    subjects, subject = np.unique(table.subject, return_inverse=True)
    counts = np.zeros((len(images), len(subjects)), int)
    np.add.at(counts, (image, subject), 1)
    shortest = counts.min(axis=1, initial=len(table.image))  # of an image, 0 where a subject has not looked at it
    length = max(range(1, counts.max(initial=0) + 1), key=lambda count: count * (shortest >= count).sum(), default=0)
    chosen = images[shortest >= length] if length else images[:0]
    if not len(chosen):
        raise InputError("all subjects must have looked at an image in common; got none")
    rows = np.isin(table.image, chosen)
    known = known_columns(table)
    kept = analysis.FixationTable(**{name: column[rows] for name, column in known.items()})
    paths = analysis.to_scanpaths(kept._replace(seed=None), length=length)
    observers = paths.reshape(len(chosen), len(subjects), length, 2).swapaxes(0, 1)
    return People(chosen, observers, len(table.image), tuple(map(str, subjects)))


def _of_tracks(makers: Callable[[Findings, Track], Makers[Part]], findings: Findings) -> Makers[Part]:
    """The makers of all tracks; of several, each under its own names and titles."""
    named: Makers[Part] = {}
    for track in findings.tracks:
        for name, (title, make) in makers(findings, track).items():
            if len(findings.tracks) > 1:
                name, title = f"{name}_{_file_name(track.name)}", f"{title}: {track.name}"
            while name in named:
                name += "_"
            named[name] = (title, make)
    return named


def _make(kind: str, makers: Makers[Part], failures: list[str]) -> Parts[Part]:
    """Everything that can be made; a sentence on everything that cannot joins the failures."""
    made: Parts[Part] = {}
    for name, (title, make) in makers.items():
        try:
            made[name] = (title, make())
        except InputError as error:
            failures.append(f"The {kind} {name} is left out: {error}.")
    return made


def _file_name(name: str) -> str:
    """The end of a name, without characters that mean something to a file system or a shell."""
    return re.sub(r"[^\w.-]+", "-", name, flags=re.ASCII).strip("-.")[-100:] or "unnamed"


def _write_gaze(folder: Path, findings: Findings, failures: list[str]) -> None:
    """Writes the table of all fixations and the film of a trial; nothing without a gaze."""
    own = findings.own
    if own.fixations is None:
        return
    beliefs = own.probabilities
    columns = {"label": own.label, "seed": findings.run.config.seed, **findings.sides}
    try:
        decided = beliefs if findings.has_decisions else None
        table = analysis.fixation_table(own.fixations, probabilities=decided, **columns)
    except InputError as error:  # the belief is no distribution
        failures.append(f"The table fixations is without the columns of the belief: {error}.")
        table = analysis.fixation_table(own.fixations, **columns)
    analysis.write_csv(folder / "tables" / "fixations.csv", table)
    index = representative_trial(own)
    trial = findings.images[index], own.fixations[index]
    drawn = findings.beliefs
    film = folder / "figures" / "trial.gif"
    animate_trial(
        film, *trial, **findings.retina, probabilities=None if drawn is None else drawn[index], names=findings.names
    )
