"""Kernels as one product with windows and as XLA's convolution: which is faster, here, for what.

    python benchmarks/kernels.py

Forward and backward over batches of glimpses, in a loop as training steps are, for the kernels of
`--preset canvas` (6x6 at every second place of three scales of 12x12) and for those of a residual block (3x3 of 64
channels on 16x16); of one network, and of five at once as a population has them, each with kernels of its own.
Writes ``benchmarks/results/kernels-KIND.json``.
"""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from timing import in_turn, ratio, write_results

from foveax.networks.residual import by_convolution, by_product

LOOP, BATCH, MEMBERS, REPEATS = 2, 32, 5, 3
CASES = {
    "canvas": ((3, 12, 12, 2), 32, {"size": 6, "stride": 2, "padding": ((0, 0), (0, 0))}),
    "residual": ((1, 16, 16, 64), 64, {"size": 3, "stride": 1, "padding": ((1, 1), (1, 1))}),
}
"""Planes ``[S, H, W, C]``, kernels K, and their sizes."""


def gradient(form: Callable[..., Any], planes: jax.Array, kernels: jax.Array) -> Callable[[], None]:
    """Computes the gradients of all members with respect to planes and kernels, and waits."""

    def summed(planes: jax.Array, kernel: jax.Array) -> jax.Array:
        def loss(batch: jax.Array) -> jax.Array:
            return jnp.square(jax.vmap(form, in_axes=(0, None))(batch, kernel)).mean(dtype=jnp.float32)

        return jax.lax.map(loss, planes).sum()

    run = jax.jit(jax.vmap(jax.grad(summed, argnums=(0, 1))))
    return lambda: jax.block_until_ready(run(planes, kernels))


def main() -> None:
    """Times all in turn, prints, writes."""
    results: dict[str, float] = {}
    for dtype in (jnp.float32, jnp.bfloat16):
        for name, (shape, channels, sizes) in CASES.items():
            for members in (1, MEMBERS):
                planes_key, kernel_key = jax.random.split(jax.random.key(0))
                planes = jax.random.normal(planes_key, (members, LOOP, BATCH, *shape), dtype)
                window = sizes["size"] ** 2 * shape[-1]
                kernels = jax.random.normal(kernel_key, (members, window, channels), dtype)
                forms = {"product": by_product, "convolution": by_convolution}
                runs = {form: gradient(functools.partial(of, **sizes), planes, kernels) for form, of in forms.items()}
                seconds = in_turn(runs, repeats=REPEATS)
                case = f"{name}, {jnp.dtype(dtype).name}, {members} of them"
                results[case] = round(ratio(seconds["convolution"], seconds["product"]), 2)
                print(f"{case}: the convolution takes {results[case]} times as long as the product", flush=True)
    write_results(f"kernels-{jax.devices()[0].device_kind.replace(' ', '-')}", {"convolution_over_product": results})


if __name__ == "__main__":
    main()
