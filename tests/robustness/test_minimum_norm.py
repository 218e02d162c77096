"""Smallest changes: the closed form on a linear model, and next to the attacks of other libraries."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import small_network

import foveax as fx
from foveax.robustness import l2, linf, margin, minimum_norm, misclassification

SHAPE, NUMBER = (4, 5, 1), 8
BALLS = {"linf": linf, "l2": l2}
IMAGES = 60
FAB_SHARE = 1.01
"""Of FAB's median that ours may reach."""


def nearest(normal, lack, image, norm):
    """The smallest change δ in the range with ``normal · δ = lack``, by bisection over its multiplier."""
    low, high = 0.0, 100.0
    for _ in range(200):
        bound = (low + high) / 2
        steps = bound * (np.sign(normal) if norm == "linf" else normal)
        change = np.clip(image + steps, 0, 1) - image
        low, high = (low, bound) if normal @ change >= lack else (bound, high)
    return np.abs(change).max() if norm == "linf" else np.sqrt((change**2).sum())


@pytest.mark.parametrize("norm", BALLS)
def test_smallest_changes_are_the_closed_form_on_a_linear_model(norm):
    rng = np.random.default_rng(0)
    images = rng.uniform(0.3, 0.7, (NUMBER, *SHAPE))
    images[4:] = rng.uniform(size=(NUMBER - 4, *SHAPE)).round()  # half of these pixels cannot follow the gradient
    normals = rng.normal(size=(NUMBER, 20))
    lacks = np.full(NUMBER, 1.5)

    def one(image, normal, lack, key):
        def objective(changed, key):
            loss = normal @ (changed - image).reshape(-1) - lack
            return loss, loss > 0

        return minimum_norm(objective, image, key, ball=BALLS[norm], steps=200)

    given = [array.astype(np.float32) for array in (images, normals, lacks)]
    changes = jax.jit(jax.vmap(one))(*given, jax.random.split(jax.random.key(0), NUMBER))
    each = zip(normals, lacks, images.reshape(NUMBER, -1), strict=True)
    exact = np.array([nearest(*one, norm) for one in each])
    dual = np.abs(normals).sum(1) if norm == "linf" else np.sqrt((normals**2).sum(1))
    np.testing.assert_allclose(exact[:4], (lacks / dual)[:4], rtol=1e-6)  # the distance of a plane
    np.testing.assert_allclose(changes.distance[:4], exact[:4], rtol=2e-3)
    np.testing.assert_allclose(changes.distance[4:], exact[4:], rtol=1e-2)
    assert (np.asarray(changes.distance) >= exact * (1 - 1e-4)).all()
    np.testing.assert_allclose(changes.distance, jax.vmap(BALLS[norm](1.0).norm)(changes.image - given[0]), rtol=1e-5)
    assert 0 <= changes.image.min() <= changes.image.max() <= 1


def test_no_change_and_none_that_succeeds():
    """A loss above 0 from the start, and one that stays below it; both with a gradient."""
    image = jnp.full(SHAPE, 0.5)

    def one(least):
        return minimum_norm(lambda image, key: (image.sum() - least, image.sum() > least), image, jax.random.key(0))

    changes = jax.jit(jax.vmap(one))(jnp.array([9.0, 21.0, 15.0]))
    np.testing.assert_allclose(changes.distance, [0, np.inf, 0.25], rtol=2e-3)
    np.testing.assert_array_equal(changes.image[:2], np.full((2, *SHAPE), 0.5, np.float32))


def test_a_start_leads_out_of_a_point_without_a_gradient():
    image = jnp.full(SHAPE, 0.5)

    def distance(start):
        def objective(changed, key):
            loss = jnp.sum(jnp.square(changed - image)) - 0.2
            return loss, loss > 0

        return minimum_norm(objective, image, jax.random.key(0), start=start, ball=l2).distance

    assert jax.jit(distance)(image) == np.inf
    assert jax.jit(distance)(image + 1e-2) == pytest.approx(np.sqrt(0.2), rel=1e-3)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"steps": 0}, "steps must be a whole number, at least 1; got 0"),
        ({"step_size": -1.0}, "step_size must be a finite number, at least 0; got -1"),
    ],
)
def test_refusals(options, message):
    with pytest.raises(fx.InputError, match=message):
        minimum_norm(None, jnp.zeros(SHAPE), None, **options)


def ours(norm, images, labels, **options):
    """The distance on each image of the small network."""
    params = small_network.weights()

    def one(image, label, key):
        objective = misclassification(lambda image, key: small_network.logits(params, image), label, margin)
        return minimum_norm(objective, image, key, ball=BALLS[norm], **options).distance

    keys = jax.random.split(jax.random.key(0), len(labels))
    return np.asarray(jax.jit(jax.vmap(one))(images, labels, keys))


def distances(norm, changed, images):
    delta = (changed.detach() - images).flatten(1)
    return (delta.abs().amax(1) if norm == "linf" else delta.norm(dim=1)).numpy()


@pytest.mark.nightly
@pytest.mark.parametrize("norm", BALLS)
def test_distances_are_no_larger_than_those_of_fab(norm, record_property):
    torch = pytest.importorskip("torch")
    fab = pytest.importorskip("pyautoattack.fab_pt")
    images, labels = small_network.images_and_labels(IMAGES)
    network = small_network.torch_network(small_network.weights())
    given = torch.from_numpy(np.array(images)).permute(0, 3, 1, 2), torch.from_numpy(np.array(labels)).long()
    attack = fab.FABAttack_PT(network, norm={"linf": "Linf", "l2": "L2"}[norm], n_iter=100, device="cpu")
    theirs = distances(norm, attack.attack_single_run(*given), given[0])
    medians = np.median(ours(norm, images, labels)), np.median(theirs)
    record_property("minimum norm", f"{norm}: median {medians[0]:.4f}, FAB {medians[1]:.4f}")
    assert medians[0] <= FAB_SHARE * medians[1]


@pytest.mark.nightly
def test_distances_are_no_larger_than_those_of_foolbox():
    """In L-infinity, where the paper's order of projection and clipping, as in foolbox, does no harm."""
    foolbox = pytest.importorskip("foolbox")
    torch = pytest.importorskip("torch")
    images, labels = small_network.images_and_labels(IMAGES)
    network = torch.nn.Module()
    network.forward = small_network.torch_network(small_network.weights())
    model = foolbox.PyTorchModel(network.eval(), bounds=(0, 1), device="cpu")
    given = torch.from_numpy(np.array(images)).permute(0, 3, 1, 2), torch.from_numpy(np.array(labels)).long()
    attack = foolbox.attacks.LInfFMNAttack(steps=100, max_stepsize=10.0)
    theirs = distances("linf", attack.run(model, given[0], foolbox.criteria.Misclassification(given[1])), given[0])
    mine = ours("linf", images, labels)
    assert np.median(mine) <= np.median(theirs)
    assert mine.mean() >= 0.9 * theirs.mean()
