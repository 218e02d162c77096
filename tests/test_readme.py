"""The README's Python and the notebook run as they stand."""

import re
from pathlib import Path

import pytest

README = Path(__file__).parents[1] / "README.md"


@pytest.mark.slow
def test_python_blocks_run_in_order(capsys):
    blocks = re.findall(r"```python\n(.*?)```", README.read_text(), flags=re.DOTALL)
    names = {}
    for block in blocks:
        exec(compile(block, str(README), "exec"), names)
    lines = capsys.readouterr().out.splitlines()
    assert len(blocks) == 2
    assert names["fixations"].shape == (1000, 4, 2)
    assert lines[-1].startswith("100 ")


@pytest.mark.slow
def test_notebook_runs():
    notebook = README.parent / "notebooks" / "quickstart.py"
    names = {}
    exec(compile(notebook.read_text(), str(notebook), "exec"), names)
    assert names["result"].summary["test"]["learned"]["accuracy"][-1] > 0.85
