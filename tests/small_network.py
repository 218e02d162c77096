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


def convolution(layer, kernel, *, stride=1):
    """The convolution of ``[H, W, C]`` with ``[K, K, C, O]``, K at most 3 strides, without padding, as one product.

    Four neighbouring places, each way two, are one row of the product; so there are few windows, and they overlap
    little. On CPUs that is faster than XLA's convolution, and its gradient much faster. H and W are multiples of two
    strides.
    """
    size, _, channels, outputs = kernel.shape
    side = 2 * stride
    height, width = layer.shape[0] // side, layer.shape[1] // side
    matrix = jnp.zeros((2 * side, 2 * side, channels, 2, 2, outputs), kernel.dtype)
    for row in range(2):
        for column in range(2):
            rows, columns = (slice(place * stride, place * stride + size) for place in (row, column))
            matrix = matrix.at[rows, columns, :, row, column].set(kernel)
    blocks = layer.reshape(height, side, width, side, channels).swapaxes(1, 2).reshape(height, width, -1)
    corners = [blocks[row : row + height - 1, column : column + width - 1] for row in range(2) for column in range(2)]
    parts = matrix.reshape(2, side, 2, side, channels, -1).swapaxes(1, 2).reshape(-1, 4 * outputs)
    places = (jnp.concatenate(corners, axis=-1) @ parts).reshape(height - 1, width - 1, 2, 2, outputs)
    return places.swapaxes(1, 2).reshape(2 * height - 2, 2 * width - 2, outputs)


def logits(params, image):
    """An image ``[28, 28, 1]`` in [0, 1] to logits ``[10]``, by two convolutions of stride 2 without padding."""
    layer = image
    for number in (1, 2):
        layer = convolution(layer, jnp.asarray(params[f"kernel_{number}"]), stride=2)
        layer = jax.nn.relu(layer + params[f"bias_{number}"][None, None, :])
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
