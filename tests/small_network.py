"""One small convolutional network in JAX and in PyTorch, on the same weights (`robustness/make_network.py`)."""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

FILE = Path(__file__).with_suffix(".npz")


def weights() -> dict[str, np.ndarray]:
    """Kernels ``[5, 5, in, out]`` of two convolutions of stride 2, ``[256, 10]`` of the read-out, and biases."""
    with np.load(FILE) as file:
        return dict(file)


def logits(params, image):
    """An image ``[28, 28, 1]`` in [0, 1] to logits ``[10]``, by two convolutions of stride 2 without padding."""
    layer = image
    for number in (1, 2):
        kernel, bias = params[f"kernel_{number}"], params[f"bias_{number}"]
        places = (layer.shape[0] - 5) // 2 + 1
        shifts = [(row, column) for row in range(5) for column in range(5)]
        parts = [layer[row : row + 2 * places - 1 : 2, column : column + 2 * places - 1 : 2] for row, column in shifts]
        windows = jnp.concatenate(parts, axis=-1)  # the gradient of a convolution with strides is slow on CPUs
        layer = jax.nn.relu(windows @ kernel.reshape(-1, kernel.shape[-1]) + bias[None, None, :])
    return layer.reshape(-1) @ params["kernel_3"] + params["bias_3"]


def torch_network(params):
    """The same, from images ``[B, 1, 28, 28]`` to ``[B, 10]``."""
    import torch

    tensors = {name: torch.from_numpy(np.array(array)) for name, array in params.items()}

    def forward(images):
        layer = images
        for number in (1, 2):
            kernel = tensors[f"kernel_{number}"].permute(3, 2, 0, 1)
            layer = torch.relu(torch.nn.functional.conv2d(layer, kernel, tensors[f"bias_{number}"], stride=2))
        return layer.permute(0, 2, 3, 1).flatten(1) @ tensors["kernel_3"] + tensors["bias_3"]

    return forward


def images_and_labels(number: int) -> tuple[jax.Array, jax.Array]:
    """Test digits, ``[N, 28, 28, 1]`` float32 in [0, 1], and their labels."""
    import foveax as fx

    test = fx.load("mnist5k").test
    return jnp.asarray(test["image"][:number]).astype(jnp.float32) / 255, jnp.asarray(test["label"][:number])
