"""The page of a study: one HTML file with every table and figure, and the folder that holds them."""

import csv
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from foveax.analysis.table import FixationTable, write_csv
from foveax.report.page import html_page, image_html, note_html, table_html
from foveax.report.tables import Table, expanded
from foveax.runtime.files import write_atomically
from foveax.study.compare import Study
from foveax.study.figures import figures_of
from foveax.study.intervals import crossed_intervals
from foveax.study.likeness import CEILING
from foveax.study.tables import UNKNOWN_CEILING, difference, tables_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure

LIKENESS = """Every score stands next to those of an eye that stays at the <b>centre</b>, looks at <b>random</b>, makes
the one sequence that is most like people's (<b>best fixed</b>), or follows a participant's gaze on <b>another
image</b>; <b>another participant</b> on the same image is the ceiling. Most people, and most models, look near the
centre, and whoever does is like everybody: only what goes beyond that, what is owed to the image, tells whether an eye
looks as people do."""
SECTIONS = {
    "eyes": ("Which eye is most like people's?", "", ("eyes",)),
    "decisions": ("What do people and the model see?", "", ("accuracy", "gains", "accuracy_by_share", "shares")),
    "likeness": ("Does the model look as people do?", LIKENESS, ("specific", "likeness", "tests", "densities")),
    "information": ("Does the model know where people look?", "", ("information",)),
    "difficulty": ("What is hard for both, and how long does it take?", "", ("difficulty", "time", "hardest")),
}
"""Sections by anchor: the question, an explanation, and the tables and figures."""


def write_study(
    study: Study,
    folder: Path,
    *,
    title: str,
    notes: list[str],
    extra: dict[str, tuple[str, Table]] | None = None,
) -> Path:
    """Writes a folder: ``report.html``, ``tables/*.csv``, ``figures/*.png`` and ``.pdf``; returns that of the page.

    The notes are sentences on the data; further tables join those of the study. ``tables/fixations.csv`` holds the
    fixations of each eye on the trials, with the trial's number.
    """
    for name in ("tables", "figures"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    tables = {**tables_of(study), **(extra or {})}
    for name, (_, table) in tables.items():
        with (folder / "tables" / f"{name}.csv").open("w", newline="") as file:
            csv.writer(file).writerows(expanded(table))
    parts: dict[str, str] = {}
    for name, (caption, draw) in figures_of(study).items():
        figure = draw()
        _save(figure, folder / "figures" / name)
        parts[name] = image_html(folder / "figures" / f"{name}.png", caption, figure.get_figwidth())
    for name, (heading, table) in tables.items():
        parts[name] = parts.get(name, "") + table_html(name, heading, table)
    write_csv(folder / "tables" / "fixations.csv", _fixations(study))
    page = folder / "report.html"
    text = _page(title, [*verdicts(study)], notes, parts)
    write_atomically(page, lambda file: file.write(text.encode()))
    return page


def verdicts(study: Study) -> list[str]:
    """A sentence on each eye: its part of the likeness that people owe to the image, and whether beyond chance.

    The interval of a part is that of the eye's likeness; the ceiling is taken as it was measured.
    """
    specific, zero = study.likeness.specific, np.zeros(len(study.trials.image))
    ceiling = crossed_intervals(specific[CEILING]["scanmatch"], study.trials.image, study.trials.subject)[0]
    if not np.isfinite(ceiling.mean):
        return [UNKNOWN_CEILING]
    if not ceiling.low > 0:
        return [
            "People's scanpaths on one image are not more alike than on two, beyond chance: nothing can be said of how "
            "human a model's are."
        ]
    sentences = []
    for eye in study.eyes:
        found = difference(study, specific[eye.name]["scanmatch"], zero)
        share = 100 * found.interval.mean / ceiling.mean
        low, high = (100 * bound / ceiling.mean for bound in found.interval[1:])
        likeness = f"{share:.0f} % [{low:.0f}, {high:.0f}] of what people's scanpaths owe to the image (ScanMatch)"
        beyond = "more than an eye that does not look at the image" if found.interval.low > 0 else "not beyond chance"
        sentences.append(f"{eye.name}: {likeness}, {beyond}.")
    return sentences


def _page(title: str, verdict: list[str], notes: list[str], parts: dict[str, str]) -> str:
    sections, links = [], []
    for anchor, (question, explanation, names) in SECTIONS.items():
        own = [parts[name] for name in names if name in parts]
        if own:
            links.append(f'<a href="#{anchor}">{question}</a>')
            explained = f"<p>{explanation}</p>" * bool(explanation)
            sections.append("\n".join([f'<h2 id="{anchor}">{question}</h2>', explained, *own]))
    paragraphs = [f'<p class="verdict">{escape(sentence)}</p>' for sentence in verdict]
    body = [f"<h1>{escape(title)}</h1>", *paragraphs, *map(note_html, notes), f"<nav>{''.join(links)}</nav>", *sections]
    return html_page(title, body)


def _save(figure: "Figure", path: Path) -> None:
    from matplotlib import pyplot

    figure.savefig(path.with_suffix(".png"), dpi=200)
    figure.savefig(path.with_suffix(".pdf"))
    pyplot.close(figure)


def _fixations(study: Study) -> FixationTable:
    """The fixations of each eye's mode; the subject is the eye's name, the image the stimulus's number in the study."""
    trials, length = study.trials, study.trials.fixations.shape[1]
    count, eyes = len(trials.image), len(study.eyes)
    places = np.concatenate([study.gaze[eye.name].fixations for eye in study.eyes]).reshape(-1, 2)
    return FixationTable(
        image=np.tile(np.repeat(trials.image, length), eyes),
        glimpse=np.tile(np.arange(1, length + 1), count * eyes),
        x=places[:, 0],
        y=places[:, 1],
        subject=np.repeat([eye.name for eye in study.eyes], count * length),
        trial=np.tile(np.repeat(np.arange(count), length), eyes),
        stimulus=np.tile(np.repeat(trials.names[trials.image], length), eyes),
    )
