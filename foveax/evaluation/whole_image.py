"""A ceiling: a network that sees the whole image at once."""

import dataclasses
from typing import Any

import jax

from foveax.data.dataset import Data
from foveax.evaluation.evaluate import evaluate
from foveax.learning.hyperparameters import LearningConfig
from foveax.pipelines.standard import PipelineConfig, standard_pipeline
from foveax.training.fit import fit
from foveax.training.learner import make_learner


def whole_image_accuracy(
    data: Data, pipeline: PipelineConfig, learning: LearningConfig, *, images: int, batch: int, seed: int
) -> float:
    """Test accuracy of a network of like size that sees the whole image at once.

    It is the run's pipeline with one glimpse, as wide as the image, and no memory, trained on a number of images.
    """
    height, width = data.test["image"].shape[1:3]
    whole: dict[str, Any] = {"glimpses": 1, "crop_size": max(height, width), "scales": 1, "core": "feedforward"}
    config = dataclasses.replace(pipeline, **whole, policy="centre", sequence=())
    graph, steps = standard_pipeline(data, config), max(images // batch, 1)
    learner = make_learner(graph, learning, steps=steps)
    state = learner.init(jax.random.key(seed))
    for state, _ in fit(learner, data, state, batch=batch):  # noqa: B007
        pass
    return float(evaluate(graph, state.params, data.test, key=jax.random.key(seed)).accuracy[-1])
