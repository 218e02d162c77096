"""How well a network predicts its next glimpse, next to what needs no network."""

import jax
import jax.numpy as jnp
import numpy as np

from foveax._types import InputError, Key, Params
from foveax.analysis.bootstrap import Interval, bootstrap_mean
from foveax.data.dataset import Data, Split
from foveax.evaluation.evaluate import check_split, greedy
from foveax.graph.compile import compile as compile_graph
from foveax.graph.graph import Graph

PREDICTED_IMAGES = 2_000
"""Images on which predictions are judged, and of which the mean glimpse is, at most."""


def prediction_errors(graph: Graph, params: dict[str, Params], data: Data, *, key: Key) -> dict[str, Interval]:
    """The mean squared error of predicting what glimpses after the first show, on test images, with its interval.

    Args:
      graph: of `foveax.pipelines.predictive_pipeline`: modules ``target`` and ``memory.expected``.
      params: of its modules.
      data: prepared; the mean glimpse is that of training images under the same eye.
      key: of whatever is drawn at random.

    Returns:
      by name: ``"prediction"``; ``"this glimpse"``, if the next one looks like the present one; ``"mean glimpse"``.

    Raises:
      InputError: if the graph predicts nothing.

    Example:
      >>> import foveax as fx
      >>> from foveax.pipelines import predictive_pipeline
      >>> data = fx.load("mnist5k")
      >>> graph = predictive_pipeline(data, fx.PipelineConfig(glimpses=2, hidden=8, features=8))
      >>> errors = prediction_errors(graph, fx.init(graph, jax.random.key(0)), data, key=jax.random.key(1))
      >>> list(errors)
      ['prediction', 'this glimpse', 'mean glimpse']
    """
    if "target" not in graph.modules or "expected" not in graph.memory:
        raise InputError("a graph must have a module target and a memory expected to be judged by its predictions")
    test_key, train_key, sample_key = jax.random.split(key, 3)
    rollout = jax.jit(jax.vmap(compile_graph(greedy(graph), ["target.output", "memory.expected"]), (None, 0, 0)))

    def shown(split: Split, rollout_key: Key) -> tuple[np.ndarray, np.ndarray]:
        """What was to be predicted at each glimpse after the first, and the predictions, ``[N, T - 1, D]``."""
        size = len(next(iter(split.values())))
        values = rollout(params, split, jax.random.split(rollout_key, size))
        both = values["target"]["output"].astype(jnp.float32), values["memory"]["expected"]
        return tuple(np.asarray(value).reshape(size, graph.length, -1) for value in both)  # pyright: ignore

    test = check_split(graph, {name: array[:PREDICTED_IMAGES] for name, array in data.test.items()})
    glimpses, expected = shown(test, test_key)
    sample = check_split(graph, data.sample(sample_key, PREDICTED_IMAGES))
    mean = shown(sample, train_key)[0][:, 1:].mean((0, 1))
    later = glimpses[:, 1:]
    predictions = {"prediction": expected[:, 1:], "this glimpse": glimpses[:, :-1], "mean glimpse": mean[None, None]}
    return {name: bootstrap_mean(((later - guess) ** 2).mean((1, 2))) for name, guess in predictions.items()}
