"""Eyes that do not learn: modules with the output ``fixation`` ``[2]``."""

from collections.abc import Sequence
from typing import Any, cast

import jax
import jax.numpy as jnp
import numpy as np

from foveax._checked import in_line
from foveax._types import Array, InputError, Key, Params
from foveax.graph.graph import Graph, Source
from foveax.graph.modules import Module, State, Values, from_function
from foveax.graph.ports import POINT, Port

INDEX = Port((), (jnp.int32,))
CORNERS = ((0.25, 0.25), (0.75, 0.25), (0.25, 0.75), (0.75, 0.75), (0.5, 0.25), (0.5, 0.75), (0.25, 0.5), (0.75, 0.5))
"""The middles of an image's quarters, then of its halves."""


def centre() -> Module:
    """An eye that stays at the centre."""
    return from_function(lambda: jnp.full(2, 0.5, jnp.float32), outputs="fixation")


def uniform_random() -> Module:
    """An eye that looks anywhere in the image with equal probability."""

    def apply(params: Params, state: State, inputs: Values, key: Key | None) -> tuple[Values, State]:
        return {"fixation": jax.random.uniform(cast(Key, key), (2,), jnp.float32)}, state

    return Module({}, apply, random=True)


def centre_biased(scale: float = 0.2) -> Module:
    """An eye that looks near the centre, as people do in pictures: a Gaussian, cut off at the image's border.

    Its standard deviation along each axis, before the cut, is `scale`, a fraction of the image, more than 0 (after the
    central fixation bias, Tatler 2007, https://doi.org/10.1167/7.14.4; the width is ours).
    """
    if not scale > 0:
        raise InputError(f"scale must be more than 0; got {scale}")
    bound = 0.5 / scale

    def apply(params: Params, state: State, inputs: Values, key: Key | None) -> tuple[Values, State]:
        drawn = jax.random.truncated_normal(cast(Key, key), -bound, bound, (2,), jnp.float32)
        return {"fixation": 0.5 + scale * drawn}, state

    return Module({}, apply, random=True)


def fixed_sequence(fixations: Sequence[Sequence[float]]) -> Module:
    """An eye that makes the same saccades on every image. Needs ``loop.index`` at its port ``index``.

    The fixations, ``[T - 1, 2]``, follow the first, which the graph's memory begins with; the last of them is repeated
    where there are more saccades. Raises `InputError` if they are not (x, y) pairs in [0, 1].
    """
    points = check_fixations(fixations)
    return from_function(lambda index: _next_of(index, jnp.asarray(points)), outputs="fixation", ports={"index": INDEX})


def corner_sequence(saccades: int) -> np.ndarray:
    """The plain scan that learned eyes are compared with: the quarters of an image, then its halves, over and over.

    ``[T - 1, 2]`` float32, from the number of saccades; the first fixation, at the centre, comes before it
    (as the centre-corner policy of Wang et al. 2020, https://arxiv.org/abs/2010.05300).

    Example:
      >>> corner_sequence(3).tolist()
      [[0.25, 0.25], [0.75, 0.25], [0.25, 0.75]]
    """
    return np.resize(np.array(CORNERS, np.float32), (saccades, 2))


def given_fixations(reach: float | None = None) -> Module:
    """An eye that follows fixations given with each image. Needs ``loop.index`` at ``index``.

    Its port ``fixations`` takes ``[T - 1, 2]``, the fixations after the first, from a graph input of that shape. With a
    reach, the farthest move along each axis as a fraction of the image, from the place at the port ``position``, which
    a link must then feed, it moves as far as it can.
    """

    def apply(params: Params, state: State, inputs: Values, key: Key | None) -> tuple[Values, State]:
        return {"fixation": _reached(_next_of(inputs["index"], inputs["fixations"]), inputs, reach)}, state

    return Module({**_ports(reach), "fixations": Port(("T - 1", 2), (jnp.float32,))}, apply)


