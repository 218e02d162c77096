"""The page on extending foveax: each of its changes is a run, resumed after a kill, with controls and a report."""

import ast
import functools
import importlib.util
import inspect
import re
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny

import foveax as fx
from foveax.cli import main
from foveax.report import write_report

PAGE = (Path(fx.__file__).parents[1] / "docs" / "extending.md").read_text()
CHANGES = PAGE[PAGE.index("## Seven changes") : PAGE.index("## Train one as a run")]
PIPELINES = re.findall(r"^def (\w+_pipeline)\(", CHANGES, flags=re.MULTILINE)
MOST_LINES = 40
CONFIG = fx.TrainingConfig(images=80, batch=8, shift=0)
EXECUTION = fx.ExecutionConfig(dispatch=2)
CONTROLS = ("best sequence", "another image", "random", "centre")

pytestmark = pytest.mark.filterwarnings("ignore::foveax.runs.run.CollapseWarning")  # images are small, trainings short


class Killed(BaseException):
    """Ends a training at once, as a kill would."""


def blocks_of(page, language="python"):
    return re.findall(rf"```{language}\n(.*?)```", page, flags=re.DOTALL)


SHELL = "".join(blocks_of(PAGE, "bash")).replace("\\\n", "")
COMMANDS = [shlex.split(line)[1:] for line in SHELL.splitlines()]
"""Of the page, each as the arguments of ``foveax``."""


@pytest.fixture(scope="module")
def my_eye(tmp_path_factory):
    """The file that the page asks for, imported."""
    path = tmp_path_factory.mktemp("page") / "my_eye.py"
    path.write_text("\n\n".join(blocks_of(CHANGES)))
    spec = importlib.util.spec_from_file_location("my_eye", path)
    module = importlib.util.module_from_spec(spec)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "my_eye", module)
        spec.loader.exec_module(module)
        yield module


@pytest.fixture(scope="module")
def data(my_eye):
    return my_eye.bars(images=64)


@pytest.fixture(autouse=True)
def short(monkeypatch):
    """Checkpoints are made after every dispatch."""
    monkeypatch.setattr("foveax.runs.run.SAVE_SECONDS", 0.0)


def test_the_page_shows_seven_changes_of_at_most_forty_lines():
    assert len(PIPELINES) == 7
    lines = [len(block.splitlines()) for block in blocks_of(CHANGES)]
    assert max(lines) <= MOST_LINES, lines


def test_the_files_of_an_update_are_those_that_the_learner_imports():
    root = Path(fx.__file__).parents[1]
    reached, ahead = set(), {"foveax/training/learner.py"}
    while ahead - reached:
        file = (ahead - reached).pop()
        reached.add(file)
        imports = [node for node in ast.walk(ast.parse((root / file).read_text())) if isinstance(node, ast.ImportFrom)]
        ahead |= {f"{node.module.replace('.', '/')}.py" for node in imports if node.module.startswith("foveax.")}
    assert sorted(re.findall(r"^\| `(foveax/\S+)`", PAGE, flags=re.MULTILINE)) == sorted(reached)
    assert len(reached) <= 12


@pytest.mark.nightly
@pytest.mark.slow
@pytest.mark.parametrize("name", PIPELINES)
def test_a_change_is_a_run(name, my_eye, data, tmp_path):
    def kill(metrics):
        if metrics["step"] == 6:
            raise Killed

    build = getattr(my_eye, name)
    train = functools.partial(fx.train, CONFIG, data, pipeline=build, execution=EXECUTION)
    whole = train(out=tmp_path / "whole")
    with pytest.raises(Killed):
        train(out=tmp_path / "killed", listeners=[kill])
    assert max(int(path.name) for path in (tmp_path / "killed" / "checkpoints").iterdir()) == 4
    resumed = train(out=tmp_path / "killed", evaluate=False)
    chex.assert_trees_all_equal(resumed.params, whole.params)
    assert (tmp_path / "killed" / "metrics.jsonl").read_bytes() == (tmp_path / "whole" / "metrics.jsonl").read_bytes()

    run = fx.load_run(tmp_path / "killed", data, pipeline=build)
    evaluation = fx.evaluate(run.graph, run.params, run.data.test, key=jax.random.key(CONFIG.seed))
    assert evaluation.accuracy.tolist() == whole.summary["test"]["learned"]["accuracy"]

    agents = run.graph.agents
    prefixes = [f"{agent}: " for agent in agents] if len(agents) > 1 else [""]
    controls = [f"{prefix}{control}" for prefix in prefixes for control in CONTROLS]
    assert list(whole.summary["test"]) == ["learned", *controls]
    assert list(whole.summary["diagnosis"]) == agents
    folder = write_report(tmp_path / "whole", data=data, pipeline=build)
    page = (folder / "report.html").read_text()
    assert [control for control in controls if control not in page] == []


