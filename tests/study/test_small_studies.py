"""Studies of one participant, one image, one trial, or few answers: what can be said is, and nothing is made up."""

from types import SimpleNamespace

import jax
import numpy as np
import pytest

import foveax as fx
from foveax import analysis
from foveax.analysis.table import known_columns
from foveax.study.compare import Eye, compare
from foveax.study.following import make_follower
from foveax.study.likeness import best_fixed
from foveax.study.page import verdicts, write_study
from foveax.study.presentation import as_run_takes
from foveax.study.simulation import Observers, simulated_participants
from foveax.study.tables import tables_of
from foveax.study.trials import trials_of
from tests import tiny

LABEL = np.arange(12) % 3


@pytest.fixture(scope="module")
def model():
    image = np.random.default_rng(0).random((12, 16, 16, 1), np.float32)
    data = fx.from_arrays({"image": image, "label": LABEL}, {"image": image, "label": LABEL})
    graph = fx.standard_pipeline(data, tiny.PIPELINE)
    return data, make_follower(graph, 3), fx.init(graph, jax.random.key(0))


def rows_of(table, chosen):
    return analysis.FixationTable(**{name: column[chosen] for name, column in known_columns(table).items()})


def people_of(case):
    count = 1 if case in ("one participant", "one trial") else 2
    table = simulated_participants(LABEL, Observers(), participants=count, fixations=3)
    if case in ("one image", "one trial"):
        return rows_of(table, table.image == 3)
    if case == "some answers":
        return table._replace(response=np.where(table.image < 5, "0", ""))
    if case == "outside":
        return table._replace(x=np.where((table.image == 4) & (table.glimpse > 1), 1.5, table.x))
    return table


@pytest.mark.parametrize("case", ["one participant", "one image", "one trial", "some answers", "outside"])
def test_small_studies_are_written(case, model, tmp_path):
    data, follower, params = model
    trials = trials_of(people_of(case), data.test)
    study = compare(follower, (Eye("model", params, {}),), trials, passes=1)
    page = write_study(study, tmp_path, title=case, notes=list(trials.notes))
    assert case in page.read_text()
    alone = case in ("one participant", "one image", "one trial")
    assert ("is not known" in verdicts(study)[0]) == alone
    assert bool(study.gains) == (case not in ("one image", "one trial"))
    assert ("people" in study.correct) == (case == "some answers")
    if case == "outside":
        assert any("Outside the image are 4 fixations" in note for note in trials.notes)
        outside = study.trials.image == 4
        assert np.isnan(study.log_density["model: policy"][outside]).all()
        assert np.isfinite(study.log_density["model: policy"][~outside]).all()


def test_controls_that_are_missing_are_not_counted(model):
    """An image that only one participant has seen has no other participant: neither a share seen nor a decision."""
    data, follower, params = model
    people = people_of("two participants")
    alone = (people.image == 3) & (people.subject == "p1")
    trials = trials_of(rows_of(people, ~alone), data.test)
    study = compare(follower, (Eye("model", params, {}),), trials, passes=1)
    missing = np.isnan(study.correct["another participant"]).all(axis=1)
    assert missing.tolist() == (trials.image == 3).tolist()
    assert np.isnan(study.shares["another participant"])[missing].all()
    _, table = tables_of(study)["time"]
    never = {row[0]: row[3] for row in table.rows}["another participant"]
    times = study.decision_times["another participant"].fixations
    assert never == pytest.approx(100 * np.isnan(times[~missing]).mean())


def test_the_best_fixed_sequence_is_never_the_trial_s_own(model):
    data, _, _ = model
    one = trials_of(people_of("one trial"), data.test)
    assert np.isnan(best_fixed(one)[:, 1:]).all()
    two = trials_of(people_of("one image"), data.test)
    paths = best_fixed(two)
    assert np.isfinite(paths).all()
    for number in (0, 1):
        assert not np.array_equal(paths[number, 1:], two.fixations[number, 1:])


def test_stimuli_have_the_range_of_the_run_s_images(model, rng):
    """Floats of 64 bits are in [0, 1] as those of 32; only bytes are divided by 255."""
    data, follower, _ = model
    run = SimpleNamespace(graph=follower.graph, data=data)
    image, label = rng.random((3, 16, 16)), np.arange(3)
    np.testing.assert_allclose(as_run_takes({"image": image, "label": label}, run)["image"][..., 0], image, atol=1e-7)
    grey = np.round(255 * image).astype(np.uint8)
    np.testing.assert_allclose(as_run_takes({"image": grey, "label": label}, run)["image"][..., 0], grey / 255)
    with pytest.raises(fx.InputError, match="image must be uint8"):
        as_run_takes({"image": grey.astype(int), "label": label}, run)


def test_eyes_have_names_of_their_own(model):
    data, follower, params = model
    trials = trials_of(people_of("one trial"), data.test)
    for names in (("centre",), ("model", "model")):
        with pytest.raises(fx.InputError, match="eyes must have names of their own"):
            compare(follower, tuple(Eye(name, params, {}) for name in names), trials)
