"""The reward as a module."""

import jax.numpy as jnp

from foveax._types import InputError, Key, Params
from foveax.graph.modules import Module, State, Values, zeros_like
from foveax.graph.ports import Port
from foveax.learning.rewards import REWARDS
from foveax.modules.decision import LABEL, LOGITS


def reward(name: str) -> Module:
    """A reward of `foveax.learning.rewards`: of this glimpse's logits, those of the one before, and the label.

    Inputs: ``logits`` ``[K]``, ``label`` (int32), ``last`` (bool, whether this is the last glimpse). Output:
    ``reward``, float32. The logits before the first glimpse are taken as zeros: a uniform belief. Raises `InputError`
    if there is no such reward.

    Example:
      >>> import foveax as fx
      >>> list(fx.reward("correct_each").inputs)
      ['logits', 'label', 'last']
    """
    if name not in REWARDS:
        raise InputError(f"reward must be one of {', '.join(REWARDS)}; got {name!r}")

    def apply(params: Params, state: State, inputs: Values, key: Key | None) -> tuple[Values, State]:
        logits = inputs["logits"]
        return {"reward": REWARDS[name](logits, inputs["label"], previous=state, last=inputs["last"])}, logits

    ports = {"logits": LOGITS, "label": LABEL, "last": Port((), (jnp.bool_,))}
    return Module(ports, apply, begin=lambda inputs: zeros_like(inputs)["logits"])
