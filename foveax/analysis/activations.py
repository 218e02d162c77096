"""Activations: any ports of a graph, image by image, written to files in bounded memory, and resumed."""

import hashlib
import json
import math
import os
import shutil
import urllib.parse
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from foveax._arrays import check_count
from foveax._types import Batch, InputError, Key, Params
from foveax.data.dataset import Render, Split
from foveax.data.fingerprint import array_digest
from foveax.data.mapped import take
from foveax.graph.compile import compile as compile_graph
from foveax.graph.compile import recorded_ports
from foveax.graph.graph import Graph, batch_size, parse_port
from foveax.graph.ports import GraphError
from foveax.runtime.digests import leaf_digests
from foveax.runtime.files import read_json, write_json, writing

RECORD = "recording.json"
"""What a recording is of, and how many of its images are written."""


class PortFile(NamedTuple):
    """The file of a port: where its numbers begin, and what it holds for one image."""

    path: Path
    dtype: np.dtype
    shape: tuple[int, ...]

    @property
    def row_bytes(self) -> int:
        """Bytes of one image."""
        return self.dtype.itemsize * math.prod(self.shape)


def record_activations(
    graph: Graph,
    params: dict[str, Params],
    split: Split,
    ports: Sequence[str],
    folder: str | Path,
    *,
    key: Key,
    batch: int = 250,
    render: Render | None = None,
    watch: Callable[[int], Any] = lambda images: None,
) -> dict[str, np.ndarray]:
    """Shows a split to a graph once, and writes what some of its ports gave to a folder, a ``.npy`` file each.

    A port's array is ``[N, T, ...]``, float32 where the port is bfloat16. Ports named ``..._by_step``, as networks with
    several internal steps have them, give ``[N, T, steps, ...]``. Memory holds a batch at a time. A recording that was
    stopped, or killed, is resumed by the same call, and ends in the same bytes.

    Args:
      graph: the pipeline; of `foveax.greedy`, policies take their mode, else they are sampled.
      params: of its modules.
      split: arrays with a leading ``[N]``, by the graph inputs that they feed.
      ports: each ``"module.port"``, ``"memory.NAME"`` or ``"input.NAME"``.
      folder: made if it is not there; it must hold nothing else.
      key: of whatever is drawn at random.
      batch: images at a time.
      render: what is done to the images first, as `Data.render` does to training images; by default nothing.
      watch: called with the number of images whenever some are written.

    Returns:
      the arrays by port, as `read_activations` gives them.

    Raises:
      GraphError: for a port that does not exist, or holds no numbers.
      InputError: if the split does not fit the graph, the folder holds something else, or another recording, or the
        disk has no room.

    Example:
      >>> import foveax as fx, jax, tempfile
      >>> data = fx.load("mnist5k")
      >>> graph = fx.standard_pipeline(data, fx.PipelineConfig(hidden=16, features=16))
      >>> params, split = fx.init(graph, jax.random.key(0)), {name: array[:20] for name, array in data.test.items()}
      >>> with tempfile.TemporaryDirectory() as folder:
      ...     arrays = record_activations(graph, params, split, ["classifier.hidden"], folder, key=jax.random.key(1))
      ...     arrays["classifier.hidden"].shape
      (20, 6, 16)
    """
    size, folder = batch_size(graph, split, "split"), Path(folder).expanduser()
    batch = min(check_count("batch", batch), size)
    sources = [port for port in ports if parse_port(port).module == "input"]
    recorded = [str(source) for source in recorded_ports(graph, [port for port in ports if port not in sources])]
    program = _program(graph, recorded, sources, render)
    arrays = {name: split[name] for name in (split if render else graph.inputs)}
    keys = jax.random.split(key, size)
    arguments = params, _rows(arrays, 0, batch), keys[:batch], key
    lowered = program.lower(*arguments)
    files = _files(folder, jax.eval_shape(program, *arguments))
    identity = {
        "images": size,
        "batch": batch,
        "ports": {port: [file.path.name, str(file.dtype), list(file.shape)] for port, file in files.items()},
        "program": hashlib.sha256(lowered.as_text().encode()).hexdigest(),
        "params": hashlib.sha256(json.dumps(leaf_digests(params), sort_keys=True).encode()).hexdigest(),
        "split": {name: array_digest(array) for name, array in arrays.items()},
        "key": np.asarray(jax.random.key_data(key)).tolist(),
    }
    done = _begin(folder, files, identity)
    watch(done)
    if done < size:
        compiled = lowered.compile()
        for start in range(done, size, batch):
            rows = np.minimum(np.arange(start, start + batch), size - 1)
            values = compiled(params, _rows(arrays, start, batch), keys[rows], jax.random.fold_in(key, start))
            end = min(start + batch, size)
            _write(files, {port: np.asarray(value)[: end - start] for port, value in values.items()}, start)
            write_json(folder / RECORD, {**identity, "recorded": end})
            watch(end - start)
    return read_activations(folder)


