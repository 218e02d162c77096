"""Compiled dispatches of trainings for the benchmarks: lowered one by one, compiled together, timed one by one."""

import functools
import os
import re
import statistics
import time
import types
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as OutOfTimeError
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from timing import in_turn

import foveax as fx
from foveax.data.order import Orders, batch_indices, epoch_orders
from foveax.training.fit import _data_keys, make_dispatch
from foveax.training.learner import Learner

THREADS = min(os.cpu_count() or 1, 12)
"""Programs that are compiled at once."""
LATE = "not compiled in time"
PEAKS = {
    "H100": {"float32": 67e12, "tensorfloat32": 495e12, "bfloat16": 989e12, "bytes": 3.35e12},
    "H200": {"float32": 67e12, "tensorfloat32": 495e12, "bfloat16": 989e12, "bytes": 4.8e12},
}
"""Floating-point operations, dense, and bytes of memory per second, by NVIDIA's data sheets of the SXM boards."""
LAUNCHES = 0.3
"""A step that reaches less than this share of both peaks is bound by the number of its kernels."""
NOT_KERNELS = {
    "parameter", "constant", "tuple", "get-tuple-element", "bitcast", "while", "call", "conditional", "after-all",
    "partition-id", "replica-id", "async-start", "async-done",
}  # fmt: skip
"""Operations of a compiled program that start nothing on the device."""

RAM_PIPELINE = fx.PipelineConfig(
    core="rnn",
    features=128,
    combine="add",
    bands=0,
    contrast=False,
    supervise="last",
    exploration="learned",
    scale_start=0.7,
    reward="correct_last",
)
RAM_LEARNING = fx.LearningConfig(ppo=0.0, reinforce=1.0, discount=1.0, gae_lambda=1.0, entropy=0.0)


class Training(NamedTuple):
    """A training of which `steps` steps are one dispatch; with several members, a population.

    `precision` is that of float32 products, "default", "tensorfloat32" or "float32"; `noise` the generator of random
    numbers.
    """

    name: str
    learner: Learner
    data: fx.Data
    batch: int
    members: int = 1
    steps: int = 100
    precision: str = "default"
    noise: str = "threefry2x32"
    described: Mapping[str, Any] = types.MappingProxyType({})

    @property
    def keys(self) -> jax.Array:
        """A key per member, ``[P]``; of a single training one key."""
        key = jax.random.key(0, impl=self.noise)
        return jax.random.split(key, self.members) if self.members > 1 else key

    def init(self, keys: jax.Array) -> Any:
        """The state, or that of each member."""
        return (jax.vmap(self.learner.init) if self.members > 1 else self.learner.init)(keys)


class Program(NamedTuple):
    """A compiled program, the seconds that it took, and the floating-point operations of one turn of its loop."""

    run: Any
    seconds: float
    flops: float


def ram_graph(data: fx.Data) -> fx.Graph:
    """The network of RAM (Mnih et al. 2014), which `torch_ram` has too."""
    return fx.standard_pipeline(data, RAM_PIPELINE).unlink("saccader.position", "saccader.index")


def lower(training: Training) -> Any:
    """The program of a dispatch, not yet compiled."""
    run: Any = make_dispatch(training.learner, training.data.render, population=training.members > 1, mesh=None)
    state = jax.eval_shape(training.init, training.keys)
    feed = np.zeros(_feed_shape(training), np.int32)
    hyper = hyperparameters(training, [training.learner.hyperparameters] * training.members)
    with jax.default_matmul_precision(training.precision if training.precision != "default" else None):
        return run.lower(state, np.int32(0), feed, state.key, training.data.train, hyper)


def hyperparameters(training: Training, each: Sequence[Any]) -> Any:
    """Those of each member, stacked; of a single training its own."""
    stacked = jax.tree.map(lambda *values: np.asarray(values, np.float32), *each)
    return stacked if training.members > 1 else jax.tree.map(lambda leaf: leaf[0], stacked)


def compiled(lowered: Mapping[str, Any], *, deadline: float) -> dict[str, Program | str]:
    """The compiled programs with the seconds each took, or why there is none; all are compiled at once.

    `deadline` is on the clock of `time.perf_counter`; nothing is left compiling when this returns, or the process is
    to be ended.
    """
    pool = ThreadPoolExecutor(THREADS)
    futures = {name: pool.submit(_compile, program) for name, program in lowered.items()}
    programs = {name: _outcome(future, deadline) for name, future in futures.items()}
    pool.shutdown(wait=False, cancel_futures=True)
    return programs


def _compile(lowered: Any) -> Program:
    began = time.perf_counter()
    program = lowered.compile()
    seconds = time.perf_counter() - began
    return Program(program, seconds, (lowered.cost_analysis() or {}).get("flops", 0.0))  # before any rewriting


def _outcome(future: Future, deadline: float) -> Program | str:
    try:
        return future.result(timeout=max(deadline - time.perf_counter(), 0))
    except OutOfTimeError:
        return LATE
    except jax.errors.JaxRuntimeError as error:
        return str(error).splitlines()[0]


def measured(
    trainings: Mapping[str, Training], programs: Mapping[str, Program | str], *, repeats: int
) -> Iterator[dict[str, Any]]:
    """A row of figures for each training; those without a program, and those that fail, hold an ``error``."""
    for name, training in trainings.items():
        program = programs[name]
        row = {"name": name, "batch": training.batch, "members": training.members, **training.described}
        try:
            yield row | ({"error": program} if isinstance(program, str) else _figures(training, program, repeats))
        except jax.errors.JaxRuntimeError as error:
            yield {**row, "error": str(error).splitlines()[0]}