@pytest.mark.slow
@pytest.mark.parametrize("name", PIPELINES)
def test_a_change_learns(name, my_eye, data):
    """Every module that has parameters moves."""
    graph = getattr(my_eye, name)(data)
    learner = fx.make_learner(graph, CONFIG.learning, steps=8)
    state = learner.init(jax.random.key(0))
    before = jax.tree.map(np.asarray, state.params)
    *_, (state, metrics) = fx.fit(learner, data, state, batch=8, dispatch=4)
    for module, params in before.items():
        leaves = zip(jax.tree.leaves(params), jax.tree.leaves(state.params[module]), strict=True)
        assert not params or any((one != other).any() for one, other in leaves)
    assert all(np.isfinite(value) for value in metrics.values())


CHILD = """
import time
import foveax as fx
from foveax.runs import run
from foveax.pipelines.named import import_pipeline

def wait(metrics):
    if metrics["step"] == 6:
        time.sleep(600)

run.SAVE_SECONDS = 0.0
config = fx.TrainingConfig(data="bars.npz", images=80, batch=8, shift=0)
pipeline = import_pipeline("my_eye.py:head_and_eye_pipeline", ["effort=0.2"])
fx.train(config, pipeline=pipeline, out="run", listeners=[wait], execution=fx.ExecutionConfig(dispatch=2))
"""


