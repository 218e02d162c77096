"""Evaluation: the mode of the policy, one pass, and the table of its numbers."""

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextvars import ContextVar
from typing import Any, NamedTuple

import jax
import numpy as np

from foveax._arrays import check_count
from foveax._types import Batch, InputError, Key, Params
from foveax.analysis.scanpaths import refixation_rate, saccade_amplitudes
from foveax.data.dataset import SAMPLED_BYTES, Split, check_arrays
from foveax.data.mapped import take
from foveax.graph.compile import check_values, number
from foveax.graph.compile import compile as compile_graph
from foveax.graph.graph import Graph, Source, batch_size, parse_port
from foveax.graph.ports import describe
from foveax.graph.split import acting_ports

SHOWN_CLASSES = 10
"""Classes whose accuracy is printed, the worst first."""


class Evaluation(NamedTuple):
    """What a pipeline did with a split: NumPy arrays.

    Attributes:
      probabilities: ``[N, T, K]`` after each glimpse; None if the graph declares no belief.
      label: ``[N]`` int32; None if the graph declares no label.
      fixations: ``[N, T, 2]``, the gaze, as fractions of the image as it lies in memory, padding included; None if the
        graph declares none.
      tracks: ``[N, T, 2]`` by agent: where the places that it chose were at each glimpse, likewise.
      losses: ``[N, T]``, the weighted sum of the graph's losses.
      metrics: ``[N, T]`` by ``"module.port"``, the graph's declared metrics.
      extent: ``[N, 2]``, the share of each image that is picture; None if all of it is.
    """

    probabilities: np.ndarray | None
    label: np.ndarray | None
    fixations: np.ndarray | None
    tracks: dict[str, np.ndarray]
    losses: np.ndarray
    metrics: dict[str, np.ndarray]
    extent: np.ndarray | None = None

    def in_picture(self, places: np.ndarray) -> np.ndarray:
        """Places ``[N, ..., 2]`` of the images as fractions of their pictures, as eyes choose them."""
        if self.extent is None:
            return places
        return places / np.maximum(_along(self.extent, places), 1e-6)  # a picture may be a pixel wide

    @property
    def predicted(self) -> np.ndarray:
        """The most probable class after each glimpse, ``[N, T]`` int32; refused if the graph declares no belief."""
        if self.probabilities is None:
            raise InputError("the graph must declare a belief to have predictions; its roles name none")
        return self.probabilities.argmax(axis=-1).astype(np.int32)

    @property
    def score(self) -> np.ndarray:
        """What is compared between controls, ``[N, T]``: correct decisions or, without a belief, minus the losses."""
        if self.probabilities is None or self.label is None:
            return -self.losses
        return (self.predicted == self.label[:, None]).astype(np.float32)

    @property
    def accuracy(self) -> np.ndarray:
        """The mean score after each glimpse, ``[T]``: the share of correct decisions, if there is a belief."""
        return self.score.mean(axis=0, dtype=np.float64)


Evaluator = Callable[..., Evaluation]
"""``(params, split, key, hyperparameters=None) -> evaluation``; these take the place of the graph's own, by name."""


_watch: ContextVar[Callable[[int], Any]] = ContextVar("watch", default=lambda images: None)

Report = Callable[[str], None]
"""Called with what is done next, as a line."""


def silent(line: str) -> None:
    """Reports nothing."""


@contextlib.contextmanager
def watched(update: Callable[[int], Any]) -> Iterator[None]:
    """Calls `update` with the number of images whenever an evaluation, or a search, has shown some."""
    token = _watch.set(update)
    try:
        yield
    finally:
        _watch.reset(token)


def watch(images: int) -> None:
    """Tells who watches that images were shown."""
    _watch.get()(images)


def greedy(graph: Graph) -> Graph:
    """The same graph, whose agents take the mode of their policy instead of a sample."""
    modes = {name: module.agent.mode for name, module in graph.modules.items() if module.agent}
    modules = {name: graph.modules[name]._replace(apply=mode) for name, mode in modes.items()}
    return graph.replace(modules={**graph.modules, **modules})


