"""The loop around the step: many steps per dispatch, data on the device or streamed."""

import itertools
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from foveax._types import Array, Batch, InputError, Key
from foveax.data.augment import random_shift
from foveax.data.dataset import Split
from foveax.data.order import batch_indices, epoch_orders
from foveax.training.learner import Learner, Metrics, TrainState

STREAM_BYTES = 64 * 2**20
"""Streamed batches are moved in blocks of up to this size, so that memory stays bounded."""

Dispatch = Callable[[TrainState, Any], tuple[TrainState, Metrics]]


def fit(
    learner: Learner,
    split: Split,
    state: TrainState,
    *,
    steps: int,
    batch: int,
    shift: int = 0,
    dispatch: int = 100,
    resident_bytes: int = 2**31,
) -> Iterator[tuple[TrainState, Metrics]]:
    """Trains from a state up to a number of steps, yielding after every dispatch.

    Which images a step sees, and how they are shifted, follows from the state's key and the number of the step: a
    training continued from an earlier state is the same as one that never stopped.

    Args:
      learner: of the graph.
      split: arrays with a leading ``[N]``, by the graph inputs that they feed.
      state: where to begin. It is donated: do not use it afterwards.
      steps: the number of steps at which to end.
      batch: B, at most N.
      shift: the largest random shift of an image, in pixels.
      dispatch: steps per call of the compiled program.
      resident_bytes: a split up to this size is put on the device as a whole; a larger one is streamed.

    Yields:
      the state, which is donated when the iterator goes on, and the metrics, averaged over the dispatch, with the
      number of steps done as ``step``.

    Raises:
      InputError: if the batch is larger than the split.

    Example:
      >>> import foveax as fx, jax
      >>> data = fx.load("mnist5k")
      >>> graph = fx.standard_pipeline(fx.Model(hidden=16, features=16), data.inputs, classes=data.classes)
      >>> learner = fx.make_learner(graph, fx.Learning(), steps=20)
      >>> for state, metrics in fx.fit(learner, data.train, learner.init(jax.random.key(0)), steps=20, batch=8):
      ...     print(int(state.step))
      20
    """
    size = len(split["label"]) if "label" in split else len(next(iter(split.values())))
    if batch > size:
        raise InputError(f"batch must be at most the number of training images, {size}; got {batch}")
    order_key, shift_key = jax.random.split(jax.random.fold_in(state.key, 0x0DA7A))
    orders = epoch_orders(order_key, size)
    nbytes = sum(array.nbytes for array in split.values())
    streamed = nbytes > resident_bytes
    per_dispatch = max(min(dispatch, STREAM_BYTES * size // (nbytes * batch)), 1) if streamed else dispatch
    blocks = _blocks(int(state.step), steps, per_dispatch)
    feeds = (batch_indices(orders, first, steps=count, batch=batch, size=size) for first, count in blocks)
    if streamed:
        run, feeds = _streamed(learner, shift_key, shift), _prefetched(split, feeds)
    else:
        run = _resident(learner, {name: jnp.asarray(array) for name, array in split.items()}, shift_key, shift)
    for feed in feeds:
        state, metrics = run(state, feed)
        yield state, metrics


def _blocks(first: int, steps: int, dispatch: int) -> list[tuple[int, int]]:
    """(first step, number of steps) of each dispatch; they begin at multiples of `dispatch`, wherever one resumes."""
    edges = [first, *range(first - first % dispatch + dispatch, steps, dispatch), steps]
    return [(start, end - start) for start, end in itertools.pairwise(edges) if end > start]


def _resident(learner: Learner, arrays: Batch, shift_key: Key, shift: int) -> Dispatch:
    """Steps over indices into arrays that stay on the device."""

    def dispatched(state: TrainState, indices: Array, arrays: Batch, shift_key: Key) -> tuple[TrainState, Metrics]:
        def body(state: TrainState, index: Array) -> tuple[TrainState, Metrics]:
            batch = {name: array[index] for name, array in arrays.items()}
            return learner.step(state, _shifted(batch, shift_key, state.step, shift))

        return _averaged(jax.lax.scan(body, state, indices))

    jitted = jax.jit(dispatched, donate_argnums=0)
    return lambda state, indices: jitted(state, indices, arrays, shift_key)


def _streamed(learner: Learner, shift_key: Key, shift: int) -> Dispatch:
    """Steps over batches that are moved to the device, one block at a time."""

    def dispatched(state: TrainState, batches: Batch, shift_key: Key) -> tuple[TrainState, Metrics]:
        def body(state: TrainState, batch: Batch) -> tuple[TrainState, Metrics]:
            return learner.step(state, _shifted(batch, shift_key, state.step, shift))

        return _averaged(jax.lax.scan(body, state, batches))

    jitted = jax.jit(dispatched, donate_argnums=0)
    return lambda state, batches: jitted(state, batches, shift_key)


def _prefetched(split: Split, indices: Iterator[np.ndarray]) -> Iterator[Batch]:
    """The batches of each block, gathered and moved by a thread while the device works on the block before."""

    def gather(index: np.ndarray) -> Batch:
        return jax.device_put({name: array[index] for name, array in split.items()})

    with ThreadPoolExecutor(max_workers=1) as thread:
        ahead = None
        for index in indices:
            coming = thread.submit(gather, index)
            if ahead is not None:
                yield ahead.result()
            ahead = coming
        if ahead is not None:
            yield ahead.result()


def _shifted(batch: Batch, key: Key, step: Array, pixels: int) -> Batch:
    if pixels == 0:
        return batch
    keys = jax.random.split(jax.random.fold_in(key, step), len(batch["image"]))
    shift = jax.vmap(lambda key, image: random_shift(key, image, pixels=pixels))
    return {**batch, "image": shift(keys, batch["image"])}


def _averaged(result: tuple[TrainState, Metrics]) -> tuple[TrainState, Metrics]:
    """Metrics averaged over a dispatch, and the number of its last step."""
    state, metrics = result
    return state, {**jax.tree.map(jnp.mean, metrics), "step": state.step}
