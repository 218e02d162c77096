"""The predictive pipeline: a recurrent network that predicts the next glimpse from the present one and the saccade."""

from typing import Any, Literal

import jax.numpy as jnp
import numpy as np

from foveax._checked import in_line
from foveax._types import Array, InputError
from foveax.data.dataset import Data
from foveax.graph.freeze import freeze
from foveax.graph.graph import Graph, Roles
from foveax.graph.modules import from_function
from foveax.modules.flax import from_linen
from foveax.modules.retina import cropper
from foveax.modules.sources import random_place, saccade
from foveax.modules.surprise import PredictionError, surprise
from foveax.networks.encoders import GlimpseEncoder
from foveax.networks.predictors import GlimpsePredictor
from foveax.pipelines.payment import paid_by
from foveax.pipelines.standard import PipelineConfig, standard_pipeline


def predictive_pipeline(
    data: Data,
    config: PipelineConfig | None = None,
    *,
    predict: Literal["pixels", "features"] = "pixels",
    error: PredictionError = "squared",
    classify: bool = True,
    prediction: float = 1.0,
    surprise_reward: float = 0.0,
) -> Graph:
    """The standard pipeline whose recurrent network also predicts its next glimpse.

    A predictor reads the network's state after a glimpse and where the next one will be, as `PipelineConfig.efference`
    says: its place, the saccade that leads there, nothing, or a place that has nothing to do with it. The error of its
    prediction is a loss next to the classification, or alone.

    Args:
      data: a data set.
      config: of the standard pipeline.
      predict: ``pixels``, the crop as `foveax.crop` gives it; or ``features`` of an encoder like the network's own,
        without its place, whose parameters stay as they begin: at random, or those of a file (`init_from`), under
        the module ``target``.
      error: ``squared`` or ``contrastive`` (`foveax.modules.surprise.surprise`).
      classify: whether the network also learns the classes; without, the graph declares no belief.
      prediction: the weight of the prediction error as a loss, a hyper-parameter.
      surprise_reward: the weight of the prediction error as a further reward of an eye that learns, a hyper-parameter:
        it is paid by what surprised it (Schmidhuber 1991; Pathak et al. 2017, https://arxiv.org/abs/1705.05363).

    Raises:
      InputError: for another kind of prediction, or an eye that learns and is paid for nothing.

    Example:
      >>> import foveax as fx
      >>> graph = predictive_pipeline(fx.load("mnist5k"), fx.PipelineConfig(policy="random"), classify=False)
      >>> [str(port) for port in graph.losses], graph.wiring.outputs["predictor"]["output"].shape
      (['surprise.error'], (9, 9, 1))
    """
    config = config or PipelineConfig()
    if predict not in ("pixels", "features"):
        raise InputError(f"predict must be pixels or features; got {in_line(predict)}")
    graph = standard_pipeline(data, config)
    if config.glimpse_reward and not classify:
        raise InputError(f"glimpse_reward must be 0 without classes; got {config.glimpse_reward:g}")
    if graph.agents and not classify and not surprise_reward:
        raise InputError("an eye that learns must be paid: surprise_reward must be more than 0 without classes; got 0")
    graph = _target(graph, config, predict)
    glimpse = graph.wiring.outputs["target"]["output"]
    kinds = {
        "absolute": ["saccader.fixation -> predictor.place"],
        "relative": [
            "saccader.fixation -> saccade.fixation",
            "memory.fixation -> saccade.before",
            "saccade.place -> predictor.place",
        ],
        "none": [],
        "shuffled": ["saccade.place -> predictor.place"],
    }
    makers = {"relative": saccade, "shuffled": random_place}
    module: dict[str, Any] = {"saccade": makers[config.efference]()} if config.efference in makers else {}
    network = GlimpsePredictor(glimpse.shape, config.hidden, config.bands, jnp.dtype(config.precision))
    graph = graph.add(
        "target.output -> surprise.glimpse",
        "memory.expected -> surprise.expected",
        "loop.index -> surprise.index",
        "classifier.hidden -> predictor.state",
        *kinds[config.efference],
        "predictor.output -> memory.expected",
        memory={"expected": np.zeros(glimpse.shape, np.float32)},
        hyperparameters={"prediction": prediction},
        surprise=surprise(config.glimpses, error, weight="prediction"),
        predictor=from_linen(network),
        **module,
    )
    if graph.agents and surprise_reward:
        graph = _paid_by_surprise(graph, surprise_reward, classify)
    if classify:
        return graph
    roles = graph.roles._replace(belief="", label="")
    return graph.remove("decision", "reward").add(roles=Roles(*roles))


def _target(graph: Graph, config: PipelineConfig, predict: str) -> Graph:
    """The graph with the module ``target``, whose output is what is to be predicted of each glimpse."""
    if predict == "pixels":
        retina = cropper(config.crop_size, scales=config.scales)

        def pixels(image: Array, fixation: Array, extent: Array | None = None) -> Array:
            more = {} if extent is None else {"extent": extent}
            return retina.apply({}, (), {"image": image, "fixation": fixation, **more}, None)[0]["glimpse"]

        extent = [f"{graph.roles.extent} -> target.extent"] if graph.roles.extent else []
        module, links = from_function(pixels), ["input.image -> target.image", "memory.fixation -> target.fixation"]
        return graph.add(*links, *extent, target=module)
    names = ("features", "kernels", "kernel_size", "blocks", "contrast", "layers")
    settings: dict[str, Any] = {name: getattr(config, name) for name in names}
    encoder = GlimpseEncoder(**settings, stride=config.kernel_stride, scales=config.scales + config.glance)
    return freeze(graph.add("retina.glimpse -> target.glimpse", target=from_linen(encoder)), "target")


def _paid_by_surprise(graph: Graph, share: float, classify: bool) -> Graph:
    """The graph whose agents are also paid by the prediction error."""

    def pay(error: Array, share: Array, reward: Array | None = None) -> Array:
        return share * error if reward is None else reward + share * error

    links = ["surprise.error -> payment.error", "hyperparameter.surprise_reward -> payment.share"]
    before = "glimpse_payment" if "glimpse_payment" in graph.modules else "reward"
    links += [f"{before}.reward -> payment.reward"] if classify else []
    graph = graph.add(
        *links,
        hyperparameters={"surprise_reward": share},
        payment=from_function(pay, outputs="reward", metrics=("reward",)),
    )
    return paid_by(graph, "payment.reward")
