"""Scanpaths from files: runs that follow them, and one run under several sources."""

import dataclasses

import jax
import numpy as np
import pytest
import tiny
from command import printed, refused

import foveax as fx
from foveax.runs.scanpaths import follow_scanpaths, trials, write_scanpaths


@pytest.fixture
def paths(tmp_path, rng):
    train, test = rng.random((2, 32, 5, 2), np.float32)
    write_scanpaths(tmp_path / "paths.npz", train, test)
    return tmp_path / "paths.npz", train, test


def config(fixations, **changes):
    return dataclasses.replace(tiny.CONFIG, fixations=str(fixations), **changes)


def evaluated(run):
    return fx.evaluate(run.graph, run.params, run.data.test, key=jax.random.key(0))


def test_run_follows_a_file_and_is_loaded_with_it(paths, tmp_path):
    file, _, test = paths
    data = tiny.data()
    tiny.train(tmp_path / "run", data, config=config(file))
    run = fx.load_run(tmp_path / "run", data)
    np.testing.assert_array_equal(evaluated(run).fixations[:, 1:], test[:, 1:3])
    assert run.graph.agents == []
    write_scanpaths(file, 1 - test, test)
    with pytest.raises(fx.InputError, match=r"data must be those that run .* fixations holds other values"):
        fx.load_run(tmp_path / "run", data)


def test_permuted_scanpaths_are_those_of_other_images(paths):
    file, train, test = paths
    data = follow_scanpaths(tiny.data(), f"permuted:{file}")
    for split, own in ((data.train, train), (data.test, test)):
        dealt = split["fixations"]
        assert sorted(dealt.sum((1, 2))) == pytest.approx(sorted(own[:, 1:].sum((1, 2))))
        assert not (dealt == own[:, 1:]).all((1, 2)).any()


def test_first_fixation_is_that_of_the_file_if_it_is_given(paths):
    file, train, _ = paths
    np.testing.assert_array_equal(follow_scanpaths(tiny.data(), str(file), first=True).train["first"], train[:, 0])


def test_people_are_trials_of_the_images_that_they_looked_at(tmp_path):
    lines = ["subject,image,glimpse,x,y"]
    for subject, image, fixations in (("ann", 3, 4), ("ann", 5, 2), ("bob", 3, 3)):
        lines += [f"{subject},{image},{t + 1},{0.1 * t:.1f},{0.01 * image:.2f}" for t in range(fixations)]
    (tmp_path / "people.csv").write_text("\n".join(lines))
    split = tiny.data().test
    shown = trials(split, str(tmp_path / "people.csv"), glimpses=3)
    np.testing.assert_array_equal(shown["image"], split["image"][[3, 3]])
    np.testing.assert_allclose(shown["fixations"], np.tile([[[0.1, 0.03], [0.2, 0.03]]], (2, 1, 1)), atol=1e-6)
    with pytest.raises(fx.InputError, match=r"must hold scanpaths of 5 fixations at least, .* 0 are so long"):
        trials(split, str(tmp_path / "people.csv"), glimpses=5)
    with pytest.raises(fx.InputError, match=r"must be a \.npz file, of both splits"):
        follow_scanpaths(tiny.data(), str(tmp_path / "people.csv"))


def test_one_word_changes_the_eye_of_a_pipeline_of_ones_own(tmp_path):
    def own(data):
        return fx.standard_pipeline(data, tiny.PIPELINE)

    plain = dataclasses.replace(tiny.CONFIG, pipeline=fx.PipelineConfig(), fixations="corners")
    result = tiny.train(tmp_path / "run", config=plain, pipeline=own)
    assert result.graph.agents == []
    run = fx.load_run(tmp_path / "run", tiny.data(), pipeline=own)
    np.testing.assert_array_equal(evaluated(run).fixations[0], [[0.5, 0.5], [0.25, 0.25], [0.75, 0.25]])


@pytest.mark.slow
def test_commands_hand_scanpaths_from_run_to_run(tmp_path, capsys):
    data = tiny.write_npz(tmp_path / "data.npz")
    flags = ["--data", data, *tiny.FLAGS]
    printed(capsys, "train", *flags, "--out", tmp_path / "learned")
    assert "32 and 32 scanpaths" in printed(capsys, "export", tmp_path / "learned", "--format", "scanpaths")
    file = tmp_path / "learned" / "scanpaths.npz"
    printed(capsys, "train", *flags, "--fixations", file, "--out", tmp_path / "given")
    lines = printed(
        capsys, "evaluate", tmp_path / "learned", "--fixations", "centre_biased", "permuted", file, f"permuted:{file}"
    ).splitlines()
    names = ["learned", "fixations centre_biased", "fixations permuted", "fixations scanpaths.npz"]
    rows = {name: next(line for line in lines if line.startswith(f"{name} ")).split() for name in names}
    assert sum(line.startswith("fixations ") for line in lines) == 4
    assert rows["fixations scanpaths.npz"][2:5] == rows["learned"][1:4]
    assert "fixations must be one of learned, centre" in refused(capsys, "train", *flags, "--fixations", "people")
    assert "scanpaths must be of 6 fixations at least; scanpaths.npz has 3" in refused(
        capsys, "train", *flags, "--glimpses", "6", "--fixations", file
    )


def test_what_is_refused(paths, tmp_path):
    file, train, test = paths
    with pytest.raises(fx.InputError, match="one of fixations and policy must say what moves the eye"):
        config("random", pipeline=fx.PipelineConfig(policy="centre"))
    with pytest.raises(fx.InputError, match="images that stay where they are"):
        config(file, task="translated")
    write_scanpaths(file, train[:31], test)
    with pytest.raises(fx.InputError, match="must be one for each of 32 images; got 31"):
        follow_scanpaths(tiny.data(), str(file))
    with pytest.raises(fx.InputError, match=r"fixations must lie in \[0, 1\]"):
        write_scanpaths(file, train + 1, test)
    (tmp_path / "bad.npz").write_bytes(b"no archive")
    with pytest.raises(fx.InputError, match=r"must be a \.npz file of plain arrays"):
        follow_scanpaths(tiny.data(), str(tmp_path / "bad.npz"))
