"""An open run: where a training is logged and saved, and what ends it early."""

import contextlib
import signal
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from foveax._types import InputError, Params
from foveax.runs.checkpoint import Checkpoints
from foveax.runs.config import TrainingConfig
from foveax.runs.directory import RunRecord, check_data, check_run, is_run, read_single_run, record_start, write_run
from foveax.runs.divergence import divergence, warn_of_skips
from foveax.runs.initial import initial_params
from foveax.runs.validation import METRIC, Best
from foveax.runtime.files import read_json
from foveax.runtime.metrics_file import MetricsFile
from foveax.runtime.ownership import owned
from foveax.runtime.processes import any_process, is_main, main_first, max_over_processes
from foveax.runtime.signals import Interrupted, held_signals
from foveax.training.learner import TrainState
from foveax.training.mesh import local_copy

SAVE_SECONDS = 30.0
"""Between two checkpoints."""
ALARM_SHARE = 0.8
"""A training warns when more than this share of the late modes return or lie on the border."""
SAVE_COST = 0.3
"""Seconds that a training may wait for a checkpoint: those that take longer are made less often, in proportion."""
TIMING = ("images_per_second", "compile_seconds", "train_seconds", "wall_seconds")
"""Of the training itself; a run that is already finished keeps those it had."""
SAVE, END, STOP = 1, 2, 3
"""What a process may ask for after a dispatch; the largest number of any process is followed by all."""

Listener = Callable[[dict[str, Any]], None]
"""Called after each dispatch with the metrics as numbers: ``step``, ``images``, ``images_per_second``, and the rest; of
a population, the rest are lists with one for each member."""


class CollapseWarning(UserWarning):
    """The eye settles on one spot, or on the border, while it trains."""


