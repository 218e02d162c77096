"""Gymnasium: one environment, and a batch of them in one compiled step; registered when this module is imported.

=============================== ===================================================================
``foveax/Mnist5k-v0``           the bundled digits, 28x28, 6 glimpses of 9x9
``foveax/Mnist5kGlimpses-v0``   the same; observed is what is seen, not what the classifier makes of it
``foveax/Translated5k-v0``      each digit somewhere on a canvas of 60x60, glimpses of 12x12
``foveax/CuedPlace-v0``         the centre says in which corner the answer lies
``foveax/HiddenTarget-v0``      a target among three distractors
=============================== ===================================================================

Actions lie in [-1, 1]^2: ``(-1, -1)`` is the upper left corner of the image, ``(0, 0)`` its centre. An episode is one
image, and has exactly T - 1 steps; it is terminated, never truncated. Observations are flat: with ``observe`` as
`GLIMPSES` a glimpse ``[G, G, C]`` comes as ``G G C`` numbers. ``info`` holds, of each image, its ``index`` in the
split, ``label``, ``predicted``, ``correct`` and the present ``fixation`` in [0, 1]^2.

Example:
  >>> import gymnasium
  >>> import foveax.environments.gymnasium
  >>> environments = gymnasium.make_vec("foveax/Mnist5k-v0", num_envs=4)
  >>> observation, info = environments.reset(seed=0)
  >>> observation.shape, info["fixation"].tolist()[0]
  ((4, 264), [0.5, 0.5])
"""

import dataclasses
from collections.abc import Mapping
from typing import Any, Literal

import gymnasium
import jax
import numpy as np
from gymnasium import spaces
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space

from foveax._types import InputError, Params
from foveax.data.load import load
from foveax.environments.episodes import GLIMPSES, Episodes, Observed, alone, make_episodes
from foveax.environments.lessons import Lessons, make_lessons
from foveax.environments.session import Session
from foveax.pipelines import standard_pipeline
from foveax.plot.scanpath import trial_picture
from foveax.training.config import Config
from foveax.training.run import load_run

Seed = int | None
RENDER_MODES = ["rgb_array"]


