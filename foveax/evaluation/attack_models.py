"""The models of an evaluation of robustness, and its attacks on them, compiled for batches."""

import hashlib
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from foveax._types import Array, Batch, Key, Params
from foveax.evaluation.attack_methods import attacks
from foveax.evaluation.attack_rows import AttackConfig
from foveax.evaluation.gaze_attacks import Response, free_gaze, held_gaze
from foveax.graph.graph import Graph


class Model(NamedTuple):
    """A graph as attacks see it: ``respond(params, inputs, image, key)``."""

    params: Any
    respond: Callable[[Any, Batch, Array, Key], Response]


def models_of(
    graph: Graph, params: dict[str, Params], whole_image: tuple[Graph, dict[str, Params]]
) -> dict[str, Model]:
    """The graph with its gaze free, sampled and held, and the network that sees the whole image, by name."""
    held, whole = held_gaze(graph), whole_image
    return {
        "free": Model(params, free_gaze(graph)),
        "sampled": Model(params, free_gaze(graph, sampled=True)),
        "held": Model(params, lambda params, inputs, image, key: held(params, inputs, image, key, inputs["places"])),
        "whole image": Model(whole[1], free_gaze(whole[0])),
    }


Programs = Callable[[str, str], Callable[[Any, Any, Any, Any, Any], Any]]


def compiled_attacks(models: dict[str, Model], config: AttackConfig) -> Programs:
    """The compiled attack of a name on a model, ``(params, inputs, image, key, epsilon) -> images``, for a batch.

    Of the name ``"respond"`` it is the model's response; of ``"judge"``, whether it is right, how far its gaze moved
    from the clean fixations, and how far the image was changed.
    """
    ball = config.ball(config.epsilon)
    made: dict[tuple[str, str], Callable[[Any, Any, Any, Any, Any], Any]] = {}
    known = attacks(config)

    def program(name: str, source: str) -> Callable[[Any, Any, Any, Any, Any], Any]:
        if (name, source) not in made:
            respond = models[source].respond

            def one(params: Any, inputs: Batch, image: Array, key: Key, epsilon: Any) -> Any:
                if name in known:
                    return known[name](
                        lambda image, key: respond(params, inputs, image, key), inputs, image, key, epsilon
                    )
                response = respond(params, inputs, image, key)
                if name == "respond":
                    return response
                has_gaze = response.fixations.shape == inputs["fixations"].shape
                moved = response.fixations - inputs["fixations"] if has_gaze else jnp.zeros((1, 2))
                return {
                    "robust": jnp.argmax(response.logits[-1]) == inputs["label"],
                    "moved": jnp.mean(jnp.sqrt(jnp.sum(jnp.square(moved), axis=-1))),
                    "change": ball.norm(image - inputs["image"]),
                }

            made[name, source] = jax.jit(jax.vmap(one, in_axes=(None, 0, 0, 0, None)))
        return made[name, source]

    return program


def batches(order: np.ndarray, size: int) -> Iterator[np.ndarray]:
    """Numbers of images, a number at a time; the last are filled up with the last image, so that one program serves.

    Example:
      >>> [index.tolist() for index in batches(np.arange(5), 3)]
      [[0, 1, 2], [3, 4, 4]]
    """
    size = min(size, len(order))
    for begin in range(0, len(order), size):
        yield order[np.minimum(np.arange(begin, begin + size), len(order) - 1)]


def rows_of(tree: Any, rows: Any) -> Any:
    """Some rows of all arrays ``[N, ...]``."""
    return jax.tree.map(lambda array: array[rows], tree)


def fixed_places(clean: dict[str, np.ndarray], kind: str, config: AttackConfig) -> dict[str, np.ndarray]:
    """Where a held gaze looks: at the clean places, at random, or at their mean over the images."""
    rng = np.random.default_rng(config.seed)
    if kind == "random":
        return {name: rng.random(places.shape, np.float32) for name, places in clean.items()}
    if kind == "fixed":
        return {name: np.broadcast_to(places.mean(0), places.shape) for name, places in clean.items()}
    return clean


def image_keys(config: AttackConfig, purpose: str, number: int) -> Key:
    """A key for each image, whatever the batches."""
    salt = int.from_bytes(hashlib.sha256(purpose.encode()).digest()[:4], "big")
    return jax.random.split(jax.random.fold_in(jax.random.key(config.seed), salt), number)
