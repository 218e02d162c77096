"""The command line: reads flags into a call of a command (`foveax.commands`), and runs it."""

import contextlib
import difflib
import functools
import io
import itertools
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import jax
import tyro

from foveax import attack_command, commands, compare_command, inspection
from foveax._types import InputError
from foveax.runs.config import PRESETS, TrainingConfig, read_config
from foveax.runs.directory import read_single_run
from foveax.runs.divergence import DivergenceError
from foveax.runtime.machine import own_version
from foveax.runtime.processes import leaving_at_once
from foveax.runtime.signals import Interrupted, raising_signals
from foveax.training_help import command_list, training_help

DESCRIPTION = "Networks that see through eye movements: train, test and analyse them."
CONFIGURED = (commands.train, commands.train_sb3, commands.population, commands.sweep, commands.config)
"""Commands whose flags start from a preset, a file or a run."""
OTHERS = (commands.evaluate, commands.diagnose, commands.analyze, attack_command.attack, compare_command.compare,
          commands.recipe, commands.export, commands.predict, commands.verify, inspection.record,
          inspection.decode)  # fmt: skip
SEVERAL = ("--vary", "--link", "--unlink", "--pipeline-args", "--class-weights", "--retrain",
           "--ports", "--fixations", "--sweep", "--draws", "--only")  # fmt: skip
"""Flags that take several values at once: given twice, the first ones would be lost."""


@leaving_at_once()
def main(arguments: list[str] | None = None) -> None:
    """Runs a command; what ends it early is reported in one sentence.

    Exit codes are 2 for input that is refused or a place that cannot be written, 1 for a training that diverged or a
    run that verification finds to differ, 130 for SIGINT and 143 for SIGTERM.
    """
    is_process = arguments is None
    if is_process:
        os.environ["MPLBACKEND"] = "agg"  # figures are files, whatever shows them elsewhere
    arguments = sys.argv[1:] if arguments is None else arguments
    if arguments == ["--version"]:
        print(f"foveax {own_version()}")
        return
    try:
        with raising_signals():
            _parse(arguments)()
            sys.stdout.flush()
    except BrokenPipeError:  # whoever read what is printed has gone, as head does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SystemExit(1) from None
    except (InputError, DivergenceError) as error:
        _end(str(error), 2 if isinstance(error, InputError) else 1)
    except Exception as error:
        if isinstance(error, OSError) and error.filename is not None:  # a name that no file has, or a locked place
            _end(f"files must be within reach; {error.filename!s:.200} is not: {error.strerror}", 2)
        if not _has_device():
            _end(f"a device must be there; JAX_PLATFORMS={os.environ.get('JAX_PLATFORMS', '')} finds none", 2)
        raise
    except KeyboardInterrupt as error:
        message = str(error) or "interrupted"
        code = 128 + (error.signal if isinstance(error, Interrupted) else signal.SIGINT)
        # a compilation may go on in another thread, and would not survive an orderly exit
        _end(message, code, at_once=is_process)


def _has_device() -> bool:
    """Whether JAX finds a device; an unexpected error may be due to that."""
    try:
        return bool(jax.devices())
    except Exception:  # noqa: BLE001 - it raises several, and fails an assertion
        return False


def _end(message: str, code: int, *, at_once: bool = False) -> NoReturn:
    letters = (letter if letter.isprintable() else ascii(letter)[1:-1] for letter in message)
    printable = "".join(letters)  # a file's name may be no text, or hold a line's end
    print(f"foveax: {printable}", file=sys.stderr)
    if at_once:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    raise SystemExit(code) from None


def _parse(arguments: list[str]) -> Callable[[], None]:
    """The call that the arguments ask for."""
    named = {function.__name__.replace("_", "-"): function for function in (*CONFIGURED, *OTHERS)}
    name, *given = arguments or ["--help"]
    if name in ("-h", "--help"):
        return functools.partial(print, command_list(named, DESCRIPTION), end="")
    if name not in named:
        near = difflib.get_close_matches(name, named, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise InputError(f"command must be one of {', '.join(named)}; got {name!r}{hint}")
    for flag in SEVERAL:
        if sum(argument.partition("=")[0] == flag for argument in given) > 1:
            raise InputError(f"{flag} must be given once, with all its values behind it; got it several times")
    call: Any = _call(named[name])
    if named[name] in CONFIGURED:
        flags = commands.TrainingFlags(_start(given))
        if not {"-h", "--help"}.isdisjoint(given):
            return functools.partial(print, training_help(named[name], flags), end="")
        call = functools.partial(call, flags=flags)
    complaint = io.StringIO()
    try:
        with contextlib.redirect_stderr(complaint):
            return tyro.cli(call, prog=f"foveax {name}", args=given)
    except SystemExit as end:
        refusal = _refusal(end)
        if refusal:
            raise refusal from None
        print(complaint.getvalue(), end="", file=sys.stderr)
        raise


def _call(function: Callable[..., None]) -> Callable[..., Callable[[], None]]:
    """The same signature, whose result is the call itself: arguments are read before anything is run."""

    @functools.wraps(function)
    def call(*positional: Any, **named: Any) -> Callable[[], None]:
        return functools.partial(function, *positional, **named)

    return call


def _refusal(error: BaseException | None) -> InputError | None:
    """The configuration's own complaint among the causes of an error, which tyro wraps in a frame of its own."""
    while error is not None and not isinstance(error, InputError):
        error = error.__cause__ or error.__context__
    return error


def _start(arguments: list[str]) -> TrainingConfig:
    """The configuration that the flags start from: it is needed before the others can be read."""
    name, file, run = (_last(arguments, flag) for flag in ("--preset", "--config", "--extend"))
    if (name, file, run).count(None) < 2:
        raise InputError("flags must start from one of --preset, --config and --extend; got more")
    if file is not None:
        return read_config(Path(file).expanduser())
    if run is not None:
        return read_single_run(Path(run).expanduser()).config
    name = "default" if name is None else name
    if name not in PRESETS:
        near = difflib.get_close_matches(name, PRESETS, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise InputError(f"preset must be one of {', '.join(PRESETS)}; got {name!r}{hint}")
    return PRESETS[name]


def _last(arguments: list[str], flag: str) -> str | None:
    """The last value that is given for a flag."""
    values = [later for given, later in itertools.pairwise(arguments) if given == flag]
    values += [given.partition("=")[2] for given in arguments if given.startswith(f"{flag}=")]
    return values[-1] if values else None


if __name__ == "__main__":
    main()