class Run:
    """A training under way: its directory, if it has one, its listeners, and its clock; made by `open_run`.

    The metrics of a dispatch are read only when the next one is under way.

    Attributes:
      path: of the run directory, or None.
      record: of the run.
      timing: of the training, by the names in `TIMING`, once it is over.
      best: the best validation so far.
      step: up to which it is reported.
    """

    def __init__(
        self,
        path: Path | None,
        record: RunRecord,
        checkpoints: Checkpoints | None,
        listeners: Sequence[Listener],
        signals: list[int],
        origin: Path | None,
        files: contextlib.ExitStack,
    ):
        self.path, self.record = path, record
        self.timing: dict[str, float] = {}
        self.best = Best()
        self._best_params: dict[str, Params] = {}
        self._config, self._checkpoints, self._origin = record.config, checkpoints, origin
        self._listeners, self._signals, self._files = list(listeners), signals, files
        self._warnings = [_warn_of_collapse, warn_of_skips]
        self._metrics: MetricsFile | None = None
        self._pending: Mapping[str, Any] | None = None
        self._state: TrainState | None = None
        self._request = self.step = self._first = 0
        self._diverged = False
        self._compiled = self._save_seconds = 0.0
        self._started = self._saved = time.perf_counter()

    def restore(self, initial: TrainState) -> TrainState:
        """The state from which to train: the newest checkpoint, the fork's origin, or the initial state."""
        notes: dict[str, Any] = {}
        state = initial
        if self._checkpoints and self._checkpoints.steps():
            state, notes = self._checkpoints.restore(initial, repair=True)
        elif self.record.fork is not None:
            state = _forked_state(self._origin, initial, self.record.fork)
        elif self.record.init_from is not None:
            state = initial._replace(params=initial_params(self._origin, initial.params, self.record.init_from))
        self._first = self.step = int(jnp.max(state.step))
        self._keep_best(Best(**notes.get("best", {})))
        if self.path and self._first == self.last_step:
            with contextlib.suppress(InputError, KeyError, TypeError, ValueError):  # no summary, or a damaged one
                stored = read_json(self.path / "summary.json")
                self.timing = {name: float(stored[name]) for name in TIMING}
        if self.path and not self.timing and is_main():
            record_start(self.path, self._first)
            file = MetricsFile(self.path / "metrics.jsonl", step=self._first, seal=notes.get("metrics"))
            self._metrics = self._files.enter_context(file)
            self._listeners.insert(0, self._metrics.write)
        if (self.record.fork or self.record.init_from) and not notes:
            self.save(state)  # from here on the other run may go on, or go
        self._started = self._saved = time.perf_counter()
        return state

    @property
    def last_step(self) -> int:
        """At which the training ends; once it has stopped early, the step that it has reached."""
        return self.step if self._has_stopped_early() else self._config.steps

    def start_clock(self) -> None:
        """Starts the clock of the images per second, once all is compiled; the first `log` does it otherwise."""
        self._compiled = self._compiled or time.perf_counter()

    def log(self, metrics: Mapping[str, Any], state: TrainState | None = None) -> None:
        """Reports the metrics of the dispatch before, and keeps these, with the state, until the next is under way."""
        self.start_clock()
        waiting, self._pending, self._state = self._pending, metrics, state
        improved = METRIC in metrics and self._validate(metrics, state)
        self._report(waiting)
        request = END if self._has_stopped_early() else SAVE if improved or self._is_due() else 0
        self._request = max_over_processes(STOP if self._signals else request)

    def should_save(self) -> bool:
        """Whether a checkpoint is due, or the training is about to stop."""
        return self._checkpoints is not None and (self._request >= SAVE or self._diverged)

    def should_stop(self) -> bool:
        """Whether a signal has come, the training has diverged, or the validation has not improved for long."""
        return self._request >= END or self._diverged

    def final_params(self, state: TrainState) -> dict[str, Params]:
        """The parameters that a finished training is judged by: the last ones or, to keep the best, those."""
        if self._config.keep == "last" or self.best.step == self.step:
            return state.params
        if self._checkpoints is None:
            return self._best_params
        return self._checkpoints.restore_params(state.params, keep="best")

    def save(self, state: TrainState) -> None:
        """Saves a state, once the metrics up to it are written."""
        self._flush()
        if self._checkpoints is None:
            return
        began = time.perf_counter()
        notes: dict[str, Any] = {"metrics": self._metrics.seal()} if self._metrics else {}
        self._checkpoints.save(state, {**notes, "best": self.best._asdict()} if self.best.step else notes)
        self._saved = time.perf_counter()
        self._save_seconds = self._saved - began

    def rescue(self) -> None:
        """Saves the newest state on the way out of a training that an exception ends."""
        if self._state is None or jax.process_count() > 1:  # the others would not come to save their share
            return
        self._listeners = [self._metrics.write] if self._metrics else []
        with contextlib.suppress(InputError):
            self.save(self._state)

    def finish(self, state: TrainState) -> None:
        """Ends the training: its last metrics, its timing, its last checkpoint.

        Raises:
          Interrupted: if a signal ended it.
          DivergenceError: after too many consecutive skipped updates; the parameters of the last update are saved.
          InputError: if it cannot be saved.
        """
        self._flush()
        self.timing = self.timing or self._measured()
        self.save(state)
        if self._checkpoints:
            self._checkpoints.finish()
        if self._request >= STOP or self._signals:
            number = self._signals[0] if self._signals else signal.SIGTERM
            resumes, lost = "the same command resumes from there", "nothing is kept, since there is no run directory"
            raise Interrupted(number, f"interrupted at step {self.step}; {resumes if self._checkpoints else lost}")
        if self._diverged:
            place = (
                "the parameters of the last update are in the run directory, though what they give may not be finite: "
                "--fork begins another run from them, and if that diverges at once, begin anew"
            )
            nowhere = "nothing was saved, since there is no run directory"
            raise divergence(self.step, self._config, place if self._checkpoints else nowhere)

    def _validate(self, metrics: Mapping[str, Any], state: TrainState | None) -> bool:
        """Takes note of a validation; returns whether it is the best so far, and its parameters are to be kept."""
        step = int(metrics["step"])
        self._keep_best(self.best.after(step, metrics[METRIC]))
        kept = self._config.keep == "best" and self.best.step == step
        if kept and self._checkpoints is None and state is not None:
            self._best_params = jax.tree.map(jnp.copy, local_copy(state.params))
        return kept

    def _keep_best(self, best: Best) -> None:
        self.best = best
        if self._checkpoints and self._config.keep == "best":
            self._checkpoints.best = best.step

    def _has_stopped_early(self) -> bool:
        return 0 < self._config.early_stopping <= self.best.since

    def _is_due(self) -> bool:
        slow = max(self._save_seconds / SAVE_COST, 1.0)
        return self._checkpoints is not None and time.perf_counter() - self._saved > SAVE_SECONDS * slow

    def _flush(self) -> None:
        waiting, self._pending = self._pending, None
        self._report(waiting)

    def _report(self, waiting: Mapping[str, Any] | None) -> None:
        """Reports the metrics that waited."""
        if waiting is None:
            return
        metrics = metrics_as_numbers(waiting, self._config.batch)
        self.step = metrics["step"]
        metrics["images_per_second"] = self._rate(self.step)
        for listener in self._listeners:
            listener(metrics)
        if is_main():  # each warns once
            self._warnings = [warn for warn in self._warnings if not warn(metrics, self._config)]
        if np.min(metrics["consecutive_skips"]) >= self._config.learning.max_skips:  # of every member of a population
            self._diverged = True

    def _rate(self, step: int) -> float:
        return (step - self._first) * self._config.batch / (time.perf_counter() - self._compiled)

    def _measured(self) -> dict[str, float]:
        now = time.perf_counter()
        compiled = self._compiled or now
        rate = self._rate(self.step) if self._compiled else 0.0
        figures = (rate, compiled - self._started, now - compiled, now - self._started)
        return dict(zip(TIMING, figures, strict=True))


