# pyright: reportMissingImports=false
"""The original framework's way: a Gymnasium environment that holds the classifier, and PPO of stable-baselines3.

As it was: one environment per image, whose classifier is called for one glimpse at a time; PPO with the library's own
settings; the classifier fitted on the crops that a rollout has stored. And the same with one environment for a batch.
"""

from typing import Any

import gymnasium
import numpy as np
import torch
from stable_baselines3 import PPO
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.vec_env import VecEnv
from torch.nn import functional
from torch_ram import CLASSES, GLIMPSES, HIDDEN, Classifier, crop

FIT_BATCH = 128
ACTIONS = gymnasium.spaces.Box(-1.0, 1.0, (2,), np.float32)
OBSERVATIONS = gymnasium.spaces.Box(-np.inf, np.inf, (HIDDEN,), np.float32)


class Crops:
    """What the classifier is fitted on: the glimpses, fixations and labels of the episodes since the last fit."""

    def __init__(self, classifier: Classifier) -> None:
        self.classifier = classifier
        self.optimizer = torch.optim.Adam(classifier.parameters(), lr=2e-3)
        self.episodes: list[tuple[torch.Tensor, torch.Tensor, torch.Tensor]] = []

    def fit(self) -> None:
        """One pass over what is stored, which is then forgotten."""
        glimpses, fixations, labels = (torch.cat(parts) for parts in zip(*self.episodes, strict=True))
        for rows in torch.randperm(len(labels)).split(FIT_BATCH):
            hidden, logits = torch.zeros(len(rows), HIDDEN), torch.zeros(len(rows), CLASSES)
            for time in range(GLIMPSES):
                hidden, logits = self.classifier(hidden, glimpses[rows, time], fixations[rows, time])
            self.optimizer.zero_grad()
            functional.cross_entropy(logits, labels[rows]).backward()
            self.optimizer.step()
        self.episodes.clear()


class Trials:
    """A batch of trials that begin and end together, as both kinds of environment play them."""

    def __init__(self, images: torch.Tensor, labels: torch.Tensor, crops: Crops, *, size: int) -> None:
        self.images, self.labels, self.crops, self.size = images, labels, crops, size

    def reset(self) -> np.ndarray:
        """New images, and what is seen at their centres: the hidden state ``[B, 256]``."""
        rows = torch.randint(len(self.images), (self.size,))
        self.shown, self.answer = self.images[rows], self.labels[rows]
        self.hidden, self.cross_entropy = torch.zeros(self.size, HIDDEN), torch.full((self.size,), float(np.log(10)))
        self.glimpses, self.fixations = [], []
        self.look(torch.full((self.size, 2), 0.5))
        return self.hidden.numpy()

    @torch.no_grad()
    def look(self, fixation: torch.Tensor) -> torch.Tensor:
        """One glimpse; the reward ``[B]`` is the drop in cross-entropy."""
        glimpse = crop(self.shown, fixation)
        self.glimpses.append(glimpse)
        self.fixations.append(fixation)
        self.hidden, logits = self.crops.classifier(self.hidden, glimpse, fixation)
        before, self.cross_entropy = self.cross_entropy, functional.cross_entropy(logits, self.answer, reduction="none")
        return before - self.cross_entropy

    def step(self, actions: np.ndarray) -> tuple[np.ndarray, np.ndarray, bool]:
        """The next observations, rewards, and whether the trials are over; their crops are then stored."""
        reward = self.look((torch.from_numpy(actions) + 1) / 2)
        over = len(self.glimpses) == GLIMPSES
        if over:
            stored = torch.stack(self.glimpses, dim=1), torch.stack(self.fixations, dim=1), self.answer
            self.crops.episodes.append(stored)
        return self.hidden.numpy(), reward.numpy(), over


class OneImage(gymnasium.Env):
    """The environment of a single image."""

    observation_space, action_space = OBSERVATIONS, ACTIONS

    def __init__(self, images: torch.Tensor, labels: torch.Tensor, crops: Crops) -> None:
        self.trials = Trials(images, labels, crops, size=1)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[np.ndarray, dict]:
        """A new image."""
        super().reset(seed=seed)
        return self.trials.reset()[0], {}

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool, dict]:
        """One saccade."""
        observation, reward, over = self.trials.step(action[None])
        return observation[0], float(reward[0]), over, False, {}


class ManyImages(VecEnv):
    """One environment for a batch of images."""

    def __init__(self, images: torch.Tensor, labels: torch.Tensor, crops: Crops, *, size: int) -> None:
        self.trials = Trials(images, labels, crops, size=size)
        self.render_mode = None
        super().__init__(size, OBSERVATIONS, ACTIONS)

    def reset(self) -> np.ndarray:
        """New images."""
        return self.trials.reset()

    def step_async(self, actions: np.ndarray) -> None:
        """Keeps the actions."""
        self.actions = actions

    def step_wait(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, list[dict[str, Any]]]:
        """One saccade of each image; when the trials are over new ones begin."""
        observations, rewards, over = self.trials.step(self.actions)
        said: list[dict[str, Any]] = [{} for _ in range(self.num_envs)]
        if over:
            said = [{"terminal_observation": last} for last in observations]
            observations = self.trials.reset()
        return observations, rewards, np.full(self.num_envs, over), said

    def close(self) -> None:
        """Nothing is open."""

    def get_attr(self, attr_name: str, indices: Any = None) -> list[Any]:
        """The same of each image."""
        return [getattr(self, attr_name)] * self.num_envs

    def set_attr(self, attr_name: str, value: Any, indices: Any = None) -> None:
        """Sets it for all."""
        setattr(self, attr_name, value)

    def env_method(self, method_name: str, *args: Any, indices: Any = None, **kwargs: Any) -> list[Any]:
        """There are none of a single image."""
        raise AttributeError(method_name)

    def env_is_wrapped(self, wrapper_class: Any, indices: Any = None) -> list[bool]:
        """None is."""
        return [False] * self.num_envs


class Fitting(BaseCallback):
    """Fits the classifier at the end of every rollout."""

    def __init__(self, crops: Crops) -> None:
        super().__init__()
        self.crops = crops

    def _on_step(self) -> bool:
        return True

    def _on_rollout_end(self) -> None:
        self.crops.fit()


def make_training(images: np.ndarray, labels: np.ndarray, *, batched: int = 0, steps: int = 2048) -> Any:
    """A training in the original's way: a function that trains for one rollout, and the images that it then has seen.

    Args:
      images: uint8 ``[N, H, W, 1]``.
      labels: ``[N]``.
      batched: images per environment; 0 makes one environment of one image.
      steps: saccades in a rollout, the default of PPO in stable-baselines3.
    """
    shown = torch.from_numpy(images).movedim(-1, 1).float() / 255
    crops = Crops(Classifier())
    given = shown, torch.from_numpy(labels).long(), crops
    environment = ManyImages(*given, size=batched) if batched else OneImage(*given)
    agent = PPO("MlpPolicy", environment, n_steps=max(steps // max(batched, 1), 2), device="cpu")
    rollout = agent.n_steps * agent.n_envs

    def train() -> None:
        agent.learn(rollout, callback=Fitting(crops), reset_num_timesteps=False)

    return train, rollout / (GLIMPSES - 1)
