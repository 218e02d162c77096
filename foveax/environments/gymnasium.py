"""Gymnasium: one environment, and a batch of them in one compiled step; `IDS` are registered by importing this module.

Actions lie in [-1, 1]^2: ``(-1, -1)`` is the upper left corner of the image, ``(0, 0)`` its centre; those outside are
brought to the border. An episode is one image, and has exactly T - 1 steps; it is terminated, never truncated.
Observations and ``info`` are those of `foveax.environments.make_episodes`, with fixations in [0, 1]^2.

Example:
  >>> import gymnasium
  >>> import foveax.environments.gymnasium
  >>> environments = gymnasium.make_vec("foveax/Mnist5k-v0", num_envs=4)
  >>> observation, info = environments.reset(seed=0)
  >>> observation.shape, info["fixation"].tolist()[0]
  ((4, 287), [0.5, 0.5])
"""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import gymnasium
import jax
import numpy as np
from gymnasium import spaces
from gymnasium.utils import seeding
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space

from foveax._arrays import check_count
from foveax._types import InputError
from foveax.data.dataset import Data
from foveax.environments.episodes import GLIMPSES, Box, Episodes, Observed, SplitName, make_episodes, one_episode
from foveax.environments.session import (
    ModuleParams,
    Session,
    as_action,
    check_process,
    is_forked,
    make_classifier_training,
)
from foveax.pipelines.named import Build, import_pipeline
from foveax.plot.scanpath import trial_picture
from foveax.runs.config import TrainingConfig
from foveax.runs.load import load_run
from foveax.runs.pipeline import build_graph


