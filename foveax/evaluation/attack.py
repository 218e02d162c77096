"""An honest evaluation of a graph's robustness: all rows of the checklist, resumed where it stopped."""

import hashlib
import itertools
import json
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from foveax._types import Array, Batch, InputError, Key, Params
from foveax.data.dataset import Data, Split
from foveax.evaluation.attack_methods import probe
from foveax.evaluation.attack_models import (
    Model,
    Programs,
    batches,
    compiled_attacks,
    fixed_places,
    image_keys,
    models_of,
    rows_of,
)
from foveax.evaluation.attack_rows import AttackConfig, Row, chosen_rows, passes, rows
from foveax.evaluation.attack_verdict import INCOMPLETE, verdict
from foveax.evaluation.controls import control_targets
from foveax.evaluation.corrupted import corrupted_accuracy
from foveax.evaluation.evaluate import check_split
from foveax.evaluation.gaze_attacks import Response, has_gaze_gradient
from foveax.evaluation.smallest_changes import format_smallest, passes_of, smallest_changes
from foveax.graph.graph import Graph
from foveax.runtime.digests import leaf_digests
from foveax.runtime.files import read_json, write_json, write_npz

CORRUPTED_PASSES = 70
"""Passes, forward and backward, that all corruptions take as long as."""
SETTINGS, RESULTS, EXAMPLES = "settings.json", "attack.json", "examples.npz"
"""Files of the folder of an evaluation; the others hold the images of each row, a file for each batch."""

Progress = Callable[[str, float], None]
"""Called with what is made, as a line, and the share of the work that is done."""


def silent(line: str, share: float) -> None:
    """Reports nothing."""


class _Evaluation(NamedTuple):
    """What all rows of an evaluation share; `images` are the clean ones, their labels and the response to them."""

    config: AttackConfig
    models: dict[str, Model]
    programs: Programs
    images: dict[str, Any]
    folder: Path


def attack(
    graph: Graph,
    params: dict[str, Params],
    data: Data,
    *,
    folder: Path,
    whole_image: tuple[Graph, dict[str, Params]],
    config: AttackConfig | None = None,
    only: Sequence[str] = (),
    corruptions: bool = False,
    progress: Progress = silent,
) -> dict[str, Any]:
    """Attacks a graph through its gaze on test images, by every row of `foveax.evaluation.attack_rows.rows`.

    Args:
      graph: with a belief and a label, both roles.
      params: by module.
      data: whose test split is attacked, in a random order that the seed fixes.
      folder: where the outcome on each image is written, batch by batch; what is there of the same evaluation is read
        instead of being computed again.
      whole_image: a network that sees the whole image (`foveax.evaluation.whole_image.whole_image_pipeline`) and its
        parameters: a control, and where attacks are transferred from.
      config: budgets.
      only: names of rows, if some are enough; the verdict on these is *incomplete*.
      corruptions: whether common corruptions are shown as well (`foveax.evaluation.corrupted.corrupted_accuracy`).
      progress: called after each batch with the row, the share of images that it has not broken so far, and the share
        of the work that is done.

    Returns:
      what is written as ``attack.json``: ``config``; ``rows``: by name what is attacked (`Row`), and ``accuracy``,
      ``images``, ``seconds``, ``change``, the mean norm, and ``moved``, the mean distance of fixations from the clean
      ones; ``missing`` gradients, as shares of images; ``examples``, the row whose images ``examples.npz`` shows;
      the ``smallest`` changes (`foveax.evaluation.smallest_changes`), if all rows are made; ``corruptions``, if they
      are shown; and the `foveax.evaluation.attack_verdict.verdict`.

    Raises:
      InputError: if the folder holds another evaluation, or the graph cannot be attacked.
    """
    config = config or AttackConfig()
    split = _chosen(check_split(graph, data.test, "test split"), config)
    _check_folder(folder, config, (params, whole_image[1]), split)
    has_eye, has_gradient = graph.length > 1 and bool(control_targets(graph)), has_gaze_gradient(graph)
    has_noise = any(module.random and not module.agent for module in graph.modules.values())
    made = rows(config, has_eye=has_eye, has_policy=bool(graph.agents), has_noise=has_noise, has_gradient=has_gradient)
    made = chosen_rows(made, only) if only else made
    models = models_of(graph, params, whole_image)
    programs = compiled_attacks(models, config)
    evaluation = _Evaluation(config, models, programs, _clean(models["free"], programs, split, config), folder)
    outcomes: dict[str, dict[str, np.ndarray]] = {}
    searched = 0 if only else passes_of(len(split["image"]))
    done, work = 0, sum(passes(row, config) for row in made.values()) + searched + corruptions * CORRUPTED_PASSES
    for name, row in made.items():
        own = passes(row, config)

        def report(left: float, share: float, name: str = name, own: int = own, done: int = done) -> None:
            progress(f"{name}: {100 * left:.1f} %", (done + share * own) / work)

        outcomes[name] = _row(name, row, evaluation, outcomes, report)
        done += own
    missing = _probed(models["free"], evaluation.images, config)
    robust = {name: outcome["robust"] for name, outcome in outcomes.items()}
    grey = config.grey(graph.inputs["image"].shape)
    results = {
        "config": config.to_json(),
        "rows": {name: {**made[name]._asdict(), **_summary(outcome)} for name, outcome in outcomes.items()},
        "missing": {part: float(values.mean()) for part, values in missing.items()},
        "examples": _write_examples(made, robust, evaluation),
        **verdict(made, robust, missing, grey, has_gradient=has_gradient),
        **({"verdict": INCOMPLETE} if only else {}),
    }
    if not only:
        keys = image_keys(config, "smallest", len(split["image"]))
        results["smallest"] = smallest_changes(
            models["free"].respond, params, evaluation.images, keys, distance=config.distance, folder=folder,
            batch=config.batch, report=lambda line, share: progress(line, (done + share * searched) / work),
        )  # fmt: skip
        done += searched
    if corruptions:
        results["corruptions"] = corrupted_accuracy(
            models, programs, evaluation.images, config, folder, has_eye=has_eye,
            report=lambda line, share: progress(line, (done + share * CORRUPTED_PASSES) / work),
        )  # fmt: skip
    write_json(folder / RESULTS, results)
    return results


