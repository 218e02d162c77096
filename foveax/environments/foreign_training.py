"""Training in an environment that others wrote: both halves, on what comes of the episodes played there."""

from collections.abc import Callable, Iterator

import jax
import jax.numpy as jnp

from foveax._types import Array, Params
from foveax.environments.foreign import Driven, Foreign, drive
from foveax.graph.graph import Graph
from foveax.graph.modules import State
from foveax.training.config import Learning
from foveax.training.learner import make_learner
from foveax.training.reinforcement import make_agent_learner


def train_in(
    world: Foreign, learning: Learning, *, seed: int, steps: int
) -> Iterator[tuple[dict[str, Params], dict[str, float]]]:
    """Trains classifier and saccader in an environment of others, a batch of episodes a step.

    The classifier learns from the glimpses as they came and the labels that the ends told, the saccader by PPO from
    what it did, paid by the graph's own reward for them.

    Args:
      world: of `foreign`.
      learning: of both.
      seed: of parameters and exploration.
      steps: in all.

    Yields:
      the parameters, by module, and metrics: ``accuracy`` at the last glimpse, ``reward`` (the environment's own,
      summed over an episode), and those of the two learners.
    """
    mind_key, eye_key, drive_key = jax.random.split(jax.random.key(seed), 3)
    eye = make_agent_learner(world.graph, learning, steps=steps)
    mind = make_learner(world.graph.remove("saccader", "reward"), learning, steps=steps)
    mind_state, eye_state = mind.init(mind_key), eye.init(eye_key)
    learn, move = jax.jit(mind.step), jax.jit(eye.step)
    judge = jax.jit(jax.vmap(_judge(world.graph)))
    still = {name: {} for name in world.graph.modules}  # of modules without parameters
    for step in range(steps):
        params = {**still, **mind_state.params, "saccader": eye_state.params}
        played = drive(world, params, key=jax.random.fold_in(drive_key, step), progress=step / steps, sample=True)
        batch = {"glimpses": played.glimpses, "positions": played.positions, "label": played.label}
        rewards = judge(played.values["classifier.logits"], played.label)
        mind_state, learnt = learn(mind_state, batch)
        eye_state, moved = move(eye_state, _experience(played, rewards))
        yield (
            {**params, **mind_state.params, "saccader": eye_state.params},
            {
                **{name: float(value) for name, value in {**learnt, **moved}.items()},
                "accuracy": float(played.accuracy[-1]),
                "reward": float(played.reward.sum(axis=1).mean()),
            },
        )


def _experience(played: Driven, rewards: Array) -> dict[str, Array]:
    """What the saccader did, ``[B, T - 1, ...]`` by port, with the reward that followed."""
    ports = {port.partition(".")[2]: value for port, value in played.values.items() if port.startswith("saccader.")}
    return {port: jnp.asarray(value[:, :-1]) for port, value in ports.items()} | {"reward": rewards[:, 1:]}


def _judge(graph: Graph) -> Callable[[Array, Array], Array]:
    """``(logits [T, K], label) -> [T]``: the rewards of the graph's module ``reward``."""
    module = graph.modules["reward"]

    def judge(logits: Array, label: Array) -> Array:
        def glimpse(state: State, seen: tuple[Array, Array]) -> tuple[State, Array]:
            outputs, state = module.apply({}, state, {"logits": seen[0], "label": label, "last": seen[1]}, None)
            return state, outputs["reward"]

        last = jnp.arange(graph.length) == graph.length - 1
        return jax.lax.scan(glimpse, module.begin(graph.wiring.inputs["reward"]), (logits, last))[1]

    return judge
