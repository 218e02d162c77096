"""Controls with a classifier of their own: the pipeline trained anew while something else moves the eye."""

from collections.abc import Iterator, Sequence

import jax
import numpy as np

from foveax._types import InputError, Params
from foveax.data.dataset import Data
from foveax.evaluation.controls import CONTROLS, Target, control_targets, controls_of
from foveax.evaluation.evaluate import Evaluation, evaluate, make_evaluator
from foveax.graph.graph import Graph
from foveax.learning.hyperparameters import LearningConfig
from foveax.modules.scripted import corner_sequence, drawn_scanpath, learned_sequence, moved_by
from foveax.modules.sources import scripted_eye
from foveax.training.adversary import learner_of
from foveax.training.fit import fit

RETRAINED = (*CONTROLS, "corners", "salient")
"""Eyes that a pipeline can be trained anew with."""
BANK = 5_000
"""Training images whose scanpaths an eye that follows another image's is trained with."""


def retrained_controls(
    graph: Graph,
    params: dict[str, Params],
    data: Data,
    evaluations: dict[str, Evaluation],
    *,
    learning: LearningConfig,
    steps: int,
    batch: int,
    seed: int,
    controls: Sequence[str] = CONTROLS,
) -> Iterator[tuple[str, Evaluation]]:
    """The test split under each control, with a classifier trained for it at the same budget, one after another.

    The controls of `evaluate_with_controls` judge the classifier that was trained with the policy's fixations, which
    favours these. Here all that is not the eye is trained from the start, on the same images in the same order, while
    the eye is moved by the ``best sequence`` (which begins at the one of `evaluations`, and is trained along, by the
    gradient through the retina), by scanpaths of the policy's own on ``another image``, at ``random``, or stays at the
    ``centre``; or, if they are asked for, it scans the ``corners`` (`corner_sequence`) or looks at what is ``salient``.
    Of several agents, the others learn; a salient eye takes the place only of one that moves the gaze, without a limit
    to its reach. Raises `InputError` for other controls, or a salient eye where it can take no place.

    Yields:
      the name, ``"control, retrained"``, under several agents ``"agent: control, retrained"``, and the evaluation.
    """
    unknown = [control for control in controls if control not in RETRAINED]
    if unknown:
        raise InputError(f"controls must be among {', '.join(RETRAINED)}; got {', '.join(unknown)}")
    key = jax.random.key(seed)
    targets = control_targets(graph) if graph.length > 1 else {}
    movers = [name for name, target in targets.items() if _moves_gaze(graph, target)]
    if "salient" in controls and targets and not movers:
        raise InputError(
            "a salient eye must take the place of one that moves the gaze anywhere; this pipeline has none"
        )
    own = make_evaluator(graph)(params, data.sample(key, BANK), key)
    for name, target in targets.items():
        places = own.tracks.get(name, own.fixations)
        sequence = controls_of(evaluations, name)["best sequence"]
        fitted = sequence.tracks.get(name, sequence.fixations)
        assert places is not None
        assert fitted is not None
        saccades = graph.length - 1
        scanpaths = {
            "another image": own.in_picture(places[:, 1:]),
            "random": np.random.default_rng(seed).random((BANK, saccades, 2), np.float32),
            "centre": np.full((1, saccades, 2), 0.5, np.float32),
            "corners": corner_sequence(saccades)[None],
        }
        gaze = f"memory.{graph.roles.gaze}"
        for control in controls:
            position = target.position
            if control == "salient":
                if name not in movers:
                    continue
                eye, position = scripted_eye("salient", graph.length, graph.roles.crop_size), gaze
            elif control == "best sequence":
                eye = learned_sequence(np.clip(sequence.in_picture(fitted)[0, 1:], 0, 1), target.reach)
            else:
                eye = drawn_scanpath(scanpaths[control], target.reach)
            moved = moved_by(_without_learning(graph, name, target), target.port, eye, position)
            learner = learner_of(moved, learning, steps=steps)
            state = learner.init(key)
            for state, _ in fit(learner, data, state, batch=batch):  # noqa: B007
                pass
            prefix = f"{name}: " if len(targets) > 1 else ""
            yield f"{prefix}{control}, retrained", evaluate(moved, state.params, data.test, key=key)


def _moves_gaze(graph: Graph, target: Target) -> bool:
    return target.reach is None and target.port == graph.wiring.writes.get(graph.roles.gaze)


def _without_learning(graph: Graph, name: str, target: Target) -> Graph:
    """The same graph, whose eye of a name does not learn: nothing follows it."""
    if name not in graph.modules:
        return graph
    return graph.replace(modules={**graph.modules, name: graph.modules[name]._replace(agent=None)})
