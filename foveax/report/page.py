"""The page of a report: one HTML file that needs no other."""

import base64
import json
import math
from collections.abc import Iterable, Mapping
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from foveax.analysis.bootstrap import Interval, bootstrap_mean
from foveax.analysis.decisions import calibration
from foveax.evaluation.evaluate import class_balance, table_title
from foveax.report.findings import Findings, Parts
from foveax.report.tables import Cell, Table
from foveax.runs.pipeline import STOCK

STYLE = """
:root { color-scheme: light dark; --ink: #222; --paper: #fff; --soft: #555; --line: #ddd; --link: #0072b2 }
@media (prefers-color-scheme: dark) {
  :root { --ink: #ddd; --paper: #161616; --soft: #a8a8a8; --line: #444; --link: #56b4e9 }
}
body { font: 15px/1.5 system-ui, sans-serif; max-width: 62rem; margin: 1.5rem auto; padding: 0 1rem;
       color: var(--ink); background: var(--paper); overflow-wrap: anywhere }
h1 { margin: 0 } h2 { margin: 2.5rem 0 .5rem; border-top: 1px solid var(--line); padding-top: 1rem }
a { color: var(--link) } nav { margin: 1rem 0; display: flex; flex-wrap: wrap; gap: .2rem 1.2rem }
dl { display: grid; grid-template-columns: repeat(auto-fill, minmax(9.5rem, 1fr)); gap: .8rem; margin: 1rem 0 }
dt { color: var(--soft); font-size: 13px } dd { margin: 0; font-size: 1.3rem }
dd small { font-size: 12px; white-space: nowrap }
table { border-collapse: collapse; font-size: 13px; font-variant-numeric: tabular-nums }
th, td { padding: .2rem .6rem; text-align: right; border-bottom: 1px solid var(--line); vertical-align: top }
th:first-child, td:first-child { text-align: left } th, td { overflow-wrap: normal }
td small { display: block; color: var(--soft); font-size: 11px; white-space: nowrap }
.wide { overflow-x: auto }
.note, figcaption { color: var(--soft); font-size: 13px; max-width: 50rem }
.verdict { border-left: 4px solid var(--link); padding-left: .8rem }
.collapsed { border-color: #d55e00 }
figure { display: inline-block; vertical-align: top; margin: 1rem 1.5rem 1rem 0; max-width: calc(100% - 1.5rem);
         overflow-x: auto }
img { max-width: 100%; background: #fff } pre { overflow-x: auto }
@media (max-width: 600px) {
  table, tbody { display: block } thead { display: none }
  tr { display: grid; grid-template-columns: repeat(auto-fill, minmax(6.2rem, 1fr)); gap: .2rem .8rem;
       border-bottom: 1px solid var(--line); padding: .4rem 0 }
  td { text-align: left; border: 0; padding: 0 } td:first-child { grid-column: 1 / -1; font-weight: bold }
  td:empty { display: none }
  td:not(:first-child)::before { content: attr(title); display: block; color: var(--soft); font-size: 11px }
}
"""
CONTROLS = """A classifier can be right while its eye is idle: what one place shows may be enough. So every accuracy
stands next to those of the same network, with the same parameters, on the same images, when its eye is moved by
something else. <b>best sequence</b>: the places that serve best if they must be the same on every image, searched for
on training images; what the policy adds to it is what it gains by looking at the image. <b>another image</b>: the
policy's own places, but those that it chose on another image; if nothing is lost, they do not depend on what is seen.
<b>random</b>: uniform over the image. <b>centre</b>: no movement at all. Chance is one over the number of classes."""
LIKENESS = """The eye's scanpaths are compared with others' on the same images. <b>another image</b>, <b>random</b>
and <b>centre</b> show what likeness without a reason looks like; <b>between observers</b>, how alike these are among
themselves, is the ceiling."""
SECTIONS = {
    "controls": ("Does it matter where it looks?", CONTROLS, ("accuracy",)),
    "decisions": (
        "Which decisions are wrong, and how sure is it of them?",
        "",
        ("confusion", "reliability", "class_accuracy", "calibration"),
    ),
    "time": ("How soon is it sure?", "", ("speed", "stopping")),
    "places": (
        "Where does it look?",
        "",
        ("trials", "trial", "glimpses", "classes", "saccades", "field", "statistics", "directions", "information"),
    ),
    "likeness": ("Whose eye movements are like these?", LIKENESS, ("people", "similarity", "prediction")),
    "learning": ("How did it learn?", "", ("learning",)),
}
"""By anchor: the question, an explanation, and the tables and figures, whose names may go on behind a ``_``."""


