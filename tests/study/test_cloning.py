"""Behaviour cloning recovers a policy that is known, from scanpaths drawn from it."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import foveax as fx
from foveax.study.cloning import _experience, clone, split_trials
from foveax.study.compare import Eye, compare
from foveax.study.densities import PRIOR, information_gain, predictions
from foveax.study.following import make_follower
from foveax.study.page import verdicts
from foveax.study.simulation import Observers, simulated_participants
from foveax.study.trials import trials_of

SCALE = 0.5
CONFIG = fx.PipelineConfig(
    hidden=16, features=8, saccader_hidden=16, glimpses=4, bands=1, contrast=False, crop_size=5, scale_end=SCALE
)


@pytest.fixture(scope="module")
def follower(truth):
    return make_follower(truth[1], 4)


@pytest.fixture(scope="module")
def truth():
    """A pipeline whose eye looks elsewhere on every image: bright spots, and heads that depend on what it sees."""
    rng = np.random.default_rng(0)
    image = (rng.random((120, 12, 12, 1)) < 0.3).astype(np.float32)
    split = {"image": image, "label": np.arange(120) % 3}
    data = fx.from_arrays(split, split)
    graph = fx.standard_pipeline(data, CONFIG)
    params = fx.init(graph, jax.random.key(1))
    net = params["saccader"]["params"]
    kernel = 2.0 * jax.random.normal(jax.random.key(2), net["policy"]["kernel"].shape)
    moved = {**net, "policy": {**net["policy"], "kernel": kernel}}
    return data, graph, {**params, "saccader": {"params": moved}}


def drawn_trials(truth, follower, participants, seed, hyper=None):
    data, _, params = truth
    table = simulated_participants(data.test["label"], Observers(), participants=participants, fixations=4, seed=seed)
    trials = trials_of(table, data.test)
    passes = follower.gaze(params, trials, 1, jax.random.key(1_000 + seed), hyper).passes[0]
    return trials._replace(fixations=passes)


def divergence(graph, one, other, trials):
    """KL of two squashed Gaussians of one scale, in nats per fixation: that of the Gaussians, whatever the squash."""
    found, _ = _experience(graph, "saccader", one, trials, graph.hyperparameters)
    again, _ = _experience(graph, "saccader", other, trials, graph.hyperparameters)
    heads = [jnp.log(each["mode"]) - jnp.log1p(-each["mode"]) for each in (found, again)]
    return float(jnp.mean(jnp.sum((heads[0] - heads[1]) ** 2, axis=-1)) / (2 * SCALE**2))


def test_cloning_recovers_a_policy_the_better_the_more_data(truth, follower, record_property):
    _, graph, params = truth
    trials = drawn_trials(truth, follower, 4, 0)
    fresh = {**params, "saccader": fx.init(graph, jax.random.key(9))["saccader"]}
    known, judged = split_trials(trials)
    assert not set(known.names) & set(judged.names)
    assert not set(known.subject) & set(judged.subject)
    divergences = [divergence(graph, params, fresh, judged)]
    for count in (6, 30, len(known.image)):
        some = known.select(np.arange(len(known.image))[:: len(known.image) // count][:count])
        cloned = clone(graph, fresh, some, steps=400, batch=32, rate=1e-2)
        divergences.append(divergence(graph, params, cloned.params, judged))
    record_property("KL to the truth without cloning, and with 6, 30 and all trials", np.round(divergences, 3).tolist())
    assert divergences[3] < divergences[2] < divergences[1] < divergences[0]
    assert divergences[3] < 0.2 * divergences[0]
    log_density = follower.follow(cloned.params, judged, judged.fixations).log_density
    densities = predictions(judged, {})
    for control in ("centre", "another image", "uniform", PRIOR):
        gain = information_gain(log_density, densities.log_density[control])
        assert gain.mean() > 2 * gain.std() / np.sqrt(len(gain)) > 0, control
    for name in params:
        same = jax.tree.map(lambda a, b: bool((a == b).all()), params[name], cloned.params[name])
        assert all(jax.tree.leaves(same)) == (name != "saccader")


def test_people_who_look_as_a_model_does_are_found_to(truth, follower):
    """Of two eyes, the one that drew people's scanpaths is as like them as they are to each other, the other is not."""
    _, graph, params = truth
    sure = {"scale_end": 0.1}  # scanpaths that depend on the image more than on chance
    trials = drawn_trials(truth, follower, 6, 0, sure)
    fresh = {**params, "saccader": fx.init(graph, jax.random.key(9))["saccader"]}
    study = compare(follower, (Eye("same", params, sure), Eye("other", fresh, sure)), trials, passes=2)
    same, other = verdicts(study)
    assert "more than an eye that does not look at the image" in same
    assert "not beyond chance" in other
    specific = {name: np.nanmean(values["scanmatch"]) for name, values in study.likeness.specific.items()}
    assert specific["same"] == pytest.approx(specific["another participant"], rel=0.25)
    gains = {name: np.nanmean(values) for name, values in study.gains.items()}
    assert gains["same: policy"] == max(gains.values())
    assert study.scales["same"] == 0.1
    right = {name: values[:, -1].mean() for name, values in study.correct.items()}
    assert right["same"] == pytest.approx(right["people's gaze"], abs=0.1)


def test_reward_is_mixed_in(truth, follower):
    """With a share of almost nothing the eye stays where reward leaves it; the two ends differ."""
    data, graph, params = truth
    trials = drawn_trials(truth, follower, 1, 1)
    fresh = {**params, "saccader": fx.init(graph, jax.random.key(9))["saccader"]}
    logs = {}
    for share in (0.05, 1.0):
        cloned = clone(graph, fresh, trials, share=share, data=data, steps=100, batch=16, rate=1e-2)
        logs[share] = np.nanmean(follower.follow(cloned.params, trials, trials.fixations).log_density)
    before = np.nanmean(follower.follow(fresh, trials, trials.fixations).log_density)
    assert before < logs[0.05] < logs[1.0]


def test_what_cannot_be_cloned_is_refused(truth, follower):
    data, graph, params = truth
    trials = drawn_trials(truth, follower, 1, 1)
    with pytest.raises(fx.InputError, match="share below 1 must come with data"):
        clone(graph, params, trials, share=0.5)
    with pytest.raises(fx.InputError, match="share must be more than 0"):
        clone(graph, params, trials, share=0.0)
    scripted = fx.standard_pipeline(data, dataclasses.replace(CONFIG, policy="centre"))
    with pytest.raises(fx.InputError, match="an agent must move the gaze"):
        clone(scripted, params, trials)


def test_participants_who_share_no_image_cannot_be_split(truth, follower):
    trials = drawn_trials(truth, follower, 2, 1)
    others = np.random.default_rng(0).permutation(np.unique(trials.image))[60:]  # as they are divided
    apart = trials._replace(subject=1 - np.isin(trials.image, others).astype(int))
    with pytest.raises(fx.InputError, match=r"half of the participants must have trials .* got 0 and 0 trials"):
        split_trials(apart)