@pytest.mark.slow
@pytest.mark.nightly
def test_a_killed_process_is_resumed_from_the_command_line(unrolled, my_eye, data, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    tiny.write_npz(Path("bars.npz"), data)
    Path("my_eye.py").write_text(inspect.getsource(my_eye))
    process = subprocess.Popen([sys.executable, "-c", CHILD])
    while process.poll() is None and not Path("run/checkpoints/4").exists():
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL

    command = "foveax train --pipeline my_eye.py:head_and_eye_pipeline --pipeline-args effort=0.2 --data bars.npz"
    options = "--images 80 --batch 8 --shift 0 --dispatch 2 --no-evaluate"
    for out in ("run", "whole"):
        main(shlex.split(f"{command} {options} --out {out}")[1:])
    assert Path("run/metrics.jsonl").read_bytes() == Path("whole/metrics.jsonl").read_bytes()
    main(shlex.split("evaluate run --pipeline my_eye.py:head_and_eye_pipeline --pipeline-args effort=0.2"))
    table = capsys.readouterr().out
    assert [line for line in table.splitlines() if line.startswith("head: best sequence")]
    assert [line for line in table.splitlines() if line.startswith("eye: best sequence")]
    build = functools.partial(my_eye.head_and_eye_pipeline, effort=0.2)
    ours, theirs = (fx.load_run(out, pipeline=build).params for out in ("run", "whole"))
    chex.assert_trees_all_equal(ours, theirs)


def test_loading_needs_the_same_pipeline_again_and_runs_no_code_of_the_directory(my_eye, data, tmp_path):
    out = tmp_path / "run"
    build = functools.partial(my_eye.predictive_pipeline, prediction=0.3)
    fx.train(CONFIG, data, pipeline=build, out=out, evaluate=False, execution=EXECUTION)
    assert (out / "pipeline.py.txt").read_text() == inspect.getsource(my_eye)
    (out / "pipeline.py.txt").write_text("raise SystemExit")
    assert fx.load_run(out, data, pipeline=build).graph.hyperparameters["prediction"] == 0.3
    with pytest.raises(fx.InputError, match=r"no code is taken from a run directory: .* was trained with my_eye:pred"):
        fx.load_run(out, data)
    for other in (my_eye.small_pipeline, my_eye.predictive_pipeline):
        with pytest.raises(fx.InputError, match=r"must be the one that run .* was trained with: .* there, .* here"):
            fx.load_run(out, data, pipeline=other)


@pytest.mark.slow
@pytest.mark.nightly
def test_a_population_over_a_weight_equals_its_single_runs(my_eye, data):
    weights = [0.0, 1.0]
    population = fx.train_population(
        CONFIG, data, vary={"prediction": weights}, pipeline=my_eye.predictive_pipeline, execution=EXECUTION
    )
    for index, weight in enumerate(weights):
        build = functools.partial(my_eye.predictive_pipeline, prediction=weight)
        single = fx.train(CONFIG, data, pipeline=build, evaluate=False, execution=EXECUTION)
        member = jax.tree.map(lambda leaf, index=index: leaf[index], population.params)
        chex.assert_trees_all_close(member, single.params, rtol=1e-4, atol=1e-6)
    predictors = jax.tree.leaves(population.params["predictor"])
    assert any((leaf[0] != leaf[1]).any() for leaf in predictors)


def test_the_retina_samples_the_fixation_first_and_then_ever_wider_rings(my_eye):
    image = jnp.broadcast_to(jnp.arange(16.0)[None, :, None] / 15, (16, 16, 1))  # its value is x
    samples = my_eye.log_polar(image, jnp.array([0.5, 0.5]), 2.0, radius=6.0)[..., 0]
    np.testing.assert_allclose(samples[0], 0.5, atol=1e-6)
    radii = 15 * (samples[:, 0] - 0.5)  # to the right
    np.testing.assert_allclose(radii[-1], 6.0, rtol=1e-5)
    np.testing.assert_allclose(np.diff(np.log(radii + 2.0)), np.log(8 / 2) / 5, rtol=1e-4)


def test_the_mixture_has_the_mass_one_and_at_least_the_entropy_of_its_bound(my_eye):
    policy, scale, place = my_eye.mixture(), jnp.array([0.5, 0.4]), jnp.zeros(2)
    heads = jnp.array([0.5, -0.2, -1.0, 0.3, 0.8, -0.6])
    side = (np.arange(400, dtype=np.float32) + 0.5) / 400
    fixations = np.stack(np.meshgrid(side, side), axis=-1).reshape(-1, 2)
    actions = jnp.asarray(np.log(fixations / (1 - fixations)))
    log_prob = jax.jit(jax.vmap(policy.log_prob, in_axes=(0, None, None, None)))(actions, heads, scale, place)
    density = np.exp(log_prob) / len(fixations)
    np.testing.assert_allclose(density.sum(), 1.0, atol=1e-3)

    keys = jax.random.split(jax.random.key(0), 20_000)
    sampled = jax.jit(jax.vmap(policy.sample, in_axes=(0, None, None)))(keys, heads, scale)
    np.testing.assert_allclose(jax.nn.sigmoid(sampled).mean(axis=0), density @ fixations, atol=5e-3)
    bound = jax.jit(jax.vmap(policy.entropy, in_axes=(0, None, None, None)))(sampled, heads, scale, place).mean()
    entropy = -(density * log_prob).sum()
    assert entropy - 0.1 < bound < entropy


@pytest.mark.slow
@pytest.mark.nightly
def test_the_page_runs(unrolled, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    names = {"__name__": "page"}
    for block in blocks_of(PAGE):
        exec(compile(block, "extending.md", "exec"), names)
    assert names["population"].accuracy.shape == (3, 4)
    assert "pipeline must be given again" in capsys.readouterr().out


@pytest.mark.slow
@pytest.mark.nightly
def test_the_commands_of_the_page_run(my_eye, data, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    tiny.write_npz(Path("bars.npz"), data)
    Path("my_eye.py").write_text(inspect.getsource(my_eye))
    for words in COMMANDS:
        main(words)
    printed = capsys.readouterr().out
    assert printed.count("best sequence") >= 5
    assert re.search(r"prediction +seeds +mean", printed)
    assert Path("runs/my_eye/analysis/report.html").exists()


def test_the_links_that_the_page_edits_are_there(digits):
    edits = [words for words in COMMANDS if words[1] in ("--link", "--unlink")]
    assert len(edits) == 2
    for _, flag, *links in edits:
        config = fx.TrainingConfig(**{flag[2:]: tuple(links[: links.index("--images")])})
        assert fx.build_graph(config, digits).links != fx.standard_pipeline(digits).links
