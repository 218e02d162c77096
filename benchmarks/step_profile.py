"""Where the time of the training step goes, by the part of the pipeline that each compiled operation was made from.

    python benchmarks/step_profile.py --core gru --batch 512

Records a trace with JAX's profiler, matches its events with the operations of the compiled program, and sums their time
by part (retina, encoder, core, saccader, update, ...), forward and backward, and by matrix products and all else. On a
processor the events of several threads overlap: shares are of the time of all threads together.
"""

import argparse
import collections
import gzip
import json
import operator
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path

import jax
import jax.numpy as jnp
from timing import blank_data

import foveax as fx

STEPS = 20
PARTS = {
    "retina": ("crop", "gr,rsc,hs", "retina", "contrast"),
    "encoder": ("encoder/",),
    "core": ("/core/",),
    "read-out": ("readout",),
    "saccader": ("SaccadeNetwork", "saccader"),
    "random numbers": ("_normal", "_uniform", "threefry", "random_", "split", "fold_in"),
}
"""Parts, and what the names of the operations that they are made of contain."""


def main() -> None:
    """Traces, sums, prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--core", default="gru", choices=("rnn", "gru", "lstm"))
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--precision", default="float32", choices=("float32", "bfloat16"))
    chosen = parser.parse_args()
    config = fx.PipelineConfig(core=chosen.core, precision=chosen.precision)
    learner = fx.make_learner(fx.standard_pipeline(blank_data((28, 28, 1)), config), fx.LearningConfig(), steps=10_000)
    images = jnp.arange(chosen.batch * 28 * 28, dtype=jnp.uint8).reshape(-1, 28, 28, 1)
    batch = {"image": images, "label": jnp.arange(chosen.batch, dtype=jnp.int32) % 10}
    state = learner.init(jax.random.key(0))
    step = jax.jit(learner.step, donate_argnums=0).lower(state, batch).compile()
    state, _ = step(state, batch)
    with tempfile.TemporaryDirectory() as folder:
        with jax.profiler.trace(folder):
            for _ in range(STEPS):
                state, _ = step(state, batch)
            jax.block_until_ready(state)
        events = list(_events(Path(folder)))
    origins = dict(re.findall(r'%?([\w.\-]+) = .*op_name="([^"]*)"', step.as_text() or ""))
    spent: dict[tuple[str, bool], float] = collections.defaultdict(float)
    for name, microseconds in events:
        origin = origins.get(name, "")
        spent[_part(origin), "dot_general" in origin or name.startswith("dot")] += microseconds
    _print(spent)


def _events(folder: Path) -> Iterator[tuple[str, float]]:
    """Name and microseconds of each compiled operation that was run."""
    for file in folder.rglob("*.trace.json.gz"):
        for event in json.loads(gzip.decompress(file.read_bytes()))["traceEvents"]:
            if event.get("ph") == "X" and "hlo_op" in event.get("args", {}):
                yield event["args"]["hlo_op"], event["dur"]


def _part(origin: str) -> str:
    for part, signs in PARTS.items():
        if any(sign in origin for sign in signs):
            return f"{part}, backward" if "transpose(" in origin else part
    return "losses, update and the rest"


def _print(spent: dict[tuple[str, bool], float]) -> None:
    total = sum(spent.values())
    parts = {part: spent.get((part, False), 0.0) + spent.get((part, True), 0.0) for part, _ in spent}
    print(f"{'':<32}{'us/step':>10}{'share':>8}{'in products':>13}")
    for part, microseconds in sorted(parts.items(), key=operator.itemgetter(1), reverse=True):
        products = spent.get((part, True), 0.0) / microseconds
        print(f"{part:<32}{microseconds / STEPS:>10.0f}{microseconds / total:>8.0%}{products:>13.0%}")
    print(f"{'all':<32}{total / STEPS:>10.0f}")


if __name__ == "__main__":
    main()
