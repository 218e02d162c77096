"""The command line as tests call it."""

import pytest

from foveax.cli import main


def refused(capsys: pytest.CaptureFixture, *arguments: object) -> str:
    """The sentence with which a command is refused: the last line, next to at most an empty bar; exit code 2."""
    capsys.readouterr()
    with pytest.raises(SystemExit) as end:
        main([str(argument) for argument in arguments])
    captured = capsys.readouterr()
    assert end.value.code == 2, captured.err
    assert "Traceback" not in captured.err
    *bar, last = captured.err.splitlines()
    assert all("images/s" in line for line in bar if line), captured.err
    assert last.startswith("foveax: ")
    assert last.isprintable()
    return last.removeprefix("foveax: ")


def printed(capsys: pytest.CaptureFixture, *arguments: object) -> str:
    """What a command prints."""
    capsys.readouterr()
    main([str(argument) for argument in arguments])
    return capsys.readouterr().out
