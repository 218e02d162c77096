"""Commands that look inside a run: ``foveax record``, ``foveax decode``."""

from pathlib import Path
from typing import Any, Literal

import jax
import numpy as np
from tyro.conf import OmitArgPrefixes, Positional

from foveax._types import InputError
from foveax.analysis.activations import record_activations
from foveax.analysis.decoding import brightness_centres, fixation_targets
from foveax.analysis.decoding import decode as decode_activity
from foveax.commands import OWN_DATA, RunFlags, evaluation_bar, output_folder
from foveax.evaluation.evaluate import greedy, watch
from foveax.evaluation.lesions import format_lesions, lesion_code
from foveax.graph.graph import Graph
from foveax.graph.ports import describe
from foveax.runs.load import LoadedRun
from foveax.runtime.files import write_json

APART = ("class", "position", "next")
"""Codes that are also decoded at each glimpse apart."""


def record(
    run: Positional[str],
    /,
    flags: OmitArgPrefixes[RunFlags] = OWN_DATA,
    *,
    ports: tuple[str, ...] = (),
    split: Literal["train", "test"] = "test",
    out: str = "",
    batch: int = 250,
    sample: bool = False,
) -> None:
    """Write what ports of a run give, image by image, as a folder of .npy files; a stopped recording is resumed.

    Args:
      run: Run directory.
      ports: Each as module.port, memory.NAME or input.NAME, such as classifier.hidden, memory.fixation, input.label.
      split: Train or test; training images are shown once, augmented as in training.
      out: The folder; by default recording-SPLIT in the run directory.
      batch: Images at a time.
      sample: Sample policies, as in training, in place of their mode.
    """
    loaded = flags.load(run)
    graph = loaded.graph if sample else greedy(loaded.graph)
    if not ports:
        outputs = graph.wiring.outputs
        there = [f"{name}.{port}" for name in ("input", *graph.wiring.order, "memory") for port in outputs[name]]
        raise InputError(f"ports must name what to record; there are {', '.join(there)}")
    folder = output_folder(out, loaded, f"recording-{split}")
    render = loaded.data.render if split == "train" else None
    key, images = jax.random.key(loaded.config.seed), getattr(loaded.data, split)
    with evaluation_bar(f"{split} images"):
        arrays = record_activations(
            graph, loaded.params, images, ports, folder, key=key, batch=batch, render=render, watch=watch
        )
    for port, array in arrays.items():
        print(f"{port}: {describe(array)}")
    print(f"in {folder}")


def decode(
    run: Positional[str],
    /,
    flags: OmitArgPrefixes[RunFlags] = OWN_DATA,
    *,
    port: str = "classifier.core",
    images: int = 1_000,
    lesion: float = 0.0,
    randoms: int = 5,
    out: str = "",
) -> None:
    """Print what can be read from a layer: class, position, the fixations before and after, next to shuffled controls.

    Args:
      run: Run directory.
      port: The layer, as module.layer, such as classifier.core or classifier.encoder.what.
      images: Test images, at most.
      lesion: Share of the units to lesion: those that follow the position best, then as many at random; 0: none.
      randoms: Lesions at random.
      out: The folder of recordings and of decoding.json; by default decoding-PORT in the run directory.
    """
    if images < 5:
        raise InputError(f"images must be at least 5, to be decoded in 5 folds; got {images}")
    loaded = flags.load(run)
    folder = output_folder(out, loaded, f"decoding-{port}")
    split = {name: array[:images] for name, array in loaded.data.test.items()}
    rows = _decoded(loaded, split, port, folder)
    print(_format_codes(rows))
    report: dict[str, Any] = {"judged_on": loaded.judged_on, "port": port, "codes": rows}
    if lesion:
        key = jax.random.key(loaded.config.seed)
        with evaluation_bar() as title:
            lesioned = lesion_code(
                loaded.graph, loaded.params, split, port, folder, key=key, share=lesion, randoms=randoms, report=title
            )
        print(format_lesions(lesioned))
        report["lesions"] = {name: row._asdict() for name, row in lesioned.items()}
    write_json(folder / "decoding.json", report)
    print(f"in {folder}")


def _decoded(run: LoadedRun, split: dict[str, np.ndarray], port: str, folder: Path) -> dict[str, dict[str, Any]]:
    """Scores of all codes in a layer, by code."""
    graph = greedy(run.graph)
    gaze, label = f"memory.{graph.roles.gaze}", graph.roles.label
    if not graph.roles.gaze:
        raise InputError("the graph must declare a gaze (Roles) to decode where the eye is; its roles name none")
    print(f"what the eye's place enters: {', '.join(_readers(graph, gaze)) or 'nothing'}")
    key = jax.random.key(run.config.seed)
    with evaluation_bar("intact") as _:
        arrays = record_activations(
            graph, run.params, split, [port, gaze, *([label] if label else [])], folder / "codes", key=key, watch=watch
        )
    objects = split.get("object", brightness_centres(split["image"]) if "image" in split else None)
    targets = fixation_targets(np.asarray(arrays[gaze]), objects)
    if label:
        targets = {"class": np.asarray(arrays[label][:, 0]), **targets}
    known = {name: target for name, target in targets.items() if target.ndim == 1 or _varies(target)}
    return {name: _score(np.asarray(arrays[port]), target, apart=name in APART) for name, target in known.items()}


def _score(activity: np.ndarray, target: np.ndarray, *, apart: bool) -> dict[str, Any]:
    """The scores of a code, and if asked for those of a decoder for each glimpse."""
    decoded = decode_activity(activity, target)
    scores: list[float | None] = []
    for glimpse in range(activity.shape[1] if apart else 0):
        own = target if target.ndim == 1 else target[:, [glimpse]]
        varies = target.ndim == 1 or _varies(own)
        scores.append(decode_activity(activity[:, [glimpse]], own, shuffles=0).score.mean if varies else None)
    return {"score": decoded.score._asdict(), "shuffled": decoded.shuffled.tolist(), "by_glimpse": scores}


def _varies(places: np.ndarray) -> bool:
    """Whether places, NaN where there are none, differ between images: an eye that rests has no code to read."""
    known = np.isfinite(places).all((0, 2))
    return bool(np.ptp(places[:, known], axis=0).max(initial=0.0) > 0)


def _readers(graph: Graph, port: str) -> list[str]:
    """The input ports that read a port."""
    fed = graph.wiring.sources.items()
    return [f"{name}.{own}" for name, ports in fed for own, source in ports.items() if str(source) == port]


def _format_codes(rows: dict[str, dict[str, Any]]) -> str:
    lines = [f"{'decoded':<12}{'R2, or share right':>26}{'shuffled':>10}   at each glimpse apart"]
    for name, row in rows.items():
        mean, low, high = row["score"].values()
        scores = " ".join("-" if value is None else f"{value:.2f}" for value in row["by_glimpse"])
        whole = f"{mean:.3f} ({low:.3f} to {high:.3f})"
        lines.append(f"{name:<12}{whole:>26}{np.mean(row['shuffled']):>10.3f}   {scores}")
    return "\n".join(lines)
