"""Figures draw what they are given: read back from the axes, and from the files."""

import itertools

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

import foveax as fx
from foveax import analysis, plot

SIDES = {"height": 28, "width": 28}


@pytest.fixture
def ax():
    return Figure(figsize=(3, 3), layout="constrained").add_subplot()


@pytest.fixture
def paths(rng):
    return np.concatenate([np.full((60, 1, 2), 0.5), rng.random((60, 5, 2))], axis=1)


def drawn(ax):
    """The pixels of the axes' figure; layout warnings are errors here."""
    canvas = FigureCanvasAgg(ax.figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())


def test_scanpath_numbers_its_fixations_where_they_lie(ax, paths, digits):
    plot.scanpath(digits.test["image"][0], paths[0], size=9, ax=ax)
    numbers = {text.get_text(): text.xy for text in ax.texts if text.get_text()}
    assert list(numbers) == ["1", "2", "3", "4", "5", "6"]
    np.testing.assert_allclose(list(numbers.values()), 27 * paths[0])
    markers = [line.get_marker() for line in ax.lines]
    assert markers == ["s", "o", "o", "o", "o", "D"]
    assert drawn(ax).std() > 0


@pytest.mark.parametrize("colour", [(230, 159, 0), (213, 94, 0), (86, 180, 233), (0, 0, 0), (255, 255, 255)])
def test_scanpath_shows_on_a_picture_of_its_own_colours(colour):
    """Along each saccade some pixel of the drawing is far from the picture in brightness."""
    image = np.broadcast_to(np.array(colour, np.uint8), (40, 40, 3))
    path = np.array([[0.2, 0.2], [0.8, 0.2], [0.8, 0.8], [0.2, 0.8]])
    ax = Figure(figsize=(3, 3)).add_axes((0, 0, 1, 1))
    plot.scanpath(image, path, ax=ax)
    brightness = drawn(ax)[..., :3].mean(axis=-1)
    for (x, y), (right, down) in itertools.pairwise(path):
        column, row = ax.transData.transform((39 * (x + right) / 2, 39 * (y + down) / 2)).round().astype(int)
        around = brightness[len(brightness) - 1 - row - 4 : len(brightness) - row + 4, column - 4 : column + 5]
        assert np.abs(around - np.mean(colour)).max() > 60


def test_a_fixation_off_the_image_moves_no_axes(ax, paths, digits):
    image = digits.test["image"][0]
    plot.scanpath(image, paths[0], ax=ax)
    limits = ax.get_xlim(), ax.get_ylim()
    outside = paths[0].copy()
    outside[2:4] = [[1.3, 0.5], [0.5, -0.2]]
    other = plot.scanpath(image, outside, size=9, ax=Figure().add_subplot())
    assert (other.get_xlim(), other.get_ylim()) == limits
    markers = [line for line in other.lines if line.get_label() == "outside the image"]
    assert [tuple(np.ravel(line.get_xydata())) for line in markers] == [(27, 13.5), (13.5, 0)]
    named = [text.get_text() for text in other.get_legend().get_texts()]
    assert named == ["first", "outside the image", "last", "crop at the last"]


def test_numbers_of_near_fixations_stand_together_and_cover_no_other():
    """None of 200 numbers lies on another, but for those of one place, which are one text."""
    path = np.tile([[0.5, 0.5], [0.3, 0.7]], (3, 1))
    ax = plot.scanpath(np.zeros((28, 28, 1)), path, ax=Figure().add_subplot())
    assert [text.get_text() for text in ax.texts if text.get_text()] == ["1 3 5", "2 4 6"]
    for seed in range(3):
        ax = Figure(figsize=(3, 3), layout="constrained").add_subplot()
        plot.scanpath(np.zeros((28, 28, 1)), np.random.default_rng(seed).random((6, 2)), ax=ax)
        drawn(ax)
        boxes = [text.get_window_extent() for text in ax.texts if text.get_text()]
        assert not [one for one, other in itertools.combinations(boxes, 2) if one.shrunk(0.8, 0.8).overlaps(other)]


@pytest.mark.parametrize("glimpses", [1, 3, 6])
def test_titles_of_densities_are_not_cut(glimpses):
    figure = plot.densities(np.random.default_rng(0).random((9, glimpses, 2)), height=28, width=28)
    figure.draw_without_rendering()
    assert all(ax.title.get_window_extent().y1 <= figure.bbox.y1 for ax in figure.axes)


