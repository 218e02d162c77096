"""Dissimilarity matrices: against SciPy, and where it is installed against rsatoolbox."""

import pickle

import numpy as np
import pytest
from scipy import stats
from scipy.spatial.distance import pdist

import foveax as fx
from foveax.analysis import class_means, dissimilarities, noise_ceiling, rdm_likeness, write_rdms

METHODS = ("corr", "cosine", "spearman")


def test_dissimilarities_are_those_of_scipy(rng):
    patterns = rng.normal(size=(3, 6, 10))
    for one, correlation, euclidean in zip(
        patterns, dissimilarities(patterns), dissimilarities(patterns, "squared euclidean"), strict=True
    ):
        np.testing.assert_allclose(correlation, pdist(one, "correlation"))
        np.testing.assert_allclose(euclidean, pdist(one, "sqeuclidean") / 10)


def test_likeness_is_that_of_scipy(rng):
    first, second = rng.integers(0, 9, (2, 15)).astype(float), rng.integers(0, 9, (3, 15)).astype(float)
    for row, column in np.ndindex(2, 3):
        pair = first[row], second[column]
        wanted = {
            "corr": stats.pearsonr(*pair).statistic,
            "spearman": stats.spearmanr(*pair).statistic,
            "cosine": pair[0] @ pair[1] / np.linalg.norm(pair[0]) / np.linalg.norm(pair[1]),
        }
        for method in METHODS:
            assert rdm_likeness(first, second, method)[row, column] == pytest.approx(wanted[method])


def test_noise_ceiling_holds_the_truth_and_is_one_without_noise(rng):
    truth = rng.random((1, 45))
    noisy = truth + 0.2 * rng.normal(size=(8, 45))
    for method in METHODS:
        low, high = noise_ceiling(noisy, method)
        assert low < rdm_likeness(noisy, truth, method).mean() < high < 1
        assert noise_ceiling(np.repeat(truth, 3, axis=0), method) == pytest.approx((1, 1))


def test_class_means(rng):
    activity, label = rng.normal(size=(12, 3, 2, 2)), np.arange(12) % 4
    means = class_means(activity, label)
    assert means.shape == (3, 4, 4)
    np.testing.assert_allclose(means[1, 2], activity[label == 2, 1].mean(0).ravel())


def test_file_holds_what_rsatoolbox_asks_for(rng, tmp_path):
    """The keys of ``rsatoolbox.rdm.rdms_from_dict`` 0.3.2."""
    matrices = rng.random((2, 6))
    names = {"matrix_names": {"glimpse": [1, 2]}, "pattern_names": {"class": list("abcd")}}
    write_rdms(tmp_path / "rdms.pkl", matrices, **names)
    stored = pickle.loads((tmp_path / "rdms.pkl").read_bytes())
    np.testing.assert_array_equal(stored.pop("dissimilarities"), matrices)
    assert stored == {
        "descriptors": {},
        "rdm_descriptors": {"index": [0, 1], "glimpse": [1, 2]},
        "pattern_descriptors": {"index": [0, 1, 2, 3], "class": ["a", "b", "c", "d"]},
        "dissimilarity_measure": "correlation",
    }


def test_rsatoolbox_reads_the_file_and_agrees(rng, tmp_path):
    rsatoolbox = pytest.importorskip("rsatoolbox")
    from rsatoolbox.inference import boot_noise_ceiling

    patterns = rng.normal(size=(5, 7, 20)) + rng.normal(size=(1, 7, 20))
    matrices = dissimilarities(patterns)
    write_rdms(tmp_path / "rdms.pkl", matrices, pattern_names={"class": list("abcdefg")})
    with (tmp_path / "rdms.pkl").open("rb") as file:
        read = rsatoolbox.rdm.load_rdm(file, "pkl")
    np.testing.assert_array_equal(read.get_vectors(), matrices)
    assert read.subset_pattern("class", ["b", "c"]).dissimilarities[0, 0] == matrices[0, 6]
    theirs = rsatoolbox.rdm.calc_rdm(rsatoolbox.data.Dataset(patterns[0]), method="correlation")
    np.testing.assert_allclose(theirs.dissimilarities[0], matrices[0])
    for method in METHODS:
        np.testing.assert_allclose(noise_ceiling(matrices, method), boot_noise_ceiling(read, method), atol=1e-9)
        compared = rsatoolbox.rdm.compare(read, read, method)
        np.testing.assert_allclose(rdm_likeness(matrices, matrices, method), compared, atol=1e-9)


def test_what_is_refused(rng, tmp_path):
    with pytest.raises(fx.InputError, match="P at least 2"):
        dissimilarities(np.zeros((1, 3)))
    with pytest.raises(fx.InputError, match="distance must be one of correlation, squared euclidean; got 'cosine'"):
        dissimilarities(np.zeros((3, 3)), "cosine")  # pyright: ignore
    with pytest.raises(fx.InputError, match=r"\[R, P \(P - 1\) / 2\]"):
        rdm_likeness(np.zeros((1, 5)), np.zeros((1, 5)))
    with pytest.raises(fx.InputError, match="2 subjects at least"):
        noise_ceiling(rng.random((1, 6)))
    with pytest.raises(fx.InputError, match="pattern_names must be one for each of 4; got 2 of class"):
        write_rdms(tmp_path / "a.pkl", rng.random((1, 6)), pattern_names={"class": ["a", "b"]})
    with pytest.raises(fx.InputError, match=r"must end in \.pkl"):
        write_rdms(tmp_path / "a.h5", rng.random((1, 6)))
