"""Environment steps per second: through Gymnasium's vector interface, and of the bare compiled step.

    python benchmarks/environment_steps.py

The two are measured in turn, in one process; printed are the medians, and the median of the ratios of the pairs; --out
writes them as JSON.
"""

import argparse
import json
import os
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import jax
import jax.numpy as jnp

import foveax as fx
from foveax.environments import make_episodes
from foveax.environments.gymnasium import FoveaxVectorEnv


def main() -> None:
    """Measures, prints, writes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--num-envs", type=int, default=1024)
    parser.add_argument("--episodes", type=int, default=20, help="batches of episodes in each measurement")
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--out", type=Path)
    chosen = parser.parse_args()
    data = fx.load("mnist5k")
    graph = fx.standard_pipeline(data)
    params, episodes = fx.init(graph, jax.random.key(0)), make_episodes(graph, data)
    environments = FoveaxVectorEnv(chosen.num_envs, episodes, params=params)
    environments.reset(seed=0)
    environments.action_space.seed(0)
    actions = environments.action_space.sample()
    reset, step = jax.jit(episodes.reset, static_argnums=3), jax.jit(episodes.step)
    images, saccades = jax.device_put(dict(episodes.images)), graph.length - 1
    fixations = jnp.asarray((actions + 1) / 2)

    def through_gymnasium() -> None:
        for _ in range(chosen.episodes * (saccades + 1)):  # the step after the end begins anew
            environments.step(actions)

    def bare() -> None:
        for number in range(chosen.episodes):
            shown, seen = reset(params, jax.random.key(number), images, chosen.num_envs)
            for _ in range(saccades):
                shown, seen = step(params, shown, fixations)
            jax.block_until_ready(seen)

    def rate(run: Callable[[], None]) -> float:
        started = time.perf_counter()
        run()
        return chosen.episodes * saccades * chosen.num_envs / (time.perf_counter() - started)

    for run in (through_gymnasium, bare):
        rate(run)  # compiles
    rates = [(rate(through_gymnasium), rate(bare)) for _ in range(chosen.repeats)]
    ratio = statistics.median(gymnasium / alone for gymnasium, alone in rates)
    ours, theirs = (statistics.median(column) for column in zip(*rates, strict=True))
    results = {
        "num_envs": chosen.num_envs,
        "vector_steps_per_second": round(ours),
        "bare_steps_per_second": round(theirs),
        "ratio": round(ratio, 3),
        "device": jax.devices()[0].device_kind,
        "cores": os.cpu_count(),
        "jax": jax.__version__,
    }
    print(json.dumps(results, indent=2))
    if chosen.out:
        chosen.out.write_text(json.dumps(results, indent=2) + "\n")


if __name__ == "__main__":
    main()
