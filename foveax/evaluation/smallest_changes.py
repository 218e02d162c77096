"""The smallest changes of an image that move the gaze, the class, or the gaze at an unchanged class."""

import itertools
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from foveax._types import Array, Batch, Key
from foveax.evaluation.gaze_attacks import (
    ImageResponse,
    Respond,
    away_objective,
    class_objective,
    same_class_objective,
)
from foveax.robustness import SmallestChange, conjunction, l2, linf, margin, minimum_norm
from foveax.robustness.objectives import Objective
from foveax.runtime.files import write_npz

IMAGES, STEPS, STARTS = 100, 200, 3
"""Images that are searched, at most; steps of each search; and searches of each image, of which the best counts."""
FIXATION = 3
"""The number of the fixation that is to move; the first is the same for all images."""
NOISE = 0.02
"""Largest change of a pixel where a search begins: the gaze's distance from itself has no gradient."""
QUARTILES = ("lower quartile", "median", "upper quartile")
BALLS = {"linf": linf, "l2": l2}


def goals(respond: ImageResponse, inputs: Batch, distance: Any) -> dict[str, Objective]:
    """The objectives of the changes by name, each 0 at the boundary of its success.

    ``class``: another class than the label; ``gaze``: the third fixation (or the last, of fewer) at the distance from
    its place on the clean image; ``gaze, same class``: both that and the class of the label. Without a gaze there is
    the first alone.

    Args:
      respond: the graph.
      inputs: with ``label`` and the clean ``fixations`` ``[T, 2]``.
      distance: as a fraction of the image.
    """
    label, fixations = inputs["label"], inputs["fixations"]
    made = {"class": class_objective(respond, label, margin)}
    if fixations.shape[-1] and len(fixations) > 1:
        moved = min(FIXATION, len(fixations)) - 1
        made["gaze"] = away_objective(respond, fixations, distance, glimpses=[moved])
        made["gaze, same class"] = conjunction(made["gaze"], same_class_objective(respond, label))
    return made


def smallest_change(objective: Objective, image: Array, key: Key, norm: str) -> SmallestChange:
    """The smallest change that was found from a few starts near the image, ``linf`` or ``l2``."""

    def search(key: Key) -> SmallestChange:
        start_key, search_key = jax.random.split(key)
        start = image + linf(NOISE).sample(start_key, image.shape)
        return minimum_norm(objective, image, search_key, ball=BALLS[norm], steps=STEPS, start=start)

    changes = jax.vmap(search)(jax.random.split(key, STARTS))
    return jax.tree.map(lambda array: array[jnp.argmin(changes.distance)], changes)


def smallest_changes(
    respond: Respond,
    params: Any,
    given: Batch,
    keys: Key,
    *,
    distance: float,
    folder: Path,
    batch: int,
    report: Callable[[str, float], None],
) -> dict[str, dict[str, Any]]:
    """Summaries of the smallest changes by goal and norm, as `summary` gives them.

    Args:
      respond: the graph, its gaze free.
      params: its parameters.
      given: its inputs ``[N, ...]``, of which the first 100 are searched, and the clean ``fixations`` ``[N, T, 2]``.
      keys: ``[N]``.
      distance: by which the gaze is to move, as a fraction of the image.
      folder: where each distance is written, batch by batch; what is there is read instead of being computed again.
      batch: images that are searched at once.
      report: called after each search with its name and the share of all that is done.
    """
    number = min(len(given["image"]), IMAGES)
    given, keys = jax.tree.map(lambda array: array[:number], (given, keys))
    one = jax.tree.map(lambda array: array[0], given)
    names = goals(lambda image, key: respond(params, one, image, key), one, distance)
    summaries: dict[str, dict[str, Any]] = {}
    for name, norm in itertools.product(names, BALLS):
        program, parts = _program(respond, name, norm, distance), []
        for begin in range(0, number, batch):
            path = folder / f"smallest-{name.replace(', ', '-').replace(' ', '_')}-{norm}-{begin}.npz"
            if not path.exists():
                few = jax.tree.map(partial(_part, begin=begin, batch=batch), (given, keys))
                write_npz(path, {"distance": np.asarray(program(params, *few))})
            with np.load(path) as file:
                parts.append(file["distance"])
        summaries[f"{name}, {norm}"] = summary(np.concatenate(parts))
        report(f"smallest change of {name}, {norm}", len(summaries) / (len(names) * len(BALLS)))
    return summaries


def passes_of(images: int) -> int:
    """Passes forward and backward that all searches take, spread over all images of an evaluation; at most."""
    return 3 * len(BALLS) * STEPS * STARTS * min(images, IMAGES) // images


def _part(array: Any, *, begin: int, batch: int) -> Any:
    return array[begin : begin + batch]


def _program(respond: Respond, name: str, norm: str, distance: float) -> Callable[..., Array]:
    """The distances ``[N]`` of the nearest changes of a batch."""

    def one(params: Any, inputs: Batch, key: Key) -> Array:
        objective = goals(lambda image, key: respond(params, inputs, image, key), inputs, distance)[name]
        return smallest_change(objective, inputs["image"], key, norm).distance

    return jax.jit(jax.vmap(one, in_axes=(None, 0, 0)))


def summary(distances: np.ndarray) -> dict[str, Any]:
    """The share of images on which a change was found, and quartiles over all images; None where none was.

    Example:
      >>> summary(np.array([0.1, 0.2, 0.3, np.inf]))
      {'images': 4, 'found': 0.75, 'lower quartile': 0.1, 'median': 0.2, 'upper quartile': 0.3}
    """
    quartiles = np.quantile(distances, [0.25, 0.5, 0.75], method="lower").tolist()
    values = [float(round(value, 6)) if np.isfinite(value) else None for value in quartiles]
    found = float(np.isfinite(distances).mean())
    return {"images": len(distances), "found": found, **dict(zip(QUARTILES, values, strict=True))}


def format_smallest(smallest: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """A table of summaries by goal and norm, in lines."""
    lines = [f"{'smallest change':<28}{'found (%)':>12}{'quartiles over images':>30}"]
    for name, row in smallest.items():
        values = [row[quartile] for quartile in QUARTILES]
        numbers = ", ".join("none" if value is None else f"{value:.3f}" for value in values)
        lines.append(f"{name:<28}{100 * row['found']:>12.1f}{numbers:>30}")
    return lines
