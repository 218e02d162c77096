"""The robustness of a run: attacks on its newest parameters, next to a whole-image network of its own."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

from foveax._types import InputError, Params
from foveax.evaluation.attack import Progress, attack, silent
from foveax.evaluation.attack_rows import AttackConfig
from foveax.evaluation.whole_image import train_whole_image, whole_image_learning, whole_image_pipeline
from foveax.graph.graph import Graph, init
from foveax.runs.load import LoadedRun
from foveax.runtime.files import write_npz

WHOLE_IMAGE_IMAGES = 300_000
"""Images on which the whole-image network is trained, at most those of the run."""


def attack_run(
    run: LoadedRun,
    config: AttackConfig | None = None,
    *,
    folder: Path | None = None,
    whole_image: LoadedRun | None = None,
    only: Sequence[str] = (),
    corruptions: bool = False,
    progress: Progress = silent,
) -> dict[str, Any]:
    """Attacks a run through its gaze (`foveax.evaluation.attack.attack`); made again, it goes on where it stopped.

    The whole-image network is that of a run on images of the same shape and classes, or else that of
    `foveax diagnose`, trained once, against the adversary of the run if it had one, and kept next to the outcomes. The
    folder is by default ``attack`` in the run directory. Raises `InputError` if the folder holds another evaluation,
    or the whole-image network reads other images.
    """
    folder = run.path / "attack" if folder is None else folder
    network = _trained(run, folder, progress) if whole_image is None else (whole_image.graph, whole_image.params)
    own, other = (_shown(one) for one in (run, whole_image or run))
    if own != other:
        raise InputError(f"the whole-image network must read images and tell classes as the run, {own}; it has {other}")
    options = {"config": config, "only": only, "corruptions": corruptions, "progress": progress}
    return attack(run.graph, run.params, run.data, folder=folder, whole_image=network, **options)


def _shown(run: LoadedRun) -> str:
    return f"{'x'.join(map(str, run.graph.inputs['image'].shape))} of {run.data.classes} classes"


def _trained(run: LoadedRun, folder: Path, progress: Progress) -> tuple[Graph, dict[str, Params]]:
    """The whole-image network of a run, from the folder or, where it is not there, trained and written to it."""
    graph = whole_image_pipeline(run.data, run.config.pipeline)
    path = folder / "whole_image.npz"
    if not path.exists():
        progress("training of the whole-image network", 0.0)
        learning = whole_image_learning(run.config.pipeline, run.config.learning)
        images = min(WHOLE_IMAGE_IMAGES, run.config.images)
        options = {"images": images, "batch": run.config.batch, "seed": run.config.seed}
        trained = train_whole_image(graph, run.data, learning=learning, **options)
        folder.mkdir(parents=True, exist_ok=True)
        write_npz(path, {str(number): np.asarray(leaf) for number, leaf in enumerate(jax.tree.leaves(trained))})
    return graph, _read(path, graph)


def _read(path: Path, graph: Graph) -> dict[str, Params]:
    like = jax.eval_shape(lambda: init(graph, jax.random.key(0)))
    with np.load(path) as file:
        leaves = [file[str(number)] for number in range(len(file.files))]
    return jax.tree.unflatten(jax.tree.structure(like), leaves)
