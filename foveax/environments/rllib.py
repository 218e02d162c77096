"""RLlib, its new API stack: a batch of episodes by the vector entry point, reset in the step after their end."""

from collections.abc import Mapping
from typing import Any

import gymnasium

from foveax.environments.gymnasium import FoveaxVectorEnv, make_env, make_vector_env


def make_environment(context: Mapping[str, Any]) -> gymnasium.Env | FoveaxVectorEnv:
    """The environment creator, which each of RLlib's workers calls in its own process.

    The context is its `env_config`: ``num_envs``, which it adds, for a batch; the rest as in `make_vector_env`.

    Example:
      >>> make_environment({"num_envs": 2, "config": {"data": "one_place", "pipeline": {"glimpses": 2}}}).num_envs
      2
    """
    options = dict(context)
    num_envs = options.pop("num_envs", None)
    return make_env(**options) if num_envs is None else make_vector_env(num_envs, **options)


def with_environment(algorithm: Any, *, num_envs: int, **options: Any) -> Any:
    """An RLlib `AlgorithmConfig` that trains in a batch of episodes: in this process, in one compiled step.

    The algorithm, such as ``PPOConfig()``, is changed, and returned; the options are those of `make_vector_env`.
    """
    from ray.tune.registry import register_env  # pyright: ignore[reportMissingImports]

    register_env("foveax", make_environment)
    return algorithm.environment("foveax", env_config=options).env_runners(
        num_env_runners=0, num_envs_per_env_runner=num_envs, gym_env_vectorize_mode="vector_entry_point"
    )
