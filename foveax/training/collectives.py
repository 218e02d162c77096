"""Sums and keys across the shards of a batch, so that their steps together make the step of the whole batch.

Within `jax.shard_map` over the mesh axis ``"batch"`` they reach across that axis; of a whole batch they change nothing.
"""

from typing import Any

import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree

from foveax._types import Key

BATCH = "batch"
"""The mesh axis along which a batch is divided."""


def averaged(tree: Any) -> Any:
    """The mean of each leaf, floats, over the shards, by one all-reduce for all leaves together.

    Shards are of one size, so that the mean of their means, or of the gradients of their means, is that of the batch.
    An all-reduce per leaf would pay the network's latency as many times.

    Example:
      >>> averaged({"loss": 2.0})
      {'loss': 2.0}
    """
    if not _sharded():
        return tree
    vector, restore = ravel_pytree(tree)
    return restore(jax.lax.pmean(vector, BATCH))


def gathered(tree: Any) -> Any:
    """Each leaf for the whole batch, by one all-gather for all leaves together; no gradient is let through.

    The leaves are arrays of one shape, with a leading ``[B]`` of the shard.

    Example:
      >>> import jax.numpy as jnp
      >>> gathered({"advantage": jnp.zeros((4, 5))})["advantage"].shape
      (4, 5)
    """
    if not _sharded():
        return tree
    leaves, structure = jax.tree.flatten(jax.lax.stop_gradient(tree))
    whole = jax.lax.all_gather(jnp.stack(leaves, axis=1), BATCH, tiled=True)
    return jax.tree.unflatten(structure, list(jnp.moveaxis(whole, 1, 0)))


def example_keys(key: Key, size: int) -> Key:
    """A key for each of `size` examples of a shard, ``[B]``: the one that it would have in the whole batch.

    Example:
      >>> import jax
      >>> example_keys(jax.random.key(0), 4).shape
      (4,)
    """
    if not _sharded():
        return jax.random.split(key, size)
    keys = jax.random.split(key, size * jax.lax.axis_size(BATCH))
    return jax.lax.dynamic_slice_in_dim(keys, size * jax.lax.axis_index(BATCH), size)


def _sharded() -> bool:
    """Whether the program that is being traced sees one shard of several of a batch."""
    mesh = jax.sharding.get_abstract_mesh()
    return BATCH in mesh.manual_axes and mesh.shape[BATCH] > 1
