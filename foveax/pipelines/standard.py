"""The standard pipeline: one retina, a recurrent classifier, and one eye."""

import dataclasses
from typing import Any, Literal

import jax
import jax.numpy as jnp

from foveax._checked import Checked, bounded
from foveax._types import Array, InputError
from foveax.data.dataset import Data
from foveax.graph.graph import Graph, Roles
from foveax.graph.modules import Module, from_function
from foveax.graph.ports import POINT
from foveax.learning.policies import (
    SPREAD,
    bounded_gaussian,
    grid_categorical,
    level_categorical,
    relative_gaussian,
    squashed_gaussian,
    sunflower,
)
from foveax.modules.classifier import classifier
from foveax.modules.decision import balanced_class_weights, decision
from foveax.modules.retina import cropper, spatiotopic_map
from foveax.modules.reward import reward
from foveax.modules.saccader import Exploration, saccader
from foveax.modules.scripted import check_fixations, fixed_sequence, given_fixations, learned_sequence, told_sequence
from foveax.modules.sources import Efference, copy_efference, scripted_eye
from foveax.networks.encoders import Combine, GlimpseEncoder
from foveax.networks.saccaders import SaccadeNetwork
from foveax.pipelines.payment import add_glimpse_reward

RETINA = ("crop_size", "scales", "contrast", "glance", "saturation")
ZOOM_LEVELS = 5
"""Widths of a crop, each as many times as wide as the one before."""
ZOOM_LINKS = (
    "classifier.hidden -> zoom.observation",
    "memory.zoom -> zoom.position",
    "loop.index -> zoom.index",
    "zoom.fixation -> memory.zoom",
    "memory.zoom -> magnifier.level",
    "memory.fixation -> magnifier.fixation",
    "magnifier.factor -> retina.factor",
)
Eye = Literal["learned", "centre", "random", "sequence", "corners", "itinerary", "given", "salient", "told"]
Reward = Literal[
    "cross_entropy_drop", "correct_each", "correct_last", "cross_entropy", "tanh_cross_entropy", "clipped_linear"
]


