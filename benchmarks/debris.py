"""Feed-forward and recurrent networks on digit debris, after Spoerer et al. 2017: the errors of several seeds.

    python benchmarks/debris.py --images 500000 --precision bfloat16

Trains each network (B, B-K, B-F, BT, BL, BLT) at each level of debris, with several seeds, by one compiled program for
all of them (mapped over so many as are trained ``--together``), on images drawn once and kept on the device. After each
cell it writes the error of each seed on the test images, and the cost, to ``benchmarks/results/debris-KIND.json``; a
cell that is there, with the same settings, is not trained again. ``--validation`` judges by training images that are
held out instead. Networks that see nothing but heavy debris may never begin to learn: during the share ``--curriculum``
of a training, images have none, and then lighter debris, of the levels below its own. Programs are compiled once for
each network, whatever the level, the rate and the number of images.
"""

import argparse
import functools
import time
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from debris_training import Programs, compile_programs, groups, steps_of, train_seeds
from timing import RESULTS

from foveax.data.dataset import Data, held_out
from foveax.data.digit_clutter import digit_debris
from foveax.networks.recurrent_convolutional import RecurrentConvolutional, layered
from foveax.runtime.files import read_json, write_json
from foveax.runtime.machine import machine

NETWORKS: dict[str, dict[str, Any]] = {
    "B": {"letters": "B"},
    "B-K": {"letters": "B", "kernel": 5},
    "B-F": {"letters": "B", "filters": (64, 64)},
    "BT": {"letters": "BT"},
    "BL": {"letters": "BL"},
    "BLT": {"letters": "BLT"},
}
LEVELS = (0, 10, 30, 50)
REPLICATION = {
    "B": (0.65, 19.5, 91.0, 91.0),
    "BL": (0.71, 2.97, 12.7, 16.7),
    "BT": (0.92, 14.1, 90.5, 90.5),
    "BLT": (0.67, 4.55, 21.7, 21.1),
}
"""Errors in percent by level of an outside replication, one seed each, some of which did not learn: nisharaichur's on
GitHub, 100 epochs of 100,000 images, probably with the grey levels of ``--overflow``."""
UNTRAINED = 85.0
"""Error in percent from which on a network counts as one that has not learned; chance is 90."""
SETTINGS = (
    *("images", "batch", "rate", "steps", "norm", "precision", "train_images", "test_images", "overflow", "validation"),
    "curriculum",
)
"""Flags on which the errors of a cell depend."""


