"""Glimpse prediction on digits: against the present glimpse and the mean one, under four efference copies.

    python benchmarks/glimpse_prediction.py [--images 100000] [--seeds 2]

Trains `foveax.pipelines.predictive_pipeline` on the bundled digits with an eye that looks anywhere, alone and next to
classification, and prints the mean squared error on test images. Writes ``benchmarks/results/glimpse_prediction.json``.
"""

import argparse
import functools

import jax
from timing import write_results

import foveax as fx
from foveax.evaluation.prediction import prediction_errors
from foveax.pipelines import predictive_pipeline

COPIES = ("absolute", "relative", "none", "shuffled")


def main() -> None:
    """Trains, judges, prints, writes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=100_000)
    parser.add_argument("--seeds", type=int, default=2)
    flags = parser.parse_args()
    rows = []
    for classify in (False, True):
        for copy in COPIES:
            for seed in range(flags.seeds):
                pipeline = fx.PipelineConfig(policy="random", efference=copy)
                config = fx.TrainingConfig(images=flags.images, seed=seed, shift=0, pipeline=pipeline)
                build = functools.partial(predictive_pipeline, classify=classify)
                data = config.load()
                result = fx.train(config, data, pipeline=build, evaluate=False)
                errors = prediction_errors(result.graph, result.params, data, key=jax.random.key(seed))
                row = {"classify": classify, "efference": copy, "seed": seed}
                if classify:
                    shown = fx.evaluate(result.graph, result.params, data.test, key=jax.random.key(seed))
                    row["accuracy"] = float(shown.accuracy[-1])
                row |= {name: interval._asdict() for name, interval in errors.items()}
                rows.append(row)
                print(
                    {
                        name: round(value["mean"], 5) if isinstance(value, dict) else value
                        for name, value in row.items()
                    },
                    flush=True,
                )
    write_results("glimpse_prediction", {"images": flags.images, "rows": rows})


if __name__ == "__main__":
    main()