def format_attack(results: dict[str, Any]) -> str:
    """The rows as a table, and the verdict, as text."""
    wide = max(map(len, results["rows"])) + 1
    lines = [f"{'robust accuracy (%)':<{wide}}{'':>8}{'change':>10}{'gaze moved':>12}{'seconds':>9}"]
    for name, row in results["rows"].items():
        numbers = f"{row['change']:>10.3f}{row['moved']:>12.3f}{row['seconds']:>9.0f}"
        lines.append(f"{name:<{wide}}{100 * row['accuracy']:>8.1f}{numbers}")
    lines += format_smallest(results["smallest"]) if "smallest" in results else []
    if corruptions := results.get("corruptions"):
        means = (f"{name} {100 * values['mean']:.1f}" for name, values in corruptions["subjects"].items())
        lines.append(f"under common corruptions: {', '.join(means)}")
    lines.append(f"no attack breaks {100 * results['worst']:.1f} %; verdict: {results['verdict']}")
    return "\n".join([*lines, *(f"- {line}" for line in (*results["reasons"], *results["notes"]))])


def _summary(outcome: Mapping[str, np.ndarray]) -> dict[str, Any]:
    return {
        "accuracy": float(outcome["robust"].mean()),
        "images": len(outcome["robust"]),
        "seconds": float(outcome["seconds"].sum()),
        "change": float(outcome["change"].mean()),
        "moved": float(outcome["moved"].mean()),
    }


def _clean(model: Model, programs: Programs, split: Split, config: AttackConfig) -> dict[str, Any]:
    """The split with its images as floats, and the response to them: ``logits``, ``fixations``, ``places``."""
    image = np.asarray(split["image"])
    image = image.astype(np.float32) / 255 if image.dtype == np.uint8 else image
    images = {**split, "image": image}
    return {**images, **_response(model, programs, images, image, config)._asdict()}


def _response(
    model: Model, programs: Programs, given: dict[str, Any], image: np.ndarray, config: AttackConfig
) -> Response:
    """The response to images ``[N, H, W, C]`` in place of those that are given."""
    keys, epsilon, parts = image_keys(config, "judge", len(image)), jnp.float32(config.epsilon), []
    for index in batches(np.arange(len(image)), config.batch):
        few = rows_of((given, image, keys), index)
        parts.append(
            jax.tree.map(np.asarray, programs("respond", "free")(model.params, few[0], few[1], few[2], epsilon))
        )
    return jax.tree.map(lambda *arrays: np.concatenate(arrays)[: len(image)], *parts)


