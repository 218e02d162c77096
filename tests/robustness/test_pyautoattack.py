"""Robust accuracy next to that of pyautoattack, on one network in both frameworks (`small_network.py`)."""

import time

import jax
import numpy as np
import pytest
import small_network

from foveax.robustness import (
    apgd,
    cross_entropy,
    dlr,
    l2,
    linf,
    margin,
    misclassification,
    repeat,
    runner_up,
    square,
    targeted_dlr,
)

pytestmark = pytest.mark.nightly
IMAGES, QUERIES, STEPS = 400, 1_000, 100
EPSILON = {"Linf": 0.12, "L2": 1.5}
BALL = {"Linf": linf, "L2": l2}
POINTS = 0.3


def attack_of(name, norm):
    """``(image, label, key) -> success`` with a restart budget as pyautoattack's."""
    params, ball = small_network.weights(), BALL[norm](EPSILON[norm])

    def logits(image, key):
        return small_network.logits(params, image)

    def attack(image, label, key):
        def once(index, key):
            if name == "square":
                return square(misclassification(logits, label, margin), image, key, epsilon=ball.epsilon, queries=QUERIES)
            if name == "apgd-t":
                loss = targeted_dlr(runner_up(logits(image, key), label, index))
            else:
                loss = cross_entropy if name == "apgd-ce" else dlr
            return apgd(misclassification(logits, label, loss), image, key, ball=ball, steps=STEPS)

        return repeat(once, key, {"square": 1, "apgd-t": 9}.get(name, 5)).success

    return jax.jit(jax.vmap(attack))


def theirs(name, norm, torch, images, labels):
    """Whether each image stays classified as it is under their attack, and the seconds."""
    import pyautoattack

    network = small_network.torch_network(small_network.weights())
    judge = pyautoattack.AutoAttack(
        network, norm=norm, eps=EPSILON[norm], version="custom", attacks=[name], seed=0
    )
    judge.square.n_queries = QUERIES
    judge.verbose = False
    given = torch.from_numpy(np.array(images)).permute(0, 3, 1, 2).contiguous(), torch.from_numpy(np.array(labels)).long()
    start = time.perf_counter()
    changed = judge.run_standard_evaluation(*given, bs=len(labels))
    changed = changed[0] if isinstance(changed, tuple) else changed
    seconds = time.perf_counter() - start
    with torch.no_grad():
        return (network(changed).argmax(1) == given[1]).numpy(), seconds


@pytest.mark.parametrize(
    ("name", "norm"), [("apgd-ce", "Linf"), ("apgd-dlr", "Linf"), ("apgd-t", "Linf"), ("square", "Linf"), ("apgd-ce", "L2"), ("apgd-t", "L2")]
)
def test_robust_accuracy_is_theirs(name, norm, record_property):
    torch = pytest.importorskip("torch")
    pytest.importorskip("pyautoattack")
    images, labels = small_network.images_and_labels(IMAGES)
    attack = attack_of(name, norm)
    keys = jax.random.split(jax.random.key(0), IMAGES)
    compiled = attack.lower(images, labels, keys).compile()
    start = time.perf_counter()
    ours = ~np.asarray(compiled(images, labels, keys))
    seconds = time.perf_counter() - start
    other, their_seconds = theirs(name, norm, torch, images, labels)
    figures = f"robust {100 * ours.mean():.2f} %, {IMAGES / seconds:.0f} images/s; theirs {100 * other.mean():.2f} %, "
    record_property("attack", f"{figures}{IMAGES / their_seconds:.0f} images/s")
    slack = 3 * POINTS if name == "square" else POINTS
    assert abs(ours.mean() - other.mean()) * 100 <= slack
