# pyright: reportMissingImports=false
"""The parts of `gpu.py`: each yields rows of figures, the most telling first, and is run in a process of its own."""

import collections
import contextlib
import dataclasses
import functools
import gzip
import hashlib
import platform
import statistics
import subprocess
import sys
import time
import types
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple
from unittest import mock

import jax
import jax.numpy as jnp
import numpy as np
import optax
from dispatches import (
    RAM_LEARNING,
    THREADS,
    Training,
    compiled,
    count_kernels,
    initial_arguments,
    lower,
    measured,
    ram_graph,
)  # fmt: skip
from timing import in_turn

import foveax as fx
import foveax.graph.compile
import foveax.training.fit
import foveax.training.learner
from foveax.evaluation.evaluate import greedy, make_evaluator
from foveax.recipes.tables import RECIPES
from foveax.runs.config import PRESETS
from foveax.runtime.machine import machine
from foveax.training.learner import Learner

Rows = Iterator[dict[str, Any]]
Changes = Sequence[tuple[Any, str, Any]]
"""Attributes that are replaced: their owners, names and new values."""
IMAGES_PER_DISPATCH = 2**20
"""At most, and 200 steps: long against a call, short against a part."""


class Sizes(NamedTuple):
    """How large everything is; `small` are changes to every pipeline."""

    batches: tuple[int, ...] = (128, 512, 2048, 8192, 32768, 65536)
    populations: tuple[int, ...] = (512, 32)
    steps: int = 200
    repeats: int = 5
    lengths: tuple[tuple[int, float, int], ...] = (
        (128, 2e-3, 400_000),
        (128, 2e-3, 800_000),
        (128, 2e-3, 1_500_000),
        (512, 4e-3, 1_500_000),
        (512, 4e-3, 3_000_000),
    )
    """Batch, learning rate and images of trainings to an accuracy."""
    seeds: int = 5
    table_groups: int = 12
    table_images: int = 100_000
    equal_steps: int = 1000
    variants: int = 100
    crowds: tuple[int, ...] = (1, 64)
    """Members of the populations that variants are measured on."""
    picture: int = 64
    square: int = 8192
    small: Mapping[str, Any] = types.MappingProxyType({})


FULL = Sizes()
TINY = Sizes(
    batches=(4, 8),
    populations=(2,),
    steps=2,
    repeats=2,
    lengths=((8, 2e-3, 16),),
    seeds=2,
    table_groups=2,
    table_images=64,
    equal_steps=3,
    variants=3,
    crowds=(2,),
    picture=32,
    square=64,
    small={"hidden": 8, "features": 8, "saccader_hidden": 8, "glimpses": 2},
)


class Job(NamedTuple):
    """What a part is given: the data, the sizes, the name of this run of the part, and when it is to end."""

    data: fx.Data
    sizes: Sizes
    run: str
    deadline: float
    folder: Path

    @property
    def compiled_by(self) -> float:
        """When compilation has to be done: after two thirds of the time."""
        return time.perf_counter() + 2 / 3 * (self.deadline - time.perf_counter())


def card(job: Job) -> Rows:
    """The machine; the seconds to compile one training alone; its kernels; the card's own rates."""
    yield {"machine": machine(), "platform": platform.platform(), "memory": jax.devices()[0].memory_stats() or {}}
    training = _training(job, "default")
    began = time.perf_counter()
    lowered = lower(training)
    traced = time.perf_counter()
    program = lowered.compile()
    text = program.as_text()
    with gzip.open(job.folder / "gpu-step.hlo.txt.gz", "wt") as file:
        file.write(text)
    seconds = {"trace_seconds": round(traced - began, 2), "compile_seconds": round(time.perf_counter() - traced, 2)}
    yield {"name": "default, batch 128", **seconds, "kernels": count_kernels(text)}
    side = job.sizes.square
    for name, precision, dtype in (
        ("bfloat16", None, jnp.bfloat16), ("default", None, jnp.float32),
        ("tensorfloat32", "tensorfloat32", jnp.float32), ("float32", "float32", jnp.float32),
    ):  # fmt: skip
        left = jax.random.normal(jax.random.key(0), (side, side), dtype)
        with jax.default_matmul_precision(precision):
            seconds = _seconds(jax.jit(jnp.matmul), left, left)
        yield {"name": f"products, {name}", "teraflops": round(2 * side**3 / seconds / 1e12, 2)}
    array = jnp.arange(side * side, dtype=jnp.float32)
    seconds = _seconds(jax.jit(lambda array: array + 1), array)
    yield {"name": "copy", "terabytes_per_second": round(2 * array.nbytes / seconds / 1e12, 3)}


