"""Problems of gaze data: each in a sentence that names row and column; nothing is left out or changed."""

import warnings
from collections.abc import Callable, Collection
from typing import Any, NamedTuple

import numpy as np

from foveax._types import InputError
from foveax.analysis.gaze_file import GazeWarning
from foveax.analysis.table import FixationTable, owners

MIRRORED = -3.0
"""A correlation of places with the images' content so many standard errors below 0 shows a mirrored axis."""
FEWEST_IMAGES = 8
"""Images from which on a mirrored axis can be told from chance."""


class Problem(NamedTuple):
    """A problem of a fixation table.

    Attributes:
      kind: ``"outside"``, ``"missing"``, ``"negative duration"``, ``"unsorted onset"``, ``"duplicate"``,
        ``"unknown stimulus"`` or ``"mirrored"``.
      rows: the first and the last row of the table that have it, from 0.
      column: name of the column that has it.
      sentence: the rule, and the value that breaks it; rows are counted from 1.
      refused: whether no analysis can go on with it; otherwise it is to be warned of.
    """

    kind: str
    rows: tuple[int, int]
    column: str
    sentence: str
    refused: bool


def gaze_problems(
    table: FixationTable,
    *,
    images: np.ndarray | None = None,
    stimuli: Collection[str] | None = None,
) -> list[Problem]:
    """All problems of a table of people's fixations, in the order of its rows.

    Refused are negative durations, onsets that decrease within a scanpath, a trial or a fixation that comes twice, and
    stimuli that are not there. Warned of are places outside the image, runs of missing places, and a wrong origin: an
    axis along which fixations follow the content of the images as they would if it were mirrored. Content is what
    differs from the image's median; the sign is that of the correlation, over images, of the mean place with the
    content's centre of mass, which must be 3 standard errors below 0, on at least 8 images.

    Args:
      table: fixations, whose places may be NaN.
      images: ``[N, H, W, C]``, which the column ``image`` counts; without them no origin can be wrong.
      stimuli: the names that the column ``stimulus`` may hold.

    Example:
      >>> table = FixationTable(np.array([0, 0]), np.array([1, 2]), np.array([0.5, 1.5]), np.array([0.5, 0.5]))
      >>> [problem.sentence for problem in gaze_problems(table)]
      ['row 2, column x: places must lie in the image, from 0 to 1; got 1.5']
    """
    found = [*_places(table), *_durations(table), *_onsets(table), *_duplicates(table)]
    found += _unknown(table, None if images is None else len(images), stimuli)
    if images is not None and not any(problem.kind == "unknown stimulus" for problem in found):
        found += _mirrored(table, images)
    return sorted(found, key=lambda problem: problem.rows)


def check_gaze(
    table: FixationTable, *, images: np.ndarray | None = None, stimuli: Collection[str] | None = None
) -> list[Problem]:
    """The problems of a table that can be lived with, each kind with a `GazeWarning`; others are refused.

    Raises:
      InputError: if there is a problem that no analysis can go on with (`gaze_problems`); it says how many there are.
    """
    found = gaze_problems(table, images=images, stimuli=stimuli)
    refused = [problem for problem in found if problem.refused]
    if refused:
        raise InputError(refused[0].sentence + _more(len(refused) - 1))
    for kind in dict.fromkeys(problem.kind for problem in found):
        alike = [problem for problem in found if problem.kind == kind]
        warnings.warn(alike[0].sentence + _more(len(alike) - 1), GazeWarning, stacklevel=2)
    return found


def _more(count: int) -> str:
    return f" (and {count} more)" if count else ""


def _problems(
    kind: str, bad: np.ndarray, column: str, must: str, came: Callable[[int], str], refused: bool
) -> list[Problem]:
    """A problem for each run of rows that are bad."""
    edges = np.flatnonzero(np.diff(np.r_[False, bad, False].astype(int)))
    found = []
    for first, end in edges.reshape(-1, 2).tolist():
        which = f"row {first + 1}" if end == first + 1 else f"rows {first + 1} to {end}"
        sentence = f"{which}, column {column}: {must}; got {came(first)}"
        found.append(Problem(kind, (first, end - 1), column, sentence, refused))
    return found


def _places(table: FixationTable) -> list[Problem]:
    found = []
    for name, place in (("x", table.x), ("y", table.y)):
        with np.errstate(invalid="ignore"):
            outside = (place < 0) | (place > 1)
        must = "places must lie in the image, from 0 to 1"
        found += _problems("outside", outside, name, must, lambda row, place=place: f"{place[row]:g}", False)
        must = "places must be known"
        found += _problems("missing", np.isnan(place), name, must, lambda row: "none", False)
    return found


def _durations(table: FixationTable) -> list[Problem]:
    if table.duration is None:
        return []
    duration = table.duration
    with np.errstate(invalid="ignore"):
        bad = duration < 0
    must = "durations must not be negative"
    return _problems("negative duration", bad, "duration", must, lambda row: f"{duration[row]:g}", True)


