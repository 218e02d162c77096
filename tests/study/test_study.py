"""The study on simulated participants: planted effects are recovered, and a bias to the centre is no likeness."""

import warnings

import numpy as np
import pytest
from scipy import stats

import foveax as fx
from foveax.study.decisions import decision_times, rank_correlation
from foveax.study.densities import PRIOR, information_gain, predictions
from foveax.study.intervals import crossed_intervals, holm, paired_difference, t_quantile, t_tail
from foveax.study.likeness import CEILING, SHUFFLED, likeness
from foveax.study.simulation import Observers, class_places, simulated_participants
from foveax.study.trials import trials_of

LABEL = np.arange(40) % 5
STIMULI = {"image": np.zeros((40, 28, 28, 1), np.float32), "label": LABEL}


def trials(observers, *, participants=6, fixations=6, seed=0, label=LABEL, **choices):
    stimuli = {"image": np.zeros((len(label), 28, 28, 1), np.float32), "label": label}
    table = simulated_participants(
        label, observers, participants=participants, fixations=fixations, seed=seed, **choices
    )
    return trials_of(table, stimuli)


def mean_interval(values, people):
    return crossed_intervals(values, people.image, people.subject)[0]


def test_student_and_holm_are_those_of_others():
    for freedom in (1, 2, 3, 4, 9, 24, 149):
        assert t_tail(1.7, freedom) == pytest.approx(2 * stats.t(freedom).sf(1.7), rel=1e-9)
        assert t_quantile(freedom) == pytest.approx(stats.t(freedom).ppf(0.975), rel=1e-9)
    # Holm 1979: each times how many are left, never less than one before
    np.testing.assert_allclose(holm(np.array([0.02, np.nan, 0.001, 0.4])), [0.04, np.nan, 0.003, 0.4])


def test_rank_correlation_is_spearman_s(rng):
    one, other = rng.normal(size=(2, 60))
    one[:10] = 0.0
    want = stats.spearmanr(one + other, other).statistic
    assert rank_correlation(one + other, other).mean == pytest.approx(want)


def test_time_to_decision_is_until_it_stays_right():
    correct = np.array([[1, 0, 1, 1], [1, 1, 1, 1], [1, 1, 1, 0]], float)
    duration = np.array([[np.nan, 2, 3, 4]] * 3)
    found = decision_times(correct, duration)
    np.testing.assert_array_equal(found.fixations, [3, 1, np.nan])
    np.testing.assert_array_equal(found.seconds, [5, 0, np.nan])


@pytest.mark.parametrize("of_image", [0.0, 1.0])
@pytest.mark.parametrize("of_subject", [0.0, 1.0])
def test_intervals_over_images_and_participants_hold_the_truth(of_image, of_subject):
    """Crossed effects of known size, a third of the cells at random: 95 % intervals hold the mean about as often."""
    held = 0
    for seed in range(200):
        rng = np.random.default_rng(seed)
        image, subject = (index.ravel() for index in np.meshgrid(np.arange(30), np.arange(12)))
        chosen = rng.random(len(image)) < 1 / 3
        image, subject = image[chosen], subject[chosen]
        effects = of_image * rng.normal(size=30)[image] + of_subject * rng.normal(size=12)[subject]
        values = effects + rng.normal(size=len(image))
        _, low, high = crossed_intervals(values, image, subject, resamples=200, seed=seed)[0]
        held += low <= 0 <= high
    assert 0.90 <= held / 200 <= 0.995


def test_planted_effects_have_the_right_sign():
    """Bias to the centre, noise and places of classes, each changed alone, move what measures it by its interval."""
    base = Observers(centre_bias=0.2, preference=0.5, noise=0.06)
    people = {
        "base": trials(base),
        "centre": trials(base._replace(centre_bias=0.45)),
        "noise": trials(base._replace(noise=0.14)),
        "blind": trials(base._replace(preference=0.0)),
    }
    distance = {
        name: mean_interval(np.linalg.norm(each.fixations[:, 1:] - 0.5, axis=-1).mean(axis=1), each)
        for name, each in people.items()
    }
    assert distance["centre"].high < distance["base"].low
    specific = {
        name: mean_interval(likeness(each, {}).specific[CEILING]["scanmatch"], each) for name, each in people.items()
    }
    assert specific["base"].low > 0
    assert specific["noise"].high < specific["base"].mean
    assert specific["blind"].low < 0 < specific["blind"].high
    gains = {}
    for name, each in people.items():
        found = predictions(each, {}).log_density
        gain = information_gain(found["another participant"], found[PRIOR])
        gains[name] = mean_interval(gain, each)
    assert gains["base"].low > 0
    assert gains["noise"].high < gains["base"].low
    assert gains["blind"].low < 0.1


def observer(people, rng, *, centre_bias, preference, noise=0.06, places=None):
    """Scanpaths of one more observer on the trials, ten of each image."""
    label = people.stimuli["label"]
    drawn = []
    for _ in range(10):
        table = simulated_participants(
            label, Observers(centre_bias, preference, noise), participants=1, fixations=people.fixations.shape[1],
            seed=int(rng.integers(1 << 30)), places=places,
        )  # fmt: skip
        one = trials_of(table, people.stimuli)
        drawn.append(one.fixations[np.argsort(one.image)][people.image])
    return np.stack(drawn)