def _seconds(function: Callable[..., Any], *arguments: Any) -> float:
    """Of one call, among ten."""

    def run() -> None:
        jax.block_until_ready([function(*arguments) for _ in range(10)])

    return min(in_turn({"": run}, repeats=3)[""]) / 10


def throughput(job: Job) -> Rows:
    """The default pipeline over batches."""
    learner = _learner(job)
    yield from _measured(job, [_training(job, f"default, 1 x {b}", b, 1, learner=learner) for b in job.sizes.batches])


def populations(job: Job) -> Rows:
    """Populations of both networks at the smallest batch: few, since they are long in compiling."""
    learners, batch = {"RAM": _ram_learner(job), "default": _learner(job)}, job.sizes.batches[0]
    yield from _measured(
        job,
        [
            _training(job, f"{name}, {members} x {batch}", batch, members, learner=learner)
            for members in job.sizes.populations
            for name, learner in learners.items()
        ],
    )


def ram(job: Job) -> Rows:
    """The network that PyTorch trains too (`peers`), in foveax, over batches."""
    learner = _ram_learner(job)
    yield from _measured(job, [_training(job, f"RAM, 1 x {b}", b, 1, learner=learner) for b in job.sizes.batches])


def peers(job: Job) -> Rows:
    """Eager PyTorch and ``torch.compile``, in the precision that is theirs by default and with TF32."""
    import torch
    from torch_ram import make_training

    cuda = torch.cuda.is_available()
    yield {"torch": torch.__version__, "card": torch.cuda.get_device_name() if cuda else "cpu"}
    first, *others = job.sizes.batches

    def measure(batch: int, mode: str | None, precision: str) -> dict[str, Any]:
        torch.set_float32_matmul_precision(precision)
        torch.compiler.reset()
        name = f"PyTorch, {'eager' if mode is None else f'torch.compile {mode}'}, {precision}, {batch}"
        row = {"name": name, "batch": batch, "members": 1, "mode": mode or "eager", "precision": precision}
        images, labels = (
            np.resize(job.data.train[key], (batch, *job.data.train[key].shape[1:])) for key in ("image", "label")
        )
        steps, began = max(min(20, IMAGES_PER_DISPATCH // batch), 2), time.perf_counter()
        try:
            run = make_training(images, labels, steps=min(steps, job.sizes.steps), mode=mode)
            run()
            started = time.perf_counter() - began
            seconds = statistics.median(in_turn({"": run}, repeats=job.sizes.repeats)[""]) / min(steps, job.sizes.steps)
        except (torch.cuda.OutOfMemoryError, RuntimeError) as error:
            return {**row, "error": str(error).splitlines()[0]}
        return {
            **row,
            "images_per_second": round(batch / seconds),
            "microseconds_per_step": round(1e6 * seconds, 1),
            "start_seconds": round(started, 1),
            "peak_megabytes_so_far": round(torch.cuda.max_memory_allocated() / 2**20) if cuda else None,
        }

    yield measure(first, None, "highest")
    yield measure(first, None, "high")
    eager = [measure(batch, None, "high") for batch in others]
    yield from eager
    yield measure(first, "default", "high")
    best = max(eager, key=lambda row: row.get("images_per_second", 0))
    yield measure(best["batch"], "default", "high")
    yield measure(first, "reduce-overhead", "high")
    yield measure(best["batch"], None, "highest")


def accuracy(job: Job) -> Rows:
    """Seconds from the first step to an accuracy on MNIST: trainings made for it, of all seeds at once."""
    base = _resized(job, PRESETS["mnist_long"])
    configs = []
    for batch, rate, images in job.sizes.lengths:
        learning = dataclasses.replace(base.learning, learning_rate=rate)
        configs.append(dataclasses.replace(base, batch=batch, images=images, learning=learning))
    data = base.prepare(job.data)
    graph = fx.standard_pipeline(data, base.pipeline)
    trainings = [
        Training(
            str(number),
            fx.make_learner(graph, own.learning, steps=own.steps),
            data,
            own.batch,
            job.sizes.seeds,
            own.steps,
        )
        for number, own in enumerate(configs)
    ]
    programs = compiled({each.name: lower(each) for each in trainings}, deadline=job.compiled_by)
    evaluator = make_evaluator(graph)
    keys = _keys(range(job.sizes.seeds))
    for training, config in zip(trainings, configs, strict=True):
        row = {"name": f"{config.images:,} images, batch {config.batch}", "config": config.to_json()}
        program = programs[training.name]
        if isinstance(program, str):
            yield {**row, "error": program}
            continue
        arguments = initial_arguments(training, keys=keys, ordered=True)
        seconds, params = _trained(program.run, arguments)
        scores = [evaluator(own, data.test, key).accuracy[-1] for own, key in zip(_members(params), keys, strict=True)]
        yield {
            **row,
            "seeds": [round(100 * float(score), 2) for score in scores],
            "mean": round(100 * float(np.mean(scores)), 2),
            "worst": round(100 * float(np.min(scores)), 2),
            "seconds": round(seconds, 2),
            "compile_seconds": round(program.seconds, 1),
        }


def table1(job: Job) -> Rows:
    """The recipe's 54 trainings: those of one graph are one population, which is one dispatch."""
    groups: dict[Any, list[tuple[str, fx.TrainingConfig]]] = collections.defaultdict(list)
    for name, row in RECIPES["table1"].rows.items():
        config = dataclasses.replace(_resized(job, row.config), images=job.sizes.table_images)
        groups[config.pipeline] += [(name, dataclasses.replace(config, seed=seed)) for seed in range(row.seeds)]
    chosen = sorted(groups.items(), key=lambda group: -len(group[1]))[: job.sizes.table_groups]
    graphs = {pipeline: fx.standard_pipeline(job.data, pipeline) for pipeline, _ in chosen}
    trainings = {
        pipeline: Training(
            str(number), fx.make_learner(graphs[pipeline], members[0][1].learning, steps=members[0][1].steps), job.data,
            members[0][1].batch, len(members), members[0][1].steps,
        )
        for number, (pipeline, members) in enumerate(chosen)
    }  # fmt: skip
    programs = compiled({each.name: lower(each) for each in trainings.values()}, deadline=job.compiled_by)

    def begin(group: tuple[Any, list[tuple[str, fx.TrainingConfig]]]) -> tuple[Any, tuple]:
        pipeline, members = group
        numbers = dict(graphs[pipeline].hyperparameters)
        each = [own.learning.hyperparameters(numbers) for _, own in members]
        keys = _keys([own.seed for _, own in members])
        return pipeline, initial_arguments(trainings[pipeline], keys=keys, each=each, ordered=True)

    with ThreadPoolExecutor(THREADS) as pool:
        begun = dict(pool.map(begin, chosen))
    outcomes, total = {}, 0.0
    for pipeline, _ in chosen:
        program = programs[trainings[pipeline].name]
        if not isinstance(program, str):
            outcomes[pipeline] = _trained(program.run, begun.pop(pipeline))
            total += outcomes[pipeline][0]
    trained = sum(len(members) for pipeline, members in chosen if pipeline in outcomes)
    yield {"name": "table 1", "seconds": round(total, 2), "trainings": trained, "of": sum(map(len, groups.values()))}

    def judge(group: tuple[Any, list[tuple[str, fx.TrainingConfig]]]) -> dict[str, list[float]]:
        pipeline, members = group
        evaluator, scores = make_evaluator(graphs[pipeline]), collections.defaultdict(list)
        for (name, own), params in zip(members, _members(outcomes[pipeline][1]), strict=True):
            key = jax.random.key(own.seed)
            scores[name].append(round(100 * float(evaluator(params, job.data.test, key).accuracy[-1]), 2))
        return scores

    with ThreadPoolExecutor(len(outcomes)) as pool:
        judged = pool.map(judge, [group for group in chosen if group[0] in outcomes])
        for (pipeline, _), scores in zip([group for group in chosen if group[0] in outcomes], judged, strict=True):
            for name, seeds in scores.items():
                mean, deviation = round(float(np.mean(seeds)), 2), round(float(np.std(seeds, ddof=1)), 2)
                row = {"name": name, "published": RECIPES["table1"].rows[name].published, "seeds": seeds}
                yield {**row, "mean": mean, "deviation": deviation, "group_seconds": round(outcomes[pipeline][0], 2)}


def equality(job: Job) -> Rows:
    """One training twice in this process: its digests, to compare with those of other processes, and its rate."""
    single = _training(job, "single", steps=job.sizes.equal_steps)
    population = _training(job, "population", members=job.sizes.crowds[-1], steps=job.sizes.variants)
    trainings = {each.name: each for each in (single, population)}
    programs = compiled({name: lower(own) for name, own in trainings.items()}, deadline=job.deadline)
    program = programs["single"]
    if not isinstance(program, str):
        digests = [_digest(_trained(program.run, initial_arguments(single, ordered=True))[1]) for _ in range(2)]
        yield {"name": "equality", "digests": digests, "equal_in_process": len(set(digests)) == 1}
    yield from measured(trainings, programs, repeats=job.sizes.repeats)


def _digest(params: Any) -> str:
    return hashlib.sha256(b"".join(np.asarray(leaf).tobytes() for leaf in jax.tree.leaves(params))).hexdigest()


def configurations(job: Job) -> Rows:
    """Precisions, cores, and pipelines on pictures, of which the pixels are noise: they say nothing of accuracy."""
    first, large = job.sizes.batches[0], job.sizes.batches[-3 if len(job.sizes.batches) > 2 else -1]
    cells = [(first, 1), (first, job.sizes.crowds[-1]), (large, 1)]
    trainings = []
    for precision, dtype in (("float32", "float32"), ("default", "float32"), ("default", "bfloat16")):
        learner = _learner(job, precision=dtype)
        for batch, members in cells:
            name = f"products {precision}, networks {dtype}, {members} x {batch}"
            described = {"dtype": "bfloat16"} if dtype == "bfloat16" else {}
            own = _training(job, name, batch, members, learner=learner, precision=precision)
            trainings.append(own._replace(described=described))
    for core in ("rnn", "lstm", "feedforward"):
        learner = _learner(job, core=core)
        for batch, members in cells[:2]:
            trainings.append(_training(job, f"{core}, {members} x {batch}", batch, members, learner=learner))
    data = _pictures(job.sizes.picture)
    for name, sizes in (("pixels", {}), ("kernels", {"kernels": 32})):
        pipeline = fx.PipelineConfig(**{"crop_size": 12, "scales": 3, **sizes, **job.sizes.small})
        learner = fx.make_learner(fx.standard_pipeline(data, pipeline), fx.LearningConfig(), steps=100_000)
        for batch, members in cells[::2]:
            own = _training(job, f"pictures, {name}, {members} x {batch}", batch, members, learner=learner)
            trainings.append(own._replace(data=data))
    yield from _measured(job, trainings)


def variants(job: Job) -> Rows:
    """Ways to write the step, on one training and on a population; the first is as it is."""
    lowered = dict(_varied(job, name, members) for name in VARIANTS for members in job.sizes.crowds)
    yield from _measured_programs(job, lowered)
    yield from _calls(job)


def _varied(job: Job, name: str, members: int) -> tuple[str, tuple[Training, Any]]:
    """A training of the default pipeline in one of the `VARIANTS`, and its program."""
    changes = VARIANTS[name]
    graph = fx.standard_pipeline(job.data, _resized(job, PRESETS["default"]).pipeline)
    graph = greedy(graph) if name == "without noise" else graph
    learner = fx.make_learner(graph, fx.LearningConfig(), steps=100_000)
    learner = learner._replace(init=_under(changes, learner.init), step=_under(changes, learner.step))
    title = ", ".join(filter(None, (job.run, name, str(members))))
    own = _training(job, title, members=members, steps=job.sizes.variants, learner=learner)
    own = own._replace(noise="unsafe_rbg" if name == "all" else name if "rbg" in name else own.noise)
    return own.name, (own, _under(changes, lower)(own))


def _under(changes: Changes, function: Callable[..., Any]) -> Callable[..., Any]:
    """The function, traced with functions of the library replaced."""

    def call(*arguments: Any) -> Any:
        with contextlib.ExitStack() as stack:
            for owner, attribute, value in changes:
                stack.enter_context(mock.patch.object(owner, attribute, value))
            return function(*arguments)

    return call


def _calls(job: Job) -> Rows:
    """The rate when a dispatch has fewer steps: what a call costs."""
    training = _training(job, "calls", steps=1000 if job.sizes.steps > 10 else 10)
    program = lower(training).compile()
    arguments = list(initial_arguments(training))
    for steps in (training.steps // 100 or 1, training.steps // 10, training.steps):
        count, calls = jax.device_put(np.int32(steps)), training.steps // steps

        def run(count: Any = count, calls: int = calls) -> None:
            metrics = None
            for _ in range(calls):
                arguments[0], metrics = program(arguments[0], count, *arguments[2:])
            jax.block_until_ready(metrics)

        seconds = statistics.median(in_turn({"": run}, repeats=job.sizes.repeats)[""])
        yield {"name": f"{steps} steps a call", "images_per_second": round(training.steps * training.batch / seconds)}


def flags(job: Job) -> Rows:
    """The default pipeline, and two variants, under the flags of XLA that the run is named for."""
    lowered = dict(_varied(job, name, members) for name in FLAGGED for members in job.sizes.crowds)
    yield from _measured_programs(job, lowered)


def profile(job: Job) -> Rows:
    """Where the time of a step goes, by `step_profile`."""
    file, batch = Path(__file__).with_name("step_profile.py"), str(job.sizes.batches[0])
    ended = subprocess.run([sys.executable, file, "--batch", batch], capture_output=True, text=True, check=False)
    failed = {"error": ended.stderr[-500:]} if ended.returncode else {}
    yield {"name": "profile", "lines": ended.stdout.splitlines(), **failed}


def _measured(job: Job, trainings: Sequence[Training]) -> Rows:
    return _measured_programs(job, {each.name: (each, lower(each)) for each in trainings})


def _measured_programs(job: Job, lowered: Mapping[str, tuple[Training, Any]]) -> Rows:
    programs = compiled({name: program for name, (_, program) in lowered.items()}, deadline=job.compiled_by)
    trainings = {name: training for name, (training, _) in lowered.items()}
    yield from measured(trainings, programs, repeats=job.sizes.repeats)


def _resized(job: Job, config: fx.TrainingConfig) -> fx.TrainingConfig:
    return dataclasses.replace(config, pipeline=dataclasses.replace(config.pipeline, **job.sizes.small))


def _learner(job: Job, **pipeline: Any) -> Learner:
    config = dataclasses.replace(_resized(job, PRESETS["default"]).pipeline, **pipeline)
    return fx.make_learner(fx.standard_pipeline(job.data, config), fx.LearningConfig(), steps=100_000)


def _ram_learner(job: Job) -> Learner:
    return fx.make_learner(ram_graph(job.data), RAM_LEARNING, steps=100_000)


def _training(
    job: Job, name: str, batch: int = 0, members: int = 1, *, steps: int = 0, learner: Learner | None = None,
    precision: str = "default",
) -> Training:  # fmt: skip
    """A training of the default pipeline, or of another learner."""
    batch = batch or job.sizes.batches[0]
    steps = steps or max(min(IMAGES_PER_DISPATCH // (batch * members), job.sizes.steps), 2)
    return Training(name, learner or _learner(job), job.data, batch, members, steps, precision)


def _trained(program: Any, arguments: tuple) -> tuple[float, Any]:
    """Seconds of a whole training, which is one dispatch, and its parameters."""
    jax.block_until_ready(arguments)
    began = time.perf_counter()
    state, metrics = program(*arguments)
    jax.block_until_ready((state, metrics))
    return time.perf_counter() - began, state.params


def _keys(seeds: Sequence[int]) -> jax.Array:
    return jnp.stack([jax.random.key(seed) for seed in seeds])


def _members(params: Any) -> list[Any]:
    """The parameters of each member."""
    params = jax.device_get(params)
    count = len(jax.tree.leaves(params)[0])
    return [jax.tree.map(lambda leaf, index=index: leaf[index], params) for index in range(count)]


def _pictures(side: int) -> fx.Data:
    """Colour pictures of noise, of a hundred classes."""
    noise = np.random.default_rng(0)
    image, label = noise.integers(256, size=(1024, side, side, 3), dtype=np.uint8), np.arange(1024) % 100
    return fx.from_arrays({"image": image, "label": label}, {"image": image[:100], "label": label[:100]}, classes=100)


def _select(made: Any, then: Callable[..., Any], otherwise: Callable[..., Any], *operands: Any) -> Any:
    """`jax.lax.cond` that computes both sides."""
    return jax.tree.map(functools.partial(jnp.where, made), then(*operands), otherwise(*operands))


def _fixed(learner: Any, render: Any, state: Any, count: Any, feed: Any, *others: Any) -> Any:
    """A dispatch of as many steps as its feed holds, known to the compiler."""
    return DISPATCH(learner, render, state, len(feed), feed, *others)


def _flat(*arguments: Any, **settings: Any) -> optax.GradientTransformation:
    """The optimiser on one vector of all parameters of a module, if it has any."""
    plain = OPTIMIZER(*arguments, **settings)
    flat = optax.flatten(plain)

    def chosen(tree: Any) -> optax.GradientTransformation:
        return flat if jax.tree.leaves(tree) else plain

    def update(updates: Any, state: Any, params: Any = None) -> Any:
        return chosen(updates).update(updates, state, params)

    return optax.GradientTransformation(lambda params: chosen(params).init(params), update)


def _one_hot_cross_entropy(logits: jax.Array, label: jax.Array) -> jax.Array:
    """Without a gather, whose gradient is a scatter, a kernel by itself."""
    return optax.losses.softmax_cross_entropy(logits, jax.nn.one_hot(label, logits.shape[-1]))


DISPATCH, OPTIMIZER = foveax.training.fit._dispatch, foveax.training.learner.make_optimizer
GLIMPSE_LOOP = (foveax.graph.compile, "UNROLL", 1)
FIXED = (foveax.training.fit, "_dispatch", _fixed)
UNROLLED = (jax.lax, "fori_loop", functools.partial(jax.lax.fori_loop, unroll=4))
SELECTED = (jax.lax, "cond", _select)
FLAT = (foveax.training.learner, "make_optimizer", _flat)
ONE_HOT = (optax.losses, "softmax_cross_entropy_with_integer_labels", _one_hot_cross_entropy)
NO_GAZE = (foveax.training.learner, "_gaze", lambda *arguments: {})
VARIANTS: dict[str, Changes] = {
    "as it is": (),
    "fixed number of steps": (FIXED,),
    "selected, not branched": (SELECTED,),
    "one vector of parameters": (FLAT,),
    "cross-entropy by one-hot labels": (ONE_HOT,),
    "glimpses in a loop": (GLIMPSE_LOOP,),
    "four steps a turn": (FIXED, UNROLLED),
    "without noise": (),
    "rbg": (),
    "unsafe_rbg": (),
    "without metrics of the gaze": (NO_GAZE,),
    "fixed, selected": (FIXED, SELECTED),
    "all": (FIXED, SELECTED, FLAT, ONE_HOT, NO_GAZE),
}
FLAGGED = ("as it is", "fixed number of steps", "fixed, selected")
DETERMINISTIC = "--xla_gpu_deterministic_ops=true"
COMMANDS = "FUSION,CUBLAS,CUBLASLT,CUSTOM_CALL,CUDNN,DYNAMIC_SLICE_FUSION,WHILE,CONDITIONAL"


class Part(NamedTuple):
    """A part: the most seconds that it may take, and its runs by name, each a process, with the flags of XLA.

    Parts that are not usual say what to change, and are run only where they are named.
    """

    function: Callable[[Job], Rows]
    seconds: float
    runs: Mapping[str, str] = types.MappingProxyType({"": ""})
    usual: bool = True


PARTS = {
    "card": Part(card, 70),
    "throughput": Part(throughput, 120),
    "peers": Part(peers, 150),
    "ram": Part(ram, 100),
    "populations": Part(populations, 140),
    "accuracy": Part(accuracy, 110),
    "table1": Part(table1, 150),
    "equality": Part(
        equality,
        140,
        {"plain": "", "deterministic": DETERMINISTIC, "plain, again": "", "deterministic, again": DETERMINISTIC},
    ),
    "flags": Part(
        flags,
        150,
        {
            "loops in command buffers": f"--xla_gpu_enable_command_buffer={COMMANDS}",
            "no command buffers": "--xla_gpu_enable_command_buffer=",
            "no autotuning": "--xla_gpu_autotune_level=0",
            "no Triton products": "--xla_gpu_enable_triton_gemm=false",
        },
        usual=False,
    ),
    "variants": Part(variants, 180, usual=False),
    "configurations": Part(configurations, 120),
    "profile": Part(profile, 60, usual=False),
}
"""In the order in which they are run."""
