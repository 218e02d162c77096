"""stable-baselines3: a batch of episodes as its `VecEnv`, and its policies brought back as saccaders."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from stable_baselines3.common.base_class import BaseAlgorithm  # pyright: ignore[reportMissingImports]
from stable_baselines3.common.vec_env import VecEnv  # pyright: ignore[reportMissingImports]

from foveax._types import InputError, Params
from foveax.environments.episodes import Episodes, one_episode
from foveax.environments.gymnasium import FoveaxVectorEnv
from foveax.environments.session import ModuleParams
from foveax.graph.modules import Module
from foveax.modules.saccader import perceptron_saccader
from foveax.networks.saccaders import Activation, Squash

ACTIVATIONS: dict[str, Activation] = {"Tanh": "tanh", "ReLU": "relu"}


class FoveaxVecEnv(VecEnv):
    """A `FoveaxVectorEnv`, made likewise and reset in the step that ends its episodes; PPO, A2C and SAC run on it."""

    def __init__(self, num_envs: int, episodes: Episodes, params: ModuleParams, *, render_mode: str | None = None):
        batch = FoveaxVectorEnv(num_envs, episodes, params, autoreset_mode="Disabled", render_mode=render_mode)
        self.environments = batch
        super().__init__(num_envs, batch.single_observation_space, batch.single_action_space)  # asks for render_mode

    def reset(self) -> Any:
        """Begins new episodes: their observations. Each has its own of the seeds that `seed` set."""
        observations, infos = self.environments.reset(seed=self._seeds)
        self.reset_infos = self._by_episode(infos)
        self._reset_seeds()
        self._reset_options()
        return observations

    def step_async(self, actions: np.ndarray) -> None:
        """Takes the actions ``[B, 2]``."""
        self._actions = actions

    def step_wait(self) -> tuple[Any, np.ndarray, np.ndarray, list[dict[str, Any]]]:
        """Moves the eyes: observations, rewards, which episodes ended, and an info for each."""
        observations, rewards, dones, _, infos = self.environments.step(self._actions)
        reports = self._by_episode(infos)
        if dones.all():
            for report, last in zip(reports, self._by_episode(observations), strict=True):
                report.update({"terminal_observation": last, "TimeLimit.truncated": False})
            observations, infos = self.environments.reset()
            self.reset_infos = self._by_episode(infos)
        return observations, rewards, dones, reports

    def close(self) -> None:
        """Ends the use of the environments."""
        self.environments.close()

    def get_images(self) -> Sequence[np.ndarray | None]:
        """The trials so far, uint8 ``[height, width, 3]`` each."""
        return self.environments.render() or [None] * self.num_envs

    def get_attr(self, attr_name: str, indices: Any = None) -> list[Any]:
        """An attribute, which all episodes share, once for each of them."""
        return [getattr(self.environments, attr_name) for _ in self._get_indices(indices)]

    def set_attr(self, attr_name: str, value: Any, indices: Any = None) -> None:
        """Sets an attribute, which all episodes share."""
        setattr(self.environments, attr_name, value)

    def env_method(self, method_name: str, *method_args: Any, indices: Any = None, **method_kwargs: Any) -> list[Any]:
        """Calls a method, which acts on all episodes, once; its result, once for each."""
        result = getattr(self.environments, method_name)(*method_args, **method_kwargs)
        return [result for _ in self._get_indices(indices)]

    def env_is_wrapped(self, wrapper_class: Any, indices: Any = None) -> list[bool]:
        """Never."""
        return [False for _ in self._get_indices(indices)]

    def _by_episode(self, batch: Any) -> list[Any]:
        return [one_episode(batch, index) for index in range(self.num_envs)]


def import_policy(model: BaseAlgorithm) -> tuple[Module, Params]:
    """The policy that stable-baselines3 learnt, as a saccader and its parameters: the mode of its action.

    Put it in the place of another: ``graph.swap("saccader", module)``, ``{**params, "saccader": imported}``. Raises
    `InputError` unless the model is PPO, A2C or SAC with an ``MlpPolicy`` of tanh or relu layers, trained on the
    observation ``agent``.
    """
    policy: Any = model.policy
    if hasattr(policy, "action_net") and hasattr(policy, "mlp_extractor"):
        layers, last = policy.mlp_extractor.policy_net, policy.action_net
        squash: Squash = "tanh" if policy.squash_output else "clip"
    elif hasattr(policy, "actor") and hasattr(policy.actor, "latent_pi"):
        layers, last, squash = policy.actor.latent_pi, policy.actor.mu, "tanh"
    else:
        raise InputError(f"the policy must be that of PPO, A2C or SAC; got {type(policy).__name__}")
    if type(policy.features_extractor or policy.actor.features_extractor).__name__ != "FlattenExtractor":
        raise InputError("the policy must be an MlpPolicy on one vector; got one with another features extractor")
    if type(last).__name__ != "Linear":
        raise InputError("the policy must end in one linear layer; got one of state-dependent exploration")
    normalised = model.get_vec_normalize_env()
    if normalised is not None and normalised.norm_obs:
        raise InputError("the policy must read observations as they are; got one that was trained on normalised ones")
    return _perceptron(list(layers), last, squash)


def _perceptron(layers: list[Any], last: Any, squash: Squash) -> tuple[Module, Params]:
    """A module and its parameters, of linear layers with an activation after each, and a last one without."""

    def array(weights: Any) -> np.ndarray:
        return weights.detach().cpu().numpy().copy()

    linear, between = layers[::2], {type(layer).__name__ for layer in layers[1::2]}
    if len(between) > 1 or not between <= set(ACTIVATIONS):
        raise InputError(f"the policy's layers must be all tanh or all relu; got {', '.join(sorted(between))}")
    activation = ACTIVATIONS[between.pop()] if between else "tanh"
    named = {**{f"layer_{index}": layer for index, layer in enumerate(linear)}, "action": last}
    params = {name: {"kernel": array(layer.weight.T), "bias": array(layer.bias)} for name, layer in named.items()}
    hidden = tuple(layer.out_features for layer in linear)
    return perceptron_saccader(hidden, activation=activation, squash=squash), {"params": params}
