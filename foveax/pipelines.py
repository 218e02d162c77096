"""The standard pipeline, as a graph."""

import dataclasses
from collections.abc import Mapping
from typing import Literal

import jax
import jax.numpy as jnp

from foveax._fields import Checked, bounded
from foveax._types import InputError
from foveax.graph.graph import Feedback, Graph
from foveax.graph.modules import Module
from foveax.graph.stock import (
    centre,
    check_fixations,
    classifier,
    cropper,
    fixed_sequence,
    given_fixations,
    reward,
    uniform_random,
)
from foveax.networks.classifiers import FeedForwardClassifier, RecurrentClassifier
from foveax.networks.encoders import Combine, GlimpseEncoder
from foveax.networks.saccaders import Deviation, SaccadeNetwork, saccader
from foveax.networks.wrap import from_linen, from_linen_cell

Policy = Literal["learned", "centre", "random", "sequence", "given"]
Reward = Literal[
    "cross_entropy_drop", "correct_each", "correct_last", "cross_entropy", "tanh_cross_entropy", "clipped_linear"
]


@dataclasses.dataclass(frozen=True)
class Model(Checked):
    """The standard pipeline: what it sees, its two networks, and how the eye moves.

    Raises:
      InputError: for a value out of range; the message names the field.
    """

    glimpses: int = bounded(6, 1, 1000)
    """Glimpses per image, T; the first is at the centre."""
    crop: int = bounded(9, 1, 10_000)
    """Side of a glimpse in pixels."""
    scales: int = bounded(1, 1, 10)
    """Concentric crops per glimpse, each twice as wide as the one before, at half its sharpness."""
    contrast: bool = True
    """Split a glimpse into contrast, normalised contrast and luminance channels."""
    core: Literal["rnn", "gru", "lstm", "feedforward"] = "gru"
    """The classifier's core; feedforward keeps no memory of earlier glimpses."""
    hidden: int = bounded(256, 1, 1_000_000)
    """Units of the classifier's core."""
    features: int = bounded(256, 1, 1_000_000)
    """Features of the glimpse encoder."""
    kernels: int = bounded(0, 0, 1_000_000)
    """Kernels of 6x6 pixels, the same at every place and scale, that read a glimpse first; 0 reads the pixels."""
    layers: int = bounded(1, 1, 8)
    """Layers of the glimpse encoder that read what a glimpse, or its kernels, show."""
    where: bool = True
    """Tell the classifier where a glimpse was taken."""
    combine: Combine = "multiply"
    """How the encoder joins what a glimpse shows and where it was taken."""
    bands: int = bounded(4, 0, 16)
    """Fourier frequencies of a fixation, for classifier and saccader; 0 gives plain coordinates."""
    policy: Policy = "learned"
    """How the eye moves; all but learned are controls. given needs an array `fixations` in the data."""
    sequence: tuple[tuple[float, float], ...] = ()
    """For the policy sequence: the fixations after the first, T - 1 pairs of x and y in [0, 1]."""
    observe: str = "hidden"
    """The classifier's layer that the saccader reads."""
    saccader_hidden: int = bounded(128, 1, 1_000_000)
    """Units of the saccader."""
    saccader_core: Literal["none", "rnn", "gru", "lstm"] = "none"
    """A memory of the saccader's own."""
    position: bool = True
    """Tell the saccader the current fixation."""
    time: bool = True
    """Tell the saccader which glimpse it is."""
    deviation: Deviation = "scheduled"
    """The policy's deviation: fixed, scheduled (it falls over training) or learned. Before the squash: 1 is a quarter
    of the image near the centre; 2 reaches all of it nearly alike."""
    deviation_start: float = bounded(2.0, above=0.0)
    """Deviation at the start of training; the fixed one."""
    deviation_end: float = bounded(0.15, above=0.0)
    """Deviation at the end of training, if scheduled."""
    pathwise: float = bounded(0.0, 0.0)
    """Weight of the gradient of the cross-entropy through the bilinear crop into the saccader."""
    reward: Reward = "cross_entropy_drop"
    """What the saccader is paid for."""
    precision: Literal["float32", "bfloat16"] = "float32"
    """Of the computation; parameters and logits are float32."""

    def __post_init__(self):
        super().__post_init__()
        if self.policy == "sequence" and len(check_fixations(self.sequence or ((0.5, 0.5),))) != self.glimpses - 1:
            needed = self.glimpses - 1
            raise InputError(f"sequence must hold {needed} fixations, one per saccade; got {len(self.sequence)}")


