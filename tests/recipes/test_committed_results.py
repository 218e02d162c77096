"""The committed results are of the recipes as they stand, and the documentation quotes them."""

import json
import re
from pathlib import Path

import numpy as np
import pytest

import foveax as fx
from foveax.recipes.tables import RECIPES

ROOT = Path(__file__).parents[2]


def committed(name):
    return json.loads((ROOT / "benchmarks" / "results" / f"{name}.json").read_text())["rows"]


def table(page, header):
    """The cells of the Markdown table below a header, its first column as keys."""
    lines = (ROOT / page).read_text().partition(header)[2].splitlines()[2:]
    cells = [[cell.strip(" *") for cell in line[1:-1].split("|")] for line in lines[: lines.index("")]]
    return {first: rest for first, *rest in cells}


def in_percent(share):
    return f"{100 * share:.1f}"


@pytest.mark.parametrize("name", RECIPES)
def test_results_are_of_the_recipe(name):
    rows = committed(name)
    assert rows.keys() == RECIPES[name].rows.keys()
    for row_name, row in RECIPES[name].rows.items():
        assert fx.TrainingConfig.from_json(rows[row_name]["config"]) == row.config, row_name
        seeds = [figures["seed"] for figures in rows[row_name]["seeds"]]
        assert seeds == [row.config.seed + number for number in range(row.seeds)], row_name


def test_readme_quotes_the_default_recipe():
    quoted = table("README.md", "| fixations | 1 | 2 | 3 | 4 | 5 | 6 |")
    test = committed("default")["default"]["seeds"][0]["test"]
    names = {
        "learned": "learned",
        "the best fixed sequence, the same classifier": "best sequence",
        "those of another image, the same classifier": "another image",
        "random, the same classifier": "random",
        "centre, the same classifier": "centre",
    }
    assert quoted == {row: [in_percent(share) for share in test[name]] for row, name in names.items()}
    row = committed("default")["default"]
    gains = [seed["test"]["learned"][-1] - seed["test"]["best sequence"][-1] for seed in row["seeds"]]
    mean, deviation, worst = (f"{100 * row[name]:.2f}" for name in ("mean", "deviation", "worst"))
    gain, least, most = map(in_percent, (np.mean(gains), min(gains), max(gains)))
    said = f"gives {mean} %, standard deviation {deviation}, worst {worst}, and {gain} points more than"
    text = " ".join((ROOT / "README.md").read_text().split())
    assert said in text
    assert f"({least} to {most};" in text


def test_documentation_quotes_the_reports_table():
    quoted = table("docs/recipe.md", "| setting | feed-forward | report | recurrent | report |")
    rows = committed("table1")
    for setting, (feedforward, theirs, recurrent, theirs_recurrent) in quoted.items():
        name = re.sub(r"\b\de-\d\b", lambda rate: f"{float(rate[0]):g}", setting)
        for core, ours, published in (("feedforward", feedforward, theirs), ("gru", recurrent, theirs_recurrent)):
            row = rows[f"{core}, {name}"]
            assert ours == in_percent(row["mean"]), (core, setting)
            assert published == row["published"].partition("/")[2], (core, setting)
    assert len(quoted) == len(rows) // 2


def test_documentation_quotes_the_canvases():
    quoted = table("docs/recipe.md", "| | images, minutes | test | random, the same classifier |")
    rows = [*committed("translated").values(), *committed("cluttered").values()]
    for (_, test, random, sequence, _), row in zip(quoted.values(), rows, strict=True):
        (figures,) = row["seeds"]
        assert test == f"{100 * row['mean']:.2f}"
        assert [random, sequence] == [in_percent(figures["test"][name][-1]) for name in ("random", "best sequence")]


def test_documentation_quotes_the_clothes():
    quoted = table("docs/recipe.md", "| eye | seeds | test | deviation | worst | best fixed sequence |")
    rows = committed("fashion")
    assert quoted.keys() == rows.keys()
    for eye, row in rows.items():
        sequence = np.mean([figures["test"]["best sequence"][-1] for figures in row["seeds"]])
        shares = [f"{100 * share:.2f}" for share in (row["mean"], row["deviation"], row["worst"], sequence)]
        assert quoted[eye] == [str(len(row["seeds"])), *shares]


def test_documentation_quotes_the_trainers():
    quoted = table("docs/environments.md", "| trainer | test, learned | best sequence | random | minutes |")
    for shown, row in zip(quoted.values(), committed("trainers").values(), strict=True):
        (figures,) = row["seeds"]
        names = ("learned", "best sequence", "random")
        assert shown[:3] == [in_percent(figures["test"][name][-1]) for name in names]


def test_documentation_quotes_the_eyes_that_stop():
    header = (
        "| the belief's entropy below | mean glimpses | million multiply-adds | each its own number | dealt at random |"
    )
    assert table("docs/analysis.md", header) == {
        bits: [f"{value:.2f}" for value in row.values()] for bits, row in committed("stopping").items()
    }
