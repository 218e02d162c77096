"""Accuracy under common corruptions, of a graph and its controls, on the same images."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from foveax.analysis.bootstrap import bootstrap_mean
from foveax.evaluation.attack_models import Model, Programs, batches, fixed_places, image_keys, rows_of
from foveax.evaluation.attack_rows import AttackConfig
from foveax.robustness.corruptions import CORRUPTIONS, SEVERITIES, Corruption
from foveax.runtime.files import write_npz


def subjects(*, has_eye: bool) -> dict[str, tuple[str, str]]:
    """By name the model that is shown corrupted images, and the places of a held gaze."""
    if not has_eye:
        return {"model": ("free", "clean"), "whole image": ("whole image", "clean")}
    held = {f"{places} fixations": ("held", places) for places in ("clean", "random", "fixed")}
    return {"own gaze": ("free", "clean"), **held, "whole image": ("whole image", "clean")}


def corrupted_accuracy(
    models: Mapping[str, Model],
    programs: Programs,
    images: Mapping[str, Any],
    config: AttackConfig,
    folder: Path,
    *,
    has_eye: bool,
    report: Callable[[str, float], None],
) -> dict[str, Any]:
    """The accuracy of each of `subjects` under each corruption at each severity.

    All are shown the same corrupted images. The held fixations are those on the clean images. Outcomes are written to
    the folder, a file for each corruption, and read where they are there.

    Args:
      models: by name.
      programs: the judgements of them (`foveax.evaluation.attack_models.compiled_attacks`).
      images: clean ones with their labels and the response to them.
      config: of the batch and the seed.
      folder: that of the evaluation.
      has_eye: whether there is a gaze to be held.
      report: called with a line and the share of corruptions that is done.

    Returns:
      ``images``, their number, and ``subjects``: by name the share that is right of ``clean`` images; ``accuracy``,
      five shares by corruption; and their ``mean`` over corruptions and severities, with ``low`` and ``high``, its 95 %
      bootstrap interval over images.
    """
    size, shown = len(images["image"]), subjects(has_eye=has_eye)
    right: dict[str, dict[str, np.ndarray]] = {name: {} for name in shown}
    for number, (kind, corruption) in enumerate(CORRUPTIONS.items()):
        path = folder / f"corruption-{kind.replace(' ', '-')}.npz"
        if not path.exists():
            batched, keys = jax.jit(jax.vmap(corruption, in_axes=(0, 0, None))), image_keys(config, kind, size)
            made = [
                _corrupted(batched, images["image"], keys, severity, config) for severity in range(1, SEVERITIES + 1)
            ]
            outcome = {
                name: np.stack([_right(*subject, models, programs, images, each, config) for each in made])
                for name, subject in shown.items()
            }
            write_npz(path, outcome)
        with np.load(path) as file:
            for name in shown:
                right[name][kind] = file[name]
        own = next(iter(shown))
        report(f"{kind}: {100 * right[own][kind].mean():.1f} %", (number + 1) / len(CORRUPTIONS))
    clean = {
        name: _right(*subject, models, programs, images, images["image"], config) for name, subject in shown.items()
    }
    return {
        "images": size,
        "subjects": {name: {"clean": float(clean[name].mean()), **_summary(right[name])} for name in shown},
    }


def _summary(right: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """Accuracies by corruption, and their mean; outcomes are bool ``[5, N]``."""
    mean, low, high = bootstrap_mean(np.stack([*right.values()]).mean(axis=(0, 1)))
    accuracy = {kind: outcome.mean(axis=1).tolist() for kind, outcome in right.items()}
    return {"accuracy": accuracy, "mean": mean, "low": low, "high": high}


def _corrupted(batched: Corruption, images: Any, keys: Any, severity: int, config: AttackConfig) -> np.ndarray:
    """Corrupted images ``[N, H, W, C]``."""
    parts = [
        np.asarray(batched(images[index], keys[index], jnp.int32(severity)))
        for index in batches(np.arange(len(images)), config.batch)
    ]
    return np.concatenate(parts)[: len(images)]


def _right(
    model: str,
    places: str,
    models: Mapping[str, Model],
    programs: Programs,
    images: Mapping[str, Any],
    shown: np.ndarray,
    config: AttackConfig,
) -> np.ndarray:
    """Whether each image is classified rightly, bool ``[N]``."""
    given = {**images, "start": images["image"], "places": fixed_places(images["places"], places, config)}
    keys, epsilon, parts = image_keys(config, "judge", len(shown)), jnp.float32(config.epsilon), []
    for index in batches(np.arange(len(shown)), config.batch):
        inputs, some, key = rows_of((given, shown, keys), index)
        parts.append(np.asarray(programs("judge", model)(models[model].params, inputs, some, key, epsilon)["robust"]))
    return np.concatenate(parts)[: len(shown)]