class FoveaxEnv(gymnasium.Env):
    """One image at a time.

    Args:
      episodes: of `foveax.environments.make_episodes`.
      params: of the classifier, by module, which then does not learn.
      lessons: in which it learns (`foveax.environments.make_lessons`); one of the two.
      render_mode: ``"rgb_array"``: the image with the scanpath so far, and the latest crop.
    """

    metadata = {"render_modes": RENDER_MODES, "render_fps": 2}  # noqa: RUF012

    def __init__(
        self,
        episodes: Episodes,
        *,
        params: Mapping[str, Params] | None = None,
        lessons: Lessons | None = None,
        render_mode: str | None = None,
    ):
        self.session = Session(episodes, 1, params, lessons)
        self.render_mode = _render_mode(render_mode)
        self.observation_space, self.action_space = observation_space(episodes), _action_space()

    def reset(self, *, seed: Seed = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Begins an episode on an image drawn at random: its observation, and info."""
        super().reset(seed=seed)
        del options
        seen = self.session.reset(draw_seed(self.np_random))
        return _only(alone(seen.observation)), _only(seen.info)

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """Moves the eye to ``(action + 1) / 2``: observation, reward, terminated, truncated (never), and info."""
        seen = self.session.step(np.asarray(action)[None])
        return _only(alone(seen.observation)), float(seen.reward[0]), bool(seen.terminated[0]), False, _only(seen.info)

    def render(self) -> np.ndarray | None:
        """The trial so far, uint8 ``[height, width, 3]``; None without a render mode."""
        return _pictures(self.session)[0] if self.render_mode else None

    def close(self) -> None:
        """Ends the use of the environment."""
        self.session.close()


class FoveaxVectorEnv(VectorEnv):
    """A batch of episodes in one compiled step.

    All begin and end together, so that an automatic reset resets all of them.

    Args:
      num_envs: how many.
      episodes: of `foveax.environments.make_episodes`.
      params: of the classifier, by module, which then does not learn.
      lessons: in which it learns; one of the two.
      autoreset_mode: next step: the step after the end ignores its action and begins new episodes; same step: the last
        step begins them, and gives the last observations as ``info["final_obs"]``; disabled: `reset` must be called.
      render_mode: ``"rgb_array"``.
    """

    def __init__(
        self,
        num_envs: int,
        episodes: Episodes,
        *,
        params: Mapping[str, Params] | None = None,
        lessons: Lessons | None = None,
        autoreset_mode: AutoresetMode | str = AutoresetMode.NEXT_STEP,
        render_mode: str | None = None,
    ):
        self.session = Session(episodes, num_envs, params, lessons)
        self.num_envs, self.render_mode = num_envs, _render_mode(render_mode)
        self.autoreset_mode = AutoresetMode(autoreset_mode)
        self.metadata = {**FoveaxEnv.metadata, "autoreset_mode": self.autoreset_mode}
        self.single_observation_space, self.single_action_space = observation_space(episodes), _action_space()
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)

    def reset(self, *, seed: Seed = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Begins episodes on images drawn at random: observations, and infos.

        Raises:
          InputError: if the options ask for a reset of some of the episodes (``reset_mask``).
        """
        super().reset(seed=seed)
        mask = (options or {}).get("reset_mask", True)
        if not np.all(mask):
            raise InputError("all episodes must be reset together; got a reset_mask that leaves some out")
        return self._begin()

    def step(self, actions: Any) -> tuple[Any, np.ndarray, np.ndarray, np.ndarray, dict[str, Any]]:
        """Moves the eyes: observations, rewards, terminations, truncations (never) and infos."""
        truncations = np.zeros(self.num_envs, bool)
        ended = self.session.glimpse == self.session.episodes.length - 1
        if ended and self.autoreset_mode == AutoresetMode.NEXT_STEP:
            observations, infos = self._begin()
            return observations, np.zeros(self.num_envs, np.float32), truncations.copy(), truncations, infos
        seen = self.session.step(actions)
        observations, infos = alone(seen.observation), seen.info
        if seen.terminated.all() and self.autoreset_mode == AutoresetMode.SAME_STEP:
            ended_in = {"final_obs": _one_by_one(observations, self.num_envs), "final_info": infos}
            everyone = np.ones(self.num_envs, bool)
            observations, infos = self._begin()
            infos |= {**ended_in, **{f"_{name}": everyone.copy() for name in ended_in}}
        return observations, seen.reward, seen.terminated, truncations, infos

    def render(self) -> tuple[np.ndarray, ...] | None:
        """The trials so far, uint8 ``[height, width, 3]`` each; None without a render mode."""
        return tuple(_pictures(self.session)) if self.render_mode else None

    def close_extras(self, **kwargs: Any) -> None:
        """Ends the use of the environments."""
        self.session.close()

    def _begin(self) -> tuple[Any, dict[str, Any]]:
        seen = self.session.reset(draw_seed(self.np_random))
        return alone(seen.observation), dict(seen.info)


def make_env(*, render_mode: str | None = None, **options: Any) -> FoveaxEnv:
    """The entry point of the registered ids: options as in `make_vector_env`, without `num_envs`."""
    return FoveaxEnv(**_of_options(**options), render_mode=render_mode)


def make_vector_env(
    num_envs: int,
    *,
    autoreset_mode: AutoresetMode | str = AutoresetMode.NEXT_STEP,
    render_mode: str | None = None,
    **options: Any,
) -> FoveaxVectorEnv:
    """The vector entry point of the registered ids.

    The classifier's parameters, as they are now, are in ``unwrapped.session.params``.

    Args:
      num_envs: how many.
      autoreset_mode: as in `FoveaxVectorEnv`.
      render_mode: likewise.
      **options: ``config``, a `foveax.Config`, or the JSON of some of its fields, which take the place of the id's: the
        classifier starts new, and learns from the episodes. Or ``run``, the directory of a run, with its own
        configuration: its classifier does not learn. And ``observe`` (`make_episodes`), and ``split``, train or, for
        a run, test.

    Raises:
      InputError: if both `config` and `run` are given, or a classifier would learn from the test split.
    """
    made = _of_options(**options)
    return FoveaxVectorEnv(num_envs, **made, autoreset_mode=autoreset_mode, render_mode=render_mode)


def _of_options(
    *,
    config: Config | Mapping[str, Any] | None = None,
    run: str | None = None,
    observe: Observed | list[str] = "agent",
    split: Literal["train", "test"] = "train",
    base: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """The episodes that options ask for, with the parameters of a run, or the lessons of a new classifier.

    `base` is the configuration of a registered id.
    """
    observe = tuple(observe) if isinstance(observe, list) else observe
    if run is not None:
        if config is not None:
            raise InputError("an environment is made of a config or of a run, which has its own; got both")
        stored, data, _, params = load_run(run)
        graph = standard_pipeline(stored.model, data.inputs, classes=data.classes)
        return {"episodes": make_episodes(graph, data, split_name=split, observe=observe), "params": params}
    if split != "train":
        raise InputError(f"split must be train where the classifier learns; got {split!r}: give a run")
    config = config if isinstance(config, Config) else Config.from_json(_merged(base or {}, config or {}))
    data = config.prepare(load(config.data, data_dir=config.data_dir or None))
    graph = dataclasses.replace(config, trainer="foveax").pipeline(data)
    lessons = make_lessons(graph, config.learning, key=jax.random.key(config.seed), batch=config.batch)
    return {"episodes": make_episodes(graph, data, observe=observe), "lessons": lessons}


def _merged(base: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """A configuration's JSON with some of its fields, and of those inside it, replaced."""
    return dict(base) | {
        name: _merged(base.get(name, {}), value) if isinstance(value, Mapping) else value
        for name, value in given.items()
    }


def _one_by_one(observations: Any, size: int) -> np.ndarray:
    """A batch of observations as an array of objects, one for each episode, as Gymnasium has them."""
    singles = np.empty(size, object)
    for index in range(size):
        singles[index] = jax.tree.map(lambda part: part[index], observations)  # noqa: B023
    return singles


def observation_space(episodes: Episodes) -> spaces.Space:
    """A box for what the agent reads, or a dictionary of boxes for ports."""
    boxes: dict[str, spaces.Space] = {
        name: spaces.Box(bounds.low, bounds.high, (bounds.size,), np.float32)
        for name, bounds in episodes.observation.items()
    }
    space = alone(boxes)
    return spaces.Dict(space) if isinstance(space, dict) else space


def draw_seed(rng: np.random.Generator) -> int:
    """A seed for a reset, from Gymnasium's generator."""
    return int(rng.integers(2**32))


def _action_space() -> spaces.Box:
    return spaces.Box(-1.0, 1.0, (2,), np.float32)


def _render_mode(mode: str | None) -> str | None:
    if mode is not None and mode not in RENDER_MODES:
        raise InputError(f"render_mode must be rgb_array or None; got {mode!r}")
    return mode


def _pictures(session: Session) -> list[np.ndarray]:
    retina = session.episodes.graph.wiring.outputs["retina"]["glimpse"]
    return [trial_picture(image, path, size=retina.shape[0]) for image, path in zip(*session.pictures(), strict=True)]


def _only(tree: Any) -> Any:
    """The only episode of a batch."""
    return jax.tree.map(lambda array: array[0], tree)


IDS: dict[str, dict[str, Any]] = {
    "foveax/Mnist5k-v0": {},
    "foveax/Mnist5kGlimpses-v0": {"observe": list(GLIMPSES)},
    "foveax/Translated5k-v0": {"base": {"task": "translated", "model": {"crop": 12}}},
    "foveax/CuedPlace-v0": {"base": {"data": "cued_place", "shift": 0, "model": {"glimpses": 2}}},
    "foveax/HiddenTarget-v0": {"base": {"data": "hidden_target", "shift": 0, "model": {"glimpses": 5}}},
}
"""The registered ids, and what each is made with."""

for _name, _options in IDS.items():
    gymnasium.register(
        _name,
        entry_point=make_env,
        vector_entry_point=make_vector_env,
        kwargs=_options,
        nondeterministic=True,  # the classifier learns from one episode to the next
    )
