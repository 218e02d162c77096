"""The decision as a module: what logits say of the class, and how wrong they are."""

from typing import Literal

import jax
import jax.numpy as jnp
import optax

from foveax._types import Array
from foveax.graph.modules import Loss, Module, from_function
from foveax.graph.ports import Port

LABEL = Port((), (jnp.int32,))
LOGITS = Port(("K",), (jnp.float32,))


def decision(*, weight: float | str = 1.0, glimpses: Literal["each", "last"] = "each") -> Module:
    """Turns logits into a decision and, next to the label, into a loss.

    Inputs: ``logits`` ``[K]``, ``label`` (int32). Outputs: ``probabilities`` ``[K]``, ``predicted`` (int32),
    ``correct`` (bool) and ``cross_entropy`` ``-log p(label)`` in nats, which is its loss (`Loss`): of that weight, the
    mean over each of the glimpses, or that of the last.

    Example:
      >>> import foveax as fx
      >>> fx.decision(glimpses="last").losses["cross_entropy"].glimpses
      'last'
    """

    def decide(logits: Array, label: Array) -> tuple[Array, ...]:
        predicted = jnp.argmax(logits).astype(jnp.int32)
        cross_entropy = optax.losses.softmax_cross_entropy_with_integer_labels(logits, label)
        return jax.nn.softmax(logits), predicted, predicted == label, cross_entropy

    outputs = ("probabilities", "predicted", "correct", "cross_entropy")
    losses = {"cross_entropy": Loss(weight, glimpses=glimpses)}
    return from_function(decide, outputs=outputs, ports={"logits": LOGITS, "label": LABEL}, losses=losses)
