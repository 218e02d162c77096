"""Statistics, tables, comparisons and decisions: closed forms, documented values at the edges, clear refusals."""

import jax
import numpy as np
import pytest

import foveax as fx
from foveax import analysis
from foveax.analysis.gaze_file import GazeWarning
from foveax.modules import following

SIDES = {"height": 28, "width": 28}
PATHS = np.array([[[0.0, 0.0], [1.0, 0.0], [1.0, 1.0], [1.0, 1.0], [0.0, 0.0]]])


def test_directions_and_turns_of_a_path_along_the_border():
    directions = analysis.saccade_directions(PATHS, **SIDES)
    np.testing.assert_allclose(directions, [[0, -np.pi / 2, np.nan, 3 * np.pi / 4]])
    turns = analysis.saccade_turns(PATHS, **SIDES)
    np.testing.assert_allclose(turns, [[-np.pi / 2, np.nan, np.nan]])


def test_returns_at_each_lag_by_hand():
    np.testing.assert_allclose(analysis.return_rates(PATHS, **SIDES), [1 / 4, 0, 0, 1])


def test_a_bias_to_the_centre_is_measured_in_pixels(rng):
    near = 0.5 + 0.1 * (rng.random((50, 4, 2)) - 0.5)
    far = rng.random((50, 4, 2))
    assert analysis.centre_distances(near, **SIDES).mean() < analysis.centre_distances(far, **SIDES).mean()
    assert analysis.centre_distances(PATHS, height=7, width=9)[0, 0] == 5.0


def test_one_fixation_has_documented_values():
    one = np.full((4, 1, 2), 0.5)
    assert analysis.saccade_amplitudes(one, **SIDES).shape == (4, 0)
    assert analysis.saccade_turns(one, **SIDES).shape == (4, 0)
    assert analysis.return_rates(one, **SIDES).shape == (0,)
    assert np.isnan(analysis.refixation_rate(one, **SIDES))
    assert np.isnan(analysis.multimatch(one, one, **SIDES)).all()
    np.testing.assert_allclose(analysis.dynamic_time_warping(one, one + 1 / 27, **SIDES), np.full(4, np.sqrt(2)))


def test_no_scanpaths_have_documented_values():
    none = np.empty((0, 5, 2))
    assert analysis.saccade_amplitudes(none, **SIDES).shape == (0, 4)
    assert np.isnan(analysis.return_rates(none, **SIDES)).all()
    assert np.isnan(analysis.coverage(none, size=9, **SIDES))
    assert analysis.levenshtein(none, none).shape == (0,)


def test_fixations_outside_the_image_are_measured_where_they_lie():
    outside = np.array([[[0.5, 0.5], [2.0, 0.5]]])
    assert analysis.saccade_amplitudes(outside, height=11, width=11).item() == 15.0
    assert analysis.border_share(outside, **SIDES) == 1.0
    near_edge = analysis.density_map(np.array([[1.05, 0.5]]), height=11, width=11, bandwidth=1.0)
    assert np.unravel_index(near_edge.argmax(), (11, 11)) == (5, 10)


