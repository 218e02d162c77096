"""The findings of a report: evaluations of a run, its diagnoses, and its places by agent."""

import functools
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import numpy as np

from foveax import analysis
from foveax._types import InputError
from foveax.evaluation.controls import controls_of, evaluate_with_controls, own_name
from foveax.evaluation.diagnosis import diagnose
from foveax.evaluation.evaluate import Evaluation, place_port, sample_scanpaths
from foveax.runs.directory import RunRecord
from foveax.runs.load import LoadedRun
from foveax.runs.summary import matters

SAMPLED_IMAGES = 200
"""Test images on which the policy is sampled."""
PASSES = 8
"""Samples of the policy on each of them: they are compared as observers are."""


class Track(NamedTuple):
    """The places of one agent, or of the gaze.

    Attributes:
      name: of the agent; of a gaze that is not one agent's alone, ``"memory.NAME"``.
      evaluations: of the pipeline's own policy, first, and of this agent's controls; empty if other tracks hold them.
      places: ``[N, T, 2]``, likewise, as far as they are known.
      is_gaze: whether the places are the gaze.
      measures: of `foveax.diagnose`; empty if there are no controls.
      suffix: of the names of its files; empty if there is one track alone.
    """

    name: str
    evaluations: dict[str, Evaluation]
    places: dict[str, np.ndarray]
    is_gaze: bool
    measures: Mapping[str, Any]
    suffix: str = ""

    @property
    def title(self) -> str:
        """The end of its titles: its name, if there are several tracks."""
        return f": {self.name}" if self.suffix else ""


@dataclass(frozen=True)
class Findings:
    """The data of a report.

    Attributes:
      run: as loaded.
      record: as ``config.json`` holds it.
      trained_on: the data of the training, in words.
      evaluations: of the test split under the pipeline's own policy, first, and under its controls.
      diagnoses: by agent.
      passes: ``[O, N, T, 2]``, the gaze of the sampled policy on the first test images; None without a gaze.
      people: ``[S, N, T, 2]``, people's fixations on the first test images, or None.
    """

    run: LoadedRun
    record: RunRecord
    trained_on: str
    evaluations: dict[str, Evaluation]
    diagnoses: dict[str, dict[str, Any]]
    passes: np.ndarray | None
    people: np.ndarray | None

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
        return dict(zip(("height", "width"), self.images.shape[1:3], strict=True))

    @property
    def retina(self) -> dict[str, int]:
        """Size and scales of the crops; empty if the graph declares none."""
        roles = self.run.graph.roles
        return {"size": roles.crop_size, "scales": roles.scales} if roles.crop_size > 0 else {}

    @property
    def has_decisions(self) -> bool:
        """Whether beliefs can be compared with labels."""
        return self.own.probabilities is not None and self.own.label is not None

    @functools.cached_property
    def has_distributions(self) -> bool:
        """Whether, in addition, all beliefs are distributions, so that they have an entropy."""
        if not self.has_decisions:
            return False
        try:
            for evaluation in self.evaluations.values():
                analysis.belief_entropy(evaluation.probabilities)  # pyright: ignore[reportArgumentType]
        except InputError:
            return False
        return True

    @functools.cached_property
    def tracks(self) -> list[Track]:
        """The places by agent, and the gaze; at least one, which may be without places."""
        graph = self.run.graph
        gaze = graph.roles.gaze
        own = own_name(graph)
        tracks: list[Track] = []
        for name, measures in self.diagnoses.items():
            is_gaze = not graph.agents or place_port(graph, name) == graph.wiring.writes.get(gaze)
            evaluations = {own: self.own, **controls_of(self.evaluations, name)}
            places = {key: done.fixations if is_gaze else done.tracks.get(name) for key, done in evaluations.items()}
            known = {key: place for key, place in places.items() if place is not None}
            tracks.append(Track(name, evaluations, known, is_gaze, measures))
        if gaze and not any(track.is_gaze for track in tracks):
            gazes = {key: done.fixations for key, done in self.evaluations.items() if done.fixations is not None}
            tracks.append(Track(f"memory.{gaze}", {} if tracks else {own: self.own}, gazes, True, {}))
        if len(tracks) < 2:
            return tracks or [Track("", {own: self.own}, {}, False, {})]
        suffixes: dict[str, Track] = {}
        for track in tracks:
            suffix = f"_{file_name(track.name)}"
            while suffix in suffixes:
                suffix += "_"
            suffixes[suffix] = track._replace(suffix=suffix)
        return list(suffixes.values())

    @property
    def omissions(self) -> list[str]:
        """Sentences on what the page leaves out since the graph does not declare it."""
        roles = self.run.graph.roles
        missing = [name for name in ("belief", "label") if not getattr(roles, name)]
        information = "information about the class, " if "label" in missing else ""
        sentences = {
            "The graph declares no gaze: the fixation table, trials, their film and the comparison of scanpaths are "
            "left out.": not roles.gaze,
            "The graph declares no square crop: the frames of crops, the crops, coverage and the reconstruction of the "
            "image are left out.": roles.gaze and not self.retina,
            f"The graph declares no {' and no '.join(missing)}: the score is minus the test loss, and {information}the "
            "speed-accuracy curve and reading time are left out.": missing,
            "The belief is not a distribution, nowhere negative and of sum 1: the speed-accuracy curve and reading "
            "time are left out.": not missing and not self.has_distributions,
            "Nothing in the graph chooses a place that can be controlled: there is no verdict.": not self.diagnoses,
        }
        return [sentence for sentence, applies in sentences.items() if applies]


def collect_findings(
    run: LoadedRun, record: RunRecord, *, trained_on: str, people: np.ndarray | None = None
) -> Findings:
    """Evaluates, controls, diagnoses and samples a run; the arguments are those of `Findings`.

    Raises:
      InputError: if the pipeline makes no saccades, or people cannot be compared with it.
    """
    graph = run.graph
    test = run.data.test
    images = len(test["image"])
    if people is not None and not graph.roles.gaze:
        raise InputError("a graph must declare a gaze (Roles) to be compared with people; this one declares none")
    if people is not None and people.shape[1] > images:
        raise InputError(f"people must have looked at the test images, {images}; got fixations on {people.shape[1]}")
    if graph.length == 1:
        raise InputError("a run must make saccades to be analysed; this one has a single glimpse")
    key, sample_key = jax.random.split(jax.random.key(run.config.seed))
    evaluations = evaluate_with_controls(graph, run.params, run.data, key=key)
    _, height, width, _ = test["image"].shape
    diagnoses = diagnose(evaluations, graph, height=height, width=width, matters=matters(run.config))
    passes = None
    if graph.roles.gaze:
        first = {name: array[:SAMPLED_IMAGES] for name, array in test.items()}
        passes = sample_scanpaths(graph, run.params, first, key=sample_key, passes=PASSES)
    return Findings(run, record, trained_on, evaluations, diagnoses, passes, people)


def file_name(name: str) -> str:
    """A name without characters that mean something to a file system or a shell."""
    return re.sub(r"[^\w.-]+", "-", name, flags=re.ASCII).strip("-.") or "unnamed"
