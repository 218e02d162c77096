"""Compares attacks with pyautoattack's, on one network in both frameworks (`small_network.py`).

``PYTHONPATH=tests python tests/robustness/compare.py [ATTACK ...]`` prints the robust accuracies and the speeds.
"""

import sys
import time

import jax
import numpy as np
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

IMAGES, QUERIES, STEPS = 350, 1_000, 100
CASES = (
    ("apgd-ce", "Linf"),
    ("apgd-dlr", "Linf"),
    ("apgd-t", "Linf"),
    ("square", "Linf"),
    ("apgd-ce", "L2"),
    ("apgd-t", "L2"),
)
EPSILON = {"Linf": 0.12, "L2": 1.5}
BALL = {"Linf": linf, "L2": l2}


def attack_of(name, norm):
    """``(image, label, key) -> image`` with restarts as pyautoattack's."""
    params, ball = small_network.weights(), BALL[norm](EPSILON[norm])

    def logits(image, key):
        return small_network.logits(params, image)

    def attack(image, label, key):
        def once(index, key):
            if name == "square":
                return square(
                    misclassification(logits, label, margin), image, key, epsilon=ball.epsilon, queries=QUERIES
                )
            if name == "apgd-t":
                loss = targeted_dlr(runner_up(logits(image, key), label, index))
            else:
                loss = cross_entropy if name == "apgd-ce" else dlr
            return apgd(misclassification(logits, label, loss), image, key, ball=ball, steps=STEPS)

        return repeat(once, key, {"square": 1, "apgd-t": 9}.get(name, 5)).image

    return jax.jit(jax.vmap(attack))


def theirs(name, norm, images, labels):
    """The images that their attack changed, ``[N, 28, 28, 1]``, and its seconds."""
    import pyautoattack
    import torch

    network = small_network.torch_network(small_network.weights())
    judge = pyautoattack.AutoAttack(network, norm=norm, eps=EPSILON[norm], version="custom", attacks=[name], seed=0)
    judge.square.n_queries = QUERIES
    judge.square.rescale_schedule = True
    judge.verbose = False
    given = (
        torch.from_numpy(np.array(images)).permute(0, 3, 1, 2).contiguous(),
        torch.from_numpy(np.array(labels)).long(),
    )
    start = time.perf_counter()
    changed = judge.run_standard_evaluation(*given, batch_size=len(labels))
    changed = changed[0] if isinstance(changed, tuple) else changed
    seconds = time.perf_counter() - start
    return changed.permute(0, 2, 3, 1).numpy(), seconds


def stands(changed, images, labels, norm):
    """Whether each image stays classified as it is, by PyTorch; refuses changes beyond the ball or the range."""
    import torch

    delta = (changed - np.array(images)).reshape(len(images), -1)
    sizes = np.abs(delta).max(1) if norm == "Linf" else np.sqrt((delta**2).sum(1))
    assert sizes.max() <= EPSILON[norm] * (1 + 1e-4)
    assert changed.min() >= 0
    assert changed.max() <= 1
    with torch.no_grad():
        logits = small_network.torch_network(small_network.weights())(torch.from_numpy(changed).permute(0, 3, 1, 2))
    return logits.argmax(1).numpy() == np.array(labels)


def compared(name, norm):
    """Ours and theirs, each whether an image stays classified as it is, ``[N]``, and images per second."""
    images, labels = small_network.images_and_labels(IMAGES)
    keys = jax.random.split(jax.random.key(0), IMAGES)
    compiled = attack_of(name, norm).lower(images, labels, keys).compile()
    start = time.perf_counter()
    ours = np.array(compiled(images, labels, keys))
    seconds = time.perf_counter() - start
    other, their_seconds = theirs(name, norm, images, labels)
    robust = [stands(changed, images, labels, norm) for changed in (ours, other)]
    return (robust[0], IMAGES / seconds), (robust[1], IMAGES / their_seconds)


if __name__ == "__main__":
    for case in [case for case in CASES if not sys.argv[1:] or case[0] in sys.argv[1:]]:
        (ours, speed), (other, their_speed) = compared(*case)
        accuracies = f"robust {100 * ours.mean():.2f} %, pyautoattack {100 * other.mean():.2f} %"
        print(*case, f"{accuracies}; {speed:.0f} and {their_speed:.0f} images/s", flush=True)
