"""The pipeline of a run: one of this package's, or one of the user's own, and its graph."""

import importlib
import inspect
from collections.abc import Mapping
from typing import Any

from foveax._types import InputError
from foveax.data.dataset import Data
from foveax.graph.freeze import freeze
from foveax.graph.graph import Graph
from foveax.modules.sources import steer
from foveax.pipelines.named import Build, Pipeline, describe_error, name_pipeline
from foveax.pipelines.standard import PipelineConfig
from foveax.runs.config import TrainingConfig
from foveax.runs.scanpaths import parse_source

STANDARD = "foveax.pipelines.standard:standard_pipeline"
STOCK = (
    STANDARD,
    "foveax.pipelines.perceptron:perceptron_pipeline",
    "foveax.pipelines.areas:areas_pipeline",
    "foveax.pipelines.predictive:predictive_pipeline",
)
"""Pipelines of this package: functions of the data and a `PipelineConfig`; a run of one needs no name to be loaded."""


def find_pipeline(config: TrainingConfig, pipeline: Build | Pipeline | None = None) -> Pipeline:
    """The pipeline of a training: one of the user's own or, without one, the standard pipeline.

    One of this package's takes the fields of the standard pipeline from the configuration.

    Raises `InputError` for what is no function, or next to one of the user's own a field of the standard pipeline.
    """
    if pipeline is None:
        return stock_pipeline(config, STANDARD, {})
    own = pipeline if isinstance(pipeline, Pipeline) else name_pipeline(pipeline)
    if own.function in STOCK and "config" not in own.arguments:
        return stock_pipeline(config, own.function, own.arguments)
    changed = [name for name, value in vars(config.pipeline).items() if value != getattr(PipelineConfig, name)]
    if own.function not in STOCK and changed:
        names = ", ".join(changed)
        raise InputError(f"fields of the standard pipeline must not be given next to one of your own; got {names}")
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
    """The graph of a training: its pipeline, with links added and removed, its eye steered, and layers frozen.

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
    graph = _steered(graph, config, data)
    return freeze(graph, *config.freeze) if config.freeze else graph


def _steered(graph: Graph, config: TrainingConfig, data: Data) -> Graph:
    """The graph under the source of fixations that the configuration names."""
    source = parse_source(config.fixations)
    graph = steer(graph, source.eye)
    if source.file is None:
        return graph
    given = data.inputs["fixations"]
    if given.shape[0] < graph.length - 1:
        came = f"{source.file.name} has {given.shape[0] + 1}"
        raise InputError(f"scanpaths must be of {graph.length} fixations at least; {came}")
    return graph.replace(inputs={**graph.inputs, "fixations": given})
