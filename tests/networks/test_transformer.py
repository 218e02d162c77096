"""The transformer that is given one glimpse after another, against flax's on all of them at once."""

import dataclasses

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import small

import foveax as fx
from foveax.networks.transformer import TransformerCell

FEATURES, GLIMPSES = 16, 5


def one_after_another(cell, params, glimpses):
    carry = cell.initialize_carry(jax.random.key(0), glimpses[0].shape)
    outputs, apply = [], jax.jit(cell.apply)
    for glimpse in glimpses:
        carry, output = apply(params, carry, glimpse)
        outputs.append(output)
    return np.stack(outputs)


def at_once(params, glimpses, mask, heads):
    """All glimpses in one pass of flax's attention."""

    def dense(name, values):
        return values @ params[name]["kernel"] + params[name]["bias"]

    def norm(name, values):
        return nn.LayerNorm().apply({"params": params[name]}, values)

    stream = dense("embed", glimpses)
    for layer in (1, 2):
        read = dense(f"attend_{layer}", norm(f"norm_{layer}", stream))
        query, key, value = (part.reshape(len(glimpses), heads, -1) for part in jnp.split(read, 3, axis=-1))
        attended = nn.dot_product_attention(query, key, value, mask=mask[None])
        stream += dense(f"attended_{layer}", attended.reshape(len(glimpses), -1))
        stream += dense(f"outer_{layer}", nn.gelu(dense(f"inner_{layer}", norm(f"inner_norm_{layer}", stream))))
    return norm("norm", stream)


@pytest.mark.parametrize(("features", "heads"), [(16, 4), (6, 2)])
@pytest.mark.parametrize("length", [GLIMPSES, 3])
def test_it_is_a_causal_transformer_over_the_last_glimpses(features, heads, length, rng):
    cell = TransformerCell(features, length)
    glimpses = jnp.asarray(rng.normal(size=(GLIMPSES, 7)), jnp.float32)
    carry = cell.initialize_carry(jax.random.key(0), (7,))
    params = jax.jit(cell.init)(jax.random.key(1), carry, glimpses[0])
    params = jax.tree.map(lambda leaf: leaf + jnp.asarray(rng.normal(size=leaf.shape) / 4, jnp.float32), params)
    index = np.arange(GLIMPSES)
    mask = jnp.asarray((index[:, None] >= index) & (index[:, None] - index < length))
    with jax.numpy_rank_promotion("allow"):
        expected = at_once(params["params"], glimpses, mask, heads)
    np.testing.assert_allclose(one_after_another(cell, params, glimpses), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("precision", ["float32", pytest.param("bfloat16", marks=pytest.mark.nightly)])
def test_a_pipeline_with_a_transformer_takes_a_step(precision):
    config = fx.PipelineConfig(
        core="transformer", glimpses=3, crop_size=5, hidden=8, features=8, saccader_hidden=8, precision=precision
    )
    learner = fx.make_learner(fx.standard_pipeline(small.data(), config), fx.LearningConfig(), steps=10)
    before = learner.init(jax.random.key(0))
    after, metrics = jax.jit(learner.step)(before, small.batch())
    assert np.isfinite(metrics["accuracy"])
    moved = jax.tree.map(lambda new, old: float(jnp.abs(new - old).max()), after.params, before.params)
    core = moved["classifier"]["params"]["core"]
    assert min(layer["kernel"] for layer in core.values() if "kernel" in layer) > 0


def test_no_parameter_depends_on_the_number_of_glimpses():
    config = fx.PipelineConfig(core="transformer", crop_size=5, hidden=8)
    graphs = [fx.standard_pipeline(small.data(), dataclasses.replace(config, glimpses=length)) for length in (2, 7)]
    shapes = [jax.tree.map(np.shape, fx.init(graph, jax.random.key(0))["classifier"]) for graph in graphs]
    assert shapes[0] == shapes[1]


def test_without_a_length_it_is_refused():
    with pytest.raises(
        fx.InputError, match="length must be the glimpses that a transformer attends to, at least 1; got 0"
    ):
        fx.classifier(10, core="transformer")