def _figures(training: Training, program: Program, repeats: int) -> dict[str, Any]:
    images = training.batch * training.members
    step = statistics.median(in_turn({"": dispatch(training, program.run)}, repeats=repeats)[""]) / training.steps
    memory, text = program.run.memory_analysis(), program.run.as_text()
    turns = training.steps if "known_trip_count" in text else 1  # XLA counts a loop's body as often as it knows
    traffic = (program.run.cost_analysis() or {}).get("bytes accessed", 0.0) / turns
    peak = (jax.devices()[0].memory_stats() or {}).get("peak_bytes_in_use")
    figures = {
        "precision": training.precision,
        "images_per_second": round(images / step),
        "microseconds_per_step": round(1e6 * step, 1),
        "compile_seconds": round(program.seconds, 1),
        **({"flops_per_image": round(program.flops / images)} if program.flops else {}),  # unknown on some GPUs
        "bytes_per_image": round(traffic / images),
        "kernels": count_kernels(text),
        "program_megabytes": round((memory.temp_size_in_bytes + memory.argument_size_in_bytes) / 2**20),
        "peak_megabytes_so_far": peak and round(peak / 2**20),
    }
    return figures | _bound(program.flops / step, traffic / step, training)


def _bound(flops: float, traffic: float, training: Training) -> dict[str, Any]:
    """The shares of the card's peaks that operations and bytes per second reach."""
    kind = jax.devices()[0].device_kind
    peaks = next((peak for name, peak in PEAKS.items() if name in kind), None)
    if peaks is None:
        return {}
    unit = "tensorfloat32" if training.precision == "default" else training.precision
    flops, traffic = flops / peaks[training.described.get("dtype", unit)], traffic / peaks["bytes"]
    bound = "launches" if max(flops, traffic) < LAUNCHES else "arithmetic" if flops > traffic else "memory"
    arithmetic = {"share_of_flops": round(flops, 4)} if flops else {}
    return {**arithmetic, "share_of_bandwidth": round(traffic, 4), "bound": bound}


def dispatch(training: Training, program: Any) -> Any:
    """A function that runs a dispatch, on images chosen at random, and waits for it; the training goes on."""
    arguments = list(initial_arguments(training))

    def run() -> None:
        arguments[0], metrics = program(*arguments)
        jax.block_until_ready(metrics)

    return run


def initial_arguments(
    training: Training, *, keys: jax.Array | None = None, each: Sequence[Any] = (), ordered: bool = False
) -> tuple:
    """Those of a dispatch at the start of a training, on the device.

    They are state, count, feed, key of the rendering, arrays and hyper-parameters.

    Args:
      training: what is trained.
      keys: of the members, ``[P]``; by default its own.
      each: hyper-parameters of each member; by default the learner's.
      ordered: whether all is as in `foveax.fit`, not the images chosen at random, from one state for all members.
    """
    size = len(training.data.train["label"])
    keys = training.keys if keys is None else keys
    with jax.default_device(jax.devices("cpu")[0]):  # its many small operations compile there in less time
        state = training.init(keys) if ordered or training.members == 1 else _copies(training, keys)
        orders, render_key = (jax.vmap(_data_keys) if state.key.ndim else _data_keys)(state.key)
        if ordered:
            indices = np.stack([_indices(key, training) for key in orders.reshape(-1)]).reshape(_feed_shape(training))
        else:
            indices = np.random.default_rng(0).integers(size, size=_feed_shape(training), dtype=np.int32)
    hyper = hyperparameters(training, each or [training.learner.hyperparameters] * training.members)
    arguments = (state, np.int32(training.steps), indices, render_key, training.data.train, hyper)
    return jax.device_put(arguments, jax.devices()[0])


def _copies(training: Training, keys: jax.Array) -> Any:
    """The state of each member, which all begin alike: `Training.init` compiles for longer."""
    state = training.learner.init(keys[0])

    def repeat(leaf: jax.Array) -> np.ndarray:
        return np.broadcast_to(np.asarray(leaf), (training.members, *leaf.shape))

    return jax.tree.map(repeat, state._replace(key=()))._replace(key=keys)


def _feed_shape(training: Training) -> tuple[int, ...]:
    return (*training.keys.shape, training.steps, training.batch)


def _indices(key: jax.Array, training: Training) -> np.ndarray:
    """Which images the steps of a member see, ``[steps, B]``: those of `foveax.fit`."""
    size = len(training.data.train["label"])
    orders = _orders(tuple(np.asarray(jax.random.key_data(key)).tolist()), size)
    return batch_indices(orders, 0, steps=training.steps, batch=training.batch, size=size)


@functools.lru_cache
def _orders(key: tuple[int, ...], size: int) -> Orders:
    return epoch_orders(jax.random.wrap_key_data(jnp.asarray(key, jnp.uint32)), size)


def count_kernels(text: str) -> int:
    """The kernels, copies and library calls of a compiled program, each loop's body counted once.

    Computations within a fusion, a reduction or a sort start nothing by themselves.
    """
    inner = set(
        re.findall(r" (?:fusion|[a-z\-]*reduce[a-z\-]*|scatter|sort|map)\(.*?(?:calls|to_apply)=%?([\w.\-]+)", text)
    )
    kernels, own = 0, False
    for line in text.splitlines():
        if header := re.match(r"(?:ENTRY )?%?([\w.\-]+) \(.*\{$", line):
            own = header[1] not in inner
        elif own and (operation := re.match(r"\s+(?:ROOT )?%?[\w.\-]+ = .*? ([a-z][\w\-]*)\(", line)):
            kernels += operation[1] not in NOT_KERNELS
    return kernels
