"""The best fixed sequence: the places that serve best if they must be the same on every image."""

import functools
from collections.abc import Callable
from typing import Any, cast

import jax
import jax.numpy as jnp
import numpy as np
import optax

from foveax._types import Array, Batch, Key, Params
from foveax.data.dataset import Split
from foveax.evaluation.evaluate import greedy
from foveax.graph.compile import compile as compile_graph
from foveax.graph.compile import number
from foveax.graph.graph import Graph, Source, parse_port

FITTED_IMAGES = 3_000
"""Training images to which a sequence is fitted."""
CANDIDATES, LOOKED_AT = 48, 256
"""Sequences that a round chooses its starts from, and the images that they are judged on."""
STARTS, STEPS, BATCH = 4, 60, 64
"""Sequences refined at once, the steps of a round, and the images of a step."""
RATE, ROUNDS = 0.03, 6
"""Adam's rate in the first round, as a fraction of the image, and the most rounds."""
ELITES, DRAWS = 8, 12
"""Sequences that the cross-entropy method draws the next ones about, and its rounds."""
SETTLED = 0.002
"""The search ends when a round has added less than this to the value, in nats."""

Value = Callable[[Params, Batch, Key], Array]
"""``(params, inputs, keys) -> [B]``: how well a pipeline did with each example at the last glimpse, differentiable."""


def last_value(graph: Graph) -> Value:
    """How well a graph did with each of a batch: the log-probability of the label, or minus the losses, at the end.

    The policies take their mode. Without a belief and a label, it is minus the weighted sum of the declared losses.
    """
    belief, label = graph.roles.belief, graph.roles.label
    ports = [belief, label] if belief and label else list(map(str, graph.losses))
    rollout = jax.vmap(compile_graph(greedy(graph), ports), in_axes=(None, 0, 0))

    def value(params: Params, inputs: Batch, keys: Key) -> Array:
        trajectory = rollout(params, {name: inputs[name] for name in graph.inputs}, keys)

        def last(port: str | Source) -> Array:
            source = parse_port(str(port))
            return trajectory[source.module][source.port][:, -1]

        if belief and label:
            return jnp.log(jnp.take_along_axis(last(belief), last(label)[:, None], axis=1)[:, 0] + 1e-9)
        weights = {port: number(loss.weight, graph.hyperparameters) for port, loss in graph.losses.items()}
        return -sum((weight * last(port) for port, weight in weights.items()), start=jnp.zeros(len(keys)))

    return value


