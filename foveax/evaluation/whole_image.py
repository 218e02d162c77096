"""A ceiling: a network that sees the whole image at once."""

import dataclasses

import jax

from foveax._types import Params
from foveax.data.dataset import Data
from foveax.evaluation.evaluate import Evaluation, evaluate
from foveax.graph.graph import Graph, Roles
from foveax.graph.modules import from_function
from foveax.learning.hyperparameters import LearningConfig
from foveax.modules.decision import decision
from foveax.modules.flax import from_linen
from foveax.modules.retina import IMAGE
from foveax.networks.convolutional import ConvolutionalClassifier
from foveax.pipelines.standard import PipelineConfig, standard_pipeline
from foveax.retina import saturate
from foveax.training.adversary import learner_of
from foveax.training.fit import fit


def whole_image_pipeline(data: Data, config: PipelineConfig | None = None) -> Graph:
    """A pipeline without an eye that sees the whole image, once.

    If the configuration has residual blocks, the standard pipeline of this configuration with a single glimpse, as
    large as the image, so that what looking is compared with reads by the same layers; otherwise a convolutional
    network (`ConvolutionalClassifier`), behind the same receptors.

    Example:
      >>> import foveax as fx
      >>> graph = whole_image_pipeline(fx.load("mnist5k"))
      >>> list(graph.modules), graph.length
      (['network', 'decision'], 1)
    """
    if config and config.blocks:
        whole = {"glimpses": 1, "first": "centre", "policy": "centre", "scales": 1, "glance": False, "zoom": 1.0}
        whole |= {"glimpse_reward": 0.0}
        side = max(data.inputs["image"].shape[:2])
        return standard_pipeline(data, dataclasses.replace(config, **whole, crop_size=side, sequence=()))
    saturation = config.saturation if config else 0.0
    receptors, seen = {}, "input.image"
    if saturation:
        respond = from_function(lambda image: saturate(image, saturation), outputs="response", ports={"image": IMAGE})
        receptors, seen = {"receptors": respond}, "receptors.response"
    network = from_linen(ConvolutionalClassifier(data.classes), ports={"image": IMAGE})
    return Graph(
        inputs={name: data.inputs[name] for name in ("image", "label")},
        modules={**receptors, "network": network, "decision": decision()},
        links=[
            *(f"input.image -> {name}.image" for name in receptors),
            f"{seen} -> network.image",
            "network.output -> decision.logits",
            "input.label -> decision.label",
        ],
        length=1,
        roles=Roles(belief="decision.probabilities", label="input.label"),
    )


def whole_image_learning(config: PipelineConfig, learning: LearningConfig) -> LearningConfig:
    """How the network of `whole_image_pipeline` learns next to a pipeline: likewise, if it has the same layers.

    Otherwise by the defaults, which suit it, against the same adversary.

    Example:
      >>> learning = LearningConfig(learning_rate=0.1, adversary=0.3)
      >>> alike = whole_image_learning(PipelineConfig(), learning)
      >>> alike.learning_rate, alike.adversary
      (0.002, 0.3)
    """
    if config.blocks:
        return learning
    fields = [field.name for field in dataclasses.fields(learning) if field.name.startswith("adversary")]
    return LearningConfig(**{name: getattr(learning, name) for name in fields})


def whole_image_evaluation(
    graph: Graph, data: Data, *, learning: LearningConfig, images: int, batch: int, seed: int
) -> Evaluation:
    """The test split, seen whole by the network of `whole_image_pipeline`, trained on a number of images.

    What it reaches is what glimpses could at most be expected to, at the same budget; it is no bound.
    """
    params = train_whole_image(graph, data, learning=learning, images=images, batch=batch, seed=seed)
    return evaluate(graph, params, data.test, key=jax.random.key(seed))


def train_whole_image(
    graph: Graph, data: Data, *, learning: LearningConfig, images: int, batch: int, seed: int
) -> dict[str, Params]:
    """The parameters of the network of `whole_image_pipeline`, trained on a number of images, by module."""
    learner = learner_of(graph, learning, steps=max(images // batch, 1))
    state = learner.init(jax.random.key(seed))
    for state, _ in fit(learner, data, state, batch=batch):  # noqa: B007
        pass
    return state.params
