# pyright: reportMissingImports=false
"""The network of MNIST that pyautoattack ships as Keras weights, in JAX and in PyTorch.

Four convolutions of 3x3 with 16 channels, two pools, two dense layers; a file of HDF5 within the package
(``pyautoattack/examples/tf_model.weight.h5``; its ``eval_tf2.py`` describes the network).
"""

import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import small_network

LAYERS = ("c1", "c2", "c3", "c4", "d1", "d2")
POOLED = ("c2", "c4")
"""Layers that are followed by a pool of 2x2."""


def weights() -> dict[str, np.ndarray]:
    """Kernels ``[3, 3, in, out]`` or ``[in, out]`` and biases, by ``LAYER.kernel`` and ``LAYER.bias``."""
    import h5py

    package = importlib.util.find_spec("pyautoattack")
    if package is None or package.origin is None:
        raise SystemExit("pyautoattack must be installed, which ships the network")
    path = Path(package.origin).parent / "examples" / "tf_model.weight.h5"
    with h5py.File(path) as file:
        names = {
            f"{layer}.{part}": f"clf/{layer}/clf/{layer}/{part}:0" for layer in LAYERS for part in ("kernel", "bias")
        }
        return {name: np.asarray(file[place]) for name, place in names.items()}


def logits(params: dict[str, Any], image: jax.Array) -> jax.Array:
    """An image ``[28, 28, 1]`` in [0, 1] to logits ``[10]``."""
    layer = image
    for name in LAYERS[:4]:
        padded = jnp.pad(layer, ((1, 1), (1, 1), (0, 0)))
        layer = small_network.convolution(padded, jnp.asarray(params[f"{name}.kernel"]))
        layer = jax.nn.relu(layer + params[f"{name}.bias"][None, None, :])
        if name in POOLED:
            height, width, channels = layer.shape
            layer = layer.reshape(height // 2, 2, width // 2, 2, channels).max(axis=(1, 3))
    hidden = jax.nn.relu(layer.reshape(-1) @ params["d1.kernel"] + params["d1.bias"])
    return hidden @ params["d2.kernel"] + params["d2.bias"]


def torch_network(params: dict[str, Any]) -> Callable[[Any], Any]:
    """The same, from images ``[B, 1, 28, 28]`` to ``[B, 10]``."""
    import torch
    from torch.nn import functional

    tensors = {name: torch.from_numpy(np.array(array)) for name, array in params.items()}

    def forward(images: Any) -> Any:
        layer = images
        for name in LAYERS[:4]:
            kernel = tensors[f"{name}.kernel"].permute(3, 2, 0, 1)
            layer = torch.relu(functional.conv2d(layer, kernel, tensors[f"{name}.bias"], padding=1))
            layer = functional.max_pool2d(layer, 2) if name in POOLED else layer
        hidden = layer.permute(0, 2, 3, 1).flatten(1) @ tensors["d1.kernel"] + tensors["d1.bias"]
        return torch.relu(hidden) @ tensors["d2.kernel"] + tensors["d2.bias"]

    return forward