@dataclasses.dataclass(frozen=True)
class PipelineConfig(Checked):
    """The standard pipeline: its retina, its two networks, and how the eye moves.

    Raises `InputError` for a value out of range; the message names the field.
    """

    glimpses: int = bounded(6, 1, 1000)
    """Glimpses per image, T."""
    first: Literal["centre", "random", "given"] = "centre"
    """Where the first glimpse is taken: at the centre; anywhere with equal probability, drawn anew each time an image
    is shown; or, for each image, where an array `first` in the data says, (x, y) in [0, 1]."""
    crop_size: int = bounded(9, 1, 10_000)
    """Side of a glimpse in pixels."""
    scales: int = bounded(1, 1, 10)
    """Concentric crops per glimpse, each twice as wide as the one before, at half its sharpness."""
    glance: bool = False
    """Beside each crop, the whole picture at the crop's size, as one more scale."""
    zoom: float = bounded(1.0, 1.0, 1000.0)
    """Greatest width of a crop, in its sizes; above 1 a second agent chooses each width, after a first as wide as this.
    """
    saturation: float = bounded(0.0, 0.0, 150.0)
    """Gain of the receptors' response to light, steep at middle grey and flat at black and white, which hides small
    changes there; 0: a pixel's value is seen as it is."""
    contrast: bool = True
    """Split a glimpse into contrast, normalised contrast and luminance channels."""
    core: Literal["rnn", "gru", "lstm", "transformer", "feedforward"] = "gru"
    """The classifier's core; a transformer attends to all glimpses so far, feedforward keeps no memory of them."""
    hidden: int = bounded(256, 1, 1_000_000)
    """Units of the classifier's core."""
    features: int = bounded(256, 1, 1_000_000)
    """Features of the glimpse encoder."""
    kernels: int = bounded(0, 0, 1_000_000)
    """Kernels, the same at every place and scale, that read a glimpse first; 0 reads the pixels."""
    kernel_size: int = bounded(6, 1, 10_000)
    """Side of the kernels in pixels."""
    kernel_stride: int = bounded(2, 1, 10_000)
    """From one place of a kernel to the next, in pixels."""
    blocks: tuple[int, ...] = ()
    """Residual blocks of 3x3 kernels over the places of the first ones, in each stage; each stage after the first has
    twice the channels at half the places along each axis."""
    pool: bool = False
    """Average what the kernels, or their residual blocks, say over their places."""
    map_size: int = bounded(0, 0, 1000)
    """Cells along each axis of a spatiotopic map: a memory of all that was seen, at its place, which the kernels read
    instead of each glimpse; 0: none. It takes the place of the classifier's efference copy, and of contrast."""
    layers: int = bounded(1, 1, 8)
    """Layers of the glimpse encoder that read what a glimpse, or its kernels, show."""
    combine: Combine = "multiply"
    """How the encoder joins what a glimpse shows and where it was taken."""
    bands: int = bounded(4, 0, 16)
    """Fourier frequencies of a fixation, for classifier and saccader; 0 gives plain coordinates."""
    supervise: Literal["each", "last"] = "each"
    """Which glimpses' cross-entropy is minimised: the mean over each, or that of the last."""
    class_weights: Literal["equal", "balanced"] | tuple[float, ...] = "equal"
    """Of the classes in the cross-entropy: equal; balanced, inversely proportional to their shares of the training
    images; or one number for each."""
    efference: Efference = "absolute"
    """What the classifier is told of where the eye is: its place; the saccade that led there; nothing; or a place drawn
    at random in place of the true one."""
    policy: Eye = "learned"
    """How the eye moves. All but learned are controls, each with a classifier of its own: at the centre; at random; by
    a sequence that is given, the corners one by one, or an itinerary that is learned by its gradient; by an array
    `fixations` in the data; to what is salient; or about the place that an array `object` in the data tells, as canvas
    tasks can."""
    sequence: tuple[tuple[float, float], ...] = ()
    """For the policy sequence: the fixations after the first, T - 1 pairs of x and y in [0, 1]."""
    saccader_hidden: int = bounded(128, 1, 1_000_000)
    """Units of the saccader."""
    saccader_sees: Literal["hidden", "both"] = "hidden"
    """What the saccader reads of a glimpse: the classifier's state alone, or beside it the glimpse itself, which says
    what the classifier need not remember, such as from where light falls."""
    saccader_core: Literal["none", "rnn", "gru", "lstm"] = "none"
    """A memory of the saccader's own."""
    reach: float = bounded(1.0, 0.0, 1.0, above=0.0)
    """Farthest move of the eye in one saccade along each axis, as a fraction of the image; 1 reaches all of it."""
    saccade: Literal["absolute", "relative"] = "absolute"
    """What the saccader chooses: a place in the image, or a displacement from the present fixation, which what lies at
    one place of a glimpse asks for wherever the glimpse was taken. One within reach is always relative."""
    grid: int = bounded(0, 0, 1000)
    """Choose among the centres of the cells of a grid of this many along each axis; 0 for any place."""
    spread: float = bounded(SPREAD, above=0.0)
    """Radius of the disc over which the first sequence of fixations is spread, before the squash; 2.2 reaches to 0.9.
    Not for a grid, or relative saccades."""
    exploration: Exploration = "scheduled"
    """The policy's scale: fixed, scheduled (it falls over training) or learned. It is a standard deviation before the
    squash: near the centre, 1 is a quarter of the image."""
    scale_start: float = bounded(2.0, above=0.0)
    """Scale at the start of training; the fixed one."""
    scale_end: float = bounded(0.15, above=0.0)
    """Scale at the end of training, if scheduled."""
    pathwise: float = bounded(0.0, 0.0)
    """Weight of the gradient of the cross-entropy through the bilinear crop into the saccader."""
    reward: Reward = "cross_entropy_drop"
    """What the saccader is paid for."""
    glimpse_reward: float = bounded(0.0, 0.0)
    """Weight of a further reward for what each glimpse tells alone: minus the cross-entropy of a linear read-out of it,
    which learns beside the decisions. It draws the eye to what there is to see."""
    precision: Literal["float32", "bfloat16"] = "float32"
    """Of the computation; parameters and logits are float32."""

    def __post_init__(self):
        super().__post_init__()
        if not isinstance(self.class_weights, str) and min(self.class_weights, default=-1) < 0:
            raise InputError(
                f"class_weights must be numbers of at least 0, one for each class; got {self.class_weights}"
            )
        if self.blocks and (not self.kernels or min(self.blocks) < 1):
            raise InputError(
                f"blocks must be at least 1 in each stage, after kernels; got {self.blocks}, {self.kernels}"
            )
        if self.map_size and self.contrast:
            raise InputError(
                "contrast must be off (--no-contrast) for a map, which holds what was seen as it is; got True"
            )
        if self.glimpse_reward and self.map_size:
            raise InputError(
                f"glimpse_reward must be 0 with a map, which is never of one glimpse alone; got {self.glimpse_reward:g}"
            )
        if self.saccade == "relative" and self.grid:
            raise InputError(f"saccade must be absolute on a grid of places; got {self.saccade!r}")
        if self.efference != "absolute" and (self.zoom > 1 or self.map_size):
            raise InputError(f"efference must be absolute with zoom or a map; got {self.efference!r}")
        saccades = self.glimpses - 1
        if self.policy == "sequence" and len(check_fixations(self.sequence or ((0.5, 0.5),))) != saccades:
            raise InputError(f"sequence must hold {saccades} fixations, one per saccade; got {len(self.sequence)}")


