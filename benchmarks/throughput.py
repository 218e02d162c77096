"""Images per second of the fused training step, and how near it comes to its own matrix products.

    python benchmarks/throughput.py

For each batch, core, precision and policy: the rate of the step; its floating-point operations, from XLA's cost
analysis; and the share of the rate that the networks' matrix products alone reach, run one by one at the same shapes
and precision, in turn with the step. The products are read off the traced step, so that none is forgotten; in small
batches the calls of the single products cost more than the products do, and the share exceeds one. On every kind of
device that is here; ``benchmarks/results/throughput-KIND.json``.
"""

import argparse
import collections
import functools
import itertools
import statistics
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import jax
import jax.extend.core
import jax.numpy as jnp
from timing import blank_data, in_turn, ratio, write_results

import foveax as fx
from foveax.training.learner import TrainState

BATCHES = (32, 128, 512)
PRECISIONS = ("float32", "bfloat16")
STEPS = 5
"""Of the training step, in one measurement."""


class Product(NamedTuple):
    """A matrix product, ``[rows, inner] [inner, columns]``."""

    rows: int
    inner: int
    columns: int
    dtype: Any


def main() -> None:
    """Measures, prints, writes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--batches", type=int, nargs="+", default=BATCHES)
    repeats, batches = (chosen := parser.parse_args()).repeats, chosen.batches
    for device in ({d.device_kind: d for d in jax.devices()} | {"cpu": jax.devices("cpu")[0]}).values():
        with jax.default_device(device):
            print(f"{device.device_kind}\n{'core':<6}{'policy':<9}{'precision':<11}{'batch':>6}", end="")
            print(f"{'images/s':>10}{'GFLOP/s':>9}{'of its products':>17}")
            configs = itertools.starmap(_config, itertools.product(("rnn", "gru"), ("learned", "random"), PRECISIONS))
            rows = [_measure(config, batch, repeats) for config in configs for batch in batches]
        write_results(f"throughput-{device.device_kind.replace(' ', '-')}", {"steps": STEPS, "rows": rows})


def _config(core: Any, policy: Any, precision: Any) -> fx.PipelineConfig:
    return fx.PipelineConfig(core=core, policy=policy, precision=precision)


def _measure(config: fx.PipelineConfig, batch: int, repeats: int) -> dict[str, Any]:
    graph = fx.standard_pipeline(blank_data((28, 28, 1)), config)
    learner = fx.make_learner(graph, fx.LearningConfig(), steps=10_000)
    data = fx.load("mnist5k").train
    shown = {name: jnp.asarray(array[:batch]) for name, array in data.items()}
    state = learner.init(jax.random.key(0))
    products = collections.Counter(network_products(jax.make_jaxpr(learner.step)(state, shown).jaxpr))
    step: Any = jax.jit(learner.step, donate_argnums=0).lower(state, shown).compile()
    runs = {"step": _steps(step, state, shown), "products": _products(products)}
    seconds = in_turn(runs, repeats=repeats)
    rate = STEPS * batch / statistics.median(seconds["step"])
    flops = step.cost_analysis()["flops"] / batch
    share = ratio(seconds["products"], seconds["step"])
    chosen = {"core": config.core, "policy": config.policy, "precision": config.precision, "batch": batch}
    print(f"{config.core:<6}{config.policy:<9}{config.precision:<11}{batch:>6}", end="")
    print(f"{rate:>10,.0f}{rate * flops / 1e9:>9.1f}{share:>17.0%}", flush=True)
    figures = {"images_per_second": round(rate), "flops_per_image": round(flops), "share_of_products": round(share, 3)}
    return {**chosen, **figures}


def _steps(step: Any, state: TrainState, shown: dict[str, Any]) -> Callable[[], None]:
    """Some steps of a training, which goes on from call to call."""
    held = [state]

    def run() -> None:
        for _ in range(STEPS):
            held[0], _ = step(held[0], shown)
        jax.block_until_ready(held[0])

    return run


def _products(counts: collections.Counter[Product]) -> Callable[[], None]:
    """As many matrix products as `STEPS` steps hold, one by one."""
    operands = {product: _operands(product) for product in counts}
    multiply = jax.jit(jnp.dot)

    def run() -> None:
        for product, count in counts.items():
            last = [multiply(*operands[product]) for _ in range(STEPS * count)]
            jax.block_until_ready(last)

    return run


def _operands(product: Product) -> tuple[jax.Array, jax.Array]:
    left, right = jax.random.split(jax.random.key(0))
    normal = functools.partial(jax.random.normal, dtype=product.dtype)
    return normal(left, (product.rows, product.inner)), normal(right, (product.inner, product.columns))


def network_products(jaxpr: Any, times: int = 1) -> Iterator[Product]:
    """The matrix products of a traced program that join a whole batch with weights: those without batch dimensions.

    Those of the retina, which has small ones of its own for each image, are thus left out.
    """
    for equation in jaxpr.eqns:
        if equation.primitive.name == "dot_general":
            (contracted, _), (batched, _) = equation.params["dimension_numbers"]
            left, right = (variable.aval for variable in equation.invars)
            if not batched and contracted:
                inner = int(functools.reduce(lambda size, axis: size * left.shape[axis], contracted, 1))
                sizes = (left.size // inner, inner, right.size // inner)
                yield from itertools.repeat(Product(*sizes, left.dtype), times)
        turns = times * equation.params["length"] if equation.primitive.name == "scan" else times
        for inner_jaxpr in jax.extend.core.jaxprs_in_params(equation.params):
            yield from network_products(inner_jaxpr, turns)


if __name__ == "__main__":
    main()
