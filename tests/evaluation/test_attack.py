"""Planted defences are found out, sound models are not accused, and an evaluation that was stopped is resumed."""

import shutil
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import small

import foveax as fx
from foveax.evaluation import attack as evaluation
from foveax.evaluation.attack import attack, format_attack
from foveax.evaluation.attack_rows import AttackConfig, Row, rows
from foveax.evaluation.attack_verdict import verdict

sys.path.insert(0, str(Path(__file__).parents[1] / "robustness"))
import small_network

SHAPE = (12, 12, 1)
EYE = fx.PipelineConfig(
    glimpses=3, crop_size=4, core="rnn", hidden=12, features=12, saccader_hidden=8, bands=1, contrast=False
)
TINY = AttackConfig(images=8, batch=4, steps=3, restarts=2, queries=5, draws=2, sweep=(0.6,))
SMALL = AttackConfig(images=60, batch=60, epsilon=0.2, steps=20, restarts=2, queries=300, draws=20, sweep=(0.1, 0.6))


def outcome(**left):
    """A verdict on rows of which these shares of 200 images are left."""
    made = rows(AttackConfig(sweep=(0.1, 0.5)), has_eye=True)
    shares = {**dict.fromkeys(made, 0.0), "clean": 1.0, "noise of equal norm": 0.9, "APGD at 0.1": 0.4, **left}
    robust = {name: np.arange(200) < 200 * share for name, share in shares.items()}
    none = {"loss": np.zeros(200, bool), "gaze": np.zeros(200, bool)}
    return verdict(made, robust, left.pop("missing", none), 0.5)


def test_a_model_that_all_attacks_break_is_broken():
    result = outcome()
    assert result == {"verdict": "broken", "reasons": [], "unfinished": [], "worst": 0.0}


def strong(share):
    """The same share left by all strong attacks."""
    made = rows(AttackConfig(sweep=(0.1, 0.5)), has_eye=True)
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
        ({**strong(0.3), "sampled gaze, 1 draw": 0.5}, "noise hides the gradient: 50.0 % without an expectation"),
        ({"APGD at 0.5": 0.5}, "a change of 0.1 breaks more than one of 0.5"),
        ({"APGD at 0.5": 0.02}, "2.0 % are left at 0.5, where any image can be made grey"),
    ],
)
def test_weaker_attacks_that_beat_stronger_ones_are_told_apart(left, reason):
    result = outcome(**left)
    assert result["verdict"] == "masked"
    assert any(each.startswith(reason) for each in result["reasons"]), result["reasons"]


def test_more_steps_that_still_help_are_reported():
    assert outcome(**{**strong(0.3), "APGD, twice the steps": 0.2})["unfinished"] == [
        "APGD, twice the steps breaks 10.0 % more"
    ]


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


@pytest.mark.slow
def test_a_gaze_whose_gradient_is_cut_is_found_out_and_a_stopped_evaluation_is_resumed(tmp_path, monkeypatch):
    data = small.data(SHAPE)
    rng = np.random.default_rng(0)
    data = data._replace(
        test={"image": rng.integers(0, 255, (8, *SHAPE), np.uint8), "label": (np.arange(8) % 5).astype(np.int32)}
    )
    graph, plain = eyed(True), eyed(False)
    params = jax.jit(lambda key: fx.init(plain, key))(jax.random.key(0))
    control = (plain, params)
    whole_run = attack(graph, params, data, folder=tmp_path / "whole", whole_image=control, config=TINY)
    assert whole_run["missing"] == {"loss": 0.0, "gaze": 1.0}
    assert whole_run["verdict"] == "masked"
    assert "the gaze has no gradient on 100 % of images, though the image moves it" in whole_run["reasons"]
    assert "masked" in format_attack(whole_run)

    shutil.copytree(tmp_path / "whole", tmp_path / "stopped")
    (tmp_path / "stopped" / "attack.json").unlink()
    parts = sorted((tmp_path / "stopped").glob("*.npz"))
    for path in parts[::5]:
        path.unlink()
    again = attack(graph, params, data, folder=tmp_path / "stopped", whole_image=control, config=TINY)
    for results in (whole_run, again):
        for row in results["rows"].values():
            del row["seconds"]
    assert again == whole_run
    with pytest.raises(fx.InputError, match="folder must hold this evaluation, or none"):
        other = AttackConfig(images=8, batch=4, steps=4)
        attack(graph, params, data, folder=tmp_path / "whole", whole_image=control, config=other)


@pytest.mark.slow
def test_a_gaze_that_is_whole_is_not_accused():
    graph, config = eyed(False), TINY
    params = jax.jit(lambda key: fx.init(graph, key))(jax.random.key(0))
    image = np.random.default_rng(0).random((4, *SHAPE), np.float32)
    model = evaluation.Model(params, evaluation.free_gaze(graph))
    missing = evaluation._probed(model, {"image": image, "label": np.zeros(4, np.int32)}, config)
    assert not missing["gaze"].any()
    assert not missing["loss"].any()


def test_rows_without_an_eye_hold_none_of_the_gaze():
    made = rows(AttackConfig(norm="l2"), has_eye=False)
    assert not [name for name in made if "gaze" in name or "fixations" in name or name == "Square"]
    assert made["APGD from the transfer"] == Row("white", "from start", start="transfer from the whole image")