def test_an_observer_who_only_looks_at_the_centre_is_not_rated_human_like(rng):
    places = class_places(5, np.random.default_rng(3))
    people = trials(Observers(0.35, 0.45, 0.08), places=places)
    candidates = {
        "centre-biased": observer(people, rng, centre_bias=1.0, preference=0.0, noise=0.12),
        "like people": observer(people, rng, centre_bias=0.35, preference=0.45, places=places),
        "other places": observer(people, rng, centre_bias=0.35, preference=0.45, places=places[::-1]),
    }
    found = likeness(people, candidates)
    raw = {name: mean_interval(values["multimatch position"], people) for name, values in found.scores.items()}
    assert raw["centre-biased"].mean > raw[SHUFFLED].mean  # what a score that is not debiased would call likeness
    own = {name: mean_interval(values["scanmatch"], people) for name, values in found.specific.items()}
    assert own["like people"].low > 0
    assert own["centre-biased"].low < 0 < own["centre-biased"].high
    assert own["other places"].mean < 0.3 * own["like people"].mean
    assert own["like people"].mean == pytest.approx(own[CEILING].mean, rel=0.35)
    densities = predictions(people, candidates)
    prior = densities.log_density[PRIOR]
    gain = {name: mean_interval(information_gain(log, prior), people) for name, log in densities.log_density.items()
            if name != PRIOR}  # fmt: skip
    assert gain["like people"].low > 0
    for blind in ("centre-biased", "centre", "uniform", "other places", "another image"):
        assert gain[blind].high < 0, blind
    area = {name: np.nanmean(values) for name, values in densities.shuffled_auc.items()}
    assert area["like people"] > 0.55 > max(area["centre"], area["centre-biased"])
    assert area["centre"] == pytest.approx(0.5, abs=0.02)


@pytest.mark.nightly
def test_the_interval_of_a_study_s_numbers_holds_their_truth():
    """Participants and images that differ: the distance from the centre and the ceiling's likeness, in 100 studies."""
    observers = Observers(0.3, 0.5, 0.08, between_participants=0.5, between_stimuli=0.03)
    places = class_places(5, np.random.default_rng(1))
    measured = []
    for seed in range(100):
        people = trials(observers, participants=8, fixations=5, seed=seed, places=places)
        distance = np.linalg.norm(people.fixations[:, 1:] - 0.5, axis=-1).mean(axis=1)
        alike = likeness(people, {}, seed=seed).specific[CEILING]["scanmatch"]
        measured.append(crossed_intervals(np.stack([distance, alike], axis=1), people.image, people.subject))
    for column in (0, 1):
        truth = np.mean([each[column].mean for each in measured])
        held = np.mean([each[column].low <= truth <= each[column].high for each in measured])
        assert 0.90 <= held <= 1.0


def test_paired_differences_are_tested_at_their_level():
    """Under no difference, p is below 0.05 in about a twentieth of studies."""
    below = 0
    for seed in range(200):
        rng = np.random.default_rng(seed)
        image, subject = (index.ravel() for index in np.meshgrid(np.arange(20), np.arange(8)))
        shared = rng.normal(size=20)[image] + rng.normal(size=8)[subject]
        one, other = (shared + rng.normal(size=160) for _ in range(2))
        below += paired_difference(one, other, image, subject, seed=seed).p < 0.05
    assert below / 200 < 0.1


def test_differences_of_one_participant_are_those_of_student_s_test(rng):
    """Against SciPy: images are the only clusters, and those without a value do not count."""
    values = np.full(40, np.nan)
    values[::2] = rng.normal(0.5, 1, 20)
    found = paired_difference(values, np.zeros(40), np.arange(40), np.zeros(40, int))
    want = stats.ttest_1samp(values[::2], 0)
    low, high = want.confidence_interval()
    assert found.p == pytest.approx(want.pvalue, rel=0.3)  # whose variance is not of resamples
    assert found.interval.low == pytest.approx(low, abs=0.1)
    assert found.interval.high == pytest.approx(high, abs=0.1)


def test_trials_are_cut_and_all_that_is_left_out_is_said():
    table = simulated_participants(LABEL[:4], Observers(), participants=2, fixations=5)
    x = table.x.copy()
    x[1:4] = np.nan  # the first trial is left with two fixations
    found = trials_of(table._replace(x=x, y=np.where(np.isnan(x), np.nan, table.y)), STIMULI)
    assert found.fixations.shape == (7, 5, 2)
    assert any("3 rows without a place" in note for note in found.notes)
    assert any("1 trials that are shorter" in note for note in found.notes)
    short = trials_of(table._replace(x=x), STIMULI, length=2)
    assert short.fixations.shape == (8, 2, 2)
    with pytest.raises(fx.InputError, match="at least 7 fixations long to be compared; the longest has 5"):
        trials_of(table, STIMULI, length=7)


def test_trials_without_participants_are_compared_too():
    table = simulated_participants(LABEL, Observers(), participants=3, fixations=4)
    # who looked is not known: trials are told apart by their number alone
    trial = np.repeat(np.arange(len(table.x) // 4), 4)
    found = trials_of(table._replace(subject=None, trial=trial), STIMULI)
    assert len(set(found.subject)) == 120
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        alike = likeness(found, {})
    assert np.isfinite(alike.scores[CEILING]["scanmatch"]).all()
