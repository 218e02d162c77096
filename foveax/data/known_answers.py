"""Problems whose answer is known: only an eye that looks at the right places can tell the class."""

import functools
from collections.abc import Callable

import numpy as np

from foveax.data.dataset import Data, Split, from_arrays

PATCH = 5
"""Side of a patch; a crop of 9 holds one whole and no part of another."""
SIDE = 23
PLACES = ((4, 4), (4, 18), (18, 4), (18, 18), (SIDE // 2, SIDE // 2))
"""Four corners and the centre, as (row, column)."""
TRAIN, TEST = 20_000, 2_000


def drawn(draw: Callable[[np.random.Generator, int], Split], chunk: int = TRAIN) -> Callable[[], Data]:
    """A function that gives the data set of these draws, made in chunks of images."""

    @functools.wraps(draw)
    def make() -> Data:
        splits = []
        for seed, size in enumerate((TRAIN, TEST)):
            rng = np.random.default_rng(seed)
            chunks = [draw(rng, min(chunk, size)) for _ in range(0, size, chunk)]
            splits.append({name: np.concatenate([part[name] for part in chunks]) for name in chunks[0]})
        return from_arrays(*splits)

    return make


@drawn
def one_place(rng: np.random.Generator, size: int) -> Split:
    """Four corners show a patch each, of one of two classes; that of the lower left is the label.

    Solved with 2 glimpses of 9x9: the saccade goes to that corner. Random fixations see it in a third of the images.

    Example:
      >>> one_place().train["image"].shape
      (20000, 23, 23, 1)
    """
    shown = rng.integers(0, 2, (size, 4))
    return {"image": _images(_patterns(2)[shown]), "label": shown[:, 2].astype(np.int32)}


@drawn
def cued_place(rng: np.random.Generator, size: int) -> Split:
    """The centre shows one of four cues, each for a corner and a pair of classes; that corner shows which of the two.

    Solved with 2 glimpses of 9x9: the saccade goes where the cue says. Any fixed corner leaves 3 in 8 wrong.
    """
    which, cue = rng.integers(0, 2, size), rng.integers(0, 4, size)
    cued = (cue[:, None] == np.arange(4)).astype(np.uint8)
    corners = _patterns(2)[which][:, None] * cued[..., None, None]
    images = _images(np.concatenate([corners, _patterns(6)[2 + cue][:, None]], axis=1))
    return {"image": images, "label": (2 * cue + which).astype(np.int32)}


@drawn
def hidden_target(rng: np.random.Generator, size: int) -> Split:
    """One of four corners shows a target, of one of two classes; the others show distractors, all different.

    Solved with 5 glimpses of 9x9, by an eye that never looks twice at one place.
    """
    which, target = rng.integers(0, 2, size), rng.integers(0, 4, size)
    distractors = 2 + rng.permuted(np.tile(np.arange(4), (size, 1)), axis=1)
    shown = np.where(target[:, None] == np.arange(4), which[:, None], distractors)
    return {"image": _images(_patterns(6)[shown]), "label": which.astype(np.int32)}


def _patterns(count: int) -> np.ndarray:
    """Clearly different black and white patches, the same always, ``[count, PATCH, PATCH]``."""
    return (np.random.default_rng(7).integers(0, 2, (count, PATCH, PATCH)) * 255).astype(np.uint8)


def _images(patches: np.ndarray) -> np.ndarray:
    """Images ``[N, SIDE, SIDE, 1]`` of patches ``[N, 4, PATCH, PATCH]``, or 5, each centred at one of the places."""
    images = np.zeros((len(patches), SIDE, SIDE, 1), np.uint8)
    for number, (row, column) in enumerate(PLACES[: patches.shape[1]]):
        rows, columns = (slice(middle - PATCH // 2, middle + PATCH // 2 + 1) for middle in (row, column))
        images[:, rows, columns, 0] = patches[:, number]
    return images
