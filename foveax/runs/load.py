"""Loading a run: its configuration, data, graph and newest parameters."""

from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from foveax._types import InputError, Params
from foveax.data.dataset import Data, check_image
from foveax.data.fingerprint import fingerprint as data_fingerprint
from foveax.data.folder import without_padding
from foveax.evaluation.evaluate import evaluate
from foveax.graph.graph import Graph, init
from foveax.graph.ports import GraphError
from foveax.pipelines.named import Build, Pipeline
from foveax.runs.checkpoint import Checkpoints
from foveax.runs.config import TrainingConfig
from foveax.runs.directory import RunRecord, check_data, check_pipeline, data_difference, read_single_run
from foveax.runs.pipeline import STOCK, build_graph, find_pipeline, stock_pipeline
from foveax.runs.train import describe_pipeline


class Prediction(NamedTuple):
    """What a run makes of images.

    Attributes:
      probabilities: of the classes after each glimpse, ``[N, T, K]``; None if the graph declares no belief.
      fixations: ``[N, T, 2]``, as fractions of the image; None if it declares no gaze.
    """

    probabilities: np.ndarray | None
    fixations: np.ndarray | None


class LoadedRun(NamedTuple):
    """A run as it lies in its directory.

    Attributes:
      data: prepared: those of the training, or those that it is judged on.
      params: by module, of the newest whole checkpoint, or of the best validation (`TrainingConfig.keep`).
      judged_on: the name of the data if they are not those of the training; empty if they are.
    """

    path: Path
    config: TrainingConfig
    data: Data
    graph: Graph
    params: dict[str, Params]
    judged_on: str

    def predict(self, images: Any, extent: Any = None) -> Prediction:
        """What the run sees and decides in images ``[N, H, W, C]``, in a pass of the policy's mode; they need no label.

        Of images that are padded, the extent ``[N, 2]`` says which share is picture, along x and y; by default all.

        Raises `InputError` if they are not of the shape of the run's, uint8 or floats in [0, 1], or the graph takes
        more than an image and a label.

        Example:
          >>> import foveax as fx, tempfile
          >>> config = fx.TrainingConfig(images=64, pipeline=fx.PipelineConfig(hidden=8, features=8))
          >>> with tempfile.TemporaryDirectory() as folder:
          ...     result = fx.train(config, out=f"{folder}/run", evaluate=False)
          ...     run = fx.load_run(f"{folder}/run")
          >>> run.predict(run.data.test["image"][:2]).probabilities.shape
          (2, 6, 10)
        """
        image, spec = check_image("images", images), image_input(self.graph, "predict", "extent")
        if image.shape[1:] != spec.shape:
            raise InputError(f"images must be of the shape {list(spec.shape)}; got {list(image.shape[1:])}")
        if image.dtype != spec.dtype:
            image = (np.round(255 * image) if spec.dtype == np.uint8 else image / 255).astype(spec.dtype)
        whole = np.ones((len(image), 2), np.float32)
        given = {"image": image, "label": np.zeros(len(image), np.int32), "extent": whole if extent is None else extent}
        split = {name: given[name] for name in self.graph.inputs}
        shown = evaluate(self.graph, self.params, split, key=jax.random.key(self.config.seed))
        return Prediction(shown.probabilities, shown.fixations)


def image_input(graph: Graph, purpose: str, *others: str) -> jax.ShapeDtypeStruct:
    """The image that a graph takes; refuses, with an `InputError`, one that takes more than it, a label and others."""
    if "image" not in graph.inputs or not graph.inputs.keys() <= {"image", "label", *others}:
        taken = ", ".join(graph.inputs)
        raise InputError(f"a graph must take images, and no more than a label, to {purpose}; this takes {taken}")
    return graph.inputs["image"]


