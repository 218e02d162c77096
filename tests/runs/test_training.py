"""Training: what is shown, what is written, what is resumed, and that a seed fixes it all."""

import dataclasses
import json

import chex
import jax
import numpy as np
import pytest
import tiny

import foveax as fx
from foveax.runs.train import SlowWarning, prepare

pytestmark = pytest.mark.slow


def test_streamed_and_resident_data_give_the_same_training():
    resident, streamed = (
        tiny.train(execution=fx.ExecutionConfig(dispatch=2, resident_megabytes=megabytes)).params
        for megabytes in (2048, 0)
    )
    chex.assert_trees_all_close(resident, streamed, atol=1e-5)


def test_the_seed_fixes_everything_and_another_changes_it():
    seeded = dataclasses.replace(tiny.CONFIG, seed=3)
    once, again = (tiny.train(config=seeded, evaluate=True) for _ in range(2))
    chex.assert_trees_all_equal(once.params, again.params)
    np.testing.assert_array_equal(once.evaluations["random"].fixations, again.evaluations["random"].fixations)
    other = tiny.train(config=dataclasses.replace(tiny.CONFIG, seed=4))
    ours, theirs = (result.params["saccader"]["params"]["policy"]["kernel"] for result in (once, other))
    assert (ours != theirs).any()


def test_the_size_of_a_dispatch_changes_nothing():
    few, many = (tiny.train(execution=fx.ExecutionConfig(dispatch=size)).params for size in (3, 20))
    chex.assert_trees_all_close(few, many, atol=1e-5)


