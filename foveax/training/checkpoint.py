"""Checkpoints of the training state, with orbax, each beside the digests by which it is known to be whole."""

import contextlib
import errno
import os
import re
import shutil
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import jax
import jax.numpy as jnp

from foveax._types import InputError
from foveax.training.digests import check_files, check_fits, leaf_digests, write_file_digests
from foveax.training.learner import TrainState
from foveax.training.noise import drop_noise
from foveax.training.processes import leads, lost_another, most_urgent

KEPT = 2
"""The newest checkpoints are kept; older ones are deleted once a newer one is whole."""
REASONS = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES, errno.EPERM, errno.EIO)
"""Why a place that could be written no longer can."""
COUNTERS = ("skipped", "skipped_in_a_row")
"""Of the state; those of format 1, without digests, lack them."""


class DamageWarning(UserWarning):
    """A file of a run is not as it was written."""


class Checkpoints:
    """The checkpoints of one run, by step; closes, and so finishes writing, when left as a context.

    A class, since orbax writes in the background and what was begun must be ended.

    Args:
      directory: of the checkpoints; it is made by the first that is saved.
      run: the identity of the run (`Stored.identity`): another's checkpoints count as damaged.
    """

    def __init__(self, directory: Path, run: str):
        import orbax.checkpoint as ocp  # slow to import

        self._directory, self._run, self._made = directory.absolute(), run, False
        self._newest = 0
        drop_noise()
        self._orbax = ocp
        options = ocp.options.AsyncOptions(post_finalization_callback=self._list_files)
        self._writer = ocp.AsyncCheckpointer(ocp.CompositeCheckpointHandler(), async_options=options)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None or jax.process_count() == 1:  # else those to wait for may have been ended by the error
            with contextlib.suppress(InputError) if error else contextlib.nullcontext():
                self.finish()
            self._writer.close()

    def steps(self) -> list[int]:
        """The steps of the checkpoints that are there, whole or damaged."""
        if not self._directory.is_dir():
            return []
        return sorted(int(path.name) for path in self._directory.iterdir() if re.fullmatch(r"\d{1,18}", path.name))

    def save(self, state: TrainState, notes: Mapping[str, Any] | None = None) -> None:
        """Writes a state; returns once it has left the device, and may be donated.

        Args:
          state: at a step that has no checkpoint yet; one that has is left as it is.
          notes: JSON types that are kept, and given back, with it.

        Raises:
          InputError: if this one or the one before it, which is written in the background, cannot be written. Those
            that were whole remain.
        """
        step = int(jnp.max(state.step))
        self.finish()
        if step in self.steps():
            return
        with self._writing():
            self._make_directory()
            leaves = _without_key_type(state)
            record = {"run": self._run, "step": step, "leaves": leaf_digests(leaves), "notes": dict(notes or {})}
            items = {"state": self._orbax.args.StandardSave(leaves), "record": self._orbax.args.JsonSave(record)}
            self._newest = step
            self._writer.save(self._directory / str(step), args=self._orbax.args.Composite(**items))

    def finish(self) -> None:
        """Waits for what is being written, then deletes what is older than the newest that are kept.

        Raises:
          InputError: if it could not be written.
        """
        with self._writing():
            self._writer.wait_until_finished()
            for step in self.steps()[:-KEPT] if self._made and leads() else ():
                shutil.rmtree(self._directory / str(step))

    def restore(
        self, like: TrainState, *, step: int | None = None, repair: bool = False
    ) -> tuple[TrainState, dict[str, Any]]:
        """The newest state that is whole, with its notes; one that is damaged is named in a warning.

        Args:
          like: a state, or the shapes of one (`jax.eval_shape`), of the same graph and learner. What is restored lies
            where it does, on however many devices it was written; of shapes alone, on this process's first device.
          step: of the only one that will do; None takes any.
          repair: whether to put damaged ones aside, so that their steps can be saved again.

        Raises:
          InputError: if there is no checkpoint, none is whole, or the newest one is that of another model.
        """
        damaged: dict[int, str] = {}
        for number in reversed([number for number in self.steps() if step in (None, number)]):
            try:
                found = self._read(number, like)
            except _DamagedError as error:
                damaged[number] = str(error)
                continue
            most_urgent(0)  # all processes have found the same before any is put aside
            self._name_damaged(damaged, number, repair)
            return found
        if not damaged:
            at = "" if step is None else f" of step {step}"
            raise InputError(f"there must be a checkpoint{at} in {self._directory}; there is none")
        listed = "; ".join(f"{bad}: {reason}" for bad, reason in damaged.items())
        raise InputError(f"a checkpoint in {self._directory} must be whole; none is: {listed}")

    def _name_damaged(self, damaged: Mapping[int, str], used: int, repair: bool) -> None:
        for bad, reason in damaged.items():
            place = self._directory / str(bad)
            said = f"checkpoint {place} is damaged ({reason}); that of step {used} is used instead"
            warnings.warn(said, DamageWarning, stacklevel=3)
            if repair and leads():
                shutil.rmtree(place.with_suffix(".damaged"), ignore_errors=True)
                place.rename(place.with_suffix(".damaged"))

    def _read(self, step: int, like: TrainState) -> tuple[TrainState, dict[str, Any]]:
        """One state and its notes, once all that it holds has been compared with its digests."""
        folder, args = self._directory / str(step), self._orbax.args
        if (folder / "default").is_dir():
            return self._read_format_1(folder, like), {}
        wanted, wrong = _without_key_type(like), check_files(folder)
        if wrong:
            raise _DamagedError(wrong)
        with _reading():
            record = self._writer.restore(folder, args=args.Composite(record=args.JsonRestore())).record
            leaves, theirs = dict(record["leaves"]), (record["run"], record["step"])
            notes = dict(record["notes"])
        if theirs != (self._run, step):
            raise _DamagedError("it is another run's, or another step's")
        check_fits(folder, leaves, wanted)
        with _reading():
            restore = args.StandardRestore(jax.tree.map(_placed, wanted))
            stored = self._writer.restore(folder, args=args.Composite(state=restore)).state
            found = leaf_digests(stored)
        bad = [name for name in leaves if found.get(name) != leaves[name]]
        if bad:
            raise _DamagedError(f"{bad[0]} is not as it was written")
        return _with_key_type(stored), notes

    def _read_format_1(self, folder: Path, like: TrainState) -> TrainState:
        """A state from before there were digests and counters."""
        wanted = {name: value for name, value in _without_key_type(like).items() if name not in COUNTERS}
        args = self._orbax.args
        with _reading():
            restore = args.StandardRestore(jax.tree.map(_placed, wanted))
            stored = self._writer.restore(folder, args=args.Composite(default=restore)).default
        warnings.warn(f"checkpoint {folder} has no digests to check it by", DamageWarning, stacklevel=4)
        return _with_key_type({**stored, **{name: jnp.zeros((), jnp.int32) for name in COUNTERS}})

    def _list_files(self) -> None:
        """Is called in the background, by one process, before a checkpoint gets its name."""
        (folder,) = self._directory.glob(f"{self._newest}.orbax-checkpoint-tmp*")
        write_file_digests(folder)

    def _make_directory(self) -> None:
        if self._made and not self._directory.is_dir():
            raise FileNotFoundError("it was removed during the training")
        if not self._made and leads():
            self._directory.mkdir(exist_ok=True)
            for left in self._directory.glob("*.orbax-checkpoint-tmp*"):  # by a process that was killed
                shutil.rmtree(left)
        self._made = True

    @contextlib.contextmanager
    def _writing(self) -> Iterator[None]:
        """Says in one sentence why a checkpoint could not be written, and what remains."""
        try:
            yield
        except Exception as error:
            if lost_another(error):
                raise  # the place is not at fault
            kept, gone = ", ".join(map(str, self.steps())) or "none", self._made and not self._directory.is_dir()
            reason = "it was removed during the training" if gone else _first_line(error)
            raise InputError(
                f"checkpoints must be writable; {self._directory} is not: {reason}; whole are those of the steps {kept}"
            ) from error


