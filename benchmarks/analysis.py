"""How long the statistics of a hundred thousand scanpaths take.

    python benchmarks/analysis.py

prints a table, and writes ``benchmarks/results/analysis.json``.
"""

import json
import os
import time
from pathlib import Path

import numpy as np

from foveax import analysis

SCANPATHS, GLIMPSES, SIDE = 100_000, 6, 28


def main() -> None:
    """Times each statistic once."""
    rng = np.random.default_rng(0)
    paths, labels = rng.random((SCANPATHS, GLIMPSES, 2)), rng.integers(0, 10, SCANPATHS)
    beliefs = rng.dirichlet(np.ones(10), (SCANPATHS, GLIMPSES))
    landings = np.moveaxis(paths[:, 1:], 1, 0)
    sides = {"height": SIDE, "width": SIDE}
    measures = {
        "amplitudes": lambda: analysis.saccade_amplitudes(paths, **sides),
        "directions": lambda: analysis.saccade_directions(paths, **sides),
        "turns": lambda: analysis.saccade_turns(paths, **sides),
        "refixation": lambda: analysis.refixation_rate(paths, **sides),
        "returns at each lag": lambda: analysis.return_rates(paths, **sides),
        "border": lambda: analysis.border_share(paths, **sides),
        "distances from the centre": lambda: analysis.centre_distances(paths, **sides),
        "coverage": lambda: analysis.coverage(paths, size=9, **sides),
        "densities": lambda: [analysis.density_map(points, **sides) for points in landings],
        "entropies of the map": lambda: [analysis.map_entropy(points) for points in landings],
        "information": lambda: [analysis.mutual_information(points, labels) for points in landings],
        "  of shuffled pairs": lambda: [analysis.shuffled_information(points, labels) for points in landings],
        "speed and accuracy": lambda: analysis.speed_accuracy(beliefs, labels),
    }
    seconds = {}
    for name, measure in measures.items():
        began = time.perf_counter()
        measure()
        seconds[name] = time.perf_counter() - began
        print(f"{name:<28}{seconds[name]:8.2f} s")
    print(f"{'all':<28}{sum(seconds.values()):8.2f} s")
    told = {"scanpaths": SCANPATHS, "glimpses": GLIMPSES, "side": SIDE, "cores": os.cpu_count(), "seconds": seconds}
    results = Path(__file__).parent / "results" / "analysis.json"
    results.write_text(json.dumps({**told, "all": sum(seconds.values())}, indent=2) + "\n")


if __name__ == "__main__":
    main()
