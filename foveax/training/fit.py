"""The loop around the step: many steps per dispatch, data on the device or streamed."""

import functools
import itertools
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from foveax._arrays import check_count
from foveax._types import Batch, InputError, Key, Metrics
from foveax.data.dataset import Data, Render
from foveax.data.order import batch_indices, epoch_orders
from foveax.graph.modules import zeros_like
from foveax.learning.hyperparameters import Hyperparameters
from foveax.training.collectives import BATCH
from foveax.training.learner import Learner, TrainState
from foveax.training.mesh import POPULATION, check_divides, local_copy, place, place_rows, sharded

STREAM_BYTES = 64 * 2**20
"""Streamed batches are moved in blocks of up to this size, so that memory stays bounded."""


def fit(
    learner: Learner,
    data: Data,
    state: TrainState,
    *,
    batch: int,
    steps: int | None = None,
    dispatch: int = 100,
    period: int = 0,
    resident_bytes: int = 2**31,
    mesh: Mesh | None = None,
    hyperparameters: Hyperparameters | None = None,
) -> Iterator[tuple[TrainState, Metrics]]:
    """Trains from a state up to the number of steps that the learner was made for, yielding after every dispatch.

    Which images a step sees, and how they are rendered, follows from the state's key and the number of the step: a
    training continued from an earlier state is the same as one that never stopped.

    Args:
      learner: of the graph.
      data: whose training split is shown, rendered.
      state: where to begin; with a leading ``[P]``, a population, whose members are trained as one program.
      batch: B, at most N.
      steps: the number of steps at which to end earlier.
      dispatch: steps per call of the compiled program.
      period: steps at whose multiples a dispatch ends, whatever its size; 0 for none.
      resident_bytes: training arrays up to this size are put on the device as a whole; larger ones are streamed.
      mesh: the devices of all processes, by the axes ``"population"`` and ``"batch"``, which divide the members and the
        rows of each batch; each device keeps the parameters of its members. The training is the same, but for the
        rounding of sums. Every process calls this alike. None uses one device.
      hyperparameters: in the place of the learner's own; of a population, with a leading ``[P]``.

    Yields:
      the state, and the metrics, averaged over those steps of the dispatch that were not skipped, with the state's
      ``step``, ``skipped`` and ``consecutive_skips``. All states remain usable.

    Raises:
      InputError: if the batch is larger than the split, or the mesh does not divide it evenly; or for more steps than
        the learner was made for, along which its rates have fallen to 0.

    Example:
      >>> import foveax as fx, jax
      >>> data = fx.load("mnist5k")
      >>> graph = fx.standard_pipeline(data, fx.PipelineConfig(hidden=16, features=16))
      >>> learner = fx.make_learner(graph, fx.LearningConfig(), steps=20)
      >>> for state, metrics in fx.fit(learner, data, learner.init(jax.random.key(0)), batch=8):
      ...     print(int(state.step))
      20
    """
    population, size = state.key.ndim == 1, len(data.train["label"])
    members = (POPULATION,) if population else ()
    steps = learner.steps if steps is None else steps
    for name, count, least in (("batch", batch, 1), ("dispatch", dispatch, 1), ("steps", steps, 0)):
        check_count(name, count, least)
    if batch > size:
        raise InputError(f"batch must be at most the number of training images, {size}; got {batch}")
    if steps > learner.steps:
        raise InputError(f"steps must be at most those that the learner was made for, {learner.steps}; got {steps}")
    order_key, render_key = (jax.vmap(_data_keys) if population else _data_keys)(local_copy(state.key))
    orders = [epoch_orders(key, size) for key in order_key.reshape(-1)]
    nbytes = sum(array.nbytes for array in data.train.values())
    streamed = nbytes > resident_bytes
    per_dispatch = max(min(dispatch, STREAM_BYTES * size // (nbytes * batch)), 1) if streamed else dispatch
    first_step = int(np.max(local_copy(state.step)))
    blocks, again = itertools.tee(_blocks(first_step, steps, per_dispatch, period or steps))

    def indices(first: int) -> np.ndarray:
        each = [batch_indices(order, first, steps=per_dispatch, batch=batch, size=size) for order in orders]
        return np.stack(each) if population else each[0]

    def gather(index: np.ndarray) -> Batch:
        return {name: place_rows(array, index, mesh, *members, None, BATCH) for name, array in data.train.items()}

    if mesh:
        check_divides(mesh, batch, len(orders) if population else None)
        state, render_key = place((state, render_key), mesh, *members)
    numbers = learner.hyperparameters if hyperparameters is None else hyperparameters
    hyper = jax.tree.map(lambda value: np.broadcast_to(np.asarray(value, np.float32), state.key.shape), numbers)
    hyper = place(hyper, mesh, *members)
    run = make_dispatch(learner, data.render, population=population, mesh=mesh)
    chosen = (indices(first) for first, _ in blocks)
    feeds = _prefetched(gather, chosen) if streamed else (place(index, mesh, *members, None, BATCH) for index in chosen)
    arrays = {} if streamed else place(data.train, mesh)
    counts = (place(np.int32(count), mesh) for _, count in again)
    for feed, count in zip(feeds, counts, strict=True):
        state, metrics = run(state, count, feed, render_key, arrays, hyper)
        yield state, metrics


def _data_keys(key: Key) -> tuple[Key, Key]:
    """The keys of the order and of the rendering, which stay the same throughout a training."""
    order_key, render_key = jax.random.split(jax.random.fold_in(key, 0x0DA7A))
    return order_key, render_key


def make_dispatch(learner: Learner, render: Render, *, population: bool, mesh: Mesh | None) -> Callable[..., Any]:
    """The compiled program of a dispatch: ``(state, count, feed, render_key, arrays, hyper) -> (state, metrics)``.

    On a mesh only the learner's step is divided by hand; the rendering, which may look across the whole batch, is
    divided by the compiler. The state is not donated, so that whoever holds one can use it: a dispatch copies it once,
    and its steps work in place.
    """
    run = functools.partial(_dispatch, sharded(learner, mesh) if mesh else learner, render)
    if population:
        run = jax.vmap(run, in_axes=(0, None, 0, 0, None, 0), spmd_axis_name=POPULATION if mesh else None)
    return jax.jit(run)


def _dispatch(
    learner: Learner,
    render: Render,
    state: TrainState,
    count: int,
    feed: Any,
    render_key: Key,
    arrays: Batch,
    hyper: Hyperparameters,
) -> tuple[TrainState, Metrics]:
    """The first `count` steps of a feed of indices into `arrays` or, without these, of the batches themselves."""

    def batch_of(step: Any, index: Any) -> Batch:
        chosen = jax.tree.map(lambda leaf: leaf[index], feed)
        batch = {name: array[chosen] for name, array in arrays.items()} if arrays else chosen
        return render(jax.random.fold_in(render_key, step), batch)

    def body(index: Any, carry: tuple[TrainState, Metrics]) -> tuple[TrainState, Metrics]:
        before, sums = carry
        state, metrics = step(before, batch_of(before.step, index), hyper)
        made = state.skipped == before.skipped
        return state, {name: total + jnp.where(made, metrics[name], 0) for name, total in sums.items()}

    step = jax.jit(learner.step)  # inlined by the compiler, and traced once for both of its uses
    specs = jax.eval_shape(step, state, jax.eval_shape(batch_of, state.step, 0), hyper)[1]
    skipped = state.skipped
    state, sums = jax.lax.fori_loop(0, count, body, (state, zeros_like(specs)))
    made = (count - (state.skipped - skipped)).astype(jnp.float32)
    counts = {name: getattr(state, name) for name in ("step", "skipped", "consecutive_skips")}
    return state, {**{name: total / made for name, total in sums.items()}, **counts}


def _blocks(first: int, steps: int, dispatch: int, period: int) -> Iterator[tuple[int, int]]:
    """(first step, number of steps) of each dispatch.

    Each period is divided by multiples of `dispatch` from its beginning, wherever one resumes.
    """
    while first < steps:
        begin = first - first % period
        end = min(first - (first - begin) % dispatch + dispatch, begin + period, steps)
        yield first, end - first
        first = end


def _prefetched(gather: Callable[[np.ndarray], Batch], indices: Iterator[np.ndarray]) -> Iterator[Batch]:
    """The batches of each block, gathered and moved by a thread while the device works on the block before."""
    with ThreadPoolExecutor(max_workers=1) as thread:
        submitted = (thread.submit(gather, index) for index in indices)
        now = next(submitted, None)
        while now:
            ahead = next(submitted, None)
            yield now.result()
            now = ahead