class _DamagedError(Exception):
    """A checkpoint that is not as it was written; the message says what is wrong."""


@contextlib.contextmanager
def _reading() -> Iterator[None]:
    """What orbax raises for a damaged file, which may be anything, as damage."""
    try:
        yield
    except Exception as error:
        raise _DamagedError(_first_line(error)) from error


def _first_line(error: Exception) -> str:
    """The reason that the system gives, wherever it stands in what orbax says, else the first line of that."""
    said = getattr(error, "strerror", None) or str(error)
    for reason in map(os.strerror, REASONS):
        if reason in said:
            return reason
    return next((line for line in said.splitlines() if line.strip()), type(error).__name__)[:200]


def _placed(leaf: Any) -> jax.ShapeDtypeStruct:
    """Where and as what to restore a leaf: as the one given lies or, if it is a shape alone, on the first device."""
    sharding = getattr(leaf, "sharding", None) or jax.sharding.SingleDeviceSharding(jax.local_devices()[0])
    return jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding)


def _without_key_type(state: TrainState) -> dict[str, Any]:
    """A state, or the shapes of one, as orbax takes it: the key as its data."""
    if isinstance(state.key, jax.ShapeDtypeStruct):
        return {**state._asdict(), "key": jax.eval_shape(jax.random.key_data, state.key)}
    return {**state._asdict(), "key": jax.random.key_data(state.key)}


def _with_key_type(stored: Mapping[str, Any]) -> TrainState:
    return TrainState(**{**stored, "key": jax.random.wrap_key_data(stored["key"])})
