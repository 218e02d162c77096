"""The pipeline of a run: one of this package's, or one of the user's own, and its graph."""

import importlib
import inspect
from collections.abc import Mapping
from typing import Any

from foveax._types import InputError
from foveax.data.dataset import Data
from foveax.graph.freeze import freeze
from foveax.graph.graph import Graph
from foveax.pipelines.named import Build, Pipeline, describe_error, name_pipeline
from foveax.pipelines.standard import PipelineConfig
from foveax.runs.config import TrainingConfig

STANDARD = "foveax.pipelines.standard:standard_pipeline"
STOCK = (STANDARD, "foveax.pipelines.perceptron:perceptron_pipeline", "foveax.pipelines.areas:areas_pipeline")
"""Pipelines of this package: functions of the data and a `PipelineConfig`; a run of one needs no name to be loaded."""


def find_pipeline(config: TrainingConfig, pipeline: Build | Pipeline | None = None) -> Pipeline:
    """The pipeline of a training: one of the user's own or, without one, the standard pipeline.

    Raises `InputError` for what is no function, or next to one of the user's own a field of the standard pipeline.
    """
    if pipeline is None:
        return stock_pipeline(config, STANDARD, {})
    own = pipeline if isinstance(pipeline, Pipeline) else name_pipeline(pipeline)
    changed = [name for name, value in vars(config.pipeline).items() if value != getattr(PipelineConfig, name)]
    if own.function not in STOCK and changed:
        names = ", ".join(changed)
        raise InputError(f"fields of the standard pipeline must not be given next to one of your own; got {names}")
    if own.function in STOCK and "config" not in own.arguments:
        return stock_pipeline(config, own.function, own.arguments)  # its fields are the configuration's
    return own


def stock_pipeline(config: TrainingConfig, function: str, arguments: Mapping[str, Any]) -> Pipeline:
    """One of this package's pipelines, by its recorded name and arguments, which are refused if they do not fit."""
    module, _, name = function.partition(":")
    build = getattr(importlib.import_module(module), name)
    try:
        inspect.signature(build).bind(None, config.pipeline, **arguments)
    except TypeError as error:
        raise InputError(f"arguments of {function} must fit it: {error}") from None
    return Pipeline(function, dict(arguments), lambda data: build(data, config.pipeline, **arguments), "")


def build_graph(config: TrainingConfig, data: Data, pipeline: Build | Pipeline | None = None) -> Graph:
    """The graph of a training: its pipeline, with the configuration's links added and removed, and layers frozen.

    Args:
      config: of the training.
      data: prepared (`TrainingConfig.prepare`).
      pipeline: as in `foveax.train`.

    Raises:
      GraphError: if the data and the pipeline do not fit, or a link cannot be added or removed.
      InputError: if the pipeline gives no graph, or raises, or what is to be frozen is not there.

    Example:
      >>> import foveax as fx
      >>> config = fx.TrainingConfig(link=("classifier.encoder.what -> saccader.observation",))
      >>> graph = fx.build_graph(config, fx.load("mnist5k"))
      >>> str(graph.wiring.sources["saccader"]["observation"])
      'classifier.encoder.what'
    """
    own = find_pipeline(config, pipeline)
    try:
        graph = own.build(data)
    except Exception as error:
        if isinstance(error, InputError) or own.function in STOCK:
            raise
        raise InputError(f"pipeline must give a graph; {own.function} raised {describe_error(error)}") from error
    if not isinstance(graph, Graph):
        raise InputError(f"pipeline must give a foveax.Graph; {own.function} gave {type(graph).__name__}")
    graph = graph.unlink(*config.unlink)
    graph = graph.add(*config.link) if config.link else graph
    return freeze(graph, *config.freeze) if config.freeze else graph
