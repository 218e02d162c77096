"""Training by stable-baselines3: its learner moves the eye, and the classifier learns from the same episodes."""

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax

from foveax._types import InputError, Params
from foveax.data.dataset import Data
from foveax.environments.episodes import make_episodes
from foveax.environments.session import ClassifierTraining, make_classifier_training
from foveax.pipelines.perceptron import Algorithm
from foveax.runs.config import ExecutionConfig, TrainingConfig
from foveax.runs.directory import RunRecord, run_path
from foveax.runs.pipeline import build_graph, stock_pipeline
from foveax.runs.run import Listener, Run, open_run
from foveax.runs.summary import Result, conclude
from foveax.runs.train import describe_pipeline, prepare
from foveax.runs.validation import check_unvalidated
from foveax.runtime.signals import Interrupted
from foveax.training.adversary import learner_of
from foveax.training.learner import TrainState


def train_sb3(
    config: TrainingConfig,
    algorithm: Algorithm = "ppo",
    data: Data | None = None,
    *,
    out: str | Path | None = None,
    evaluate: bool = True,
    listeners: Sequence[Listener] = (),
    execution: ExecutionConfig | None = None,
) -> Result:
    """Trains the standard pipeline as `foveax.train`, but its saccader by stable-baselines3.

    The library's learner acts in the pipeline's environment (`foveax.split`), on the observation that its own saccader
    would have; the classifier learns from each batch of episodes as it ends. The mode of the learnt policy is then
    brought back as the saccader of a `perceptron_pipeline`, so that the run can be analysed like any other.

    There are ``config.batch`` episodes at once, on one device; listeners are called every ``execution.dispatch`` of
    these batches. The library is given the discount and, where it has one, lambda. How much is gathered between two
    updates, PPO's minibatch and SAC's replay buffer, with features of the classifier as it was, are set to fit. A run
    that was interrupted begins again.

    Raises:
      InputError: if the library is not installed, the eye is not one that learns, or data or run directory do not fit.
      Interrupted: a KeyboardInterrupt, on SIGINT or SIGTERM, if there is a run directory.
    """
    execution = ExecutionConfig() if execution is None else execution
    if execution.devices != 1 or jax.process_count() > 1:
        raise InputError(f"devices must be 1, of one process, where another library trains; got {execution.devices}")
    check_unvalidated(config, "a training by another library")
    path = run_path(out, config)
    pipeline = stock_pipeline(config, "foveax.pipelines.perceptron:perceptron_pipeline", {"algorithm": algorithm})
    data, fingerprint, _ = prepare(config, data, execution)
    graph = build_graph(config, data, pipeline)
    standard = build_graph(config, data)
    episodes = make_episodes(standard, data)
    try:
        from foveax.environments import sb3
    except ModuleNotFoundError as error:
        raise InputError(f"training by stable-baselines3 needs {error.name}: pip install 'foveax[sb3]'") from None
    key = jax.random.key(config.seed)
    initial = learner_of(graph, config.learning, steps=config.steps).init(key)
    with open_run(path, RunRecord(config, fingerprint, describe_pipeline(pipeline, graph)), listeners=listeners) as run:
        if path is not None and not (path / "summary.json").exists():
            shutil.rmtree(path / "checkpoints", ignore_errors=True)  # of a training that was interrupted
        state = run.restore(initial)
        if int(state.step) < config.steps:
            size, steps = config.batch, config.steps
            training = make_classifier_training(standard, config.learning, key=key, batch=size, steps=steps)
            model = _make_model(algorithm, config, sb3.FoveaxVecEnv(size, episodes, training))
            _learn(model, config, training, run, execution.dispatch)
            state = _joined(state, training.state, {episodes.agent: sb3.import_policy(model)[1]})
        try:
            run.finish(state)
        except Interrupted as error:
            message = f"interrupted at step {int(state.step)}; the same command trains from the beginning again"
            raise Interrupted(error.signal, message) from None
    return conclude(run, data, graph, state.params, evaluate=evaluate)


def _make_model(algorithm: Algorithm, config: TrainingConfig, environments: Any) -> Any:
    import stable_baselines3 as library  # pyright: ignore[reportMissingImports]

    actions, size = config.pipeline.glimpses - 1, config.batch
    discounts = {"gamma": config.learning.discount, "gae_lambda": config.learning.gae_lambda}
    options: dict[Algorithm, dict[str, Any]] = {
        "ppo": {"n_steps": 8 * actions, "batch_size": actions * size, **discounts},  # 8 episodes of each environment
        "a2c": {"n_steps": actions, **discounts},
        "sac": {"gamma": config.learning.discount, "buffer_size": 100_000},
    }
    learner = getattr(library, algorithm.upper())
    return learner("MlpPolicy", environments, seed=config.seed, device="cpu", **options[algorithm])


def _learn(model: Any, config: TrainingConfig, training: ClassifierTraining, run: Run, dispatch: int) -> None:
    """Learns until the classifier has taken all its steps; logs its metrics every `dispatch` of them."""
    import torch  # pyright: ignore[reportMissingImports]
    from stable_baselines3.common.callbacks import BaseCallback  # pyright: ignore[reportMissingImports]

    class Log(BaseCallback):
        logged = 0

        def _on_step(self) -> bool:
            if training.steps:
                run.start_clock()
            if training.steps > self.logged and (training.steps % dispatch == 0 or training.steps == config.steps):
                self.logged = training.steps
                counts = {name: getattr(training.state, name) for name in ("step", "skipped", "consecutive_skips")}
                run.log({**training.take_metrics(), **counts})
            return training.steps < config.steps and not run.should_stop()

    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # its products are tiny, and its waiting threads would take the cores from the classifier
    try:
        model.learn(2**62, callback=Log())
    finally:
        torch.set_num_threads(threads)


def _joined(initial: TrainState, trained: TrainState, policy: dict[str, Params]) -> TrainState:
    """The state of the whole pipeline: the classifier's after its training, and the library's policy."""
    params = {name: trained.params.get(name, part) for name, part in initial.params.items()} | policy
    optimizer = {name: trained.optimizer.get(name, part) for name, part in initial.optimizer.items()}
    return trained._replace(params=params, optimizer=optimizer)
