"""A ceiling: a network that sees the whole image at once."""

import jax

from foveax.data.dataset import Data
from foveax.evaluation.evaluate import Evaluation, evaluate
from foveax.graph.graph import Graph, Roles
from foveax.learning.hyperparameters import LearningConfig
from foveax.modules.decision import decision
from foveax.modules.flax import from_linen
from foveax.modules.retina import IMAGE
from foveax.networks.convolutional import ConvolutionalClassifier
from foveax.training.fit import fit
from foveax.training.learner import make_learner


def whole_image_pipeline(data: Data) -> Graph:
    """A pipeline without an eye: a convolutional network sees the whole image, once (`ConvolutionalClassifier`).

    Example:
      >>> import foveax as fx
      >>> graph = whole_image_pipeline(fx.load("mnist5k"))
      >>> list(graph.modules), graph.length
      (['network', 'decision'], 1)
    """
    network = from_linen(ConvolutionalClassifier(data.classes), ports={"image": IMAGE})
    return Graph(
        inputs={name: data.inputs[name] for name in ("image", "label")},
        modules={"network": network, "decision": decision()},
        links=["input.image -> network.image", "network.output -> decision.logits", "input.label -> decision.label"],
        length=1,
        roles=Roles(belief="decision.probabilities", label="input.label"),
    )


def whole_image_evaluation(data: Data, *, images: int, batch: int, seed: int) -> Evaluation:
    """The test split, seen whole by a convolutional network trained on a number of images with the default rates.

    What it reaches is what glimpses could at most be expected to, at the same budget; it is no bound.
    """
    graph = whole_image_pipeline(data)
    learner = make_learner(graph, LearningConfig(), steps=max(images // batch, 1))
    key = jax.random.key(seed)
    state = learner.init(key)
    for state, _ in fit(learner, data, state, batch=batch):  # noqa: B007
        pass
    return evaluate(graph, state.params, data.test, key=key)
