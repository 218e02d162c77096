"""A run where foveax is not installed: one function as StableHLO, and its parameters as safetensors."""

import jax
import jax.export
import jax.numpy as jnp
import numpy as np

from foveax._types import Array, InputError
from foveax.evaluation.evaluate import greedy
from foveax.graph.compile import compile as compile_graph
from foveax.graph.graph import Graph, Source, parse_port
from foveax.pipelines.named import describe_error
from foveax.runs.load import LoadedRun, image_input
from foveax.runtime.machine import import_extra

PLATFORMS = ("cpu", "cuda")
"""Devices that an exported function can be called on."""


def export_function(run: LoadedRun) -> jax.export.Exported:
    """What `LoadedRun.predict` computes, as a function of its own: `serialize` makes it the bytes of a file.

    `jax.export.deserialize` reads them where JAX and flatbuffers are installed, on a processor or a GPU. Its `call`
    takes images ``[N, H, W, C]``, float32 in [0, 1], which it does not check, and gives a dictionary of
    ``probabilities`` ``[N, T, K]`` and ``fixations`` ``[N, T, 2]``, fractions of the image, each if the graph declares
    it. N is free; where the pipeline's own code must know it, it is 1.

    Raises `InputError` if the graph takes more than an image and a label, declares neither output, or cannot be
    exported; and without the package flatbuffers, which the extra ``export`` installs.

    Example:
      >>> import foveax as fx, jax
      >>> from foveax.runs.export import export_function, export_params
      >>> config = fx.TrainingConfig(pipeline=fx.PipelineConfig(glimpses=2, hidden=8, features=8))
      >>> data = fx.load("mnist5k")
      >>> graph = fx.standard_pipeline(data, config.pipeline)
      >>> params = fx.init(graph, jax.random.key(0))
      >>> run = fx.LoadedRun(None, config, data, graph, params, "")  # as fx.load_run gives it
      >>> function = jax.export.deserialize(export_function(run).serialize())
      >>> function.call(np.zeros((3, 28, 28, 1), np.float32))["probabilities"].shape
      (3, 2, 10)
      >>> from safetensors.numpy import load
      >>> load(export_params(run))["classifier.params.readout.kernel"].shape
      (8, 10)
    """
    import_extra("flatbuffers", "export", "StableHLO")
    image, outputs = image_input(run.graph, "be exported"), _outputs(run.graph)
    rollout = jax.vmap(compile_graph(greedy(run.graph), [str(port) for port in outputs.values()]), (None, 0, 0))

    def predict(images: Array) -> dict[str, Array]:
        size = images.shape[0]
        images = jnp.round(255 * images).astype(image.dtype) if image.dtype == np.uint8 else images
        inputs = {"image": images, "label": jnp.zeros(size, jnp.int32)}
        trajectory = rollout(run.params, inputs, jax.random.split(jax.random.key(run.config.seed), size))
        return {name: trajectory[port.module][port.port] for name, port in outputs.items()}

    export = jax.export.export(jax.jit(predict), platforms=PLATFORMS)
    try:
        return export(jax.ShapeDtypeStruct((*jax.export.symbolic_shape("N"), *image.shape), jnp.float32))
    except Exception:  # noqa: BLE001 - a module that must know N raises anything
        pass
    try:
        return export(jax.ShapeDtypeStruct((1, *image.shape), jnp.float32))
    except Exception as error:
        raise InputError(f"a pipeline must be one that JAX can export; it raised {describe_error(error)}") from error


def export_params(run: LoadedRun) -> bytes:
    """The parameters as a file of safetensors, under their paths: ``"classifier.params.readout.kernel"``.

    Raises `InputError` without the package safetensors, which the extra ``export`` installs.
    """
    safetensors = import_extra("safetensors.numpy", "export", "safetensors")
    leaves = jax.tree_util.tree_leaves_with_path(run.params)
    names = [jax.tree_util.keystr(path, simple=True, separator=".") for path, _ in leaves]
    return safetensors.save({name: np.asarray(leaf) for name, (_, leaf) in zip(names, leaves, strict=True)})


def _outputs(graph: Graph) -> dict[str, Source]:
    """The ports that are given, by the names of a `Prediction`."""
    gaze = graph.roles.gaze and f"memory.{graph.roles.gaze}"
    ports = {"probabilities": graph.roles.belief, "fixations": gaze}
    if not any(ports.values()):
        raise InputError("a graph must declare a belief or a gaze to be exported; this declares neither")
    return {name: parse_port(str(port)) for name, port in ports.items() if port}
