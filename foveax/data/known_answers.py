"""Problems whose answer is known: only an eye that looks at the right places can tell the class."""

from collections.abc import Callable

import numpy as np

from foveax.data.dataset import Data, Split, from_arrays

PATCH, CROP = 5, 9
"""Side of a patch, and of a crop that holds one whole and no part of another."""
SIDE = 23
CORNERS = ((4, 4), (4, 18), (18, 4), (18, 18))
TRAIN, TEST = 20_000, 2_000


def one_place() -> Data:
    """Four corners show a patch each, of one of two classes; that of the lower left is the label.

    Solved with 2 glimpses of 9x9: the saccade goes to that corner. Random fixations see it in a third of the images.

    Example:
      >>> one_place().train["image"].shape
      (20000, 23, 23, 1)
    """
    return _make(_one_place)


def cued_place() -> Data:
    """The centre shows one of four cues, each for a corner and a pair of classes; that corner shows which of the two.

    Solved with 2 glimpses of 9x9: the saccade goes where the cue says. Any fixed corner leaves 3 in 8 wrong.
    """
    return _make(_cued_place)


def hidden_target() -> Data:
    """One of four corners shows a target, of one of two classes; the others show distractors, all different.

    Solved with 5 glimpses of 9x9, by an eye that never looks twice at one place.
    """
    return _make(_hidden_target)


KNOWN_ANSWERS: dict[str, Callable[[], Data]] = {
    function.__name__: function for function in (one_place, cued_place, hidden_target)
}


def _make(draw: Callable[[np.random.Generator, int], Split]) -> Data:
    train, test = (draw(np.random.default_rng(seed), size) for seed, size in enumerate((TRAIN, TEST)))
    return from_arrays(train, test)


def _one_place(rng: np.random.Generator, size: int) -> Split:
    shown = rng.integers(0, 2, (size, 4))
    images = np.zeros((size, SIDE, SIDE, 1), np.uint8)
    for corner, place in enumerate(CORNERS):
        _put(images, _patterns(2)[shown[:, corner]], place)
    return {"image": images, "label": shown[:, 2].astype(np.int32)}


def _cued_place(rng: np.random.Generator, size: int) -> Split:
    which, cue = rng.integers(0, 2, size), rng.integers(0, 4, size)
    images = np.zeros((size, SIDE, SIDE, 1), np.uint8)
    _put(images, _patterns(6)[2 + cue], (SIDE // 2, SIDE // 2))
    for corner, place in enumerate(CORNERS):
        _put(images, _patterns(2)[which] * (cue == corner)[:, None, None].astype(np.uint8), place)
    return {"image": images, "label": (2 * cue + which).astype(np.int32)}


def _hidden_target(rng: np.random.Generator, size: int) -> Split:
    which, target = rng.integers(0, 2, size), rng.integers(0, 4, size)
    distractors = 2 + rng.permuted(np.tile(np.arange(4), (size, 1)), axis=1)
    images = np.zeros((size, SIDE, SIDE, 1), np.uint8)
    for corner, place in enumerate(CORNERS):
        _put(images, _patterns(6)[np.where(target == corner, which, distractors[:, corner])], place)
    return {"image": images, "label": which.astype(np.int32)}


def _patterns(count: int) -> np.ndarray:
    """Clearly different black and white patches, the same always, ``[count, PATCH, PATCH]``."""
    return (np.random.default_rng(7).integers(0, 2, (count, PATCH, PATCH)) * 255).astype(np.uint8)


def _put(images: np.ndarray, patches: np.ndarray, place: tuple[int, int]) -> None:
    """Puts one patch into each image, centred at (row, column)."""
    row, column = (centre - PATCH // 2 for centre in place)
    images[:, row : row + PATCH, column : column + PATCH, 0] = patches
