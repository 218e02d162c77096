"""Commands that look inside a run: ``foveax record``."""

from pathlib import Path
from typing import Literal

import jax
from tyro.conf import OmitArgPrefixes, Positional

from foveax._types import InputError
from foveax.analysis.activations import record_activations
from foveax.commands import OWN_DATA, RunFlags, evaluation_bar, suffix
from foveax.evaluation.evaluate import greedy, watch
from foveax.graph.ports import describe


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
    folder = Path(out).expanduser() if out else loaded.path / f"recording-{split}{suffix(loaded)}"
    render = loaded.data.render if split == "train" else None
    key, images = jax.random.key(loaded.config.seed), getattr(loaded.data, split)
    with evaluation_bar(f"{split} images"):
        arrays = record_activations(
            graph, loaded.params, images, ports, folder, key=key, batch=batch, render=render, watch=watch
        )
    for port, array in arrays.items():
        print(f"{port}: {describe(array)}")
    print(f"in {folder}")
