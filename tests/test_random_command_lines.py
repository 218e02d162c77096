"""Command lines that anyone may type: accepted, or refused in a sentence, and then nothing is written."""

import contextlib
import io
import re

import jax
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from foveax import cli, commands
from foveax.cli import main
from foveax.environments import sb3_training
from foveax.recipes import RECIPES
from foveax.runs import train
from foveax.runs.config import PRESETS
from foveax.sweeps import population

COMMANDS = [function.__name__.replace("_", "-") for function in (*cli.CONFIGURED, *cli.OTHERS)]
TEXT = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=8)
"""Arguments of a process hold no zero, and of surrogates only those that stand for single bytes."""
NUMBERS = st.one_of(st.integers(-3, 40), st.floats(), st.sampled_from([10**9, 2**31, 2**63, 10**400, -(10**30)])).map(
    str
)
PLACES = [
    "folder",
    "broken",
    "file.txt",
    "own.npz",
    "gone",
    "gone/deep/er",
    "file.txt/below",
    "/dev/null",
    "/",
    ".",
    "~",
]
WORDS = [
    *("", "-", "--", "=", "a=b", "entropy=0,1", "hidden=8", "=1", "a.b -> c.d", "True", "None", "[]", "{}", "9" * 5000),
    *("1e-3", "nan", "\udcff", "\u00e9\u0301", "\n", "x:y", "file.txt:f", "mnist5k", "gru", "npz", "test", "pixels"),
    *PRESETS, *RECIPES,
]  # fmt: skip
VALUES = st.one_of(NUMBERS, TEXT, st.sampled_from(PLACES), st.sampled_from(WORDS))


def flags(command: str) -> list[str]:
    """Those in its help, but for the one that asks the network."""
    with contextlib.redirect_stdout(io.StringIO()) as text, contextlib.suppress(SystemExit):
        main([command, "--help"])
    return sorted(set(re.findall(r"--[a-z][a-z0-9-]*", text.getvalue())) - {"--download"})


FLAGS = {command: flags(command) for command in COMMANDS}
EVERY = sorted({flag for some in FLAGS.values() for flag in some})


def line(command: str) -> st.SearchStrategy[list[str]]:
    """A command with what may follow it."""
    own = st.sampled_from(FLAGS[command])
    flag = st.one_of(own, own, own, st.sampled_from(EVERY), TEXT.map("--{}".format))
    part = st.one_of(
        st.tuples(flag, VALUES),
        st.tuples(flag, VALUES).map(lambda pair: ("=".join(pair),)),
        st.tuples(flag),
        st.tuples(VALUES),
        st.tuples(flag, VALUES, VALUES),
        st.tuples(flag, VALUES).map(lambda pair: pair * 2),
    )
    return st.lists(part, max_size=5).map(lambda parts: [command, *(word for part in parts for word in part)])


LINES = st.one_of(st.sampled_from(COMMANDS).flatmap(line), st.lists(VALUES, max_size=3))
QUIET = {"deadline": None, "database": None, "suppress_health_check": list(HealthCheck)}


@pytest.fixture
def doors(tmp_path, monkeypatch):
    """A folder to type in, where a training that nothing refuses ends well before its first compilation."""
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    monkeypatch.setenv("HOME", str(tmp_path))  # where matplotlib keeps a list of fonts
    monkeypatch.setenv("TFDS_DATA_DIR", str(here / "tfds"))
    (here / "folder").mkdir()
    (here / "broken").mkdir()
    (here / "broken" / "config.json").write_text("[1]")
    (here / "file.txt").write_text("text\n")
    images, labels = np.zeros((8, 12, 12), np.uint8), np.arange(8) % 2
    np.savez(here / "own.npz", train_image=images, train_label=labels, test_image=images, test_label=labels)

    def accept(*_, **__):
        raise SystemExit(0)

    def check(*arguments, **options):
        check_size(*arguments, **options)
        accept()

    check_size = train.check_size
    for module in (train, population):
        monkeypatch.setattr(module, "check_size", check)
    monkeypatch.setattr(commands, "run_recipe", accept)
    monkeypatch.setattr(commands, "keep_compilation_cache", lambda folder: None)  # it is this process's own
    monkeypatch.setattr(sb3_training, "make_episodes", accept)
    monkeypatch.setattr(jax.distributed, "initialize", accept)
    return here


def snapshot(folder):
    return {path: (path.lstat().st_size, path.lstat().st_mtime_ns) for path in folder.rglob("*")}


def check_line(arguments, folder) -> None:
    """Asserts that a line ends with 0, or with 2 and a sentence or the parser's own complaint, and writes nothing."""
    before = snapshot(folder)
    printed = io.TextIOWrapper(io.BytesIO(), encoding="utf-8")
    errors = io.TextIOWrapper(io.BytesIO(), encoding="utf-8", errors="backslashreplace")
    with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(errors):
        try:
            main(arguments)
            code = 0
        except SystemExit as end:
            code = end.code
    errors.flush()
    text = errors.buffer.getvalue().decode()
    assert "Traceback" not in text
    assert code in (0, None, 2), (code, text)
    if code != 2:
        return
    assert snapshot(folder) == before
    *bar, last = text.splitlines() or [""]
    if last.startswith("foveax: "):
        assert all("images/s" in line for line in bar if line), text
        assert last.isprintable()
    else:
        assert text.startswith(("╭─", "\n╭─")), text  # the complaint of the parser


@settings(max_examples=100, **QUIET)
@given(LINES)
def test_a_command_line_is_accepted_or_refused_in_a_sentence(doors, arguments):
    check_line(arguments, doors)


@pytest.mark.nightly
@pytest.mark.timeout(3600)
@settings(max_examples=10_000, **QUIET)
@given(LINES)
def test_any_command_line_is_accepted_or_refused_in_a_sentence(doors, arguments):
    check_line(arguments, doors)