def evaluate(graph: Graph, params: dict[str, Params], split: Split, *, key: Key, batch: int = 500) -> Evaluation:
    """Shows a split to a pipeline, once: the mode of its policies, one pass, no averaging.

    The split holds arrays with a leading ``[N]``, by the graph inputs that they feed; `batch` of them, or the number
    that takes 256 MB, are shown at a time. The graph's roles say what is evaluated.

    Raises:
      InputError: if the split lacks an input of the graph, is empty, or holds what `from_arrays` refuses or arrays of
        other shapes, dtypes or classes than the graph takes.

    Example:
      >>> import foveax as fx, jax
      >>> data = fx.load("mnist5k")
      >>> graph = fx.standard_pipeline(data, fx.PipelineConfig(hidden=16, features=16))
      >>> params = fx.init(graph, jax.random.key(0))
      >>> fx.evaluate(graph, params, data.test, key=jax.random.key(1)).fixations.shape
      (1000, 6, 2)
    """
    evaluator = make_evaluator(graph, batch=check_count("batch", batch))
    return evaluator(params, check_split(graph, split), key)


def check_split(graph: Graph, split: Batch, name: str = "split") -> Split:
    """The arrays of a split that a graph takes, as it takes them; an `InputError` if they are others (`evaluate`)."""
    batch_size(graph, split, name)
    roles = graph.roles
    belief = parse_port(roles.belief) if roles.belief and roles.label == "input.label" else None
    classes = graph.wiring.outputs[belief.module][belief.port].shape[-1] if belief else None
    arrays = check_arrays(name, {each: split[each] for each in graph.inputs}, classes=classes)
    one = {each: jax.ShapeDtypeStruct(array.shape[1:], array.dtype) for each, array in arrays.items()}
    check_values(name, one, graph.inputs)
    return arrays


