"""The stock modules without a network: image source, cropper, classifier, reward, and saccaders that do not learn."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from foveax._types import Array, InputError, Key, Params
from foveax.graph.modules import Module, State, Values
from foveax.graph.ports import POINT, Port
from foveax.learning.rewards import REWARDS
from foveax.retina import contrast_luminance, foveate

IMAGE = Port(("H", "W", "C"), (jnp.uint8, jnp.float32))
LABEL = Port((), (jnp.int32,))
LOGITS = Port(("K",), (jnp.float32,))
TIME = Port(("T",), (jnp.float32,))
SEQUENCE = Port(("T - 1", 2), (jnp.float32,))


def image_source(shape: tuple[int, int, int], dtype: Any = jnp.uint8) -> dict[str, jax.ShapeDtypeStruct]:
    """The image source: the inputs of a graph that is shown labelled images.

    Args:
      shape: (H, W, C).
      dtype: uint8 for images in [0, 255], or float32 for images in [0, 1].

    Returns:
      the specifications of ``image`` ``[H, W, C]``, ``label`` (int32) and ``progress``, the share of training that is
      done (float32 in [0, 1]; 1 when evaluating).

    Example:
      >>> import foveax as fx
      >>> sorted(fx.image_source((28, 28, 1)))
      ['image', 'label', 'progress']
    """
    return {
        "image": jax.ShapeDtypeStruct(shape, dtype),
        "label": jax.ShapeDtypeStruct((), jnp.int32),
        "progress": jax.ShapeDtypeStruct((), jnp.float32),
    }


def cropper(*, size: int, scales: int = 1, contrast: bool = False) -> Module:
    """The retina as a module: crops the image at the fixation, and says where it looked.

    Inputs: ``image`` ``[H, W, C]``, ``fixation`` ``[2]``. Outputs: ``glimpse`` ``[G, G, S C]``, the scales of `foveate`
    as channels (``[G, G, 3 S C]`` with contrast and luminance apart, each scale's its own), and ``fixation`` ``[2]``.

    Args:
      size: the side G of the crop in pixels.
      scales: S; each scale beyond the first sees twice as far, at half the sharpness.
      contrast: whether contrast and luminance become channels of their own, by `contrast_luminance`.

    Raises:
      InputError: if `size` or `scales` is less than 1; the graph refuses a crop whose sharpest scale is larger than
        the image.
    """
    if size < 1:
        raise InputError(f"crop must be at least 1 pixel; got {size}")
    if scales < 1:
        raise InputError(f"scales must be at least 1; got {scales}")

    def apply(params: Params, state: State, inputs: Values, key: Key | None) -> tuple[Values, State]:
        del params, key
        image, fixation = inputs["image"], inputs["fixation"]
        if size > max(image.shape[:2]):
            raise InputError(f"crop must be at most the image's larger side, {max(image.shape[:2])}; got {size}")
        patches = foveate(image, fixation, size=size, scales=scales)
        patches = [contrast_luminance(patch) if contrast else patch for patch in patches]
        return {"glimpse": jnp.concatenate(patches, axis=-1), "fixation": fixation}, state

    return Module(inputs={"image": IMAGE, "fixation": POINT}, apply=apply)


def classifier() -> Module:
    """The classifier's head: turns logits into a decision and, beside the label, into a loss.

    Inputs: ``logits`` ``[K]``, ``label`` (int32). Outputs: ``logits``, ``probabilities`` ``[K]``, ``predicted`` and
    ``label`` (int32), ``correct`` (bool) and ``cross_entropy`` ``-log p(label)`` in nats, which is its loss.
    """

    def decide(logits: Array, label: Array) -> tuple[Array, ...]:
        predicted = jnp.argmax(logits).astype(jnp.int32)
        cross_entropy = optax.losses.softmax_cross_entropy_with_integer_labels(logits, label)
        return logits, jax.nn.softmax(logits), predicted, label, predicted == label, cross_entropy

    def apply(params: Params, state: State, inputs: Values, key: Key | None) -> tuple[Values, State]:
        del params, key
        return dict(zip(names, decide(**inputs), strict=True)), state

    names = ("logits", "probabilities", "predicted", "label", "correct", "cross_entropy")
    return Module(inputs={"logits": LOGITS, "label": LABEL}, apply=apply, losses=("cross_entropy",))


def reward(name: str) -> Module:
    """A reward as a module: a pure function of this glimpse's logits, those of the one before, and the label.

    Inputs: ``logits`` ``[K]``, ``label`` (int32), ``last`` (bool, whether this is the last glimpse). Output:
    ``reward``, float32. The logits before the first glimpse are taken as zeros: a uniform belief.

    Args:
      name: one of the functions of `foveax.learning.rewards`.

    Raises:
      InputError: if there is no such reward.
    """
    if name not in REWARDS:
        raise InputError(f"reward must be one of {', '.join(REWARDS)}; got {name!r}")

    def apply(params: Params, state: State, inputs: Values, key: Key | None) -> tuple[Values, State]:
        del params, key
        logits = inputs["logits"]
        return {"reward": REWARDS[name](logits, inputs["label"], previous=state, last=inputs["last"])}, logits

    def begin(inputs: Values) -> State:
        return jnp.zeros(inputs["logits"].shape, inputs["logits"].dtype)

    last = Port((), (jnp.bool_,))
    return Module(inputs={"logits": LOGITS, "label": LABEL, "last": last}, apply=apply, begin=begin)


def centre() -> Module:
    """A saccader that stays at the centre. Output: ``fixation`` ``[2]``."""
    return _unlearned(lambda inputs, key: jnp.full(2, 0.5, jnp.float32))


def uniform_random() -> Module:
    """A saccader that looks anywhere in the image with equal probability. Output: ``fixation`` ``[2]``."""
    return _unlearned(lambda inputs, key: jax.random.uniform(key, (2,), jnp.float32), random=True)


def fixed_sequence(fixations: Sequence[Sequence[float]]) -> Module:
    """A saccader that makes the same saccades on every image. Needs ``loop.time`` at its port ``time``.

    Args:
      fixations: ``[T - 1, 2]``: the fixations after the first, which the graph's feedback sets.

    Raises:
      InputError: if they are not (x, y) pairs in [0, 1]; the graph refuses the wrong number of them.
    """
    points = check_fixations(fixations)

    def choose(inputs: Values, key: Key | None) -> Array:
        del key
        return _next_of(jnp.asarray(points), inputs["time"])

    return _unlearned(choose, {"time": TIME})


def given_fixations() -> Module:
    """A saccader that follows fixations given with each image. Needs ``loop.time`` at ``time``, and ``fixations``.

    Its port ``fixations`` takes ``[T - 1, 2]``, the fixations after the first, from a graph input of that shape.
    """
    ports = {"time": TIME, "fixations": SEQUENCE}
    return _unlearned(lambda inputs, key: _next_of(inputs["fixations"], inputs["time"]), ports)


def check_fixations(fixations: Any) -> np.ndarray:
    """Fixations as float32 ``[..., 2]``; refuses what does not lie in [0, 1]^2."""
    try:
        points = np.asarray(fixations, np.float32)
    except (TypeError, ValueError):
        raise InputError(f"fixations must be (x, y) pairs of numbers; got {fixations!r}") from None
    if points.ndim < 2 or points.shape[-1] != 2:
        raise InputError(f"fixations must be (x, y) pairs; got an array of shape {points.shape}")
    if not ((points >= 0) & (points <= 1)).all():
        raise InputError(f"fixations must lie in [0, 1]; got {points.min()} to {points.max()}")
    return points


def _next_of(fixations: Array, time: Array) -> Array:
    """The fixation that follows glimpse t, out of ``[T - 1, 2]``; the last glimpse's, which is not used, repeats."""
    if len(fixations) != len(time) - 1:
        raise InputError(f"there must be {len(time) - 1} fixations, one per saccade; got {len(fixations)}")
    return fixations[jnp.minimum(jnp.argmax(time), len(fixations) - 1)]


def _unlearned(
    choose: Callable[[Values, Any], Array], ports: Mapping[str, Port] | None = None, *, random: bool = False
) -> Module:
    def apply(params: Params, state: State, inputs: Values, key: Key | None) -> tuple[Values, State]:
        del params
        return {"fixation": choose(inputs, key)}, state

    return Module(inputs=ports or {}, apply=apply, random=random)