class FoveaxEnv(gymnasium.Env):
    """One image at a time: a `FoveaxVectorEnv` of one, made likewise."""

    metadata = {"render_modes": ["rgb_array"], "render_fps": 2}  # noqa: RUF012

    def __init__(self, episodes: Episodes, params: ModuleParams, *, render_mode: str | None = None):
        self._batch = FoveaxVectorEnv(1, episodes, params, autoreset_mode="Disabled", render_mode=render_mode)
        self.session = self._batch.session
        self.render_mode = render_mode
        self.observation_space = self._batch.single_observation_space
        self.action_space = self._batch.single_action_space
        ForkedEnv.observation_space = self.observation_space
        ForkedEnv.action_space = self.action_space

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Begins an episode on an image drawn at random: its observation, and info."""
        super().reset(seed=seed)
        time_step = one_episode(self.session.reset(_draw(self.np_random)))
        return time_step.observation, time_step.info

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """Moves the eye to ``(action + 1) / 2``: observation, reward, terminated, truncated (never), and info."""
        observation, reward, terminated, info = one_episode(self.session.step(as_action(action)[None]))
        return observation, float(reward), bool(terminated), False, info

    def render(self) -> np.ndarray | None:
        """The trial so far, uint8 ``[height, width, 3]``; None without a render mode."""
        pictures = self._batch.render()
        return pictures[0] if pictures else None

    def close(self) -> None:
        """Ends the use of the environment."""
        self.session.close()


class ForkedEnv(gymnasium.Env):
    """Stands for an environment in a forked process, where JAX would hang: any use of it is refused.

    `gymnasium.vector.AsyncVectorEnv` hands what a reset raises to the parent; a worker that cannot make its environment
    just dies. It makes one in the parent first, whose spaces the others must have: those of the latest `FoveaxEnv`.
    """

    observation_space: ClassVar[Any] = None
    action_space: ClassVar[Any] = None

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        """Raises `InputError`."""
        check_process()

    def step(self, action: Any) -> Any:
        """Raises `InputError`."""
        check_process()


class FoveaxVectorEnv(VectorEnv):
    """A batch of episodes in one compiled step; all begin and end together, so that a reset resets all of them.

    Args:
      num_envs: B.
      episodes: of `foveax.environments.make_episodes`.
      params: of the modules in the environment, by name; or their training (`make_classifier_training`).
      autoreset_mode: next step: the step after the end ignores its action and begins new episodes; same step: the last
        step begins them, and gives the last observations as ``info["final_obs"]``; disabled: `reset` must be called.
      render_mode: ``"rgb_array"``: the image with the scanpath so far, and the latest crop.
    """

    def __init__(
        self,
        num_envs: int,
        episodes: Episodes,
        params: ModuleParams,
        *,
        autoreset_mode: AutoresetMode | str = "NextStep",
        render_mode: str | None = None,
    ):
        if render_mode not in (None, "rgb_array"):
            raise InputError(f"render_mode must be rgb_array or None; got {render_mode!r}")
        self.session = Session(episodes, num_envs, params)
        self.num_envs = num_envs
        self.render_mode = render_mode
        self.autoreset_mode = AutoresetMode(autoreset_mode)
        self.metadata = {**FoveaxEnv.metadata, "autoreset_mode": self.autoreset_mode}
        self.single_observation_space = _space(episodes.observation)
        self.single_action_space = spaces.Box(-1.0, 1.0, (2,), np.float32)
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)
        self._generators: list[np.random.Generator] | None = None

    def reset(
        self, *, seed: int | Sequence[int | None] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        """Begins episodes on images drawn at random: observations, and infos. A partial ``reset_mask`` is refused.

        Of a sequence of seeds each is that of one episode and of those that follow it in its place, which are then
        those of a `FoveaxEnv` with this seed; where it is None, the place goes on as it was.
        """
        if not np.all((options or {}).get("reset_mask", True)):
            raise InputError("all episodes must be reset together; got a reset_mask that leaves some out")
        if isinstance(seed, Sequence | np.ndarray):
            self._generators = self._seeded(seed)
        elif seed is not None:
            super().reset(seed=check_count("seed", seed, 0))
            self._generators = None
        return self._begin()

    def _seeded(self, seeds: Sequence[int | None] | np.ndarray) -> list[np.random.Generator]:
        """A generator for each episode."""
        if len(seeds) != self.num_envs:
            raise InputError(f"seed must be one number, or one for each of {self.num_envs} episodes; got {len(seeds)}")
        checked = [None if seed is None else check_count("seed", seed, 0) for seed in seeds]
        before = self._generators or self.np_random.spawn(self.num_envs)
        return [old if one is None else seeding.np_random(one)[0] for old, one in zip(before, checked, strict=True)]

    def _begin(self) -> tuple[Any, dict[str, Any]]:
        own = self._generators
        time_step = self.session.reset(_draw(self.np_random) if own is None else [_draw(one) for one in own])
        return time_step.observation, time_step.info

    def step(self, actions: Any) -> tuple[Any, np.ndarray, np.ndarray, np.ndarray, dict[str, Any]]:
        """Moves the eyes: observations, rewards, terminations, truncations (never) and infos."""
        truncations = np.zeros(self.num_envs, bool)
        if self.session.ended and self.autoreset_mode == AutoresetMode.NEXT_STEP:
            observations, infos = self._begin()
            return observations, np.zeros(self.num_envs, np.float32), truncations.copy(), truncations, infos
        observations, rewards, terminations, infos = self.session.step(actions)
        if terminations.all() and self.autoreset_mode == AutoresetMode.SAME_STEP:
            last = (one_episode(observations, index) for index in range(self.num_envs))
            final = {"final_obs": np.fromiter(last, object), "final_info": infos}  # as Gymnasium has them
            observations, infos = self._begin()
            infos |= {**final, **{f"_{name}": np.ones(self.num_envs, bool) for name in final}}
        return observations, rewards, terminations, truncations, infos

    def render(self) -> tuple[np.ndarray, ...] | None:
        """The trials so far, uint8 ``[height, width, 3]`` each; None without a render mode."""
        if self.render_mode is None:
            return None
        size = self.session.episodes.graph.roles.crop_size
        return tuple(trial_picture(*trial, size=size) for trial in zip(*self.session.pictures(), strict=True))

    def close_extras(self, **kwargs: Any) -> None:
        """Ends the use of the environments."""
        self.session.close()


def _draw(rng: np.random.Generator) -> int:
    """The seed of an episode."""
    return int(rng.integers(2**32))


def make_env(*, render_mode: str | None = None, **options: Any) -> gymnasium.Env:
    """The entry point of the registered ids: options as in `make_vector_env`, without `num_envs`.

    In a forked process, what is made cannot be used (`ForkedEnv`).
    """
    if is_forked() and ForkedEnv.observation_space is not None:
        return ForkedEnv()
    check_process()
    return FoveaxEnv(**_make_parts(**options), render_mode=render_mode)


def make_vector_env(
    num_envs: int, *, autoreset_mode: AutoresetMode | str = "NextStep", render_mode: str | None = None, **options: Any
) -> FoveaxVectorEnv:
    """The vector entry point of the registered ids. The newest parameters are in ``unwrapped.session.params``.

    The options are ``config``, a `foveax.TrainingConfig`, or the JSON of some of its fields, in the place of the id's:
    the classifier starts new, and learns from the episodes. Or ``run``, the directory of a run, with its own
    configuration: its classifier does not learn. ``data``, as in `foveax.train` and `foveax.load_run`; ``data_dir``,
    with TFDS sets; ``pipeline``, ``(data) -> graph`` or its name, as ``"package.module:function"``; ``agent``, the
    module that acts, and ``observe`` (`make_episodes`); ``split``, train or, for a run, test. Raises `InputError` if
    both `config` and `run` are given, or a classifier would learn from the test split.
    """
    return FoveaxVectorEnv(num_envs, **_make_parts(**options), autoreset_mode=autoreset_mode, render_mode=render_mode)


def _make_parts(
    *,
    config: TrainingConfig | Mapping[str, Any] | None = None,
    run: str | None = None,
    data: Data | None = None,
    data_dir: str | None = None,
    pipeline: Build | str | None = None,
    agent: str | None = None,
    observe: Observed | list[str] = "agent",
    split: SplitName = "train",
    base: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """The episodes and the parameters, or their training; `base` is the configuration of an id."""
    observe = tuple(observe) if isinstance(observe, list) else observe
    build = import_pipeline(pipeline) if isinstance(pipeline, str) else pipeline
    if run is not None:
        if config is not None:
            raise InputError("an environment is made of a config or of a run, which has its own; got both")
        loaded = load_run(run, data, pipeline=build, data_dir=data_dir)
        graph = loaded.graph if loaded.graph.agents or build else build_graph(loaded.config, loaded.data)
        episodes = make_episodes(graph, loaded.data, agent, split_name=split, observe=observe)
        return {"episodes": episodes, "params": loaded.params}
    if split != "train":
        raise InputError(f"split must be train where the classifier learns; got {split!r}: give a run")
    if not isinstance(config, TrainingConfig):
        config = TrainingConfig.from_json(_merged(base or {}, config or {}))
    data = config.prepare(data or config.load(data_dir=data_dir))
    graph = build_graph(config, data, build)
    key = jax.random.key(config.seed)
    training = make_classifier_training(graph, config.learning, agent, key=key, batch=config.batch)
    return {"episodes": make_episodes(graph, data, agent, observe=observe), "params": training}


def _merged(base: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """A configuration's JSON with some of its fields, and of those inside it, replaced."""
    return dict(base) | {
        name: _merged(base.get(name, {}), value) if isinstance(value, Mapping) else value
        for name, value in given.items()
    }


def _space(box: Box | Mapping[str, Box]) -> spaces.Space:
    if isinstance(box, Box):
        return spaces.Box(box.low, box.high, box.shape, np.float32)
    return spaces.Dict({name: _space(part) for name, part in box.items()})


IDS: dict[str, dict[str, Any]] = {
    "foveax/Mnist5k-v0": {},
    "foveax/Mnist5kGlimpses-v0": {"observe": list(GLIMPSES)},
    "foveax/Translated5k-v0": {"base": {"task": "translated", "pipeline": {"crop_size": 12}}},
    "foveax/CuedPlace-v0": {"base": {"data": "cued_place", "shift": 0, "pipeline": {"glimpses": 2}}},
    "foveax/HiddenTarget-v0": {"base": {"data": "hidden_target", "shift": 0, "pipeline": {"glimpses": 5}}},
}
"""The registered ids, and the options of each."""

for _name, _options in IDS.items():
    gymnasium.register(  # not deterministic, since the classifier learns from one episode to the next
        _name, entry_point=make_env, vector_entry_point=make_vector_env, kwargs=_options, nondeterministic=True
    )
