"""The decision as a module: what logits say of the class, and how wrong they are."""

from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
import optax

from foveax._types import Array
from foveax.graph.modules import Loss, Module, from_function
from foveax.graph.ports import Port

LABEL = Port((), (jnp.int32,))
LOGITS = Port(("K",), (jnp.float32,))


def decision(
    *, weight: float | str = 1.0, glimpses: Literal["each", "last"] = "each", class_weights: Any = None
) -> Module:
    """Turns logits into a decision and, next to the label, into a loss.

    Inputs: ``logits`` ``[K]``, ``label`` (int32). Outputs: ``probabilities`` ``[K]``, ``predicted`` (int32),
    ``correct`` (bool) and ``cross_entropy`` ``-log p(label)`` in nats, which is its loss (`Loss`): of that weight, the
    mean over each of the glimpses, or that of the last. With class weights ``[K]`` it is ``-w_label log p(label)``.

    Example:
      >>> import foveax as fx
      >>> fx.decision(glimpses="last").losses["cross_entropy"].glimpses
      'last'
    """

    def decide(logits: Array, label: Array) -> tuple[Array, ...]:
        predicted = jnp.argmax(logits).astype(jnp.int32)
        cross_entropy = optax.losses.softmax_cross_entropy_with_integer_labels(logits, label)
        if class_weights is not None:
            cross_entropy *= jnp.asarray(class_weights, jnp.float32)[label]
        return jax.nn.softmax(logits), predicted, predicted == label, cross_entropy

    outputs = ("probabilities", "predicted", "correct", "cross_entropy")
    losses = {"cross_entropy": Loss(weight, glimpses=glimpses)}
    return from_function(decide, outputs=outputs, ports={"logits": LOGITS, "label": LABEL}, losses=losses)


def balanced_class_weights(label: np.ndarray, classes: int) -> np.ndarray:
    """The weights under which each class counts alike: ``w_k = N / (K n_k)``, where n_k of N labels are k.

    They are inversely proportional to the classes' shares, and 1 on average over the examples (King and Zeng 2001,
    https://doi.org/10.1093/oxfordjournals.pan.a004868, section 3.2, up to a constant). K counts the classes that occur;
    one that does not has the weight 0. Labels ``[N]`` to ``[K]`` float32.

    Example:
      >>> balanced_class_weights(np.array([0, 0, 0, 1]), 2).tolist()
      [0.6666666865348816, 2.0]
    """
    counts = np.bincount(label, minlength=classes)
    weights = len(label) / (np.count_nonzero(counts) * np.maximum(counts, 1))
    return np.where(counts, weights, 0).astype(np.float32)
