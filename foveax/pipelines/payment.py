"""What an eye is paid for, beside what the pipeline's decisions gain."""

from foveax._types import Array
from foveax.graph.graph import Graph
from foveax.graph.modules import from_function
from foveax.modules.decision import decision
from foveax.modules.flax import from_linen
from foveax.networks.classifiers import LinearReadout

READOUT_LOSS = 0.3
"""Weight of the cross-entropy of a read-out of each glimpse alone, beside that of the decisions."""


def add_glimpse_reward(
    graph: Graph, share: float, *, features: str, classes: int, class_weights: Array | None
) -> Graph:
    """The graph with a linear read-out of each glimpse alone; its agents are also paid by minus its cross-entropy.

    The read-out, ``readout``, sees the features ``[D]`` at a port that knows neither earlier glimpses nor the place;
    its cross-entropy is a loss of the weight `READOUT_LOSS`. The reward is ``r - g CE``, r the one before, g the
    `share`, a hyper-parameter ``glimpse_reward``. What a further glimpse adds to a decision says little of where it
    should have been, once the decision is nearly right; what it shows alone, always. Without agents the read-out only
    learns.
    """

    def pay(reward: Array, cross_entropy: Array, share: Array) -> Array:
        return reward - share * cross_entropy

    graph = graph.add(
        f"{features} -> readout.features",
        "readout.logits -> readout_decision.logits",
        f"{graph.roles.label} -> readout_decision.label",
        readout=from_linen(LinearReadout(classes)),
        readout_decision=decision(weight=READOUT_LOSS, class_weights=class_weights),
    )
    if not graph.agents:
        return graph
    graph = graph.add(
        "reward.reward -> glimpse_payment.reward",
        "readout_decision.cross_entropy -> glimpse_payment.cross_entropy",
        "hyperparameter.glimpse_reward -> glimpse_payment.share",
        hyperparameters={"glimpse_reward": share},
        glimpse_payment=from_function(pay, outputs="reward"),
    )
    return paid_by(graph, "glimpse_payment.reward")


def paid_by(graph: Graph, reward: str) -> Graph:
    """The graph whose agents are all paid by one port, given as ``"module.port"``."""
    paid = {
        name: module._replace(agent=module.agent._replace(reward=reward))
        for name, module in graph.modules.items()
        if module.agent
    }
    return graph.replace(modules={**graph.modules, **paid})