@contextlib.contextmanager
def open_run(
    path: Path | None,
    record: RunRecord,
    *,
    source: str = "",
    origin: Path | None = None,
    listeners: Sequence[Listener] = (),
) -> Iterator[Run]:
    """Opens a run, in a directory that is new or of the same run; without a directory it keeps nothing.

    SIGINT and SIGTERM are held back until the running dispatch is done, and saved (`Run.should_stop`); an exception, as
    of a listener, saves the newest state on its way out.

    Args:
      path: of the run directory; None for none.
      record: of the run.
      source: of the pipeline, for the record.
      origin: the run from which this one begins.
      listeners: called after each dispatch.

    Raises:
      InputError: if the directory cannot be written, is another run's or held by another process, or the origin has
        changed.
    """
    with contextlib.ExitStack() as files:
        checkpoints, signals = None, files.enter_context(held_signals())
        if path is not None:
            main_first(lambda: check_run(path, record))  # before anything there is touched
            main_first(lambda: files.enter_context(owned(path)) if is_main() else None)
            record = main_first(lambda: write_run(path, record, source))
            checkpoints = files.enter_context(Checkpoints(path / "checkpoints", record.identity))
        run = Run(path, record, checkpoints, listeners, signals, origin, files)
        try:
            yield run
        except InputError:  # the place cannot be written
            raise
        except Exception:  # of a listener, or whatever else
            run.rescue()
            raise


def fork_point(
    path: Path | None, fork: Path | None, initial: Any, config: TrainingConfig, data: Mapping[str, Any]
) -> dict[str, Any] | None:
    """Where a fork begins: the other run, the step of its newest checkpoint, and its identity.

    A run that is in `path` already has recorded the last two. Raises `InputError` if the other run has no whole
    checkpoint of the same arrays, is as long as the new one, or was trained on other data of the same name.
    """
    if fork is None:
        return None
    if path is not None and any_process(is_run(path)):
        return {"run": str(fork)}
    origin = read_single_run(fork)
    if origin.config.data == config.data:
        check_data(fork, origin.data, data)
    step = int(_newest_state(fork, origin, initial).step)
    if step >= config.steps:
        images = step * config.batch
        raise InputError(f"images must be more than those the fork begins after, {images}; got {config.images}")
    return {"run": str(fork), "step": step, "identity": origin.identity}


def _forked_state(fork: Path | None, initial: TrainState, point: Mapping[str, Any]) -> TrainState:
    """The state with which a fork begins: another run's, under the new seed, its skipped steps forgotten."""
    if fork is None:
        raise InputError(f"a fork without a checkpoint must be given its origin again: --fork {point['run']}")
    origin = read_single_run(fork)
    if origin.identity != point["identity"]:
        raise InputError(f"a fork must begin from the run it began from; the configuration of {fork} is another now")
    state = _newest_state(fork, origin, initial, point["step"])
    return state._replace(key=initial.key, skipped=initial.skipped, consecutive_skips=initial.consecutive_skips)


def _newest_state(run: Path, record: RunRecord, like: TrainState, step: int | None = None) -> TrainState:
    with Checkpoints(run / "checkpoints", record.identity) as checkpoints:
        return checkpoints.restore(like, step=step)[0]


def metrics_as_numbers(metrics: Mapping[str, Any], batch: int) -> dict[str, Any]:
    """The metrics of a dispatch as JSON types, after its last ``step`` and the ``images`` shown by then."""
    values = {name: np.asarray(value).tolist() for name, value in metrics.items()}
    step = int(np.max(values.pop("step")))
    return {"step": step, "images": step * batch, **values}


def _warn_of_collapse(metrics: Mapping[str, Any], config: TrainingConfig) -> bool:
    """Warns, in the second half of a training and before its end, when most late modes return or hug the border.

    In the first half they may: the entropy bonus draws them to the centre, while the fixations stray widely about them.
    An eye that is paid for each glimpse alone returns to where there is most to see.
    """
    if not config.steps / 2 <= metrics["step"] < config.steps:
        return False
    signs = {"refixation": "return to an earlier one", "border": "lie on the border"}
    if config.pipeline.glimpse_reward:
        del signs["refixation"]
    reports: dict[str, list[str]] = {}
    for name, value in metrics.items():
        agent, _, sign = name.rpartition("/")
        if agent and sign in signs and np.min(value) > ALARM_SHARE:
            reports.setdefault(agent, []).append(f"{float(np.min(value)):.0%} {signs[sign]}")
    for agent, shares in reports.items():
        late = f"of its late fixations {' and '.join(shares)}"
        message = f"at step {metrics['step']:.0f} {agent} shows signs of collapse: {late}; foveax diagnose reports more"
        warnings.warn(message, CollapseWarning, stacklevel=2)
    return bool(reports)
