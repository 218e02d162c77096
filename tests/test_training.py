"""The loop and the run directory: what is seen, what is written, what is continued, and that a seed fixes it all."""

import dataclasses
import json

import chex
import jax
import numpy as np
import pytest

import foveax as fx

pytestmark = pytest.mark.slow


def config(small_model, **choices):
    return fx.Config(**{"images": 640, "dispatch": 5, "model": small_model, **choices})


def test_streamed_and_resident_data_give_the_same_training(digits, small_model):
    resident, streamed = (
        fx.train(config(small_model, resident_megabytes=megabytes), digits).params for megabytes in (2048, 0)
    )
    chex.assert_trees_all_close(resident, streamed, atol=1e-5)


def test_the_seed_fixes_everything_and_another_changes_it(digits, small_model):
    once, again, other = (fx.train(config(small_model, seed=seed), digits) for seed in (3, 3, 4))
    chex.assert_trees_all_equal(once.params, again.params)
    np.testing.assert_array_equal(once.evaluations["random"].fixations, again.evaluations["random"].fixations)
    assert (once.evaluations["learned"].fixations != other.evaluations["learned"].fixations).any()


def test_the_size_of_a_dispatch_changes_nothing(digits, small_model):
    few, many = (fx.train(config(small_model, dispatch=size), digits).params for size in (3, 20))
    chex.assert_trees_all_close(few, many, atol=1e-5)


def test_the_state_is_donated(digits, small_model):
    graph = fx.standard_pipeline(small_model, digits.inputs, classes=10)
    learner = fx.make_learner(graph, fx.Learning(), steps=4)
    first = learner.init(jax.random.key(0))
    for _ in fx.fit(learner, digits, first, steps=4, batch=8, dispatch=2):
        pass
    assert all(leaf.is_deleted() for leaf in jax.tree.leaves(first.params))


@pytest.mark.parametrize("resident_bytes", [2**31, 0], ids=["resident", "streamed"])
def test_nothing_is_moved_unasked_while_it_trains(digits, small_model, resident_bytes):
    learner = fx.make_learner(fx.standard_pipeline(small_model, digits.inputs, classes=10), fx.Learning(), steps=6)
    state = learner.init(jax.random.key(0))
    dispatches = fx.fit(learner, digits, state, steps=6, batch=8, dispatch=2, resident_bytes=resident_bytes)
    next(dispatches)
    with jax.transfer_guard("disallow"):
        assert len(list(dispatches)) == 2


@pytest.fixture(scope="module")
def run(digits, small_model, tmp_path_factory):
    out = tmp_path_factory.mktemp("runs") / "a"
    return out, fx.train(config(small_model), digits, out=out)


def test_run_directory_holds_what_is_promised(run, digits):
    out, result = run
    assert {path.name for path in out.iterdir()} == {
        "config.json", "metrics.jsonl", "summary.json", "provenance.json", "checkpoints", "fixations.png"}  # fmt: skip
    summary = json.loads((out / "summary.json").read_text())
    assert summary == json.loads(json.dumps(result.summary))
    for policy in ("learned", "centre", "random"):
        evaluation = result.evaluations[policy]
        shares = (evaluation.probabilities.argmax(-1) == digits.test["label"][:, None]).mean(0)
        np.testing.assert_allclose(summary["test"][policy]["accuracy"], shares)
        assert len(shares) == 6
    assert summary["test"]["centre"]["refixation"] == 1.0
    assert summary["test"]["centre"]["amplitude"] == 0.0
    assert {"images_per_second", "compile_seconds", "wall_seconds", "parameters", "versions"} <= set(summary)
    lines = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [5, 10, 15, 20]
    assert all({"loss/classifier.cross_entropy", "saccader/policy_loss", "accuracy"} <= set(line) for line in lines)
    assert (out / "fixations.png").read_bytes().startswith(b"\x89PNG")


def test_a_saved_run_evaluates_as_it_did(run, digits):
    out, result = run
    loaded, data, graph, params = fx.load_run(out)
    chex.assert_trees_all_equal(params, result.params)
    again = fx.evaluate(graph, params, data.test, key=jax.random.key(loaded.seed))
    np.testing.assert_array_equal(again.predicted, result.evaluations["learned"].predicted)


