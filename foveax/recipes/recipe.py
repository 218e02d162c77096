"""Recipes: rows of configurations, run seed by seed, resumed where they stopped, told beside published figures."""

import dataclasses
import itertools
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from foveax.environments.joint import train_with
from foveax.training.config import Config
from foveax.training.files import read_json, write_json
from foveax.training.metrics_file import read_metrics
from foveax.training.programs import keep_programs
from foveax.training.provenance import machine, read_starts

COLUMNS = {"train": 8, "test": 8, "+-": 6, "worst": 8, "sequence": 10, "random": 8, "minutes": 9}
"""Titles and widths; sequence and random are the same classifier under the best fixed sequence, and at random."""
CURVE_POINTS = 20
"""Of a learning curve in the results."""


class Row(NamedTuple):
    """One line of a recipe's table.

    Attributes:
      config: of the training; its seed is the first.
      seeds: how many, counted on from there.
      published: what others report, as text.
    """

    config: Config
    seeds: int = 1
    published: str = "-"


class Recipe(NamedTuple):
    """A named experiment.

    Attributes:
      title: what it is.
      published: what the column of published figures holds, with its source.
      rows: by name.
    """

    title: str
    published: str
    rows: Mapping[str, Row]


def run_recipe(
    recipe: Recipe,
    *,
    name: str,
    out: Path,
    data_dir: str = "",
    only: str = "",
    report: Callable[[str], None] = lambda line: None,
) -> dict[str, Any]:
    """Runs a recipe's rows, each seed in a run directory of its own, and keeps ``results.json`` up to date.

    Runs that are finished are not repeated, one that was stopped continues. Programs are compiled once for all seeds
    of a row, and kept in a private folder.

    Args:
      recipe: what to run.
      name: of the recipe, for the results.
      out: the folder of the results and of the run directories.
      data_dir: where TFDS sets lie.
      only: run the rows whose name contains this; of the others, the results keep what they hold.
      report: is told each row once it is done, and each run as it begins.

    Returns:
      what ``results.json`` holds: ``rows``, each with the seeds' figures, on what machine each was begun, and their
      ``mean``, ``deviation`` and ``worst`` final test accuracy.
    """
    out.mkdir(parents=True, exist_ok=True)
    keep_programs(out / "programs")
    rows: dict[str, Any] = _kept(out / "results.json")
    results = {"recipe": name, "title": recipe.title, "published": recipe.published, "rows": rows}
    for row_name, row in recipe.rows.items():
        if only not in row_name:
            continue
        seeds = []
        for number in range(row.seeds):
            config = dataclasses.replace(row.config, seed=row.config.seed + number, data_dir=data_dir)
            report(f"{row_name}, seed {config.seed}: {config.images:,} images")
            seeds.append(_figures(out / _folder(row_name) / f"seed-{config.seed}", config))
            told = {"published": row.published, "config": row.config.to_json()}
            rows[row_name] = {**told, **_statistics(seeds), "seeds": seeds}
            write_json(out / "results.json", results)
        report(_format_row(row_name, rows[row_name]))
    return results


def _kept(results: Path) -> dict[str, Any]:
    """The rows of results that are there already."""
    return read_json(results)["rows"] if results.exists() else {}


def _figures(run: Path, config: Config) -> dict[str, Any]:
    """What the table needs of one run: trained, continued, or read if it is there already."""
    done = run / "summary.json"
    if not done.exists():
        train_with(config.trainer, config, out=run)
    summary, starts = read_json(done), read_starts(run)
    policy = config.model.policy
    return {
        "seed": config.seed,
        "test": {name: scores["accuracy"] for name, scores in summary["test"].items()},
        "train": summary["train"],
        "own": policy,
        "collapsed": summary["diagnosis"]["collapsed"],
        "diagnosis": summary["diagnosis"],
        "images": summary["images"],
        "images_per_second": summary["images_per_second"],
        "train_seconds": summary["train_seconds"],
        "compile_seconds": summary["compile_seconds"],
        "curve": _curve(run / "metrics.jsonl"),
        "machine": {name: starts[0].get(name) for name in machine()} if starts else None,
    }


def _curve(metrics: Path) -> list[list[float]]:
    """Images shown and the accuracy on them, at points spread evenly over a training."""
    lines = read_metrics(metrics)
    edges = sorted({round(place) for place in np.linspace(0, len(lines), CURVE_POINTS + 1)})
    parts = [lines[begin:end] for begin, end in itertools.pairwise(edges)]
    return [[part[-1]["images"], float(np.mean([line["accuracy"] for line in part]))] for part in parts]


def _statistics(seeds: list[dict[str, Any]]) -> dict[str, float]:
    final = [figures["test"][figures["own"]][-1] for figures in seeds]
    trained = [figures["train"][-1] for figures in seeds]
    return {
        "mean": float(np.mean(final)),
        "deviation": float(np.std(final, ddof=len(final) > 1)),
        "worst": min(final),
        "train": float(np.mean(trained)),
    }


def format_results(results: Mapping[str, Any]) -> str:
    """The results of a recipe as a table, in %, beside the published figures."""
    header = "".join(f"{title:>{width}}" for title, width in COLUMNS.items())
    rows = [_format_row(name, row) for name, row in results["rows"].items()]
    return "\n".join([results["title"], f"{'':<48}{header}  published: {results['published']}", *rows])


def _format_row(name: str, row: Mapping[str, Any]) -> str:
    tests = [figures["test"] for figures in row["seeds"]]
    controls = [
        f"{100 * np.mean([test[control][-1] for test in tests]):.2f}" if control in tests[0] else "-"
        for control in ("best sequence", "random")
    ]
    minutes = np.mean([(figures["train_seconds"] + figures["compile_seconds"]) / 60 for figures in row["seeds"]])
    figures = [f"{100 * row[key]:.2f}" for key in ("train", "mean", "deviation", "worst")]
    cells = zip([*figures, *controls, f"{minutes:.1f}"], COLUMNS.values(), strict=True)
    return f"{name:<48}" + "".join(f"{cell:>{width}}" for cell, width in cells) + f"  {row['published']}"


def _folder(row_name: str) -> str:
    return "".join(letter if letter.isalnum() else "-" for letter in row_name)