def _row(
    name: str,
    row: Row,
    evaluation: _Evaluation,
    outcomes: Mapping[str, Mapping[str, np.ndarray]],
    report: Callable[[float, float], None],
) -> dict[str, np.ndarray]:
    """A row's outcome on each image, read where it is there: ``robust``, ``moved``, ``change``, ``[N]``; ``seconds``.

    A batch is attacked until its slowest image is done: images that the rows before it broke alike are put together.
    Which these are depends on the rows that were chosen, so what is left is told from the images that files hold.
    """
    config, models, programs, images, folder = evaluation
    size = len(images["image"])
    hardness = sum((outcome["robust"].astype(np.int32) for outcome in outcomes.values()), np.zeros(size, np.int32))
    epsilon = jnp.float32(config.epsilon if row.epsilon is None else row.epsilon)
    start = read_images(folder, row.start, images["image"].shape) if row.start else images["image"]
    given = {**images, "start": start, "places": fixed_places(images["places"], row.places, config)}
    attack_keys, judge_keys = image_keys(config, name, size), image_keys(config, "judge", size)
    source, target = models[row.source], models[row.target]
    parts = [_read_part(path) for path in folder.glob(f"{_file_name(name)}-*.npz")]
    ordered = np.argsort(hardness, kind="stable")
    left = ordered[~np.isin(ordered, [index for part in parts for index in part["index"]])]
    paths = (folder / f"{_file_name(name)}-{number}.npz" for number in itertools.count())
    free_paths = (path for path in paths if not path.exists())

    def tell() -> None:
        broken = sum(int(np.sum(~part["robust"])) for part in parts)
        report(1 - broken / size, sum(len(part["robust"]) for part in parts) / size)

    tell()
    for number, index in enumerate(batches(left, config.batch) if len(left) else ()):
        began = time.perf_counter()
        inputs, *keys = rows_of((given, attack_keys, judge_keys), index)
        image = programs(row.attack, row.source)(source.params, inputs, inputs["image"], keys[0], epsilon)
        judged = programs("judge", row.target)(target.params, inputs, image, keys[1], epsilon)
        count = min(len(index), len(left) - number * config.batch)
        arrays = {"image": image, "index": index, **judged}
        part = {each: np.asarray(array)[:count] for each, array in arrays.items()}
        path = next(free_paths)
        write_npz(path, {**part, "seconds": np.array([time.perf_counter() - began])})
        parts.append(_read_part(path))
        tell()
    outcome = {each: np.concatenate([part[each] for part in parts]) for each in parts[0]}
    place = np.argsort(outcome.pop("index"))
    return {each: array if each == "seconds" else array[place] for each, array in outcome.items()}


def _read_part(path: Path) -> dict[str, np.ndarray]:
    """The outcome of a batch, without its images."""
    with np.load(path) as file:
        return {each: file[each] for each in file.files if each != "image"}


def read_images(folder: Path, name: str, shape: tuple[int, ...]) -> np.ndarray:
    """The images ``[N, H, W, C]`` that a row has made."""
    images = np.empty(shape, np.float32)
    for path in folder.glob(f"{_file_name(name)}-*.npz"):
        with np.load(path) as file:
            images[file["index"]] = file["image"]
    return images


def _write_examples(made: Mapping[str, Row], robust: Mapping[str, np.ndarray], evaluation: _Evaluation) -> str:
    """Writes the response to each image, clean and attacked by the strongest row, whose name it returns."""
    config, models, programs, images, folder = evaluation
    kinds = ("weak", "white", "more", "black")
    names = [name for name, row in made.items() if row.kind in kinds and row.target == "free"]
    strongest = min(names or made, key=lambda name: (robust[name].mean(), made[name].kind != "white"))
    attacked = read_images(folder, strongest, images["image"].shape)
    after = _response(models["free"], programs, images, attacked, config)
    arrays = {
        "image": images["image"],
        "attacked": attacked,
        "label": images["label"],
        "predicted": images["logits"][:, -1].argmax(axis=-1),
        "predicted_attacked": after.logits[:, -1].argmax(axis=-1),
        "fixations": images["fixations"],
        "fixations_attacked": after.fixations,
    }
    write_npz(folder / EXAMPLES, {name: np.asarray(array) for name, array in arrays.items()})
    return strongest


def _probed(model: Model, given: dict[str, Any], config: AttackConfig) -> dict[str, np.ndarray]:
    """Where gradients are missing, bool ``[N]`` of the first batch, by part."""
    ball = config.ball(config.epsilon)

    def one(params: Any, inputs: Batch, image: Array, key: Key) -> dict[str, Array]:
        return probe(lambda image, key: model.respond(params, inputs, image, key), inputs, image, key, ball)

    few = rows_of(given, slice(config.batch))
    keys = image_keys(config, "judge", len(few["image"]))
    return jax.tree.map(
        np.asarray, jax.jit(jax.vmap(one, in_axes=(None, 0, 0, 0)))(model.params, few, few["image"], keys)
    )


def _file_name(row: str) -> str:
    return hashlib.sha256(row.encode()).hexdigest()[:12]


def _chosen(split: Split, config: AttackConfig) -> Split:
    size = len(split["image"])
    chosen = np.sort(np.random.default_rng(config.seed).permutation(size)[: config.images])
    return {name: np.asarray(array[chosen]) for name, array in split.items()}


def _check_folder(folder: Path, config: AttackConfig, params: Any, split: Split) -> None:
    """Refuses a folder of another evaluation; begins one where there is none."""
    digest = hashlib.sha256(json.dumps(leaf_digests((params, split)), sort_keys=True).encode()).hexdigest()
    identity = {"config": config.to_json(), "model and images": digest}
    path = folder / SETTINGS
    if path.exists():
        if read_json(path) != identity:
            raise InputError(
                f"folder must hold this evaluation, or none; {folder} holds one of another model or budget"
            )
        return
    folder.mkdir(parents=True, exist_ok=True)
    write_json(path, identity)
