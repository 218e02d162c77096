"""Decoding: against scikit-learn's own cross-validation, and codes of which it is known what they hold."""

import numpy as np
import pytest

import foveax as fx
from foveax.analysis import brightness_centres, decode, fixation_targets
from foveax.analysis.bootstrap import bootstrap_mean, bootstrap_ratio
from foveax.analysis.decoding import INNER, PENALTIES

IMAGES, GLIMPSES, UNITS = 60, 4, 12


@pytest.fixture
def places(rng):
    return rng.random((IMAGES, GLIMPSES, 2))


def coded(places, rng, noise=0.3):
    return places @ rng.normal(size=(2, UNITS)) + noise * rng.normal(size=(*places.shape[:2], UNITS))


def by_scikit_learn(activity, columns, seed=0):
    """Predictions ``[N T, C]`` on the same folds, the penalty chosen on the same images."""
    from sklearn.linear_model import Ridge
    from sklearn.model_selection import GridSearchCV, PredefinedSplit, cross_val_predict
    from sklearn.multioutput import MultiOutputRegressor
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    fold = np.random.default_rng(seed).permutation(IMAGES) % 5
    flat = activity.reshape(-1, UNITS).astype(float), columns.reshape(-1, columns.shape[-1])
    training = np.repeat(np.where(np.arange(IMAGES * 4 // 5) % INNER == 0, 0, -1), GLIMPSES)
    search = GridSearchCV(Ridge(), {"alpha": PENALTIES}, cv=PredefinedSplit(training), scoring="neg_mean_squared_error")
    model = make_pipeline(StandardScaler(), MultiOutputRegressor(search))
    return cross_val_predict(model, *flat, cv=PredefinedSplit(np.repeat(fold, GLIMPSES)))


def test_places_are_decoded_as_by_scikit_learn(places, rng):
    from sklearn.metrics import r2_score

    activity = coded(places, rng).astype(np.float32)
    decoded = decode(activity, places, shuffles=2, seed=4)
    theirs = by_scikit_learn(activity, places, seed=4)
    np.testing.assert_allclose(decoded.predicted.reshape(-1, 2), theirs, atol=2e-3)
    score = r2_score(places.reshape(-1, 2), theirs, multioutput="variance_weighted")
    assert decoded.score.mean == pytest.approx(score, abs=2e-3)
    assert decoded.score.low < score < decoded.score.high
    assert decoded.shuffled.max() < 0.1


def test_classes_are_decoded_as_by_scikit_learn(rng):
    label = np.arange(IMAGES, dtype=np.int32) % 3
    activity = (rng.normal(size=(3, UNITS))[label][:, None] + rng.normal(size=(IMAGES, GLIMPSES, UNITS))).astype("f4")
    decoded = decode(activity, label + 4, shuffles=3)
    theirs = by_scikit_learn(activity, np.eye(3)[np.repeat(label, GLIMPSES)]).argmax(-1)
    assert (decoded.predicted.ravel() - 4 == theirs).mean() > 0.98
    assert decoded.score.mean == pytest.approx((theirs == np.repeat(label, GLIMPSES)).mean(), abs=0.02)
    assert 0.2 < decoded.shuffled.mean() < 0.47


def test_no_image_is_split_over_folds(rng):
    """Units that tell images apart, and nothing else, would decode anything that is fixed for an image."""
    activity = np.repeat(rng.normal(size=(IMAGES, 1, 40)), GLIMPSES, axis=1)
    target = np.repeat(rng.random((IMAGES, 1, 2)), GLIMPSES, axis=1)
    assert decode(activity, target, shuffles=0).score.mean < 0.05


def test_shuffled_control_has_what_the_number_of_the_glimpse_tells(rng):
    """An eye on one itinerary: the place follows from the glimpse, and so does the shuffled image's."""
    itinerary = np.array([[0.5, 0.5], [0.1, 0.1], [0.9, 0.1], [0.5, 0.9]])
    places = itinerary[None] + 0.01 * rng.normal(size=(IMAGES, GLIMPSES, 2))
    activity = np.eye(GLIMPSES)[None] + 0.01 * rng.normal(size=(IMAGES, GLIMPSES, GLIMPSES))
    decoded = decode(activity, places)
    assert decoded.score.mean > 0.95
    assert decoded.shuffled.min() > 0.95
    assert max(decode(activity[:, [t]], places[:, [t]]).score.mean for t in range(GLIMPSES)) < 0.2


def test_decoder_of_intact_units_reads_lesioned_ones(places, rng):
    activity = np.concatenate([places, 0.1 * rng.normal(size=(IMAGES, GLIMPSES, UNITS))], axis=-1)
    without = activity.copy()
    without[..., :2] = 0
    decoded = decode(activity, places)
    assert set(np.argsort(decoded.importance)[-2:]) == {0, 1}
    assert decoded.score.mean > 0.99
    assert decode(activity, places, tested=without).score.mean < 0
    assert decode(without, places).score.mean < 0.1
    assert decode(without, places).importance[:2].tolist() == [0, 0]


def test_targets_of_fixations():
    points = np.array([[[0.5, 0.5], [0.7, 0.4], [0.1, 0.2]]])
    targets = fixation_targets(points, np.array([[0.6, 0.6]]))
    np.testing.assert_allclose(targets["previous"][0, 1:], points[0, :2])
    np.testing.assert_allclose(targets["next"][0, :2], points[0, 1:])
    np.testing.assert_allclose(targets["following"][0, :2], points[0, 1:] - points[0, :2])
    np.testing.assert_allclose(targets["retinal"][0, 2], [0.5, 0.4])
    unknown = {name: np.isnan(values[0, :, 0]).tolist() for name, values in targets.items()}
    assert unknown["next"] == unknown["following"] == [False, False, True]
    assert unknown["previous"] == unknown["saccade"] == [True, False, False]


def test_glimpses_without_a_target_are_left_out(places, rng):
    decoded = decode(coded(places, rng, 0.01), fixation_targets(places)["next"], shuffles=0)
    assert np.isnan(decoded.predicted[:, -1]).all()
    assert np.isfinite(decoded.predicted[:, :-1]).all()


def test_brightness_centres_are_means_of_places(rng):
    images = rng.random((3, 5, 7, 2))
    y, x = np.mgrid[:5, :7]
    for image, place in zip(images, brightness_centres(images), strict=True):
        light = image.sum(-1)
        wanted = [(light * x / 6).sum() / light.sum(), (light * y / 4).sum() / light.sum()]
        np.testing.assert_allclose(place, wanted)
    assert brightness_centres(np.zeros((1, 4, 4, 1))).tolist() == [[0.5, 0.5]]


def test_ratio_of_sums_is_the_mean_where_wholes_are_one(rng):
    values = rng.random(30)
    assert bootstrap_ratio(values, np.ones(30)) == pytest.approx(bootstrap_mean(values))


def test_what_is_refused(places):
    activity = np.zeros((IMAGES, GLIMPSES, UNITS))
    partly = places.copy()
    partly[0, 1] = np.nan
    with pytest.raises(fx.InputError, match="known at a glimpse of all images or of none"):
        decode(activity, partly)
    with pytest.raises(fx.InputError, match=r"target must be classes \[60\] or \[60, 4\]"):
        decode(activity, places[:, :2])
    with pytest.raises(fx.InputError, match="as many images as folds"):
        decode(activity[:3], places[:3])
    with pytest.raises(fx.InputError, match="must be finite"):
        decode(activity * np.nan, places)
    with pytest.raises(fx.InputError, match="wholes of a sum that is not 0"):
        bootstrap_ratio(np.ones(3), np.zeros(3))
