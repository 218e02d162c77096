"""Recipes: runs that are kept and not repeated, and the table of their figures."""

import json

import numpy as np
import pytest

import foveax as fx
from foveax.recipes import Recipe, Row, format_results, run_recipe


@pytest.mark.slow
def test_recipe_keeps_its_results_and_does_not_repeat_them(small_config, tmp_path, monkeypatch):
    row = Row(fx.TrainingConfig(images=320, pipeline=small_config), 2, "50/49")
    recipe = Recipe("Two seeds", "train/test %", {"small, row": row})
    lines: list[str] = []
    results = run_recipe(recipe, name="two", out=tmp_path / "two", report=lines.append)
    assert len(lines) == 3
    assert json.loads((tmp_path / "two" / "results.json").read_text()) == json.loads(json.dumps(results))
    finals = [seed["test"]["learned"][-1] for seed in results["rows"]["small, row"]["seeds"]]
    assert results["rows"]["small, row"]["mean"] == pytest.approx(np.mean(finals))
    assert results["rows"]["small, row"]["worst"] == min(finals)
    assert (tmp_path / "two" / "compilation_cache").stat().st_mode & 0o777 == 0o700
    monkeypatch.setattr("foveax.recipes.recipe.train", None)  # from here on only what is there can answer
    assert run_recipe(recipe, name="two", out=tmp_path / "two") == results
    assert run_recipe(recipe, name="two", out=tmp_path / "two", only="another row") == results
    assert "50/49" in format_results(results)
    provenance = tmp_path / "two" / "small--row" / "seed-1" / "provenance.json"
    begun = json.loads(provenance.read_text())["starts"][0] | {"processor": "elsewhere"}
    provenance.write_text(json.dumps({"starts": [begun]}))
    again = run_recipe(recipe, name="two", out=tmp_path / "two")["rows"]["small, row"]["seeds"]
    assert again[1]["machine"]["processor"] == "elsewhere"  # read here, trained there
