"""Eyes that do not learn: modules with the output ``fixation`` ``[2]``."""

from collections.abc import Sequence
from typing import Any, cast

import jax
import jax.numpy as jnp
import numpy as np

from foveax._arrays import shown
from foveax._types import Array, InputError, Key, Params
from foveax.graph.graph import Graph, Source
from foveax.graph.modules import Module, State, Values, from_function
from foveax.graph.ports import POINT, Port

INDEX = Port((), (jnp.int32,))


def centre() -> Module:
    """An eye that stays at the centre."""
    return from_function(lambda: jnp.full(2, 0.5, jnp.float32), outputs="fixation")


def uniform_random() -> Module:
    """An eye that looks anywhere in the image with equal probability."""

    def apply(params: Params, state: State, inputs: Values, key: Key | None) -> tuple[Values, State]:
        return {"fixation": jax.random.uniform(cast(Key, key), (2,), jnp.float32)}, state

    return Module({}, apply, random=True)


def fixed_sequence(fixations: Sequence[Sequence[float]]) -> Module:
    """An eye that makes the same saccades on every image. Needs ``loop.index`` at its port ``index``.

    The fixations, ``[T - 1, 2]``, follow the first, which the graph's memory begins with; the last of them is repeated
    where there are more saccades. Raises `InputError` if they are not (x, y) pairs in [0, 1].
    """
    points = check_fixations(fixations)
    return from_function(lambda index: _next_of(index, jnp.asarray(points)), outputs="fixation", ports={"index": INDEX})


def given_fixations(reach: float | None = None) -> Module:
    """An eye that follows fixations given with each image. Needs ``loop.index`` at ``index``.

    Its port ``fixations`` takes ``[T - 1, 2]``, the fixations after the first, from a graph input of that shape. With a
    reach, the farthest move along each axis as a fraction of the image, from the place at the port ``position``, which
    a link must then feed, it moves as far as it can.
    """

    def nearby(index: Array, fixations: Array, position: Array) -> Array:
        return within_reach(_next_of(index, fixations), position, cast(float, reach))

    ports = {"index": INDEX, "fixations": Port(("T - 1", 2), (jnp.float32,)), "position": POINT}
    return from_function(_next_of if reach is None else nearby, outputs="fixation", ports=ports)


def following(graph: Graph, port: Source | str, reach: float | None = None, position: str = "") -> Graph:
    """The same graph, in which fixations given with each image take the place of an output port.

    The graph has a further input, ``fixations`` ``[T - 1, 2]``, and a module `given_fixations` under a name that is
    free; all links from the port lead from that module instead. The parameters of the other modules fit both graphs.

    The port, which gives the next fixation ``[2]``, is named as ``"module.port"``. The reach is as in
    `given_fixations`; with one, `position` names the port that gives the present fixation. Raises `GraphError` if no
    fixation can take the place of what the port gives.

    Example:
      >>> import foveax as fx
      >>> graph = fx.standard_pipeline(fx.load("mnist5k"))
      >>> followed = following(graph, "saccader.fixation")
      >>> followed.inputs["fixations"].shape, str(followed.wiring.writes["fixation"])
      ((5, 2), 'given.fixation')
    """
    name = "given"
    while name in graph.modules:
        name += "_fixations"
    links = [f"loop.index -> {name}.index", f"input.fixations -> {name}.fixations"]
    if reach is not None:
        links.append(f"{position} -> {name}.position")
    inputs = {**graph.inputs, "fixations": jax.ShapeDtypeStruct((graph.length - 1, 2), jnp.float32)}
    modules = {**graph.modules, name: given_fixations(reach)}
    extended = graph.replace(inputs=inputs, modules=modules, links=[*graph.links, *links])
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
        raise InputError(f"fixations must be (x, y) pairs of numbers; got {shown(fixations)}") from None
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