def _onsets(table: FixationTable) -> list[Problem]:
    """Rows whose onset is before that of the fixation before them in their scanpath, as far as both are known."""
    if table.onset is None:
        return []
    onset = table.onset
    latest: dict[tuple[Any, ...], float] = {}
    before = np.full(len(onset), np.nan)
    whose = list(zip(*owners(table), strict=True))
    for row in np.lexsort([table.glimpse, *owners(table)]):
        before[row] = latest.get(whose[row], np.nan)
        if np.isfinite(onset[row]):
            latest[whose[row]] = max(float(onset[row]), latest.get(whose[row], -np.inf))
    with np.errstate(invalid="ignore"):
        bad = onset < before
    must = "onsets must not decrease within a scanpath"
    return _problems("unsorted onset", bad, "onset", must, lambda row: f"{onset[row]:g} after {before[row]:g}", True)


def _duplicates(table: FixationTable) -> list[Problem]:
    first: dict[tuple, int] = {}
    again = np.full(len(table.glimpse), -1)
    for row, key in enumerate(zip(*owners(table), table.glimpse, strict=True)):
        before = first.setdefault(key, row)
        again[row] = before if before != row else -1
    must = "each fixation of a trial must come once"

    def fixation_came(row: int) -> str:
        return f"{table.glimpse[row]} again, as in row {again[row] + 1}"

    found = _problems("duplicate", again >= 0, "glimpse", must, fixation_came, True)
    trial = table.trial
    if trial is None:
        return found
    of_trial: dict[tuple, int] = {}
    subject = np.zeros(len(trial)) if table.subject is None else table.subject
    for row, key in enumerate(zip(subject, trial, strict=True)):
        image = int(table.image[row])
        before = of_trial.setdefault(key, image)
        again[row] = before if before != image else -1
    must = "a participant's trial must be of one image"

    def trial_came(row: int) -> str:
        return f"trial {trial[row]} on image {table.image[row]}, and on {again[row]} before"

    return found + _problems("duplicate", again >= 0, "trial", must, trial_came, True)


def _unknown(table: FixationTable, images: int | None, stimuli: Collection[str] | None) -> list[Problem]:
    found = []
    if images is not None:
        bad = (table.image < 0) | (table.image >= images)
        must = f"images must be among the {images}, from 0 to {images - 1}"
        found += _problems("unknown stimulus", bad, "image", must, lambda row: f"{table.image[row]}", True)
    if stimuli is not None and table.stimulus is not None:
        stimulus, known = table.stimulus, set(stimuli)
        bad = np.array([name not in known for name in stimulus], bool)
        must = f"stimuli must be among the {len(known)} that are known"
        found += _problems("unknown stimulus", bad, "stimulus", must, lambda row: repr(str(stimulus[row])), True)
    return found


def _mirrored(table: FixationTable, images: np.ndarray) -> list[Problem]:
    looked, image = np.unique(table.image, return_inverse=True)
    centres = content_centres(images[looked])
    found = []
    for axis, (name, place) in enumerate((("x", table.x), ("y", table.y))):
        known = np.isfinite(place)
        counts = np.bincount(image[known], minlength=len(looked))
        use = (counts > 0) & np.isfinite(centres[:, axis])
        means = np.bincount(image[known], weights=place[known], minlength=len(looked))[use] / counts[use]
        if use.sum() < FEWEST_IMAGES or not (means.std() > 0 and centres[use, axis].std() > 0):
            continue
        r = float(np.corrcoef(means, centres[use, axis])[0, 1])
        if r * np.sqrt((use.sum() - 2) / max(1 - r**2, 1e-12)) < MIRRORED:
            edge = ("left", "right") if name == "x" else ("top", "bottom")
            came = f"a correlation of {r:.2f} over {use.sum()} images, as if {edge[0]} were {edge[1]}"
            must = f"{name} must be measured from the {edge[0]}, so that fixations follow the images' content"
            sentence = f"rows 1 to {len(place)}, column {name}: {must}; got {came}"
            found.append(Problem("mirrored", (0, len(place) - 1), name, sentence, False))
    return found


def content_centres(images: np.ndarray) -> np.ndarray:
    """The centre of mass ``[N, 2]`` (x, y) of what differs from the median of each image ``[N, H, W, C]``.

    As fractions of the image; NaN for an image of one value.

    Example:
      >>> image = np.zeros((1, 3, 5, 1))
      >>> image[0, 0, 4] = 1
      >>> content_centres(image)
      array([[1., 0.]])
    """
    grey = np.asarray(images, np.float64).mean(axis=-1)
    weight = np.abs(grey - np.median(grey, axis=(1, 2), keepdims=True))
    total = weight.sum(axis=(1, 2))
    height, width = grey.shape[1:]
    with np.errstate(invalid="ignore", divide="ignore"):
        x = (weight.sum(axis=1) @ np.arange(width)) / total / max(width - 1, 1)
        y = (weight.sum(axis=2) @ np.arange(height)) / total / max(height - 1, 1)
    return np.stack([x, y], axis=-1)
