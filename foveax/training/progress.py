"""A training under way: what is told of it, when it is saved, and what ends it early."""

import contextlib
import signal
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, NamedTuple

import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from foveax._types import Metrics
from foveax.data.dataset import Data
from foveax.training.checkpoint import Checkpoints
from foveax.training.config import Config
from foveax.training.diagnosis import COLLAPSE_SHARE
from foveax.training.divergence import divergence, has_diverged, warn_of_skips
from foveax.training.fit import fit
from foveax.training.learner import Learner, TrainState
from foveax.training.metrics_file import MetricsFile
from foveax.training.processes import leads, most_urgent
from foveax.training.signals import Interrupted, held_signals

SAVE_SECONDS = 30.0
SAVE, END = 1, 2
"""What a process may wish after a dispatch; the most urgent wish of any is followed by all."""
SAVE_COST = 0.3
"""Seconds that a training may wait for a checkpoint: those that take longer are made less often, in proportion."""
TIMING = ("images_per_second", "compile_seconds", "train_seconds", "wall_seconds")
"""Of the training itself; a run that is already finished keeps those it had."""

Listener = Callable[[dict[str, Any]], None]
"""Called after each dispatch with the metrics as numbers: ``step``, ``images``, ``images_per_second``, and the rest; of
a population, the rest are lists with one for each member."""


class CollapseWarning(UserWarning):
    """The eye settles on one spot, or on the border, while it trains."""


class Kept(NamedTuple):
    """Where a training is kept: its checkpoints and, in process 0, its metrics file."""

    checkpoints: Checkpoints
    metrics: MetricsFile | None

    def save(self, state: TrainState) -> None:
        """Saves a state whose metrics have been written."""
        self.checkpoints.save(state, {"metrics": self.metrics.seal()} if self.metrics else {})


def optimise(
    config: Config,
    data: Data,
    learner: Learner,
    state: TrainState,
    *,
    listeners: Sequence[Listener | None] = (),
    kept: Kept | None = None,
    mesh: Mesh | None = None,
) -> tuple[TrainState, dict[str, float]]:
    """Trains from a state to the end: a dispatch is under way before the metrics of the one before it are read.

    Args:
      config: of the training.
      data: prepared.
      learner: of the configuration.
      state: where to begin, or the states of a population; it is donated.
      listeners: told the metrics after each dispatch.
      kept: where it is kept; None keeps nothing, and leaves signals as they are.
      mesh: as in `fit`.

    Returns:
      the state at the end, and the timing.

    Raises:
      Interrupted: on SIGINT or SIGTERM, once the running dispatch is done and saved.
      DivergenceError: after too many skipped updates in a row; the last good parameters are saved.
      InputError: if it cannot be kept.
    """
    with held_signals() if kept else contextlib.nullcontext([]) as came:
        tell = _Telling(config, state, listeners, kept)
        state, timing, ends = _run(config, data, learner, state, tell, kept, came, mesh)
    if ends == "interrupted" or came:
        said = f"interrupted at step {_step(state)}; the same command continues from there"
        raise Interrupted(came[0] if came else signal.SIGTERM, said)
    if ends == "diverged":
        place = "the last good parameters are in the run directory, from which --fork begins another run"
        raise divergence(_step(state), config, place if kept else "nothing was kept, since there is no run directory")
    return state, timing


def _run(
    config: Config,
    data: Data,
    learner: Learner,
    state: TrainState,
    tell: "_Telling",
    kept: Kept | None,
    came: list[int],
    mesh: Mesh | None,
) -> tuple[TrainState, dict[str, float], Literal["done", "interrupted", "diverged"]]:
    """The loop: the state at its end, the timing, and why it ends."""
    waiting, interrupted, diverged, saving = None, False, False, _Saving(kept)
    dispatches = fit(
        learner,
        data,
        state,
        steps=config.steps,
        batch=config.batch,
        dispatch=config.dispatch,
        resident_bytes=config.resident_megabytes * 2**20,
        mesh=mesh,
    )
    for state, metrics in dispatches:
        tell.begin()
        diverged = waiting is not None and tell(waiting)
        waiting = metrics
        wish = most_urgent(END if came else SAVE if saving.is_due() else 0)
        if not (wish or diverged):
            continue
        diverged, waiting = tell(waiting), None  # so that the metrics are there up to the state that is saved
        interrupted = wish == END
        if interrupted or diverged:
            break
        saving.save(state)
    if waiting is not None:
        diverged = tell(waiting)
    timing = tell.timing(_step(state))
    saving.save(state)
    if kept:
        kept.checkpoints.finish()
    return state, timing, "interrupted" if interrupted else "diverged" if diverged else "done"