def test_crops_are_those_of_the_retina(ax, paths, digits):
    image = digits.test["image"][0]
    plot.crops(image, paths[0], size=9, scales=2, ax=ax)
    pixels = ax.images[0].get_array()
    expected = fx.foveate(image, paths[0, 3].astype(np.float32), size=9, scales=2)
    np.testing.assert_allclose(pixels[:9, 30:39], expected[0, ..., 0], atol=1e-6)
    np.testing.assert_allclose(pixels[10:19, 30:39], expected[1, ..., 0], atol=1e-6)


def test_reconstruction_is_the_image_where_a_crop_lay_and_grey_elsewhere(ax):
    image = np.random.default_rng(0).random((21, 21, 1))
    plot.reconstruction(image, np.array([[0.5, 0.5]]), size=5, ax=ax)
    pixels = np.array(ax.images[0].get_array())
    np.testing.assert_allclose(pixels[8:13, 8:13], image[8:13, 8:13, 0], atol=1e-6)
    pixels[8:13, 8:13] = 0.5
    assert (pixels == 0.5).all()


def test_histograms_hold_every_saccade(ax, paths):
    plot.amplitudes(paths, **SIDES, ax=ax)
    assert sum(bar.get_height() for bar in ax.patches) == pytest.approx(1)
    polar = Figure().add_subplot(projection="polar")
    plot.directions(paths, **SIDES, ax=polar)
    assert sum(bar.get_height() ** 2 for bar in polar.patches) == pytest.approx(1)


def test_directions_point_where_saccades_go():
    up = np.array([[[0.5, 0.5], [0.5, 0.1]]] * 3)
    polar = Figure().add_subplot(projection="polar")
    plot.directions(up, **SIDES, ax=polar)
    (bar,) = [bar for bar in polar.patches if bar.get_height() > 0]
    assert bar.get_x() <= np.pi / 2 <= bar.get_x() + bar.get_width()


def test_field_points_from_where_saccades_begin_to_where_they_end(ax):
    to_the_right = np.array([[[0.1, 0.5], [0.9, 0.5]]] * 4)
    plot.policy_field(to_the_right, image=np.zeros((28, 28, 1), np.uint8), ax=ax)
    arrows = ax.collections[0]
    np.testing.assert_allclose([arrows.U, arrows.V], [[0.8 * 27], [0]], atol=1e-9)


def test_lines_differ_without_colour(ax):
    plot.accuracy_by_glimpse({name: np.linspace(0, 1, 6) for name in "abcdef"}, ax=ax)
    assert len({(line.get_linestyle(), line.get_marker()) for line in ax.lines}) == 6
    np.testing.assert_allclose(ax.lines[0].get_ydata(), np.linspace(0, 100, 6))


def test_accuracy_of_scores_is_their_mean_in_its_interval_above_chance(ax, rng):
    scores = (rng.random((400, 6)) < 0.3).astype(np.float32)
    plot.accuracy_by_glimpse({"own": scores}, chance=0.25, ax=ax)
    np.testing.assert_allclose(ax.lines[0].get_ydata(), 100 * scores.mean(axis=0))
    corners = ax.collections[0].get_paths()[0].vertices
    deviation = 100 * scores[:, 0].std() / 20
    at_first = corners[corners[:, 0] == 1, 1]
    np.testing.assert_allclose(np.ptp(at_first), 2 * 1.96 * deviation, rtol=0.1)  # that of a normal distribution
    assert ax.lines[1].get_ydata() == [25, 25]
    assert ax.get_legend().get_title().get_text() == "n = 400 images; bands: 95 % intervals"


def test_chance_far_below_is_named_and_presses_no_line(ax):
    plot.accuracy_by_glimpse({"own": np.linspace(0.95, 0.97, 6)}, chance=0.1, ax=ax)
    assert ax.get_ylim()[0] > 90
    assert ax.get_legend().get_texts()[-1].get_text() == "chance (10, below)"