def standard_pipeline(data: Data, config: PipelineConfig | None = None) -> Graph:
    """The standard pipeline for a data set: retina, classifier, decision, reward and saccader.

    Raises:
      GraphError: if the data and the configuration do not fit.

    Example:
      >>> import foveax as fx
      >>> graph = fx.standard_pipeline(fx.load("mnist5k"), fx.PipelineConfig(glimpses=4))
      >>> list(graph.modules), graph.length
      (['retina', 'classifier', 'decision', 'reward', 'saccader'], 4)
    """
    config = config or PipelineConfig()
    eye, links = _eye(config, data)
    zoom = _zoom(config) if config.zoom > 1 else {}
    spatial = {"map": _spatiotopic_map(config, data)} if config.map_size else {}
    extent = "input.extent" if "extent" in data.inputs else ""
    if extent:
        links += [f"{extent} -> retina.extent", *([f"{extent} -> saccader.extent"] if "extent" in eye.inputs else [])]
    graph = Graph(
        inputs=data.inputs,
        modules={
            "retina": cropper(widest=config.zoom, **{name: getattr(config, name) for name in RETINA}),
            **spatial,
            "classifier": _classifier(config, data.classes),
            "decision": decision(glimpses=config.supervise, class_weights=_class_weights(config, data)),
            "reward": reward(config.reward),
            "saccader": eye,
            **zoom,
        },
        links=[
            "input.image -> retina.image",
            "memory.fixation -> retina.fixation",
            *_classifier_links(config, extent),
            "classifier.logits -> decision.logits",
            "input.label -> decision.label",
            "classifier.logits -> reward.logits",
            "input.label -> reward.label",
            "loop.last -> reward.last",
            *links,
            "saccader.fixation -> memory.fixation",
            *(ZOOM_LINKS if zoom else ()),
        ],
        length=config.glimpses,
        memory={
            "fixation": (0.5, 0.5) if config.first == "centre" else "input.first",
            **({"zoom": (1 - 0.5 / ZOOM_LEVELS, 0.5)} if zoom else {}),
        },
        hyperparameters=_hyperparameters(config),
        roles=Roles(
            "fixation", "decision.probabilities", "input.label", 0 if zoom else config.crop_size, config.scales, extent
        ),
    )
    if config.glimpse_reward:
        features = f"classifier.encoder.what{f'_{config.layers}' if config.layers > 1 else ''}"
        own: dict[str, Any] = {"classes": data.classes, "class_weights": _class_weights(config, data)}
        graph = add_glimpse_reward(graph, config.glimpse_reward, features=features, **own)
    return graph if zoom or spatial else copy_efference(graph, config.efference)


def _eye(config: PipelineConfig, data: Data) -> tuple[Module, list[str]]:
    """The module that moves the eye, and the links that it needs."""
    index = "loop.index -> saccader.index"
    if config.policy == "learned":
        links = [
            "classifier.hidden -> saccader.observation",
            "memory.fixation -> saccader.position",
            index,
            "loop.progress -> saccader.progress",
            *(["retina.glimpse -> saccader.glimpse"] if config.saccader_sees == "both" else []),
        ]
        scales = [name for name in _hyperparameters(config) if name != "pathwise"]
        return _saccader(config), links + [f"hyperparameter.{name} -> saccader.{name}" for name in scales]
    if config.policy == "sequence":
        return fixed_sequence(config.sequence), [index]
    if config.policy == "given":
        return given_fixations(), [index, "input.fixations -> saccader.fixations"]
    if config.policy == "corners":
        return scripted_eye("corners", config.glimpses, config.crop_size), [index]
    if config.policy == "itinerary":
        return learned_sequence(jax.nn.sigmoid(_spread(config, config.spread))), [index]
    if config.policy == "salient":
        return scripted_eye("salient", config.glimpses, config.crop_size), [
            "input.image -> saccader.image",
            "memory.fixation -> saccader.position",
        ]
    if config.policy == "told":
        side = min(data.inputs["image"].shape[:2])
        offsets = _spread(config, config.crop_size / (2 * side))
        return told_sequence(offsets), [index, "input.object -> saccader.object"]
    return scripted_eye(config.policy, config.glimpses, config.crop_size), []


