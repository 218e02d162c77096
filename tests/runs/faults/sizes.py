"""Starts of trainings with a size at one of its bounds, for test_sizes.py: a child process runs those it is given.

It may take little more memory than it is told is free, and writes a line of JSON before and after each start.
"""

import contextlib
import io
import json
import resource
import sys
import warnings

import foveax as fx
import foveax.runs.run
import foveax.runtime.machine
import foveax.training.fit
from foveax.cli import main

FREE, ROOM = 2 * 2**30, 6 * 2**30
"""Bytes that are said to be free, and those of addresses that the process may take, its libraries included."""
FAR = (-1, 0, 1, 10**9, 2**31 - 1, 2**63)
CONFIGS = (fx.TrainingConfig, fx.PipelineConfig, fx.LearningConfig, fx.ExecutionConfig)


def lines() -> list[list[str]]:
    """Every integer field at its bounds, next to them, and far beyond."""
    fields = [field for config in CONFIGS for field in config.__dataclass_fields__.values() if field.type is int]
    return [
        [f"--{field.name.replace('_', '-')}", str(value)]
        for field in fields
        for value in sorted({*FAR, *(field.metadata[side] + step for side in ("low", "high") for step in (-1, 0, 1))})
    ]


def outcome(command: list[str]) -> str:
    """How a start ends: refused in a sentence, ran, or else what it ended in."""
    errors = io.StringIO()
    try:
        with contextlib.redirect_stderr(errors), contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            main(["train", *command])
    except SystemExit as end:
        *_, last = errors.getvalue().splitlines()
        return "refused" if end.code == 2 and last.startswith("foveax: ") else f"exit {end.code}: {last}"
    except Exception as error:  # noqa: BLE001 - whatever it is, it is to be reported
        return f"{type(error).__name__}: {error}"
    return "ran"


if __name__ == "__main__":
    foveax.runs.run.Run.should_stop = lambda self: True  # one dispatch shows whether a size fits
    foveax.runtime.machine.free_memory = lambda: FREE
    resource.setrlimit(resource.RLIMIT_AS, (ROOM, ROOM))
    for line in json.load(sys.stdin):
        print(json.dumps(line), flush=True)
        print(json.dumps(outcome([*sys.argv[1:], *line])), flush=True)