def test_confusion_matrix_counts_what_is_taken_for_what(ax, rng):
    label, predicted = rng.integers(0, 3, (2, 50))
    plot.confusion_matrix(label, predicted, classes=4, names=list("abcd"), ax=ax)
    counts = np.array([[((label == row) & (predicted == column)).sum() for column in range(4)] for row in range(4)])
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    np.testing.assert_allclose(ax.images[0].get_array(), shares)
    assert {text.get_position(): text.get_text() for text in ax.texts} == {
        (column, row): str(counts[row, column]) for row, column in zip(*np.nonzero(counts), strict=True)
    }
    assert [text.get_text() for text in ax.get_yticklabels()] == list("abcd")


def test_reliability_diagram_is_of_the_calibration(ax):
    beliefs = np.tile([[0.8, 0.2]], (10, 1))
    plot.reliability_diagram(analysis.calibration(beliefs, np.repeat([0, 1], [6, 4])), ax=ax)
    np.testing.assert_allclose(ax.containers[1].lines[0].get_xydata(), [[80, 60]])
    assert sum(bar.get_height() for bar in ax.patches) == pytest.approx(100)
    assert "20.0 %, n = 10" in ax.get_title()


def test_learning_curve_is_mean_and_band_of_seeds(ax):
    plot.learning_curve({"runs": np.array([[0.0, 0.5], [1.0, 1.0]])}, images=np.array([0, 100]), ax=ax)
    assert ax.lines[0].get_ydata().tolist() == [0.5, 0.75]
    corners = ax.collections[0].get_paths()[0].vertices
    assert {0.0, 0.5, 1.0} <= set(corners[:, 1])


def test_other_figures_draw_without_complaint(paths, digits, rng):
    beliefs = rng.dirichlet(np.ones(10), (60, 6))
    curve = analysis.speed_accuracy(beliefs, digits.test["label"][:60])
    figures = [
        plot.densities(paths, **SIDES),
        plot.densities(paths, label=digits.test["label"][:60], image=digits.test["image"][0], **SIDES),
        plot.belief(beliefs[0], label=3).figure,
        plot.speed_accuracy_curve({"own": curve}).figure,
        plot.density(paths[:, 1], **SIDES).figure,
    ]
    for figure in figures:
        assert drawn(figure.axes[0]).std() > 0


def test_film_has_a_frame_per_fixation(tmp_path, paths, digits, rng):
    file = tmp_path / "trial.gif"
    plot.animate_trial(file, digits.test["image"][0], paths[0], size=9, probabilities=rng.dirichlet(np.ones(10), 6))
    with Image.open(file) as film:
        assert film.n_frames == 6
        assert film.info["duration"] == 800


def test_film_without_crop_and_belief_is_the_scanpath_alone(tmp_path, paths, digits):
    file = tmp_path / "trial.gif"
    plot.animate_trial(file, digits.test["image"][0], paths[0, :2], size=0)
    with Image.open(file) as film:
        assert film.n_frames == 2
        assert film.size == (260, 280)


def test_sheet_without_crops_and_titles(paths, digits):
    """Of five images on two rows, where the last row is filled with empty axes."""
    sheet = plot.fixation_sheet(digits.test["image"][:5], paths[:5])
    assert len(sheet.axes) == 8
    assert [len(ax.images) for ax in sheet.axes] == [1] * 5 + [0] * 3
    assert all(not ax.get_title() and not ax.patches for ax in sheet.axes)
    with_crops = plot.fixation_sheet(digits.test["image"][:5], paths[:5], titles=list("abcde"), size=9)
    assert [len(ax.images) for ax in with_crops.axes] == [1] * 9 + [0] * 3 + [1] + [0] * 3
    assert drawn(sheet.axes[0]).std() > 0


