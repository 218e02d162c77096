"""Compares attacks with pyautoattack's, on one network in both frameworks (`small_network.py`).

``python tests/robustness/compare.py`` prints the robust accuracies and the speeds.
"""

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
    """``(image, label, key) -> success`` with a restart budget as pyautoattack's."""
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

        return repeat(once, key, {"square": 1, "apgd-t": 9}.get(name, 5)).success

    return jax.jit(jax.vmap(attack))


def theirs(name, norm, images, labels):
    """Whether each image stays classified as it is under their attack, and the seconds."""
    import pyautoattack
    import torch

    network = small_network.torch_network(small_network.weights())
    judge = pyautoattack.AutoAttack(network, norm=norm, eps=EPSILON[norm], version="custom", attacks=[name], seed=0)
    judge.square.n_queries = QUERIES
    judge.verbose = False
    given = (
        torch.from_numpy(np.array(images)).permute(0, 3, 1, 2).contiguous(),
        torch.from_numpy(np.array(labels)).long(),
    )
    start = time.perf_counter()
    changed = judge.run_standard_evaluation(*given, batch_size=len(labels))
    changed = changed[0] if isinstance(changed, tuple) else changed
    seconds = time.perf_counter() - start
    with torch.no_grad():
        return (network(changed).argmax(1) == given[1]).numpy(), seconds


def compared(name, norm):
    """Ours and theirs, each whether an image stays classified as it is, ``[N]``, and images per second."""
    images, labels = small_network.images_and_labels(IMAGES)
    keys = jax.random.split(jax.random.key(0), IMAGES)
    compiled = attack_of(name, norm).lower(images, labels, keys).compile()
    start = time.perf_counter()
    ours = ~np.asarray(compiled(images, labels, keys))
    seconds = time.perf_counter() - start
    other, their_seconds = theirs(name, norm, images, labels)
    return (ours, IMAGES / seconds), (other, IMAGES / their_seconds)


if __name__ == "__main__":
    for case in CASES:
        (ours, speed), (other, their_speed) = compared(*case)
        accuracies = f"robust {100 * ours.mean():.2f} %, pyautoattack {100 * other.mean():.2f} %"
        print(*case, f"{accuracies}; {speed:.0f} and {their_speed:.0f} images/s", flush=True)
