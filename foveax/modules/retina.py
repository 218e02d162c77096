"""The retina as a module: what is seen of an image at a fixation."""

from typing import Any

import jax
import jax.numpy as jnp

from foveax._types import InputError, Key, Params
from foveax.graph.modules import Module, State, Values
from foveax.graph.ports import POINT, Port
from foveax.retina import contrast_luminance, foveate

IMAGE = Port(("H", "W", "C"), (jnp.uint8, jnp.float32))


def image_source(shape: tuple[int, int, int], dtype: Any = jnp.uint8) -> dict[str, jax.ShapeDtypeStruct]:
    """The inputs of a graph that is shown labelled images, as `Data.inputs` gives them for a data set.

    Args:
      shape: (H, W, C).
      dtype: uint8 for images in [0, 255], or float32 for images in [0, 1].

    Returns:
      the specifications of ``image`` ``[H, W, C]`` and ``label`` (int32).

    Example:
      >>> import foveax as fx
      >>> sorted(fx.image_source((28, 28, 1)))
      ['image', 'label']
    """
    return {"image": jax.ShapeDtypeStruct(shape, dtype), "label": jax.ShapeDtypeStruct((), jnp.int32)}


def cropper(crop_size: int, *, scales: int = 1, contrast: bool = False) -> Module:
    """A retina that crops the image at the fixation.

    Inputs: ``image`` ``[H, W, C]``, ``fixation`` ``[2]``. Output: ``glimpse`` ``[G, G, S C]``, the scales of `foveate`
    as channels (``[G, G, 3 S C]`` with contrast and luminance apart, each scale's its own).

    Args:
      crop_size: the side G of the crop in pixels.
      scales: S; each scale beyond the first sees twice as far, at half the sharpness.
      contrast: whether contrast and luminance become channels of their own, by `contrast_luminance`.

    Raises:
      InputError: if `crop_size` or `scales` is less than 1; the graph refuses a crop whose sharpest scale is larger
        than the image.

    Example:
      >>> import foveax as fx
      >>> list(fx.cropper(9).inputs)
      ['image', 'fixation']
    """
    if crop_size < 1:
        raise InputError(f"crop_size must be at least 1 pixel; got {crop_size}")
    if scales < 1:
        raise InputError(f"scales must be at least 1; got {scales}")

    def apply(params: Params, state: State, inputs: Values, key: Key | None) -> tuple[Values, State]:
        del params, key
        image = inputs["image"]
        if crop_size > max(image.shape[:2]):
            largest = max(image.shape[:2])
            raise InputError(f"crop_size must be at most the image's larger side, {largest}; got {crop_size}")
        patches = foveate(image, inputs["fixation"], size=crop_size, scales=scales)
        patches = [contrast_luminance(patch) if contrast else patch for patch in patches]
        return {"glimpse": jnp.concatenate(patches, axis=-1)}, state

    return Module(inputs={"image": IMAGE, "fixation": POINT}, apply=apply)


def received_glimpses(*, contrast: bool = False) -> Module:
    """A retina whose glimpses come from elsewhere.

    Inputs: ``glimpses`` ``[T, H, W, C]``, ``positions`` ``[T, 2]``, and ``index``, from ``loop.index``. Outputs:
    ``glimpse`` ``[H, W, C]`` (``[H, W, 3 C]`` with contrast and luminance apart) and its ``position`` ``[2]``.

    Args:
      contrast: whether contrast and luminance become channels of their own, by `contrast_luminance`.

    Example:
      >>> list(received_glimpses().inputs)
      ['glimpses', 'positions', 'index']
    """

    def apply(params: Params, state: State, inputs: Values, key: Key | None) -> tuple[Values, State]:
        del params, key
        glimpse, position = (inputs[port][inputs["index"]] for port in ("glimpses", "positions"))
        return {"glimpse": contrast_luminance(glimpse) if contrast else glimpse, "position": position}, state

    ports = {
        "glimpses": Port(("T", "H", "W", "C"), (jnp.float32,)),
        "positions": Port(("T", 2), (jnp.float32,)),
        "index": Port((), (jnp.int32,)),
    }
    return Module(inputs=ports, apply=apply)
