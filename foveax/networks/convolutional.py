"""A convolutional network that sees a whole image at once."""

import flax.linen as nn

from foveax._types import Array
from foveax.networks.encoders import KERNEL, kernel_windows
from foveax.retina.crop import as_float

LARGEST = 128
"""Sides in pixels of the largest image that is not averaged down first."""


class ConvolutionalClassifier(nn.Module):
    """Layers of convolutions, one of 256 units that reads all places, a linear read-out of K logits.

    The convolutions have kernels of 6x6 at every second place, first 16 of them, then twice as many in each layer, as
    long as there are six places along the shorter side. Images of more than 128 pixels a side are averaged over blocks
    first. All but the last layer have relu units.
    """

    classes: int

    @nn.compact
    def __call__(self, image: Array) -> Array:
        """An image ``[H, W, C]``, uint8 in [0, 255] or float in [0, 1], to logits ``[K]``."""
        block = -(-max(image.shape[:2]) // LARGEST)
        planes = nn.avg_pool(as_float(image), (block, block), (block, block), "SAME", count_include_pad=False)
        planes, channels = planes - planes.mean(axis=(0, 1), keepdims=True), 32
        while min(planes.shape[:2]) >= KERNEL:
            planes, channels = nn.relu(nn.Dense(channels)(kernel_windows(planes[:, :, None])[0])), 2 * channels
        hidden = nn.relu(nn.Dense(256)(planes.reshape(-1)))
        return nn.Dense(self.classes)(hidden)
