"""Learning on problems whose answer is known: where to look is learned from a reward, and looking there is needed."""

import dataclasses

import numpy as np
import pytest

import foveax as fx

SIDE, PATCH, CROP = 23, 5, 9
CORNERS = [(4, 4), (4, 18), (18, 4), (18, 18)]


def patterns(count):
    """Clearly different patches, the same in every run."""
    return np.random.default_rng(7).integers(0, 2, (count, PATCH, PATCH)) * 255


def put(image, patch, row, column):
    image[row - 2 : row + 3, column - 2 : column + 3] = patch


def one_place(size, seed):
    """One of four corners, always the same, shows the class; the others show random classes."""
    rng = np.random.default_rng(seed)
    shown = rng.integers(0, 2, (size, 4))
    images = np.zeros((size, SIDE, SIDE, 1), np.uint8)
    for image, classes in zip(images, shown, strict=True):
        for corner, which in zip(CORNERS, classes, strict=True):
            put(image[..., 0], patterns(2)[which], *corner)
    return {"image": images, "label": shown[:, 2].astype(np.int32)}


def cued_place(size, seed):
    """The first glimpse tells one of four pairs of classes, and in which corner it shows which of the two it is."""
    rng = np.random.default_rng(seed)
    which, pair = rng.integers(0, 2, size), rng.integers(0, 4, size)
    images = np.zeros((size, SIDE, SIDE, 1), np.uint8)
    for image, shown, pointed in zip(images, which, pair, strict=True):
        put(image[..., 0], patterns(6)[2 + pointed], SIDE // 2, SIDE // 2)
        put(image[..., 0], patterns(2)[shown], *CORNERS[pointed])
    return {"image": images, "label": (2 * pair + which).astype(np.int32)}


PROBLEMS = {
    "one place": (one_place, {}),
    # With one saccade the time says nothing; without it all corners are equally near at the start.
    "cued place": (cued_place, {"time": False}),
}
METHODS = {"ppo": {}, "reinforce": {"ppo": 0.0, "reinforce": 1.0}}


@pytest.fixture(scope="module", params=PROBLEMS)
def problem(request):
    make, choices = PROBLEMS[request.param]
    sizes = {"glimpses": 2, "crop": CROP, "hidden": 64, "features": 64, "saccader_hidden": 64}
    model = fx.Model(**sizes, deviation_start=1.2, **choices)
    return fx.from_arrays(make(20_000, seed=0), make(2_000, seed=1)), model


def final_accuracy(data, model, **learning):
    learning = fx.Learning(**{"policy_learning_rate": 1e-3, **learning})
    result = fx.train(fx.Config(images=100_000, shift=0, model=model, learning=learning), data)
    return result.summary["test"][model.policy]["accuracy"][-1]


@pytest.mark.slow
@pytest.mark.parametrize("method", METHODS)
def test_policy_gradient_finds_where_to_look(problem, method):
    data, model = problem
    assert final_accuracy(data, model, **METHODS[method]) >= 0.95


@pytest.mark.slow
def test_random_fixations_do_not_solve_it(problem):
    data, model = problem
    assert final_accuracy(data, dataclasses.replace(model, policy="random")) <= 0.8
