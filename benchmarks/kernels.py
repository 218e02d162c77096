"""The glimpse encoder's kernels as one product of windows, beside flax's convolution of the same sizes.

    python benchmarks/kernels.py

Forward and backward over the glimpses of a batch, three scales of 12x12, each as contrast and normalised contrast.
Writes ``benchmarks/results/kernels-KIND.json``.
"""

import functools
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from timing import in_turn, ratio, write_results

from foveax.networks.encoders import KERNEL, STRIDE, kernel_windows

BATCH, GLIMPSES, SIZE, SCALES, KERNELS = 128, 6, 12, 3, 32


def product(layer: nn.Dense, params: dict, glimpse: jax.Array) -> jax.Array:
    """As the encoder does it."""
    return layer.apply(params, kernel_windows(glimpse))  # pyright: ignore[reportReturnType]


def convolution(layer: nn.Conv, params: dict, glimpse: jax.Array) -> jax.Array:
    """The same by flax; 12x12 needs no padding."""
    return layer.apply(params, jnp.moveaxis(glimpse, 2, 0))  # pyright: ignore[reportReturnType]


def main() -> None:
    """Times both in turn, prints, writes."""
    glimpses = jax.random.normal(jax.random.key(0), (GLIMPSES, BATCH, SIZE, SIZE, SCALES, 2))
    dense, conv = nn.Dense(KERNELS), nn.Conv(KERNELS, (KERNEL, KERNEL), STRIDE, padding="VALID")
    windows = kernel_windows(glimpses[0, 0])
    weights: dict[str, Any] = dict(dense.init(jax.random.key(1), windows)["params"])
    kernel = weights["kernel"].reshape(KERNEL, KERNEL, -1, KERNELS)
    ways = {
        "product": (functools.partial(product, dense), {"params": weights}),
        "convolution": (functools.partial(convolution, conv), {"params": {**weights, "kernel": kernel}}),
    }

    def run(apply, params):
        def summed(params, glimpses):
            return jax.lax.map(lambda batch: jax.vmap(lambda one: apply(params, one))(batch).sum(), glimpses).sum()

        gradient = jax.jit(jax.grad(summed))
        return lambda: jax.block_until_ready(gradient(params, glimpses))

    seconds = in_turn({name: run(*way) for name, way in ways.items()}, repeats=20)
    times = ratio(seconds["convolution"], seconds["product"])
    print(f"the convolution takes {times:.1f} times as long as the product")
    kind = jax.devices()[0].device_kind.replace(" ", "-")
    write_results(f"kernels-{kind}", {"convolution_over_product": round(times, 2)})


if __name__ == "__main__":
    main()
