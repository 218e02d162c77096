"""Evaluation: mean action, one pass, and the table of its numbers."""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np

from foveax._types import Batch, Key, Params
from foveax.analysis.scanpaths import refixation_rate, saccade_amplitudes
from foveax.data.dataset import SAMPLED_BYTES, Split
from foveax.data.mapped import take
from foveax.graph import compile as compile_graph
from foveax.graph.graph import Graph


class Evaluation(NamedTuple):
    """What a pipeline did with a split: NumPy arrays.

    Attributes:
      probabilities: ``[N, T, K]`` after each glimpse.
      predicted: ``[N, T]`` int32.
      label: ``[N]`` int32.
      fixations: ``[N, T, 2]``.
    """

    probabilities: np.ndarray
    predicted: np.ndarray
    label: np.ndarray
    fixations: np.ndarray

    @property
    def accuracy(self) -> np.ndarray:
        """Share of correct decisions after each glimpse, ``[T]``."""
        return (self.predicted == self.label[:, None]).mean(axis=0)


Evaluator = Callable[[dict[str, Params], Batch, Key], Evaluation]
"""``(params, split, key) -> evaluation``."""


def greedy(graph: Graph) -> Graph:
    """The same graph, whose agents take their policy's most usual action instead of a sample."""
    modules = graph.modules.items()
    return graph.add(**{name: module._replace(apply=module.agent.mode) for name, module in modules if module.agent})


def evaluate(graph: Graph, params: dict[str, Params], split: Split, *, key: Key, batch: int = 500) -> Evaluation:
    """Shows a split to a pipeline, once: mean action, one pass, no averaging.

    Args:
      graph: with the modules ``retina`` (port ``fixation``) and ``classifier`` (`foveax.classifier`).
      params: by module.
      split: arrays with a leading ``[N]``, by the graph inputs that they feed.
      key: of the random policies.
      batch: examples at a time, or as many as take 256 MB.

    Example:
      >>> import foveax as fx, jax
      >>> data = fx.load("mnist5k")
      >>> graph = fx.standard_pipeline(fx.Model(hidden=16, features=16), data.inputs, classes=data.classes)
      >>> params = fx.init(graph, jax.random.key(0))
      >>> fx.evaluate(graph, params, data.test, key=jax.random.key(1)).fixations.shape
      (1000, 6, 2)
    """
    return make_evaluator(graph, batch=batch)(params, split, key)


@functools.lru_cache(maxsize=8)
def make_evaluator(graph: Graph, *, batch: int = 500) -> Evaluator:
    """`evaluate` for a graph, compiled once for many calls; the latest are kept."""
    ports = ("classifier.probabilities", "classifier.predicted", "classifier.label", "retina.fixation")
    rollout = jax.jit(jax.vmap(compile_graph(greedy(graph), ports), in_axes=(None, 0, 0)))

    def evaluator(params: dict[str, Params], split: Batch, key: Key) -> Evaluation:
        size = len(split["label"])
        keys = jax.random.split(key, size)
        at_once = min(batch, max(SAMPLED_BYTES // sum(array[:1].nbytes for array in split.values()), 1))
        parts = []
        for start in range(0, size, at_once):
            rows = np.minimum(np.arange(start, start + at_once), size - 1)  # the last is filled with its last row
            inputs: dict[str, Any] = {name: take(array, rows) for name, array in split.items()}
            inputs["progress"] = np.ones(at_once, np.float32)
            trajectory = rollout(params, {name: inputs[name] for name in graph.inputs}, keys[rows])
            parts.append({port: np.asarray(value) for port, value in trajectory.items()})
        probabilities, predicted, label, fixations = (
            np.concatenate([part[port] for part in parts])[:size] for port in ports
        )
        return Evaluation(probabilities, predicted, label[:, 0], fixations)

    return evaluator


def sample_scanpaths(graph: Graph, params: dict[str, Params], split: Split, *, key: Key, passes: int) -> np.ndarray:
    """Scanpaths of a policy that is sampled, as in training, not taken at its mean: ``[O, N, T, 2]``, O passes.

    Args:
      graph: with the module ``retina`` (port ``fixation``).
      params: by module.
      split: arrays with a leading ``[N]``, by the graph inputs that they feed; all shown at once.
      key: of the passes.
      passes: O.
    """
    rollout = jax.jit(jax.vmap(compile_graph(graph, ["retina.fixation"]), in_axes=(None, 0, 0)))
    size = len(split["label"])
    inputs = {**split, "progress": np.ones(size, np.float32)}
    shown = {name: inputs[name] for name in graph.inputs}
    seen = [rollout(params, shown, jax.random.split(once, size)) for once in jax.random.split(key, passes)]
    return np.stack([np.asarray(trajectory["retina.fixation"]) for trajectory in seen])


def scores(evaluation: Evaluation, *, height: int, width: int) -> dict[str, Any]:
    """The numbers of an evaluation's table: accuracy after each glimpse, saccade amplitude and refixation rate.

    Args:
      evaluation: of N examples.
      height: of the images in pixels.
      width: of the images in pixels.

    Returns:
      ``accuracy`` (T shares), ``amplitude`` (mean, in pixels; None where there are no saccades) and ``refixation``
      (share within 3 pixels of an earlier fixation; likewise).
    """
    amplitudes = saccade_amplitudes(evaluation.fixations, height=height, width=width)
    moves = amplitudes.size > 0
    return {
        "accuracy": [float(share) for share in evaluation.accuracy],
        "amplitude": float(amplitudes.mean()) if moves else None,
        "refixation": refixation_rate(evaluation.fixations, height=height, width=width) if moves else None,
    }


def format_table(rows: dict[str, dict[str, Any]]) -> str:
    """A table of `scores`, a row each, as text."""
    glimpses = len(next(iter(rows.values()))["accuracy"])
    shown = range(glimpses) if glimpses <= 10 else range(glimpses - 10, glimpses)
    header = f"{'test accuracy (%)':<18}" + "".join(f"{f'glimpse {index + 1}':>12}" for index in shown)
    lines = [f"{header}{'amplitude':>12}{'refixation':>12}"]
    for name, row in rows.items():
        accuracy = "".join(f"{100 * row['accuracy'][index]:>12.2f}" for index in shown)
        amplitude = "-" if row["amplitude"] is None else f"{row['amplitude']:.1f} px"
        refixation = "-" if row["refixation"] is None else f"{100 * row['refixation']:.0f} %"
        lines.append(f"{name:<18}{accuracy}{amplitude:>12}{refixation:>12}")
    return "\n".join(lines)
