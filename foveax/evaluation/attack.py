"""An honest evaluation of a graph's robustness: all rows of the checklist, resumed where it stopped."""

import hashlib
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from foveax._types import Array, Batch, InputError, Key, Params
from foveax.data.dataset import Data, Split
from foveax.evaluation.attack_rows import AttackConfig, Row, attacks, probe, rows
from foveax.evaluation.attack_verdict import percent, verdict
from foveax.evaluation.controls import control_targets
from foveax.evaluation.evaluate import Report, check_split, silent, watch
from foveax.evaluation.gaze_attacks import Response, free_gaze, held_gaze
from foveax.evaluation.smallest_changes import format_smallest, smallest_changes
from foveax.graph.graph import Graph
from foveax.runtime.digests import leaf_digests
from foveax.runtime.files import read_json, write_json, write_npz

SETTINGS, RESULTS = "settings.json", "attack.json"
"""Files of the folder of an evaluation; the others hold the images of each row, a file for each batch."""


class Model(NamedTuple):
    """A graph as attacks see it: ``respond(params, inputs, image, key)``."""

    params: Any
    respond: Callable[[Any, Batch, Array, Key], Response]


def attack(
    graph: Graph,
    params: dict[str, Params],
    data: Data,
    *,
    folder: Path,
    whole_image: tuple[Graph, dict[str, Params]],
    config: AttackConfig | None = None,
    report: Report = silent,
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
      report: called with the row that is made next and what is left of the images.

    Returns:
      what is written as ``attack.json``: ``rows`` (name to ``accuracy``, ``images``, ``seconds``, ``change``, the mean
      norm, and ``moved``, the mean distance of fixations from the clean ones), ``missing`` gradients, as shares of
      images, the ``smallest`` changes (`foveax.evaluation.smallest_changes.smallest_changes`), and the
      `foveax.evaluation.attack_verdict.verdict`.

    Raises:
      InputError: if the folder holds another evaluation, or the graph cannot be attacked.
    """
    config = config or AttackConfig()
    split = _chosen(check_split(graph, data.test, "test split"), config)
    _check_folder(folder, config, params, split)
    has_noise = any(module.random and not module.agent for module in graph.modules.values())
    made = rows(config, has_eye=graph.length > 1 and bool(control_targets(graph)), has_noise=has_noise)
    models = _models(graph, params, whole_image)
    clean = _clean(models["free"], split, config)
    programs = _programs(models, config)
    outcomes: dict[str, dict[str, np.ndarray]] = {}
    for name, row in made.items():
        given = {**split, **clean, "start": outcomes[row.start]["image"] if row.start else clean["image"]}
        given["places"] = _places(clean["places"], row.places, config)
        outcomes[name] = _row(name, row, models, programs, given, config, folder)
        report(f"{name}: {percent(outcomes[name]['robust'])}")
    report("smallest changes")
    smallest = smallest_changes(
        models["free"].respond,
        params,
        {**split, **clean},
        _keys(config, "smallest", len(clean["image"])),
        distance=config.distance,
        folder=folder,
        batch=config.batch,
    )
    missing = _probed(models["free"], {**split, **clean}, config)
    robust = {name: outcome["robust"] for name, outcome in outcomes.items()}
    ball = config.ball(config.epsilon)
    size = jax.jit(jax.vmap(lambda image, clean: ball.norm(image - clean)))
    table = {
        name: {
            "accuracy": float(outcome["robust"].mean()),
            "images": len(outcome["robust"]),
            "seconds": float(outcome["seconds"].sum()),
            "change": float(np.mean(size(outcome["image"], clean["image"]))),
            "moved": float(outcome["moved"].mean()),
        }
        for name, outcome in outcomes.items()
    }
    results = {
        "rows": table,
        "missing": {part: float(values.mean()) for part, values in missing.items()},
        "smallest": smallest,
        **verdict(made, robust, missing, config.grey(graph.inputs["image"].shape)),
    }
    write_json(folder / RESULTS, results)
    return results


def format_attack(results: dict[str, Any]) -> str:
    """The rows as a table, and the verdict, as text."""
    wide = max(map(len, results["rows"])) + 1
    lines = [f"{'robust accuracy (%)':<{wide}}{'':>8}{'change':>10}{'gaze moved':>12}{'seconds':>9}"]
    for name, row in results["rows"].items():
        numbers = f"{row['change']:>10.3f}{row['moved']:>12.3f}{row['seconds']:>9.0f}"
        lines.append(f"{name:<{wide}}{100 * row['accuracy']:>8.1f}{numbers}")
    lines += format_smallest(results["smallest"])
    lines.append(f"no attack breaks {100 * results['worst']:.1f} %; verdict: {results['verdict']}")
    return "\n".join([*lines, *(f"- {line}" for line in (*results["reasons"], *results["notes"]))])


def _models(graph: Graph, params: dict[str, Params], whole_image: tuple[Graph, dict[str, Params]]) -> dict[str, Model]:
    held, whole = held_gaze(graph), whole_image
    return {
        "free": Model(params, free_gaze(graph)),
        "sampled": Model(params, free_gaze(graph, sampled=True)),
        "held": Model(params, lambda params, inputs, image, key: held(params, inputs, image, key, inputs["places"])),
        "whole image": Model(whole[1], free_gaze(whole[0])),
    }


def _clean(model: Model, split: Split, config: AttackConfig) -> dict[str, Any]:
    """The images as floats, and the response to them: ``image``, ``fixations``, ``places``."""
    image = np.asarray(split["image"])
    image = image.astype(np.float32) / 255 if image.dtype == np.uint8 else image
    keys = _keys(config, "judge", len(image))
    respond = jax.jit(jax.vmap(model.respond, in_axes=(None, 0, 0, 0)))
    inputs = {name: array for name, array in split.items() if name != "image"}
    parts = []
    for begin in range(0, len(image), config.batch):
        few = _some((inputs, image, keys), begin, config)
        parts.append(jax.tree.map(np.asarray, respond(model.params, *few)))
    whole = jax.tree.map(lambda *arrays: np.concatenate(arrays), *parts)
    return {"image": image, "fixations": whole.fixations, "places": whole.places}


Program = Callable[[Any, Any, Any, Any, Any], Any]


def _programs(models: dict[str, Model], config: AttackConfig) -> Callable[[str, str], Program]:
    """The compiled attack of a name on a model; and, of the attack ``"judge"``, the model's judgement."""
    made: dict[tuple[str, str], Program] = {}
    known = attacks(config)

    def program(name: str, source: str) -> Program:
        if (name, source) not in made:
            respond = models[source].respond

            def one(params: Any, inputs: Batch, image: Array, key: Key, epsilon: Any) -> Any:
                if name != "judge":
                    return known[name](
                        lambda image, key: respond(params, inputs, image, key), inputs, image, key, epsilon
                    )
                response = respond(params, inputs, image, key)
                is_right = jnp.argmax(response.logits[-1]) == inputs["label"]
                if response.fixations.shape != inputs["fixations"].shape:
                    return is_right, jnp.float32(0)
                moved = response.fixations - inputs["fixations"]
                return is_right, jnp.mean(jnp.sqrt(jnp.sum(jnp.square(moved), axis=-1)))

            made[name, source] = jax.jit(jax.vmap(one, in_axes=(None, 0, 0, 0, None)))
        return made[name, source]

    return program


def _row(
    name: str,
    row: Row,
    models: dict[str, Model],
    programs: Any,
    given: dict[str, Any],
    config: AttackConfig,
    folder: Path,
) -> dict[str, np.ndarray]:
    """A row's outcome on each image, read where it is there: ``image``, ``robust``, ``moved``, ``seconds``."""
    size, parts = len(given["image"]), []
    epsilon = jnp.float32(config.epsilon if row.epsilon is None else row.epsilon)
    attack_keys, judge_keys = _keys(config, name, size), _keys(config, "judge", size)
    for begin in range(0, size, config.batch):
        path = folder / f"{hashlib.sha256(name.encode()).hexdigest()[:12]}-{begin}.npz"
        if path.exists():
            with np.load(path) as file:
                parts.append(dict(file))
        else:
            start = time.perf_counter()
            inputs, *keys = _some((given, attack_keys, judge_keys), begin, config)
            source, target = models[row.source], models[row.target]
            attacked, judged = programs(row.attack, row.source), programs("judge", row.target)
            image = attacked(source.params, inputs, inputs["image"], keys[0], epsilon)
            robust, moved = judged(target.params, inputs, image, keys[1], epsilon)
            arrays = {"image": image, "robust": robust, "moved": moved}
            part = {each: np.asarray(array) for each, array in arrays.items()}
            part["seconds"] = np.array([time.perf_counter() - start])
            write_npz(path, part)
            parts.append(part)
        watch(len(parts[-1]["robust"]))
    return {each: np.concatenate([part[each] for part in parts]) for each in parts[0]}


def _probed(model: Model, given: dict[str, Any], config: AttackConfig) -> dict[str, np.ndarray]:
    """Where gradients are missing, bool ``[N]`` of the first batch, by part."""
    ball = config.ball(config.epsilon)

    def one(params: Any, inputs: Batch, image: Array, key: Key) -> dict[str, Array]:
        return probe(lambda image, key: model.respond(params, inputs, image, key), inputs, image, key, ball)

    few = _some(given, 0, config)
    keys = _keys(config, "judge", len(few["image"]))
    return jax.tree.map(
        np.asarray, jax.jit(jax.vmap(one, in_axes=(None, 0, 0, 0)))(model.params, few, few["image"], keys)
    )


def _some(tree: Any, begin: int, config: AttackConfig) -> Any:
    """A batch of all arrays ``[N, ...]``."""
    return jax.tree.map(lambda array: array[begin : begin + config.batch], tree)


def _places(clean: dict[str, np.ndarray], kind: str, config: AttackConfig) -> dict[str, np.ndarray]:
    """Where a held gaze looks: at the clean places, at random, or at their mean over the images."""
    rng = np.random.default_rng(config.seed)
    if kind == "random":
        return {name: rng.random(places.shape, np.float32) for name, places in clean.items()}
    if kind == "fixed":
        return {name: np.broadcast_to(places.mean(0), places.shape) for name, places in clean.items()}
    return clean


def _keys(config: AttackConfig, purpose: str, number: int) -> Key:
    """A key for each image, whatever the batches."""
    salt = int.from_bytes(hashlib.sha256(purpose.encode()).digest()[:4], "big")
    return jax.random.split(jax.random.fold_in(jax.random.key(config.seed), salt), number)


def _chosen(split: Split, config: AttackConfig) -> Split:
    size = len(split["image"])
    chosen = np.sort(np.random.default_rng(config.seed).permutation(size)[: config.images])
    return {name: np.asarray(array[chosen]) for name, array in split.items()}


def _check_folder(folder: Path, config: AttackConfig, params: dict[str, Params], split: Split) -> None:
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
