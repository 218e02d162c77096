"""Trials: the scanpaths of people on stimuli, cut to one length, and a sentence on everything that is left out."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from foveax._arrays import check_count
from foveax._types import InputError
from foveax.analysis.table import FixationTable
from foveax.gaze.rows import scanpath_rows


class Trials(NamedTuple):
    """R trials of one length T; fixations are fractions of the image and may lie outside it.

    Attributes:
      stimuli: arrays ``[M, ...]`` by graph input, among them ``image`` and ``label``.
      image: ``[R]``, the number of the stimulus.
      fixations: ``[R, T, 2]``.
      subject: ``[R]``, the number of the participant; each trial its own where it is not known.
      correct: ``[R, T]``, whether the participant's answer then was right; NaN where it is not known.
      duration: ``[R, T]`` seconds; NaN where it is not known.
      names: the stimuli's names ``[M]``.
      has_subjects: whether participants are known.
      notes: a sentence on each thing that is left out.
    """

    stimuli: Mapping[str, np.ndarray]
    image: np.ndarray
    fixations: np.ndarray
    subject: np.ndarray
    correct: np.ndarray
    duration: np.ndarray
    names: np.ndarray
    has_subjects: bool
    notes: tuple[str, ...]

    @property
    def sides(self) -> dict[str, int]:
        """Height and width of the images."""
        height, width = self.stimuli["image"].shape[1:3]
        return {"height": height, "width": width}

    @property
    def inside(self) -> np.ndarray:
        """Whether each fixation lies in the image, ``[R, T]``."""
        return np.asarray(((self.fixations >= 0) & (self.fixations <= 1)).all(axis=-1))

    def stimuli_of(self, rows: np.ndarray | slice = slice(None)) -> dict[str, np.ndarray]:
        """The stimuli of some trials, a row each, by graph input."""
        return {name: array[self.image[rows]] for name, array in self.stimuli.items()}

    def select(self, rows: np.ndarray) -> "Trials":
        """Some of the trials, by number or by a mask, with the stimuli that are theirs."""
        used, image = np.unique(self.image[rows], return_inverse=True)
        per_trial = ("fixations", "subject", "correct", "duration")
        stimuli = {name: array[used] for name, array in self.stimuli.items()}
        parts = {name: getattr(self, name)[rows] for name in per_trial}
        return self._replace(**parts, image=image, stimuli=stimuli, names=self.names[used])


def trials_of(table: FixationTable, stimuli: Mapping[str, np.ndarray], *, length: int = 0) -> Trials:
    """The trials of a table on stimuli, whose number is the column ``image``.

    Missing places are left out, and what follows them moves up; then all trials are cut to `length` fixations, by
    default the number with which most fixations are kept, and shorter ones are left out.

    Raises:
      InputError: if no trial is long enough, at least two fixations.
    """
    lost = ~(np.isfinite(table.x) & np.isfinite(table.y))
    scanpaths = [rows[~lost[rows]] for rows in scanpath_rows(table)]
    counts = np.array([len(rows) for rows in scanpaths], int)
    most = int(counts.max(initial=0))
    lengths = np.arange(2, most + 1)
    kept = np.array([(counts >= each).sum() * each for each in lengths])
    length = check_count("length", length, 2) if length else int(lengths[kept.argmax()]) if len(lengths) else 2
    long = [rows[:length] for rows in scanpaths if len(rows) >= length]
    if not long:
        raise InputError(f"trials must be at least {length} fixations long to be compared; the longest has {most}")
    rows = np.stack(long)
    first = rows[:, 0]
    used, image = np.unique(table.image[first], return_inverse=True)
    names = table.image.astype(str) if table.stimulus is None else table.stimulus
    called = dict(zip(table.image.tolist(), names.tolist(), strict=True))
    subject = np.arange(len(rows)) if table.subject is None else np.unique(table.subject[first], return_inverse=True)[1]

    def column(values: Any) -> np.ndarray:
        return np.full(rows.shape, np.nan) if values is None else values[rows].astype(np.float64)

    trials = Trials(
        stimuli={name: array[used] for name, array in stimuli.items()},
        image=image,
        fixations=np.stack([table.x[rows], table.y[rows]], axis=-1),
        subject=subject,
        correct=column(_right(table)),
        duration=column(table.duration),
        names=np.array([called[number] for number in used.tolist()]),
        has_subjects=table.subject is not None,
        notes=(),
    )
    people = len(np.unique(subject)) if trials.has_subjects else "unknown"
    outside = int((~trials.inside).sum())
    notes = {
        f"{len(rows):,} trials of {length} fixations on {len(used):,} images; participants: {people}.": 1,
        "Who looked is not known: every trial counts as a participant of its own.": not trials.has_subjects,
        f"Left out: {lost.sum():,} rows without a place.": lost.sum(),
        f"Left out: {(counts < length).sum():,} trials that are shorter.": (counts < length).sum(),
        f"Left out: fixations beyond the first {length} of longer trials, "
        f"{np.maximum(counts - length, 0).sum():,} in all.": (counts > length).any(),
        f"Outside the image are {outside:,} fixations: nothing is seen there, and they have no density.": outside,
    }
    return trials._replace(notes=tuple(sentence for sentence, applies in notes.items() if applies))


def _right(table: FixationTable) -> np.ndarray | None:
    """Whether each answer is right: as the table says, or as its response is its label."""
    if table.correct is not None:
        return table.correct
    if table.response is None or table.label is None or not (table.response != "").any():
        return None
    right = table.response == table.label.astype(str)
    return np.where(table.response == "", np.nan, right.astype(np.float64))


def others_on_image(trials: Trials, rng: np.random.Generator, count: int) -> np.ndarray:
    """Up to `count` trials of other participants on the same image, for each trial ``[R, count]``; else -1."""
    chosen = np.full((len(trials.image), count), -1)
    by_image = [np.flatnonzero(trials.image == image) for image in range(len(trials.names))]
    for row, (image, subject) in enumerate(zip(trials.image, trials.subject, strict=True)):
        others = by_image[image][trials.subject[by_image[image]] != subject]
        picked = rng.permutation(others)[:count]
        chosen[row, : len(picked)] = picked
    return chosen


def others_elsewhere(trials: Trials, rng: np.random.Generator, count: int) -> np.ndarray:
    """Up to `count` trials of other participants on other images, for each trial ``[R, count]``; else -1.

    Of a single participant, they are of the same one.
    """
    chosen = np.full((len(trials.image), count), -1)
    alone = len(np.unique(trials.subject)) == 1
    for row, (image, subject) in enumerate(zip(trials.image, trials.subject, strict=True)):
        tried = rng.integers(0, len(trials.image), 20 * count)
        fits = tried[(trials.image[tried] != image) & (alone | (trials.subject[tried] != subject))]
        if not len(fits):
            fits = np.flatnonzero((trials.image != image) & (alone | (trials.subject != subject)))
        picked = rng.permutation(np.unique(fits))[:count]
        chosen[row, : len(picked)] = picked
    return chosen
