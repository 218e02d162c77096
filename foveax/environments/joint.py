"""Joint training: another library trains the saccader while the classifier learns from the episodes it is served."""

import dataclasses
import functools
import shutil
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import jax

from foveax._types import InputError
from foveax.data.dataset import Data
from foveax.data.load import load
from foveax.environments.episodes import make_episodes
from foveax.environments.lessons import Lessons, make_lessons
from foveax.training.checkpoint import Checkpoints
from foveax.training.config import Config, Trainer
from foveax.training.learner import Learner, TrainState, make_learner
from foveax.training.metrics_file import MetricsFile
from foveax.training.progress import TIMING, Listener
from foveax.training.provenance import record
from foveax.training.run import finished_timing, train
from foveax.training.run_directory import Stored, open_run, read_run
from foveax.training.summary import Result, conclude

ROLLOUTS = 8
"""Episodes of each environment between two updates of PPO."""
REPLAY = 100_000
"""Steps that SAC remembers."""


def train_with(
    trainer: Trainer,
    config: Config,
    data: Data | None = None,
    *,
    out: str | Path | None = None,
    fork: str | Path | None = None,
    download: bool = False,
    progress: Listener | None = None,
    devices: int = 1,
    patience: float = 0.0,
) -> Result:
    """Trains the standard pipeline, its saccader by the library named, and evaluates it beside its controls.

    For ``"foveax"`` this is `foveax.train`. Otherwise the library's learner acts in the environment that `foveax.split`
    makes of the pipeline, reading what the pipeline's own saccader would; the classifier learns from each batch of
    episodes as it ends. The learnt policy's usual action is then brought back as a saccader of the pipeline, which is
    deterministic, so that `foveax diagnose`, `evaluate` and `analyze` read the run directory like any other. SAC learns
    from what it remembers, and so from features of the classifier as it was.

    Args:
      trainer: ``"foveax"``, ``"sb3_ppo"``, ``"sb3_a2c"`` or ``"sb3_sac"``.
      config: of the training; its `trainer` is replaced. ``config.batch`` images are looked at at once. Of
        ``config.learning`` other libraries are told the discount and, where they have one, lambda. How much is gathered
        between two updates, PPO's minibatch and SAC's memory are set to fit; all else is as the library has it.
      data: as in `foveax.train`.
      out: likewise; but a run that another library left unfinished is not continued.
      fork: likewise; by foveax alone.
      download: likewise.
      progress: likewise; called after every ``config.dispatch`` batches.
      devices: likewise; another library trains on one.
      patience: likewise; only foveax's own training is watched.

    Raises:
      InputError: if the library is not installed, the policy is not a learned one, or data or run directory do not fit.

    Example:
      >>> import foveax as fx
      >>> config = fx.Config(images=640, model=fx.Model(hidden=16, features=16))
      >>> train_with("foveax", config).evaluations["learned"].fixations.shape
      (1000, 6, 2)
    """
    config = dataclasses.replace(config, trainer=trainer)
    if trainer == "foveax":
        given = {"out": out, "fork": fork, "download": download, "progress": progress}
        return train(config, data, **given, devices=devices, patience=patience)
    if fork is not None:
        raise InputError(f"trainer must be foveax to fork a run; got {trainer!r}")
    if devices != 1 or jax.process_count() > 1:
        raise InputError(f"trainer {trainer} trains on one device of one process; got {devices} devices each")
    if config.model.policy != "learned" or config.model.glimpses == 1:
        raise InputError(f"trainer {trainer} needs the policy learned and at least 2 glimpses")
    library = _import_library(trainer)
    data = config.prepare(data or load(config.data, data_dir=config.data_dir or None, download=download))
    path = open_run(out, Stored(config)) if out is not None else None
    timing = finished_timing(path / "summary.json") if path else None
    if path and timing:
        return conclude(config, data, _stored(config, data, path), timing, path)
    standard = dataclasses.replace(config, trainer="foveax").pipeline(data)
    key = jax.random.key(config.seed)
    lessons = make_lessons(standard, config.learning, key=key, batch=config.batch, steps=config.steps)
    with ExitStack() as stack:
        listeners = [progress]
        if path:
            record(path, 0)
            listeners.append(stack.enter_context(MetricsFile(path / "metrics.jsonl", step=0)).write)
        environments = library.FoveaxVecEnv(config.batch, make_episodes(standard, data), lessons=lessons)
        stack.callback(environments.close)
        model = _make_model(trainer, config, environments)
        timing = _learn(model, config, lessons, listeners)
    state = _joined(config, data, lessons, library.import_policy(model)[1])
    if path:
        if (path / "checkpoints").exists():  # of a try that was cut off before its summary
            shutil.rmtree(path / "checkpoints")
        with Checkpoints(path / "checkpoints", read_run(path).identity) as checkpoints:
            checkpoints.save(state)
    return conclude(config, data, state, timing, path)


