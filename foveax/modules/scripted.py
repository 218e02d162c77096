"""Eyes that do not learn."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from foveax._types import Array, InputError, Key, Params
from foveax.graph.graph import Graph, Source
from foveax.graph.modules import Module, State, Values
from foveax.graph.ports import POINT, Port

INDEX = Port((), (jnp.int32,))
SEQUENCE = Port(("T - 1", 2), (jnp.float32,))


def centre() -> Module:
    """An eye that stays at the centre. Output: ``fixation`` ``[2]``."""
    return _scripted(lambda inputs, key: jnp.full(2, 0.5, jnp.float32))


def uniform_random() -> Module:
    """An eye that looks anywhere in the image with equal probability. Output: ``fixation`` ``[2]``."""
    return _scripted(lambda inputs, key: jax.random.uniform(key, (2,), jnp.float32), random=True)


def fixed_sequence(fixations: Sequence[Sequence[float]]) -> Module:
    """An eye that makes the same saccades on every image. Needs ``loop.index`` at its port ``index``.

    Args:
      fixations: ``[T - 1, 2]``: the fixations after the first, which the graph's memory begins with; the last of them
        is repeated where there are more saccades.

    Raises:
      InputError: if they are not (x, y) pairs in [0, 1].
    """
    points = check_fixations(fixations)
    return _scripted(lambda inputs, key: _next_of(jnp.asarray(points), inputs["index"]), {"index": INDEX})


def given_fixations(reach: float | None = None) -> Module:
    """An eye that follows fixations given with each image. Needs ``loop.index`` at ``index``.

    Its port ``fixations`` takes ``[T - 1, 2]``, the fixations after the first, from a graph input of that shape.

    Args:
      reach: the farthest move along each axis, as a fraction of the image, from the place at the port ``position``,
        which a link must then feed; the eye moves as far as it can. None for anywhere.
    """

    def choose(inputs: Values, key: Key | None) -> Array:
        del key
        wanted = _next_of(inputs["fixations"], inputs["index"])
        if reach is None:
            return wanted
        return within_reach(wanted, inputs["position"], reach)

    ports = {"index": INDEX, "fixations": SEQUENCE}
    return _scripted(choose, ports if reach is None else {**ports, "position": POINT})


def following(graph: Graph, port: Source | str, reach: float | None = None, position: str = "") -> Graph:
    """The same graph, in which fixations given with each image take the place of an output port.

    The graph has a further input, ``fixations`` ``[T - 1, 2]``, and a module `given_fixations` under a name that is
    free; all links from the port lead from that module instead. The parameters of the other modules fit both graphs.

    Args:
      graph: with a port that gives the next fixation ``[2]``.
      port: as ``"module.port"``.
      reach: as in `given_fixations`.
      position: the port that gives the present fixation, as ``"module.port"``; needed if there is a reach.

    Raises:
      GraphError: if no fixation can take the place of what the port gives.

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
    sequence = jax.ShapeDtypeStruct((graph.length - 1, 2), jnp.float32)
    links = [f"loop.index -> {name}.index", f"input.fixations -> {name}.fixations"]
    if reach is not None:
        links.append(f"{position} -> {name}.position")
    extended = dataclasses.replace(
        graph,
        inputs={**graph.inputs, "fixations": sequence},
        modules={**graph.modules, name: given_fixations(reach)},
        links=[*graph.links, *links],
    )
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
        raise InputError(f"fixations must be (x, y) pairs of numbers; got {fixations!r}") from None
    if points.ndim < 2 or points.shape[-1] != 2:
        raise InputError(f"fixations must be (x, y) pairs; got an array of shape {points.shape}")
    if not ((points >= 0) & (points <= 1)).all():
        raise InputError(f"fixations must lie in [0, 1]; got {points.min()} to {points.max()}")
    return points


def _next_of(fixations: Array, index: Array) -> Array:
    """The fixation that follows a glimpse, out of ``[T - 1, 2]``; the last glimpse's, which is not used, repeats."""
    if not len(fixations):
        return jnp.full(2, 0.5, jnp.float32)
    return fixations[jnp.minimum(index, len(fixations) - 1)]


def _scripted(
    choose: Callable[[Values, Any], Array], ports: Mapping[str, Port] | None = None, *, random: bool = False
) -> Module:
    def apply(params: Params, state: State, inputs: Values, key: Key | None) -> tuple[Values, State]:
        del params
        return {"fixation": choose(inputs, key)}, state

    return Module(inputs=ports or {}, apply=apply, random=random)
