"""The signatures of gymnax, without gymnax: pure functions for one episode, to be vmapped and scanned with a learner.

``reset(key, params) -> (observation, state)`` and ``step(key, state, action, params)``, which begins a new episode
where one ends, and gives five values, ``(observation, state, reward, done, info)``, or six, with ``terminated`` and
``truncated`` in the place of ``done``.
"""

from collections.abc import Callable, Mapping
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp

from foveax._types import Array, Key, Params
from foveax.environments.episodes import Episodes, Seen, Shown, alone


class EnvParams(NamedTuple):
    """What an environment is shown and judged by.

    Attributes:
      modules: the parameters of the graph's modules, by name.
      images: the split's arrays, by name, ``[N, ...]``.
    """

    modules: Mapping[str, Params]
    images: Mapping[str, Any]


class Box(NamedTuple):
    """A box of numbers, with the methods that gymnax's spaces have."""

    low: float
    high: float
    shape: tuple[int, ...]
    dtype: Any = jnp.float32

    def sample(self, key: Key) -> Array:
        """A point of the box, uniform."""
        share = jax.random.uniform(key, self.shape, self.dtype)
        return self.low * (1 - share) + self.high * share

    def contains(self, point: Array) -> Array:
        """Whether a point lies in the box."""
        return jnp.all((point >= self.low) & (point <= self.high))


class GymnaxEnvironment(NamedTuple):
    """One episode at a time, in gymnax's signatures.

    Attributes:
      reset: ``(key, params) -> (observation, state)``.
      step: as `step_env`, but where the episode ended, observation and state are those of a new one.
      step_env: ``(key, state, action, params) -> (observation, state, reward, done, info)``, or the six values; the
        action is ``[2]`` in [-1, 1], and the fixation ``(action + 1) / 2``; values outside are brought to the border.
      observation_space: ``(params) -> space``: a `Box`, or a dictionary of them by the names of ports.
      action_space: ``(params) -> Box``.
      default_params: `EnvParams` of the images and the parameters given, which hold where no others are.
    """

    reset: Callable[..., tuple[Any, Shown]]
    step: Callable[..., tuple[Any, ...]]
    step_env: Callable[..., tuple[Any, ...]]
    observation_space: Callable[..., Any]
    action_space: Callable[..., Box]
    default_params: EnvParams


def make_gymnax(
    episodes: Episodes, params: Mapping[str, Params], *, step_values: Literal[5, 6] = 5
) -> GymnaxEnvironment:
    """Episodes in the signatures of gymnax.

    Args:
      episodes: of `foveax.environments.make_episodes`.
      params: of the graph's modules, by name, for the default parameters.
      step_values: 5 for ``done``, 6 for ``terminated`` and ``truncated``.

    Example:
      >>> import foveax as fx, jax
      >>> from foveax.environments import make_episodes
      >>> data = fx.load("mnist5k")
      >>> graph = fx.standard_pipeline(fx.Model(hidden=8, features=8), data.inputs, classes=10)
      >>> environment = make_gymnax(make_episodes(graph, data), fx.init(graph, jax.random.key(0)))
      >>> observation, state = environment.reset(jax.random.key(1), environment.default_params)
      >>> action = environment.action_space(environment.default_params).sample(jax.random.key(2))
      >>> _, state, reward, done, info = environment.step(jax.random.key(3), state, action, environment.default_params)
      >>> observation.shape, bool(done)
      ((16,), False)
    """
    boxes = {name: Box(bounds.low, bounds.high, (bounds.size,)) for name, bounds in episodes.observation.items()}

    def observed(seen: Seen) -> Any:
        return alone({name: part[0] for name, part in seen.observation.items()})

    default = EnvParams(params, jax.tree.map(jnp.asarray, dict(episodes.images)))

    def reset(key: Key, params: EnvParams | None = None) -> tuple[Any, Shown]:
        params = params or default
        shown, seen = episodes.reset(params.modules, key, params.images, 1)
        return observed(seen), shown

    def step_env(key: Key, state: Shown, action: Array, params: EnvParams | None = None) -> tuple[Any, ...]:
        del key  # an episode draws all that it needs from the key of its reset
        params = params or default
        fixation = (jnp.clip(action, -1, 1) + 1) / 2
        shown, seen = episodes.step(params.modules, state, fixation[None])
        info = {name: value[0] for name, value in seen.info.items()}
        ends = (seen.terminated[0],) if step_values == 5 else (seen.terminated[0], jnp.zeros((), bool))
        return observed(seen), shown, seen.reward[0], *ends, info

    def step(key: Key, state: Shown, action: Array, params: EnvParams | None = None) -> tuple[Any, ...]:
        ended = step_env(key, state, action, params)
        begun = reset(key, params)
        now = jax.tree.map(lambda new, old: jax.lax.select(ended[3], new, old), begun, ended[:2])
        return *now, *ended[2:]

    return GymnaxEnvironment(
        reset=reset,
        step=step,
        step_env=step_env,
        observation_space=lambda params=None: alone(boxes),
        action_space=lambda params=None: Box(-1.0, 1.0, (2,)),
        default_params=default,
    )