def make_evaluator(graph: Graph, *, batch: int = 500, tracks: Mapping[str, Source] | None = None) -> Evaluator:
    """`evaluate` for a graph, compiled once for many calls; tracks are by default those of its own agents.

    Arrays of up to 256 MB stay on the device as long as the next call shows the same ones, which must not be changed.
    """
    if tracks is None:
        tracks = {name: port for name in graph.agents if (port := track(graph, name))}
    roles = graph.roles
    gaze = f"memory.{roles.gaze}" if roles.gaze else ""
    ports = {roles.belief, roles.label, roles.extent, gaze, *map(str, tracks.values())}
    ports |= {*map(str, (*graph.losses, *graph.metrics))}
    compiled = compile_graph(greedy(graph), sorted(ports - {""}))
    rollout = jax.jit(jax.vmap(compiled, in_axes=(None, 0, 0, None, None)))
    place = _resident_blocks()

    def evaluator(
        params: dict[str, Params], split: Batch, key: Key, hyperparameters: Mapping[str, Any] | None = None
    ) -> Evaluation:
        hyper = {**graph.hyperparameters, **(hyperparameters or {})}
        size = batch_size(graph, split, "split")
        keys = jax.random.split(key, size)
        at_once = min(batch, max(SAMPLED_BYTES // sum(split[name][:1].nbytes for name in graph.inputs), 1))
        parts = []
        for start in range(0, size, at_once):
            rows = np.minimum(np.arange(start, start + at_once), size - 1)
            inputs = {name: place(name, split[name], start, at_once) for name in graph.inputs}
            parts.append(jax.tree.map(np.asarray, rollout(params, inputs, keys[rows], 1.0, hyper)))
            watch(min(at_once, size - start))
        recorded = jax.tree.map(lambda *arrays: np.concatenate(arrays)[:size], *parts)

        def read(port: str | Source) -> Any:
            source = parse_port(str(port))
            return recorded[source.module][source.port] if source.module else None

        label, extent = read(roles.label), read(roles.extent)
        extent = None if extent is None else extent[:, 0]

        def in_image(places: Any) -> Any:
            return places if extent is None or places is None else places * _along(extent, places)

        weighted = (float(number(loss.weight, hyper)) * read(source) for source, loss in graph.losses.items())
        return Evaluation(
            probabilities=read(roles.belief),
            label=None if label is None else label[:, 0],
            fixations=in_image(read(gaze)),
            tracks={name: in_image(_places(source, read(source))) for name, source in tracks.items()},
            losses=sum(weighted, start=np.zeros((size, graph.length), np.float32)),
            metrics={str(source): read(source).astype(np.float32) for source in graph.metrics},
            extent=extent,
        )

    return evaluator


def _resident_blocks() -> Callable[[str, Any, int, int], Any]:
    """``(name, array, start, at_once) -> block``: rows on the device, where arrays of up to 256 MB stay.

    Another array of the name, or another number at once, takes the place of what was there.
    """
    resident: dict[str, tuple[Any, int, dict[int, Any]]] = {}

    def place(name: str, array: Any, start: int, at_once: int) -> Any:
        rows = np.minimum(np.arange(start, start + at_once), len(array) - 1)  # the last is filled with its last row
        if array.nbytes > SAMPLED_BYTES:
            return take(array, rows)
        if name not in resident or resident[name][0] is not array or resident[name][1] != at_once:
            resident[name] = (array, at_once, {})
        blocks = resident[name][2]
        if start not in blocks:
            blocks[start] = jax.device_put(take(array, rows))
        return blocks[start]

    return place


def track(graph: Graph, agent: str) -> Source | None:
    """Where an agent's places can be read: the memory that it writes, else its port; None if it chooses no place."""
    port = place_port(graph, agent)
    memories = [name for name, source in graph.wiring.writes.items() if source == port]
    return Source("memory", memories[0]) if memories else port


def place_port(graph: Graph, agent: str) -> Source | None:
    """The one port by which an agent acts that gives a place, float32 ``[2]``; None if there is none, or several."""
    kinds = {port: describe(graph.wiring.outputs[agent][port.port]) for port in acting_ports(graph, (agent,))}
    places = [port for port, kind in kinds.items() if kind == "float32[2]"]
    return places[0] if len(places) == 1 else None


def as_arrays(evaluation: Evaluation) -> dict[str, np.ndarray]:
    """An evaluation as arrays by name, without what the graph does not declare."""
    arrays = {name: getattr(evaluation, name) for name in ("probabilities", "label", "fixations", "losses")}
    if evaluation.probabilities is not None:
        arrays["predicted"] = evaluation.predicted
    arrays |= {f"track_{name}": places for name, places in evaluation.tracks.items()} | evaluation.metrics
    return {name: array for name, array in arrays.items() if array is not None}


def sample_scanpaths(graph: Graph, params: dict[str, Params], split: Split, *, key: Key, passes: int) -> np.ndarray:
    """Scanpaths of policies that are sampled, as in training, not taken at their mode: ``[O, N, T, 2]``, O passes.

    The graph must declare a gaze; the split, as in `evaluate`, is shown all at once.
    """
    gaze = graph.roles.gaze
    if not gaze:
        raise InputError("the graph must declare a gaze (Roles) to have scanpaths; its roles name none")
    extent = parse_port(graph.roles.extent) if graph.roles.extent else None
    ports = [f"memory.{gaze}", *([graph.roles.extent] if extent else [])]
    rollout = jax.jit(jax.vmap(compile_graph(graph, ports), in_axes=(None, 0, 0)))
    inputs = check_split(graph, split)
    keys = jax.random.split(key, check_count("passes", passes))
    size = batch_size(graph, inputs, "split")
    scanpaths = [rollout(params, inputs, jax.random.split(once, size)) for once in keys]
    fixations = np.stack([np.asarray(trajectory["memory"][gaze]) for trajectory in scanpaths])
    return fixations * np.asarray(scanpaths[0][extent.module][extent.port])[None] if extent else fixations


def scores(evaluation: Evaluation, *, height: int, width: int) -> dict[str, Any]:
    """The numbers of an evaluation's table, on images of some height and width in pixels.

    They are ``accuracy`` (T mean scores), ``amplitude`` (mean, in pixels; None where there are no saccades) and
    ``refixation`` (share within 3 pixels of an earlier fixation; likewise).
    """
    fixations, sides = evaluation.fixations, {"height": height, "width": width}
    row = {"accuracy": evaluation.accuracy.tolist(), "amplitude": None, "refixation": None}
    if fixations is None or fixations.shape[1] == 1:
        return row
    amplitude = float(saccade_amplitudes(fixations, **sides).mean())
    return {**row, "amplitude": amplitude, "refixation": refixation_rate(fixations, **sides)}


def class_balance(evaluation: Evaluation, train_label: np.ndarray, names: Sequence[str] = ()) -> dict[str, Any] | None:
    """How far the last decisions are from naming the most frequent class; None without decisions.

    ``majority`` is the share of labels that are the training labels' most frequent one, ``balanced`` the mean over the
    classes of the share of each that is decided rightly. Where these are not of one size, ``classes`` holds that share
    by the class's name or, without names, its number.

    Example:
      >>> label = np.array([0, 0, 0, 1])
      >>> probabilities = np.tile([[[0.9, 0.1]]], (4, 1, 1))
      >>> none = np.zeros((4, 1))
      >>> class_balance(Evaluation(probabilities, label, None, {}, none, {}), label)
      {'majority': 0.75, 'balanced': 0.5, 'classes': {'0': 1.0, '1': 0.0}}
    """
    if evaluation.probabilities is None or evaluation.label is None:
        return None
    label = evaluation.label
    right = evaluation.predicted[:, -1] == label
    present, counts = np.unique(label, return_counts=True)
    rates = np.bincount(label, weights=right)[present] / counts
    majority = float((label == np.bincount(train_label).argmax()).mean())
    balance: dict[str, Any] = {"majority": majority, "balanced": float(rates.mean())}
    if counts.min() == counts.max():
        return balance
    called = [names[number] if names else str(number) for number in present]
    return {**balance, "classes": dict(zip(called, rates.tolist(), strict=True))}


def format_balance(balance: Mapping[str, Any]) -> str:
    """`class_balance` in %, the classes that are decided worst first."""
    majority, balanced = (100 * balance[name] for name in ("majority", "balanced"))
    line = f"the most frequent class alone {majority:.2f}; accuracy balanced over classes {balanced:.2f}"
    worst = sorted(balance.get("classes", {}).items(), key=lambda pair: pair[1])
    shown = ", ".join(f"{name} {100 * rate:.2f}" for name, rate in worst[:SHOWN_CLASSES])
    more = f", and {len(worst) - SHOWN_CLASSES} more" if len(worst) > SHOWN_CLASSES else ""
    return f"{line}\naccuracy by class: {shown}{more}" if worst else line


def format_table(rows: Mapping[str, Mapping[str, Any]], title: str = "test accuracy (%)") -> str:
    """A table of `scores`, a row each, as text."""
    glimpses = len(next(iter(rows.values()))["accuracy"])
    columns = range(max(glimpses - 10, 0), glimpses)
    wide = max(len(title), *map(len, rows)) + 1
    header = f"{title:<{wide}}" + "".join(f"{f'glimpse {index + 1}':>12}" for index in columns)
    lines = [f"{header}{'amplitude':>12}{'refixation':>12}"]
    for name, row in rows.items():
        accuracy = "".join(f"{100 * row['accuracy'][index]:>12.2f}" for index in columns)
        amplitude = "-" if row["amplitude"] is None else f"{row['amplitude']:.1f} px"
        refixation = "-" if row["refixation"] is None else f"{100 * row['refixation']:.0f} %"
        lines.append(f"{name:<{wide}}{accuracy}{amplitude:>12}{refixation:>12}")
    return "\n".join(lines)


def table_title(evaluation: Evaluation) -> str:
    """What the scores of an evaluation are."""
    decides = evaluation.probabilities is not None and evaluation.label is not None
    return "test accuracy (%)" if decides else "-100 x test loss"


def _along(extent: np.ndarray, places: np.ndarray) -> np.ndarray:
    """Extents ``[N, 2]`` in the shape of places ``[N, ..., 2]``."""
    return extent.reshape(len(extent), *(1,) * (places.ndim - 2), 2)


def _places(source: Source, values: np.ndarray) -> np.ndarray:
    """Places at each glimpse ``[N, T, 2]``; an action's, which is of the glimpse after it, one glimpse later."""
    return values if source.module == "memory" else np.concatenate([values[:, :1], values[:, :-1]], axis=1)