def standard_pipeline(model: Model, inputs: Mapping[str, jax.ShapeDtypeStruct], *, classes: int) -> Graph:
    """The pipeline of a model: retina, network, classifier, reward and saccader.

    Args:
      model: its sizes and choices.
      inputs: the specifications of the data, as `image_source` gives them.
      classes: K.

    Raises:
      GraphError: if the data and the model do not fit.

    Example:
      >>> import foveax as fx
      >>> graph = fx.standard_pipeline(fx.Model(glimpses=4), fx.image_source((28, 28, 1)), classes=10)
      >>> list(graph.modules), graph.length
      (['retina', 'network', 'classifier', 'reward', 'saccader'], 4)
    """
    graph = Graph(
        inputs=inputs,
        modules={
            "retina": cropper(size=model.crop, scales=model.scales, contrast=model.contrast),
            "network": network(model, classes),
            "classifier": classifier(),
            "reward": reward(model.reward),
            "saccader": learned_saccader(model),
        },
        links=[
            "input.image -> retina.image",
            "retina.glimpse -> network.glimpse",
            "retina.fixation -> network.fixation",
            "network.logits -> classifier.logits",
            "input.label -> classifier.label",
            "classifier.logits -> reward.logits",
            "classifier.label -> reward.label",
            "loop.last -> reward.last",
            f"network.{model.observe} -> saccader.observation",
            "retina.fixation -> saccader.position",
            "loop.time -> saccader.time",
            "input.progress -> saccader.progress",
            "reward.reward -> saccader.reward",
            Feedback("saccader.fixation -> retina.fixation", initial=(0.5, 0.5)),
        ],
        length=model.glimpses,
    )
    optional = {"network.fixation": model.where, "saccader.position": model.position, "saccader.time": model.time}
    graph = graph.unlink(*(port for port, present in optional.items() if not present))
    return graph if model.policy == "learned" else with_policy(graph, model.policy, model.sequence)


def with_policy(graph: Graph, policy: Policy, sequence: tuple[tuple[float, float], ...] = ()) -> Graph:
    """The same graph with an eye that does not learn: the module ``saccader`` is swapped, all else stays.

    The parameters of the other modules fit the new graph, so that a trained classifier can be tried under controls.

    Args:
      graph: with a module ``saccader``.
      policy: ``"centre"``, ``"random"``, ``"sequence"`` or ``"given"`` (from the graph's input ``fixations``).
      sequence: for the policy ``"sequence"``: T - 1 fixations.
    """
    time = "loop.time -> saccader.time"
    if policy == "centre":
        return graph.swap("saccader", centre())
    if policy == "random":
        return graph.swap("saccader", uniform_random())
    if policy == "sequence":
        return graph.swap("saccader", fixed_sequence(sequence), time)
    if policy == "given":
        return graph.swap("saccader", given_fixations(), time, "input.fixations -> saccader.fixations")
    raise InputError(f"policy must be one of centre, random, sequence, given; got {policy!r}")


def following(graph: Graph) -> Graph:
    """The same graph, whose eye follows fixations given with each image: a further input ``fixations`` ``[T - 1, 2]``.

    Example:
      >>> import foveax as fx
      >>> graph = fx.standard_pipeline(fx.Model(), fx.image_source((28, 28, 1)), classes=10)
      >>> following(graph).inputs["fixations"].shape
      (5, 2)
    """
    given = jax.ShapeDtypeStruct((graph.length - 1, 2), jnp.float32)
    return with_policy(dataclasses.replace(graph, inputs={**graph.inputs, "fixations": given}), "given")


def network(model: Model, classes: int) -> Module:
    """The classifier's network: ports ``glimpse`` and, if linked, ``fixation``; gives every layer, and ``logits``."""
    dtype = jnp.dtype(model.precision)
    encoder = GlimpseEncoder(
        features=model.features,
        kernels=model.kernels,
        scales=model.scales,
        contrast=model.contrast,
        layers=model.layers,
        combine=model.combine,
        bands=model.bands,
        dtype=dtype,
    )
    if model.core == "feedforward":
        return from_linen(FeedForwardClassifier(classes, encoder, model.hidden, dtype))
    return from_linen_cell(RecurrentClassifier(classes, encoder, model.core, model.hidden, dtype))


def learned_saccader(model: Model) -> Module:
    """The saccader of a model."""
    core = None if model.saccader_core == "none" else model.saccader_core
    net = SaccadeNetwork(model.saccader_hidden, core, model.deviation_start, dtype=jnp.dtype(model.precision))
    return saccader(
        net,
        deviation=model.deviation,
        start=model.deviation_start,
        end=model.deviation_end,
        bands=model.bands,
        pathwise=model.pathwise,
    )
