"""Parameters of published networks from PyTorch's named tensors."""

import re
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from flax.traverse_util import flatten_dict, unflatten_dict

from foveax._checked import in_line
from foveax._types import InputError

Names = tuple[tuple[str, str | Callable[[re.Match], str]], ...]
"""Patterns of PyTorch's names and what takes their place, applied one after the other: paths, parts joined by "/"."""
_ROLES: Names = (
    (r"norm/weight$", "norm/scale"),
    (r"/weight$", "/kernel"),
    (r"running_mean$", "mean"),
    (r"running_var$", "variance"),
)
CCN23: Names = (
    (r"^retina\.", "retina/bottom_up/"),
    (r"^(\w+)_ln\.", r"\1/norm/"),
    (r"\.", "/"),
    *_ROLES,
)
SPOERER2017: Names = (
    (r"^rcnn\.cell_list\.(\d+)\.", r"layer_\1/"),
    (r"bottomup", "bottom_up"),
    (r"topdown", "top_down"),
    (r"bn_all\.", "norm/"),
    (r"bn_b\.", "bottom_up_norm/"),
    (r"bn_l\.", "lateral_norm/"),
    (r"bn_t\.", "top_down_norm/"),
    (r"^fc\.", "readout/"),
    (r"\.", "/"),
    *_ROLES,
)
BLT_VS: Names = (
    (r"^connections\.(\w+)\.", lambda match: f"{match[1].lower()}/"),
    (r"(skip_)?(bu|td)(_l_conv)?_depthwise\.", r"\1\2_groups/"),
    (r"(skip_)?(bu|td)(_l_conv)?_pointwise\.", r"\1\2_places/"),
    (r"bu_conv\.", "bottom_up/"),
    (r"td_conv\.", "top_down/"),
    (r"readout_conv\.", "readout/"),
    (r"layer_norm_(bu|td)\.", r"\1_norm/"),
    (r"bu_(?=groups|places|norm)", "up_"),
    (r"td_(?=groups|places|norm)", "down_"),
    *_ROLES,
)


def from_torch(tensors: Mapping[str, Any], names: Names, like: Mapping[str, Any]) -> dict[str, Any]:
    """Variables of a flax network from the tensors of a PyTorch state dict, by name.

    Convolutions ``[D, C, k, k]`` become ``[k, k, C, D]``; transposed ones ``[C, D, k, k]``, under ``top_down``, are
    turned by 180 degrees as well (`foveax.networks.areas.convolve_up`); linear layers ``[D, C]`` become ``[C, D]``, or
    kernels of a single place; norms of ``[C, H, W]`` become ``[H, W, C]``.

    Args:
      tensors: arrays, or tensors on the CPU.
      names: `CCN23`, `SPOERER2017`, `BLT_VS`, or patterns of your own.
      like: the network's variables, or their shapes (`jax.eval_shape` of its ``init``): ``params`` and, if it has any,
        ``batch_stats``.

    Raises `InputError` for a tensor that the network lacks, or that has another number of elements, and for one that is
    missing. Counters of batches are passed over.

    Example:
      >>> import jax, jax.numpy as jnp, numpy as np
      >>> from foveax.networks.areas import Connection
      >>> like = jax.eval_shape(Connection(2).init, jax.random.key(0), jnp.zeros((4, 4, 3)))
      >>> tensors = {"weight": np.zeros((2, 3, 3, 3)), "bias": np.zeros(2)}
      >>> from_torch(tensors, ((r"^weight$", "kernel"),), like)["params"]["kernel"].shape
      (3, 3, 3, 2)
    """
    leaves: dict[tuple, Any] = flatten_dict(dict(like))  # pyright: ignore
    shapes = {"/".join(path[1:]): (path, leaf.shape) for path, leaf in leaves.items()}
    arrays = {}
    for name, tensor in tensors.items():
        if name.endswith("num_batches_tracked"):
            continue
        place = name
        for pattern, replacement in names:
            place = re.sub(pattern, replacement, place)
        if place not in shapes:
            raise InputError(f"tensors must be those of the network; it has no {in_line(name)}")
        path, shape = shapes[place]
        array = _laid_out(np.asarray(tensor.detach() if hasattr(tensor, "detach") else tensor), place)
        if array.size != np.prod(shape):
            raise InputError(f"{name} must hold {list(shape)} numbers; got {list(array.shape)}")
        arrays[path] = array.reshape(shape)
    missing = [place for place, (path, _) in shapes.items() if path not in arrays]
    if missing:
        raise InputError(f"tensors must hold all of the network's; {', '.join(missing[:3])} are not there")
    return unflatten_dict(arrays)


def _laid_out(array: np.ndarray, place: str) -> np.ndarray:
    """An array with its axes in the order of flax."""
    if array.ndim == 4 and "top_down" in place:
        return array.transpose(2, 3, 0, 1)[::-1, ::-1]
    orders = {4: (2, 3, 1, 0), 3: (1, 2, 0), 2: (1, 0)}
    return array.transpose(orders[array.ndim]) if array.ndim in orders else array
