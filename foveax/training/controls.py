"""Controls: what the same classifier does when the eye is led by something other than its policy."""

from collections.abc import Callable

import jax
import numpy as np

from foveax._types import Key, Params
from foveax.data.dataset import Data, Split
from foveax.graph.graph import Graph
from foveax.pipelines import following
from foveax.training.evaluate import Evaluation, make_evaluator

FITTED_IMAGES = 500
"""Training images to which the fixed sequence is fitted."""
CANDIDATES, ELITES = 48, 8
"""Sequences tried in each round of the search, and those kept."""


def evaluate_with_controls(
    graph: Graph, params: dict[str, Params], data: Data, *, policy: str, key: Key, rounds: int = 4
) -> dict[str, Evaluation]:
    """The test split under the pipeline's own policy, and the same classifier under its controls.

    The controls are: ``best sequence``, the fixations that serve best if they must be the same on every image, fitted
    on training images; ``another image``, the policy's fixations, shuffled over the images; ``random``, uniform over
    the image; ``centre``.

    Args:
      graph: with a module ``saccader``; with a single glimpse there is nothing to control.
      params: by module.
      data: whose test split is shown.
      policy: the name of the pipeline's own policy; a control of the same name is not run twice.
      key: of the random policies, and of the search.
      rounds: of the search for the best sequence.

    Returns:
      by name, the policy's own first.
    """
    own = make_evaluator(graph)(params, data.test, key)
    if graph.length == 1:
        return {policy: own}
    given = make_evaluator(following(graph))
    shuffle_key, uniform_key, sequence_key = jax.random.split(key, 3)
    size, saccades = len(own.label), graph.length - 1
    order = np.asarray(jax.random.permutation(shuffle_key, size))
    sequence = best_sequence(
        lambda split: given(params, split, key), data, key=sequence_key, tried=own.fixations[:, 1:], rounds=rounds
    )
    led = {
        "best sequence": np.broadcast_to(sequence, (size, saccades, 2)),
        "another image": own.fixations[order, 1:],
        "random": np.asarray(jax.random.uniform(uniform_key, (size, saccades, 2))),
        "centre": np.full((size, saccades, 2), 0.5, np.float32),
    }
    controls = {
        name: given(params, {**data.test, "fixations": fixations}, key)
        for name, fixations in led.items()
        if name != policy
    }
    return {policy: own, **controls}


def best_sequence(
    follow: Callable[[Split], Evaluation], data: Data, *, key: Key, tried: np.ndarray, rounds: int
) -> np.ndarray:
    """The fixed sequence of fixations with the greatest mean log-probability of the label after the last glimpse.

    The cross-entropy method (de Boer et al. 2005, Annals of Operations Research 134): each round draws sequences from
    a normal distribution fitted to the best of all so far. The first round tries the policy's own mean, scanpaths of
    its own and sequences at random.

    Args:
      follow: evaluates a split along its ``fixations``.
      data: to whose training images the sequence is fitted.
      key: of the images and the draws.
      tried: ``[N, T - 1, 2]``, the policy's own fixations.
      rounds: how often to draw.

    Returns:
      ``[T - 1, 2]`` float32.
    """
    search_key, sample_key = jax.random.split(key)
    rng = np.random.default_rng(np.asarray(jax.random.key_data(search_key)))
    shown = data.sample(sample_key, FITTED_IMAGES)
    size = len(shown["label"])
    own = tried[rng.integers(0, len(tried), CANDIDATES // 2 - 1)]
    anywhere = rng.random((CANDIDATES - CANDIDATES // 2, *tried.shape[1:]), np.float32)
    candidates, best = np.concatenate([tried.mean(0, keepdims=True), own, anywhere]), []
    for _ in range(rounds):
        for sequence in candidates:
            led = follow({**shown, "fixations": np.broadcast_to(sequence, (size, *sequence.shape))})
            chosen = led.probabilities[np.arange(size), -1, led.label]
            best.append((float(np.log(chosen + 1e-9).mean()), sequence))
        best = sorted(best, key=lambda scored: -scored[0])[:ELITES]
        elites = np.stack([sequence for _, sequence in best])
        drawn = rng.normal(elites.mean(0), elites.std(0) + 0.01, (CANDIDATES, *tried.shape[1:]))
        candidates = np.clip(drawn, 0, 1).astype(np.float32)
    return best[0][1]
