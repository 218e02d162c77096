"""Checkpoints of the training state, with orbax, each with the digests that prove it whole."""

import contextlib
import errno
import os
import re
import shutil
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, Self

import jax
import jax.numpy as jnp

from foveax._types import InputError, Params
from foveax.runtime.digests import check_files, check_fits, leaf_digests, write_file_digests
from foveax.runtime.files import DamageWarning
from foveax.runtime.machine import check_memory
from foveax.runtime.noise import drop_noise
from foveax.runtime.processes import is_main, lost_another, max_over_processes
from foveax.training.learner import TrainState

RETAINED = 2
"""Number of newest checkpoints to retain; older ones are deleted once a newer one is whole."""
REASONS = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES, errno.EPERM, errno.EIO)
"""System errors by which a directory that was writable no longer is."""


class Checkpoints:
    """The checkpoints of one run, by step, which orbax writes in the background; finishes writing when left.

    Args:
      directory: of the checkpoints; it is made by the first that is saved.
      run: the identity of the run (`RunRecord.identity`): another's checkpoints count as damaged.

    Attributes:
      best: a step whose checkpoint is retained however many come after it.
    """

    def __init__(self, directory: Path, run: str):
        import orbax.checkpoint as ocp  # slow to import

        self._directory, self._run = directory.absolute(), run
        self._made = False
        self._newest = 0
        self.best: int | None = None
        drop_noise()
        self._args = ocp.args
        self._describe = ocp.StandardCheckpointHandler().metadata
        options = ocp.options.AsyncOptions(post_finalization_callback=self._list_files)
        self._writer = ocp.AsyncCheckpointer(ocp.CompositeCheckpointHandler(), async_options=options)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
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
        """Writes a state, with notes of JSON types, unless its step has a checkpoint.

        Returns once the state has left the device, and may be donated.

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
            parts, args = _parts(state), self._args
            record = {"run": self._run, "step": step, "leaves": leaf_digests(parts), "notes": dict(notes or {})}
            items = {name: args.StandardSave(part) for name, part in parts.items()}
            self._newest = step
            self._writer.save(self._directory / str(step), args=args.Composite(**items, record=args.JsonSave(record)))

    def finish(self) -> None:
        """Waits for what is being written, then deletes what is older than the newest that are kept.

        Raises `InputError` if it could not be written.
        """
        with self._writing():
            self._writer.wait_until_finished()
            for step in self.steps()[:-RETAINED] if self._made and is_main() else ():
                if step != self.best:
                    shutil.rmtree(self._directory / str(step))

    def restore(
        self, like: TrainState, *, step: int | None = None, repair: bool = False
    ) -> tuple[TrainState, dict[str, Any]]:
        """The newest state that is whole, with its notes; one that is damaged is named in a warning.

        Args:
          like: a state, or the shapes of one (`jax.eval_shape`), of the same graph and learner. Arrays are restored
            with its sharding, whatever wrote them; those of shapes alone, on this process's first device.
          step: of the only one that will do; None takes any.
          repair: whether to put damaged ones aside, so that their steps can be saved again.

        Raises:
          InputError: if there is no checkpoint, none is whole, or the newest one is that of another model.
        """
        parts, notes = self._restore(_parts(like), step, repair)
        return _joined(parts), notes

    def restore_params(
        self, like: dict[str, Params] | None, *, keep: Literal["last", "best"] = "last"
    ) -> dict[str, Params]:
        """The newest parameters that are whole, by module, without the rest of the state; otherwise as `restore`.

        Or those of the best validation until then, which the notes name. None is like whatever is there.
        """
        wanted = {"params": like}
        parts, notes = self._restore(wanted, None, repair=False)
        if keep == "best" and "best" in notes:
            parts, _ = self._restore(wanted, notes["best"]["step"], repair=False)
        return parts["params"]

    def _restore(self, like: dict[str, Any], step: int | None, repair: bool) -> tuple[dict[str, Any], dict[str, Any]]:
        damaged: dict[int, str] = {}
        for number in [number for number in reversed(self.steps()) if step in (None, number)]:
            try:
                restored = self._read(number, like)
            except _DamagedError as error:
                damaged[number] = str(error)
                continue
            max_over_processes(0)  # all processes have read the same one before any is put aside
            self._report_damaged(damaged, number, repair)
            return restored
        if not damaged:
            at = "" if step is None else f" of step {step}"
            raise InputError(f"there must be a checkpoint{at} in {self._directory}; there is none")
        listed = "; ".join(f"{bad}: {reason}" for bad, reason in damaged.items())
        raise InputError(f"a checkpoint in {self._directory} must be whole; none is: {listed}")

    def _report_damaged(self, damaged: Mapping[int, str], used: int, repair: bool) -> None:
        for bad, reason in damaged.items():
            place = self._directory / str(bad)
            message = f"checkpoint {place} is damaged ({reason}); that of step {used} is used instead"
            warnings.warn(message, DamageWarning, stacklevel=3)
            if repair and is_main():
                shutil.rmtree(place.with_suffix(".damaged"), ignore_errors=True)
                place.rename(place.with_suffix(".damaged"))

    def _read(self, step: int, like: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
        """Some parts of a state and its notes, once all that they hold has been compared with the digests."""
        folder, args = self._directory / str(step), self._args
        with _reading():
            check_files(folder)
            record = self._writer.restore(folder, args=args.Composite(record=args.JsonRestore())).record
            leaves = {name: leaf for name, leaf in record["leaves"].items() if name.split("'")[1] in like}
            notes = dict(record["notes"])
            int(notes.get("best", {"step": 0})["step"])  # is a step
            if (record["run"], record["step"]) != (self._run, step):
                raise InputError("it is another run's, or another step's")
        like = {name: self._described(folder / name) if part is None else part for name, part in like.items()}
        check_fits(folder, leaves, like)
        with _reading():
            restores = {name: args.StandardRestore(jax.tree.map(_placed, part)) for name, part in like.items()}
            restored = self._writer.restore(folder, args=args.Composite(**restores))
            parts = {name: restored[name] for name in like}
            digests = leaf_digests(parts)
            for name in leaves:
                if digests.get(name) != leaves[name]:
                    raise InputError(f"{name} is not as it was written")
        return parts, notes

    def _described(self, folder: Path) -> Any:
        """The shapes of a part of a checkpoint, from its own description; refused if they do not fit into memory."""
        with _reading():
            tree: Any = self._describe(folder).tree  # pyright: ignore[reportArgumentType] - a path is one for orbax
            shapes = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype), tree)
        check_memory(f"checkpoint {folder}", sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(shapes)))
        return shapes

    def _list_files(self) -> None:
        """Is called in the background, by one process, before a checkpoint gets its name."""
        (folder,) = self._directory.glob(f"{self._newest}.orbax-checkpoint-tmp*")
        write_file_digests(folder)

    def _make_directory(self) -> None:
        if self._made and not self._directory.is_dir():
            raise FileNotFoundError
        if not self._made and is_main():
            self._directory.mkdir(exist_ok=True)
            for left in self._directory.glob("*.orbax-checkpoint-tmp*"):  # by a process that was killed
                shutil.rmtree(left)
        self._made = True

    @contextlib.contextmanager
    def _writing(self) -> Iterator[None]:
        """Explains in one sentence why a checkpoint could not be written, and what remains."""
        try:
            yield
        except Exception as error:
            if lost_another(error):
                raise  # the place is not at fault
            whole = ", ".join(map(str, self.steps())) or "none"
            gone = self._made and not self._directory.is_dir()
            reason = "it was removed during the training" if gone else _first_line(error)
            message = f"checkpoints must be writable; {self._directory} is not: {reason}; steps {whole} are whole"
            raise InputError(message) from error


class _DamagedError(Exception):
    """A checkpoint that is not as it was written; the message says what is wrong."""


@contextlib.contextmanager
def _reading() -> Iterator[None]:
    """Turns what the digests refuse, and whatever orbax raises for a damaged file, into damage."""
    try:
        yield
    except Exception as error:
        raise _DamagedError(_first_line(error)) from error


def _first_line(error: Exception) -> str:
    """The reason that the system gives, wherever it stands in what orbax says, else the first line of that."""
    message = getattr(error, "strerror", None) or str(error)
    for reason in map(os.strerror, REASONS):
        if reason in message:
            return reason
    return next((line for line in message.splitlines() if line.strip()), type(error).__name__)[:200]


def _placed(leaf: Any) -> jax.ShapeDtypeStruct:
    """Shape, dtype and sharding of a leaf to restore; a shape alone goes to the first device."""
    sharding = getattr(leaf, "sharding", None) or jax.sharding.SingleDeviceSharding(jax.local_devices()[0])
    return jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding)


def _parts(state: TrainState) -> dict[str, Any]:
    """A state, or the shapes of one, as it is written: the parameters apart, the key as its data."""
    abstract = isinstance(state.key, jax.ShapeDtypeStruct)
    key = jax.eval_shape(jax.random.key_data, state.key) if abstract else jax.random.key_data(state.key)
    rest = state._replace(key=key)._asdict()
    return {"params": rest.pop("params"), "state": rest}


def _joined(parts: Mapping[str, Any]) -> TrainState:
    rest = parts["state"]
    return TrainState(params=parts["params"], **{**rest, "key": jax.random.wrap_key_data(rest["key"])})
