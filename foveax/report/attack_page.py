"""The page of an evaluation of robustness: the verdict first, then figures, and the table of all rows."""

import json
from collections.abc import Callable, Mapping
from html import escape
from pathlib import Path
from typing import Any

import numpy as np

from foveax.evaluation.attack import EXAMPLES
from foveax.report.attack_figures import attack_figures, share_interval
from foveax.report.corruption_figures import corruption_figures, corruption_table
from foveax.report.page import html_page, image_html, note_html, table_html
from foveax.report.tables import Cell, Table
from foveax.runtime.files import write_atomically

VERDICTS = {
    "broken": "Broken. All attacks together leave {worst:.1f} % of the images: what it reaches without attacks says "
    "nothing about its robustness.",
    "masked": "Masked. Something hides the gradient, and the attacks are weaker than they could be: no number below is "
    "evidence of robustness.",
    "standing": "Standing. No attack of this list broke {worst:.1f} % of the images, which proves nothing: a stronger "
    "attack may.",
    "incomplete": "Incomplete. The attacks below, some of the checklist, leave {worst:.1f} % of the images.",
}
SECTIONS = {
    "radius": ("How large a change does it stand?", ("radius",)),
    "rows": ("Which attack breaks it?", ("rows",)),
    "examples": ("What does an attack look like?", ("examples",)),
    "draws": ("Does the eye's noise protect?", ("draws",)),
    "smallest": ("How small a change is enough?", ("smallest",)),
    "corruptions": ("Do common corruptions harm it?", ("corruptions", "corruptions_pictured")),
    "table": ("All rows", ("table",)),
}
"""By anchor: the question, and the figures and tables that answer it."""


def write_attack_page(results: Mapping[str, Any], folder: Path, *, title: str, called: Callable[[int], str]) -> Path:
    """Writes ``attack.html``, which needs no other file, and ``figures/*.png`` into the folder of an evaluation.

    The results are those of `foveax.evaluation.attack.attack`; classes are called by their names
    (`foveax.Data.class_name`). Returns the path of the page.
    """
    (folder / "figures").mkdir(exist_ok=True)
    with np.load(folder / EXAMPLES) as file:
        examples = dict(file)
    figures = attack_figures(results, examples, called)
    if corruptions := results.get("corruptions"):
        figures |= corruption_figures(corruptions, examples["image"][0])
    parts: dict[str, str] = {}
    for name, (caption, figure) in figures.items():
        path = folder / "figures" / f"{name}.png"
        figure.savefig(path, dpi=200)
        parts[name] = image_html(path, caption, figure.get_figwidth())
    for name, (heading, table) in tables_of_attack(results).items():
        parts[name] = parts.get(name, "") + table_html(name, heading, table)
    page = folder / "attack.html"
    write_atomically(page, lambda file: file.write(_page(results, title, parts).encode()))
    return page


def tables_of_attack(results: Mapping[str, Any]) -> dict[str, tuple[str, Table]]:
    """The tables of an evaluation by name, each with its title."""
    header = ["row", "robust (%)", "change", "gaze moved", "seconds"]
    rows: list[list[Cell]] = [
        [name, share_interval(row), row["change"], row["moved"], f"{row['seconds']:.0f}"]
        for name, row in results["rows"].items()
    ]
    images = next(iter(results["rows"].values()))["images"]
    note = (
        f"Shares of {images:,} test images that are still classified rightly, with 95 % Wilson intervals. Change: its "
        "mean norm. Gaze moved: the mean distance of a fixation from its place on the clean image, as a fraction of it."
    )
    tables = {"table": ("Every attack", Table(note, header, rows))}
    if corruptions := results.get("corruptions"):
        tables["corruptions"] = ("Accuracy under corruptions", corruption_table(corruptions))
    if smallest := results.get("smallest"):
        columns = next(iter(smallest.values()))
        values: list[list[Cell]] = [
            [name, *("none" if value is None else value for value in row.values())] for name, row in smallest.items()
        ]
        note = "Quartiles over images of the norms of the smallest changes that were found: upper bounds."
        tables["smallest"] = ("Smallest changes", Table(note, ["change of", *columns], values))
    return tables


def _page(results: Mapping[str, Any], title: str, parts: Mapping[str, str]) -> str:
    sections, links = [], []
    for anchor, (question, names) in SECTIONS.items():
        if own := [parts[name] for name in names if name in parts]:
            links.append(f'<a href="#{anchor}">{question}</a>')
            sections.append("\n".join([f'<h2 id="{anchor}">{question}</h2>', *own]))
    missing = ", ".join(f"the {part} {100 * share:.0f} %" for part, share in results["missing"].items())
    body = [
        f"<h1>{escape(title)}, attacked</h1>",
        *verdict_html(results),
        note_html(f"Share of images without a gradient, though the image moves what it is of: {missing}."),
        _key_numbers(results),
        f'<nav>{"".join(links)}<a href="#configuration">Budget</a></nav>',
        *sections,
        f'<h2 id="configuration">Budget</h2><pre>{escape(json.dumps(results["config"], indent=2))}</pre>',
    ]
    return html_page(f"{title}, attacked", body)


def verdict_html(results: Mapping[str, Any]) -> list[str]:
    """The verdict in words, its reasons, and what a reader must know, a paragraph each."""
    sentence = VERDICTS[results["verdict"]].format(worst=100 * results["worst"])
    lines = [f'<p class="verdict{" collapsed" * (results["verdict"] != "standing")}">{escape(sentence)}</p>']
    for heading, sentences in (("Reasons", results["reasons"]), ("To be known", results["notes"])):
        if sentences:
            items = "".join(f"<li>{escape(each)}</li>" for each in sentences)
            lines.append(f"<p>{heading}:</p><ul>{items}</ul>")
    return lines


def _key_numbers(results: Mapping[str, Any]) -> str:
    """The numbers that matter most, as a list of terms."""
    rows, epsilon = results["rows"], results["config"]["epsilon"]
    numbers = {
        "without an attack": rows.get("clean"),
        f"left by all attacks at {epsilon:g}": {"accuracy": results["worst"], "images": rows["clean"]["images"]},
        f"whole image, at {epsilon:g}": rows.get("whole image, APGD"),
        f"clean fixations, at {epsilon:g}": rows.get("clean fixations, APGD"),
    }
    terms = []
    for term, row in numbers.items():
        if row is not None:
            mean, low, high = share_interval(row)
            interval = f"{mean:.1f} % <small>[{low:.1f}, {high:.1f}]</small>"
            terms.append(f"<div><dt>{escape(term)}</dt><dd>{interval}</dd></div>")
    terms.append(f"<div><dt>test images</dt><dd>n = {rows['clean']['images']:,}</dd></div>")
    return f"<dl>{''.join(terms)}</dl>"