def page(findings: Findings, tables: Parts[Table], figures: Parts[Figure], failures: list[str], folder: Path) -> str:
    """The page as HTML, of the tables, of the figures in a folder, and of sentences on what could not be made."""
    run = findings.run
    title = run.path.absolute().name + (f", judged on {run.judged_on}" if run.judged_on else "")
    parts = {
        name: image_html(folder / f"{name}.png", text, drawn.get_figwidth()) for name, (text, drawn) in figures.items()
    }
    if findings.own.fixations is not None:
        parts["trial_in_time"] = image_html(folder / "trial.gif", "A trial in time", 7.0)
    for name, table in tables.items():
        parts[name] = parts.get(name, "") + table_html(name, *table)
    sections = {anchor: _section(anchor, parts) for anchor in SECTIONS}
    answered = {anchor: SECTIONS[anchor][0] for anchor, text in sections.items() if text}
    links = "".join(f'<a href="#{anchor}">{question}</a>' for anchor, question in answered.items())
    body = [
        f"<h1>{escape(title)}</h1>",
        f"<p>{escape(_summary(findings))}</p>",
        *_verdicts(findings.diagnoses),
        _key_numbers(findings),
        f'<nav>{links}<a href="#configuration">Configuration</a></nav>',
        *map(note_html, [*_notes(findings), *failures]),
        *sections.values(),
        f'<h2 id="configuration">Configuration</h2><pre>{escape(json.dumps(_configuration(findings), indent=2))}</pre>',
    ]
    return html_page(title, body)


def _section(anchor: str, parts: Mapping[str, str]) -> str:
    """A question with the parts that answer it; nothing without any."""
    question, explanation, bases = SECTIONS[anchor]
    own = [parts[name] for base in bases for name in parts if name == base or name.startswith(f"{base}_")]
    if not own:
        return ""
    return "\n".join([f'<h2 id="{anchor}">{question}</h2>', f"<p>{explanation}</p>" * bool(explanation), *own])


def _key_numbers(findings: Findings) -> str:
    """The numbers that matter most, as a list of terms."""
    own = findings.own
    last = own.score[:, -1]
    unit = " %" if findings.has_decisions else ""
    numbers: dict[str, str] = {}
    if np.isfinite(last).all():
        mean, low, high = (100 * value for value in bootstrap_mean(last))
        interval = f" <small>[{low:.1f}, {high:.1f}]</small>" * bool(np.isfinite(low))  # of one image there is none
        numbers[table_title(own).removesuffix(" (%)") + ", last glimpse"] = f"{mean:.1f}{unit}{interval}"
    if findings.has_decisions:
        assert own.probabilities is not None
        assert own.label is not None
        balance = class_balance(own, findings.run.data.train["label"]) or {}
        numbers[f"chance, one of {own.probabilities.shape[-1]} classes"] = f"{100 * (findings.chance or 0):.1f} %"
        numbers["always the most frequent class"] = f"{100 * balance['majority']:.1f} %"
        if np.isfinite(own.probabilities[:, -1]).all():
            numbers["calibration error"] = f"{100 * calibration(own.probabilities[:, -1], own.label).error:.1f} %"
    for name, measures in findings.diagnoses.items():
        agent = f", {name}" if len(findings.diagnoses) > 1 else ""
        gain, low, high = (100 * value for value in measures["gain_over_sequence"].values())
        points = " points" * findings.has_decisions
        numbers[f"gain over the best fixed sequence{agent}"] = (
            f"{gain:+.1f}{points} <small>[{low:.1f}, {high:.1f}]</small>"
        )
    numbers["test images"] = f"n = {len(last):,}"
    terms = (f"<div><dt>{escape(term)}</dt><dd>{value}</dd></div>" for term, value in numbers.items())
    return f"<dl>{''.join(terms)}</dl>"


def _configuration(findings: Findings) -> dict[str, Any]:
    pipeline = findings.record.pipeline
    links = {} if pipeline["function"] in STOCK else {"pipeline": {"links": findings.run.graph.links}}
    return {**findings.run.config.to_json(), **links, **{name: pipeline[name] for name in ("function", "arguments")}}


