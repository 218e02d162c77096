"""Recipes: rows of configurations, run seed by seed, resumed where they stopped, printed next to published figures."""

import dataclasses
import itertools
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np

from foveax._types import InputError
from foveax.evaluation.diagnosis import has_collapsed
from foveax.pipelines.named import Build
from foveax.runs.config import ExecutionConfig, TrainingConfig
from foveax.runs.directory import read_starts, run_path
from foveax.runs.train import train
from foveax.runtime.compilation_cache import keep_compilation_cache
from foveax.runtime.files import read_json, write_json
from foveax.runtime.machine import machine
from foveax.runtime.metrics_file import read_metrics

COLUMNS = {"train": 8, "test": 8, "+-": 6, "worst": 8, "sequence": 10, "random": 8, "minutes": 9}
"""Titles and widths; sequence and random are the same pipeline under the best fixed sequence, and at random."""
SUMMARY = ("train", "own", "diagnosis", "images", "images_per_second", "train_seconds", "compile_seconds")
"""Figures of a run's summary that the results repeat."""


class Row(NamedTuple):
    """One line of a recipe's table: a configuration, whose seed is the first of a number of seeds.

    `published` is what others report, as text. The pipeline, ``(data) -> graph``, is as in `foveax.train`; None is the
    standard one. An algorithm is of stable-baselines3, which then trains the saccader
    (`foveax.environments.sb3_training`); empty is foveax's own training.
    """

    config: TrainingConfig
    seeds: int = 1
    published: str = "-"
    pipeline: Build | None = None
    algorithm: Literal["", "ppo", "a2c", "sac"] = ""


class Recipe(NamedTuple):
    """A named experiment: the title of its column of published figures says their source; its rows are by name."""

    title: str
    published: str
    rows: Mapping[str, Row]


def run_recipe(
    recipe: Recipe,
    *,
    name: str,
    out: Path,
    data: str = "",
    data_dir: str = "",
    only: str = "",
    report: Callable[[str], None] = lambda line: None,
) -> dict[str, Any]:
    """Runs a recipe's rows, each seed in a run directory of its own in `out`; writes ``results.json`` after each.

    Runs that are finished are not repeated, one that was stopped is resumed. Programs are compiled once for all seeds
    of a row, into a private compilation cache. A set named by `data`, as in a configuration, takes the place of those
    that the rows name; TFDS sets are in `data_dir`. Rows run whose name contains `only`; the results of the others
    stay. `report` is called with a line as each run begins, and with each row once it is done. Raises `InputError` if
    `out` holds results on other data, or a run of another configuration.

    Returns:
      the content of ``results.json``: the name of `data`, if given, and ``rows``, each with the seeds' figures, on what
      machine each was begun, and their ``mean``, ``deviation`` and ``worst`` final test accuracy.
    """
    out.mkdir(parents=True, exist_ok=True)
    keep_compilation_cache(out / "compilation_cache")
    stored = out / "results.json"
    before = read_json(stored) if stored.exists() else {"rows": {}}
    rows: dict[str, Any] = before["rows"]
    results = {"recipe": name, "title": recipe.title, "published": recipe.published, "rows": rows}
    results |= {"data": Path(data).name} if data else {}
    there, here = (str(side.get("data", "those of its rows")) for side in (before, results))
    if rows and there != here:
        raise InputError(f"data of a recipe must be those of its results so far in {out}; got {here}, not {there}")
    for row_name, row in recipe.rows.items():
        if only not in row_name:
            continue
        folder = "".join(letter if letter.isalnum() else "-" for letter in row_name)
        seeds = []
        for number in range(row.seeds):
            config = dataclasses.replace(row.config, seed=row.config.seed + number, data=data or row.config.data)
            report(f"{row_name}, seed {config.seed}: {config.images:,} images")
            run = out / folder / f"seed-{config.seed}"
            seeds.append(_figures(run, row._replace(config=config), ExecutionConfig(data_dir=data_dir)))
            described = {"published": row.published, "config": row.config.to_json()}
            rows[row_name] = {**described, **_statistics(seeds), "seeds": seeds}
            write_json(stored, results)
        report(_format_row(row_name, rows[row_name]))
    return results


def _figures(run: Path, row: Row, execution: ExecutionConfig) -> dict[str, Any]:
    """The figures of one run: trained, resumed, or read if it is there already; refused if it is of something else."""
    run_path(run, row.config)
    stored = run / "summary.json"
    if not stored.exists() and row.algorithm:
        from foveax.environments.sb3_training import train_sb3

        train_sb3(row.config, row.algorithm, out=run, execution=execution)
    elif not stored.exists():
        train(row.config, pipeline=row.pipeline, out=run, execution=execution)
    summary, starts = read_json(stored), read_starts(run)
    return {
        "seed": row.config.seed,
        "test": {name: scores["accuracy"] for name, scores in summary["test"].items()},
        "collapsed": has_collapsed(summary["diagnosis"]),
        **{name: summary[name] for name in SUMMARY},
        "curve": _curve(run / "metrics.jsonl"),
        "machine": {name: starts[0].get(name) for name in machine()} if starts else None,
    }


def _curve(metrics: Path) -> list[list[float]]:
    """Images shown and the accuracy on them, at 20 points spread evenly over a training."""
    lines = read_metrics(metrics)
    edges = sorted({round(place) for place in np.linspace(0, len(lines), 21)})
    parts = [lines[begin:end] for begin, end in itertools.pairwise(edges)]
    return [[part[-1]["images"], float(np.mean([line["accuracy"] for line in part]))] for part in parts]


def _statistics(seeds: list[dict[str, Any]]) -> dict[str, float]:
    final = [figures["test"][figures["own"]][-1] for figures in seeds]
    return {
        "mean": float(np.mean(final)),
        "deviation": float(np.std(final, ddof=len(final) > 1)),
        "worst": min(final),
        "train": float(np.mean([figures["train"][-1] for figures in seeds])),
    }


def format_results(results: Mapping[str, Any]) -> str:
    """The results of a recipe as a table, in %, next to the published figures."""
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
