"""Letters, aliases and the error type that every layer shares.

Shapes in docstrings use these letters, and no others:

===== ================================================================
``T`` glimpses in a rollout; there are ``T - 1`` saccades
``B`` examples in a batch
``N`` examples in a data set
``H`` image height in pixels; ``W`` its width, ``C`` its channels
``G`` side of a square crop in pixels
``S`` scales of a retina
``K`` classes
``D`` features of a layer
``P`` members of a population
===== ================================================================

Functions are written for one example unless they say ``[B, ...]`` or ``[N, ...]``. A fixation is ``(x, y)`` in
``[0, 1]^2``, as fractions of the image: pixel ``= fixation * (size - 1)``, so ``(0.5, 0.5)`` is the centre.
"""

import pickle
from collections.abc import Iterable, Mapping
from typing import Any

import cloudpickle
import jax

Array = jax.Array
Key = jax.Array
"""A typed key, made by `jax.random.key`."""
Params = Any
"""A pytree of float32 arrays."""
Batch = Mapping[str, Any]
"""Arrays with a leading ``[B]`` or ``[N]``, by the name of the graph input that they feed."""
Metrics = dict[str, Array]
"""Scalars by name."""

REFIXATION_PIXELS = 3.0
"""A fixation this close to an earlier one returns to it."""
BORDER_PIXELS = 1.0
"""A fixation this close to the edge of the image lies on its border."""


class InputError(ValueError):
    """Input from outside that foveax refuses: the message says what must hold, and what came."""


def pickled_by_value(kind: type, parts: Iterable[Any]) -> tuple[Any, ...]:
    """The ``__reduce__`` of a tuple that holds functions: they are pickled with their code, wherever they were defined.

    Like every pickle, it is one to load from those alone whom one trusts.
    """
    return _unpickled, (kind, cloudpickle.dumps(tuple(parts)))


def _unpickled(kind: type, content: bytes) -> Any:
    return kind(*pickle.loads(content))
