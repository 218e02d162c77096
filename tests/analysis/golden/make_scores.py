"""Makes scores.json: what multimatch-gaze, pysaliency, rapidfuzz and dtw-python say of scanpaths and maps.

Run in an environment of its own, whose versions the file records:

    pip install 'numpy<2' multimatch-gaze==0.1.3 pysaliency==0.2.22 rapidfuzz dtw-python
    python tests/analysis/golden/make_scores.py
"""

import importlib.metadata
import json
import sys
import types
import warnings
from pathlib import Path

import multimatch_gaze
import numpy as np
from dtw import dtw

sys.modules.setdefault("torch", types.ModuleType("torch"))  # pysaliency imports it for models that are not used here

import pysaliency
from pysaliency import metrics
from pysaliency.roc import general_roc
from rapidfuzz.distance import Levenshtein

HEIGHT, WIDTH, BINS = 24, 32, 8
SIZE = np.array([WIDTH - 1, HEIGHT - 1])


def pairs(rng: np.random.Generator) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Scanpaths as fractions of the image, and durations, as ``[T, 3]``."""
    drawn = {
        f"random {number}": tuple(rng.random((rng.integers(3, 9), 3)) + [0, 0, 0.05] for _ in range(2))
        for number in range(40)
    }
    path = rng.random((6, 3)) + [0, 0, 0.05]
    still = np.full((5, 3), 0.5)
    line = np.stack([np.linspace(0, 1, 5), np.full(5, 0.5), np.full(5, 0.2)], axis=1)
    edges = {
        "identical": (path, path),
        "reversed": (path, path[::-1]),
        "only durations differ": (path, path * [1, 1, 2]),
        "one more fixation": (path, path[:-1]),
        "along a line": (line, line[::-1]),
        "outside the image": (path * [1.5, -0.5, 1], path),
        "against one that stays": (path, still),
    }
    return {**drawn, **edges}


def scanpath_scores(one: np.ndarray, other: np.ndarray) -> dict:
    """The five of MultiMatch, dynamic time warping in pixels, and the edit distance of cells."""
    fields = [("start_x", float), ("start_y", float), ("duration", float)]
    records, pixels, words = [], [], []
    for path in (one, other):
        pixels.append(path[:, :2] * SIZE)
        rows = np.column_stack([pixels[-1], path[:, 2]])
        records.append(np.array([tuple(row) for row in rows], dtype=fields))
        cells = np.clip(np.floor(path[:, :2] * BINS), 0, BINS - 1).astype(int)
        words.append([int(column + BINS * row) for column, row in cells])
    return {
        "multimatch": [float(value) for value in multimatch_gaze.docomparison(*records, [WIDTH, HEIGHT])],
        "time_warping": float(dtw(*pixels, step_pattern="symmetric1").distance),
        "levenshtein": Levenshtein.distance(*words),
    }


def map_cases(rng: np.random.Generator) -> dict[str, dict]:
    """Two maps and pixels that were fixated, and those fixated on other images."""
    rough = rng.random((2, 6, 8))
    smooth = np.exp(4 * np.kron(rough, np.ones((1, 4, 4))))
    cases = {
        "random": rng.random((2, HEIGHT, WIDTH)),
        "smooth": smooth,
        "ties": np.floor(4 * rng.random((2, HEIGHT, WIDTH))) + 1,
        "zeros": np.maximum(rng.random((2, HEIGHT, WIDTH)) - 0.5, 0),
        "peak": np.where(np.arange(HEIGHT * WIDTH).reshape(HEIGHT, WIDTH) == 333, 1.0, 1e-3)[None]
        + np.zeros((2, 1, 1)),
    }
    return {
        name: {
            "maps": maps.round(4).tolist(),
            "pixels": rng.integers(0, [WIDTH, HEIGHT], (30, 2)).tolist(),
            "others": rng.integers(0, [WIDTH, HEIGHT], (90, 2)).tolist(),
        }
        for name, maps in cases.items()
    }


class Given(pysaliency.Model):
    """A density given as a map."""

    def __init__(self, density: np.ndarray):
        super().__init__()
        self.density = density

    def _log_density(self, stimulus):
        with np.errstate(divide="ignore"):
            return np.log(self.density / self.density.sum())


def map_scores(case: dict) -> dict:
    """AUC, shuffled AUC, NSS, CC, KL, SIM and, where the densities are positive, information gain."""
    one, other = np.array(case["maps"])
    (xs, ys), (other_xs, other_ys) = np.array(case["pixels"]).T, np.array(case["others"]).T
    scores = {
        "auc": general_roc(one[ys, xs], one.ravel())[0],
        "shuffled_auc": general_roc(one[ys, xs], one[other_ys, other_xs])[0],
        "nss": metrics.NSS(one, xs, ys).mean(),
        "cc": metrics.CC(one, other),
        "kl": metrics.MIT_KLDiv(one, other),
        "sim": metrics.SIM(one, other),
    }
    if (np.array(case["maps"]) > 0).all():
        stimuli = pysaliency.Stimuli([np.zeros((HEIGHT, WIDTH, 3), np.uint8)])
        fixations = pysaliency.Fixations.create_without_history(xs, ys, np.zeros(len(xs), int))
        gains = Given(one).information_gains(stimuli, fixations, baseline_model=Given(other))
        scores["information_gain"] = np.mean(gains)
    return {name: float(value) for name, value in scores.items()}


def main() -> None:
    """Writes scores.json beside this file."""
    warnings.simplefilter("ignore")
    rng = np.random.default_rng(0)
    scanpaths = {
        name: {"first": one.tolist(), "second": other.tolist(), **scanpath_scores(one, other)}
        for name, (one, other) in pairs(rng).items()
    }
    maps = {name: {**case, **map_scores(case)} for name, case in map_cases(rng).items()}
    packages = ("multimatch-gaze", "pysaliency", "rapidfuzz", "dtw-python", "numpy", "scipy")
    versions = {name: importlib.metadata.version(name) for name in packages}
    file = Path(__file__).with_name("scores.json")
    sizes = {"height": HEIGHT, "width": WIDTH, "bins": BINS}
    file.write_text(json.dumps({"versions": versions, **sizes, "scanpaths": scanpaths, "maps": maps}) + "\n")


if __name__ == "__main__":
    main()
