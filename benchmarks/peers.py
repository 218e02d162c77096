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
from sb3_original import make_training
from timing import in_turn, ratio, write_results
from torch_ram import RAM

import foveax as fx
from foveax.training.mesh import training_mesh

PIPELINE = fx.PipelineConfig(
    core="rnn",
    features=128,
    combine="add",
    bands=0,
    contrast=False,
    supervise="last",
    exploration="learned",
    scale_start=0.7,
    reward="correct_last",
)
LEARNING = fx.LearningConfig(ppo=0.0, reinforce=1.0, discount=1.0, gae_lambda=1.0, entropy=0.0)
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
    jax.config.update("jax_num_cpu_devices", os.cpu_count())
    data = fx.load("mnist5k")
    train = data.train
    images, labels = train["image"][: chosen.batch], train["label"][: chosen.batch]
    one_image, seen_one = make_training(train["image"], train["label"])
    many_images, seen_many = make_training(train["image"], train["label"], batched=chosen.batch)
    shown = STEPS * chosen.batch
    runs: dict[str, tuple[Callable[[], None], float]] = {
        **{ours: (_foveax(data, chosen.batch, devices), shown) for ours, devices in OURS.items()},
        "PyTorch, eager": (_pytorch(images, labels, compiled=False), shown),
        "PyTorch, torch.compile": (_pytorch(images, labels, compiled=True), shown),
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
    graph = fx.standard_pipeline(data, PIPELINE).unlink("saccader.position", "saccader.index")
    learner = fx.make_learner(graph, LEARNING, steps=TRAINING)
    state = learner.init(jax.random.key(0))
    ours, theirs = sum(leaf.size for leaf in jax.tree.leaves(state.params)), sum(p.numel() for p in RAM().parameters())
    if ours != theirs:
        raise SystemExit(f"the networks must be of one size; foveax's has {ours} parameters, PyTorch's {theirs}")
    dispatches = fx.fit(learner, data, state, batch=batch, dispatch=STEPS, mesh=training_mesh(devices))

    def run() -> None:
        jax.block_until_ready(next(dispatches))

    return run


def _pytorch(images: object, labels: object, *, compiled: bool) -> Callable[[], None]:
    device = "cuda" if torch.cuda.is_available() else "cpu"
    shown = torch.as_tensor(images, device=device).movedim(-1, 1).float() / 255
    answers = torch.as_tensor(labels, device=device).long()
    model = RAM().to(device)
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
    loss = torch.compile(model.loss) if compiled else model.loss

    def run() -> None:
        for _ in range(STEPS):
            optimizer.zero_grad()
            loss(shown, answers).backward()
            optimizer.step()
        if device == "cuda":
            torch.cuda.synchronize()

    return run


if __name__ == "__main__":
    main()
