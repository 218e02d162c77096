"""Simulated participants, whose preferences are known: to find out whether a study recovers them."""

from typing import NamedTuple

import numpy as np

from foveax._types import InputError
from foveax.analysis.table import FixationTable


class Observers(NamedTuple):
    """Preferences of simulated participants.

    Attributes:
      centre_bias: the probability that a fixation is drawn to the centre of the image.
      preference: the probability that it is drawn to a place of the image's class; the rest fall anywhere.
      noise: the standard deviation of a fixation about where it is drawn to, as a fraction of the image.
      between_participants: the standard deviation of the centre bias over participants, in logits.
      between_stimuli: the standard deviation of the places of a class over its images, as a fraction of the image.
    """

    centre_bias: float = 0.3
    preference: float = 0.5
    noise: float = 0.08
    between_participants: float = 0.0
    between_stimuli: float = 0.0


def simulated_participants(
    label: np.ndarray,
    observers: Observers,
    *,
    participants: int,
    fixations: int,
    seed: int = 0,
    places: np.ndarray | None = None,
    share: float = 1.0,
) -> FixationTable:
    """Fixations of simulated participants on images of the labels ``[M]``, with a trial for each image they look at.

    The first fixation of a trial is at the centre. Each later one is drawn to the centre or to one of the places of the
    class, chosen at random, with Gaussian noise, or falls anywhere with equal probability; what falls outside is drawn
    again.

    Args:
      label: the classes of the images.
      observers: their preferences.
      participants: their number.
      fixations: number of fixations in each trial.
      seed: the seed of all random numbers.
      places: ``[K, P, 2]``, P places of each class, as fractions of the image; by default two, drawn from the middle
        of the image's quarters outwards, each class its own.
      share: share of the images that each participant looks at, drawn at random.

    Example:
      >>> table = simulated_participants(np.arange(3), Observers(), participants=2, fixations=4)
      >>> len(table.x), sorted(set(table.subject.tolist()))
      (24, ['p0', 'p1'])
    """
    if not (observers.centre_bias >= 0 and observers.preference >= 0):
        raise InputError(f"probabilities must not be negative; got {observers}")
    if observers.centre_bias + observers.preference > 1:
        raise InputError(f"centre_bias and preference must add up to at most 1; got {observers}")
    rng = np.random.default_rng(seed)
    if places is None:
        places = class_places(int(label.max()) + 1, rng)
    moved = places[label] + rng.normal(0, observers.between_stimuli, (len(label), places.shape[1], 2))
    rows: dict[str, list[np.ndarray]] = {name: [] for name in ("image", "trial", "who", "places")}
    for who in range(participants):
        shift = rng.normal(0, observers.between_participants)
        looked = np.flatnonzero(rng.random(len(label)) < share) if share < 1 else np.arange(len(label))
        paths = np.stack([_scanpath(moved[image], observers, shift, fixations, rng) for image in looked])
        rows["image"].append(looked)
        rows["trial"].append(1 + np.arange(len(looked)))
        rows["who"].append(np.full(len(looked), who))
        rows["places"].append(paths)
    image, trial, who, paths = (np.concatenate(rows[name]) for name in ("image", "trial", "who", "places"))
    x, y = paths.reshape(-1, 2).T
    return FixationTable(
        image=np.repeat(image, fixations),
        glimpse=np.tile(np.arange(1, fixations + 1), len(image)),
        x=x,
        y=y,
        subject=np.repeat(np.char.add("p", who.astype(str)), fixations),
        label=np.repeat(label[image], fixations),
        trial=np.repeat(trial, fixations),
        duration=np.full(len(x), 0.3),
    )


def class_places(classes: int, rng: np.random.Generator, *, count: int = 2) -> np.ndarray:
    """Places of each class ``[K, P, 2]``, at 0.25 to 0.4 from the centre, in directions spread over the classes."""
    angle = 2 * np.pi * (np.arange(classes * count) / (classes * count) + rng.random())
    distance = rng.uniform(0.25, 0.4, classes * count)
    spread = np.stack([np.cos(angle), np.sin(angle)], axis=-1) * distance[:, None]
    return 0.5 + spread[rng.permutation(classes * count)].reshape(classes, count, 2)


def _scanpath(
    places: np.ndarray, observers: Observers, shift: float, fixations: int, rng: np.random.Generator
) -> np.ndarray:
    """The fixations ``[T, 2]`` of a trial."""
    path = np.full((fixations, 2), 0.5)
    bias = observers.centre_bias
    if 0 < bias < 1 and shift:
        bias = 1 / (1 + np.exp(-(np.log(bias / (1 - bias)) + shift)))
        bias = min(bias, 1 - observers.preference)
    for glimpse in range(1, fixations):
        while True:
            drawn = rng.random()
            if drawn < bias:
                place = rng.normal(0.5, observers.noise, 2)
            elif drawn < bias + observers.preference:
                place = rng.normal(places[rng.integers(len(places))], observers.noise)
            else:
                place = rng.random(2)
            if ((place >= 0) & (place <= 1)).all():
                break
        path[glimpse] = place
    return path
