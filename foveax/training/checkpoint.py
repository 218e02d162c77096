"""Checkpoints of the training state, with orbax."""

from pathlib import Path
from types import TracebackType
from typing import Any, Self

import jax

from foveax._types import InputError
from foveax.training.learner import TrainState

KEPT = 2
"""The newest checkpoints are kept; older ones are deleted once a newer one is whole."""


class Checkpoints:
    """The checkpoints of one run, by step; closes, and so finishes writing, when left as a context.

    A class, since orbax writes in the background and what was begun must be ended.
    """

    def __init__(self, directory: Path):
        import orbax.checkpoint as ocp  # slow to import

        options = ocp.CheckpointManagerOptions(max_to_keep=KEPT, create=True)
        self._manager = ocp.CheckpointManager(directory.absolute(), options=options)
        self._save, self._restore = ocp.args.StandardSave, ocp.args.StandardRestore

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None or jax.process_count() == 1:  # closing waits for the others, whom the error may have ended
            self._manager.close()

    def latest_step(self) -> int | None:
        """The step of the newest checkpoint."""
        return self._manager.latest_step()

    def save(self, state: TrainState) -> None:
        """Writes a state; returns once it has left the device, and may be donated."""
        if int(state.step) != self.latest_step():
            self._manager.save(int(state.step), args=self._save(_without_key_type(state)))

    def restore(self, like: TrainState) -> TrainState:
        """The newest state.

        Args:
          like: a state, or the shapes of one (`jax.eval_shape`), of the same graph and learner; what is restored lies
        where it does, on however many devices it was written, or on this process's first device.

        Raises:
          InputError: if there is no checkpoint.
        """
        step = self.latest_step()
        if step is None:
            raise InputError(f"there must be a checkpoint in {self._manager.directory}; it holds none")
        place = like.step.sharding or jax.sharding.SingleDeviceSharding(jax.local_devices()[0])
        specs = jax.tree.map(
            lambda spec: jax.ShapeDtypeStruct(spec.shape, spec.dtype, sharding=place),
            jax.eval_shape(_without_key_type, like),
        )
        stored = self._manager.restore(step, args=self._restore(specs))
        return TrainState(**{**stored, "key": jax.random.wrap_key_data(stored["key"])})


def _without_key_type(state: TrainState) -> dict[str, Any]:
    """A state as orbax takes it: the key as its data."""
    return {**state._asdict(), "key": jax.random.key_data(state.key)}
