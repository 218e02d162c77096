"""The policies of other libraries as saccaders."""

import jax.numpy as jnp

from foveax.graph.modules import Module
from foveax.graph.ports import FLOATS, POINT, Port
from foveax.modules.flax import from_linen
from foveax.networks.perceptron import Activation, Perceptron, Squash


def perceptron_saccader(hidden: tuple[int, ...], *, activation: Activation, squash: Squash) -> Module:
    """A saccader that does not learn: the `Perceptron` of another library's policy, which takes its mode.

    Inputs: ``observation`` ``[D]`` and, if linked, ``position`` ``[2]`` and ``index`` (int32). Outputs: ``fixation``
    ``[2]``, and each layer by its name.
    """
    ports = {"observation": Port(("D",), FLOATS), "position": POINT, "index": Port((), (jnp.int32,))}
    return from_linen(Perceptron(hidden, activation, squash), ports=ports)
