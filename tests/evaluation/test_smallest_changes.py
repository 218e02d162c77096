"""Smallest changes of the gaze and the class: of an eye whose gaze is a known function of the image."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from foveax.evaluation import smallest_changes as module
from foveax.evaluation.gaze_attacks import Response
from foveax.evaluation.smallest_changes import format_smallest, smallest_changes, summary

SHAPE, NUMBER, DISTANCE = (3, 3, 1), 5, 0.25


def respond(params, inputs, image, key):
    """A gaze that moves with the mean of the upper rows, and a class that is 1 above a sum of 2 in the lowest."""
    upper, lowest = jnp.mean(image[:2]), jnp.sum(image[2])
    fixations = jnp.zeros((4, 2)).at[2, 0].set(params * upper)
    return Response(jnp.stack([jnp.zeros(2), jnp.stack([2.0 - lowest, lowest - 2.0])]), fixations, {})


@pytest.fixture
def given():
    image = np.random.default_rng(0).uniform(0.3, 0.4, (NUMBER, *SHAPE)).astype(np.float32)
    fixations = np.stack([np.asarray(respond(1.0, {}, each, None).fixations) for each in image])
    return {"image": image, "label": np.zeros(NUMBER, np.int32), "fixations": fixations}


def test_distances_are_those_of_the_known_gaze(given, tmp_path):
    keys = jax.random.split(jax.random.key(0), NUMBER)
    shares: list[float] = []
    options = {"distance": DISTANCE, "folder": tmp_path, "batch": 3, "report": lambda line, share: shares.append(share)}
    found = smallest_changes(respond, jnp.float32(1.0), given, keys, **options)
    lacks = np.sort((2 - given["image"][:, 2].sum(axis=(1, 2))) / 3)  # of each pixel of the lowest row
    for name, each, pixels in (("class", lacks, 3), ("gaze", np.full(NUMBER, DISTANCE), 6)):
        for norm, length in (("linf", 1.0), ("l2", np.sqrt(pixels))):
            row = found[f"{name}, {norm}"]
            assert (row["images"], row["found"]) == (NUMBER, 1.0)
            np.testing.assert_allclose(quartiles(row), np.quantile(each, [0.25, 0.5, 0.75]) * length, rtol=0.02)
    for norm, length in (("linf", 1.0), ("l2", np.sqrt(6))):  # the lowest row can stay as it is
        np.testing.assert_allclose(quartiles(found[f"gaze, same class, {norm}"]), DISTANCE * length, rtol=0.02)
    assert len(format_smallest(found)) == 1 + len(found)
    np.testing.assert_allclose(shares, np.arange(1, 7) / 6)
    files = sorted(tmp_path.iterdir())
    files[0].unlink()
    assert smallest_changes(respond, jnp.float32(1.0), given, keys, **options) == found
    assert sorted(tmp_path.iterdir()) == files


def test_a_gaze_that_cannot_move_is_not_found_to_move(given, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "BALLS", {"linf": module.linf})
    keys = jax.random.split(jax.random.key(0), NUMBER)
    still = {**given, "fixations": 0 * given["fixations"]}
    options = {"distance": DISTANCE, "folder": tmp_path, "batch": 5, "report": lambda line, share: None}
    found = smallest_changes(respond, jnp.float32(0.0), still, keys, **options)
    assert found["gaze, linf"]["found"] == 0
    assert quartiles(found["gaze, linf"]) == [None] * 3
    assert "none, none, none" in format_smallest(found)[2]


def test_a_graph_without_a_gaze_has_a_class_alone(given):
    blind = {**given, "fixations": np.zeros((NUMBER, 1, 2), np.float32)}
    one = jax.tree.map(lambda array: array[0], blind)
    assert list(module.goals(None, one, DISTANCE)) == ["class"]


def test_quartiles_count_images_on_which_no_change_was_found():
    row = summary(np.array([np.inf, 1.0, np.inf, np.inf]))
    assert (row["images"], row["found"], quartiles(row)) == (4, 0.25, [1.0, None, None])


def quartiles(row):
    return [row["lower quartile"], row["median"], row["upper quartile"]]
