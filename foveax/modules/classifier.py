"""The stock classifier as a module."""

from typing import Literal

import jax.numpy as jnp

from foveax._types import InputError
from foveax.graph.modules import Module
from foveax.modules.flax import from_linen_cell
from foveax.networks.classifiers import RecurrentClassifier
from foveax.networks.encoders import GlimpseEncoder


def classifier(
    classes: int,
    encoder: GlimpseEncoder | None = None,
    *,
    core: Literal["rnn", "gru", "lstm", "transformer", "feedforward"] = "gru",
    hidden: int = 256,
    precision: Literal["float32", "bfloat16"] = "float32",
    length: int = 0,
) -> Module:
    """A classifier that reads one glimpse after another.

    Inputs: ``glimpse`` ``[G, G, C]`` and, if linked, ``fixation`` ``[2]``. Outputs: ``logits`` ``[K]``, ``hidden``,
    ``features``, and every inner layer by its path, such as ``encoder.what``. The core of `hidden` units is a recurrent
    cell, a transformer over the last `length` glimpses, or ``"feedforward"`` for no memory of earlier ones. Parameters
    and logits are float32 at any precision. Raises `InputError` for a transformer without a length.

    Example:
      >>> import foveax as fx
      >>> list(fx.classifier(10).inputs)
      ['glimpse', 'fixation']
    """
    dtype = jnp.dtype(precision)
    cell = None if core == "feedforward" else core
    if cell == "transformer" and length < 1:
        raise InputError(f"length must be the glimpses that a transformer attends to, at least 1; got {length}")
    encoder = encoder or GlimpseEncoder(dtype=dtype)
    return from_linen_cell(RecurrentClassifier(classes, encoder, cell, hidden, dtype, length))