@pytest.mark.parametrize("resident_bytes", [2**31, 0], ids=["resident", "streamed"])
def test_nothing_is_moved_unasked_while_it_trains(resident_bytes):
    data = tiny.data(64)
    learner = fx.make_learner(fx.standard_pipeline(data, tiny.PIPELINE), fx.LearningConfig(), steps=6)
    state = learner.init(jax.random.key(0))
    dispatches = fx.fit(learner, data, state, batch=8, dispatch=2, resident_bytes=resident_bytes)
    next(dispatches)
    with jax.transfer_guard("disallow"):
        assert len(list(dispatches)) == 2


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run on data in a file, and its result."""
    folder = tmp_path_factory.mktemp("runs")
    config = dataclasses.replace(tiny.CONFIG, data=str(tiny.write_npz(folder / "tiny.npz")))
    return folder / "a", fx.train(config, out=folder / "a", execution=fx.ExecutionConfig(dispatch=6))


def test_run_directory_holds_what_is_promised(run):
    out, result = run
    assert {path.name for path in out.iterdir()} == {
        "config.json", "metrics.jsonl", "summary.json", "provenance.json", "checkpoints", "fixations.png",
        ".lock"}  # fmt: skip
    summary = json.loads((out / "summary.json").read_text())
    assert summary == json.loads(json.dumps(result.summary))
    for policy in ("learned", "centre", "random"):
        evaluation = result.evaluations[policy]
        shares = (evaluation.probabilities.argmax(-1) == tiny.data().test["label"][:, None]).mean(0)
        np.testing.assert_allclose(summary["test"][policy]["accuracy"], shares)
        assert len(shares) == 3
    assert summary["test"]["centre"]["refixation"] == 1.0
    assert summary["test"]["centre"]["amplitude"] == 0.0
    assert {"images_per_second", "compile_seconds", "wall_seconds", "parameters", "versions"} <= set(summary)
    lines = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [6, 12, 18, 24]
    assert all({"loss/decision.cross_entropy", "saccader/policy_loss", "accuracy"} <= set(line) for line in lines)
    assert (out / "fixations.png").read_bytes().startswith(b"\x89PNG")


def test_a_saved_run_evaluates_as_it_did(run):
    out, result = run
    loaded = fx.load_run(out)
    assert loaded.judged_on == ""
    chex.assert_trees_all_equal(loaded.params, result.params)
    again = fx.evaluate(loaded.graph, loaded.params, loaded.data.test, key=jax.random.key(loaded.config.seed))
    np.testing.assert_array_equal(again.predicted, result.evaluations["learned"].predicted)


def test_a_training_without_evaluation_keeps_its_timing_alone(tmp_path):
    result = tiny.train(tmp_path / "run")
    assert result.evaluations == {}
    assert not {"test", "train", "diagnosis"} & set(result.summary)
    assert json.loads((tmp_path / "run" / "summary.json").read_text())["images"] == tiny.CONFIG.images
    assert not (tmp_path / "run" / "fixations.png").exists()


def test_a_run_that_stopped_is_resumed_to_the_same_end(tmp_path, monkeypatch):
    whole = tiny.train(tmp_path / "whole")
    monkeypatch.setattr("foveax.runs.run.SAVE_SECONDS", 0.0)

    class StopError(Exception):
        pass

    def stop_late(metrics):
        if metrics["step"] == 10:
            raise StopError

    with pytest.raises(StopError):
        tiny.train(tmp_path / "b", listeners=[stop_late])
    resumed = tiny.train(tmp_path / "b")
    chex.assert_trees_all_equal(resumed.params, whole.params)
    assert (tmp_path / "whole" / "metrics.jsonl").read_bytes() == (tmp_path / "b" / "metrics.jsonl").read_bytes()


def test_a_start_that_was_killed_before_its_configuration_was_whole_is_begun_anew(tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / ".config.json.1").write_text("{")
    tiny.train(tmp_path / "run", config=dataclasses.replace(tiny.CONFIG, images=8))
    assert json.loads((tmp_path / "run" / "config.json").read_text())["config"]["images"] == 8


def snapshot(folder):
    return {path: (path.stat().st_size, path.stat().st_mtime_ns) for path in folder.rglob("*")}


def test_another_configuration_is_refused_with_its_differences(run):
    out, result = run
    before = snapshot(out)
    config = fx.TrainingConfig.from_json({**result.summary["config"], "seed": 9})
    with pytest.raises(fx.InputError, match="seed is 0 there, 9 here"):
        fx.train(config, out=out)
    assert before == snapshot(out)


def test_the_directory_is_checked_before_anything_is_built(run, monkeypatch):
    """Data are not loaded, and no graph is made, for a run that is refused anyway."""
    out, _ = run

    def refuse(*arguments, **more):
        raise AssertionError("something was built before the directory was checked")

    for module in ("runs.train", "sweeps.population"):
        for name in ("load", "build_graph", "make_learner"):
            monkeypatch.setattr(f"foveax.{module}.{name}", refuse, raising=False)
    other = dataclasses.replace(tiny.CONFIG, seed=9)
    for train in (fx.train, fx.train_population):
        with pytest.raises(fx.InputError, match=r"seed is 0 there, 9 here"):
            train(other, out=out)


@pytest.mark.nightly
def test_how_a_training_is_executed_is_no_part_of_what_it_is(tmp_path, monkeypatch):
    """Stopped under one execution, a run is resumed under another to the same parameters."""
    monkeypatch.setattr("foveax.runs.run.SAVE_SECONDS", 0.0)
    whole = tiny.train().params
    executions = [
        fx.ExecutionConfig(dispatch=3, data_dir="nowhere", patience=600.0),
        fx.ExecutionConfig(dispatch=5, resident_megabytes=0, devices=0, download=True),
    ]

    class StopError(Exception):
        pass

    def stop(metrics):
        if metrics["step"] == 9:
            raise StopError

    with pytest.raises(StopError):
        tiny.train(tmp_path / "run", execution=executions[0], listeners=[stop])
    resumed = tiny.train(tmp_path / "run", execution=executions[1]).params
    chex.assert_trees_all_close(resumed, whole, atol=1e-5)
    stored = json.loads((tmp_path / "run" / "config.json").read_text())["config"]
    assert not {field.name for field in dataclasses.fields(fx.ExecutionConfig)} & set(stored)


def test_parameters_are_read_without_a_learner(run, monkeypatch):
    out, result = run

    def refuse(*arguments, **more):
        raise AssertionError("a learner was made to read parameters")

    for module in ("runs.train", "runs.verify", "sweeps.population", "training.adversary"):
        monkeypatch.setattr(f"foveax.{module}.learner_of", refuse)
    monkeypatch.setattr("foveax.training.learner.make_learner", refuse)
    monkeypatch.setattr("optax.adam", refuse)
    chex.assert_trees_all_equal(fx.load_run(out).params, result.params)


def test_configuration_goes_to_json_and_back(small_config):
    sequence = fx.PipelineConfig(glimpses=3, policy="sequence", sequence=((0.1, 0.2), (0.3, 1.0)))
    linked = fx.TrainingConfig(pipeline=small_config, link=("a.b -> c.d",), unlink=("c.e", "c.f"))
    for original in [*fx.PRESETS.values(), fx.TrainingConfig(pipeline=sequence), linked]:
        assert fx.TrainingConfig.from_json(json.loads(json.dumps(original.to_json()))) == original
        hash(original)
    with pytest.raises(fx.InputError, match="TrainingConfig has no field 'bacth'; did you mean 'batch'"):
        fx.TrainingConfig.from_json({"bacth": 3})


@pytest.mark.parametrize("values", [{"learning": {"learning_rate": float("nan")}}, {"batch": "3"}, {"batch": True},
                                    {"pipeline": {"glimpses": 0}}, {"pipeline": []}, {"learning": {"discount": -1.0}},
                                    {"pipeline": {"reward": "money"}}, {"seed": 1.5}, {"link": "a.b -> c.d"},
                                    {"unlink": [3]}])  # fmt: skip
def test_every_bad_value_names_its_field(values):
    name = next(iter(values))
    inner = values[name]
    expected = next(iter(inner)) if isinstance(inner, dict) else name
    with pytest.raises(fx.InputError, match=expected):
        fx.TrainingConfig.from_json(values)


POLICIES = {"centre": {}, "random": {}, "sequence": {"sequence": ((0.1, 0.2),) * 2}, "given": {}}


@pytest.mark.parametrize("policy", POLICIES)
def test_one_argument_switches_between_policies(policy):
    data = tiny.data(400)
    given = np.random.default_rng(0).random((400, 2, 2)).astype(np.float32)
    if policy == "given":
        data = data._replace(train={**data.train, "fixations": given}, test={**data.test, "fixations": given})
    pipeline = dataclasses.replace(tiny.PIPELINE, policy=policy, **POLICIES[policy])
    result = tiny.train(None, data, config=dataclasses.replace(tiny.CONFIG, pipeline=pipeline))
    assert not any(jax.tree.leaves(result.params.get("saccader")))
    fixations = fx.evaluate(result.graph, result.params, data.test, key=jax.random.key(0)).fixations
    if policy == "random":
        assert 0.45 < fixations[:, 1:].mean() < 0.55
        assert fixations[:, 1:].std() > 0.25
    else:
        expected = {"centre": np.full((400, 2, 2), 0.5), "sequence": np.full((400, 2, 2), [0.1, 0.2])}
        np.testing.assert_allclose(fixations[:, 1:], expected.get(policy, given), atol=1e-6)


def test_without_agents_the_gaze_is_controlled():
    pipeline = dataclasses.replace(tiny.PIPELINE, policy="random")
    result = tiny.train(config=dataclasses.replace(tiny.CONFIG, pipeline=pipeline), evaluate=True)
    assert list(result.evaluations) == ["scripted", "best sequence", "another image", "random", "centre"]


def test_an_exception_of_a_listener_loses_nothing(tmp_path):
    def fail(metrics):
        if metrics["step"] == 8:
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        tiny.train(tmp_path / "run", listeners=[fail])
    assert [path.name for path in (tmp_path / "run" / "checkpoints").iterdir()] == ["10"]  # read one dispatch later
    tiny.train(tmp_path / "run")
    tiny.train(tmp_path / "whole")
    ours, theirs = ((tmp_path / name / "metrics.jsonl").read_bytes() for name in ("run", "whole"))
    assert ours == theirs


@pytest.mark.parametrize("train", [fx.train, fx.train_population])
@pytest.mark.parametrize("size", ["classes", "hidden", "batch", "dispatch"])
def test_what_does_not_fit_into_memory_is_refused_before_it_is_made(size, train):
    """A hundred million classes, a layer of a million, 100,000 images at 1,000 glimpses or in a million steps."""
    data, config = tiny.data(), dataclasses.replace(tiny.CONFIG, batch=8)
    if size == "classes":
        data = data._replace(classes=10**8)
    elif size == "hidden":
        config = dataclasses.replace(config, pipeline=fx.PipelineConfig(hidden=10**6, crop_size=3))
    else:
        image = np.broadcast_to(data.train["image"][:1], (10**5, 24, 24, 1))
        data = data._replace(train={"image": image, "label": np.zeros(10**5, np.int32)})
        glimpses = 1000 if size == "batch" else 2
        config = dataclasses.replace(config, batch=10**5, images=10**5, pipeline=fx.PipelineConfig(glimpses=glimpses))
    with pytest.raises(
        fx.InputError, match=r"a training's state, a batch and a dispatch must fit into memory, of which .* it needs"
    ):
        train(config, data, execution=fx.ExecutionConfig(dispatch=10**6 if size == "dispatch" else 100))


def test_a_batch_of_one_is_refused_where_advantages_are_standardised(tmp_path):
    one = dataclasses.replace(tiny.CONFIG, images=4, batch=1)
    for train in (fx.train, fx.train_population):
        with pytest.raises(fx.InputError, match=r"batch must be at least 2 .*normalize glimpse.*; got 1: choose "):
            train(one, tiny.data(), out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_training_without_compilation_says_once_how_slow_it_is():
    with jax.disable_jit(), pytest.warns(SlowWarning, match="JAX_DISABLE_JIT is set: nothing is compiled") as warned:
        prepare(tiny.CONFIG, tiny.data(), tiny.EXECUTION)
    assert len(warned) == 1
