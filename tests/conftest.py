"""Strict settings for every test, and the data that tests share."""

import gc
import os
from importlib.metadata import version
from pathlib import Path
from types import SimpleNamespace

# Compiled programs are shared by the workers, the notebooks' kernels and the commands that tests start.
PROGRAMS = Path(__file__).parents[1] / ".pytest_cache" / "programs"
PROGRAMS.mkdir(mode=0o700, parents=True, exist_ok=True)
os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(PROGRAMS))
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0.1")  # smaller ones take longer to write
# Tests compile much and compute little: the machine code is optimised least, the program as ever; a thread per worker.
FLAGS = ["--xla_backend_optimization_level=0", "--xla_cpu_multi_thread_eigen=false"]
if version("jaxlib").startswith("0.10."):  # later ones have no other emitters, and end at a flag that they do not know
    FLAGS.append("--xla_cpu_use_fusion_emitters=false")
os.environ["XLA_FLAGS"] = " ".join([os.environ.get("XLA_FLAGS", ""), *FLAGS]).strip()

import jax
import numpy as np
import pytest

import foveax as fx
import foveax.evaluation.best_sequence
import foveax.evaluation.controls
import foveax.graph.compile
import foveax.report.figures
import foveax.runs.summary

# Tracing makes many small objects that live on: looking for cycles among them is seldom worth it.
gc.set_threshold(200_000, 20, 100)
# One glimpse is compiled, not six, since small programs compile sooner; `unrolled` compiles them as users do.
UNROLL = foveax.graph.compile.UNROLL
foveax.graph.compile.UNROLL = 1
# The best sequence is the mean of the policy's own, and sheets of scanpaths are small; `searched` searches in full.
foveax.evaluation.controls.search = SimpleNamespace(
    FITTED_IMAGES=64,
    last_value=foveax.evaluation.best_sequence.last_value,
    best_sequence=lambda value, params, sample, *, key, tried: tried.mean(axis=0),
)
foveax.runs.summary.SHEET_TRIALS = 4
foveax.report.figures.SHEET_TRIALS = 2

jax.config.update("jax_numpy_dtype_promotion", "strict")
jax.config.update("jax_numpy_rank_promotion", "raise")

MNIST = "mnist"


@pytest.fixture(scope="session")
def digits() -> fx.Data:
    return fx.load("mnist5k")


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


@pytest.fixture(scope="session")
def small_config() -> fx.PipelineConfig:
    return fx.PipelineConfig(hidden=16, features=8, saccader_hidden=8)


@pytest.fixture
def unrolled(monkeypatch):
    """Glimpses are unrolled, as they are outside of tests."""
    monkeypatch.setattr(foveax.graph.compile, "UNROLL", UNROLL)


@pytest.fixture
def searched(monkeypatch):
    """The best sequence is searched for, as outside of tests."""
    monkeypatch.setattr(foveax.evaluation.controls, "search", foveax.evaluation.best_sequence)


@pytest.fixture(scope="session")
def mnist_dir() -> Path:
    """Where full MNIST lies as array records; tests that need it are skipped, visibly, without it."""
    beside = Path(__file__).parents[2] / "shared" / "data" / "tfds"
    for place in (os.environ.get("TFDS_DATA_DIR"), beside):
        if place and (Path(place) / MNIST).is_dir():
            return Path(place)
    pytest.skip("full MNIST is not here: set TFDS_DATA_DIR")


def pytest_terminal_summary(terminalreporter):
    """Prints the figures that tests recorded, which the worker processes cannot print themselves."""
    for report in terminalreporter.stats.get("passed", []):
        for name, value in report.user_properties:
            terminalreporter.line(f"{report.nodeid}: {name}: {value}")