def _zoom(config: PipelineConfig) -> dict[str, Module]:
    """The agent that chooses how wide a crop is, and what becomes of its choice."""

    def magnify(level: Array, fixation: Array) -> tuple[Array, Array]:
        share = jnp.clip((ZOOM_LEVELS * level[0] - 0.5) / (ZOOM_LEVELS - 1), 0, 1)
        return config.zoom**share, jnp.concatenate([fixation, share[None]])

    policy = level_categorical(ZOOM_LEVELS)
    network = SaccadeNetwork(policy.size, config.saccader_hidden, dtype=jnp.dtype(config.precision))
    return {
        "zoom": saccader(network, policy, scale_start=1.0, bands=config.bands),
        "magnifier": from_function(magnify, outputs=("factor", "place"), ports={"level": POINT, "fixation": POINT}),
    }


def _spatiotopic_map(config: PipelineConfig, data: Data) -> Module:
    height, width, _ = data.inputs["image"].shape
    options: dict[str, Any] = {"scales": config.scales, "glance": config.glance, "widest": config.zoom}
    return spatiotopic_map(config.map_size, sides=(height, width), **options)


def _classifier_links(config: PipelineConfig, extent: str) -> list[str]:
    """The links to the classifier, from the retina or the map."""
    if not config.map_size:
        place = "magnifier.place" if config.zoom > 1 else "memory.fixation"
        return ["retina.glimpse -> classifier.glimpse", f"{place} -> classifier.fixation"]
    return [
        "retina.glimpse -> map.glimpse",
        "memory.fixation -> map.fixation",
        *([f"{extent} -> map.extent"] if extent else []),
        *(["magnifier.factor -> map.factor"] if config.zoom > 1 else []),
        "map.picture -> classifier.glimpse",
    ]


def _spread(config: PipelineConfig, radius: float) -> Any:
    """Points ``[T - 1, 2]`` about the origin, spread over a disc."""
    return sunflower(jax.random.key(0), (max(config.glimpses - 1, 1), 2), radius=radius)


def _classifier(config: PipelineConfig, classes: int) -> Module:
    names = ("features", "kernels", "kernel_size", "blocks", "pool", "contrast", "layers", "combine", "bands")
    settings = {name: getattr(config, name) for name in names}
    scales, dtype = 1 if config.map_size else config.scales + config.glance, jnp.dtype(config.precision)
    encoder = GlimpseEncoder(**settings, stride=config.kernel_stride, scales=scales, dtype=dtype)
    options: dict[str, Any] = {"core": config.core, "hidden": config.hidden, "precision": config.precision}
    return classifier(classes, encoder, **options, length=config.glimpses)


def _class_weights(config: PipelineConfig, data: Data) -> Any:
    """The weight of each class in the cross-entropy; None if they are equal."""
    if config.class_weights == "equal":
        return None
    if config.class_weights == "balanced":
        return balanced_class_weights(data.train["label"], data.classes)
    if len(config.class_weights) != data.classes:
        raise InputError(f"class_weights must be one for each class, {data.classes}; got {len(config.class_weights)}")
    return config.class_weights


def _saccader(config: PipelineConfig) -> Module:
    policy = relative_gaussian() if config.saccade == "relative" else squashed_gaussian(spread=config.spread)
    policy = bounded_gaussian(config.reach) if config.reach < 1 else policy
    policy = grid_categorical(config.grid) if config.grid else policy
    core = None if config.saccader_core == "none" else config.saccader_core
    dtype = jnp.dtype(config.precision)
    network = SaccadeNetwork(policy.size, config.saccader_hidden, core, policy.initial, config.scale_start, dtype)
    settings = {name: getattr(config, name) for name in ("exploration", "scale_start", "scale_end", "bands")}
    return saccader(network, policy, pathwise="pathwise" if config.pathwise else 0.0, **settings)


def _hyperparameters(config: PipelineConfig) -> dict[str, Any]:
    """The numbers that members of a population can differ in."""
    if config.policy != "learned":
        return {}
    scales = {"fixed": ("scale_start",), "scheduled": ("scale_start", "scale_end"), "learned": ()}[config.exploration]
    names = (*scales, *(("pathwise",) if config.pathwise else ()))
    return {name: getattr(config, name) for name in names}
