"""The README's Python runs as it stands."""

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
