"""The graph is free: the compiled pipeline is the same XLA program as the same pipeline written by hand."""

import zlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import foveax as fx
from foveax.learning.policies import scheduled_scale, squashed_gaussian
from foveax.learning.rewards import cross_entropy_drop
from foveax.networks import RecurrentClassifier, SaccadeNetwork, fourier_features, index_features

pytestmark = pytest.mark.usefixtures("unrolled")

CONFIG = fx.PipelineConfig()
CLASSES, BATCH = 10, 8
RECORD = ("classifier.logits", "reward.reward", "saccader.log_prob", "saccader.value", "memory.fixation")
POLICY = squashed_gaussian()


def handwritten(params, inputs, key, progress):
    """The standard pipeline without a graph: six glimpses in a scan."""
    network = RecurrentClassifier(CLASSES)
    saccade = SaccadeNetwork(POLICY.size, initial=POLICY.initial, initial_scale=CONFIG.scale_start)
    scale = scheduled_scale(jnp.float32(CONFIG.scale_start), jnp.float32(CONFIG.scale_end), progress)

    def glimpse(carry, xs):
        memory, previous, fixation = carry
        index, key = xs
        patch = fx.contrast_luminance(fx.crop(inputs["image"], fixation, size=CONFIG.crop_size))
        memory, out = network.apply(params["classifier"], memory, patch, fixation)
        last = index == CONFIG.glimpses - 1
        reward = cross_entropy_drop(out["logits"], inputs["label"], previous=previous, last=last)
        parts = [out["hidden"], fourier_features(fixation, bands=CONFIG.bands), index_features(index)]
        observed = jax.lax.stop_gradient(jnp.concatenate(parts))
        _, heads = saccade.apply(params["saccader"], (), observed, index)
        spread = jnp.full(2, scale, jnp.float32)
        action = POLICY.sample(key, heads.policy, spread)
        executed = jax.lax.stop_gradient(action)
        log_prob = POLICY.log_prob(executed, heads.policy, spread, fixation)
        following = jax.lax.stop_gradient(POLICY.fixation(action, fixation))
        record = (out["logits"], reward, log_prob, heads.value, fixation)
        return (memory, out["logits"], following), dict(zip(RECORD, record, strict=True))

    keys = jax.random.split(jax.random.fold_in(key, zlib.crc32(b"saccader")), CONFIG.glimpses)
    initial = (jnp.zeros(CONFIG.hidden), jnp.zeros(CLASSES), jnp.full(2, 0.5, jnp.float32))
    return jax.lax.scan(glimpse, initial, (jnp.arange(CONFIG.glimpses), keys), unroll=True)[1]


def compiled(graph):
    """The graph's rollout, its trajectory by the ports' full names."""
    rollout = fx.compile(graph, RECORD)

    def flat(params, inputs, key, progress):
        trajectory = rollout(params, inputs, key, progress)
        return {port: trajectory[port.partition(".")[0]][port.partition(".")[2]] for port in RECORD}

    return flat


def pipeline():
    split = {"image": np.zeros((1, 28, 28, 1), np.uint8), "label": np.zeros(1, np.int32)}
    return fx.standard_pipeline(fx.from_arrays(split, split, classes=CLASSES), CONFIG)


def test_same_bits_flops_and_instructions(record_property):
    graph = pipeline()
    params = fx.init(graph, jax.random.key(0))
    rng = np.random.default_rng(0)
    inputs = {
        "image": jnp.asarray(rng.integers(0, 255, (BATCH, 28, 28, 1), dtype=np.uint8)),
        "label": jnp.asarray(rng.integers(0, CLASSES, BATCH, dtype=np.int32)),
    }
    arguments = (params, inputs, jax.random.split(jax.random.key(1), BATCH), jnp.float32(0.25))
    programs, outputs = {}, {}
    for name, rollout in (("graph", compiled(graph)), ("by hand", handwritten)):
        programs[name] = jax.jit(jax.vmap(rollout, in_axes=(None, 0, 0, None))).lower(*arguments).compile()
        outputs[name] = programs[name](*arguments)
    flops = {name: program.cost_analysis()["flops"] for name, program in programs.items()}
    counts = {name: program.as_text().count(" = ") for name, program in programs.items()}
    record_property("optimised programs", f"{counts} instructions, {flops} FLOPs")
    for port in RECORD:
        np.testing.assert_array_equal(outputs["graph"][port], outputs["by hand"][port], err_msg=port)
    assert flops["graph"] == flops["by hand"] > 0
    assert counts["graph"] == counts["by hand"] > 0


def test_same_gradient_bits():
    graph = pipeline()
    params = fx.init(graph, jax.random.key(0))
    image = jnp.asarray(np.random.default_rng(1).integers(0, 255, (28, 28, 1), dtype=np.uint8))
    inputs = {"image": image, "label": jnp.int32(4)}

    def gradient(rollout):
        def loss(params):
            trajectory = rollout(params, inputs, jax.random.key(2), jnp.float32(0.5))
            return sum(jnp.sum(trajectory[port]) for port in RECORD)

        return jax.jit(jax.grad(loss))(params)

    ours, theirs = gradient(compiled(graph)), gradient(handwritten)
    jax.tree.map(np.testing.assert_array_equal, ours, theirs)
