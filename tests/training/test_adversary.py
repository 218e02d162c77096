"""Adversarial training: what the adversary makes of images, and that a step learns from that alone."""

import dataclasses

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import small

import foveax as fx
from foveax.modules.retina import IMAGE
from foveax.training.adversary import adversary, learner_of

CLASSES, SHAPE, RADIUS = 2, (4, 4, 1), 0.25
CONFIG = fx.PipelineConfig(glimpses=3, crop_size=3, hidden=16, features=16, saccader_hidden=4, contrast=False)
LEARNING = fx.LearningConfig(adversary=RADIUS, adversary_rise=0.5)


def linear_graph():
    """A linear classifier of the whole image."""
    network = fx.from_linen(Linear(), ports={"image": IMAGE})
    data = small.data(SHAPE, CLASSES, np.float32)
    return fx.Graph(
        inputs=data.inputs,
        modules={"network": network, "decision": fx.decision()},
        links=["input.image -> network.image", "network.output -> decision.logits", "input.label -> decision.label"],
        length=1,
        roles=fx.Roles(belief="decision.probabilities", label="input.label"),
    )


class Linear(nn.Module):
    @nn.compact
    def __call__(self, image):
        return nn.Dense(CLASSES)(image.reshape(-1))


def attacked(graph, learning, batch, progress=1.0, seed=0):
    """What the adversary makes of a batch, and the parameters that it attacks."""
    params = fx.init(graph, jax.random.key(1))
    keys = jax.random.split(jax.random.key(seed), (2, len(batch["image"])))
    change = jax.jit(adversary(graph, learning))
    hyper = learning.hyperparameters(dict(graph.hyperparameters))
    return change(params, batch, jnp.float32(progress), keys[0], keys[1], hyper), params


def float_batch(shape, size=6, classes=CLASSES):
    batch = small.batch(size, shape=shape, classes=classes)
    return {**batch, "image": batch["image"].astype(jnp.float32) / 255}


@pytest.mark.parametrize("progress", [1.0, 0.25])
def test_a_linear_classifier_meets_its_worst_case(progress):
    changed, origin, towards = linear_attack("linf", progress)
    np.testing.assert_allclose(changed - origin, min(2 * progress, 1) * RADIUS * np.sign(towards), atol=1e-6)


def test_a_linear_classifier_meets_its_worst_case_in_l2():
    changed, origin, towards = linear_attack("l2", 1.0)
    unit = towards / np.linalg.norm(towards, axis=1, keepdims=True)
    np.testing.assert_allclose(np.linalg.norm(changed - origin, axis=1), RADIUS, rtol=1e-5)
    assert ((changed - origin) * unit).sum(1).min() > 0.9 * RADIUS  # 2.5 radii of steps do not turn it all the way


def linear_attack(norm, progress):
    """Changed images, the images, and ``w_other - w_label``, along which the loss of two classes rises; ``[6, 16]``."""
    batch = float_batch(SHAPE)
    batch["image"] = 0.4 + 0.2 * batch["image"]  # so far from black and white that nothing is cut off
    learning = dataclasses.replace(LEARNING, adversary_norm=norm, adversary_steps=20)
    changed, params = attacked(linear_graph(), learning, batch, progress)
    weights = np.asarray(params["network"]["params"]["Dense_0"]["kernel"])
    towards = (weights[:, 1] - weights[:, 0]) * np.where(batch["label"], -1, 1)[:, None]
    return *(np.asarray(array["image"]).reshape(6, -1) for array in (changed, batch)), towards


def test_changes_stay_within_radius_and_range_and_cost_more_than_noise():
    graph = fx.standard_pipeline(small.data(dtype=np.float32), CONFIG)
    batch = float_batch(small.SHAPE, 8, small.CLASSES)
    changed, params = attacked(graph, dataclasses.replace(LEARNING, adversary_steps=3), batch)
    delta = np.asarray(changed["image"] - batch["image"])
    assert 0.9 * RADIUS < np.abs(delta).max() <= RADIUS + 1e-6
    assert changed["image"].min() >= 0
    assert changed["image"].max() <= 1
    noise = np.clip(batch["image"] + RADIUS * np.random.default_rng(0).choice([-1, 1], delta.shape), 0, 1)
    rollout = jax.jit(jax.vmap(fx.compile(graph, ["decision.cross_entropy"]), in_axes=(None, 0, 0, None)))
    keys = jax.random.split(jax.random.key(0), (2, 8))[0]  # those of the step: its fixations, of which it knows
    losses = [
        rollout(params, {**batch, "image": jnp.asarray(image, jnp.float32)}, keys, 1.0)["decision"]["cross_entropy"]
        for image in (changed["image"], noise)
    ]
    assert losses[0].mean() > losses[1].mean() + 0.01


def test_a_step_learns_from_the_changed_images():
    graph = fx.standard_pipeline(small.data(dtype=np.float32), CONFIG)
    batch, losses = float_batch(small.SHAPE, 8, small.CLASSES), []
    for radius in (0.0, 1e-7, RADIUS):
        learner = learner_of(graph, fx.LearningConfig(adversary=radius, adversary_rise=0.0), steps=10)
        metrics = jax.jit(learner.step)(learner.init(jax.random.key(0)), batch)[1]
        losses.append(float(metrics["loss/decision.cross_entropy"]))
    assert losses[1] == pytest.approx(losses[0], abs=1e-5)
    assert losses[2] > losses[0] + 0.01


def test_a_learner_without_its_adversary_is_refused():
    graph = fx.standard_pipeline(small.data(dtype=np.float32), CONFIG)
    with pytest.raises(fx.InputError, match="adversary must be 0 without an attack"):
        fx.make_learner(graph, LEARNING, steps=10)
