"""Attacks against closed forms on linear models, a NumPy twin of the published steps, and foolbox."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import foveax as fx
from foveax.robustness import (
    apgd,
    cross_entropy,
    dlr,
    expectation,
    fgsm,
    l2,
    linf,
    margin,
    misclassification,
    noise,
    pgd,
    repeat,
    runner_up,
    square,
    targeted_dlr,
)
from foveax.robustness.apgd import _periods
from foveax.robustness.square import _sides

SHAPE, NUMBER = (4, 5, 1), 6
BALLS = {"linf": (linf, 0.2), "l2": (l2, 0.3)}


def linear(number=NUMBER, classes=2, seed=0):
    """Weights ``[20, K]`` and images ``[N, 4, 5, 1]`` far enough from the range's ends to be moved freely, but two."""
    rng = np.random.default_rng(seed)
    images = rng.uniform(0.35, 0.65, (number, *SHAPE)).astype(np.float32)
    images[:2] = rng.uniform(0, 1, (2, *SHAPE))  # these meet the ends
    return rng.normal(size=(20, classes)).astype(np.float32), images, np.arange(number, dtype=np.int32) % classes


def objective_of(weights, label, loss=cross_entropy, stops=False):
    """Of a linear model; one that never succeeds makes all of its steps."""
    objective = misclassification(lambda image, key: image.reshape(-1) @ weights, label, loss)
    return objective if stops else lambda image, key: (objective(image, key)[0], jnp.bool_(False))


def run(attack, weights, images, labels, **options):
    """An attack as one program over a batch."""

    def one(image, label, key):
        return attack(objective_of(weights, label, **options), image, key)

    return jax.jit(jax.vmap(one))(images, labels, jax.random.split(jax.random.key(0), len(images)))


def steepest(weights, labels, norm):
    """The closed form of the change of norm 1 that raises a linear loss of two classes most."""
    normal = (weights[:, 1 - labels] - weights[:, labels]).T.reshape(-1, *SHAPE)
    if norm == "linf":
        return np.sign(normal)
    return normal / np.sqrt((normal**2).sum((1, 2, 3), keepdims=True))


@pytest.mark.parametrize("norm", BALLS)
def test_fgsm_and_pgd_are_the_closed_form_on_a_linear_model(norm):
    make, epsilon = BALLS[norm]
    weights, images, labels = linear()
    expected = np.clip(images + epsilon * steepest(weights, labels, norm), 0, 1)
    outcome = run(lambda *given: fgsm(*given, ball=make(epsilon)), weights, images, labels)
    np.testing.assert_allclose(outcome.image, expected, atol=1e-6)

    def from_image(objective, image, key):
        return pgd(objective, image, key, ball=make(epsilon), steps=9, start=image)

    free = slice(2, None) if norm == "l2" else slice(None)  # L2 within the range has no such closed form
    np.testing.assert_allclose(run(from_image, weights, images, labels).image[free], expected[free], atol=1e-5)
    automatic = run(lambda *given: apgd(*given, ball=make(epsilon), steps=50), weights, images, labels)
    assert (automatic.loss >= outcome.loss * (1 - 1e-3)).all()


@pytest.mark.parametrize("norm", BALLS)
def test_fgsm_and_pgd_are_those_of_foolbox(norm):
    foolbox = pytest.importorskip("foolbox")
    torch = pytest.importorskip("torch")
    make, epsilon = BALLS[norm]
    weights, images, labels = linear(classes=5)
    network = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(20, 5, bias=False))
    network[1].weight.data = torch.from_numpy(weights.T.copy())
    model = foolbox.PyTorchModel(network.eval(), bounds=(0, 1), device="cpu")
    attacks = foolbox.attacks
    kinds = {
        "linf": (attacks.LinfFastGradientAttack, attacks.LinfPGD),
        "l2": (attacks.L2FastGradientAttack, attacks.L2PGD),
    }
    fast, projected = kinds[norm]
    given = torch.from_numpy(images), torch.from_numpy(labels).long()
    theirs = fast(random_start=False).run(model, *given, epsilon=epsilon)
    ours = run(lambda *args: fgsm(*args, ball=make(epsilon)), weights, images, labels)
    np.testing.assert_allclose(ours.image, theirs.numpy(), atol=1e-5)
    theirs = projected(rel_stepsize=0.1, steps=7, random_start=False).run(model, *given, epsilon=epsilon)

    def attack(objective, image, key):
        return pgd(objective, image, key, ball=make(epsilon), steps=7, step_size=0.1, start=image)

    ours = run(attack, weights, images, labels)
    np.testing.assert_allclose(ours.image, theirs.numpy(), atol=1e-5)


