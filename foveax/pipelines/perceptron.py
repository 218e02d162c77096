"""The standard pipeline with the policy of another library for a saccader."""

from typing import Literal, get_args

from foveax._types import InputError
from foveax.data.dataset import Data
from foveax.graph.graph import Graph
from foveax.modules.saccader import perceptron_saccader
from foveax.pipelines.standard import PipelineConfig, standard_pipeline

Algorithm = Literal["ppo", "a2c", "sac"]
SACCADERS = {
    "ppo": perceptron_saccader((64, 64), activation="tanh", squash="clip"),
    "a2c": perceptron_saccader((64, 64), activation="tanh", squash="clip"),
    "sac": perceptron_saccader((256, 256), activation="relu", squash="tanh"),
}
"""The policies of stable-baselines3, with its default layers."""


def perceptron_pipeline(data: Data, config: PipelineConfig | None = None, algorithm: Algorithm = "ppo") -> Graph:
    """The standard pipeline whose saccader is the policy that an algorithm of stable-baselines3 learns.

    The policy takes its mode, without noise, and does not learn in this graph. The configuration's own policy must be
    ``"learned"``; only its links are used. Raises `InputError` for another, or if there is no such algorithm.

    Example:
      >>> import foveax as fx
      >>> graph = perceptron_pipeline(fx.load("mnist5k"), algorithm="sac")
      >>> graph.agents, graph.wiring.outputs["saccader"]["fixation"].shape
      ([], (2,))
    """
    config = config or PipelineConfig()
    if algorithm not in SACCADERS:
        raise InputError(f"algorithm must be one of {', '.join(get_args(Algorithm))}; got {algorithm!r}")
    if config.policy != "learned":
        raise InputError(f"policy must be learned where another library learns it; got {config.policy!r}")
    return standard_pipeline(data, config).swap("saccader", SACCADERS[algorithm])
