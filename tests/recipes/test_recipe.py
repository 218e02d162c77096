"""Recipes: runs that are kept and not repeated, and the table of their figures."""

import dataclasses
import functools
import json

import noisy_eye
import numpy as np
import pytest
import tiny
from command import printed, refused

import foveax as fx
from foveax.recipes import Recipe, Row, format_results, run_recipe

pytestmark = pytest.mark.slow


def test_recipe_keeps_its_results_and_does_not_repeat_them(tmp_path, monkeypatch):
    own = str(tiny.write_npz(tmp_path / "tiny.npz"))
    row = Row(dataclasses.replace(tiny.CONFIG, data="elsewhere"), 2, "50/49")
    recipe = Recipe("Two seeds", "train/test %", {"small, row": row})
    lines: list[str] = []
    results = run_recipe(recipe, name="two", out=tmp_path / "two", data=own, report=lines.append)
    assert results["data"] == "tiny.npz"
    assert results["rows"]["small, row"]["config"]["data"] == "elsewhere"
    assert len(lines) == 3
    assert json.loads((tmp_path / "two" / "results.json").read_text()) == json.loads(json.dumps(results))
    finals = [seed["test"]["learned"][-1] for seed in results["rows"]["small, row"]["seeds"]]
    assert results["rows"]["small, row"]["mean"] == pytest.approx(np.mean(finals))
    assert results["rows"]["small, row"]["worst"] == min(finals)
    assert (tmp_path / "two" / "compilation_cache").stat().st_mode & 0o777 == 0o700
    monkeypatch.setattr("foveax.recipes.recipe.train", None)  # from here on only what is there can answer
    assert run_recipe(recipe, name="two", out=tmp_path / "two", data=own) == results
    assert run_recipe(recipe, name="two", out=tmp_path / "two", data=own, only="another row") == results
    with pytest.raises(fx.InputError, match=r"results so far in .*two; got those of its rows, not tiny.npz"):
        run_recipe(recipe, name="two", out=tmp_path / "two")
    other = row._replace(config=dataclasses.replace(row.config, images=128))
    longer = recipe._replace(rows={"small, row": other})
    with pytest.raises(fx.InputError, match="images is 96 there, 128 here"):
        run_recipe(longer, name="two", out=tmp_path / "two", data=own)
    assert "50/49" in format_results(results)
    provenance = tmp_path / "two" / "small--row" / "seed-1" / "provenance.json"
    begun = json.loads(provenance.read_text())["starts"][0] | {"processor": "elsewhere"}
    provenance.write_text(json.dumps({"starts": [begun]}))
    again = run_recipe(recipe, name="two", out=tmp_path / "two", data=own)["rows"]["small, row"]["seeds"]
    assert again[1]["machine"]["processor"] == "elsewhere"  # read here, trained there


OWN = """
import functools
import foveax as fx
import noisy_eye
from foveax.recipes import Recipe, Row

config = fx.TrainingConfig(data={data!r}, images=32, batch=4, shift=0)
rows = {{name: Row(config, pipeline=functools.partial(noisy_eye.pipeline, noise=noise))
        for name, noise in (("quiet", 0.0), ("loud", 0.5))}}
recipe = Recipe("Noise", "-", rows)
"""


@pytest.mark.nightly
def test_a_recipe_of_ones_own_trains_pipelines_of_ones_own(tmp_path, capsys):
    (tmp_path / "noise.py").write_text(OWN.format(data=str(tiny.write_npz(tmp_path / "tiny.npz"))))
    command = ["recipe", f"{tmp_path / 'noise.py'}:recipe", "--out", tmp_path / "results"]
    output = printed(capsys, *command)
    assert "quiet, seed 0: 32 images" in output
    rows = json.loads((tmp_path / "results" / "results.json").read_text())["rows"]
    assert list(rows) == ["quiet", "loud"]
    record = json.loads((tmp_path / "results" / "loud" / "seed-0" / "config.json").read_text())
    assert record["pipeline"]["arguments"] == {"noise": 0.5}
    quiet = functools.partial(noisy_eye.pipeline, noise=0.0)
    loaded = fx.load_run(tmp_path / "results" / "quiet" / "seed-0", pipeline=quiet)
    assert loaded.graph.hyperparameters["noise"] == 0.0
    assert printed(capsys, *command).splitlines()[-3:] == output.splitlines()[-3:]  # read, not repeated
    assert "must be there; " in refused(capsys, "recipe", f"{tmp_path / 'noise.py'}:recipes")