@pytest.mark.parametrize("norm", BALLS)
def test_changes_stay_in_the_ball_and_in_the_range(norm):
    make, epsilon = BALLS[norm]
    weights, images, labels = linear(classes=4)
    ball = make(epsilon)
    attacks = [
        lambda *given: noise(*given, ball=ball),
        lambda *given: pgd(*given, ball=ball, steps=4),
        lambda *given: apgd(*given, ball=ball, steps=9),
    ]
    attacks += [lambda *given: square(*given, epsilon=epsilon, queries=30)] if norm == "linf" else []
    for attack in attacks:
        outcome = run(attack, weights, images, labels, loss=dlr)
        sizes = jax.vmap(ball.norm)(outcome.image - images)
        assert (np.asarray(sizes) <= epsilon * (1 + 1e-5)).all()
        assert 0 <= outcome.image.min() <= outcome.image.max() <= 1
    inner = (
        jax.vmap(lambda key: ball.norm(ball.sample(key, SHAPE)))(jax.random.split(jax.random.key(1), 2000)) / epsilon
    )
    dimensions = 20.0  # of uniform points, the share within a radius r is r^20
    assert abs(np.mean(np.asarray(inner) ** dimensions) - 0.5) < 0.03


def test_square_finds_what_needs_no_gradient():
    """Behind a rounding that hides the gradient, the linear loss still comes near its closed form."""
    weights, images, labels = linear(classes=2)

    def hidden(attack):
        def one(image, label, key):
            def logits(image, key):
                return jax.lax.stop_gradient(image.reshape(-1)) @ weights

            objective = misclassification(logits, label, margin)
            return attack(lambda image, key: (objective(image, key)[0], jnp.bool_(False)), image, key)

        keys = jax.random.split(jax.random.key(0), len(images))
        return jax.jit(jax.vmap(one))(images, labels, keys).loss

    most = run(lambda *given: fgsm(*given, ball=linf(0.2)), weights, images, labels, loss=margin).loss
    before = np.array([margin(image.reshape(-1) @ weights, label) for image, label in zip(images, labels, strict=True)])
    searched = hidden(lambda *given: square(*given, epsilon=0.2, queries=2000))
    assert ((searched - before) / (most - before) > 0.9).all()
    blind = hidden(lambda objective, image, key: pgd(objective, image, key, ball=linf(0.2), steps=5, start=image))
    np.testing.assert_allclose(blind, before, atol=1e-6)


def test_apgd_takes_the_published_steps():
    """A NumPy twin of algorithm 1 on a loss with many maxima, from the same start."""
    steps, epsilon = 40, 0.3
    image = np.random.default_rng(3).uniform(0, 1, SHAPE)
    waves = np.random.default_rng(4).normal(size=(6, 20)) * 3

    def value(place):
        return np.sin(waves @ place.ravel()).sum()

    def slope(place):
        return (np.cos(waves @ place.ravel()) @ waves).reshape(SHAPE)

    def project(place):
        return np.clip(np.clip(place, image - epsilon, image + epsilon), 0, 1)

    shares = [0.0, 0.22]
    while shares[-1] < 1:
        shares.append(shares[-1] + max(shares[-1] - shares[-2] - 0.03, 0.06))
    checkpoints = [int(np.ceil(np.round(share * steps, 6))) for share in shares]
    size, places, values = 2 * epsilon, [image, image], [value(image)]
    best, best_value, rises, halved, best_before, last = image, values[0], 0, False, values[0], 0
    for number in range(steps):
        x, before = places[-1], places[-2]
        target = project(x + size * np.sign(slope(x)))
        moved = target if number == 0 else project(x + 0.75 * (target - x) + 0.25 * (x - before))
        places.append(moved)
        values.append(value(moved))
        rises += values[-1] > values[-2]
        if values[-1] > best_value:
            best, best_value = moved, values[-1]
        if number + 1 in checkpoints:
            halve = rises < 0.75 * (number + 1 - last) or (not halved and best_value <= best_before)
            halved, best_before, rises, last = halve, best_value, 0, number + 1
            if halve:
                size, places[-1], values[-1] = size / 2, best, best_value

    def objective(place, key):
        return jnp.sum(jnp.sin(jnp.asarray(waves, jnp.float32) @ place.reshape(-1))), jnp.bool_(False)

    start = jnp.asarray(image, jnp.float32)
    outcome = jax.jit(lambda key: apgd(objective, start, key, ball=linf(epsilon), steps=steps, start=start))(
        jax.random.key(0)
    )
    assert best_value > values[0] + 1
    np.testing.assert_allclose(outcome.loss, best_value, rtol=1e-4)
    np.testing.assert_allclose(outcome.image, best, atol=1e-4)


