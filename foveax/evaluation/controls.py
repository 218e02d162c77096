"""Controls: what the same pipeline does when an eye is moved by something other than its policy."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import numpy as np

from foveax._types import Key, Params
from foveax.data.dataset import Data, Split
from foveax.evaluation.evaluate import Evaluation, Evaluator, make_evaluator, place_port, track
from foveax.graph.graph import Graph, Source
from foveax.modules.scripted import following

FITTED_IMAGES = 500
"""Training images to which the fixed sequence is fitted."""
CANDIDATES, ELITES = 48, 8
"""Sequences tried in each round of the search, and those that the next round is drawn from."""
CONTROLS = ("best sequence", "another image", "random", "centre")
LEARNED, SCRIPTED = "learned", "scripted"


class Target(NamedTuple):
    """A part of a graph that controls take the place of.

    Attributes:
      port: that gives the places.
      reach: of the agent (`Agent.reach`).
      position: the port that gives the present place; empty without a reach.
    """

    port: Source
    reach: float | None
    position: str


def evaluate_with_controls(
    graph: Graph, params: dict[str, Params], data: Data, *, key: Key, rounds: int = 4
) -> dict[str, Evaluation]:
    """The test split under the pipeline's own policy, and the same pipeline under the controls of each of its agents.

    The controls are: ``best sequence``, the places that serve best if they must be the same on every image, fitted on
    training images; ``another image``, the policy's own places, shuffled over the images; ``random``, uniform over the
    image; ``centre``. They keep to an agent's reach. Of several agents, one is controlled while the others act, and its
    controls are called ``"agent: control"``. Without agents, what writes the gaze is controlled.

    Args:
      graph: with a single glimpse, or no eye, there is nothing to control.
      params: by module.
      data: whose test split is shown.
      key: of the random policies, and of the search.
      rounds: of the search for the best sequence.

    Returns:
      by name, the pipeline's own first: ``"learned"``, or ``"scripted"`` if it has no agents, and an eye without
      parameters.
    """
    own = make_evaluator(graph)(params, data.test, key)
    evaluations = {own_name(graph): own}
    targets = control_targets(graph) if graph.length > 1 else {}
    tracks = {name: port for name in graph.agents if (port := track(graph, name)) and port.module == "memory"}
    for name, target in targets.items():
        given = make_evaluator(following(graph, target.port, target.reach, target.position), tracks=tracks)
        prefix = f"{name}: " if len(targets) > 1 else ""
        places = own.tracks.get(name, own.fixations)
        assert places is not None
        for control, fixations in _controls(given, params, data, places[:, 1:], key, rounds).items():
            evaluations[prefix + control] = given(params, {**data.test, "fixations": fixations}, key)
    return evaluations


def own_name(graph: Graph) -> str:
    """The name of a pipeline's own evaluation among its controls."""
    return LEARNED if graph.agents or _eye_has_parameters(graph) else SCRIPTED


def control_targets(graph: Graph) -> dict[str, Target]:
    """What can be controlled, by agent; without agents, what writes the gaze, under the name of that memory."""
    targets = {}
    for name in graph.agents:
        agent, port = graph.modules[name].agent, place_port(graph, name)
        if agent and port and track(graph, name):
            position = graph.wiring.sources[name].get("position")
            targets[name] = Target(port, agent.reach, str(position) if agent.reach is not None else "")
    gaze = graph.roles.gaze
    if not graph.agents and gaze in graph.wiring.writes:
        targets[gaze] = Target(graph.wiring.writes[gaze], None, "")
    return targets


def controls_of(evaluations: dict[str, Evaluation], name: str) -> dict[str, Evaluation]:
    """The controls of one target, by their plain names."""
    prefixed = {control: evaluations.get(f"{name}: {control}", evaluations.get(control)) for control in CONTROLS}
    return {control: evaluation for control, evaluation in prefixed.items() if evaluation is not None}


def _eye_has_parameters(graph: Graph) -> bool:
    """Whether what writes the gaze was learned, if not here: another library's policy."""
    writer = graph.wiring.writes.get(graph.roles.gaze)
    module = graph.modules.get(writer.module) if writer else None
    if writer is None or module is None:
        return False
    return bool(jax.tree.leaves(jax.eval_shape(module.init, jax.random.key(0), graph.wiring.inputs[writer.module])))


def _controls(
    given: Evaluator, params: dict[str, Params], data: Data, own: np.ndarray, key: Key, rounds: int
) -> dict[str, np.ndarray]:
    """The places ``[N, T - 1, 2]`` of each control."""
    shuffle_key, uniform_key, sequence_key = jax.random.split(key, 3)
    order = np.asarray(jax.random.permutation(shuffle_key, len(own)))
    sequence = best_sequence(lambda split: given(params, split, key), data, key=sequence_key, tried=own, rounds=rounds)
    places = (
        np.broadcast_to(sequence, own.shape),
        own[order],
        np.asarray(jax.random.uniform(uniform_key, own.shape)),
        np.full(own.shape, 0.5, np.float32),
    )
    return dict(zip(CONTROLS, places, strict=True))


def best_sequence(
    follow: Callable[[Split], Evaluation], data: Data, *, key: Key, tried: np.ndarray, rounds: int
) -> np.ndarray:
    """The fixed sequence of places with the greatest mean log-probability of the label after the last glimpse.

    The cross-entropy method (de Boer et al. 2005, Annals of Operations Research 134): each round draws sequences from
    a normal distribution fitted to the best of all so far. The first round tries the policy's own mean, scanpaths of
    its own and sequences at random. Without a belief, the score stands in the place of the log-probability.

    Args:
      follow: evaluates a split along its ``fixations``.
      data: to whose training images the sequence is fitted.
      key: of the images and the draws.
      tried: ``[N, T - 1, 2]``, the policy's own places.
      rounds: how often to draw.

    Returns:
      ``[T - 1, 2]`` float32.
    """
    search_key, sample_key = jax.random.split(key)
    rng = np.random.default_rng(np.asarray(jax.random.key_data(search_key)))
    sample = data.sample(sample_key, FITTED_IMAGES)
    size = len(next(iter(sample.values())))
    own = tried[rng.integers(0, len(tried), CANDIDATES // 2 - 1)]
    anywhere = rng.random((CANDIDATES - CANDIDATES // 2, *tried.shape[1:]), np.float32)
    candidates, best = np.concatenate([tried.mean(0, keepdims=True), own, anywhere]), []
    for _ in range(rounds):
        for sequence in candidates:
            followed = follow({**sample, "fixations": np.broadcast_to(sequence, (size, *sequence.shape))})
            best.append((_value(followed), sequence))
        best = sorted(best, key=lambda scored: -scored[0])[:ELITES]
        elites = np.stack([sequence for _, sequence in best])
        drawn = rng.normal(elites.mean(0), elites.std(0) + 0.01, (CANDIDATES, *tried.shape[1:]))
        candidates = np.clip(drawn, 0, 1).astype(np.float32)
    return best[0][1]


def _value(evaluation: Evaluation) -> float:
    """What the search maximises."""
    if evaluation.probabilities is None or evaluation.label is None:
        return float(evaluation.score[:, -1].mean())
    chosen = evaluation.probabilities[np.arange(len(evaluation.label)), -1, evaluation.label]
    return float(np.log(chosen + 1e-9).mean())