def read_activations(folder: str | Path) -> dict[str, np.ndarray]:
    """The arrays of a recording by port, ``[N, T, ...]``, mapped into memory: what is not looked at is not read.

    Raises `InputError` if the folder holds no recording, or one that is not whole.
    """
    folder = Path(folder).expanduser()
    if not (folder / RECORD).exists():
        raise InputError(f"a recording must hold {RECORD}; {folder} does not")
    record = read_json(folder / RECORD)
    try:
        images, recorded = record["images"], record["recorded"]
        kinds = {port: (name, dtype, (images, *shape)) for port, (name, dtype, shape) in record["ports"].items()}
    except (KeyError, TypeError, ValueError):
        raise InputError(f"{folder / RECORD} must be one of a recording; it is not") from None
    if recorded < images:
        raise InputError(f"a recording must be whole; {folder} holds {recorded:,} of {images:,} images: record again")
    arrays = {}
    for port, (name, dtype, shape) in kinds.items():
        try:
            arrays[port] = np.load(folder / Path(name).name, mmap_mode="r", allow_pickle=False)
        except (OSError, ValueError) as error:
            raise InputError(f"a recording must hold its files; {folder / name} cannot be read: {error}") from None
        if (str(arrays[port].dtype), arrays[port].shape) != (dtype, shape):
            raise InputError(f"{folder / name} must be {dtype}{list(shape)}, as it was recorded")
    return arrays


def _program(graph: Graph, recorded: list[str], sources: list[str], render: Render | None) -> Any:
    """``(params, batch, keys, key) -> values by port``, jitted; inputs are given back once for each glimpse."""
    unknown = [port for port in sources if parse_port(port).port not in graph.inputs]
    if unknown:
        raise GraphError(f"no port {unknown[0]!r} to record; inputs are {', '.join(graph.inputs)}")
    rollout = jax.vmap(compile_graph(graph, recorded), in_axes=(None, 0, 0))

    def program(params: dict[str, Params], batch: Batch, keys: Key, key: Key) -> dict[str, Any]:
        shown = render(key, batch) if render else batch
        inputs = {name: shown[name] for name in graph.inputs}
        trajectory = rollout(params, inputs, keys)
        values = {port: trajectory[parse_port(port).module][parse_port(port).port] for port in recorded}
        for port in sources:
            value = jnp.asarray(inputs[parse_port(port).port])[:, None]
            values[port] = jnp.broadcast_to(value, (value.shape[0], graph.length, *value.shape[2:]))
        return {port: _plain(port, value) for port, value in values.items()}

    return jax.jit(program)


def _plain(port: str, value: Any) -> Any:
    """A port's value as a type that NumPy stores."""
    if not isinstance(value, jax.Array) or jnp.issubdtype(value.dtype, jax.dtypes.prng_key):
        raise GraphError(f"a port to record must be a single array of numbers; {port} is not")
    return value.astype(jnp.float32) if value.dtype == jnp.bfloat16 else value


def _files(folder: Path, shapes: dict[str, jax.ShapeDtypeStruct]) -> dict[str, PortFile]:
    def name(port: str) -> str:
        return urllib.parse.quote(port, safe="") + ".npy"

    return {port: PortFile(folder / name(port), np.dtype(one.dtype), one.shape[1:]) for port, one in shapes.items()}


def _rows(arrays: Split, start: int, batch: int) -> Split:
    size = len(next(iter(arrays.values())))
    rows = np.minimum(np.arange(start, start + batch), size - 1)
    return {name: take(array, rows) for name, array in arrays.items()}


def _begin(folder: Path, files: dict[str, PortFile], identity: dict[str, Any]) -> int:
    """How many images a folder holds of a recording; of one that holds none, the files are made."""
    done = 0
    if (folder / RECORD).exists():
        stored = read_json(folder / RECORD)
        stored = stored if isinstance(stored, dict) else {}
        differing = [name for name in identity if stored.get(name) != identity[name]]
        if differing:
            came = f"{folder} holds one of other {', '.join(differing)}"
            raise InputError(f"a recording must be the same to be resumed; {came}")
        done = stored.get("recorded")
        if not isinstance(done, int) or not 0 <= done <= identity["images"]:
            raise InputError(f"{folder / RECORD} must count the images that are recorded; it counts {done!r:.40}")
    elif folder.exists() and any(folder.iterdir()):
        raise InputError(f"a recording must have a folder of its own; {folder} holds something else")
    if done:
        return done
    with writing("recording", folder):
        folder.mkdir(parents=True, exist_ok=True)
        needed = identity["images"] * sum(file.row_bytes for file in files.values())
        free = shutil.disk_usage(folder).free
        if needed > free:
            sizes = f"of which {free / 2**30:,.1f} GB are free; it needs {needed / 2**30:,.1f} GB"
            raise InputError(f"a recording must fit on the disk, {sizes}")
        write_json(folder / RECORD, {**identity, "recorded": 0})
        for file in files.values():
            with file.path.open("wb") as opened:
                shape = (identity["images"], *file.shape)
                header = {"descr": np.lib.format.dtype_to_descr(file.dtype), "fortran_order": False, "shape": shape}
                np.lib.format.write_array_header_2_0(opened, header)
                opened.truncate(opened.tell() + identity["images"] * file.row_bytes)
    return 0


def _write(files: dict[str, PortFile], values: dict[str, np.ndarray], start: int) -> None:
    """Writes images from a number on to their places, and waits until they are on the disk."""
    for port, value in values.items():
        file = files[port]
        with writing("recording", file.path), file.path.open("r+b") as opened:
            np.lib.format.read_magic(opened)
            np.lib.format.read_array_header_2_0(opened)
            opened.seek(opened.tell() + start * file.row_bytes)
            opened.write(np.ascontiguousarray(value).data)
            opened.flush()
            os.fsync(opened.fileno())
