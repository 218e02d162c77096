"""The zoom against the crop and the scales of `foveate`, against NumPy's integral of the image, and by differences."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import foveax as fx

PLACES = [(0.5, 0.5), (0.21, 0.83), (0.0, 1.0), (-0.3, 0.4), (1.0, 0.97)]
SIZE = 5


@pytest.fixture
def image(rng):
    return rng.uniform(size=(23, 31, 2)).astype(np.float32)


@pytest.mark.parametrize("place", PLACES)
def test_powers_of_two_are_the_scales_of_foveate(image, place):
    fixation = jnp.array(place, jnp.float32)
    scales = fx.foveate(jnp.asarray(image), fixation, size=SIZE, scales=3)
    for scale in range(3):
        ours = fx.zoom(jnp.asarray(image), fixation, jnp.float32(2**scale), size=SIZE, widest=4)
        np.testing.assert_allclose(ours, scales[scale], atol=1e-5)


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("factor", [1.0, 1.3, 2.71, 3.5])
def test_cells_are_means_of_the_pixels_squares(image, place, factor):
    """By the integral of the image, a square of one colour about each pixel's place, interpolated between pixels."""
    height, width, _ = image.shape
    padded = np.pad(image, ((40, 40), (40, 40), (0, 0))).astype(np.float64)
    integral = np.pad(padded.cumsum(0).cumsum(1), ((1, 0), (1, 0), (0, 0)))
    x, y = np.float32(place) * [width - 1, height - 1]
    edges = (np.arange(SIZE + 1) - SIZE / 2) * factor + 0.5 + 40

    def at(points, values, axis):
        whole = np.floor(points).astype(int)
        part = (points - whole).reshape([-1 if each == axis else 1 for each in range(values.ndim)])
        return np.take(values, whole, axis) * (1 - part) + np.take(values, whole + 1, axis) * part

    corners = at(edges + x, at(edges + y, integral, 0), 1)
    expected = np.diff(np.diff(corners, axis=0), axis=1) / factor**2
    ours = fx.zoom(jnp.asarray(image), jnp.array(place, jnp.float32), jnp.float32(factor), size=SIZE, widest=3.5)
    np.testing.assert_allclose(ours, expected, atol=1e-4)


def test_factors_outside_are_moved_inside(image):
    middle = jnp.array([0.4, 0.6])
    for factor, used in ((0.2, 1.0), (9.0, 2.0)):
        ours, theirs = (
            fx.zoom(jnp.asarray(image), middle, jnp.float32(each), size=SIZE, widest=2.0) for each in (factor, used)
        )
        np.testing.assert_array_equal(ours, theirs)
    with pytest.raises(fx.InputError, match=r"widest must be at least 1; got 0.5"):
        fx.zoom(jnp.asarray(image), middle, jnp.float32(1), size=SIZE, widest=0.5)


def test_gradients_are_those_of_differences(image, rng):
    weights = jnp.asarray(rng.normal(size=(SIZE, SIZE, 2)), jnp.float32)

    def value(fixation, factor):
        return (weights * fx.zoom(jnp.asarray(image), fixation, factor, size=SIZE, widest=4)).sum()

    point = (jnp.array([0.437, 0.561]), jnp.float32(2.313))
    by_place, by_factor = jax.grad(value, argnums=(0, 1))(*point)
    step = 1e-3
    difference = (value(point[0], point[1] + step) - value(point[0], point[1] - step)) / (2 * step)
    assert by_factor == pytest.approx(float(difference), rel=0.03)
    for axis in range(2):
        moved = step / 20 * jnp.eye(2)[axis]
        difference = (value(point[0] + moved, point[1]) - value(point[0] - moved, point[1])) / (step / 10)
        assert by_place[axis] == pytest.approx(float(difference), rel=0.05)


def test_a_zoom_does_not_cost_more_in_larger_images():
    def cost(side):
        image = jax.ShapeDtypeStruct((side, side, 1), jnp.uint8)
        arguments = (image, jax.ShapeDtypeStruct((2,), jnp.float32), jax.ShapeDtypeStruct((), jnp.float32))
        zoom = jax.jit(lambda *values: fx.zoom(*values, size=8, widest=4.0))
        return zoom.lower(*arguments).compile().cost_analysis()["flops"]

    assert cost(1000) == cost(100)
