"""Scores of scanpaths and maps equal those of other libraries, to 1e-6; `golden/make_scores.py` made the values."""

import json
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from foveax import analysis

GOLDEN = json.loads((Path(__file__).parent / "golden" / "scores.json").read_text())
HEIGHT, WIDTH, BINS = GOLDEN["height"], GOLDEN["width"], GOLDEN["bins"]
SIDES = {"height": HEIGHT, "width": WIDTH}


@pytest.fixture(params=GOLDEN["scanpaths"])
def pair(request):
    """Two scanpaths ``[1, T, 2]``, their durations, and the scores of other libraries."""
    case = GOLDEN["scanpaths"][request.param]
    first, second = np.array(case["first"])[None], np.array(case["second"])[None]
    return first[..., :2], second[..., :2], (first[..., 2], second[..., 2]), case


def test_multimatch_is_that_of_multimatch_gaze(pair):
    first, second, durations, case = pair
    ours = analysis.multimatch(first, second, durations=durations, **SIDES)
    np.testing.assert_allclose(np.ravel(ours), case["multimatch"], atol=1e-6)


def test_time_warping_is_that_of_dtw_python(pair):
    first, second, _, case = pair
    ours = analysis.dynamic_time_warping(first, second, **SIDES)
    np.testing.assert_allclose(ours, [case["time_warping"]], rtol=1e-6)


def test_edit_distance_is_that_of_rapidfuzz(pair):
    first, second, _, case = pair
    assert analysis.levenshtein(first, second, bins=BINS).tolist() == [case["levenshtein"]]


@pytest.fixture(params=GOLDEN["maps"])
def scored(request):
    """Two maps, fixated points, points on other images, and the scores of pysaliency."""
    case = GOLDEN["maps"][request.param]
    sides = np.array([WIDTH - 1, HEIGHT - 1])
    return *np.array(case["maps"]), np.array(case["pixels"]) / sides, np.array(case["others"]) / sides, case


def test_saliency_scores_are_those_of_pysaliency(scored):
    saliency, density, points, others, case = scored
    ours = {
        "auc": analysis.auc(saliency, points),
        "shuffled_auc": analysis.auc(saliency, points, others),
        "nss": analysis.nss(saliency, points),
        "cc": analysis.correlation(saliency, density),
        "kl": analysis.kl_divergence(saliency, density),
        "sim": analysis.intersection(saliency, density),
    }
    if "information_gain" in case:
        ours["information_gain"] = analysis.information_gain(saliency, density, points)
    assert ours == pytest.approx({name: case[name] for name in ours}, abs=1e-6, rel=1e-6)


def test_density_is_the_sum_of_normal_densities(rng):
    points = rng.random((20, 2))
    grid = np.stack(np.meshgrid(np.arange(WIDTH), np.arange(HEIGHT)), axis=-1)
    kernels = [stats.multivariate_normal(point * [WIDTH - 1, HEIGHT - 1], 9.0).pdf(grid) for point in points]
    expected = np.sum(kernels, axis=0)
    ours = analysis.density_map(points, bandwidth=3.0, **SIDES)
    np.testing.assert_allclose(ours, expected / expected.sum(), atol=1e-12)


def test_entropies_are_those_of_scipy(rng):
    density = rng.random((HEIGHT, WIDTH))
    assert analysis.density_entropy(density) == pytest.approx(stats.entropy(density.ravel(), base=2))
    beliefs = rng.dirichlet(np.ones(5), (7, 3))
    np.testing.assert_allclose(analysis.belief_entropy(beliefs), stats.entropy(beliefs, base=2, axis=-1), atol=1e-12)


def test_scanmatch_is_the_best_of_all_alignments(rng):
    """Against every alignment there is, tried one by one."""
    first, second = rng.random((6, 4, 2)), rng.random((6, 3, 2))
    threshold, gap = 2.5, -0.4

    def best(one, other):
        if not len(one) or not len(other):
            return gap * (len(one) + len(other))
        paired = threshold - np.linalg.norm(one[0] - other[0]) + best(one[1:], other[1:])
        return max(paired, gap + best(one[1:], other), gap + best(one, other[1:]))

    cells = [np.floor(paths * BINS) for paths in (first, second)]
    expected = [best(one, other) / (threshold * 4) for one, other in zip(*cells, strict=True)]
    ours = analysis.scanmatch(first, second, bins=BINS, threshold=threshold, gap=gap)
    np.testing.assert_allclose(ours, expected, rtol=1e-12)


def test_bootstrap_interval_is_that_of_the_normal_mean(rng):
    """Of many values: the mean plus and minus 1.96 standard errors."""
    values = rng.normal(3, 2, 2000)
    interval = analysis.bootstrap_mean(values, resamples=4000)
    error = values.std() / np.sqrt(len(values))
    np.testing.assert_allclose(interval[1:], values.mean() + 1.96 * error * np.array([-1, 1]), atol=0.1 * error)
