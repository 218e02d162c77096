"""Surprise as a module: how far a glimpse is from what was predicted of it."""

from typing import Literal, get_args

import jax
import jax.numpy as jnp

from foveax._checked import in_line
from foveax._types import Array, InputError, Key, Params
from foveax.graph.modules import Loss, Module, State, Values
from foveax.graph.ports import Port
from foveax.modules.scripted import INDEX

PredictionError = Literal["squared", "contrastive"]
TEMPERATURE = 0.1
"""By which cosines are divided before the softmax."""


def surprise(length: int, error: PredictionError = "squared", *, weight: float | str = 1.0) -> Module:
    """The error of the prediction that was made of this glimpse, a loss of a weight.

    Inputs: ``glimpse``, what is predicted, of any shape; ``expected``, of the same shape, from the memory that the
    prediction was written to; ``index``. Outputs, float32, 0 at the first glimpse, which nothing predicted: ``error``;
    and ``persistence``, the error of the prediction that this glimpse looks like the one before.

    ``squared`` is the mean of ``(glimpse - expected)²``. ``contrastive`` is ``-log softmax(s)[true]``, s the cosines of
    the prediction with this glimpse and with each earlier one of the image, over `TEMPERATURE` (after van den Oord et
    al. 2018, https://arxiv.org/abs/1807.03748, with the scanpath's own glimpses for negatives). Gradients reach the
    prediction alone where what is predicted has no parameters, or frozen ones.

    Args:
      length: T.
      error: ``squared`` or ``contrastive``.
      weight: a number, or the name of a hyper-parameter of the graph.

    Example:
      >>> list(surprise(6).inputs), list(surprise(6).losses)
      (['glimpse', 'expected', 'index'], ['error'])
    """
    if error not in get_args(PredictionError):
        raise InputError(f"error must be one of {', '.join(get_args(PredictionError))}; got {in_line(error)}")

    def apply(params: Params, state: State, inputs: Values, key: Key | None) -> tuple[Values, State]:
        now, expected, index = (inputs[name] for name in ("glimpse", "expected", "index"))
        now = now.astype(jnp.float32)
        later = (index > 0).astype(jnp.float32)
        before = state[jnp.maximum(index - 1, 0)]

        def wrong(prediction: Array) -> Array:
            if error == "squared":
                return jnp.mean((now - prediction) ** 2)
            return contrast(prediction, now, state, index)

        outputs = {"error": later * wrong(expected), "persistence": later * wrong(before)}
        return outputs, state.at[index].set(now)

    def begin(inputs: Values) -> State:
        return jnp.zeros((length, *inputs["glimpse"].shape), jnp.float32)

    ports = {"glimpse": Port(), "expected": Port(), "index": INDEX}
    losses = {"error": Loss(weight)}
    return Module(ports, apply, begin=begin, losses=losses, metrics=("error", "persistence"))


def contrast(prediction: Array, now: Array, earlier: Array, index: Array) -> Array:
    """``-log softmax(s)[true]`` of this glimpse among the `index` earlier ones, ``[T, ...]``, in nats.

    Example:
      >>> import jax.numpy as jnp
      >>> one, other = jnp.array([1.0, 0.0]), jnp.array([[0.0, 1.0], [0.0, 0.0]])
      >>> round(float(contrast(one, one, other, jnp.int32(1))), 4)
      0.0
    """
    candidates = jnp.concatenate([now[None], earlier]).reshape(len(earlier) + 1, -1)
    cosines = _unit(candidates) @ _unit(prediction.reshape(1, -1))[0]
    there = jnp.arange(len(candidates)) <= index
    return -jax.nn.log_softmax(jnp.where(there, cosines / TEMPERATURE, -jnp.inf))[0]


def _unit(rows: Array) -> Array:
    """Rows ``[M, D]`` of length 1; of zeros, zeros."""
    return rows * jax.lax.rsqrt(jnp.maximum(jnp.sum(rows**2, axis=-1, keepdims=True), 1e-12))
