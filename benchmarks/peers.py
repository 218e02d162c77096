# pyright: reportMissingImports=false
"""foveax's training step beside other ways to train the same network, in turn, in one run.

    pip install torch && pip install -e '.[sb3]'
    python benchmarks/peers.py

The network of RAM, a simple RNN of 256 units, 6 glimpses of 9x9, float32, REINFORCE (`torch_ram`): foveax's fused
step, on one device and over all, of which a processor has one per core here (``foveax train --devices 0`` with
``JAX_NUM_CPU_DEVICES`` set); eager PyTorch; the same under ``torch.compile``; and, for a rollout of PPO's default
length, the original framework's way with an environment per image, and with an environment per batch (`sb3_original`),
on the processor.
All networks have the same number of parameters, which is checked. Prints the medians and writes
``benchmarks/results/peers-KIND.json``.
"""

import argparse
import os
import statistics
from collections.abc import Callable

import jax
import torch
from dispatches import RAM_LEARNING, ram_graph
from timing import in_turn, ratio, write_results
from torch_ram import RAM, make_training

import foveax as fx
from foveax.training.mesh import training_mesh

OURS = {"foveax": 1, "foveax, all devices": 0}
"""Devices of foveax's rows; 0 takes all."""
STEPS = 10
"""Of the training step, in one measurement of foveax or PyTorch."""
TRAINING = 100_000
"""Steps of foveax's training, of which as many are made as are measured."""


def main() -> None:
    """Measures, prints, writes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--repeats", type=int, default=9)
    chosen = parser.parse_args()
    from sb3_original import make_training as make_original

    jax.config.update("jax_num_cpu_devices", os.cpu_count())
    data = fx.load("mnist5k")
    train = data.train
    images, labels = train["image"][: chosen.batch], train["label"][: chosen.batch]
    one_image, seen_one = make_original(train["image"], train["label"])
    many_images, seen_many = make_original(train["image"], train["label"], batched=chosen.batch)
    shown = STEPS * chosen.batch
    runs: dict[str, tuple[Callable[[], None], float]] = {
        **{ours: (_foveax(data, chosen.batch, devices), shown) for ours, devices in OURS.items()},
        "PyTorch, eager": (make_training(images, labels, steps=STEPS), shown),
        "PyTorch, torch.compile": (make_training(images, labels, steps=STEPS, mode="default"), shown),
        "environment per image, SB3": (one_image, seen_one),
        "environment per batch, SB3": (many_images, seen_many),
    }
    seconds = in_turn({name: run for name, (run, _) in runs.items()}, repeats=chosen.repeats)
    per_image = {name: [second / seen for second in seconds[name]] for name, (_, seen) in runs.items()}
    rates = {name: round(1 / statistics.median(each)) for name, each in per_image.items()}
    ratios = {
        ours: {name: round(ratio(each, per_image[ours]), 2) for name, each in per_image.items() if name not in OURS}
        for ours in OURS
    }
    print(f"{'':<30}{'images/s':>10}" + "".join(f"{ours + ' is':>25}" for ours in OURS))
    for name in runs:
        print(f"{name:<30}{rates[name]:>10,}" + "".join(f"{by.get(name, ''):>25}" for by in ratios.values()))
    kind = jax.devices()[0].device_kind.replace(" ", "-")
    threads = {"batch": chosen.batch, "torch": torch.__version__, "torch_threads": torch.get_num_threads()}
    write_results(f"peers-{kind}", {**threads, "images_per_second": rates, "is_faster_by": ratios})


def _foveax(data: fx.Data, batch: int, devices: int) -> Callable[[], None]:
    """The training as it is run: `STEPS` steps are one call, each picks its batch from the images on the device."""
    learner = fx.make_learner(ram_graph(data), RAM_LEARNING, steps=TRAINING)
    state = learner.init(jax.random.key(0))
    ours, theirs = sum(leaf.size for leaf in jax.tree.leaves(state.params)), sum(p.numel() for p in RAM().parameters())
    if ours != theirs:
        raise SystemExit(f"the networks must be of one size; foveax's has {ours} parameters, PyTorch's {theirs}")
    dispatches = fx.fit(learner, data, state, steps=TRAINING, batch=batch, dispatch=STEPS, mesh=training_mesh(devices))

    def run() -> None:
        jax.block_until_ready(next(dispatches))

    return run


if __name__ == "__main__":
    main()
