"""The stock classifier as a module."""

from typing import Literal

import jax.numpy as jnp

from foveax.graph.modules import Module
from foveax.modules.flax import from_linen_cell
from foveax.networks.classifiers import RecurrentClassifier
from foveax.networks.encoders import GlimpseEncoder


def classifier(
    classes: int,
    encoder: GlimpseEncoder | None = None,
    *,
    core: Literal["rnn", "gru", "lstm", "feedforward"] = "gru",
    hidden: int = 256,
    precision: Literal["float32", "bfloat16"] = "float32",
) -> Module:
    """A classifier that reads one glimpse after another.

    Inputs: ``glimpse`` ``[G, G, C]`` and, if linked, ``fixation`` ``[2]``. Outputs: ``logits`` ``[K]``, ``hidden``,
    ``features``, and every inner layer by its path, such as ``encoder.what``. The core of `hidden` units is a recurrent
    cell, or ``"feedforward"`` for no memory of earlier glimpses. Parameters and logits are float32 at any precision.

    Example:
      >>> import foveax as fx
      >>> list(fx.classifier(10).inputs)
      ['glimpse', 'fixation']
    """
    dtype = jnp.dtype(precision)
    cell = None if core == "feedforward" else core
    return from_linen_cell(RecurrentClassifier(classes, encoder or GlimpseEncoder(dtype=dtype), cell, hidden, dtype))
