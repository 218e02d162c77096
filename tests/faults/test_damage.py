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
from foveax.training.checkpoint import Checkpoints, DamageWarning
from foveax.training.learner import make_learner
from foveax.training.metrics_file import MetricsFile, read_metrics
from foveax.training.run_directory import read_run

FORMAT_1 = Path(__file__).parent / "format_1"


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
        patched.setattr("foveax.training.run.conclude", lambda *arguments: None)
        patched.setattr("foveax.training.progress.SAVE_SECONDS", 0.0)
        for seed in (0, 1):
            fx.train(dataclasses.replace(tiny.CONFIG, seed=seed), tiny.data(), out=folder / str(seed))
    return folder / "0", folder / "1"


@pytest.fixture(scope="module")
def like():
    data = tiny.CONFIG.prepare(tiny.data())
    learner = make_learner(tiny.CONFIG.pipeline(data), tiny.CONFIG.learning, steps=tiny.CONFIG.steps)
    return jax.eval_shape(learner.init, jax.random.key(0))


def arrays(run: Path, like, step: int | None = None, **choices) -> list[np.ndarray]:
    with Checkpoints(run / "checkpoints", read_run(run).identity) as checkpoints:
        state, _ = checkpoints.restore(like, step=step, **choices)
    leaves = jax.tree.leaves(state._replace(key=jax.random.key_data(state.key)))
    return [np.asarray(leaf) for leaf in leaves]


def same(ours: list[np.ndarray], theirs: list[np.ndarray]) -> bool:
    return all(a.tobytes() == b.tobytes() for a, b in zip(ours, theirs, strict=True))


def counterpart(file: Path, checkpoint: Path, other: Path) -> Path:
    """The file of another checkpoint that takes its part; files of data have names of their own, and go by size."""
    found = other / file.relative_to(checkpoint)
    if found.exists():
        return found
    beside = sorted((other / file.parent.relative_to(checkpoint)).iterdir(), key=lambda path: path.stat().st_size)
    own = sorted(file.parent.iterdir(), key=lambda path: path.stat().st_size)
    return beside[min(own.index(file), len(beside) - 1)]


@pytest.mark.slow
@pytest.mark.parametrize("damage", DAMAGES)
def test_no_damage_to_any_file_of_a_checkpoint_goes_unnoticed(damage, runs, like, tmp_path, record_property):
    first, second = runs
    newest, before = 24, 22
    expected, fallback = arrays(first, like), arrays(first, like, step=before)
    assert not same(expected, fallback)
    names = sorted(
        path.relative_to(first) for path in (first / "checkpoints" / str(newest)).rglob("*") if path.is_file()
    )
    counts = {"the same": 0, "named": 0}
    for number, name in enumerate(names):
        run = shutil.copytree(first, tmp_path / str(number))
        checkpoint = Path("checkpoints") / str(newest)
        damage(run / name, counterpart(first / name, first / checkpoint, second / checkpoint))
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always", DamageWarning)
            found = arrays(run, like)
        told = [warning for warning in said if issubclass(warning.category, DamageWarning)]
        if told:
            assert f"checkpoint {(run / checkpoint).absolute()} is damaged" in str(told[0].message)
        assert same(found, fallback if told else expected), f"{damage.__name__} of {name} went unnoticed"
        counts["named" if told else "the same"] += 1
    record_property(f"{damage.__name__}, of {len(names)} files", str(counts))
    assert counts["named"] > 0


def test_a_whole_checkpoint_of_another_run_is_named(runs, like, tmp_path):
    run = shutil.copytree(runs[0], tmp_path / "run")
    shutil.rmtree(run / "checkpoints" / "24")
    shutil.copytree(runs[1] / "checkpoints" / "24", run / "checkpoints" / "24")
    with pytest.warns(DamageWarning, match="24 is damaged .it is another run's"):
        assert same(arrays(run, like), arrays(runs[0], like, step=22))
    shutil.rmtree(run / "checkpoints" / "24")
    shutil.copytree(run / "checkpoints" / "22", run / "checkpoints" / "24")  # nor one of another step
    with pytest.warns(DamageWarning, match="24 is damaged .it is another run's, or another step's"):
        assert same(arrays(run, like), arrays(runs[0], like, step=22))


def test_without_a_whole_checkpoint_all_are_named(runs, like, tmp_path):
    run = shutil.copytree(runs[0], tmp_path / "run")
    for step in (22, 24):
        (run / "checkpoints" / str(step) / "state" / "manifest.ocdbt").unlink()
    with pytest.raises(fx.InputError, match=r"must be whole; none is: 24: .*; 22: "):
        arrays(run, like)


def test_a_damaged_run_continues_to_the_same_end(runs, like, tmp_path, monkeypatch):
    run = shutil.copytree(runs[0], tmp_path / "run")
    truncate(next((run / "checkpoints" / "24" / "record").glob("metadata")), run)
    monkeypatch.setattr("foveax.training.run.conclude", lambda *arguments: None)
    with pytest.warns(DamageWarning, match="that of step 22 is used instead"):
        fx.train(tiny.CONFIG, tiny.data(), out=run)
    assert same(arrays(run, like), arrays(runs[0], like))
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


def test_runs_of_format_1_are_read_and_forked_and_not_continued(tmp_path):
    run = shutil.copytree(FORMAT_1, tmp_path / "old")
    with pytest.warns(DamageWarning, match="has no digests"):
        config, data, graph, params = fx.load_run(run)
    accuracy = fx.evaluate(graph, params, data.test, key=jax.random.key(config.seed)).accuracy
    np.testing.assert_allclose(accuracy, [0.1, 0.114, 0.079], atol=2e-3)  # as foveax 0.1.0 printed them
    with pytest.raises(fx.InputError, match="it can be read, and a new run can begin from it with --fork"):
        fx.train(config, out=run)
    longer = dataclasses.replace(config, images=128, validation=0)
    with pytest.warns(DamageWarning, match="has no digests"):
        fx.train(longer, out=tmp_path / "new", fork=run)
    stored = json.loads((tmp_path / "new" / "config.json").read_text())
    assert (stored["format"], stored["fork"]["run"], stored["fork"]["step"]) == (2, str(run), 12)
    assert [line["step"] for line in read_metrics(tmp_path / "new" / "metrics.jsonl")] == [16]
