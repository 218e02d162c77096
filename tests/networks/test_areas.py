"""Areas of convolutional recurrent networks: their connections, and what they hear."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import small

import foveax as fx
from foveax.networks.areas import Area, Connection, convolve, convolve_up
from foveax.networks.blt_vs import BLTVS, STAGES
from foveax.networks.recurrent_convolutional import ccn23, rcnn_sat, spoerer2017
from foveax.networks.torch_parameters import from_torch


@pytest.mark.parametrize(("size", "stride"), [((6, 8), 2), ((7, 5), 2), ((5, 6), 1)])
@pytest.mark.parametrize("side", [1, 3, 5])
def test_what_goes_up_is_the_adjoint_of_what_came_down(size, stride, side, rng):
    kernel = jnp.asarray(rng.normal(size=(side, side, 3, 4)), jnp.float32)
    planes = jax.ShapeDtypeStruct((*size, 3), jnp.float32)
    down = jax.linear_transpose(lambda planes: convolve(planes, kernel, stride=stride), planes)
    above = jnp.asarray(rng.normal(size=(-(-size[0] // stride), -(-size[1] // stride), 4)), jnp.float32)
    turned = kernel[::-1, ::-1].swapaxes(2, 3)
    np.testing.assert_allclose(convolve_up(above, turned, stride=stride, size=size), down(above)[0], atol=1e-5)


@pytest.mark.parametrize("stride", [1, 2])
def test_convolutions_are_those_of_lax_on_a_processor_too(stride, rng):
    """There they are products of windows, elsewhere the convolution itself."""
    layout = ("NHWC", "HWIO", "NHWC")
    planes, kernel = (jnp.asarray(rng.normal(size=shape), jnp.float32) for shape in ((7, 6, 3), (3, 3, 3, 4)))
    ours = convolve(planes, kernel, stride=stride)
    theirs = jax.lax.conv_general_dilated(
        planes[None], kernel, (stride, stride), [(1, 1)] * 2, dimension_numbers=layout
    )
    np.testing.assert_allclose(ours, theirs[0], atol=1e-5)
    ours = convolve_up(planes, kernel, stride=stride, size=(7 * stride, 6 * stride))
    padding = [(1, stride)] * 2
    theirs = jax.lax.conv_general_dilated(
        planes[None], kernel, (1, 1), padding, lhs_dilation=(stride, stride), dimension_numbers=layout
    )
    np.testing.assert_allclose(ours, theirs[0], atol=1e-5)


def test_a_network_given_twice_as_many_steps_is_two_calls(rng):
    """Whatever has been seen is in the carry."""
    glimpse = jnp.asarray(rng.uniform(size=(8, 8, 1)), jnp.float32)
    network = ccn23(channels=(4, 4, 8, 16, 32), classes=3, internal_steps=4)
    carry = network.initialize_carry(jax.random.key(0), glimpse.shape)
    params = jax.jit(network.init)(jax.random.key(0), carry, glimpse)
    _, whole = jax.jit(network.apply)(params, carry, glimpse)
    apply = jax.jit(network.clone(internal_steps=2).apply)
    half, first = apply(params, carry, glimpse)
    _, second = apply(params, half, glimpse)
    for name in (name for name in whole if name.endswith("_by_step")):
        np.testing.assert_allclose(np.concatenate([first[name], second[name]]), whole[name], atol=1e-5)


@pytest.mark.parametrize("network", [rcnn_sat(filters=(4, 6), kernels=(3, 3), classes=3), spoerer2017(classes=3)])
def test_the_sum_of_the_logits_is_one_of_two_read_outs(network, rng):
    glimpse = jnp.asarray(rng.uniform(size=(8, 8, 1)), jnp.float32)
    network = network.clone(internal_steps=3)
    carry = network.initialize_carry(jax.random.key(0), glimpse.shape)
    variables = jax.jit(network.init)(jax.random.key(0), carry, glimpse)
    for cumulative in (False, True):
        _, out = jax.jit(network.clone(cumulative=cumulative).apply)(variables, carry, glimpse)
        expected = out["logits_by_step"].sum(axis=0) if cumulative else out["logits_by_step"][-1]
        np.testing.assert_allclose(out["logits"], expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("network", [
    ccn23(channels=(4, 4, 8, 16, 32), classes=small.CLASSES, internal_steps=2),
    pytest.param(BLTVS(small.CLASSES, internal_steps=2, large=False, spare=2,
                       stages=tuple((name, stage._replace(channels=6)) for name, stage in STAGES.items())),
                 marks=pytest.mark.nightly),
])  # fmt: skip
def test_a_network_is_a_glimpse_classifier_with_steps_at_each_fixation(network):
    config = fx.PipelineConfig(glimpses=3, crop_size=8, contrast=False, saccader_hidden=8)
    graph = fx.standard_pipeline(small.data(), config).unlink("classifier.fixation")
    graph = graph.swap("classifier", fx.from_linen_cell(network))
    learner = fx.make_learner(graph, fx.LearningConfig(), steps=10)
    state = learner.init(jax.random.key(0))
    after, metrics = jax.jit(learner.step)(state, small.batch())
    assert np.isfinite(metrics["loss/decision.cross_entropy"])
    moved = jax.tree.map(lambda old, new: bool((old != new).any()), state.params, after.params)
    assert any(jax.tree.leaves(moved["saccader"]))
    assert all(jax.tree.leaves(moved["classifier"]["params"]["readout"]))


def test_lateral_connections_may_be_depth_wise(rng):
    area = Area(6, lateral=True, depthwise=True, bias=True, norm="group")
    below, own = (jnp.asarray(rng.normal(size=(5, 5, channels)), jnp.float32) for channels in (3, 6))
    params = jax.jit(area.init)(jax.random.key(0), below, own, None, 1)["params"]
    assert params["each_channel"]["kernel"].shape == (3, 3, 1, 6)
    assert params["lateral"]["kernel"].shape == (1, 1, 6, 6)
    first, later = (jax.jit(area.apply)({"params": params}, below, own, None, step) for step in (0, 1))
    alone = area.clone(lateral=False)
    feedforward = {name: params[name] for name in ("bottom_up", "norm")}
    np.testing.assert_allclose(first, jax.jit(alone.apply)({"params": feedforward}, below, own, None, 0), atol=1e-6)
    assert (first != later).any()


@pytest.mark.parametrize("published", [True, False])
def test_the_skip_from_v4_to_v1_is_idle_in_sweeps_unless_it_is_mended(published):
    stages = tuple((name, stage._replace(channels=2)) for name, stage in STAGES.items())
    network = BLTVS(3, internal_steps=2, large=False, spare=1, stages=stages, skip_as_published=published)
    image = jax.random.uniform(jax.random.key(1), (16, 16, 1))
    carry = network.initialize_carry(jax.random.key(0), image.shape)
    params = jax.jit(network.init)(jax.random.key(0), carry, image)

    def total(params):
        return network.apply(params, carry, image)[1]["v1_down_by_step"].sum()

    gradient = jax.jit(jax.grad(total))(params)["params"]["v1"]["skip_down_groups"]["kernel"]
    assert (gradient == 0).all() == published


def test_tensors_that_are_not_those_of_a_network_are_refused():
    like = jax.eval_shape(Connection(2).init, jax.random.key(0), jnp.zeros((4, 4, 3)))
    names = ((r"^weight$", "kernel"),)
    weight, bias = np.zeros((2, 3, 3, 3)), np.zeros(2)
    for tensors, message in (
        ({"weight": weight, "bias": bias, "scale": bias}, "it has no 'scale'"),
        ({"weight": weight[:1], "bias": bias}, r"weight must hold \[3, 3, 3, 2\] numbers"),
        ({"weight": weight}, "bias are not there"),
    ):
        with pytest.raises(fx.InputError, match=message):
            from_torch(tensors, names, like)
