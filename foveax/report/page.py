"""The page of a report: one HTML file that needs no other."""

import base64
import json
import math
from collections.abc import Mapping
from html import escape
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from foveax.analysis.bootstrap import Interval
from foveax.report.findings import Findings, Parts
from foveax.report.tables import Cell, Table
from foveax.runs.pipeline import STOCK

STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 62rem; margin: 2rem auto; padding: 0 1rem; color: #222 }
table { border-collapse: collapse; font-size: 13px; font-variant-numeric: tabular-nums }
th, td { padding: .2rem .6rem; text-align: right; border-bottom: 1px solid #ddd; white-space: nowrap }
th:first-child, td:first-child { text-align: left }
.wide { overflow-x: auto }
.note, figcaption { color: #555; font-size: 13px; max-width: 50rem }
.verdict { border-left: 4px solid #0072b2; padding-left: .8rem }
.collapsed { border-color: #d55e00 }
figure { margin: 1.5rem 0 } img { max-width: 100% }
"""


def page(findings: Findings, tables: Parts[Table], figures: Parts[Figure], failures: list[str], folder: Path) -> str:
    """The page as HTML, of the tables, of the figures in a folder, and of sentences on what could not be made."""
    run = findings.run
    title = run.path.absolute().name + (f", judged on {run.judged_on}" if run.judged_on else "")
    pictures = [_image(folder / f"{name}.png", text, drawn.get_figwidth()) for name, (text, drawn) in figures.items()]
    if findings.own.fixations is not None:
        pictures.append(_image(folder / "trial.gif", "A trial in time", 7.0))
    pipeline = findings.record.pipeline
    links = {} if pipeline["function"] in STOCK else {"pipeline": {"links": run.graph.links}}
    configuration = {**run.config.to_json(), **links, **{name: pipeline[name] for name in ("function", "arguments")}}
    parts = [
        f"<h1>{escape(title)}</h1>",
        f"<p>{escape(_summary(findings))}</p>",
        *map(_note, [*_notes(findings), *failures]),
        *_verdicts(findings.diagnoses),
        *(_table(name, *table) for name, table in tables.items()),
        *pictures,
        f"<details><summary>Configuration</summary><pre>{escape(json.dumps(configuration, indent=2))}</pre></details>",
    ]
    head = f'<meta charset="utf-8"><title>{escape(title)}: foveax</title><style>{STYLE}</style>'
    return f'<!doctype html>\n<html lang="en"><head>{head}</head><body>\n' + "\n".join(parts) + "\n</body></html>\n"


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
        reasons = "; ".join(measures["reasons"])
        sentence = f"{eye} has collapsed: {reasons}" if reasons else f"{eye} has not collapsed."
        paragraphs.append(f'<p class="verdict{" collapsed" * bool(reasons)}">{escape(sentence)}</p>')
    return paragraphs


def _note(sentence: str) -> str:
    return f'<p class="note">{escape(sentence)}</p>'


def _table(name: str, title: str, table: Table) -> str:
    head = "".join(f"<th>{escape(column)}</th>" for column in table.header)
    body = "".join("<tr>" + "".join(f"<td>{escape(_cell(cell))}</td>" for cell in row) + "</tr>" for row in table.rows)
    return (
        f'<h2>{escape(title)}</h2>\n<div class="wide"><table id="{escape(name)}">'
        f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>\n" + _note(table.note)
    )


def _cell(cell: Cell) -> str:
    if isinstance(cell, Interval):
        if math.isnan(cell.low):
            return _cell(cell.mean)
        return f"{_cell(cell.mean)} [{_cell(cell.low)}, {_cell(cell.high)}]"
    if isinstance(cell, str):
        return cell
    return f"{cell:.2f}" if abs(cell) >= 10 else f"{cell:.3f}"


def _image(file: Path, caption: str, inches: float) -> str:
    """An image with its caption, held by the page itself."""
    data = base64.b64encode(file.read_bytes()).decode()
    size = f'style="width: {round(130 * inches)}px"'
    image = f'<img {size} alt="{escape(caption)}." src="data:image/{file.suffix[1:]};base64,{data}">'
    return f"<figure>{image}<figcaption>{escape(caption)}.</figcaption></figure>"
