"""Square in L2, and attacks in turn: patterns, lengths and linear models whose robust images are known."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import foveax as fx
from foveax.robustness import (
    Outcome,
    attack_in_turn,
    autoattack,
    conjunction,
    l2,
    linf,
    square_l2,
)
from foveax.robustness.square_l2 import _pattern, _sides

SHAPE = (6, 7, 2)


def published_peak(height, width):
    """Rectangles that grow about the middle, each adding ``1 / (k + 1)^2``: the loop of the paper."""
    peak, row, column = np.zeros((height, width)), height // 2, width // 2
    for k in range(max(row, column) + 1):
        peak[max(row - k, 0) : row + k + 1, max(column - k, 0) : column + k + 1] += 1 / (k + 1) ** 2
    return peak / np.sqrt((peak**2).sum())


@pytest.mark.parametrize("side", [3, 5, 9])
def test_patterns_are_those_of_the_paper(side):
    halves = published_peak(side // 2, side), -published_peak(side - side // 2, side)
    np.testing.assert_allclose(_pattern(side), np.concatenate(halves) / np.sqrt(2), atol=1e-6)


def test_sides_are_odd_and_at_least_three():
    sides = _sides(1_000, 28, 28)
    assert (sides % 2 == 1).all()
    assert sides[0] == 25
    assert sides[-1] == 3
    assert _sides(10, 6, 7).max() == 6


def test_square_in_l2_finds_what_needs_no_gradient():
    """Behind no gradient at all, the change keeps its length and turns towards the best direction."""
    ramps = np.linspace(-1, 1, 6)[:, None, None], np.linspace(-1, 1, 7)[None, :, None]
    normal = jnp.asarray(np.concatenate([ramps[0] + 0 * ramps[1], ramps[1] + 0 * ramps[0]], -1).astype(np.float32))
    image, epsilon = jnp.full(SHAPE, 0.5), 0.6

    def objective(changed, key):
        return jax.lax.stop_gradient(jnp.sum(normal * (changed - image))), jnp.bool_(False)

    def search(key, queries):
        return square_l2(objective, image, key, epsilon=epsilon, queries=queries)

    keys = jax.random.split(jax.random.key(0), 4)
    early, late = (jax.jit(jax.vmap(lambda key, n=n: search(key, n)))(keys) for n in (1, 1_000))
    for outcome in (early, late):
        sizes = jax.vmap(lambda changed: l2(1.0).norm(changed - image))(outcome.image)
        np.testing.assert_allclose(sizes, epsilon, rtol=1e-4)
        assert 0 <= outcome.image.min() <= outcome.image.max() <= 1
    best = epsilon * float(l2(1.0).norm(normal))
    assert (late.loss > early.loss + 0.2 * best).all()
    assert (late.loss > 0.5 * best).all()


def linear(number, classes=5):
    """Weights, images far from the ends of the range, labels of which some are wrong, and the logits."""
    rng = np.random.default_rng(1)
    weights = rng.normal(size=(84, classes)).astype(np.float32)
    images = rng.uniform(0.4, 0.6, (number, *SHAPE)).astype(np.float32)
    values = images.reshape(number, -1) @ weights
    labels = values.argmax(1)
    labels[::7] = (labels[::7] + 1) % classes
    return weights, images, labels.astype(np.int32), values


@pytest.mark.parametrize(("ball", "order"), [(linf, 1), (l2, 2)])
def test_the_ensemble_leaves_the_images_whose_boundary_is_farther(ball, order):
    """On a linear model the distance of each other class is known, and within the range the attacks reach it."""
    number = 40
    weights, images, labels, values = linear(number)
    others = [np.delete(np.arange(5), label) for label in labels]
    distances = np.array(
        [
            min((value[label] - value[k]) / np.linalg.norm(weights[:, k] - weights[:, label], order) for k in rest)
            for value, label, rest in zip(values, labels, others, strict=True)
        ]
    )
    epsilon = float(np.median(distances[distances > 0]))
    attacks = autoattack(
        lambda image, key: image.reshape(-1) @ weights, 5, epsilon=epsilon, ball=ball, steps=20, queries=20
    )
    survival = attack_in_turn(attacks, images, labels, jax.random.key(0), batch=16)
    assert list(survival.robust) == ["clean", "APGD-CE", "APGD-T", "minimum norm", "Square"]
    np.testing.assert_array_equal(survival.robust["clean"], distances >= 0)
    clear = np.abs(distances / epsilon - 1) > 0.01
    np.testing.assert_array_equal(survival.robust["Square"][clear], (distances > epsilon)[clear])
    sizes = np.linalg.norm((survival.images - images).reshape(number, -1), np.inf if order == 1 else 2, axis=1)
    assert sizes.max() <= epsilon * (1 + 1e-4)
    wrong = (survival.images.reshape(number, -1) @ weights).argmax(1) != labels
    np.testing.assert_array_equal(wrong, ~survival.robust["Square"])
    np.testing.assert_array_equal(survival.images[survival.robust["Square"]], images[survival.robust["Square"]])


def test_attacks_in_turn_get_what_is_left_alone():
    """Each attack breaks the images of one label; none meets an image that is broken already."""
    met = []

    def breaks(label):
        def attack(image, its_label, key):
            jax.debug.callback(lambda its: met.append((label, int(its))), its_label)
            return Outcome(image, jnp.float32(0), its_label == label)

        return attack

    labels = np.array([0, 1, 2, 0, 1], np.int32)
    attacks = {str(label): breaks(label) for label in (0, 1)}
    survival = attack_in_turn(attacks, np.zeros((5, 1, 1, 1), np.float32), labels, jax.random.key(0), batch=2)
    jax.effects_barrier()
    assert {its for label, its in met if label == 1} == {1, 2}
    assert survival.robust["0"].tolist() == [False, True, True, False, True]
    assert survival.robust["1"].tolist() == [False, False, True, False, False]


def test_a_conjunction_succeeds_where_all_do():
    def above(least):
        return lambda image, key: (image.sum() - least, image.sum() > least)

    both = conjunction(above(1.0), above(2.0))
    for value, loss in ((0.5, -1.5), (1.5, -0.5), (3.0, 1.0)):
        found, success = both(jnp.full((1, 1, 1), value), jax.random.key(0))
        assert (float(found), bool(success)) == (loss, value > 2)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: autoattack(None, 3, epsilon=0.1), "autoattack needs at least 4 classes; got 3"),
        (lambda: attack_in_turn({}, [], [], None, batch=0), "batch must be a whole number, at least 1; got 0"),
        (
            lambda: square_l2(None, jnp.zeros((4, 9, 1)), None, epsilon=0.1),
            "images must be at least 5 by 5 pixels; got 4 by 9",
        ),
    ],
)
def test_refusals(call, message):
    with pytest.raises(fx.InputError, match=message):
        call()