class _Saving:
    """Says when a state is to be saved, and saves it.

    A class, since when depends on how long the last one took.
    """

    def __init__(self, kept: Kept | None):
        self._kept, self._last, self._seconds = kept, time.perf_counter(), 0.0

    def is_due(self) -> bool:
        rare = max(self._seconds / SAVE_COST, 1.0)
        return self._kept is not None and time.perf_counter() - self._last > SAVE_SECONDS * rare

    def save(self, state: TrainState) -> None:
        if self._kept is None:
            return
        began = time.perf_counter()
        self._kept.save(state)
        self._last = time.perf_counter()
        self._seconds = self._last - began


class _Telling:
    """Tells listeners the metrics as numbers, and the user what is wrong with them.

    A class, since rates are counted from where the training began, and each warning is given once.
    """

    def __init__(self, config: Config, state: TrainState, listeners: Sequence[Listener | None], kept: Kept | None):
        self._config, self._first = config, _step(state)
        write = kept.metrics.write if kept and kept.metrics else None
        self._listeners = [listener for listener in (write, *listeners) if listener]
        self._started, self._compiled = time.perf_counter(), 0.0
        self._collapse_said = self._skips_said = False

    def begin(self) -> None:
        """Starts the clock: the program is compiled."""
        self._compiled = self._compiled or time.perf_counter()

    def __call__(self, metrics: Metrics) -> bool:
        """Tells the metrics of a dispatch, and returns whether the training has diverged."""
        numbers = metrics_as_numbers(metrics, self._config.batch)
        numbers["images_per_second"] = self._rate(numbers["step"])
        for listener in self._listeners:
            listener(numbers)
        if leads():
            self._collapse_said = self._collapse_said or _warn_of_collapse(numbers, self._config)
            self._skips_said = self._skips_said or warn_of_skips(numbers, self._config)
        return has_diverged(numbers, self._config)

    def timing(self, step: int) -> dict[str, float]:
        """Of the training up to a step."""
        now = time.perf_counter()
        compiled = self._compiled or now
        figures = (self._rate(step), compiled - self._started, now - compiled, now - self._started)
        return dict(zip(TIMING, figures, strict=True))

    def _rate(self, step: int) -> float:
        return (step - self._first) * self._config.batch / (time.perf_counter() - self._compiled)


def metrics_as_numbers(metrics: Metrics, batch: int) -> dict[str, Any]:
    """The metrics of a dispatch as JSON types, after its last ``step`` and the ``images`` shown by then."""
    values = {name: np.asarray(value).tolist() for name, value in metrics.items()}
    step = int(np.max(values.pop("step")))
    return {"step": step, "images": step * batch, **values}


def _step(state: TrainState) -> int:
    return int(jnp.max(state.step))


def _warn_of_collapse(metrics: Mapping[str, Any], config: Config) -> bool:
    """Warns, in the second half of a training and before its end, when most late aims return or hug the border.

    In the first half they may: the entropy bonus draws them to the centre, while the fixations stray widely about them.
    """
    signs = {"return to an earlier one": "saccader/refixation", "lie on the border": "saccader/border"}
    shares = {said: float(np.min(metrics.get(sign, 0.0))) for said, sign in signs.items()}
    found = {said: share for said, share in shares.items() if share > COLLAPSE_SHARE}
    if not found or not config.steps / 2 <= metrics["step"] < config.steps:
        return False
    shares = " and ".join(f"{share:.0%} {said}" for said, share in found.items())
    warnings.warn(
        f"at step {metrics['step']:.0f} the eye shows signs of collapse: of its late fixations {shares}; "
        "foveax diagnose tells more",
        CollapseWarning,
        stacklevel=2,
    )
    return True
