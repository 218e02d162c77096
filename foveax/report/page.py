"""The page of a report: one HTML file that needs no other."""

import base64
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from foveax.analysis.bootstrap import Interval
from foveax.report.figures import CaptionedFigure
from foveax.report.findings import Findings
from foveax.report.tables import Cell, Table
from foveax.runs.pipeline import STOCK

if TYPE_CHECKING:
    from matplotlib.figure import Figure

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

PIXELS_PER_INCH, FILM_INCHES = 130, 7.0
"""Of figures on the page."""


def page(
    findings: Findings,
    tables: Sequence[Table],
    figures: Mapping[str, CaptionedFigure],
    omissions: Sequence[str],
    folder: Path,
) -> str:
    """The page as HTML: verdicts, omissions, tables, figures, configuration.

    Args:
      findings: of the run.
      tables: in order.
      figures: in order, by the names of their files.
      omissions: sentences on what is left out.
      folder: where the figures lie as PNG, and ``trial.gif`` if there is a film.
    """
    title = _title(findings)
    images = [_figure(folder / f"{name}.png", *captioned) for name, captioned in figures.items()]
    film = folder / "trial.gif"
    parts = [
        f"<h1>{escape(title)}</h1>",
        f"<p>{escape(_summary(findings))}</p>",
        *(_note(sentence) for sentence in (*_judged_on(findings), *omissions)),
        *_verdicts(findings.diagnoses),
        *(_table(table) for table in tables),
        *images,
        *([_image(film, "A trial in time.", FILM_INCHES)] if findings.own.fixations is not None else []),
        f"<details><summary>Configuration</summary><pre>{escape(_lines(_configuration(findings)))}</pre></details>",
    ]
    head = f'<meta charset="utf-8"><title>{escape(title)}: foveax</title><style>{STYLE}</style>'
    return f'<!doctype html>\n<html lang="en"><head>{head}</head><body>\n' + "\n".join(parts) + "\n</body></html>\n"


def _title(findings: Findings) -> str:
    run = findings.run
    name = run.path.absolute().name
    return f"{name}, judged on {run.judged_on}" if run.judged_on else name


def _summary(findings: Findings) -> str:
    config = findings.run.config
    retina = findings.retina
    crops = f"; crops of {retina['size']}x{retina['size']} pixels, scales: {retina['scales']}" if retina else ""
    agents = ", ".join(findings.graph.agents) or "none"
    return (
        f"Trained on {findings.trained_on}, {config.task}; {findings.graph.length} glimpses{crops}; agents: {agents}; "
        f"{config.images:,} images, seed {config.seed}."
    )


def _judged_on(findings: Findings) -> list[str]:
    """A sentence, if the data are not those of the training."""
    judged_on = findings.run.judged_on
    if not judged_on:
        return []
    return [
        f"The run is judged on other data than it was trained on: every table, verdict and figure below is of the test "
        f"images of {judged_on}. Only the learning curve is of the training."
    ]


def _verdicts(diagnoses: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """A verdict for each agent, by its name if there are several."""
    paragraphs = []
    for name, measures in diagnoses.items():
        eye = "The eye" if len(diagnoses) == 1 else name
        reasons = "; ".join(measures["reasons"])
        sentence = f"{eye} has collapsed: {reasons}" if measures["collapsed"] else f"{eye} has not collapsed."
        kind = "verdict collapsed" if measures["collapsed"] else "verdict"
        paragraphs.append(f'<p class="{kind}">{escape(sentence)}</p>')
    return paragraphs


def _note(sentence: str) -> str:
    return f'<p class="note">{escape(sentence)}</p>'


def _table(table: Table) -> str:
    head = "".join(f"<th>{escape(title)}</th>" for title in table.header)
    body = "".join("<tr>" + "".join(f"<td>{escape(_cell(cell))}</td>" for cell in row) + "</tr>" for row in table.rows)
    return (
        f'<h2>{escape(table.title)}</h2>\n<div class="wide"><table id="{escape(table.name)}">'
        f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>\n"
        f"{_note(table.note)}"
    )


def _cell(cell: Cell) -> str:
    if isinstance(cell, Interval):
        return f"{_cell(cell.mean)} [{_cell(cell.low)}, {_cell(cell.high)}]"
    if isinstance(cell, str):
        return cell
    return f"{cell:.2f}" if abs(cell) >= 10 else f"{cell:.3f}"


def _figure(file: Path, caption: str, figure: "Figure") -> str:
    return _image(file, caption, figure.get_figwidth())


def _image(file: Path, caption: str, inches: float) -> str:
    """An image with its caption, held by the page itself."""
    kind = "gif" if file.suffix == ".gif" else "png"
    data = base64.b64encode(file.read_bytes()).decode()
    size = f'style="width: {round(PIXELS_PER_INCH * inches)}px"'
    image = f'<img {size} alt="{escape(caption)}" src="data:image/{kind};base64,{data}">'
    return f"<figure>{image}<figcaption>{escape(caption)}</figcaption></figure>"


def _configuration(findings: Findings) -> dict[str, Any]:
    """The configuration of the training, and its pipeline."""
    config = findings.run.config.to_json()
    function = findings.record.pipeline["function"]
    own = {} if function in STOCK else {"pipeline": {"links": ", ".join(findings.graph.links)}}
    return {**config, **own, "function": function, "arguments": findings.record.pipeline["arguments"]}


def _lines(values: Mapping[str, Any], indent: str = "") -> str:
    lines = []
    for name, value in values.items():
        lines.append(f"{indent}{name}:" if isinstance(value, Mapping) else f"{indent}{name}: {value}")
        if isinstance(value, Mapping):
            lines.append(_lines(value, indent + "  "))
    return "\n".join(lines)
