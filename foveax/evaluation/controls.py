"""Controls: what the same pipeline does when an eye is moved by something other than its policy."""

from typing import NamedTuple

import jax
import numpy as np

from foveax._types import Key, Params
from foveax.data.dataset import Data
from foveax.evaluation import best_sequence as search
from foveax.evaluation.evaluate import (
    Evaluation,
    Evaluator,
    Report,
    check_split,
    make_evaluator,
    place_port,
    silent,
    track,
)
from foveax.graph.graph import Graph, Source
from foveax.modules.scripted import following

CONTROLS = ("best sequence", "another image", "random", "centre")


class Target(NamedTuple):
    """A port whose places controls replace, the agent's reach, and the port of the present place if there is one."""

    port: Source
    reach: float | None = None
    position: str = ""


def evaluate_with_controls(
    graph: Graph,
    params: dict[str, Params],
    data: Data,
    *,
    key: Key,
    evaluator: Evaluator | None = None,
    report: Report = silent,
) -> dict[str, Evaluation]:
    """The test split under the pipeline's own policy, and the same pipeline under the controls of each of its agents.

    The controls are: ``best sequence``, the places that serve best if they must be the same on every image, fitted on
    training images; ``another image``, the policy's own places, shuffled over the images; ``random``, uniform over the
    image; ``centre``. They keep to an agent's reach. Of several agents, one is controlled while the others act, and its
    controls are called ``"agent: control"``. Without agents, what writes the gaze is controlled.

    With a single glimpse, or no eye, there is nothing to control; with a single image there is no other. The test split
    is refused as `foveax.evaluate` refuses it. The pipeline's own evaluator is compiled unless it is given
    (`make_evaluator`). What is done next is reported, as a line.

    Returns:
      by name, the pipeline's own first: ``"learned"``, or ``"scripted"`` if it has no agents, and an eye without
      parameters.
    """
    data = data._replace(test={**data.test, **check_split(graph, data.test, "test split")})
    report(f"test images, {own_name(graph)}")
    own = (evaluator or make_evaluator(graph))(params, data.test, key)
    evaluations = {own_name(graph): own}
    targets = control_targets(graph) if graph.length > 1 else {}
    tracks = {name: port for name in graph.agents if (port := track(graph, name)) and port.module == "memory"}
    for name, target in targets.items():
        followed = following(graph, *target)
        given = make_evaluator(followed, tracks=tracks)
        prefix = f"{name}: " if len(targets) > 1 else ""
        places = own.tracks.get(name, own.fixations)
        assert places is not None
        report(f"search for the {prefix}best sequence")
        for control, fixations in _controls(followed, params, data, own.in_picture(places[:, 1:]), key).items():
            report(f"test images, {prefix}{control}")
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
    followed: Graph, params: dict[str, Params], data: Data, own: np.ndarray, key: Key
) -> dict[str, np.ndarray]:
    """The places ``[N, T - 1, 2]`` of each control."""
    shuffle_key, uniform_key, sequence_key, sample_key = jax.random.split(key, 4)
    sample = data.sample(sample_key, search.FITTED_IMAGES)
    sequence = search.best_sequence(search.last_value(followed), params, sample, key=sequence_key, tried=own)
    others = {"another image": own[np.asarray(jax.random.permutation(shuffle_key, len(own)))]} if len(own) > 1 else {}
    return {
        "best sequence": np.broadcast_to(sequence, own.shape),
        **others,
        "random": np.asarray(jax.random.uniform(uniform_key, own.shape)),
        "centre": np.full(own.shape, 0.5, np.float32),
    }
