"""What it is worth to look longer at what is harder: five eyes on MNIST that stop once they are sure.

    python benchmarks/stopping.py [--data-dir DIR]

Trains the preset `mnist` from five seeds, 100,000 images each. Looking then stops once the entropy of the belief is
below a threshold; the same numbers of glimpses are also dealt to the test images at random, and in reverse order
(`foveax.analysis.allocation`). Writes ``benchmarks/results/stopping.json``.
"""

import argparse
import dataclasses

import jax
import numpy as np
from timing import write_results

import foveax as fx
from foveax import analysis
from foveax.evaluation.cost import decision_cost

SEEDS = 5
THRESHOLDS = (1.0, 0.5, 0.3, 0.2, 0.1, 0.05)
"""Bits."""


def main() -> None:
    """Trains, stops, prints, writes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data-dir", default="")
    preset = fx.PRESETS["mnist"]
    data = preset.load(data_dir=parser.parse_args().data_dir)
    graph = fx.build_graph(preset, data)
    cost = decision_cost(graph) / graph.length / 1e6
    figures = []
    for seed in range(SEEDS):
        result = fx.train(dataclasses.replace(preset, seed=seed), data, evaluate=False)
        seen = fx.evaluate(result.graph, result.params, data.test, key=jax.random.key(seed))
        assert seen.probabilities is not None
        assert seen.label is not None
        rows = []
        for bits in THRESHOLDS:
            glimpses = analysis.reading_time(seen.probabilities, threshold=bits)
            rows.append((glimpses.mean(), *analysis.allocation(seen.probabilities, seen.label, glimpses)))
        figures.append(rows)
    by_seed = np.array(figures)
    rows = {}
    for bits, (glimpses, *shares), worst in zip(
        THRESHOLDS, by_seed.mean(axis=0), (by_seed[..., 1] - by_seed[..., 2]).min(axis=0), strict=True
    ):
        own, random, reverse = (round(100 * float(share), 2) for share in shares)
        rows[f"{bits:g} bits"] = {
            "glimpses": round(float(glimpses), 2),
            "million_multiply_adds": round(float(glimpses) * cost, 2),
            "own": own,
            "random": random,
            "reversed": reverse,
            "least_gain_over_random": round(100 * float(worst), 2),
        }
        print(f"{bits:g} bits: {rows[f'{bits:g} bits']}")
    write_results("stopping", {"seeds": SEEDS, "rows": rows})


if __name__ == "__main__":
    main()