def _import_library(trainer: Trainer) -> Any:
    try:
        from foveax.environments import sb3
    except ModuleNotFoundError as error:
        raise InputError(f"trainer {trainer} needs {error.name}: pip install 'foveax[sb3]'") from None
    return sb3


def _make_model(trainer: Trainer, config: Config, environments: Any) -> Any:
    """The library's learner, told the discounts and how much to gather at a time."""
    import stable_baselines3 as library  # pyright: ignore[reportMissingImports]

    actions, size = config.model.glimpses - 1, config.batch
    discounts = {"gamma": config.learning.discount, "gae_lambda": config.learning.gae_lambda}
    make: dict[Trainer, Callable[..., Any]] = {
        "sb3_ppo": functools.partial(library.PPO, n_steps=ROLLOUTS * actions, batch_size=actions * size, **discounts),
        "sb3_a2c": functools.partial(library.A2C, n_steps=actions, **discounts),
        "sb3_sac": functools.partial(library.SAC, gamma=config.learning.discount, buffer_size=REPLAY),
    }
    return make[trainer]("MlpPolicy", environments, seed=config.seed, device="cpu")


def _learn(model: Any, config: Config, lessons: Lessons, listeners: list[Listener | None]) -> dict[str, float]:
    """Lets the library learn, and tells the listeners how the lessons go; the clock starts after the first lesson."""
    import torch  # pyright: ignore[reportMissingImports]
    from stable_baselines3.common.callbacks import BaseCallback  # pyright: ignore[reportMissingImports]

    class Tell(BaseCallback):
        """Tells the metrics of the lessons, every so many of them."""

        told = 0
        began = compiled = time.perf_counter()

        def _on_step(self) -> bool:
            if lessons.given <= 1:
                self.compiled = time.perf_counter()
            if lessons.given >= self.told + config.dispatch or lessons.given == config.steps > self.told:
                self.told, images = lessons.given, lessons.given * config.batch
                rate = (images - config.batch) / (time.perf_counter() - self.compiled)
                numbers = {"step": lessons.given, "images": images, "images_per_second": rate, **lessons.take_metrics()}
                for listener in listeners:
                    if listener:
                        listener(numbers)
            return lessons.given < config.steps

    tell, threads = Tell(), torch.get_num_threads()
    torch.set_num_threads(1)  # its products are tiny, and its waiting threads would take the cores from the classifier
    try:
        model.learn(config.steps * config.batch * (config.model.glimpses - 1), callback=tell)
    finally:
        torch.set_num_threads(threads)
    ended = time.perf_counter()
    rate = (config.steps - 1) * config.batch / (ended - tell.compiled)
    return dict(zip(TIMING, (rate, tell.compiled - tell.began, ended - tell.compiled, ended - tell.began), strict=True))


def _joined(config: Config, data: Data, lessons: Lessons, policy: Any) -> TrainState:
    """The state of the whole pipeline: what the lessons taught, and the other library's policy."""
    fresh = _learner_of(config, data).init(jax.random.key(config.seed))
    learnt = lessons.state
    return learnt._replace(
        params={**learnt.params, "saccader": policy},
        optimizer={**learnt.optimizer, "saccader": fresh.optimizer["saccader"]},
    )


def _stored(config: Config, data: Data, path: Path) -> TrainState:
    """The state of a finished run."""
    with Checkpoints(path / "checkpoints", read_run(path).identity) as checkpoints:
        state, _ = checkpoints.restore(jax.eval_shape(_learner_of(config, data).init, jax.random.key(0)))
    return state


def _learner_of(config: Config, data: Data) -> Learner:
    return make_learner(config.pipeline(data), config.learning, steps=config.steps)