def learned_sequence(initial: Any, reach: float | None = None) -> Module:
    """An eye whose saccades, the same on every image, are parameters ``places`` ``[T - 1, 2]``.

    They begin at `initial`, and learn by the gradient of the losses through the retina. Index, position and reach are
    as for `given_fixations`.
    """
    points = jnp.asarray(check_fixations(initial))

    def apply(params: Params, state: State, inputs: Values, key: Key | None) -> tuple[Values, State]:
        wanted = jnp.clip(_next_of(inputs["index"], params["places"]), 0.0, 1.0)
        return {"fixation": _reached(wanted, inputs, reach)}, state

    return Module(_ports(reach), apply, init=lambda key, inputs: {"places": points})


def told_sequence(initial: Any) -> Module:
    """An eye that is told where to look: at places about the one at its port ``object`` ``[2]``, clipped to [0, 1].

    How they lie about it, ``offsets`` ``[T - 1, 2]``, are parameters, which begin at `initial` and learn by the
    gradient of the losses through the retina. Needs ``loop.index`` at its port ``index``.
    """
    offsets = jnp.asarray(initial, jnp.float32)

    def apply(params: Params, state: State, inputs: Values, key: Key | None) -> tuple[Values, State]:
        return {"fixation": jnp.clip(inputs["object"] + _next_of(inputs["index"], params["offsets"]), 0.0, 1.0)}, state

    return Module({"index": INDEX, "object": POINT}, apply, init=lambda key, inputs: {"offsets": offsets})


