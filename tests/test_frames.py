"""The way from the command to the arithmetic is short: a reader who follows it opens few functions."""

import sys
from pathlib import Path

import pytest
import tiny

import foveax as fx
from foveax.cli import main

MOST_FRAMES = 9
PACKAGE = Path(fx.__file__).parent
RECORDING = """
import traceback
import noisy_eye

STACKS = []

def pipeline(data):
    graph = noisy_eye.pipeline(data)
    retina = graph.modules["retina"]

    def apply(params, state, inputs, key):
        STACKS.append(traceback.extract_stack())
        return retina.apply(params, state, inputs, key)

    return graph.swap("retina", retina._replace(apply=apply))
"""


@pytest.mark.slow
def test_from_the_command_to_the_arithmetic_there_are_at_most_9_frames(tmp_path, record_property):
    """From `main` on, which is counted, to a module's `apply`, which is not, within the compiled step."""
    (tmp_path / "recording_eye.py").write_text(RECORDING)
    data = tiny.write_npz(tmp_path / "tiny.npz")
    budget = ["--images", "8", "--batch", "4", "--shift", "0", "--no-evaluate"]
    main(["train", *budget, "--data", str(data), "--pipeline", f"{tmp_path / 'recording_eye.py'}:pipeline"])
    ways = [frames_of(stack) for stack in sys.modules["recording_eye"].STACKS]
    within_step = [way for way in ways if any(place.startswith("training/learner.py") for place in way)]
    assert within_step[0][0] == "cli.py: main"
    record_property("frames", " > ".join(within_step[0]))
    assert len(within_step[0]) <= MOST_FRAMES, within_step[0]


def frames_of(stack) -> list[str]:
    """The frames of this package, as ``file: function``, the outermost first."""
    files = [(Path(frame.filename), frame.name) for frame in stack]
    return [f"{file.relative_to(PACKAGE)}: {name}" for file, name in files if file.is_relative_to(PACKAGE)]