def test_a_run_that_stopped_is_continued_to_the_same_end(run, digits, small_model, tmp_path, monkeypatch):
    whole_path, whole = run
    monkeypatch.setattr("foveax.training.progress.SAVE_SECONDS", 0.0)

    class StopError(Exception):
        pass

    def stop_late(metrics):
        if metrics["step"] == 10:
            raise StopError

    with pytest.raises(StopError):
        fx.train(config(small_model), digits, out=tmp_path / "b", progress=stop_late)
    resumed = fx.train(config(small_model), digits, out=tmp_path / "b")
    chex.assert_trees_all_equal(resumed.params, whole.params)
    assert (whole_path / "metrics.jsonl").read_bytes() == (tmp_path / "b" / "metrics.jsonl").read_bytes()


def test_another_configuration_is_refused_with_its_differences(run, digits, small_model):
    out, _ = run
    before = {path: path.stat().st_mtime_ns for path in out.rglob("*")}
    with pytest.raises(fx.InputError, match="seed is 0 there, 9 here"):
        fx.train(config(small_model, seed=9), digits, out=out)
    assert before == {path: path.stat().st_mtime_ns for path in out.rglob("*")}


def test_configuration_goes_to_json_and_back(small_model):
    sequence = fx.Model(glimpses=3, policy="sequence", sequence=((0.1, 0.2), (0.3, 1.0)))
    for original in [*fx.PRESETS.values(), config(sequence)]:
        assert fx.Config.from_json(json.loads(json.dumps(original.to_json()))) == original
        hash(original)
    with pytest.raises(fx.InputError, match="Config has no field 'bacth'; did you mean 'batch'"):
        fx.Config.from_json({"bacth": 3})


@pytest.mark.parametrize("values", [{"learning": {"learning_rate": float("nan")}}, {"batch": "3"}, {"batch": True},
                                    {"model": {"glimpses": 0}}, {"model": []}, {"learning": {"discount": -1.0}},
                                    {"model": {"reward": "money"}}, {"seed": 1.5}])  # fmt: skip
def test_every_bad_value_names_its_field(values):
    name = next(iter(values))
    inner = values[name]
    expected = next(iter(inner)) if isinstance(inner, dict) else "Model" if name == "model" else name
    with pytest.raises(fx.InputError, match=expected):
        fx.Config.from_json(values)


POLICIES = {"centre": {}, "random": {}, "sequence": {"sequence": ((0.1, 0.2),) * 5}, "given": {}}


@pytest.mark.parametrize("policy", POLICIES)
def test_one_argument_switches_between_policies(policy, digits, small_model):
    given = np.random.default_rng(0).random((5000, 5, 2)).astype(np.float32)
    train, test = digits.train, digits.test
    if policy == "given":
        train, test = {**train, "fixations": given}, {**test, "fixations": given[:1000]}
    model = dataclasses.replace(small_model, policy=policy, **POLICIES[policy])
    result = fx.train(config(small_model, model=model), fx.Data(train, test, 10))
    fixations = result.evaluations[policy].fixations
    assert not any(jax.tree.leaves(result.params.get("saccader")))
    if policy == "random":
        assert 0.45 < fixations[:, 1:].mean() < 0.55
        assert fixations[:, 1:].std() > 0.25
    else:
        expected = {"centre": np.full((1000, 5, 2), 0.5), "sequence": np.full((1000, 5, 2), [0.1, 0.2])}
        np.testing.assert_allclose(fixations[:, 1:], expected.get(policy, given[:1000]), atol=1e-6)


def test_scanpath_statistics_on_known_paths():
    path = np.array([[[0.0, 0.0], [1.0, 0.0], [0.0, 0.0], [3 / 27, 0.0], [4 / 27 + 1e-3, 1.0]]])
    amplitudes = fx.analysis.saccade_amplitudes(path, height=28, width=28)
    np.testing.assert_allclose(amplitudes[0, :3], [27, 27, 3])
    assert fx.analysis.refixation_rate(path, height=28, width=28) == 0.5
    assert np.isnan(fx.analysis.refixation_rate(path[:, :1], height=28, width=28))
    with pytest.raises(fx.InputError, match=r"must have the shape \[N, T, 2\], T at least 1; got \[5, 2\]"):
        fx.analysis.saccade_amplitudes(path[0], height=28, width=28)
