"""Sources of scanpaths: what moves the eye of a graph, whatever the graph is, and what tells it where it looks."""

from typing import Any, Literal, cast, get_args

import jax
import jax.numpy as jnp

from foveax._checked import in_line
from foveax._types import Array, InputError, Key, Params
from foveax.graph.graph import Graph, parse_port, waiting_for
from foveax.graph.modules import Module, State, Values, from_function
from foveax.graph.ports import POINT, GraphError
from foveax.modules.scripted import (
    centre,
    centre_biased,
    corner_sequence,
    fixed_sequence,
    given_fixations,
    moved_by,
    salient,
    uniform_random,
)

Scripted = Literal["centre", "random", "centre_biased", "corners", "salient"]
Efference = Literal["absolute", "relative", "none", "shuffled"]
DEFAULT_CROP = 9
"""Pixels over which a salient eye measures contrast, where the graph declares no crop."""


def steer(graph: Graph, source: Scripted | Literal["learned", "given"]) -> Graph:
    """The same graph, whose gaze is moved by another source of fixations; all else is unchanged.

    The gaze is the memory that the roles name. Agents from which it followed no longer learn, and are removed if
    nothing else reads them. The parameters of the other modules fit both graphs.

    Args:
      graph: of any pipeline that declares a gaze.
      source: ``learned`` leaves the graph as it is; ``centre``, ``random`` (each place with equal probability),
        ``centre_biased`` (`foveax.modules.scripted.centre_biased`), ``corners`` (`corner_sequence`) and ``salient``
        (`foveax.modules.scripted.salient`, of the graph input ``image``) need no data; ``given`` takes the fixations
        after the first from a further input, ``fixations`` ``[T - 1, 2]``.

    Raises:
      InputError: for another source, or a graph whose gaze nothing moves.

    Example:
      >>> import foveax as fx
      >>> graph = fx.standard_pipeline(fx.load("mnist5k"))
      >>> steered = steer(graph, "random")
      >>> steered.agents, str(steered.wiring.writes["fixation"]), list(steered.hyperparameters)
      ([], 'given.fixation', [])
    """
    names = ("learned", "given", *get_args(Scripted))
    if source not in names:
        raise InputError(f"a source of fixations must be one of {', '.join(names)}; got {in_line(source)}")
    if source == "learned":
        return graph
    gaze = graph.roles.gaze
    if gaze not in graph.wiring.writes:
        raise InputError("a graph must declare a gaze (Roles) that is written, to be steered; this one does not")
    writer, position = graph.wiring.writes[gaze], f"memory.{gaze}"
    eye = given_fixations() if source == "given" else scripted_eye(source, graph.length, graph.roles.crop_size)
    steered = moved_by(graph, writer, eye, position)
    idle = [name for name in graph.agents if writer.module in waiting_for(graph.wiring, [name])]
    modules = {name: module._replace(agent=None) if name in idle else module for name, module in graph.modules.items()}
    steered = steered.replace(modules={**steered.modules, **modules})
    read = {source.module for ports in steered.wiring.sources.values() for source in ports.values()}
    read |= {source.module for source in steered.wiring.writes.values()}
    steered = steered.remove(*(name for name in idle if name not in read))
    used = [str(source) for ports in steered.wiring.sources.values() for source in ports.values()]
    used += [f"hyperparameter.{loss.weight}" for loss in steered.losses.values()]
    used += [f"hyperparameter.{steered.modules[name].agent.pathwise}" for name in steered.agents]  # pyright: ignore
    numbers = {name: value for name, value in graph.hyperparameters.items() if f"hyperparameter.{name}" in used}
    return steered.replace(hyperparameters=numbers)


def scripted_eye(name: Scripted, glimpses: int, crop_size: int) -> Module:
    """The eye of a name that moves without learning, and without data of its own.

    Raises `InputError` if there is none of that name.
    """
    if name == "corners":
        return fixed_sequence(corner_sequence(max(glimpses - 1, 1)).tolist())
    if name == "salient":
        return salient(crop_size or DEFAULT_CROP)
    plain = {"centre": centre, "random": uniform_random, "centre_biased": centre_biased}
    if name not in plain:
        raise InputError(f"a scripted eye must be one of {', '.join(get_args(Scripted))}; got {in_line(name)}")
    return plain[name]()


def copy_efference(graph: Graph, kind: Efference, port: str = "classifier.fixation") -> Graph:
    """The same graph, in which a port that reads the gaze is told another thing about where the eye is.

    Args:
      graph: whose gaze is linked to the port.
      kind: ``absolute`` leaves the place in the image; ``relative`` tells the saccade that led here, as ``0.5 + (place
        - place before) / 2``, 0.5 at the first glimpse; ``none`` unlinks the port; ``shuffled`` tells a place drawn
        with equal probability from the image, which has nothing to do with the true one.
      port: ``"module.port"``.

    Raises:
      GraphError: if the port does not read the gaze, or need it.
      InputError: for another kind.

    Example:
      >>> import foveax as fx
      >>> graph = copy_efference(fx.standard_pipeline(fx.load("mnist5k")), "relative")
      >>> str(graph.wiring.sources["classifier"]["fixation"])
      'efference.place'
    """
    if kind not in get_args(Efference):
        raise InputError(f"an efference copy must be one of {', '.join(get_args(Efference))}; got {in_line(kind)}")
    gaze, target = graph.roles.gaze, parse_port(port)
    source = graph.wiring.sources.get(target.module, {}).get(target.port)
    if str(source) != f"memory.{gaze}":
        raise GraphError(f"an efference copy must enter a port that reads memory.{gaze}; {port} reads {source}")
    if kind == "absolute":
        return graph
    if kind == "none":
        return graph.unlink(port)
    name = "efference"
    while name in graph.modules:
        name += "_copy"
    module: dict[str, Any] = {name: saccade() if kind == "relative" else random_place()}
    if kind == "shuffled":
        return graph.add(f"{name}.place -> {port}", **module)
    before = f"{name}_before"
    return graph.add(
        f"memory.{gaze} -> {name}.fixation",
        f"memory.{before} -> {name}.before",
        f"memory.{gaze} -> memory.{before}",
        f"{name}.place -> {port}",
        memory={before: graph.memory[gaze]},
        **module,
    )


def saccade() -> Module:
    """The saccade from the place ``before`` to a ``fixation``, both ``[2]``: ``place``, within [0, 1]^2 as places are.

    It is ``0.5 + (fixation - before) / 2``, so that 0.5 is no movement.
    """

    def difference(fixation: Array, before: Array) -> Array:
        return 0.5 + (fixation - before) / 2

    return from_function(difference, outputs="place", ports={"fixation": POINT, "before": POINT})


def random_place() -> Module:
    """A ``place`` ``[2]`` drawn with equal probability from the image at each glimpse."""

    def apply(params: Params, state: State, inputs: Values, key: Key | None) -> tuple[Values, State]:
        return {"place": jax.random.uniform(cast(Key, key), (2,), jnp.float32)}, state

    return Module({}, apply, random=True)