def _summary(findings: Findings) -> str:
    config = findings.run.config
    graph = findings.run.graph
    retina = findings.retina
    crops = f"; crops of {retina['size']}x{retina['size']} pixels, scales: {retina['scales']}" if retina else ""
    return (
        f"Trained on {findings.trained_on}, {config.task}; {graph.length} glimpses{crops}; agents: "
        f"{', '.join(graph.agents) or 'none'}; {config.images:,} images, seed {config.seed}."
    )


def _notes(findings: Findings) -> list[str]:
    """Sentences on other data, and on what the page leaves out since the graph does not declare it."""
    judged_on = findings.run.judged_on
    roles = findings.run.graph.roles
    undecided = " and ".join(f"no {name}" for name in ("belief", "label") if not getattr(roles, name))
    information = "" if roles.label else "information about the class, "
    sentences = {
        "The run is judged on other data than it was trained on: every table, verdict and figure below is of the test "
        f"images of {judged_on}. Only the learning curve is of the training.": judged_on,
        "The graph declares no gaze: the fixation table, trials, their film and the comparison of scanpaths are left "
        "out.": not roles.gaze,
        "The graph declares no square crop: the frames of crops, the crops, coverage and the reconstruction of the "
        "image are left out.": roles.gaze and not findings.retina,
        f"The graph declares {undecided}: the score is minus the test loss, and {information}the speed-accuracy curve "
        "and reading time are left out.": undecided,
        "There is one test image: its figures have no interval, and what compares it with other images is left out, as "
        "are the fixations of another image among the controls.": len(findings.images) == 1,
        "Nothing in the graph chooses a place that can be controlled: there is no verdict.": not findings.diagnoses,
    }
    return [sentence for sentence, applies in sentences.items() if applies]


def _verdicts(diagnoses: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """A verdict for each agent, by its name if there are several."""
    paragraphs = []
    for name, measures in diagnoses.items():
        eye = "The eye" if len(diagnoses) == 1 else name
        sentence = f"{eye}: {measures['verdict']}: {measures['because']}."
        paragraphs.append(f'<p class="verdict{" collapsed" * measures["collapsed"]}">{escape(sentence)}</p>')
    return paragraphs


def html_page(title: str, body: Iterable[str]) -> str:
    """A whole page of a title, which is text, and the parts of its body, which are HTML."""
    head = f'<meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>{escape(title)}: foveax'
    style = f"</title><style>{STYLE}</style>"
    return (
        f'<!doctype html>\n<html lang="en"><head>{head}{style}</head><body>\n' + "\n".join(body) + "\n</body></html>\n"
    )


def note_html(sentence: str) -> str:
    """A sentence as a note."""
    return f'<p class="note">{escape(sentence)}</p>'


def table_html(name: str, title: str, table: Table) -> str:
    """A table under its title, with its note."""
    head = "".join(f"<th>{escape(column)}</th>" for column in table.header)
    rows = [zip(map(escape, table.header), map(_cell, row), strict=True) for row in table.rows]
    cells = ["".join(f'<td title="{column}">{cell}</td>' for column, cell in row) for row in rows]
    body = "".join(f"<tr>{row}</tr>" for row in cells)
    return (
        f'<h3>{escape(title)}</h3>\n<div class="wide"><table id="{escape(name)}">'
        f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>\n" + note_html(table.note)
    )


def _cell(cell: Cell) -> str:
    if isinstance(cell, Interval):
        if math.isnan(cell.low):
            return _cell(cell.mean)
        return f"{_number(cell.mean)}<small>[{_number(cell.low)}, {_number(cell.high)}]</small>"
    return escape(cell) if isinstance(cell, str) else _number(cell)


def _number(value: float) -> str:
    return f"{value:.2f}" if abs(value) >= 10 else f"{value:.3f}"


def image_html(file: Path, caption: str, inches: float) -> str:
    """An image with its caption, held by the page itself; scrolled on a screen on which its text would be too small."""
    data = base64.b64encode(file.read_bytes()).decode()
    size = f'style="width: {round(130 * inches)}px; min-width: {round(70 * inches)}px"'
    image = f'<img {size} alt="{escape(caption)}." src="data:image/{file.suffix[1:]};base64,{data}">'
    return f"<figure>{image}<figcaption>{escape(caption)}.</figcaption></figure>"