def salient(size: int) -> Module:
    """An eye that looks where the image stands out most, and not again where it has looked.

    The map is the local contrast, the standard deviation of the brightness over `size` pixels each way, as of a crop.
    Each place looked at, the first included, is suppressed by a Gaussian of half that width, and the next is where most
    is left (after Itti, Koch, Niebur 1998, IEEE Transactions on Pattern Analysis 20, with one feature at one scale).
    Ports: ``image`` ``[H, W, C]``, from an input of the graph, the present place ``position`` and, if linked,
    ``extent`` ``[2]``, the shares of the image that are picture, beyond which nothing is salient.
    """

    def apply(params: Params, state: State, inputs: Values, key: Key | None) -> tuple[Values, State]:
        grey = inputs["image"].astype(jnp.float32).mean(-1)
        height, width = grey.shape
        variance = _box_mean(grey**2, size) - _box_mean(grey, size) ** 2
        last = inputs.get("extent", 1.0) * jnp.array([width - 1, height - 1], jnp.float32)
        column, row = inputs["position"] * last
        rows, columns = jnp.mgrid[:height, :width].astype(jnp.float32)
        away = (columns - column) ** 2 + (rows - row) ** 2
        left = state * (1 - jnp.exp(-away / (2 * (size / 2) ** 2)))
        inside = (columns <= last[0]) & (rows <= last[1])
        best = jnp.argmax(jnp.sqrt(jnp.maximum(variance, 0.0)) * left * inside.astype(jnp.float32))
        place = jnp.stack([best % width, best // width]).astype(jnp.float32) / jnp.maximum(last, 1.0)
        return {"fixation": place}, left

    def begin(inputs: Values) -> State:
        return jnp.ones(inputs["image"].shape[:2], jnp.float32)

    extent = Port((2,), (jnp.float32,), required=False)
    return Module({"image": Port(("H", "W", "C")), "position": POINT, "extent": extent}, apply, begin=begin)


def _box_mean(image: Array, size: int) -> Array:
    """The mean over a box of `size` pixels each way about every pixel; beyond the border the image is 0."""
    ones = jnp.ones(size, jnp.float32) / size
    blurred = jax.vmap(lambda line: jnp.convolve(line, ones, mode="same"))
    return blurred(blurred(image).T).T


def drawn_scanpath(scanpaths: Any, reach: float | None = None) -> Module:
    """An eye that follows one of some scanpaths ``[M, T - 1, 2]``, drawn anew for each rollout, whatever the image.

    Index, position and reach are as for `given_fixations`.
    """
    bank = jnp.asarray(check_fixations(scanpaths))

    def apply(params: Params, state: State, inputs: Values, key: Key | None) -> tuple[Values, State]:
        row = jnp.where(inputs["index"] == 0, jax.random.randint(cast(Key, key), (), 0, len(bank)), state)
        return {"fixation": _reached(_next_of(inputs["index"], bank[row]), inputs, reach)}, row

    return Module(_ports(reach), apply, begin=lambda inputs: jnp.zeros((), jnp.int32), random=True)


def _ports(reach: float | None) -> dict[str, Port]:
    return {"index": INDEX, **({} if reach is None else {"position": POINT})}


def _reached(wanted: Array, inputs: Values, reach: float | None) -> Array:
    return wanted if reach is None else within_reach(wanted, inputs["position"], reach)


def following(graph: Graph, port: Source | str, reach: float | None = None, position: str = "") -> Graph:
    """The same graph, in which fixations given with each image take the place of an output port.

    As `moved_by` with `given_fixations`: the graph has a further input, ``fixations`` ``[T - 1, 2]``.

    Example:
      >>> import foveax as fx
      >>> graph = fx.standard_pipeline(fx.load("mnist5k"))
      >>> followed = following(graph, "saccader.fixation")
      >>> followed.inputs["fixations"].shape, str(followed.wiring.writes["fixation"])
      ((5, 2), 'given.fixation')
    """
    return moved_by(graph, port, given_fixations(reach), position)


def moved_by(graph: Graph, port: Source | str, eye: Module, position: str = "") -> Graph:
    """The same graph, in which another eye, without inputs but those of this file, takes the place of an output port.

    The eye is a module with an output ``fixation``, under a name that is free, whose image is that of the graph; all
    links from the port, which gives the next fixation ``[2]`` and is named as ``"module.port"``, lead from that module
    instead. The parameters of the other modules fit both graphs. `position` names the port that gives the present
    fixation, to an eye that needs it. Raises `GraphError` if no fixation can take the place of what the port gives.
    """
    name = "given"
    while name in graph.modules:
        name += "_fixations"
    sources = {"index": "loop.index", "fixations": "input.fixations", "position": position}
    sources |= {"image": "input.image", "extent": graph.roles.extent}
    links = [f"{sources[own]} -> {name}.{own}" for own in eye.inputs if sources[own]]
    inputs = dict(graph.inputs)
    if "fixations" in eye.inputs:
        inputs["fixations"] = jax.ShapeDtypeStruct((graph.length - 1, 2), jnp.float32)
    extended = graph.replace(inputs=inputs, modules={**graph.modules, name: eye}, links=[*graph.links, *links])
    return extended.reroute(str(port), f"{name}.fixation")


def within_reach(wanted: Array, position: Array, reach: float) -> Array:
    """The place nearest to the one wanted, ``[2]``, that lies within reach along each axis, and in [0, 1]^2.

    Example:
      >>> import jax.numpy as jnp
      >>> [round(x, 2) for x in within_reach(jnp.array([1.0, 0.5]), jnp.array([0.5, 0.5]), 0.2).tolist()]
      [0.7, 0.5]
    """
    return jnp.clip(jnp.clip(wanted, position - reach, position + reach), 0.0, 1.0)


def check_fixations(fixations: Any) -> np.ndarray:
    """Fixations as float32 ``[..., 2]``; refuses what does not lie in [0, 1]^2."""
    try:
        points = np.asarray(fixations, np.float32)
    except (TypeError, ValueError):
        raise InputError(f"fixations must be (x, y) pairs of numbers; got {in_line(fixations)}") from None
    if points.ndim < 2 or points.shape[-1] != 2:
        raise InputError(f"fixations must be (x, y) pairs; got an array of shape {points.shape}")
    if not ((points >= 0) & (points <= 1)).all():
        raise InputError(f"fixations must lie in [0, 1]; got {points.min()} to {points.max()}")
    return points


def _next_of(index: Array, fixations: Array) -> Array:
    """The fixation that follows a glimpse, out of ``[T - 1, 2]``; the last glimpse's, which is not used, repeats."""
    if not len(fixations):
        return jnp.full(2, 0.5, jnp.float32)
    return fixations[jnp.minimum(index, len(fixations) - 1)]
