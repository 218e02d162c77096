"""Planted defences are found out, sound models are not accused, and an evaluation that was stopped is resumed."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import small
import small_network

import foveax as fx
from foveax.evaluation import attack as evaluation
from foveax.evaluation import attack_models
from foveax.evaluation.attack import attack, format_attack
from foveax.evaluation.attack_methods import attacks
from foveax.evaluation.attack_rows import AttackConfig, Row, rows
from foveax.evaluation.attack_verdict import verdict
from foveax.evaluation.gaze_attacks import Response

SHAPE = (12, 12, 1)
EYE = fx.PipelineConfig(
    glimpses=3, crop_size=4, core="rnn", hidden=12, features=12, saccader_hidden=8, bands=1, contrast=False
)
TINY = AttackConfig(images=8, batch=4, steps=3, restarts=2, queries=5, draws=(1, 2), sweep=(0.6,))
SMALL = AttackConfig(images=60, batch=60, epsilon=0.2, steps=15, restarts=2, queries=200, draws=(10,), sweep=(0.1, 0.6))


def outcome(missing=None, **left):
    """A verdict on rows of which these shares of 200 images are left."""
    made = rows(AttackConfig(sweep=(0.1, 0.5)), has_eye=True, has_noise=True)
    shares = {**dict.fromkeys(made, 0.0), "clean": 1.0, "noise of equal norm": 0.9, "at 0.1": 0.4, **left}
    robust = {name: np.arange(200) < 200 * share for name, share in shares.items()}
    none = {"loss": np.zeros(200, bool), "gaze": np.zeros(200, bool)}
    return verdict(made, robust, missing or none, 0.5)


def test_a_model_that_all_attacks_break_is_broken():
    result = outcome()
    assert result == {"verdict": "broken", "reasons": [], "notes": [], "worst": 0.0}


def strong(share):
    """The same share left by all strong attacks."""
    made = rows(AttackConfig(), has_eye=True, has_noise=True)
    kinds = ("white", "black", "gaze", "noise", "more", "weak")
    return {name: share for name, row in made.items() if row.kind in kinds}


def test_a_model_that_stands_is_not_accused():
    result = outcome(**{**strong(0.3), "noise of equal norm": 0.9, "FGSM": 0.5})
    assert (result["verdict"], result["reasons"]) == ("standing", [])
    assert result["worst"] == 0.3


@pytest.mark.parametrize(
    ("left", "reason"),
    [
        ({**strong(0.3), "Square": 0.2}, "Square leaves 20.0 %, the white box attacks 30.0 %"),
        ({**strong(0.3), "FGSM": 0.1}, "FGSM leaves 10.0 %, the white box attacks 30.0 %"),
        ({**strong(0.3), "APGD, gaze held": 0.25}, "APGD, gaze held leaves 25.0 %, the white box attacks 30.0 %"),
        ({**strong(0.5), "noise, 20 draws": 0.3}, "noise hides the gradient: 50.0 % without an expectation"),
        ({"at 0.5": 0.5}, "a change of 0.1 breaks more than one of 0.5"),
        ({"at 0.5": 0.02}, "2.0 % are left at 0.5, where any image can be made grey"),
    ],
)
def test_weaker_attacks_that_beat_stronger_ones_are_told_apart(left, reason):
    result = outcome(**left)
    assert result["verdict"] == "masked"
    assert any(each.startswith(reason) for each in result["reasons"]), result["reasons"]


def test_more_steps_that_still_help_are_reported():
    assert outcome(**{**strong(0.3), "APGD, twice the steps": 0.2})["notes"] == [
        "APGD, twice the steps breaks 10.0 % more"
    ]


def test_a_sampled_gaze_that_flatters_is_noted():
    result = outcome(**{**strong(0.3), "sampled gaze, 1 draw": 0.5})
    noted = ["a sampled gaze leaves 50.0 % to attacks on one draw, 30.0 % to attacks on the mean of 20"]
    assert (result["verdict"], result["notes"]) == ("standing", noted)


def whole(module, name="network", random=False):
    """A graph without an eye: a function ``(image, key) -> logits`` of images of 28 pixels."""

    def apply(params, state, inputs, key):
        image = inputs["image"]
        image = image.astype(jnp.float32) / 255 if image.dtype == jnp.uint8 else image
        return {"output": module(image, key)}, state

    network = fx.Module({"image": fx.Port(("H", "W", "C"))}, apply, random=random)
    return fx.Graph(
        inputs=fx.image_source((28, 28, 1)),
        modules={name: network, "decision": fx.decision()},
        links=[f"input.image -> {name}.image", f"{name}.output -> decision.logits", "input.label -> decision.label"],
        length=1,
        roles=fx.Roles(belief="decision.probabilities", label="input.label"),
    )


def undefended(image, key=None):
    return small_network.logits(small_network.weights(), image)


def quantised(image, key):
    """Rounding to eight grey levels, whose gradient is 0 almost everywhere."""
    return undefended(jnp.round(image * 7) / 7)


def multi_resolution(image, key):
    """Noisy, shifted copies at several resolutions, voted on by the cross-max of Fort and Lakshminarayanan 2024."""

    def copy(key, size):
        shift_key, noise_key = jax.random.split(key)
        pooled = image.reshape(28 // size, size, 28 // size, size, 1).mean((1, 3))
        coarse = jnp.repeat(jnp.repeat(pooled, size, 0), size, 1)
        moved = jnp.roll(coarse, jax.random.randint(shift_key, (2,), -2, 3), (0, 1))
        return undefended(moved + 0.2 * jax.random.normal(noise_key, moved.shape))

    keys = jax.random.split(key, 6)
    logits = jnp.stack([copy(key, size) for key, size in zip(keys, (1, 1, 1, 2, 2, 4), strict=True)])
    logits = logits - logits.max(axis=1, keepdims=True)
    logits = logits - logits.max(axis=0, keepdims=True)
    return jnp.sort(logits, axis=0)[-3]


@pytest.mark.nightly
@pytest.mark.parametrize(
    ("defence", "random", "word"),
    [
        (quantised, False, "the loss has no gradient"),
        (multi_resolution, True, "noise hides the gradient"),
        (undefended, False, ""),
    ],
)
def test_planted_defences_are_found_out(defence, random, word, digits, tmp_path, record_property):
    control = whole(undefended)
    results = attack(
        whole(defence, random=random), {}, digits, folder=tmp_path, whole_image=(control, {}), config=SMALL
    )
    record_property(defence.__name__, "; ".join(results["reasons"]) or results["verdict"])
    if word:
        assert results["verdict"] == "masked"
        assert any(reason.startswith(word) for reason in results["reasons"]), results["reasons"]
    else:
        assert results["verdict"] != "masked", results["reasons"]


def eyed(is_cut):
    """The standard pipeline, whose saccader's gradient is cut in its policy's mode."""
    graph = fx.standard_pipeline(small.data(SHAPE), EYE)
    eye = graph.modules["saccader"]

    def mode(params, state, inputs, key):
        return eye.agent.mode(params, state, jax.lax.stop_gradient(inputs), key)

    return graph.swap("saccader", eye._replace(agent=eye.agent._replace(mode=mode))) if is_cut else graph


def pictures():
    """Eight test images at random."""
    rng = np.random.default_rng(0)
    test = {"image": rng.integers(0, 255, (8, *SHAPE), np.uint8), "label": (np.arange(8) % 5).astype(np.int32)}
    return small.data(SHAPE)._replace(test=test)


@pytest.fixture(autouse=True)
def _without_smallest_changes(monkeypatch):
    """They have tests of their own, and take long to compile."""
    monkeypatch.setattr(evaluation, "smallest_changes", lambda *given, **options: {})
    monkeypatch.setattr(evaluation, "passes_of", lambda images: 0)


@pytest.fixture(scope="module")
def params():
    return jax.jit(lambda key: fx.init(eyed(False), key))(jax.random.key(0))


def test_an_attack_on_either_loss_breaks_what_one_of_them_does():
    """Darker, the first glimpse errs far more; brighter, the last one errs: the mean of both losses leads astray."""

    def respond(image, key):
        light = image.mean()
        logits = jnp.stack([jnp.stack([100 * (light - 0.5), 0.0]), jnp.stack([0.75 - light, 0.0])])
        return Response(logits, jnp.zeros((2, 2)), jnp.zeros((2, 2)))

    image, inputs, key = jnp.full((4, 4, 1), 0.5), {"label": jnp.int32(0)}, jax.random.key(0)
    broken = {}
    for name in ("each glimpse", "apgd", "either"):
        attacked = jax.jit(attacks(AttackConfig(steps=20))[name], static_argnums=0)(respond, inputs, image, key, 0.3)
        broken[name] = bool(attacked.mean() > 0.75)
        assert jnp.abs(attacked - image).max() < 0.3 + 1e-6
    assert broken == {"each glimpse": False, "apgd": True, "either": True}


@pytest.mark.slow
@pytest.mark.parametrize("is_cut", [True, False])
def test_a_gaze_whose_gradient_is_cut_is_found_out(is_cut, params):
    image = np.random.default_rng(0).random((4, *SHAPE), np.float32)
    model = attack_models.Model(params, attack_models.free_gaze(eyed(is_cut)))
    missing = evaluation._probed(model, {"image": image, "label": np.zeros(4, np.int32)}, TINY)
    assert missing["gaze"].all() == is_cut
    assert missing["gaze"].any() == is_cut
    assert not missing["loss"].any()
    result = outcome(missing=missing)
    said = "the gaze has no gradient on 100 % of images, though the image moves it"
    assert (result["verdict"], result["reasons"]) == (("masked", [said]) if is_cut else ("broken", []))


@pytest.mark.slow
@pytest.mark.parametrize(
    "names", [("clean", "noise of equal norm", "FGSM"), pytest.param((), marks=pytest.mark.nightly)]
)
def test_a_stopped_evaluation_is_resumed(names, params, tmp_path, monkeypatch):
    """To the same numbers; of all rows every night."""

    def some(config, **kind):
        made = rows(config, **kind)
        return {name: made[name] for name in names or made}

    monkeypatch.setattr(evaluation, "rows", some)
    graph = eyed(False)
    options = {"folder": tmp_path, "whole_image": (graph, params), "config": TINY}
    results = attack(graph, params, pictures(), **options)
    assert results["rows"].keys() == some(TINY, has_eye=True).keys()
    for path in sorted(tmp_path.glob("*.npz"))[::2]:
        path.unlink()
    lines = []
    again = attack(graph, params, pictures(), **options, progress=lambda line, share: lines.append((line, share)))
    assert [share for _, share in lines] == sorted(share for _, share in lines)
    assert lines[-1] == (f"{list(again['rows'])[-1]}: {100 * list(again['rows'].values())[-1]['accuracy']:.1f} %", 1.0)
    for each in (results, again):
        for row in each["rows"].values():
            del row["seconds"]
    assert again == results
    for path in sorted(tmp_path.glob(f"{evaluation._file_name('FGSM')}-*.npz"))[::2]:
        path.unlink()
    alone = attack(graph, params, pictures(), **options, only=["FGSM"])  # images come in the order of other rows
    assert alone["verdict"] == "incomplete"
    del alone["rows"]["FGSM"]["seconds"]
    assert alone["rows"]["FGSM"] == results["rows"]["FGSM"]
    assert f"verdict: {results['verdict']}" in format_attack({**results, "rows": timed(results)})
    with pytest.raises(fx.InputError, match="folder must hold this evaluation, or none"):
        attack(graph, params, pictures(), **{**options, "config": AttackConfig(images=8, steps=4)})


def timed(results):
    """Rows with the seconds that comparison takes away."""
    return {name: {**row, "seconds": 1.0} for name, row in results["rows"].items()}


def lively(config):
    """A graph whose eye moves by what it sees, and its parameters."""
    graph = fx.standard_pipeline(small.data(SHAPE), config)
    params = jax.jit(lambda key: fx.init(graph, key))(jax.random.key(0))
    if not graph.agents:
        return graph, params
    weights = params["saccader"]["params"]
    policy = {**weights["policy"], "kernel": 60 * weights["policy"]["kernel"]}
    return graph, {**params, "saccader": {"params": {**weights, "policy": policy}}}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("changes", "noisy", "absent"),
    [
        ({"grid": 3}, "sampled gaze", "noise, 1 draw"),
        pytest.param({"policy": "random"}, "noise", "sampled gaze, 1 draw", marks=pytest.mark.nightly),
    ],
)
def test_an_eye_without_a_gradient_is_searched_and_not_accused(changes, noisy, absent, tmp_path, monkeypatch):
    graph, params = lively(dataclasses.replace(EYE, **changes))
    names = ("clean", "Square", "gaze pushed off, Square", f"{noisy}, 2 draws")

    def some(config, **kind):
        made = rows(config, **kind)
        assert absent not in made
        return {name: made[name] for name in names}

    monkeypatch.setattr(evaluation, "rows", some)
    config = dataclasses.replace(TINY, queries=100)
    results = attack(graph, params, pictures(), folder=tmp_path, whole_image=(graph, params), config=config)
    assert tuple(results["rows"]) == names
    assert (results["missing"]["gaze"] > 0.5) == ("grid" in changes)
    assert not any("gaze has no gradient" in reason for reason in results["reasons"])
    noted = "the gaze has no gradient by construction; only the searches know how it moves"
    assert (noted in results["notes"]) == ("grid" in changes)
    if "grid" in changes:
        assert results["rows"]["gaze pushed off, Square"]["moved"] > 0.05


@pytest.mark.slow
def test_images_are_judged_alike_in_batches_of_any_size(digits, tmp_path, monkeypatch):
    def some(config, **kind):
        made = rows(config, **kind)
        return {name: made[name] for name in ("clean", "FGSM")}

    monkeypatch.setattr(evaluation, "rows", some)
    found = []
    for batch in (5, 12):
        config = dataclasses.replace(SMALL, images=12, batch=batch)
        control, folder = whole(undefended), tmp_path / str(batch)
        results = attack(control, {}, digits, folder=folder, whole_image=(control, {}), config=config)
        found.append({name: evaluation.read_images(folder, name, (12, 28, 28, 1)) for name in results["rows"]})
        assert results["rows"]["FGSM"]["images"] == 12
    for name, images in found[0].items():
        np.testing.assert_allclose(images, found[1][name], atol=1e-6)
    chosen = np.sort(np.random.default_rng(0).permutation(len(digits.test["image"]))[:12])
    np.testing.assert_allclose(found[0]["clean"], digits.test["image"][chosen] / 255, atol=1e-6)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"draws": ()}, "draws must hold a number at least; got none"),
        ({"draws": (1, 2.5)}, "draws must be a whole number, at least 1; got 2.5"),
        ({"draws": (10, 1)}, "draws must be more than 0 and rise; got 10, 1"),
        ({"sweep": (0.0, 0.1)}, "sweep must be more than 0 and rise; got 0.0, 0.1"),
    ],
)
def test_a_budget_that_cannot_be_is_refused(changes, message):
    with pytest.raises(fx.InputError, match=message):
        AttackConfig(**changes)


def test_a_gaze_without_a_gradient_by_construction_is_noted():
    made = rows(TINY, has_eye=True, has_gradient=False)
    robust = {name: np.zeros(50, bool) for name in made}
    missing = {"loss": np.zeros(50, bool), "gaze": np.ones(50, bool)}
    result = verdict(made, robust, missing, 0.5, has_gradient=False)
    assert (result["verdict"], result["reasons"]) == ("broken", [])
    assert result["notes"] == ["the gaze has no gradient by construction; only the searches know how it moves"]
    assert verdict(made, robust, missing, 0.5)["verdict"] == "masked"


def test_rows_without_an_eye_hold_none_of_the_gaze():
    made = rows(AttackConfig(norm="l2"), has_eye=False)
    assert not [name for name in made if "gaze" in name or "fixations" in name]
    assert made["APGD from the transfer"] == Row("white", "from start", start="transfer from the whole image")