def test_picture_without_crop_is_the_scanpath_alone():
    from foveax.plot.scanpath import trial_picture

    fixations = np.array([[0.5, 0.5], [0.1, 0.2]])
    assert trial_picture(np.zeros((28, 28, 1)), fixations, size=0).shape == (280, 280, 3)
    assert trial_picture(np.zeros((28, 28, 1)), fixations, size=9).shape == (280, 440, 3)


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
@pytest.mark.parametrize("channels", [2, 4])
def test_other_numbers_of_channels_are_drawn_as_their_mean_in_grey(ax, paths, rng, tmp_path, dtype, channels):
    largest = 255 if dtype == np.uint8 else 1
    image = (rng.random((20, 16, channels)) * largest).astype(dtype)
    mean = image.mean(axis=-1)
    plot.scanpath(image, paths[0], size=5, ax=ax)
    np.testing.assert_allclose(ax.images[0].get_array(), mean, rtol=1e-6)
    assert ax.images[0].get_clim() == (0, largest)
    centre = np.full((1, 2), 0.5, np.float32)
    reconstruction = plot.reconstruction(image, centre, size=9, ax=Figure().add_subplot()).images[0].get_array()
    crop = fx.crop((mean / largest).astype(np.float32)[..., None], centre[0], size=9)
    np.testing.assert_allclose(reconstruction[6:14, 4:12], crop[1:, 1:, 0], atol=1e-6)
    plot.crops(image, paths[0], size=5, scales=2, ax=Figure().add_subplot())
    plot.policy_field(paths, image=image, ax=Figure().add_subplot())
    plot.density(paths[:, 1], height=20, width=16, image=image, ax=Figure().add_subplot())
    plot.fixation_sheet(image[None], paths[:1], size=5)
    plot.animate_trial(tmp_path / "trial.gif", image, paths[0, :2], size=5)
    assert drawn(ax).std() > 0


@pytest.mark.parametrize("channels", [1, 3])
def test_one_channel_is_drawn_in_grey_and_three_in_colour(ax, channels):
    image = np.arange(48, dtype=np.uint8).reshape(4, 4, 3)[..., :channels]
    plot.scanpath(image, np.array([[0.5, 0.5]]), ax=ax)
    np.testing.assert_array_equal(ax.images[0].get_array(), image if channels == 3 else image[..., 0])


def test_images_of_a_single_row_are_drawn(paths, rng):
    image = rng.random((1, 9, 1))
    axes = [
        plot.scanpath(image, paths[0], size=3, ax=Figure().add_subplot()),
        plot.reconstruction(image, paths[0], size=3, ax=Figure().add_subplot()),
        plot.density(paths[:, 1], height=1, width=9, ax=Figure().add_subplot()),
    ]
    assert all(drawn(ax).std() > 0 for ax in axes)


def test_of_many_glimpses_some_are_drawn(rng):
    figure = plot.densities(rng.random((3, 120, 2)), **SIDES)
    *titles, bar = [ax.get_title() for ax in figure.axes]
    assert (len(titles), titles[0], titles[-1]) == (48, "glimpse 1\nn = 3", "glimpse 120\nn = 3")
    assert not bar


IMAGE = np.zeros((8, 8, 1))
REFUSED = {
    "no channels": (
        lambda: plot.scanpath(IMAGE[..., :0], np.zeros((2, 2))),
        r"image must not be empty; got the shape \[1, 8, 8, 0\]",
    ),
    "image": (lambda: plot.scanpath(IMAGE[..., 0], np.zeros((2, 2))), r"\[H, W, C\]"),
    "fixations": (lambda: plot.scanpath(IMAGE, np.zeros((0, 2))), r"\[T, 2\]"),
    "NaN": (lambda: plot.crops(IMAGE, np.full((2, 2), np.nan), size=3), "finite"),
    "no saccades": (lambda: plot.amplitudes(np.zeros((3, 1, 2)), **SIDES), "at least one saccade"),
    "no direction": (lambda: plot.directions(np.zeros((3, 2, 2)), **SIDES), "of some length"),
    "names": (lambda: plot.belief(np.full((2, 3), 1 / 3), names=["a"]), "one for each of 3 classes; got 1"),
    "names of densities": (
        lambda: plot.densities(np.full((2, 3, 2), 0.5), **SIDES, label=np.arange(2), names=["a"]),
        "label must be less than the number of classes, 1; got 1",
    ),
    "decisions": (lambda: plot.confusion_matrix(np.ones(3), np.ones(3), classes=2), "must be integers"),
    "classes": (
        lambda: plot.confusion_matrix(np.arange(3), np.arange(3), classes=2),
        "number of classes, 2; got 2",
    ),
    "belief": (lambda: plot.belief(np.ones(3)), r"\[T, K\]"),
    "curve": (lambda: plot.learning_curve({"a": np.ones(3)}, images=np.arange(3)), r"\[R, 3\]; a has \[3\]"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_drawn_is_refused(case):
    call, message = REFUSED[case]
    with pytest.raises(fx.InputError, match=message):
        call()


def test_square_axes_are_no_circle(ax, paths):
    with pytest.raises(fx.InputError, match="polar"):
        plot.directions(paths, **SIDES, ax=ax)