def test_schedules_are_those_of_the_papers():
    assert np.flatnonzero(_periods(100)).tolist() == [21, 40, 56, 69, 79, 86, 92, 98]
    sides = _sides(10_000, 28, 28)
    assert sides[0] == round(np.sqrt(0.8 * 784))
    assert sides[100] == round(np.sqrt(0.2 * 784))
    assert sides[-1] == max(round(np.sqrt(0.8 / 512 * 784)), 1)


def test_losses_by_hand():
    logits = jnp.array([1.0, 5.0, 2.0, -1.0])
    assert margin(logits, 1).item() == -3
    assert dlr(logits, 1).item() == pytest.approx(-3 / 4)
    assert dlr(3 * logits + 7, 2).item() == pytest.approx(3 / 4)
    assert targeted_dlr(3)(logits, 1).item() == pytest.approx(-6 / 5)
    assert [runner_up(logits, 1, rank).item() for rank in range(3)] == [2, 0, 3]
    assert cross_entropy(logits, 1).item() == pytest.approx(-np.log(np.exp(5) / np.exp([1, 5, 2, -1]).sum()), rel=1e-5)


def test_repetition_tries_each_target_and_ends_at_success():
    """Towards a linear model's runner-up the way is blocked; the second target is reached."""
    weights = jnp.array([[0.0, 0.0, 1.0, 0.0], [0.0, 0.0, 0.0, 0.0]])
    image = jnp.full((2, 1, 1), 0.5)

    def attack(index, key):
        def logits(image, key):
            return image.reshape(-1) @ weights + jnp.array([0.6, 0.3, -0.3, 0.0])

        label = jnp.int32(0)
        target = runner_up(logits(image, key), label, index)
        objective = misclassification(logits, label, targeted_dlr(target))
        return apgd(objective, image, key, ball=linf(0.45), steps=10, start=image)

    assert not jax.jit(lambda key: attack(jnp.int32(0), key))(jax.random.key(0)).success
    assert jax.jit(lambda key: repeat(attack, key, 3))(jax.random.key(0)).success


def test_expectation_sees_through_noise():
    """The gradient of one draw points anywhere, that of the expectation where the mean loss rises."""

    def noisy(image, key):
        sign = jax.random.choice(key, jnp.array([3.0, -2.0]))  # on average 1/2
        return sign * jnp.sum(image), jnp.sum(image) > 1.9

    gradient = jax.jit(jax.grad(expectation(noisy, 4000), has_aux=True))(jnp.ones((2, 1, 1)), jax.random.key(0))[0]
    np.testing.assert_allclose(gradient, 0.5, atol=0.15)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: linf(-1.0), "epsilon must be a finite number, at least 0; got -1.0"),
        (lambda: expectation(None, 0), "draws must be a whole number, at least 1; got 0"),
        (lambda: dlr(jnp.zeros(2), 0), "dlr needs at least 3 classes; got 2"),
        (lambda: targeted_dlr(1)(jnp.zeros(3), 0), "targeted_dlr needs at least 4 classes; got 3"),
        (
            lambda: pgd(None, jnp.zeros(SHAPE), None, ball=linf(0.1), steps=0),
            "steps must be a whole number, at least 1",
        ),
        (lambda: square(None, jnp.zeros(SHAPE), None, epsilon=0.1, queries=0), "queries must be a whole number"),
    ],
)
def test_refusals(call, message):
    with pytest.raises(fx.InputError, match=message.replace("(", r"\(")):
        call()