def best_sequence(value: Value, params: Params, sample: Split, *, key: Key, tried: np.ndarray) -> np.ndarray:
    """The fixed sequence of places ``[T - 1, 2]`` with the greatest mean value over a sample of training images.

    Gradient ascent through the retina, by Adam, from the best of the policy's own mean, scanpaths of its own and
    sequences at random. Then rounds, each at a lower rate, from the best so far and from the best of those that differ
    from it in one place, drawn at random; until a round adds less than `SETTLED`.
    Where the value has no gradient in the places, as behind a grid of cells, rounds of the cross-entropy method (de
    Boer et al. 2005, Annals of Operations Research 134), which draws sequences about the best so far. The `value` is
    that of a batch whose ``fixations`` ``[B, T - 1, 2]`` the eye follows; the sample holds arrays with a leading
    ``[N]``, by graph input, without the fixations; `tried` are the policy's own places, ``[M, T - 1, 2]``.
    """
    search_key, value_key, step_key = jax.random.split(key, 3)
    rng = np.random.default_rng(np.asarray(jax.random.key_data(search_key)))
    size = len(next(iter(sample.values())))
    shown = jax.device_put(dict(sample)), jax.random.split(value_key, size)

    def ordered(sequences: Any, images: int) -> tuple[np.ndarray, np.ndarray]:
        """The sequences and their values on the first images, best first."""
        rows = np.arange(images // BATCH * BATCH or images).reshape(-1, min(BATCH, images))
        return _best_first(np.asarray(sequences), np.asarray(_values(value, sequences, params, *shown, rows)))

    def climbed(sequences: np.ndarray, turn: int) -> tuple[Any, Any]:
        rate = np.float32(RATE / (turn + 1))
        return _ascended(value, sequences, params, *shown, jax.random.fold_in(step_key, turn), rate)

    own = tried[rng.integers(0, len(tried), CANDIDATES // 2 - 1)]
    anywhere = rng.random((CANDIDATES - CANDIDATES // 2, *tried.shape[1:]), np.float32)
    few = min(LOOKED_AT, size)
    found, values = ordered(np.concatenate([tried.mean(0, keepdims=True), own, anywhere]), few)
    moved, slope = climbed(found[:STARTS], 0)
    if not float(slope) > 0:
        for _ in range(DRAWS):
            drawn = rng.normal(found[:ELITES].mean(0), found[:ELITES].std(0) + 0.01, (CANDIDATES, *found.shape[1:]))
            new, theirs = ordered(np.clip(drawn, 0, 1).astype(np.float32), few)
            found, values = _best_first(np.concatenate([found, new]), np.concatenate([values, theirs]))
        return found[0]
    found, values = ordered(moved, size)
    for turn in range(1, ROUNDS):
        best = values[0]
        varied = np.repeat(found[:1], CANDIDATES, axis=0)
        varied[np.arange(CANDIDATES), rng.integers(0, varied.shape[1], CANDIDATES)] = rng.random((CANDIDATES, 2))
        starts = np.concatenate([found[:1], ordered(varied, few)[0][: STARTS - 1]])
        new, theirs = ordered(climbed(starts, turn)[0], size)
        found, values = _best_first(np.concatenate([found, new]), np.concatenate([values, theirs]))
        if values[0] - best < SETTLED:
            break
    return found[0]


def _best_first(sequences: np.ndarray, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    order = np.argsort(-values, kind="stable")
    return sequences[order], values[order]


def _mean_value(value: Value, sequence: Array, params: Params, inputs: Batch, keys: Key, rows: Array) -> Array:
    """The value of a sequence on the images of some rows."""
    shown = {name: array[rows] for name, array in inputs.items()}
    fixations = jnp.broadcast_to(sequence, (len(rows), *sequence.shape))
    return value(params, {**shown, "fixations": fixations}, keys[rows]).mean()


@functools.partial(jax.jit, static_argnums=0)
def _values(value: Value, sequences: Array, params: Params, inputs: Batch, keys: Key, rows: Array) -> Array:
    """The values ``[S]`` of sequences ``[S, T - 1, 2]`` on rows ``[batches, B]`` of the inputs."""

    def of_one(sequence: Array) -> Array:
        return jax.lax.map(lambda part: _mean_value(value, sequence, params, inputs, keys, part), rows).mean()

    return jax.lax.map(of_one, sequences)


@functools.partial(jax.jit, static_argnums=0)
def _ascended(
    value: Value, sequences: Array, params: Params, inputs: Batch, keys: Key, key: Key, rate: Array
) -> tuple[Array, Array]:
    """Sequences ``[S, T - 1, 2]`` after `STEPS` steps of Adam, and the largest slope that was met."""
    adam = optax.adam(optax.cosine_decay_schedule(1.0, STEPS))

    def step(state: tuple, key: Key) -> tuple[tuple, Array]:
        sequences, moments = state
        rows = jax.random.randint(key, (min(BATCH, len(keys)),), 0, len(keys))
        slope_of = jax.grad(lambda sequence: _mean_value(value, sequence, params, inputs, keys, rows))
        slopes = jax.vmap(slope_of)(sequences)
        with jax.numpy_dtype_promotion("standard"):  # as for the learner's updates
            updates, moments = adam.update(-slopes, moments)
        return (jnp.clip(sequences + rate * cast(Array, updates), 0, 1), moments), jnp.abs(slopes).max()

    steps = jax.random.split(key, STEPS)
    (sequences, _), slopes = jax.lax.scan(step, (jnp.asarray(sequences), adam.init(jnp.asarray(sequences))), steps)
    return sequences, slopes.max()
