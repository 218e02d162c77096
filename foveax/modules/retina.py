"""The retina as a module: what is seen of an image at a fixation."""

from typing import Any

import jax
import jax.numpy as jnp

from foveax._types import Array, InputError, Key, Params
from foveax.graph.modules import Module, State, Values, from_function
from foveax.graph.ports import FLOATS, POINT, Port
from foveax.retina import contrast_luminance, foveate, paint, saturate, zoom
from foveax.retina import glance as glance_at

IMAGE = Port(("H", "W", "C"), (jnp.uint8, jnp.float32))


def image_source(shape: tuple[int, int, int], dtype: Any = jnp.uint8) -> dict[str, jax.ShapeDtypeStruct]:
    """The inputs of a graph for labelled images, as `Data.inputs` gives them: ``image`` (H, W, C), ``label`` (int32).

    The image is uint8 in [0, 255] or float32 in [0, 1].

    Example:
      >>> import foveax as fx
      >>> sorted(fx.image_source((28, 28, 1)))
      ['image', 'label']
    """
    return {"image": jax.ShapeDtypeStruct(shape, dtype), "label": jax.ShapeDtypeStruct((), jnp.int32)}


def cropper(
    crop_size: int,
    *,
    scales: int = 1,
    contrast: bool = False,
    glance: bool = False,
    widest: float = 1.0,
    saturation: float = 0.0,
) -> Module:
    """A retina that crops the image at the fixation.

    Inputs: ``image`` ``[H, W, C]``, ``fixation`` ``[2]`` and, if linked, ``extent`` ``[2]``, the shares of the image
    along x and y, from its first pixel to its last, that are picture: the fixation is then a fraction of these. Output:
    ``glimpse`` ``[G, G, S C]``, G the crop's size in pixels, the S scales of `foveate` as channels (``[G, G, 3 S C]``
    with each scale's contrast and luminance apart, by `contrast_luminance`). Each scale beyond the first sees twice as
    far, at half the sharpness; a glance at the whole picture (`foveax.glance`), of the crop's size, is one more. If a
    ``factor`` ``[]`` is linked, each crop is as many times as wide, from 1 to `widest` (`foveax.zoom`). If `saturation`
    is not 0, what is sampled is the response of receptors to the image, with it as their gain
    (`foveax.retina.saturate`). Raises `InputError` if `crop_size`, `scales` or `widest` is less than 1, or a crop's
    sharpest scale is larger than the image.

    Example:
      >>> import foveax as fx
      >>> list(fx.cropper(9).inputs)
      ['image', 'fixation', 'extent', 'factor']
    """
    if crop_size < 1:
        raise InputError(f"crop_size must be at least 1 pixel; got {crop_size}")
    if scales < 1:
        raise InputError(f"scales must be at least 1; got {scales}")

    def glimpse(image: Array, fixation: Array, extent: Array | None = None, factor: Array | None = None) -> Array:
        largest = max(image.shape[:2])
        if crop_size > largest:
            raise InputError(f"crop_size must be at most the image's larger side, {largest}; got {crop_size}")
        image = saturate(image, saturation) if saturation else image
        place = fixation if extent is None else extent * fixation
        if factor is None:
            patches = [*foveate(image, place, size=crop_size, scales=scales)]
        else:
            wider = [2**scale for scale in range(scales)]
            patches = [zoom(image, place, each * factor, size=crop_size, widest=each * widest) for each in wider]
        patches += [glance_at(image, size=crop_size, extent=extent)] if glance else []
        return jnp.concatenate([contrast_luminance(patch) if contrast else patch for patch in patches], axis=-1)

    extent, factor = (Port(shape, (jnp.float32,), required=False) for shape in ((2,), ()))
    ports = {"image": IMAGE, "fixation": POINT, "extent": extent, "factor": factor}
    return from_function(glimpse, outputs="glimpse", ports=ports)


def spatiotopic_map(
    size: int, *, sides: tuple[int, int], scales: int = 1, glance: bool = False, widest: float = 1.0
) -> Module:
    """A memory of what a `cropper` without contrast has seen, at the places where it was seen (`foveax.retina.paint`).

    Inputs: ``glimpse`` ``[G, G, S C]``, of the scales, the glance and the `widest` of the `cropper`; ``fixation``
    ``[2]``; and if linked ``extent`` and ``factor`` as there. Output: ``picture`` ``[N, N, C + 1]``, `size` cells along
    each axis of the picture: from -1 to 1 where it was seen, else 0, and last the sharpness there, in samples per
    pixel. `sides` are height and width of the images in pixels. Raises `InputError` if `size` is less than 1.

    Example:
      >>> import foveax as fx
      >>> list(fx.modules.spatiotopic_map(32, sides=(32, 32)).inputs)
      ['glimpse', 'fixation', 'extent', 'factor']
    """
    if size < 1:
        raise InputError(f"size of a map must be at least 1 cell; got {size}")
    patches = scales + glance

    def apply(params: Params, state: State, inputs: Values, key: Key | None) -> tuple[Values, State]:
        span = jnp.array([sides[1] - 1, sides[0] - 1], jnp.float32) * inputs.get("extent", jnp.ones(2, jnp.float32))
        glimpse = 2 * inputs["glimpse"] - 1
        side = len(glimpse)
        parts = jnp.split(glimpse, patches, axis=-1)
        if glance:
            state = paint(state, parts[-1], span / 2, (span + 1) / side, span + 1)
        for scale in reversed(range(scales)):
            cell = jnp.ones(2, jnp.float32) * 2**scale * jnp.clip(inputs.get("factor", jnp.float32(1)), 1, widest)
            state = paint(state, parts[scale], span * inputs["fixation"], cell, span + 1)
        return {"picture": state}, state

    def begin(inputs: Values) -> State:
        channels, left = divmod(inputs["glimpse"].shape[-1], patches)
        if left:
            raise InputError(
                f"channels of a glimpse must be a multiple of {patches} for a map; got {patches * channels + left}"
            )
        return jnp.zeros((size, size, channels + 1), jnp.float32)

    extent, factor = (Port(shape, (jnp.float32,), required=False) for shape in ((2,), ()))
    glimpses = Port(("H", "W", "C"), FLOATS)
    return Module({"glimpse": glimpses, "fixation": POINT, "extent": extent, "factor": factor}, apply, begin=begin)
