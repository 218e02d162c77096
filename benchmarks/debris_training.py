"""Training of several seeds of a network on images that lie on the device, for `debris`."""

import argparse
import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from foveax.data.dataset import Data
from foveax.networks.recurrent_convolutional import RecurrentConvolutional

JUDGED_AT_ONCE = 500
WARM = 0.05
"""Share of the training over which the learning rate rises."""


class Programs(NamedTuple):
    """Compiled: from keys to the state of a training, from a state and rows on, and from parameters to errors."""

    begin: Callable[..., Any]
    advance: Callable[..., Any]
    judge: Callable[..., Any]
    seconds: float


def compile_programs(network: RecurrentConvolutional, data: Data, chosen: argparse.Namespace) -> Programs:
    """The programs of a network, for all levels; with several seeds `together`, each is mapped over them."""
    apply = network_of_images(network)
    optimiser = optax.chain(optax.clip_by_global_norm(1.0), optax.scale_by_adam())

    def begin(key: jax.Array) -> Any:
        image = data.inputs["image"]
        params = network.init(key, network.initialize_carry(key, image.shape), jnp.zeros(image.shape, image.dtype))
        return params, optimiser.init(params)

    def loss(params: Any, images: jax.Array, labels: jax.Array) -> jax.Array:
        logits = apply(params, images)
        labels = labels[:, None].repeat(logits.shape[1], 1)
        return optax.softmax_cross_entropy_with_integer_labels(logits, labels).mean()

    def advance(state: Any, rows: jax.Array, rates: jax.Array, train: Any) -> tuple[Any, jax.Array]:
        def update(state: Any, step: tuple[jax.Array, jax.Array]) -> tuple[Any, jax.Array]:
            (params, optimiser_state), (rows, rate) = state, step
            value, gradient = jax.value_and_grad(loss)(params, train["image"][rows], train["label"][rows])
            changes, optimiser_state = optimiser.update(gradient, optimiser_state)
            changes = jax.tree.map(lambda change: -rate * change, changes)
            return (optax.apply_updates(params, changes), optimiser_state), value

        state, losses = jax.lax.scan(update, state, (rows, rates))
        return state, losses.mean()

    def judge(params: Any, images: jax.Array, labels: jax.Array) -> jax.Array:
        return (apply(params, images).argmax(-1) != labels[:, None]).sum(axis=0)

    def mapped(function: Callable[..., Any], *axes: Any) -> Callable[..., Any]:
        return jax.vmap(function, axes) if chosen.together > 1 else function

    began = time.perf_counter()
    keys = keys_of(next(groups(chosen)))
    first = jax.jit(mapped(begin, 0)).lower(keys).compile()
    state = first(keys)
    rows = jnp.zeros((*keys.shape, chosen.dispatch, chosen.batch), jnp.int32)
    rates = jnp.zeros(chosen.dispatch)
    images, labels = next(parts_of(data.test))
    onward = (
        jax.jit(mapped(advance, 0, 0, None, None), donate_argnums=0).lower(state, rows, rates, data.train).compile()
    )
    judged = jax.jit(mapped(judge, 0, None, None)).lower(state[0], images, labels).compile()
    return Programs(first, onward, judged, time.perf_counter() - began)


def train_seeds(
    programs: Programs, stages: list[Data], seeds: np.ndarray, chosen: argparse.Namespace
) -> tuple[np.ndarray, np.ndarray]:
    """Whole trainings: errors in percent on the test images by step of the network, ``[N, S]``; losses by dispatch."""
    state, losses = programs.begin(keys_of(seeds)), []
    steps, dispatch, test = steps_of(chosen), chosen.dispatch, stages[-1].test
    size = len(stages[-1].train["label"])
    orders = [rows_of(int(seed), size, steps * chosen.batch).reshape(steps, chosen.batch) for seed in seeds]
    order, rates = orders[0] if len(orders) == 1 else np.stack(orders), rates_of(chosen)
    for first in range(0, steps, dispatch):
        rows = jnp.asarray(order[..., first : first + dispatch, :])
        train = stages[stage_of(first / steps, len(stages), chosen.curriculum)].train
        state, loss = programs.advance(state, rows, jnp.asarray(rates[first : first + dispatch]), train)
        losses.append(loss)
    wrong = np.stack([programs.judge(state[0], *part) for part in parts_of(test)]).sum(axis=0)
    count = sum(len(labels) for _, labels in parts_of(test))
    return (100 * wrong / count).reshape(len(seeds), -1), np.stack(losses, axis=-1).reshape(len(seeds), -1)


def stage_of(progress: float, stages: int, curriculum: float) -> int:
    """The stage of a training whose share `progress` is done: the last, after equal parts of the curriculum."""
    if progress >= curriculum:
        return stages - 1
    return int(progress / curriculum * (stages - 1))


def rates_of(chosen: argparse.Namespace) -> np.ndarray:
    """The rate of each step: it rises over a twentieth of the training and falls to nothing, as half a cosine."""
    done = np.arange(steps_of(chosen)) / steps_of(chosen)
    rates = chosen.rate * np.minimum(done / WARM, 0.5 + 0.5 * np.cos(np.pi * np.maximum(done - WARM, 0) / (1 - WARM)))
    return rates.astype(np.float32)


def steps_of(chosen: argparse.Namespace) -> int:
    """Steps of a training: whole dispatches, at least one."""
    return max(chosen.images // (chosen.batch * chosen.dispatch), 1) * chosen.dispatch


def groups(chosen: argparse.Namespace) -> Iterator[np.ndarray]:
    """The seeds that are trained together, ``[together]`` each."""
    return iter(np.arange(chosen.seeds).reshape(-1, chosen.together))


def keys_of(seeds: np.ndarray) -> jax.Array:
    """A key for each of several seeds, or that of a single one."""
    return jax.random.key(int(seeds[0])) if len(seeds) == 1 else jax.vmap(jax.random.key)(jnp.asarray(seeds))


def rows_of(seed: int, size: int, count: int) -> np.ndarray:
    """Numbers of training images, as many as are shown, int32: epoch after epoch, each in an order of its own."""
    rng = np.random.default_rng(seed)
    return np.concatenate([rng.permutation(size) for _ in range(-(-count // size))])[:count].astype(np.int32)


def parts_of(test: Any) -> Iterator[tuple[jax.Array, jax.Array]]:
    """Test images and labels in parts of one size; a rest is left out."""
    size = min(JUDGED_AT_ONCE, len(test["label"]))
    for first in range(0, len(test["label"]) - size + 1, size):
        yield test["image"][first : first + size], test["label"][first : first + size]


def network_of_images(network: RecurrentConvolutional) -> Callable[..., jax.Array]:
    """The function from parameters and images ``[B, H, W, C]`` to the logits of each step ``[B, S, K]``."""

    def apply(params: Any, image: jax.Array) -> jax.Array:
        carry = network.initialize_carry(jax.random.key(0), image.shape)
        result: Any = network.apply(params, carry, image)
        return result[1]["logits_by_step"]

    return jax.vmap(apply, (None, 0))
