"""The graph is free: the compiled pipeline is the same XLA program as the same pipeline written by hand."""

import zlib

import jax
import jax.numpy as jnp
import numpy as np

import foveax as fx
from foveax.learning import policies
from foveax.learning.rewards import cross_entropy_drop
from foveax.networks import RecurrentClassifier, SaccadeNetwork, fourier_features

MODEL = fx.Model()
CLASSES, BATCH = 10, 8
RECORD = ("classifier.logits", "reward.reward", "saccader.log_prob", "saccader.value", "retina.fixation")


def handwritten(params, inputs, key):
    """The standard pipeline without a graph: six glimpses in a scan."""
    network = RecurrentClassifier(CLASSES)
    saccade = SaccadeNetwork(initial_deviation=MODEL.deviation_start)
    deviation = policies.scheduled_deviation(MODEL.deviation_start, MODEL.deviation_end, inputs["progress"])

    def glimpse(carry, xs):
        memory, previous, fixation = carry
        index, key = xs
        patch = fx.contrast_luminance(fx.crop(inputs["image"], fixation, size=MODEL.crop))
        memory, out = network.apply(params["network"], memory, patch, fixation)
        last = index == MODEL.glimpses - 1
        reward = cross_entropy_drop(out["logits"], inputs["label"], previous=previous, last=last)
        time = jax.nn.one_hot(index, MODEL.glimpses)
        seen = jax.lax.stop_gradient(
            jnp.concatenate([out["hidden"], fourier_features(fixation, bands=MODEL.bands), time])
        )
        _, heads = saccade.apply(params["saccader"], (), seen, time)
        spread = jnp.full(2, deviation, jnp.float32)
        action = policies.sample(key, heads.location, spread)
        executed = jax.lax.stop_gradient(action)
        log_prob = policies.log_prob(executed, heads.location, spread)
        following = jax.lax.stop_gradient(policies.squash(action))
        record = (out["logits"], reward, log_prob, heads.value, fixation)
        return (memory, out["logits"], following), dict(zip(RECORD, record, strict=True))

    keys = jax.random.split(jax.random.fold_in(key, zlib.crc32(b"saccader")), MODEL.glimpses)
    initial = (jnp.zeros(MODEL.hidden), jnp.zeros(CLASSES), jnp.full(2, 0.5, jnp.float32))
    return jax.lax.scan(glimpse, initial, (jnp.arange(MODEL.glimpses), keys), unroll=True)[1]


def test_same_bits_flops_and_instructions(record_property):
    graph = fx.standard_pipeline(MODEL, fx.image_source((28, 28, 1)), classes=CLASSES)
    params = fx.init(graph, jax.random.key(0))
    rng = np.random.default_rng(0)
    inputs = {
        "image": jnp.asarray(rng.integers(0, 255, (BATCH, 28, 28, 1), dtype=np.uint8)),
        "label": jnp.asarray(rng.integers(0, CLASSES, BATCH, dtype=np.int32)),
        "progress": jnp.full(BATCH, 0.25),
    }
    keys = jax.random.split(jax.random.key(1), BATCH)
    programs, outputs = {}, {}
    for name, rollout in (("graph", fx.compile(graph, RECORD)), ("by hand", handwritten)):
        programs[name] = jax.jit(jax.vmap(rollout, in_axes=(None, 0, 0))).lower(params, inputs, keys).compile()
        outputs[name] = programs[name](params, inputs, keys)
    flops = {name: program.cost_analysis()["flops"] for name, program in programs.items()}
    counts = {name: program.as_text().count(" = ") for name, program in programs.items()}
    record_property("optimised programs", f"{counts} instructions, {flops} FLOPs")
    for port in RECORD:
        np.testing.assert_array_equal(outputs["graph"][port], outputs["by hand"][port], err_msg=port)
    assert flops["graph"] == flops["by hand"] > 0
    assert counts["graph"] == counts["by hand"] > 0


def test_same_gradient_bits():
    graph = fx.standard_pipeline(MODEL, fx.image_source((28, 28, 1)), classes=CLASSES)
    params = fx.init(graph, jax.random.key(0))
    image = jnp.asarray(np.random.default_rng(1).integers(0, 255, (28, 28, 1), dtype=np.uint8))
    inputs = {"image": image, "label": jnp.int32(4), "progress": jnp.float32(0.5)}

    def gradient(rollout):
        def loss(params):
            trajectory = rollout(params, inputs, jax.random.key(2))
            return sum(jnp.sum(trajectory[port]) for port in RECORD)

        return jax.jit(jax.grad(loss))({name: params[name] for name in ("network", "saccader")} | EMPTY)

    ours, theirs = gradient(fx.compile(graph, RECORD)), gradient(handwritten)
    jax.tree.map(np.testing.assert_array_equal, ours, theirs)


EMPTY = {"retina": {}, "classifier": {}, "reward": {}}
