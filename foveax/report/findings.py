"""The findings of a report: evaluations of a run, its diagnoses, and its places by agent."""

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeVar

import jax
import numpy as np

from foveax._arrays import check_probabilities
from foveax._types import InputError
from foveax.evaluation.controls import controls_of, evaluate_with_controls
from foveax.evaluation.diagnosis import diagnose
from foveax.evaluation.evaluate import Evaluation, place_port, sample_scanpaths
from foveax.runs.directory import RunRecord
from foveax.runs.load import LoadedRun

Part = TypeVar("Part")
Parts = dict[str, tuple[str, Part]]
"""Tables with their titles, or figures with their captions, by name."""
Makers = Parts[Callable[[], Part]]


class People(NamedTuple):
    """People's fixations, cut to one length.

    Attributes:
      images: ``[M]``, the numbers of the test images.
      observers: ``[S, M, T, 2]``, by subject.
      given: how many fixations the table held.
      subjects: S names.
    """

    images: np.ndarray
    observers: np.ndarray
    given: int
    subjects: tuple[str, ...]


class Track(NamedTuple):
    """The places ``[N, T, 2]`` of one agent, or of a gaze that is not one agent's alone (``"memory.NAME"``).

    Places and evaluations are of the pipeline's own policy, first, and of this agent's controls, as far as they are
    known, and not another track's. The measures are those of `foveax.diagnose`; there are none without controls.
    """

    name: str
    evaluations: dict[str, Evaluation]
    places: dict[str, np.ndarray]
    is_gaze: bool
    measures: Mapping[str, Any]


@dataclass(frozen=True)
class Findings:
    """The data of a report: the run, its data of the training in words, its evaluations and its diagnoses by agent.

    Evaluations are of the test split under the pipeline's own policy, first, and under its controls. Passes, eight of
    the sampled policy on the first 200 test images, are observers ``[O, N, T, 2]``; None without a gaze.
    """

    run: LoadedRun
    record: RunRecord
    trained_on: str
    evaluations: dict[str, Evaluation]
    diagnoses: dict[str, dict[str, Any]]
    passes: np.ndarray | None
    people: People | None

    @property
    def own(self) -> Evaluation:
        """The evaluation of the pipeline's own policy."""
        return next(iter(self.evaluations.values()))

    @property
    def images(self) -> np.ndarray:
        """The test images ``[N, H, W, C]``."""
        return self.run.data.test["image"]

    @property
    def sides(self) -> dict[str, Any]:
        """Height and width of the images."""
        return {"height": self.images.shape[1], "width": self.images.shape[2]}

    @property
    def retina(self) -> dict[str, int]:
        """Size and scales of the crops; empty if the graph declares none."""
        roles = self.run.graph.roles
        return {"size": roles.crop_size, "scales": roles.scales} if roles.crop_size > 0 else {}

    @functools.cached_property
    def beliefs(self) -> np.ndarray | None:
        """Distributions over the classes after each glimpse ``[N, T, K]``; None where the graph's belief is none."""
        try:
            return check_probabilities("probabilities", self.own.probabilities, "N", "T", "K")
        except InputError:
            return None

    @property
    def has_decisions(self) -> bool:
        """Whether beliefs can be compared with labels."""
        return self.own.probabilities is not None and self.own.label is not None

    @property
    def names(self) -> tuple[str, ...] | None:
        """Names of the K classes of the beliefs; None if they have none."""
        names, probabilities = self.run.data.names, self.own.probabilities
        return names if names and probabilities is not None and probabilities.shape[-1] == len(names) else None

    @property
    def chance(self) -> float | None:
        """The share of decisions that are right by chance, one of K classes; None without decisions."""
        probabilities = self.own.probabilities
        return 1 / probabilities.shape[-1] if probabilities is not None and self.has_decisions else None

    @functools.cached_property
    def tracks(self) -> list[Track]:
        """The places by agent, and the gaze; at least one, which may be without places."""
        graph = self.run.graph
        gaze = graph.roles.gaze
        own = next(iter(self.evaluations))
        tracks: list[Track] = []
        for name, measures in self.diagnoses.items():
            is_gaze = not graph.agents or place_port(graph, name) == graph.wiring.writes.get(gaze)
            evaluations = {own: self.own, **controls_of(self.evaluations, name)}
            places = {key: done.fixations if is_gaze else done.tracks.get(name) for key, done in evaluations.items()}
            known = {key: place for key, place in places.items() if place is not None}
            tracks.append(Track(name, evaluations, known, is_gaze, measures))
        if not tracks or (gaze and not any(track.is_gaze for track in tracks)):
            gazes = {key: done.fixations for key, done in self.evaluations.items() if done.fixations is not None}
            tracks.append(Track(f"memory.{gaze}", {} if tracks else {own: self.own}, gazes, True, {}))
        return tracks


def collect_findings(run: LoadedRun, record: RunRecord, trained_on: str, people: People | None) -> Findings:
    """Evaluates, controls, diagnoses and samples a run with saccades; refuses people it cannot be compared with."""
    graph = run.graph
    test = run.data.test
    images, height, width, _ = test["image"].shape
    if people is not None and not graph.roles.gaze:
        raise InputError("a graph must declare a gaze (Roles) to be compared with people; this one declares none")
    if people is not None and not 0 <= people.images.min() <= people.images.max() < images:
        which = f"got fixations on {people.images.min()} to {people.images.max()}"
        raise InputError(f"people must have looked at the test images, 0 to {images - 1}; {which}")
    if graph.length == 1:
        raise InputError("a run must make saccades to be analysed; this one has a single glimpse")
    key = jax.random.key(run.config.seed)  # as at the end of the training: the same controls
    evaluations = evaluate_with_controls(graph, run.params, run.data, key=key)
    diagnoses = diagnose(evaluations, graph, height=height, width=width)
    first = {name: array[:200] for name, array in test.items()}
    passes = (
        sample_scanpaths(graph, run.params, first, key=jax.random.fold_in(key, 1), passes=8)
        if graph.roles.gaze
        else None
    )
    return Findings(run, record, trained_on, evaluations, diagnoses, passes, people)
