"""What a training can choose: weights, rates and discounts, which are numbers, and how they are used."""

import dataclasses
from typing import Any, Literal, NamedTuple

from foveax._checked import Checked, bounded


class Hyperparameters(NamedTuple):
    """The numbers of `LearningConfig`, and in `graph` those of the graph by name: an argument of the training step."""

    learning_rate: Any
    policy_learning_rate: Any
    ppo: Any
    reinforce: Any
    value: Any
    entropy: Any
    discount: Any
    gae_lambda: Any
    epsilon: Any
    gradient_clip: Any
    graph: dict[str, Any]


@dataclasses.dataclass(frozen=True)
class LearningConfig(Checked):
    """How a pipeline learns. Raises `InputError` for a value out of range; the message names the field."""

    learning_rate: float = bounded(2e-3, 0.0)
    """Adam's learning rate for all but the agents."""
    policy_learning_rate: float = bounded(5e-4, 0.0)
    """Adam's learning rate for the agents."""
    decay: Literal["cosine", "constant"] = "cosine"
    """Over training, the learning rates fall to 0 along a cosine and the entropy bonus along a line; or all stay."""
    ppo: float = bounded(1.0, 0.0)
    """Weight of PPO's clipped surrogate."""
    reinforce: float = bounded(0.0, 0.0)
    """Weight of REINFORCE with the value as baseline."""
    value: float = bounded(0.5, 0.0)
    """Weight of the value loss."""
    entropy: float = bounded(0.12, 0.0)
    """Weight, at first, of the bonus on the entropy of the fixations, which also keeps them from the border."""
    discount: float = bounded(0.5, 0.0, 1.0)
    """Discount per glimpse, gamma."""
    gae_lambda: float = bounded(0.84, 0.0, 1.0)
    """Decay of generalised advantage estimation, lambda."""
    epsilon: float = bounded(0.2, above=0.0)
    """PPO's clipping range of the probability ratio."""
    epochs: int = bounded(1, 1, 100)
    """Passes of PPO over a batch; from the second on only the agents are computed again."""
    normalize: Literal["glimpse", "batch", "none"] = "glimpse"
    """Standardise the advantages: over the batch at each glimpse, so that late saccades, whose rewards are small, learn
    as fast as the first; over batch and glimpses together; or not, as a batch of one image needs it."""
    weight_decay: float = bounded(0.0, 0.0)
    """Decoupled decay of the weights of all modules but the agents, in learning rates (Loshchilov, Hutter 2019)."""
    gradient_clip: float = bounded(10.0, above=0.0)
    """Largest norm of each module's gradient."""
    adversary: float = bounded(0.0, 0.0)
    """Adversarial training: radius within which each training image is changed against the losses, in pixels' whole
    range; 0: none."""
    adversary_norm: Literal["linf", "l2"] = "linf"
    """Norm of the adversary's radius."""
    adversary_steps: int = bounded(10, 1, 10_000)
    """Gradient steps of the adversary per batch."""
    adversary_rise: float = bounded(0.3, 0.0, 1.0)
    """Share of the training during which the adversary's radius rises from 0."""
    fit_every: int = bounded(1, 1, 10**6)
    """Batches after which all modules but the agents are updated, with the mean of their gradients."""
    max_skips: int = bounded(10, 1, 10**6)
    """Stop after this many consecutive steps that were skipped, since losses or gradients were not finite."""

    def hyperparameters(self, graph: dict[str, Any] | None = None) -> Hyperparameters:
        """The numbers, with those of a graph, by name (`Graph.hyperparameters`).

        Example:
          >>> import foveax as fx
          >>> fx.LearningConfig(discount=0.9).hyperparameters().discount
          0.9
        """
        own = {name: getattr(self, name) for name in Hyperparameters._fields if name != "graph"}
        return Hyperparameters(**own, graph=dict(graph or {}))
