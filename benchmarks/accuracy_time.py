"""Minutes to an accuracy on MNIST: for each, the shortest training of a few that reaches it on the test split.

    python benchmarks/accuracy_time.py --data-dir DIR

Learning rate and scale follow the length of a training, so that an accuracy is reached by the training made for
it and not on the way of a longer one. The rows are whole trainings, ``foveax train --preset NAME --images N``, from one
seed; the time is that of compiling and training. Writes ``benchmarks/results/accuracy_time-KIND.json``.
"""

import argparse
import dataclasses

import jax
from timing import write_results

import foveax as fx

AIMS = (95.0, 98.0, 98.88)
IMAGES = {"mnist": (25_000, 50_000), "mnist_long": (200_000, 400_000, 800_000, 1_500_000, 3_000_000, 6_000_000)}
TRAININGS = [
    dataclasses.replace(fx.PRESETS[name], images=images) for name, lengths in IMAGES.items() for images in lengths
]


def main() -> None:
    """Trains, prints, writes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-dir", default="")
    data_dir = parser.parse_args().data_dir
    print(f"{'images':>12}{'test %':>9}{'seconds':>9}")
    rows = []
    for config in TRAININGS:
        summary = fx.train(config, execution=fx.ExecutionConfig(data_dir=data_dir)).summary
        test = 100 * summary["test"]["learned"]["accuracy"][-1]
        seconds = summary["compile_seconds"] + summary["train_seconds"]
        print(f"{config.images:>12,}{test:>9.2f}{seconds:>9.0f}", flush=True)
        rows.append({"config": config.to_json(), "test": round(test, 2), "seconds": round(seconds, 1)})
        if test >= max(AIMS):
            break
    reached = {f"{aim:g} %": min((row["seconds"] for row in rows if row["test"] >= aim), default=None) for aim in AIMS}
    for aim, seconds in reached.items():
        print(f"{aim}: {'not reached' if seconds is None else f'{seconds:.0f} s'}")
    kind = jax.devices()[0].device_kind.replace(" ", "-")
    write_results(f"accuracy_time-{kind}", {"seconds_to": reached, "rows": rows})


if __name__ == "__main__":
    main()