def load_run(
    directory: str | Path,
    data: Data | None = None,
    *,
    new_data: Data | str | None = None,
    pipeline: Build | Pipeline | None = None,
    data_dir: str | Path | None = None,
) -> LoadedRun:
    """Loads a run, with the data and the pipeline that it was trained with.

    No code of the directory is executed: a pipeline of your own is given again, and compared with the one recorded. Of
    checkpoints that are damaged, it warns, and takes the newest whole one.

    Args:
      directory: of the run.
      data: those it was trained on, where they were arrays given in Python; by default those that the configuration
        names. Any others are refused.
      new_data: another set to judge the run on: data, or what `foveax.load` takes. Its images must be of the same shape
        and dtype; its test split is shown as the run's was, on a canvas if there was one.
      pipeline: ``(data) -> graph``, if the run has a pipeline that is none of foveax's own.
      data_dir: where TFDS sets lie; by default ``$TFDS_DATA_DIR``, or ``~/tensorflow_datasets``.

    Raises:
      InputError: if it is no run directory, holds links, holds no whole checkpoint, its data are not there or have
        changed, or its pipeline is not given or is another one.

    Example:
      >>> import foveax as fx, tempfile
      >>> config = fx.TrainingConfig(images=64, pipeline=fx.PipelineConfig(hidden=8, features=8))
      >>> with tempfile.TemporaryDirectory() as folder:
      ...     result = fx.train(config, out=f"{folder}/run", evaluate=False)
      ...     run = fx.load_run(f"{folder}/run")
      >>> run.config == config, list(run.params) == list(result.params)
      (True, True)
    """
    path = Path(directory).expanduser()
    record = read_single_run(path)
    found = run_pipeline(path, record, pipeline)
    own, judged_on = _data(path, record, data, new_data, data_dir)
    graph = run_graph(path, record, found, own, judged=bool(judged_on))
    like = jax.eval_shape(lambda: init(graph, jax.random.key(0)))
    with Checkpoints(path / "checkpoints", record.identity) as checkpoints:
        params = checkpoints.restore_params(like, keep=record.config.keep)
    return LoadedRun(path, record.config, own, graph, params, judged_on)


def run_pipeline(path: Path, record: RunRecord, pipeline: Build | Pipeline | None) -> Pipeline:
    """The pipeline of a run: one of this package's by its recorded name, else the one that must be given again."""
    if pipeline is not None:
        return find_pipeline(record.config, pipeline)
    function = record.pipeline["function"]
    if function not in STOCK:
        raise InputError(
            f"pipeline must be given again, since no code is taken from a run directory: {path} was trained with "
            f"{function}; name it with --pipeline, or in Python with pipeline=..."
        )
    return stock_pipeline(record.config, function, record.pipeline["arguments"])


def run_data(path: Path, record: RunRecord, data: Data | None, data_dir: str | Path | None = None) -> Data:
    """The data that a run was trained on, not yet prepared: given, or loaded by the name in its configuration."""
    if data is not None:
        data = record.config.follow_scanpaths(data)
        check_data(path, record.data, data_fingerprint(data))
        return data
    try:
        data = record.config.follow_scanpaths(record.config.load(data_dir=data_dir))
    except InputError as error:
        raise InputError(f"{error}; --data names where the data of run {path} are now") from None
    try:
        check_data(path, record.data, data_fingerprint(data))
    except InputError as error:
        raise InputError(
            f"{error}; those named {record.config.data!r} are others: give arrays with load_run(path, data=...), or a "
            "set to judge the run on with --data"
        ) from None
    return data


def run_graph(path: Path, record: RunRecord, pipeline: Pipeline, data: Data, *, judged: bool = False) -> Graph:
    """The graph of a run on prepared data, its own or others to judge it on, compared with the one recorded."""
    graph = build_graph(record.config, data, pipeline)
    described = describe_pipeline(pipeline, graph)
    theirs, ours = record.pipeline["graph"].get("inputs"), described["graph"]["inputs"]
    if judged and theirs != ours:
        raise GraphError(f"data to judge run {path} on must have its inputs, {theirs}; they have {ours}")
    check_pipeline(path, record.pipeline, described)
    return graph


def _data(
    path: Path, record: RunRecord, data: Data | None, new_data: Data | str | None, data_dir: str | Path | None
) -> tuple[Data, str]:
    """The prepared data, and their name if they are not those of the run."""
    if new_data is None:
        return record.config.prepare(run_data(path, record, data, data_dir)), ""
    like = record.data["train"]["image"][1][1:]
    other = record.config.load(new_data, data_dir=data_dir, like=like) if isinstance(new_data, str) else new_data
    if "extent" in record.data["train"] and "extent" not in other.test:
        other = without_padding(other)
    if data_difference(record.data, data_fingerprint(other)) is None:
        return record.config.prepare(other), ""
    classes, name = record.data["classes"], new_data if isinstance(new_data, str) else "arrays given in Python"
    if other.classes > classes:
        raise InputError(f"data to judge run {path} on must have at most its {classes} classes; got {other.classes}")
    names = tuple(record.data.get("names", ()))
    for number, (there, here) in enumerate(zip(names, other.names, strict=False)):
        if there != here:
            which = f"class {number} is {there!r:.60} there, {here!r:.60} here"
            raise InputError(f"data to judge run {path} on must call its classes by the same names: {which}")
    names = names or (other.names if other.classes == classes else ())
    return record.config.prepare_test(other._replace(classes=classes, names=names)), name
