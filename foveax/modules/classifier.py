"""The stock classifier as a module."""

from typing import Literal

import jax.numpy as jnp

from foveax.graph.modules import Module
from foveax.modules.flax import from_linen, from_linen_cell
from foveax.networks.classifiers import FeedForwardClassifier, RecurrentClassifier
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
    ``features``, and every inner layer by its path, such as ``encoder.what``. The encoder gives the features of a
    glimpse and its fixation, the core of `hidden` units is a recurrent cell, or ``"feedforward"`` for no memory
    of earlier glimpses. The precision is that of the computation; parameters and logits are float32.

    Example:
      >>> import foveax as fx
      >>> list(fx.classifier(10).inputs)
      ['glimpse', 'fixation']
    """
    dtype = jnp.dtype(precision)
    encoder = encoder or GlimpseEncoder(dtype=dtype)
    if core == "feedforward":
        return from_linen(FeedForwardClassifier(classes, encoder, hidden, dtype))
    return from_linen_cell(RecurrentClassifier(classes, encoder, core, hidden, dtype))
