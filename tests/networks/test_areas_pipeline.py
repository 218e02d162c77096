"""Networks of areas as the classifier of a stock pipeline, by name from the command line."""

import dataclasses
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import small
import tiny

import foveax as fx
from foveax.cli import main
from foveax.networks.recurrent_convolutional import layered
from foveax.pipelines.areas import areas_pipeline
from foveax.runs.pipeline import build_graph

WHOLE = fx.PipelineConfig(glimpses=1, crop_size=8, policy="centre", contrast=False)
NAME = "foveax.pipelines.areas:areas_pipeline"


def test_one_glimpse_at_the_centre_is_the_network_on_the_whole_image():
    options = {"letters": "BLT", "filters": (4, 6), "internal_steps": 3}
    graph = areas_pipeline(small.data(), WHOLE, **options)
    example = small.example()
    params = jax.jit(lambda key: fx.init(graph, key))(jax.random.key(0))
    rollout = jax.jit(fx.compile(graph))
    trajectory = rollout(params, example, jax.random.key(1))
    network = layered("BLT", filters=(4, 6), internal_steps=3, classes=small.CLASSES)
    carry = network.initialize_carry(jax.random.key(0), example["image"].shape)
    _, outputs = jax.jit(network.apply)(params["classifier"], carry, example["image"])
    for name in ("logits", "logits_by_step", "layer_0_by_step"):
        np.testing.assert_allclose(trajectory["classifier"][name][0], outputs[name], atol=1e-5)


@pytest.mark.parametrize("letters", ["B", "BL", "BT", "BLT"])
def test_letters_say_which_connections_there_are(letters):
    network = layered(letters, filters=(3, 5), kernel=5, internal_steps=2)
    carry = network.initialize_carry(jax.random.key(0), (8, 8, 1))
    shapes = jax.eval_shape(network.init, jax.random.key(0), carry, jnp.zeros((8, 8, 1)))["params"]
    lateral = [(5, 5, 3, 3), (5, 5, 5, 5)] if "L" in letters else []
    assert [shapes[name]["lateral"]["kernel"].shape for name in shapes if "lateral" in shapes[name]] == lateral
    assert ("top_down" in shapes["layer_0"]) == ("T" in letters)
    assert "top_down" not in shapes["layer_1"]


def test_the_read_out_is_from_the_maximum_over_places(rng):
    network = layered("B", filters=(3, 5), internal_steps=1, classes=4)
    image = jnp.asarray(rng.uniform(size=(8, 8, 1)), jnp.float32)
    carry = network.initialize_carry(jax.random.key(0), image.shape)
    variables = jax.jit(network.init)(jax.random.key(0), carry, image)
    _, outputs = jax.jit(network.apply)(variables, carry, image)
    readout = variables["params"]["readout"]
    expected = np.asarray(outputs["layer_1_by_step"][0]).max((0, 1)) @ readout["kernel"] + readout["bias"]
    np.testing.assert_allclose(outputs["logits"], expected, atol=1e-5)


def test_the_command_trains_a_network_by_name_with_the_fields_of_the_configuration(tmp_path):
    data = tiny.write_npz(tmp_path / "tiny.npz")
    flags = ["--data", str(data), *tiny.FLAGS[:8], "--policy", "centre", "--no-contrast", "--no-evaluate"]
    network = ["--pipeline", NAME, "--pipeline-args", "letters=BL", "filters=(4, 4)", "internal_steps=2"]
    main(["train", *flags, "--glimpses", "1", "--crop-size", "24", *network, "--out", str(tmp_path / "run")])
    stored = json.loads((tmp_path / "run" / "config.json").read_text())
    assert stored["pipeline"]["arguments"] == {"letters": "BL", "filters": [4, 4], "internal_steps": 2}
    graph = fx.load_run(tmp_path / "run").graph  # found again without being named
    assert graph.length == 1
    assert graph.wiring.outputs["classifier"]["layer_0_by_step"].shape == (2, 24, 24, 4)


def test_a_stock_pipeline_that_is_named_has_the_fields_of_the_configuration():
    config = fx.TrainingConfig(pipeline=dataclasses.replace(WHOLE, glimpses=2))
    assert build_graph(config, small.data(), areas_pipeline).length == 2
    assert build_graph(config, small.data(), fx.standard_pipeline).length == 2


@pytest.mark.parametrize(("options", "message"), [
    ({"letters": "LT"}, "letters must be one of B, BL, BT, BLT; got 'LT'"),
    ({"norm": "batch"}, "norm must be one of group, layer, none; got 'batch'"),
    ({"kernel": 4}, "kernel must be odd; got 4"),
    ({"filters": 3}, "filters must be a number for each layer; got 3"),
    ({"filters": (3, 0)}, "filters must be a whole number, at least 1; got 0"),
    ({"internal_steps": 0}, "internal_steps must be a whole number, at least 1; got 0"),
    ({"filters": (2,) * 5}, "crop_size must be at least 16 for 5 layers; got 8"),
    ({"config": dataclasses.replace(WHOLE, crop_size=7)}, "crop_size must be a multiple of 2 for top-down .*; got 7"),
])  # fmt: skip
def test_options_refused(options, message):
    with pytest.raises(fx.InputError, match=message):
        areas_pipeline(small.data(), **{"config": WHOLE, **options})
