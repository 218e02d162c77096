"""The log-polar retina against SciPy, on closed forms, and as a module."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import small
from scipy.ndimage import map_coordinates, uniform_filter

import foveax as fx

RINGS = {"rings": 9, "wedges": 12, "radius": 30.0, "foveal": 2.5}
RADII = np.exp(np.linspace(np.log(2.5), np.log(32.5), 9)) - 2.5


def averaged(image, fixation, size, block):
    """A crop of as many blocks, by SciPy: every pixel of the wide crop is sampled, then blocks are averaged."""
    offsets = np.arange(size * block) - (size * block - 1) / 2
    rows, columns = (place * (side - 1) + offsets for place, side in zip(fixation[::-1], image.shape, strict=True))
    wide = map_coordinates(image, np.meshgrid(rows, columns, indexing="ij"), order=1, mode="constant")
    return wide.reshape(size, block, size, block).mean((1, 3))


def test_each_ring_is_sampled_from_the_image_averaged_as_far_as_its_samples_lie_apart(rng):
    image = rng.random((90, 110), np.float32)
    seen = fx.log_polar(image[..., None], jnp.array([0.4, 0.55]), **RINGS)[..., 0]
    blocks = [1, 1, 1, 2, 2, 4, 4, 4, 8]
    angles = 2 * np.pi * np.arange(12) / 12
    for ring, block in enumerate(blocks):
        patch = averaged(image.astype(np.float64), (0.4, 0.55), 31, block)
        rows, columns = (15 + RADII[ring] / block * wave(angles) for wave in (np.sin, np.cos))
        np.testing.assert_allclose(seen[ring], map_coordinates(patch, [rows, columns], order=1), atol=1e-5)


@pytest.mark.parametrize("extents", [(1.0, 0.0), (0.0, 1.0)])
def test_on_a_ramp_every_ring_lies_at_its_radius(extents):
    """Means and interpolation keep a ramp as it is: the samples tell where they were taken."""
    ramp = np.add.outer(extents[1] * np.arange(121), extents[0] * np.arange(121)).astype(np.float32) / 256
    seen = fx.log_polar(ramp[..., None], jnp.array([0.5, 0.5]), **RINGS)[..., 0]
    angles = 2 * np.pi * np.arange(12) / 12
    wave = np.cos(angles) if extents[0] else np.sin(angles)
    np.testing.assert_allclose(256 * seen - 60, RADII[:, None] * wave[None], atol=1e-3)


def test_a_fine_grating_is_not_aliased():
    grating = np.broadcast_to((np.arange(200) % 2)[None, :, None], (200, 200, 1)).astype(np.float32)
    seen = fx.log_polar(grating, jnp.array([99 / 199, 0.5]), rings=12, wedges=24, radius=80.0, foveal=2.0)[..., 0]
    np.testing.assert_allclose(seen[-4:], 0.5, atol=1e-5)
    assert np.ptp(seen[2]) > 0.5


def test_its_gradient_in_the_fixation_is_that_of_differences(rng):
    image = jnp.asarray(uniform_filter(rng.random((60, 60)), 9)[..., None], jnp.float32)
    weights = jnp.asarray(rng.normal(size=(9, 12, 1)), jnp.float32)

    def total(fixation):
        return (weights * fx.log_polar(image, fixation, **RINGS)).sum()

    place, step = jnp.array([0.4012, 0.5531]), 1e-3
    ahead, behind = total(place + jnp.array([step, 0.0])), total(place - jnp.array([step, 0.0]))
    assert jax.grad(total)(place)[0] == pytest.approx(float((ahead - behind) / (2 * step)), rel=0.02)


def test_it_is_a_retina_by_one_line():
    data = small.data((20, 20, 1))
    graph = fx.standard_pipeline(data, fx.PipelineConfig(glimpses=2, crop_size=5, hidden=4, features=4))

    def retina(image, fixation):
        return fx.log_polar(image, fixation, rings=4, wedges=6, radius=8.0)

    graph = graph.swap("retina", fx.from_function(retina, outputs="glimpse"))
    assert graph.wiring.outputs["retina"]["glimpse"].shape == (4, 6, 1)
    loss = fx.compile(graph, ["decision.cross_entropy"])(
        fx.init(graph, jax.random.key(0)), {name: array[0] for name, array in data.test.items()}, jax.random.key(1)
    )["decision"]["cross_entropy"]
    assert np.isfinite(loss).all()


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ({"rings": 1}, "rings must be a whole number, at least 2; got 1"),
        ({"radius": 0.0}, "radius must be a number of pixels above 0; got 0.0"),
        ({"foveal": float("nan")}, "foveal must be a number of pixels above 0; got nan"),
    ],
)
def test_rings_that_cannot_be_are_refused(bad, message):
    with pytest.raises(fx.InputError, match=message):
        fx.log_polar(jnp.zeros((9, 9, 1)), jnp.array([0.5, 0.5]), **{**RINGS, **bad})
