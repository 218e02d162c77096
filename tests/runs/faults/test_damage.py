"""Every file of a checkpoint, damaged in every way: the same state comes back, or the damage is named."""

import dataclasses
import json
import shutil
import warnings
from pathlib import Path

import jax
import numpy as np
import pytest
import tiny

import foveax as fx
from foveax.runs.checkpoint import Checkpoints, DamageWarning
from foveax.runs.directory import read_run
from foveax.runtime.metrics_file import MetricsFile


def flip(file: Path, other: Path) -> None:
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1 << (len(content) % 8)
    file.write_bytes(content)


def truncate(file: Path, other: Path) -> None:
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


def empty(file: Path, other: Path) -> None:
    file.write_bytes(b"")


def delete(file: Path, other: Path) -> None:
    file.unlink()


def replace(file: Path, other: Path) -> None:
    shutil.copyfile(other, file)


DAMAGES = [flip, truncate, empty, delete, replace]


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Two runs of other seeds, with two checkpoints each."""
    folder = tmp_path_factory.mktemp("runs")
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("foveax.runs.run.SAVE_SECONDS", 0.0)
        for seed in (0, 1):
            tiny.train(folder / str(seed), config=dataclasses.replace(tiny.CONFIG, seed=seed))
    return folder / "0", folder / "1"


@pytest.fixture(scope="module")
def like():
    graph = fx.build_graph(tiny.CONFIG, tiny.CONFIG.prepare(tiny.data()))
    learner = fx.make_learner(graph, tiny.CONFIG.learning, steps=tiny.CONFIG.steps)
    return jax.eval_shape(learner.init, jax.random.key(0))


def state(run: Path, like, step: int | None = None) -> dict:
    """The newest whole state of a run, or that of one step."""
    with Checkpoints(run / "checkpoints", read_run(run).identity) as checkpoints:
        restored, _ = checkpoints.restore(like, step=step)
    return restored._replace(key=jax.random.key_data(restored.key))._asdict()


def parameters(run: Path, like) -> dict:
    """The newest whole parameters, read without an optimiser."""
    with Checkpoints(run / "checkpoints", read_run(run).identity) as checkpoints:
        return checkpoints.restore_params(like.params)


def same(ours, theirs) -> bool:
    leaves = zip(jax.tree.leaves(ours), jax.tree.leaves(theirs), strict=True)
    return all(np.asarray(a).tobytes() == np.asarray(b).tobytes() for a, b in leaves)


def counterpart(file: Path, checkpoint: Path, other: Path) -> Path:
    """The file of another checkpoint that takes its part; files of data have names of their own, and go by size."""
    found = other / file.relative_to(checkpoint)
    if found.exists():
        return found
    beside = sorted((other / file.parent.relative_to(checkpoint)).iterdir(), key=lambda path: path.stat().st_size)
    own = sorted(file.parent.iterdir(), key=lambda path: path.stat().st_size)
    return beside[min(own.index(file), len(beside) - 1)]


@pytest.mark.slow
@pytest.mark.parametrize("damage", [flip, *(pytest.param(other, marks=pytest.mark.nightly) for other in DAMAGES[1:])])
def test_no_damage_to_any_file_of_a_checkpoint_goes_unnoticed(damage, runs, like, tmp_path, record_property):
    """Neither by what restores the whole state, nor by what reads the parameters alone."""
    first, second = runs
    newest, before = 24, 22
    expected, fallback = state(first, like), state(first, like, before)
    assert not same(expected, fallback)
    names = sorted(
        path.relative_to(first) for path in (first / "checkpoints" / str(newest)).rglob("*") if path.is_file()
    )
    counts = {"the same": 0, "named": 0}
    for number, name in enumerate(names):
        run = shutil.copytree(first, tmp_path / str(number))
        checkpoint = Path("checkpoints") / str(newest)
        damage(run / name, counterpart(first / name, first / checkpoint, second / checkpoint))
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always", DamageWarning)
            restored, params = state(run, like), parameters(run, like)
        named = [warning for warning in caught if issubclass(warning.category, DamageWarning)]
        assert len(named) in (0, 2)
        for warning in named:
            assert f"checkpoint {(run / checkpoint).absolute()} is damaged" in str(warning.message)
        right = fallback if named else expected
        assert same(restored, right), f"{damage.__name__} of {name} went unnoticed"
        assert same(params, right["params"]), f"{damage.__name__} of {name} went unnoticed by restore_params"
        counts["named" if named else "the same"] += 1
    assert counts["named"] > 0
    record_property(f"{damage.__name__}, of {len(names)} files", str(counts))


def test_a_whole_checkpoint_of_another_run_is_named(runs, like, tmp_path):
    run = shutil.copytree(runs[0], tmp_path / "run")
    shutil.rmtree(run / "checkpoints" / "24")
    shutil.copytree(runs[1] / "checkpoints" / "24", run / "checkpoints" / "24")
    with pytest.warns(DamageWarning, match="24 is damaged .it is another run's"):
        assert same(state(run, like), state(runs[0], like, 22))
    shutil.rmtree(run / "checkpoints" / "24")
    shutil.copytree(run / "checkpoints" / "22", run / "checkpoints" / "24")  # nor one of another step
    with pytest.warns(DamageWarning, match="24 is damaged .it is another run's, or another step's"):
        assert same(state(run, like), state(runs[0], like, 22))


def test_without_a_whole_checkpoint_all_are_named(runs, like, tmp_path):
    run = shutil.copytree(runs[0], tmp_path / "run")
    for step in (22, 24):
        (run / "checkpoints" / str(step) / "state" / "manifest.ocdbt").unlink()
    with pytest.raises(fx.InputError, match=r"must be whole; none is: 24: .*; 22: "):
        state(run, like)


def test_a_damaged_run_is_resumed_to_the_same_end(runs, like, tmp_path):
    run = shutil.copytree(runs[0], tmp_path / "run")
    truncate(next((run / "checkpoints" / "24" / "record").glob("metadata")), run)
    with pytest.warns(DamageWarning, match="that of step 22 is used instead"):
        tiny.train(run)
    assert same(state(run, like), state(runs[0], like))
    assert (run / "metrics.jsonl").read_bytes() == (runs[0] / "metrics.jsonl").read_bytes()


def test_a_torn_line_of_metrics_is_written_again_and_a_changed_one_named(tmp_path):
    file = tmp_path / "metrics.jsonl"
    with MetricsFile(file, step=0) as metrics:
        metrics.write({"step": 1, "loss": 0.5, "images_per_second": 3.0})
        seal = metrics.seal()
        metrics.write({"step": 2, "loss": 0.25})
    whole = file.read_bytes()
    assert json.loads(whole.splitlines()[0]) == {"step": 1, "loss": 0.5}
    first = whole[: seal["bytes"]]
    for torn in (whole, whole[:-3], first):
        file.write_bytes(torn)
        with MetricsFile(file, step=1, seal=seal):
            assert file.read_bytes() == first
    file.write_bytes(first.replace(b"0.5", b"0.7"))
    with (
        pytest.warns(DamageWarning, match="up to step 1 it is not as it was written"),
        MetricsFile(file, step=1, seal=seal),
    ):
        pass
