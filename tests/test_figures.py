"""Figures draw what they are given: read back from the axes, and from the files."""

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


def test_crops_are_those_of_the_retina(ax, paths, digits):
    image = digits.test["image"][0]
    plot.crops(image, paths[0], size=9, scales=2, ax=ax)
    shown = ax.images[0].get_array()
    expected = fx.foveate(image, paths[0, 3].astype(np.float32), size=9, scales=2)
    np.testing.assert_allclose(shown[:9, 30:39], expected[0, ..., 0], atol=1e-6)
    np.testing.assert_allclose(shown[10:19, 30:39], expected[1, ..., 0], atol=1e-6)


def test_what_has_been_seen_is_the_image_where_a_crop_lay_and_grey_elsewhere(ax):
    image = np.random.default_rng(0).random((21, 21, 1))
    plot.seen(image, np.array([[0.5, 0.5]]), size=5, ax=ax)
    shown = np.array(ax.images[0].get_array())
    np.testing.assert_allclose(shown[8:13, 8:13], image[8:13, 8:13, 0], atol=1e-6)
    shown[8:13, 8:13] = 0.5
    assert (shown == 0.5).all()


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


def test_lines_are_told_apart_without_colour(ax):
    plot.accuracy_by_glimpse({name: np.linspace(0, 1, 6) for name in "abcdef"}, ax=ax)
    assert len({(line.get_linestyle(), line.get_marker()) for line in ax.lines}) == 6
    np.testing.assert_allclose(ax.lines[0].get_ydata(), np.linspace(0, 100, 6))


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


IMAGE = np.zeros((8, 8, 1))
REFUSED = {
    "image": (lambda: plot.scanpath(IMAGE[..., 0], np.zeros((2, 2))), r"\[H, W, C\]"),
    "fixations": (lambda: plot.scanpath(IMAGE, np.zeros((0, 2))), r"\[T, 2\]"),
    "NaN": (lambda: plot.crops(IMAGE, np.full((2, 2), np.nan), size=3), "finite"),
    "no saccades": (lambda: plot.amplitudes(np.zeros((3, 1, 2)), **SIDES), "at least one saccade"),
    "no direction": (lambda: plot.directions(np.zeros((3, 2, 2)), **SIDES), "of some length"),
    "belief": (lambda: plot.belief(np.ones(3)), r"\[T, K\]"),
    "curve": (lambda: plot.learning_curve({"a": np.ones(3)}, images=np.arange(3)), r"\[R, 3\]; a has \[3\]"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_drawn_is_refused(case):
    call, said = REFUSED[case]
    with pytest.raises(fx.InputError, match=said):
        call()


def test_square_axes_are_no_circle(ax, paths):
    with pytest.raises(fx.InputError, match="polar"):
        plot.directions(paths, **SIDES, ax=ax)
