"""Controls: what the same pipeline does when an eye is moved by something other than its policy."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import numpy as np

from foveax._arrays import check_count, check_fixations
from foveax._types import Key, Params
from foveax.data.dataset import Data, Split
from foveax.evaluation.evaluate import Evaluation, Evaluator, check_split, make_evaluator, place_port, track
from foveax.graph.graph import Graph, Source
from foveax.modules.scripted import following

FITTED_IMAGES = 500
"""Training images to which the fixed sequence is fitted."""
CANDIDATES, ELITES = 48, 8
"""Sequences tried in each round of the search, and those that the next round is drawn from."""
CONTROLS = ("best sequence", "another image", "random", "centre")


class Target(NamedTuple):
    """A port whose places controls replace, the agent's reach, and the port of the present place if there is one."""

    port: Source
    reach: float | None = None
    position: str = ""


def evaluate_with_controls(
    graph: Graph, params: dict[str, Params], data: Data, *, key: Key, rounds: int = 4
) -> dict[str, Evaluation]:
    """The test split under the pipeline's own policy, and the same pipeline under the controls of each of its agents.

    The controls are: ``best sequence``, the places that serve best if they must be the same on every image, fitted on
    training images; ``another image``, the policy's own places, shuffled over the images; ``random``, uniform over the
    image; ``centre``. They keep to an agent's reach. Of several agents, one is controlled while the others act, and its
    controls are called ``"agent: control"``. Without agents, what writes the gaze is controlled.

    With a single glimpse, or no eye, there is nothing to control; with a single image there is no other. `rounds` are
    those of `best_sequence`. The test split is refused as `foveax.evaluate` refuses it.

    Returns:
      by name, the pipeline's own first: ``"learned"``, or ``"scripted"`` if it has no agents, and an eye without
      parameters.
    """
    rounds = check_count("rounds", rounds)
    data = data._replace(test={**data.test, **check_split(graph, data.test, "test split")})
    own = make_evaluator(graph)(params, data.test, key)
    evaluations = {own_name(graph): own}
    targets = control_targets(graph) if graph.length > 1 else {}
    tracks = {name: port for name in graph.agents if (port := track(graph, name)) and port.module == "memory"}
    for name, target in targets.items():
        given = make_evaluator(following(graph, *target), tracks=tracks)
        prefix = f"{name}: " if len(targets) > 1 else ""
        places = own.tracks.get(name, own.fixations)
        assert places is not None
        for control, fixations in _controls(given, params, data, places[:, 1:], key, rounds).items():
            evaluations[prefix + control] = given(params, {**data.test, "fixations": fixations}, key)
    return evaluations


def own_name(graph: Graph) -> str:
    """The name of a pipeline's own evaluation among its controls."""
    if graph.agents:
        return "learned"
    writer = graph.wiring.writes.get(graph.roles.gaze)
    if writer is None or writer.module not in graph.modules:
        return "scripted"
    specs = graph.wiring.inputs[writer.module]
    params = jax.eval_shape(graph.modules[writer.module].init, jax.random.key(0), specs)
    return "learned" if jax.tree.leaves(params) else "scripted"  # learned elsewhere: another library's policy


def control_targets(graph: Graph) -> dict[str, Target]:
    """What can be controlled, by agent; without agents, what writes the gaze, under the name of that memory."""
    targets = {}
    for name in graph.agents:
        agent, port = graph.modules[name].agent, place_port(graph, name)
        if agent and port and track(graph, name):
            position = "" if agent.reach is None else str(graph.wiring.sources[name]["position"])
            targets[name] = Target(port, agent.reach, position)
    if not graph.agents and graph.roles.gaze in graph.wiring.writes:
        targets[graph.roles.gaze] = Target(graph.wiring.writes[graph.roles.gaze])
    return targets


def controls_of(evaluations: dict[str, Evaluation], name: str) -> dict[str, Evaluation]:
    """The controls of one target, by their plain names."""
    plain = {control.removeprefix(f"{name}: "): evaluation for control, evaluation in evaluations.items()}
    return {control: plain[control] for control in CONTROLS if control in plain}


def _controls(
    given: Evaluator, params: dict[str, Params], data: Data, own: np.ndarray, key: Key, rounds: int
) -> dict[str, np.ndarray]:
    """The places ``[N, T - 1, 2]`` of each control."""
    shuffle_key, uniform_key, sequence_key = jax.random.split(key, 3)
    sequence = best_sequence(lambda split: given(params, split, key), data, key=sequence_key, tried=own, rounds=rounds)
    others = {"another image": own[np.asarray(jax.random.permutation(shuffle_key, len(own)))]} if len(own) > 1 else {}
    return {
        "best sequence": np.broadcast_to(sequence, own.shape),
        **others,
        "random": np.asarray(jax.random.uniform(uniform_key, own.shape)),
        "centre": np.full(own.shape, 0.5, np.float32),
    }


def best_sequence(
    follow: Callable[[Split], Evaluation], data: Data, *, key: Key, tried: np.ndarray, rounds: int
) -> np.ndarray:
    """The fixed sequence of places with the greatest mean log-probability of the label after the last glimpse.

    The cross-entropy method (de Boer et al. 2005, Annals of Operations Research 134): each round draws sequences from
    a normal distribution fitted to the best of all so far. The first round tries the policy's own mean, scanpaths of
    its own and sequences at random. Without a belief, the score stands in the place of the log-probability.

    `follow` evaluates a split along its ``fixations``; the sequence is fitted to training images of `data`; `tried` are
    the policy's own places ``[N, T - 1, 2]``. Returns ``[T - 1, 2]`` float32.
    """
    tried = check_fixations("tried", tried, N=1, **{"T - 1": 1}).astype(np.float32)
    rounds = check_count("rounds", rounds)
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
    if evaluation.probabilities is None or evaluation.label is None:
        return float(evaluation.score[:, -1].mean())
    chosen = evaluation.probabilities[np.arange(len(evaluation.label)), -1, evaluation.label]
    return float(np.log(chosen + 1e-9).mean())