def main() -> None:
    """Trains the cells that are not there yet, writes after each, prints the table."""
    chosen = arguments()
    file = chosen.out or RESULTS / f"debris-{jax.devices()[0].device_kind.replace(' ', '-')}.json"
    results: dict[str, Any] = read_json(file) if file.exists() else {"cells": []}
    results |= {"machine": machine(), "outside_replication": {"levels": LEVELS, "error": REPLICATION}}
    programs: dict[str, Programs] = {}
    for level, images in zip(chosen.levels, chosen.images * (len(chosen.levels) // len(chosen.images)), strict=True):
        ours = argparse.Namespace(**{**vars(chosen), "images": images})
        wanted = {"pieces": level, **{name: getattr(ours, name) for name in SETTINGS}, "seeds": list(range(ours.seeds))}
        left = [name for name in ours.networks if not find(results["cells"], {"network": name, **wanted})]
        if not left:
            continue
        stages = [load(ours, lighter) for lighter in LEVELS if lighter < level and ours.curriculum]
        stages.append(load(ours, level))
        for name in left:
            network = network_of(name, stages[-1].classes, ours)
            if name not in programs:
                programs[name] = compile_programs(network, stages[-1], ours)
            cell = {"network": name, **wanted, **train_cell(network, programs[name], stages, ours)}
            results["cells"].append(cell)
            write_json(file, results)
            error = f"error {cell['mean']:.2f} mean, {cell['worst']:.2f} worst"
            print(f"{name:4} {level:3}  {error}  {cell['seconds']} s, compilation {cell['compilation']} s", flush=True)
    print(f"written to {file}")


def arguments() -> argparse.Namespace:
    """The flags of the command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--networks", nargs="+", choices=NETWORKS, default=list(NETWORKS))
    parser.add_argument("--levels", nargs="+", type=int, default=LEVELS, help="fragments in an image")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--together", type=int, default=1, help="seeds that are mapped over at a time")
    parser.add_argument("--dispatch", type=int, default=100, help="steps in one call of the compiled program")
    parser.add_argument(
        "--images", type=int, nargs="+", default=[500_000], help="shown in each training, at each level"
    )
    parser.add_argument("--batch", type=int, default=100)
    parser.add_argument("--rate", type=float, default=4e-3, help="highest learning rate of Adam")
    parser.add_argument("--steps", type=int, default=4, help="of the network, over each image")
    parser.add_argument("--norm", choices=("group", "layer", "none"), default="group")
    parser.add_argument("--precision", choices=("float32", "bfloat16"), default="float32")
    parser.add_argument("--train-images", type=int, default=100_000, help="drawn for training")
    parser.add_argument("--test-images", type=int, default=10_000)
    parser.add_argument("--overflow", action="store_true", help="grey levels of the generator's last commit")
    parser.add_argument("--validation", type=int, default=0, help="training images to judge by instead of test images")
    parser.add_argument("--curriculum", type=float, default=0.4, help="share of the training with lighter debris")
    parser.add_argument("--out", type=Path)
    chosen = parser.parse_args()
    if len(chosen.levels) % len(chosen.images):
        parser.error(f"--images must be one number, or one for each level; got {len(chosen.images)}")
    lighter = sum(level < max(chosen.levels) for level in LEVELS)
    if chosen.curriculum and min(chosen.images) * chosen.curriculum < lighter * chosen.batch * chosen.dispatch:
        parser.error(f"--images must hold a dispatch of each lighter level; got {min(chosen.images):,}")
    if chosen.seeds % chosen.together:
        parser.error(f"--seeds must be a multiple of --together; got {chosen.seeds} and {chosen.together}")
    return chosen


def find(cells: list[dict[str, Any]], wanted: dict[str, Any]) -> dict[str, Any] | None:
    """The cell of a network and a level that was trained with these settings, if there is one."""
    return next((cell for cell in cells if all(cell.get(key) == value for key, value in wanted.items())), None)


def load(chosen: argparse.Namespace, level: int) -> Data:
    """The images of a level, on the device."""
    return images_of(level, chosen.train_images, chosen.test_images, chosen.overflow, chosen.validation)


@functools.cache
def images_of(level: int, train: int, test: int, overflow: bool, validation: int) -> Data:
    """The images of a level, drawn once."""
    data = digit_debris(level, train, test, overflow)
    data = held_out(data, validation) if validation else data
    return data._replace(train=jax.device_put(data.train), test=jax.device_put(data.test))


def network_of(name: str, classes: int, chosen: argparse.Namespace) -> RecurrentConvolutional:
    """A network of the table."""
    options = {"internal_steps": chosen.steps, "norm": chosen.norm, "dtype": jnp.dtype(chosen.precision)}
    return layered(**NETWORKS[name], classes=classes, **options)


def train_cell(
    network: RecurrentConvolutional, programs: Programs, stages: list[Data], chosen: argparse.Namespace
) -> dict[str, Any]:
    """Trains and judges all seeds of a network: errors in percent by seed, failures, seconds, FLOPs."""
    shape = stages[-1].inputs["image"].shape
    began = time.perf_counter()
    runs = [train_seeds(programs, stages, seeds, chosen) for seeds in groups(chosen)]
    seconds = time.perf_counter() - began
    errors, losses = (np.concatenate(column) for column in zip(*runs, strict=True))
    last = errors[:, -1]
    return {
        "errors": np.round(last, 3).tolist(),
        "mean": round(float(last.mean()), 3),
        "worst": round(float(last.max()), 3),
        "not_learned": int((last >= UNTRAINED).sum()),
        "errors_by_step": np.round(errors.mean(axis=0), 3).tolist(),
        "loss": np.round(losses.mean(axis=0), 4).tolist(),
        "parameters": count_parameters(network, shape),
        "flops_of_image": flops_of_image(network, shape),
        "seconds": round(seconds, 2),
        "compilation": round(programs.seconds, 2),
        "images_per_second": round(chosen.seeds * steps_of(chosen) * chosen.batch / seconds),
        "together": chosen.together,
        "device": jax.devices()[0].device_kind,
    }


def flops_of_image(network: RecurrentConvolutional, shape: tuple[int, ...]) -> int:
    """FLOPs of the convolutions of an image, forward: 2 for each product; what is the same at each step counts once.

    A training step takes three times as many.
    """
    (rows, columns, below), total, steady = shape, 0, True
    for number, (_, area) in enumerate(network.areas):
        rows, columns = area.places(rows, columns)
        steps = network.internal_steps
        steady = steady and area.is_steady
        window = 2 * area.kernel**2 * area.channels * rows * columns
        total += window * below * (1 if steady or not number else steps)  # the image is the same at each step
        total += window * area.channels * area.lateral * (steps - 1)
        total += window * area.above // 4 * (steps - 1)  # a quarter of the places above are not zeros between
        below = area.channels
    return int(total)


def count_parameters(network: RecurrentConvolutional, shape: tuple[int, ...]) -> int:
    """The number of parameters."""
    image, key = jax.ShapeDtypeStruct(shape, jnp.uint8), jax.random.key(0)
    shapes = jax.eval_shape(lambda image: network.init(key, network.initialize_carry(key, shape), image), image)
    return sum(leaf.size for leaf in jax.tree.leaves(shapes))


if __name__ == "__main__":
    main()
