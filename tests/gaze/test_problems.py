"""Bad gaze data: each problem is a sentence that names row and column, and the table stays as it is."""

import numpy as np
import pytest

import foveax as fx
from foveax import analysis, gaze
from foveax.analysis.gaze_file import GazeWarning


def table(**changes):
    """Two good trials of three fixations, with changes: by column, a value by row."""
    columns = {
        "image": np.array([0, 0, 0, 1, 1, 1]),
        "glimpse": np.array([1, 2, 3] * 2),
        "x": np.full(6, 0.5),
        "y": np.full(6, 0.25),
        "subject": np.array(["anna"] * 6),
        "onset": np.array([0.0, 0.2, 0.4] * 2),
        "duration": np.full(6, 0.1),
        "trial": np.array([1, 1, 1, 2, 2, 2]),
        "stimulus": np.array(["a"] * 3 + ["b"] * 3),
    }
    for name, values in changes.items():
        columns[name] = columns[name].astype("U9") if name == "stimulus" else columns[name].copy()
        for row, value in values.items():
            columns[name][row] = value
    return analysis.FixationTable(**columns)


IMAGES = np.zeros((2, 4, 4, 1))
BAD = {
    "outside": ({"x": {1: -0.2, 2: 1.1}}, "rows 2 to 3, column x: places must lie in the image.*got -0.2", False),
    "missing": ({"y": {3: np.nan, 4: np.nan}}, "rows 4 to 5, column y: places must be known; got none", False),
    "negative duration": ({"duration": {5: -0.1}}, "row 6, column duration: .* not be negative; got -0.1", True),
    "unsorted onset": (
        {"onset": {2: 0.1}},
        "row 3, column onset: .* not decrease within a scanpath; got 0.1 after",
        True,
    ),
    "duplicate": ({"trial": {3: 1}}, "row 4, column trial: .* of one image; got trial 1 on image 1, and on 0", True),
    "duplicate fixation": ({"glimpse": {1: 1}}, "row 2, column glimpse: .* once; got 1 again, as in row 1", True),
    "unknown image": ({"image": {3: 7, 4: 7, 5: 7}}, "rows 4 to 6, column image: .* 0 to 1; got 7", True),
    "unknown stimulus": (
        {"stimulus": {0: "c"}},
        "row 1, column stimulus: .* among the 2 that are known; got 'c'",
        True,
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_each_problem_names_row_and_column(case):
    changes, sentence, refused = BAD[case]
    bad = table(**changes)
    before = [None if column is None else column.copy() for column in bad]
    found = gaze.gaze_problems(bad, images=IMAGES, stimuli=("a", "b"))
    assert len(found) == 1
    assert found[0].refused == refused
    if refused:
        with pytest.raises(fx.InputError, match=sentence):
            gaze.check_gaze(bad, images=IMAGES, stimuli=("a", "b"))
    else:
        with pytest.warns(GazeWarning, match=sentence):
            gaze.check_gaze(bad, images=IMAGES, stimuli=("a", "b"))
    for column, untouched in zip(bad, before, strict=True):
        np.testing.assert_array_equal(column, untouched)


def test_good_gaze_has_no_problem():
    assert gaze.check_gaze(table(), images=IMAGES, stimuli=("a", "b")) == []


def test_several_problems_are_counted():
    bad = table(duration={0: -1.0, 2: -1.0}, onset={2: 0.1})
    with pytest.raises(fx.InputError, match=r"row 1, column duration.*\(and 2 more\)"):
        gaze.check_gaze(bad)


@pytest.mark.parametrize("axis", ["x", "y", None])
def test_a_wrong_origin_is_seen_in_a_mirrored_centre_of_mass(axis, rng):
    """Images with a bright blob; people look near it, measured from the other edge along one axis."""
    blobs = rng.integers(2, 18, (30, 2))
    images = np.zeros((30, 20, 20, 1))
    images[np.arange(30), blobs[:, 1], blobs[:, 0]] = 1
    places = blobs[:, None] / 19 + rng.normal(0, 0.1, (30, 5, 2))
    if axis:
        column = "xy".index(axis)
        places[..., column] = 1 - places[..., column]
    looked = analysis.fixation_table(np.clip(places, 0, 1), height=20, width=20)
    found = gaze.gaze_problems(looked, images=images)
    assert [(problem.kind, problem.column) for problem in found] == ([("mirrored", axis)] if axis else [])
    if axis:
        edge = {"x": "left", "y": "top"}[axis]
        assert found[0].sentence.startswith(f"rows 1 to 150, column {axis}: {axis} must be measured from the {edge}")


def test_people_who_do_not_follow_the_image_are_not_warned_of(rng):
    images = rng.random((200, 8, 8, 1))
    looked = analysis.fixation_table(rng.random((200, 4, 2)), height=8, width=8)
    assert gaze.gaze_problems(looked, images=images) == []
