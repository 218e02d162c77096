"""Graphs as functions of the image that they look at, for attacks: with the gaze free to move, or held.

Every gradient flows: through crop, retina and memory, and through the fixations, where training stops it. An attack is
one of `foveax.robustness` on an objective of this file, for one image; batch it with `jax.vmap`.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp

from foveax._types import Array, Batch, InputError, Key, Params
from foveax.evaluation.controls import control_targets
from foveax.graph.compile import compile as compile_graph
from foveax.graph.graph import Graph, Source, parse_port
from foveax.modules.scripted import learned_sequence, moved_by
from foveax.robustness.objectives import Loss, Objective, cross_entropy, margin
from foveax.training.adversary import differentiable

SMALLEST = 1e-30
"""Probability that stands for smaller ones where only probabilities are to be had."""


class Response(NamedTuple):
    """What a graph makes of an image.

    Attributes:
      logits: ``[T, K]``, after each glimpse.
      fixations: ``[T, 2]``, the gaze; ``[T, 0]`` if the graph declares none.
      places: ``[T - 1, 2]`` by eye (`foveax.evaluation.controls.control_targets`): what each chose.
    """

    logits: Array
    fixations: Array
    places: dict[str, Array]


Respond = Callable[[dict[str, Params], Batch, Array, Key], Response]
"""``(params, inputs, image, key) -> response``: the graph's inputs by name, of which the image is replaced."""
ImageResponse = Callable[[Array, Key], Response]
"""``(image [H, W, C] float32 in [0, 1], key) -> response``."""


def free_gaze(graph: Graph, *, sampled: bool = False) -> Respond:
    """The graph as a function of the image, its gaze moved by what it sees, with the gradient through all of it.

    Example:
      >>> import foveax as fx, jax, jax.numpy as jnp
      >>> graph = fx.standard_pipeline(fx.load("mnist5k"), fx.PipelineConfig(hidden=8, features=8))
      >>> params = fx.init(graph, jax.random.key(0))
      >>> response = free_gaze(graph)(params, {"label": jnp.int32(3)}, jnp.zeros((28, 28, 1)), jax.random.key(1))
      >>> response.logits.shape, response.fixations.shape
      ((6, 10), (6, 2))
    """
    targets = {name: target.port for name, target in control_targets(graph).items()} if graph.length > 1 else {}
    opened = differentiable(graph, sampled=sampled)
    rollout, read = _rollout(opened, targets)

    def respond(params: dict[str, Params], inputs: Batch, image: Array, key: Key) -> Response:
        return read(rollout(params, {**inputs, "image": image}, key))

    return respond


def held_gaze(graph: Graph) -> Callable[..., Response]:
    """``(params, inputs, image, key, places) -> response``: the graph whose eyes look where `places` say.

    The places are those of a `Response`, such as that to the clean image; no gradient flows through them.
    """
    targets = control_targets(graph) if graph.length > 1 else {}
    opened, eyes = differentiable(graph), {}
    for name, target in targets.items():
        before = set(opened.modules)
        eye = learned_sequence(jnp.full((graph.length - 1, 2), 0.5))
        opened = moved_by(opened, target.port, eye)
        (eyes[name],) = set(opened.modules) - before
    rollout, read = _rollout(opened, {name: Source(eye, "fixation") for name, eye in eyes.items()})

    def respond(
        params: dict[str, Params], inputs: Batch, image: Array, key: Key, places: Mapping[str, Array]
    ) -> Response:
        held = {eye: {"places": jax.lax.stop_gradient(places[name])} for name, eye in eyes.items()}
        return read(rollout({**params, **held}, {**inputs, "image": image}, key))

    return respond


def has_gaze_gradient(graph: Graph) -> bool:
    """Whether a gradient can flow through the gaze: an agent moves it, which does not choose among places.

    A script has none that a verdict could miss. Where no agent writes the gaze itself, all of them are asked.

    Example:
      >>> import foveax as fx
      >>> data = fx.load("mnist5k")
      >>> choices = ({}, {"zoom": 2.0}, {"grid": 7}, {"policy": "random"})
      >>> [has_gaze_gradient(fx.standard_pipeline(data, fx.PipelineConfig(**choice))) for choice in choices]
      [True, True, False, False]
    """
    writer = graph.wiring.writes.get(graph.roles.gaze)
    movers = [writer.module] if writer and writer.module in graph.agents else graph.agents
    actions = [graph.wiring.outputs[name]["action"] for name in movers]
    return bool(actions) and not any(jnp.issubdtype(action.dtype, jnp.integer) for action in actions)


