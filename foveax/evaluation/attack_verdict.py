"""The verdict on a model's robustness: broken, masked, or standing so far."""

import itertools
from collections.abc import Mapping
from typing import Any

import numpy as np

from foveax.evaluation.attack_rows import Row

POINTS = 0.01
"""By which a weaker attack must beat a stronger one, as a share of images, beside two standard errors."""
UNDONE = 0.005
"""Share of images that twice the steps, or restarts, may break in addition."""
MISSING = 0.1
"""Share of images without a gradient that is more than chance."""
LEFT = 0.01
"""Robust accuracy that is none."""
INCOMPLETE = "incomplete"
"""The verdict where rows of the checklist were left out."""


def reasons(
    rows: Mapping[str, Row],
    robust: Mapping[str, np.ndarray],
    missing: Mapping[str, np.ndarray],
    grey: float,
    *,
    has_gradient: bool = True,
) -> list[str]:
    """What speaks for gradients that are masked, a sentence each; none is no proof of robustness.

    Args:
      rows: by name.
      robust: bool ``[N]`` by row: images still classified rightly.
      missing: bool ``[N]`` by part (`foveax.evaluation.attack_methods.probe`).
      grey: the radius within which any image can be made grey.
      has_gradient: whether the gaze has one by construction; otherwise it cannot be missing.
    """
    shares = {part: float(np.mean(values)) for part, values in missing.items()}
    found = [
        f"the {part} has no gradient on {100 * share:.0f} % of images, though the image moves it"
        for part, share in shares.items()
        if share > MISSING and (part != "gaze" or has_gradient)
    ]
    white = _white(rows, robust)
    for name, row in rows.items():
        is_weaker = name in robust and row.kind in ("weak", "black", "gaze")
        if white is not None and is_weaker and beats(robust[name], white):
            found.append(f"{name} leaves {percent(robust[name])}, the white box attacks {percent(white)}")
    expected = [robust[name] for name in _expectations(rows, robust, "free")]
    if white is not None and expected and beats(expected[-1], white):
        shares = f"{percent(white)} without an expectation over it, {percent(expected[-1])} with one"
        found.append(f"noise hides the gradient: {shares}")
    return found + _of_sweep(rows, robust, grey)


def notes(
    rows: Mapping[str, Row],
    robust: Mapping[str, np.ndarray],
    missing: Mapping[str, np.ndarray],
    *,
    has_gradient: bool = True,
) -> list[str]:
    """What a reader of the figures must know, a sentence each: budgets that more would change, noise that flatters."""
    pairs = {"APGD, twice the steps": "APGD", "PGD, restarts": "PGD"}
    there = {more: less for more, less in pairs.items() if more in rows and {more, less} <= robust.keys()}
    drops = {more: float(robust[less].mean() - robust[more].mean()) for more, less in there.items()}
    lines = [f"{more} breaks {100 * drop:.1f} % more" for more, drop in drops.items() if drop > UNDONE]
    draws = _expectations(rows, robust, "sampled")
    if draws and beats(robust[draws[-1]], robust[draws[0]]):
        few, many = (f"{percent(robust[name])} to attacks on {_draws(rows[name])}" for name in (draws[0], draws[-1]))
        lines.append(f"a sampled gaze leaves {few}, {many}")
    share = np.mean(missing["gaze"]) if "gaze" in missing else 0
    if share > MISSING and not has_gradient:
        lines.append("the gaze has no gradient by construction; only the searches know how it moves")
    return lines


def verdict(
    rows: Mapping[str, Row],
    robust: Mapping[str, np.ndarray],
    missing: Mapping[str, np.ndarray],
    grey: float,
    *,
    has_gradient: bool = True,
) -> dict[str, Any]:
    """The verdict and what it rests on.

    It is *masked* if something speaks for hidden gradients (`reasons`), whatever accuracy is left: a number that a
    stronger attack would not confirm. Otherwise it is *broken* if all attacks together leave no more than 1 % of the
    images, and *standing* if more are left: no attack of this list broke them.

    Returns:
      ``verdict``, ``reasons``, ``notes``, and ``worst``: the share of images that no attack of the configured
      radius breaks, the model's own gaze taken at its mode.
    """
    attacked = [name for name, row in rows.items() if name in robust and row.target == "free" and row.kind != "sweep"]
    worst = float(np.logical_and.reduce([robust[name] for name in attacked]).mean())
    found = reasons(rows, robust, missing, grey, has_gradient=has_gradient)
    noted = notes(rows, robust, missing, has_gradient=has_gradient)
    word = "masked" if found else "broken" if worst <= LEFT else "standing"
    return {"verdict": word, "reasons": found, "notes": noted, "worst": worst}


def beats(weaker: np.ndarray, stronger: np.ndarray) -> bool:
    """Whether an attack leaves fewer images than another, by more than a point and two standard errors.

    Example:
      >>> beats(np.zeros(100, bool), np.ones(100, bool)), beats(np.arange(100) > 0, np.ones(100, bool))
      (True, False)
    """
    difference = stronger.astype(float) - weaker.astype(float)
    error = difference.std() / np.sqrt(len(difference))
    return bool(difference.mean() > POINTS and difference.mean() > 2 * error)


def percent(robust: np.ndarray) -> str:
    """A share of images as text."""
    return f"{100 * robust.mean():.1f} %"


def _white(rows: Mapping[str, Row], robust: Mapping[str, np.ndarray]) -> np.ndarray | None:
    """Images that all white box attacks leave; of a model that is random, those that the best of them leaves.

    Together, several attacks on a random model would also count the errors that it makes by chance.
    """
    made = [robust[name] for name, row in rows.items() if row.kind == "white" and name in robust]
    if not made:
        return None
    is_random = bool(_expectations(rows, robust, "free"))
    return min(made, key=np.mean) if is_random else np.logical_and.reduce(made)


def _expectations(rows: Mapping[str, Row], robust: Mapping[str, np.ndarray], target: str) -> list[str]:
    """The rows of expectations over a model's noise, of the fewest draws first."""
    names = [name for name, row in rows.items() if row.kind == "noise" and row.target == target and name in robust]
    return sorted(names, key=lambda name: rows[name].draws)


def _draws(row: Row) -> str:
    return "one draw" if row.draws == 1 else f"the mean of {row.draws}"


def _of_sweep(rows: Mapping[str, Row], robust: Mapping[str, np.ndarray], grey: float) -> list[str]:
    """Reasons in the curve over the radius: it must fall, and end at nothing."""
    made = {name: row for name, row in rows.items() if row.kind == "sweep" and name in robust}
    curve = sorted((row.epsilon or 0.0, name) for name, row in made.items())
    found = []
    for (small, before), (large, after) in itertools.pairwise(curve):
        if beats(robust[before], robust[after]):
            found.append(f"a change of {small:g} breaks more than one of {large:g}")
    if curve and curve[-1][0] >= grey and robust[curve[-1][1]].mean() > LEFT:
        found.append(f"{percent(robust[curve[-1][1]])} are left at {curve[-1][0]:g}, where any image can be made grey")
    return found