NAN = np.full((2, 3, 2), np.nan)
MAP = np.ones((4, 4))
REFUSED = {
    "shape": (lambda: analysis.saccade_amplitudes(PATHS[0], **SIDES), r"\[N, T, 2\].*got \[5, 2\]"),
    "NaN": (lambda: analysis.refixation_rate(NAN, **SIDES), "finite; 12 of 12 numbers are not"),
    "NaN similarity": (lambda: analysis.scanmatch(NAN, NAN), "finite"),
    "pairs": (
        lambda: analysis.levenshtein(PATHS, np.repeat(PATHS, 2, 0)),
        "first and second must be pairs of scanpaths; got 1 and 2",
    ),
    "durations": (
        lambda: analysis.multimatch(PATHS, PATHS, durations=(np.ones((1, 5)), np.zeros((1, 5))), **SIDES),
        "durations must be positive",
    ),
    "all saccades alike": (lambda: analysis.scanmatch(PATHS[:, :2], PATHS[:, :2]), "threshold must be more than 0"),
    "no points": (lambda: analysis.density_map(np.empty((0, 2)), **SIDES), "N at least 1"),
    "bandwidth": (lambda: analysis.density_map(PATHS[0], bandwidth=0.0, **SIDES), "bandwidth must be more than 0"),
    "far away": (lambda: analysis.density_map(PATHS[0, :1] + 5, **SIDES), "reach the image"),
    "negative density": (lambda: analysis.density_entropy(-MAP), "nowhere negative"),
    "points outside": (lambda: analysis.nss(MAP, np.array([[0.5, 1.2]])), "in the image.*1 of 1"),
    "map of another shape": (lambda: analysis.correlation(MAP, MAP[:2]), r"one shape; got \[4, 4\] and \[2, 4\]"),
    "map with NaN": (lambda: analysis.auc(MAP * np.nan, PATHS[0]), "finite"),
    "map that is none": (lambda: analysis.auc(MAP[0], PATHS[0]), r"\[H, W\]; got \[4\]"),
    "beliefs": (lambda: analysis.reading_time(np.ones((3, 2)), threshold=1.0), r"\[N, T, K\]"),
    "negative beliefs": (lambda: analysis.belief_entropy(np.array([-0.1, 1.1])), "negative"),
    "labels": (lambda: analysis.speed_accuracy(np.ones((3, 2, 4)) / 4, np.zeros(2, int)), r"\[3\]; got int64 \[2\]"),
    "beliefs that do not sum to 1": (lambda: analysis.belief_entropy(np.array([50.0, 50.0])), "must sum to 1"),
    "gap": (lambda: analysis.scanmatch(PATHS, PATHS, threshold=1.0, gap=5.0), "gap must be at most 0; got 5"),
    "no cells": (lambda: analysis.levenshtein(PATHS, PATHS, bins=0), "bins must be a whole number, at least 1; got 0"),
    "no resamples": (
        lambda: analysis.bootstrap_mean(np.ones(3), resamples=0),
        "resamples must be a whole number, at least 1",
    ),
    "observers of another shape": (
        lambda: analysis.observed_densities(PATHS, **SIDES),
        r"\[O, N, T, 2\], .* got \[1, 5, 2\]",
    ),
    "all outside": (
        lambda: analysis.compare_densities(np.full((2, 2, 3, 2), 1.5), {}, **SIDES),
        "none does on image 0",
    ),
    "a class there is not": (
        lambda: analysis.fixation_table(PATHS, probabilities=np.ones((1, 5, 3)) / 3, label=np.array([9]), **SIDES),
        "label must be less than the number of classes, 3; got 9",
    ),
    "beliefs without label": (
        lambda: analysis.fixation_table(PATHS, probabilities=np.ones((1, 5, 3)) / 3, **SIDES),
        "must come with the label",
    ),
    "no values": (lambda: analysis.bootstrap_mean(np.array([])), "N at least 1"),
    "level": (lambda: analysis.bootstrap_mean(np.ones(3), level=95), "level must be"),
    "observers": (lambda: analysis.compare_scanpaths(PATHS, {}, **SIDES), r"\[O, N, T, 2\]"),
    "one observer": (
        lambda: analysis.compare_densities(np.ones((1, 2, 3, 2)) / 2, {}, **SIDES),
        "O at least 2, N at least 1, T at least 2",
    ),
    "no table": (lambda: analysis.fixation_table(PATHS[0], **SIDES), r"\[N, T, 2\]"),
    "probabilities": (
        lambda: analysis.fixation_table(PATHS, probabilities=np.ones((1, 4, 2)) / 2, label=np.zeros(1, int), **SIDES),
        r"must be \[1, 5, K\]; got \[1, 4, 2\]",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_measured_is_refused_in_a_sentence(case):
    call, message = REFUSED[case]
    with pytest.raises(fx.InputError, match=message):
        call()


def believed(rng, images=6, glimpses=4, classes=3):
    """A table, and what it was made of."""
    fixations, beliefs = rng.random((images, glimpses, 2)), rng.dirichlet(np.ones(classes), (images, glimpses))
    label = rng.integers(0, classes, images)
    return (
        analysis.fixation_table(fixations, probabilities=beliefs, label=label, seed=3, **SIDES),
        fixations,
        beliefs,
        label,
    )


def test_table_holds_fixations_and_beliefs(rng):
    table, fixations, beliefs, label = believed(rng)
    row = (table.image == 4) & (table.glimpse == 3)
    assert table.x_pixel[row] == pytest.approx(27 * fixations[4, 2, 0])
    assert table.probability[row] == beliefs[4, 2, label[4]]
    assert table.correct[row] == (beliefs[4, 2].argmax() == label[4])
    assert set(table.seed) == {3}
    assert table.subject is None


def test_table_survives_csv_and_pandas_to_the_last_digit(rng, tmp_path):
    table = believed(rng)[0]._replace(subject=np.repeat(["a, b", 'c"d'], 12))
    analysis.write_csv(tmp_path / "table.csv", table)
    for back in (analysis.read_csv(tmp_path / "table.csv"), analysis.from_pandas(analysis.to_pandas(table))):
        for name, column in table._asdict().items():
            np.testing.assert_array_equal(getattr(back, name), column, err_msg=name)
            assert column is None or getattr(back, name).dtype.kind == column.dtype.kind


def test_scanpaths_are_put_in_order_whatever_the_order_of_rows(rng):
    table, fixations, _, _ = believed(rng)
    shuffled = rng.permutation(len(table.x))
    rows = analysis.FixationTable(
        **{name: column[shuffled] for name, column in table._asdict().items() if column is not None}
    )
    np.testing.assert_array_equal(analysis.to_scanpaths(rows), fixations)


def test_people_s_fixations_drive_the_classifier(rng, tmp_path, digits, small_config):
    """From a CSV file of two subjects, by way of given fixations."""
    head = "subject,image,glimpse,x,y,onset,duration\n"
    places = rng.random((2, 3, 6, 2))
    places[:, :, 0] = 0.5
    lines = [
        f"{who},{image},{glimpse + 1},{places[number, image, glimpse, 0]},{places[number, image, glimpse, 1]},0.1,0.2\n"
        for number, who in enumerate(("anna", "ben"))
        for image in range(3)
        for glimpse in range(6)
    ]
    (tmp_path / "people.csv").write_text(head + "".join(lines))
    table = analysis.read_csv(tmp_path / "people.csv")
    paths = analysis.to_scanpaths(table).reshape(3, 2, 6, 2)  # by image, then subject
    np.testing.assert_array_equal(paths, places.swapaxes(0, 1))
    trials = {
        "image": digits.test["image"][:3],
        "label": digits.test["label"][:3],
        "fixations": paths[:, 1, 1:].astype(np.float32),
    }
    graph = following(fx.standard_pipeline(digits, small_config), "saccader.fixation")
    evaluation = fx.evaluate(graph, fx.init(graph, jax.random.key(0)), trials, key=jax.random.key(1), batch=3)
    np.testing.assert_allclose(evaluation.fixations, places[1], atol=1e-6)


BAD_FILES = {
    "": "must have a line of names and a line for each; .* is empty",
    "image,glimpse,x\n1,1,0.5\n": "must have the columns y; .* has image, glimpse, x: name them as --columns y=...",
    "image,fixation,x,y\n1,1,0.5,0.5\n": "must have the columns glimpse; .*--columns glimpse=...",
    "image,glimpse,x,y\n1,1,0.5\n": "line 2, must have 4 values; got 3",
    "image,glimpse,x,y\n1,1,0.5,0.5\n1,2,left,0.5\n": "line 3: x must be a number; got 'left'",
    "image,glimpse,x,y\n1.5,1,0.5,0.5\n": "line 2: image must be an integer",
    "image,glimpse,x,y\n\n1,1,0.5,inf\n": "line 3: y must be a number; got 'inf'",
    "image,glimpse,x,y\n1,1,400,300\n": "must be fractions of the image.*up to 400, as pixels are: --units pixel",
    "image,glimpse,x,y\n1,1,-0.5,0.5\n1,2,0.9,0.5\n": "from -0.5 to 0.9, as about a centre: --units centred",
    "image,glimpse,x,y,duration\n1,1,0.5,0.5,210\n": "must be in seconds; half of those in .* --times ms",
    "image,glimpse,x,y\n1,1,0.5,0.5\n1,1,0.6,0.5\n": "line 3, column glimpse: .* comes twice, as in line 2",
}


@pytest.mark.parametrize("text", BAD_FILES)
def test_bad_files_are_refused_by_line_and_column(text, tmp_path):
    (tmp_path / "bad.csv").write_text(text)
    with pytest.raises(fx.InputError, match=BAD_FILES[text]):
        analysis.read_csv(tmp_path / "bad.csv")


def test_files_as_spreadsheets_write_them_are_read(tmp_path):
    text = "\ufeffimage,glimpse,x,y,onset\n\n1.0,1,0.5,0.5,0.25\n1.0,2,0.25,0.5,\n\n"
    (tmp_path / "people.csv").write_text(text, encoding="utf-8")
    table = analysis.read_csv(tmp_path / "people.csv")
    assert table.image.tolist() == [1, 1]
    assert table.onset[0] == 0.25
    assert np.isnan(table.onset[1])


TABLE = {"subject": ["anna"] * 3 + ["ben"] * 2, "image": [4, 4, 7, 4, 4], "x": [0.0, 0.5, 1.0, 0.25, 0.75],
         "y": [0.5, 0.25, 0.0, 1.0, 0.5], "duration": [0.2, 0.25, 0.3, 0.1, 0.15]}  # fmt: skip
WRITTEN = {
    "as ours": ({}, ",", "utf-8", (0.0, 1.0), 1.0),
    "semicolons and decimal commas": ({}, ";", "utf-8-sig", (0.0, 1.0), 1.0),
    "tabs in UTF-16": ({}, "\t", "utf-16", (0.0, 1.0), 1.0),
    "pixels and ms": ({"units": "pixel", "image_rect": (100, 50, 401, 401), "times": "ms"}, ",", "utf-8",
                      (100.0, 400.0), 1000.0),
    "about the centre": ({"units": "centred"}, ",", "utf-8", (-1.0, 2.0), 1.0),
}  # fmt: skip


@pytest.mark.parametrize("case", WRITTEN)
def test_one_table_is_read_however_it_is_written(case, tmp_path):
    """Names in capitals or others, fixations counted from 0 with a blink between, and values of other units."""
    options, delimiter, encoding, (low, span), per_second = WRITTEN[case]
    rows = [["WHO", "Trial", "fixation", "X", "y", "DURATION"]]
    for number in range(5):
        x, y = (low + span * TABLE[name][number] for name in ("x", "y"))
        y = y - 50 if case == "pixels and ms" else y
        values = [f"{value:g}" for value in (x, y, per_second * TABLE["duration"][number])]
        if "commas" in case:
            values = [value.replace(".", ",") for value in values]
        first = [TABLE["subject"][number], str(TABLE["image"][number]), str(2 * (number % 3))]
        rows += [first + values, [*first[:2], str(2 * (number % 3) + 1), ".", "", ""]]
    text = "\n".join(delimiter.join(row) for row in rows) + "\n\n"
    (tmp_path / "gaze.csv").write_text(text, encoding=encoding)
    names = {"subject": "who", "image": "trial", "glimpse": "Fixation"}
    with pytest.warns(GazeWarning, match="5 of 10 rows of .* have no place"):
        table = analysis.read_csv(tmp_path / "gaze.csv", columns=names, **options)
    for name in ("subject", "image"):
        assert getattr(table, name).tolist() == TABLE[name]
    for name in ("x", "y", "duration"):
        np.testing.assert_allclose(getattr(table, name), TABLE[name], rtol=1e-6)
    assert table.glimpse.tolist() == [1, 2, 1, 1, 2]


def test_pixels_and_their_place_come_together(tmp_path):
    (tmp_path / "gaze.csv").write_text("image,glimpse,x,y\n1,1,0.5,0.5\n")
    for options in ({"units": "pixel"}, {"image_rect": (0, 0, 10, 10)}, {"units": "pixel", "image_rect": (0, 0, 1, 1)}):
        with pytest.raises(fx.InputError, match="place of the image"):
            analysis.read_csv(tmp_path / "gaze.csv", **options)


def test_scanpaths_are_cut_to_a_length(rng):
    table, fixations, *_ = believed(rng)
    longer = analysis.FixationTable(*(np.append(column, column[-1:]) for column in table[:4]))
    longer.glimpse[-1] = 5
    np.testing.assert_array_equal(analysis.to_scanpaths(longer, length=3), fixations[:, :3])
    with pytest.raises(fx.InputError, match="at least 5 fixations long"):
        analysis.to_scanpaths(longer, length=5)


def test_short_scanpaths_are_compared_by_the_same_scores_in_every_row(rng):
    """MultiMatch needs three fixations: where one has fewer, no row shows it."""
    observers = rng.random((2, 5, 4, 2))
    rows = analysis.compare_scanpaths(observers, {"short": observers[0][:, :2]}, **SIDES)
    assert {tuple(scores) for scores in rows.values()} == {("scanmatch", "levenshtein", "time warping")}


def test_scanpaths_of_unequal_length_or_with_gaps_are_refused(rng):
    table = believed(rng)[0]
    with pytest.raises(fx.InputError, match="equally long"):
        analysis.to_scanpaths(analysis.FixationTable(*(column[:-1] for column in table[:4])))
    with pytest.raises(fx.InputError, match="numbered from 1"):
        analysis.to_scanpaths(analysis.FixationTable(table.image, table.glimpse + 1, table.x, table.y))


def test_observers_who_look_alike_are_nearer_than_every_control(rng):
    places = rng.random((1, 40, 5, 2))
    observers = np.clip(places + 0.03 * rng.normal(size=(3, 40, 5, 2)), 0, 1)
    rows = analysis.compare_scanpaths(observers, {"the places": places[0]}, **SIDES)
    assert list(rows) == ["the places", "another image", "random", "centre", "between observers"]
    for name in ("scanmatch", "multimatch position"):
        for control in ("another image", "random", "centre"):
            assert rows["the places"][name].low > rows[control][name].high
    maps = analysis.compare_densities(observers, {"flat": np.full((40, 28, 28), 0.1)}, **SIDES)
    assert maps["between observers"]["information gain"].low > 0
    assert maps["between observers"]["shuffled AUC"].low > 0.8
    assert maps["another image"]["shuffled AUC"].high < 0.6
    assert maps["flat"]["AUC"].mean == maps["uniform"]["AUC"].mean == 0.5
    assert maps["flat"]["NSS"].mean == maps["flat"]["CC"].mean == 0.0
    assert maps["all images"]["information gain"].mean == pytest.approx(0, abs=1e-12)


def test_looking_longer_costs_glimpses_and_buys_accuracy():
    """Beliefs that grow: each image's evidence arrives at its own glimpse, from which on it is known."""
    arrival = np.array([0, 1, 2, 3])
    known = np.arange(4)[None] >= arrival[:, None]
    beliefs = np.where(known[..., None], np.array([0.0, 1.0]), np.array([0.6, 0.4]))
    curve = analysis.speed_accuracy(beliefs, np.ones(4, int), thresholds=np.array([2.0, 0.5]))
    assert curve.glimpses.tolist() == [1.0, 2.5]
    assert curve.accuracy.tolist() == [0.25, 1.0]
    assert analysis.reading_time(beliefs, threshold=0.5).tolist() == [1, 2, 3, 4]


def test_an_allocation_is_worth_what_it_gains_over_a_deal_at_random(rng):
    """Against dealing the same numbers out a thousand times; who knows when to stop loses most in reverse."""
    arrival = rng.choice([1, 3, 5], 400, p=[0.45, 0.1, 0.45])
    sure = np.arange(1, 6)[None] >= arrival[:, None]
    beliefs = np.where(sure[..., None], np.array([0.05, 0.95]), np.array([0.55, 0.45]))
    label = np.ones(400, int)
    own, by_chance, reverse = analysis.allocation(beliefs, label, arrival)
    correct = beliefs.argmax(axis=-1) == 1
    dealt = [correct[np.arange(400), rng.permutation(arrival) - 1].mean() for _ in range(1000)]
    assert own == 1
    assert by_chance == pytest.approx(np.mean(dealt), abs=0.002)
    assert reverse < min(dealt)
    same = analysis.allocation(beliefs, label, np.full(400, 3))
    assert same.own == same.reversed == pytest.approx(same.random)
    with pytest.raises(fx.InputError, match="glimpses must lie from 1 to 5; got 0 to 4"):
        analysis.allocation(beliefs, label, arrival - 1)
