"""The page of a report: one HTML file that needs no other."""

import base64
from collections.abc import Mapping
from html import escape
from pathlib import Path
from typing import Any

from foveax.analysis.bootstrap import Interval
from foveax.report.figures import Captioned
from foveax.report.tables import Cell, Table
from foveax.training.config import Config

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
    name: str,
    config: Config,
    verdict: Mapping[str, Any],
    tables: list[Table],
    drawn: Mapping[str, Captioned],
    folder: Path,
) -> str:
    """The page as HTML: verdict, tables, figures, configuration.

    Args:
      name: of the run.
      config: of the run.
      verdict: of `foveax.diagnose`.
      tables: in order.
      drawn: the figures' captions, in order, by the names of their files.
      folder: where the figures lie as PNG, and ``trial.gif``.
    """
    shown = [
        _figure(folder / f"{file}.png", caption, drawing.get_figwidth()) for file, (caption, drawing) in drawn.items()
    ]
    parts = [
        f"<h1>{escape(name)}</h1>",
        f"<p>{escape(_summary(config))}</p>",
        _verdict(verdict),
        *(_table(table) for table in tables),
        *shown,
        _figure(folder / "trial.gif", "A trial in time.", FILM_INCHES),
        f"<details><summary>Configuration</summary><pre>{escape(_lines(config.to_json()))}</pre></details>",
    ]
    head = f'<meta charset="utf-8"><title>{escape(name)}: foveax</title><style>{STYLE}</style>'
    return f'<!doctype html>\n<html lang="en"><head>{head}</head><body>\n' + "\n".join(parts) + "\n</body></html>\n"


def _summary(config: Config) -> str:
    model = config.model
    return (
        f"{config.data}, {config.task}; {model.glimpses} glimpses of {model.crop}x{model.crop}, "
        f"scales: {model.scales}; policy: {model.policy}; {config.images:,} images, seed {config.seed}."
    )


def _verdict(verdict: Mapping[str, Any]) -> str:
    reasons = "; ".join(verdict["reasons"]) or "not collapsed"
    kind = "verdict collapsed" if verdict["collapsed"] else "verdict"
    told = f"The eye has collapsed: {reasons}" if verdict["collapsed"] else "The eye has not collapsed."
    return f'<p class="{kind}">{escape(told)}</p>'


def _table(table: Table) -> str:
    head = "".join(f"<th>{escape(title)}</th>" for title in table.header)
    body = "".join("<tr>" + "".join(f"<td>{escape(_cell(cell))}</td>" for cell in row) + "</tr>" for row in table.rows)
    return (
        f'<h2>{escape(table.title)}</h2>\n<div class="wide"><table id="{escape(table.name)}">'
        f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>\n"
        f'<p class="note">{escape(table.note)}</p>'
    )


def _cell(cell: Cell) -> str:
    if isinstance(cell, Interval):
        return f"{_cell(cell.mean)} [{_cell(cell.low)}, {_cell(cell.high)}]"
    if isinstance(cell, str):
        return cell
    return f"{cell:.2f}" if abs(cell) >= 10 else f"{cell:.3f}"


def _figure(file: Path, caption: str, inches: float) -> str:
    kind = "gif" if file.suffix == ".gif" else "png"
    data = base64.b64encode(file.read_bytes()).decode()
    size = f'style="width: {round(PIXELS_PER_INCH * inches)}px"'
    image = f'<img {size} alt="{escape(caption)}" src="data:image/{kind};base64,{data}">'
    return f"<figure>{image}<figcaption>{escape(caption)}</figcaption></figure>"


def _lines(values: Mapping[str, Any], indent: str = "") -> str:
    lines = []
    for name, value in values.items():
        lines.append(f"{indent}{name}:" if isinstance(value, Mapping) else f"{indent}{name}: {value}")
        if isinstance(value, Mapping):
            lines.append(_lines(value, indent + "  "))
    return "\n".join(lines)
