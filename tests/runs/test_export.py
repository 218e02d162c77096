"""A run as a file that a program without foveax reads."""

import functools
import subprocess
import sys

import jax
import noisy_eye
import numpy as np
import pytest
import tiny
from command import printed, refused
from flax.traverse_util import flatten_dict
from safetensors.numpy import load

import foveax as fx
from foveax.runs.export import export_function

READER = """
import sys
sys.modules["foveax"] = None  # importing it fails from here on
import jax.export, numpy
with open(sys.argv[1], "rb") as file:
    function = jax.export.deserialize(bytearray(file.read()))
numpy.savez(sys.argv[3], **function.call(numpy.load(sys.argv[2])))
"""


def called_elsewhere(file, images):
    """What the function in a file gives in a process that cannot import foveax."""
    np.save(file.with_name("images.npy"), images)
    paths = [file, file.with_name("images.npy"), file.with_name("given.npz")]
    subprocess.run([sys.executable, "-c", READER, *map(str, paths)], check=True)
    with np.load(paths[-1]) as given:
        return dict(given)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    out = tmp_path_factory.mktemp("runs") / "run"
    data = tiny.write_npz(out.parent / "tiny.npz")
    tiny.train(out, fx.load(str(data)), config=tiny.named(data))
    return out


def test_without_foveax_the_function_says_the_same(run, capsys):
    assert "run.stablehlo" in printed(capsys, "export", run, "--format", "stablehlo")
    loaded = fx.load_run(run)
    images = loaded.data.test["image"][:5]
    given, expected = called_elsewhere(run / "run.stablehlo", images), loaded.predict(images)
    np.testing.assert_allclose(given["probabilities"], expected.probabilities, atol=1e-5)
    np.testing.assert_allclose(given["fixations"], expected.fixations, atol=1e-5)


def test_parameters_lie_under_their_paths(run, tmp_path, capsys):
    file = tmp_path / "params.safetensors"
    printed(capsys, "export", run, "--format", "safetensors", "--file", file)
    stored, expected = load(file.read_bytes()), flatten_dict(fx.load_run(run).params, sep=".")
    assert stored.keys() == expected.keys()
    assert all(np.array_equal(stored[name], array) for name, array in expected.items())


def test_a_pipeline_of_ones_own_with_noise_and_bytes_for_images(tmp_path):
    image = np.random.default_rng(0).integers(0, 256, (32, 24, 24, 1), np.uint8)
    split = {"image": image, "label": np.arange(32) % 3}
    data, build = fx.from_arrays(split, split), functools.partial(noisy_eye.pipeline, noise=0.1)
    graph = build(data)
    loaded = fx.LoadedRun(tmp_path, tiny.CONFIG, data, graph, fx.init(graph, jax.random.key(0)), "")
    function = export_function(loaded)
    assert function.platforms == ("cpu", "cuda")
    (tmp_path / "file").write_bytes(function.serialize())
    images = np.random.default_rng(1).random((7, 24, 24, 1), np.float32)
    given, expected = called_elsewhere(tmp_path / "file", images), loaded.predict(images)
    np.testing.assert_allclose(given["probabilities"], expected.probabilities, atol=1e-5)
    np.testing.assert_allclose(given["fixations"], expected.fixations, atol=1e-5)


@jax.custom_batching.custom_vmap
def halved(glimpse):
    return glimpse / 2


@halved.def_vmap
def _(size, batched, glimpse):
    return jax.numpy.stack([glimpse[row] / 2 for row in range(size)]), True


def with_module(loaded, function):
    links = ["retina.glimpse -> own.glimpse", "own.output -> classifier.glimpse"]
    return loaded._replace(graph=loaded.graph.add(*links, own=fx.from_function(function)))


def test_a_module_that_must_know_the_batch_is_exported_for_one_image(run):
    loaded = with_module(fx.load_run(run), lambda glimpse: halved(glimpse))
    assert export_function(loaded).in_avals[0].shape == (1, 24, 24, 1)


def test_what_cannot_be_exported_is_refused(run, monkeypatch, capsys):
    loaded = fx.load_run(run)

    def outside(glimpse):
        shape = jax.ShapeDtypeStruct(glimpse.shape, glimpse.dtype)
        return jax.pure_callback(lambda value: value, shape, glimpse, vmap_method="sequential")

    with pytest.raises(fx.InputError, match="a pipeline must be one that JAX can export; it raised "):
        export_function(with_module(loaded, outside))
    with pytest.raises(fx.InputError, match="must declare a belief or a gaze to be exported"):
        export_function(loaded._replace(graph=loaded.graph.replace(roles=fx.Roles())))
    monkeypatch.setitem(sys.modules, "safetensors.numpy", None)
    message = refused(capsys, "export", run, "--format", "safetensors")
    assert message == "safetensors needs safetensors.numpy, which is not installed: pip install 'foveax[export]'"
    assert not (run / "params.safetensors").exists()
