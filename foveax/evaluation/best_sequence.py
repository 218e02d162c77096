"""The best fixed sequence: the places that serve best if they must be the same on every image."""

import functools
from collections.abc import Callable
from typing import cast

import jax
import jax.numpy as jnp
import numpy as np
import optax

from foveax._types import Array, Batch, Key, Params
from foveax.data.dataset import Split
from foveax.evaluation.evaluate import greedy, watch
from foveax.graph.compile import compile as compile_graph
from foveax.graph.compile import number
from foveax.graph.graph import Graph, Source, parse_port

FITTED_IMAGES = 10_000
"""Training images to which a sequence is fitted."""
CANDIDATES, LOOKED_AT = 48, 256
"""Sequences that starts are chosen from, and the images that they are judged on."""
STARTS, STEPS = 2, 200
"""Sequences refined in each round, and the steps of a refinement."""
BATCH, LEAST, BATCH_BYTES = 128, 16, 32 * 2**20
"""Images of a step: at most the first number; fewer where they would take more bytes, but no fewer than the second."""
RATE, FALL = 0.05, 0.7
"""Adam's rate in the first round, as a fraction of the image, and the factor from each round to the next."""
ROUNDS, JUDGED_ON, SETTLED = 8, 2_048, 0.001
"""Rounds, at most; the images on which they are judged; and what each must add to the value, in nats."""
ELITES, DRAWS = 8, 12
"""Sequences that the cross-entropy method draws the next ones about, and its rounds."""

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
    sequences at random; then, until a round adds nothing, from the best so far and the best of those that differ from
    it in one place, drawn at random. Where the value has no gradient in the places, as behind a grid of cells, rounds
    of the cross-entropy method (de Boer et al. 2005, Annals of Operations Research 134), which draws sequences about
    the best so far. The `value` is that of a batch whose ``fixations`` ``[B, T - 1, 2]`` the eye follows; the sample
    holds arrays with a leading ``[N]``, by graph input, without the fixations; `tried` are the policy's own places,
    ``[M, T - 1, 2]``.
    """
    search_key, value_key, step_key = jax.random.split(key, 3)
    rng = np.random.default_rng(np.asarray(jax.random.key_data(search_key)))
    size = len(next(iter(sample.values())))
    batch = max(min(BATCH, BATCH_BYTES * size // sum(array.nbytes for array in sample.values())), min(LEAST, size))
    shown = jax.device_put(dict(sample)), jax.random.split(value_key, size)
    few, many = min(LOOKED_AT, size), min(JUDGED_ON, size)

    def ordered(sequences: np.ndarray, images: int) -> tuple[np.ndarray, np.ndarray]:
        """The sequences and their values on the first images, best first."""
        parts = np.arange(images // batch * batch or images).reshape(-1, min(batch, images))
        values = np.empty((len(parts), len(sequences)), np.float32)
        for row, part in enumerate(parts):
            for begin in range(0, len(sequences), STARTS):
                some = sequences[begin : begin + STARTS]
                values[row, begin : begin + STARTS] = _values(value, some, params, *shown, part)
                watch(len(some) * len(part))
        return _best_first(sequences, values.mean(axis=0))

    def refined(sequences: np.ndarray, turn: int) -> tuple[np.ndarray, float]:
        """Each of the sequences a round further, and the largest slope that was met."""
        rate, turn_key = np.float32(RATE * FALL**turn), jax.random.fold_in(step_key, turn)
        ascended, slopes = [], []
        for one, key in zip(sequences, jax.random.split(turn_key, len(sequences)), strict=True):
            moved, slope = _ascended(value, one, params, *shown, key, rate, batch)
            ascended.append(np.asarray(moved))
            slopes.append(float(slope))
            watch(STEPS * batch)
        return np.stack(ascended), max(slopes)

    own = tried[rng.integers(0, len(tried), CANDIDATES // 2 - 1)]
    anywhere = rng.random((CANDIDATES - CANDIDATES // 2, *tried.shape[1:]), np.float32)
    found, values = ordered(np.concatenate([tried.mean(0, keepdims=True), own, anywhere]), few)
    moved, slope = refined(found[:STARTS], 0)
    if not slope > 0:
        return _drawn(rng, functools.partial(ordered, images=few), found, values)
    found, values = ordered(moved, many)
    for turn in range(1, ROUNDS):
        best = values[0]
        varied = np.repeat(found[:1], CANDIDATES, axis=0)
        varied[np.arange(CANDIDATES), rng.integers(0, varied.shape[1], CANDIDATES)] = rng.random((CANDIDATES, 2))
        starts = np.concatenate([found[:1], ordered(varied, few)[0][: STARTS - 1]])
        new, theirs = ordered(refined(starts, turn)[0], many)
        found, values = _best_first(np.concatenate([found, new]), np.concatenate([values, theirs]))
        if values[0] - best < SETTLED:
            break
    return found[0]


def _drawn(
    rng: np.random.Generator,
    ordered: Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]],
    found: np.ndarray,
    values: np.ndarray,
) -> np.ndarray:
    """The best sequence after some rounds of the cross-entropy method."""
    for _ in range(DRAWS):
        drawn = rng.normal(found[:ELITES].mean(0), found[:ELITES].std(0) + 0.01, (CANDIDATES, *found.shape[1:]))
        new, theirs = ordered(np.clip(drawn, 0, 1).astype(np.float32))
        found, values = _best_first(np.concatenate([found, new]), np.concatenate([values, theirs]))
    return found[0]


def _best_first(sequences: np.ndarray, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    order = np.argsort(-values, kind="stable")
    return sequences[order], values[order]


@functools.partial(jax.jit, static_argnums=0)
def _values(value: Value, sequences: Array, params: Params, inputs: Batch, keys: Key, rows: Array) -> Array:
    """The mean values ``[S]`` of sequences ``[S, T - 1, 2]`` on some rows of the inputs."""
    shown = _rows(inputs, keys, rows)
    return jax.lax.map(lambda sequence: _mean_value(value, sequence, params, *shown), sequences)


@functools.partial(jax.jit, static_argnums=(0, 7))
def _ascended(
    value: Value, sequence: Array, params: Params, inputs: Batch, keys: Key, key: Key, rate: Array, batch: int
) -> tuple[Array, Array]:
    """A sequence ``[T - 1, 2]`` after `STEPS` steps of Adam, and the largest slope that was met."""
    adam = optax.adam(optax.cosine_decay_schedule(1.0, STEPS))

    def step(state: tuple, key: Key) -> tuple[tuple, Array]:
        sequence, moments = state
        shown = inputs, keys
        if batch < len(keys):  # all of them need no copy
            shown = _rows(inputs, keys, jax.random.randint(key, (batch,), 0, len(keys)))
        slope = jax.grad(lambda sequence: _mean_value(value, sequence, params, *shown))(sequence)
        with jax.numpy_dtype_promotion("standard"):  # as for the learner's updates
            update, moments = adam.update(-slope, moments)
        return (jnp.clip(sequence + rate * cast(Array, update), 0, 1), moments), jnp.abs(slope).max()

    begin = jnp.asarray(sequence)
    (sequence, _), slopes = jax.lax.scan(step, (begin, adam.init(begin)), jax.random.split(key, STEPS))
    return sequence, slopes.max()


def _rows(inputs: Batch, keys: Key, rows: Array) -> tuple[Batch, Key]:
    return {name: array[rows] for name, array in inputs.items()}, keys[rows]


def _mean_value(value: Value, sequence: Array, params: Params, inputs: Batch, keys: Key) -> Array:
    """The mean value of a sequence over images."""
    fixations = jnp.broadcast_to(sequence, (len(keys), *sequence.shape))
    return value(params, {**inputs, "fixations": fixations}, keys).mean()
