"""The receptors' response against a logistic function of SciPy's, and what a retina and a whole-image network see."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import expit

import foveax as fx
from foveax.evaluation.whole_image import whole_image_pipeline

GAINS = (0.5, 5.0, 20.0)


def stretched_logistic(image, gain):
    response, dark, light = (expit(gain * (np.asarray(value, np.float64) - 0.5)) for value in (image, 0.0, 1.0))
    return (response - dark) / (light - dark)


@pytest.mark.parametrize("gain", GAINS)
def test_response_is_a_logistic_function_stretched_to_the_range(rng, gain):
    image = rng.uniform(size=(4, 5, 3)).astype(np.float32)
    np.testing.assert_allclose(fx.saturate(jnp.asarray(image), gain), stretched_logistic(image, gain), atol=2e-6)
    grey = rng.integers(0, 256, (4, 5, 1)).astype(np.uint8)
    np.testing.assert_allclose(fx.saturate(jnp.asarray(grey), gain), stretched_logistic(grey / 255, gain), atol=2e-6)


@pytest.mark.parametrize("gain", [*GAINS, 40.0, 150.0])
def test_slope_is_nowhere_zero(gain):
    """Also where the response rounds to 0 or 1, so that no gradient hides: ``gain s (1 - s)``, stretched alike."""
    light = np.linspace(0, 1, 21).astype(np.float32)
    brighter, darker = (expit(sign * gain * (light.astype(np.float64) - 0.5)) for sign in (1, -1))
    slope = gain * brighter * darker / (expit(gain / 2) - expit(-gain / 2))
    ours = jax.vmap(jax.grad(lambda value: fx.saturate(value, gain)))(jnp.asarray(light))
    np.testing.assert_allclose(ours, slope, rtol=1e-4)
    assert ours.min() > 0


def test_small_gains_show_the_image(rng):
    image = rng.uniform(size=(3, 3, 1)).astype(np.float32)
    for gain in (0, 1e-6, 1e-2):
        np.testing.assert_allclose(fx.saturate(jnp.asarray(image), gain), image, atol=1e-5)


def test_negative_gain_is_refused():
    with pytest.raises(fx.InputError, match=r"gain must be a finite number, at least 0; got -1"):
        fx.saturate(jnp.zeros((2, 2, 1)), -1)


def test_retina_samples_the_response(rng):
    """Between pixels it is their responses that are interpolated, and outside the image there is none."""
    image = jnp.asarray(rng.integers(0, 256, (9, 9, 1)).astype(np.uint8))
    place = jnp.array([0.06, 0.4], jnp.float32)
    retina = fx.cropper(5, saturation=20.0)
    outputs, _ = retina.apply({}, (), {"image": image, "fixation": place}, None)
    response = jnp.asarray(stretched_logistic(np.asarray(image) / 255, 20.0), jnp.float32)
    np.testing.assert_allclose(outputs["glimpse"], fx.crop(response, place, size=5), atol=1e-5)
    assert (outputs["glimpse"][:, 0] == 0).all()


def test_whole_image_network_has_the_same_receptors(digits, rng):
    graph, linear = (whole_image_pipeline(digits, fx.PipelineConfig(saturation=gain)) for gain in (20.0, 0.0))
    assert "receptors" not in linear.modules
    image = rng.integers(0, 256, (28, 28, 1)).astype(np.uint8)
    run = jax.jit(fx.compile(graph, record=["receptors.response"]))
    trajectory = run(fx.init(graph, jax.random.key(0)), {"image": image, "label": jnp.int32(0)}, jax.random.key(0))
    np.testing.assert_allclose(trajectory["receptors"]["response"][0], stretched_logistic(image / 255, 20.0), atol=2e-6)
