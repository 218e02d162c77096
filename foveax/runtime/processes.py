"""Several processes that train together, on JAX's own distributed runtime."""

import contextlib
import os
import re
import sys
import traceback
import zlib
from collections.abc import Callable, Iterator
from typing import TypeVar

import jax
import numpy as np

from foveax._types import InputError

LAST_PORT = 65_535
MOST_PROCESSES = 1_000_000
HEARTBEAT_SECONDS = 10
"""A process that is silent for this long is taken for dead, and ends the others."""

Result = TypeVar("Result")


def start_processes(coordinator: str = "", num_processes: int = 0, process_id: int = -1) -> None:
    """Joins the other processes of a training; nothing is done where there are none.

    It comes before anything else that touches a device. Under SLURM (``srun``) and Open MPI (``mpirun``) JAX itself
    finds all three arguments, and gives each process of a node its own GPU.

    Args:
      coordinator: ``HOST:PORT`` of process 0, as the others reach it.
      num_processes: of all machines.
      process_id: of this one, from 0.

    Raises:
      InputError: if only some are given, or they do not fit each other.
    """
    host, _, port = coordinator.rpartition(":")
    if coordinator or num_processes or process_id != -1:
        if not (host and port.isdecimal() and int(port) <= LAST_PORT):
            raise InputError(f"coordinator must be HOST:PORT where several processes train; got {coordinator!r}")
        if num_processes < 1:
            raise InputError(f"num_processes must be at least 1 with a coordinator; got {num_processes}")
        if num_processes > MOST_PROCESSES:
            raise InputError(f"num_processes must be at most {MOST_PROCESSES}; got {num_processes}")
        if not 0 <= process_id < num_processes:
            raise InputError(
                f"process_id must be at least 0 and less than num_processes, {num_processes}; got {process_id}"
            )
    elif not _launched():
        return
    jax.distributed.initialize(
        coordinator or None,
        num_processes or None,
        process_id if num_processes else None,
        heartbeat_timeout_seconds=HEARTBEAT_SECONDS,
    )


def _launched() -> bool:
    """Whether a launcher that JAX knows started several tasks; a shell within an allocation is not one of them."""
    step = "SLURM_STEP_NODELIST" in os.environ or "OMPI_COMM_WORLD_SIZE" in os.environ
    return step and any(int(os.environ.get(tasks, 1)) > 1 for tasks in ("SLURM_NTASKS", "OMPI_COMM_WORLD_SIZE"))


def is_main() -> bool:
    """Whether this is process 0, which alone writes metrics, summary and figures, and prints."""
    return jax.process_index() == 0


def max_over_processes(value: int) -> int:
    """The largest number of any process; all call it, in the same order.

    Decisions that depend on a clock or a signal are made this way: a checkpoint that only some processes begin would
    never end.
    """
    return max(_everywhere(value))


def any_process(flag: bool) -> bool:
    """Whether a flag is raised in any process; all call it, in the same order."""
    return bool(max_over_processes(flag))


def main_first(act: Callable[[], Result]) -> Result:
    """The result of an action, done by process 0 and then by the others, which find what it wrote.

    Raises `InputError` in all processes, if the action is refused in any.
    """
    results, refusal = [], None
    for turn in (True, False):
        if is_main() == turn:
            try:
                results.append(act())
            except InputError as error:
                refusal = error
        if any_process(refusal is not None):
            raise refusal or InputError("input must be accepted by every process; another refused it, and says why")
    return results[0]


def check_alike(name: str, value: str) -> None:
    """Refuses, with an `InputError` in all processes, what is not the same in every process."""
    different = len(set(_everywhere(zlib.crc32(value.encode()))))
    if different > 1:
        raise InputError(f"{name} must be the same in every process; got {different} that differ")


def _everywhere(value: int) -> list[int]:
    """A number of each process."""
    if jax.process_count() == 1:
        return [value]
    from jax.experimental import multihost_utils

    return multihost_utils.process_allgather(np.asarray(value, np.uint32)).tolist()


@contextlib.contextmanager
def leaving_at_once() -> Iterator[None]:
    """Ends this process at once, with one message, where it fails among several.

    An orderly exit would wait for the others, who wait in a sum for this one. When it is gone theirs fails, and they
    end as well.
    """
    try:
        yield
    except BaseException as error:
        if not jax.distributed.is_initialized():
            raise
        if lost_another(error):
            reason = str(error).partition("\n")[0]
            print(
                f"foveax: process {jax.process_index()} of {jax.process_count()} lost another process and ends: "
                f"{reason}; the same command, given to all processes, continues from the last checkpoint",
                file=sys.stderr,
            )
        elif not isinstance(error, SystemExit):
            traceback.print_exception(error)
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(error.code if isinstance(error, SystemExit) and isinstance(error.code, int) else 1)


def lost_another(error: BaseException) -> bool:
    """Whether what was raised among several processes says that one cannot be reached; JAX gives it several types.

    Orbax raises its own, from JAX's, where it waited for the other in a save.
    """
    of_jax = isinstance(error, jax.errors.JaxRuntimeError) or isinstance(error.__cause__, jax.errors.JaxRuntimeError)
    return jax.process_count() > 1 and (of_jax or re.match(r"[A-Z_]+: ", str(error)) is not None)
