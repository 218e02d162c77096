"""Listeners that hand a training's metrics on, to TensorBoard or to Weights & Biases."""

import contextlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from foveax._types import InputError
from foveax.runs.config import TrainingConfig
from foveax.runs.run import Listener
from foveax.runtime.machine import import_extra
from foveax.runtime.processes import is_main

LIBRARIES = {"tensorboard": ("tensorboardX", "tb"), "wandb": ("wandb", "wandb")}
"""By what is logged to: the library that does it, and the extra of foveax that installs it."""

Write = Callable[[Mapping[str, Any]], None]


@contextlib.contextmanager
def logger(kind: str, config: TrainingConfig, out: str | Path | None = None) -> Iterator[Listener]:
    """A listener for `foveax.train`, by the number of images shown; it begins with the first metrics.

    Args:
      kind: ``"tensorboard"``, whose files lie in ``tensorboard`` in the run directory, or ``"wandb"``, a run of the
        project foveax, wherever the library's own settings say.
      config: of the training.
      out: the run directory.

    Raises:
      InputError: if the library is not installed, or TensorBoard is to log without a run directory.

    Example:
      >>> import foveax as fx, tempfile
      >>> from foveax.runs.loggers import logger
      >>> config = fx.TrainingConfig(images=64, pipeline=fx.PipelineConfig(hidden=8, features=8))
      >>> with tempfile.TemporaryDirectory() as out, logger("tensorboard", config, f"{out}/run") as log:
      ...     result = fx.train(config, out=f"{out}/run", evaluate=False, listeners=[log])
    """
    if kind not in LIBRARIES:
        raise InputError(f"a logger must be one of {', '.join(LIBRARIES)}; got {kind!r}")
    if kind == "tensorboard" and out is None:
        raise InputError("TensorBoard must have a run directory to log in; give one with --out")
    library = import_extra(*LIBRARIES[kind], purpose=kind)
    folder = None if out is None else Path(out).expanduser()
    begin = {"tensorboard": _tensorboard, "wandb": _wandb}[kind]
    with contextlib.ExitStack() as opened:
        writes: list[Write] = []

        def log(metrics: Mapping[str, Any]) -> None:
            if is_main():
                writes[:] = writes or [begin(library, opened, config, folder)]
                writes[0](metrics)

        yield log


def _tensorboard(library: Any, opened: contextlib.ExitStack, config: TrainingConfig, folder: Path | None) -> Write:
    writer = opened.enter_context(library.SummaryWriter(f"{folder}/tensorboard"))

    def write(metrics: Mapping[str, Any]) -> None:
        for name, value in metrics.items():
            writer.add_scalar(name, value, metrics["images"])

    return write


def _wandb(library: Any, opened: contextlib.ExitStack, config: TrainingConfig, folder: Path | None) -> Write:
    run = opened.enter_context(library.init(project="foveax", name=folder and folder.name, config=config.to_json()))
    return lambda metrics: run.log(dict(metrics), step=metrics["images"])
