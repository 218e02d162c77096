"""The signatures of gymnax, without gymnax: pure functions for one episode, to be vmapped and scanned."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp

from foveax._types import Array, Key
from foveax.environments.episodes import BatchState, Box, Episodes, Modules, one_episode


class EnvParams(NamedTuple):
    """The parameters of the graph's modules, by name, and the images: the split's arrays, by name, ``[N, ...]``.

    An episode has exactly `max_steps_in_episode` steps, T - 1, for learners to read: another number has no effect.
    """

    modules: Modules
    images: Mapping[str, Any]
    max_steps_in_episode: int


@dataclass(frozen=True, eq=False)
class GymnaxEnvironment:
    """One episode at a time, in gymnax's signatures; `params` may be left out for `default_params`.

    It is equal to itself alone, and so can be a static argument of `jax.jit`, as learners have it.

    Attributes:
      reset: ``(key, params) -> (observation, state)``.
      step: as `step_env`, but where the episode ended, observation and state are those of a new one.
      step_env: ``(key, state, action, params) ->`` the five or six values; the action is ``[2]`` in [-1, 1], and the
        fixation ``(action + 1) / 2``; values outside are brought to the border.
      observation_space: ``(params) -> space``: a `Box`, or a dictionary of them by the names of ports.
      action_space: ``(params) -> Box``.
    """

    reset: Callable[..., tuple[Any, BatchState]]
    step: Callable[..., tuple[Any, ...]]
    step_env: Callable[..., tuple[Any, ...]]
    observation_space: Callable[..., Any]
    action_space: Callable[..., Box]
    default_params: EnvParams


def make_gymnax(episodes: Episodes, params: Modules, *, step_values: Literal[5, 6] = 5) -> GymnaxEnvironment:
    """Episodes in the signatures of gymnax, with the modules' parameters as default.

    A step gives five values, ``(observation, state, reward, done, info)``, or six, with ``terminated`` and
    ``truncated`` in the place of ``done``.

    Example:
      >>> import foveax as fx, jax
      >>> from foveax.environments import make_episodes
      >>> data = fx.load("mnist5k")
      >>> graph = fx.standard_pipeline(data, fx.PipelineConfig(hidden=8, features=8))
      >>> environment = make_gymnax(make_episodes(graph, data), fx.init(graph, jax.random.key(0)))
      >>> observation, state = environment.reset(jax.random.key(1))
      >>> _, state, reward, done, info = environment.step(jax.random.key(2), state, jax.numpy.zeros(2))
      >>> observation.shape, bool(done)
      ((39,), False)
    """
    images = jax.tree.map(jnp.asarray, dict(episodes.images))
    default = EnvParams(params, images, episodes.graph.length - 1)

    def reset(key: Key, params: EnvParams | None = None) -> tuple[Any, BatchState]:
        params = params or default
        state, time_step = episodes.reset(params.modules, key, params.images, 1)
        return one_episode(time_step.observation), state

    def step_env(key: Key, state: BatchState, action: Array, params: EnvParams | None = None) -> tuple[Any, ...]:
        del key  # an episode draws all that it needs from the key of its reset
        fixation = (jnp.clip(action, -1, 1) + 1) / 2
        state, time_step = episodes.step((params or default).modules, state, fixation[None])
        observation, reward, terminated, info = one_episode(time_step)
        ends = (terminated,) if step_values == 5 else (terminated, jnp.zeros((), bool))
        return observation, state, reward, *ends, info

    def step(key: Key, state: BatchState, action: Array, params: EnvParams | None = None) -> tuple[Any, ...]:
        ended = step_env(key, state, action, params)
        now = jax.tree.map(lambda new, old: jax.lax.select(ended[3], new, old), reset(key, params), ended[:2])
        return *now, *ended[2:]

    actions = Box(-1.0, 1.0, (2,))
    return GymnaxEnvironment(
        reset, step, step_env, lambda params=None: episodes.observation, lambda params=None: actions, default
    )