def class_objective(
    respond: ImageResponse, label: Any, loss: Loss = cross_entropy, *, glimpses: Literal["each", "last"] = "last"
) -> Objective:
    """The objective of a wrong class after the last glimpse.

    What is to become large is the loss after the last glimpse, or its mean over each of them.
    """

    def objective(image: Array, key: Key) -> tuple[Array, Array]:
        logits = respond(image, key).logits
        counted = logits if glimpses == "each" else logits[-1:]
        return jnp.mean(jax.vmap(loss, in_axes=(0, None))(counted, label)), margin(logits[-1], label) > 0

    return objective


def away_objective(
    respond: ImageResponse, fixations: Array, distance: Any, *, glimpses: Sequence[int] | None = None
) -> Objective:
    """The objective of a gaze pushed off: ``mean_t |f_t - clean_t|^2 - distance^2``, successful above 0.

    At the clean image its gradient is 0: an attack must begin elsewhere.

    Args:
      respond: the graph.
      fixations: ``[T, 2]``, those on the clean image.
      distance: the root mean square distance that is wanted, as a fraction of the image.
      glimpses: the numbers of the fixations that count, from 0; by default all but the first.
    """
    rows = jnp.arange(1, len(fixations)) if glimpses is None else jnp.asarray(glimpses)

    def objective(image: Array, key: Key) -> tuple[Array, Array]:
        moved = respond(image, key).fixations[rows] - fixations[rows]
        loss = jnp.mean(jnp.sum(jnp.square(moved), axis=-1)) - jnp.square(distance)
        return loss, loss > 0

    return objective


def same_class_objective(respond: ImageResponse, label: Any) -> Objective:
    """The objective of a class that stays after the last glimpse: its lead, ``-margin``, successful above 0.

    With another objective it is one half of a goal (`foveax.robustness.conjunction`): to move the gaze, but not the
    class.
    """

    def objective(image: Array, key: Key) -> tuple[Array, Array]:
        lead = -margin(respond(image, key).logits[-1], label)
        return lead, lead > 0

    return objective


def towards_objective(
    respond: ImageResponse, places: Array, distance: Any, *, glimpses: Sequence[int] | None = None
) -> Objective:
    """The objective of a gaze led to chosen places: ``distance^2 - mean_t |f_t - place_t|^2``, successful from 0 on.

    Arguments are those of `away_objective`; the `places` ``[T, 2]`` take the place of the clean fixations.
    """
    away = away_objective(respond, places, distance, glimpses=glimpses)

    def objective(image: Array, key: Key) -> tuple[Array, Array]:
        loss, is_away = away(image, key)
        return -loss, ~is_away

    return objective


def logits_port(graph: Graph) -> Source | None:
    """The port that gives the logits: what enters the module of the belief at its port ``logits``; None without."""
    belief = parse_port(graph.roles.belief) if graph.roles.belief else None
    if belief is None:
        raise InputError("a graph must declare a belief (Roles) to be attacked; its roles name none")
    return graph.wiring.sources[belief.module].get("logits") if belief.module in graph.modules else None


def _rollout(graph: Graph, places: Mapping[str, Source]) -> tuple[Callable[..., Any], Callable[[Any], Response]]:
    """The compiled graph, and how its trajectory is read."""
    logits, gaze = logits_port(graph), graph.roles.gaze
    belief = parse_port(graph.roles.belief)
    ports = {str(logits or belief), *map(str, places.values()), *([f"memory.{gaze}"] if gaze else [])}

    def read(trajectory: Any) -> Response:
        def at(port: Source) -> Array:
            return trajectory[port.module][port.port]

        values = at(logits) if logits else jnp.log(jnp.maximum(at(belief), SMALLEST))
        fixations = trajectory["memory"][gaze] if gaze else jnp.zeros((graph.length, 0))
        return Response(values, fixations, {name: at(port)[:-1] for name, port in places.items()})

    return compile_graph(graph, sorted(ports)), read
