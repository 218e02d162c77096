"""The devices of a training as a mesh, and where arrays lie on it."""

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from foveax._types import InputError
from foveax.data.mapped import take
from foveax.training.collectives import BATCH
from foveax.training.learner import Learner

POPULATION = "population"
"""The mesh axis along which the members of a population are divided."""


def training_mesh(devices: int = 1, *, members: int = 1) -> Mesh | None:
    """The mesh of a training: `devices` of every process, or None where that is one device in all.

    Members of a population need not speak to each other, so that devices are first divided among them, and only those
    that are left over among the rows of a batch: the mesh, for `fit`, has the axes ``"population"``, whose size divides
    the number of members P, and ``"batch"``. 0 devices stand for all. Raises `InputError` if a process has fewer.

    Example:
      >>> training_mesh(1) is None
      True
    """
    ours = [jax.local_devices(process_index=index) for index in range(jax.process_count())]
    fewest = min(map(len, ours))
    if not 0 <= devices <= fewest:
        raise InputError(f"devices must be at least 0 and at most those of each process, {fewest}; got {devices}")
    chosen = [device for there in ours for device in there[: devices or fewest]]
    if len(chosen) == 1:
        return None
    shared = math.gcd(members, len(chosen))
    shape = (shared, len(chosen) // shared)
    return jax.make_mesh(shape, (POPULATION, BATCH), axis_types=(AxisType.Auto, AxisType.Auto), devices=chosen)


def sharded(learner: Learner, mesh: Mesh) -> Learner:
    """The same learner, whose step is computed by shards of the batch along the mesh's axis of that name."""
    whole, rows = PartitionSpec(), PartitionSpec(BATCH)
    specs: dict[str, Any] = {"in_specs": (whole, rows, whole), "out_specs": (whole, whole)}
    return learner._replace(step=jax.shard_map(learner.step, mesh=mesh, check_vma=False, **specs))


def check_divides(mesh: Mesh, batch: int, members: int | None = None) -> None:
    """Refuses a batch, or a population, that a mesh cannot divide evenly."""
    for axis, size in ((BATCH, batch), (POPULATION, members)):
        if size is not None and size % mesh.shape[axis]:
            raise InputError(f"{axis} must be divisible by the {mesh.shape[axis]} devices that share it; got {size}")


def place(tree: Any, mesh: Mesh | None, *axes: str | None) -> Any:
    """Arrays that every process holds, on the mesh: each device gets its part, from the memory of its own process.

    They are NumPy or JAX arrays, keys among them; what lies there already stays. `axes` are the mesh axes along which
    each array's axes are divided; without any, each device holds the whole. None stands for one device.
    """
    if mesh is None:
        return jax.device_put(tree)
    sharding = NamedSharding(mesh, PartitionSpec(*axes))

    def put(leaf: Any) -> Any:
        if isinstance(leaf, jax.Array) and leaf.sharding.is_equivalent_to(sharding, leaf.ndim):
            return leaf
        if isinstance(leaf, jax.Array) and jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
            return jax.random.wrap_key_data(put(jax.random.key_data(leaf)))
        array = np.asarray(leaf)
        return jax.make_array_from_callback(array.shape, sharding, lambda part: array[part])

    return jax.tree.map(put, tree)


def place_rows(array: np.ndarray, index: np.ndarray, mesh: Mesh | None, *axes: str | None) -> jax.Array:
    """The rows ``array[index]`` on the mesh; a process reads only those that its own devices get."""
    if mesh is None:
        return jax.device_put(take(array, index))
    sharding = NamedSharding(mesh, PartitionSpec(*axes))
    shape = (*index.shape, *array.shape[1:])

    def read(part: Any) -> np.ndarray:
        return take(array, index[part[: index.ndim]])

    return jax.make_array_from_callback(shape, sharding, read)


def local_copy(tree: Any) -> Any:
    """JAX arrays of which every device holds the whole, on this process's first device; divided ones as they are."""
    return jax.tree.map(lambda leaf: leaf.addressable_data(0) if leaf.is_fully_replicated else leaf, tree)
