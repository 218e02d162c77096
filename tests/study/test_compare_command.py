"""``foveax compare``: from a file of people's fixations to the page, on a tiny run."""

import csv
import json
import time

import jax
import numpy as np
import pytest

import foveax as fx
from foveax import analysis, gaze
from foveax.analysis.gaze_file import GazeWarning
from foveax.modules import following
from foveax.study.simulation import Observers, simulated_participants
from tests.command import printed, refused
from tests.tiny import EXECUTION, PIPELINE


def data():
    image = np.random.default_rng(0).integers(0, 255, (32, 24, 24, 1), dtype=np.uint8)
    split = {"image": image, "label": np.arange(32) % 3}
    return fx.from_arrays(split, split)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("compare")
    arrays = {f"{split}_{name}": array for split in ("train", "test") for name, array in data().test.items()}
    np.savez(folder / "data.npz", **arrays)
    config = fx.TrainingConfig(data=str(folder / "data.npz"), images=96, batch=4, shift=0, pipeline=PIPELINE)
    fx.train(config, out=folder / "run", evaluate=False, execution=EXECUTION)
    return folder / "run"


@pytest.fixture(scope="module")
def people():
    table = simulated_participants(data().test["label"], Observers(0.2, 0.6), participants=4, fixations=3)
    right = np.random.default_rng(0).random(len(table.x)) < 0.5 + table.glimpse / 6
    response = np.where(right, table.label, (table.label + 1) % 3).astype(str)
    return table._replace(response=response, onset=np.tile([0.0, 0.3, 0.6], len(table.x) // 3))


def rows_of(path):
    with path.open() as file:
        head, *rows = csv.reader(file)
    return head, {row[0]: row[1:] for row in rows}


def test_command_writes_a_page_whose_numbers_are_those_of_evaluations(run, people, tmp_path, capsys):
    analysis.write_csv(tmp_path / "people.csv", people)
    text = printed(capsys, "compare", run, "--people", tmp_path / "people.csv")
    assert "what people's scanpaths owe to the image" in text or "nothing can be said" in text
    folder = run / "people"
    page = (folder / "report.html").read_text()
    for question in ("Does the model look as people do?", "What do people and the model see?"):
        assert question in page
    assert "participants: 4" in page
    for name in ("accuracy", "information", "specific", "densities", "difficulty", "accuracy_by_share"):
        assert (folder / "figures" / f"{name}.pdf").stat().st_size > 1000
    assert page.count("<figure>") == 6
    loaded = fx.load_run(run)
    head, rows = rows_of(folder / "tables" / "accuracy.csv")
    own = fx.evaluate(loaded.graph, loaded.params, loaded.data.test, key=jax.random.key(0))
    columns = [head.index(f"fixation {step}") - 1 for step in (1, 2, 3)]
    np.testing.assert_allclose([float(rows["model"][at]) for at in columns], 100 * own.accuracy, atol=1e-4)
    paths = analysis.to_scanpaths(people).reshape(32, 4, 3, 2)
    accuracies = []
    graph = following(loaded.graph, "saccader.fixation")
    for who in range(4):
        trials = {**loaded.data.test, "fixations": paths[:, who, 1:].astype(np.float32)}
        accuracies.append(fx.evaluate(graph, loaded.params, trials, key=jax.random.key(0), batch=32).accuracy)
    driven = [float(rows["people's gaze"][at]) for at in columns]
    np.testing.assert_allclose(driven, 100 * np.mean(accuracies, axis=0), atol=1e-4)
    answers = (people.response == people.label.astype(str)).reshape(-1, 3).mean(axis=0)
    np.testing.assert_allclose([float(rows["people"][at]) for at in columns], 100 * answers, atol=1e-4)


@pytest.mark.nightly
def test_cloned_and_rewarded_eyes_stand_in_one_table(run, people, tmp_path, capsys):
    analysis.write_csv(tmp_path / "people.csv", people)
    out = tmp_path / "out"
    arguments = ("--people", tmp_path / "people.csv", "--clone", "--clone-steps", 40, "--out", out, "--passes", 1)
    printed(capsys, "compare", run, *arguments)
    _, rows = rows_of(out / "tables" / "eyes.csv")
    eyes = ["model", "cloned", "cloned and rewarded"]
    assert list(rows) == [*eyes, "another participant", "best fixed", "centre", "another image"]
    assert "of other participants" in (out / "report.html").read_text()


def test_a_bad_file_is_refused_by_row_and_column(run, people, tmp_path, capsys):
    def answer(**changes):
        analysis.write_csv(tmp_path / "bad.csv", people._replace(**changes))
        return refused(capsys, "compare", run, "--people", tmp_path / "bad.csv")

    image = people.image.copy()
    image[7] = 40
    assert "row 8, column image: images must be among the 32" in answer(image=image, trial=None)
    duration = people.duration.copy()
    duration[2] = -1.0
    assert "row 3, column duration: durations must not be negative; got -1" in answer(duration=duration)
    label = people.label.copy()
    label[4] = (label[4] + 1) % 3
    assert "row 5, column label: labels must be the images' classes" in answer(label=label)
    assert "people must be named" in refused(capsys, "compare", run)
    assert "passes must be at least 1" in refused(capsys, "compare", run, "--people", "people.csv", "--passes", 0)


def test_what_can_be_lived_with_is_warned_of_and_said_on_the_page(run, people, tmp_path, capsys):
    x, y = people.x.copy(), people.y.copy()
    x[1], y[1] = np.nan, np.nan
    x[5] = 1.3
    analysis.write_csv(tmp_path / "people.csv", people._replace(x=x, y=y))
    with pytest.warns(GazeWarning) as warned:
        printed(capsys, "compare", run, "--people", tmp_path / "people.csv", "--out", tmp_path / "out", "--passes", 1)
    said = " ".join(str(each.message) for each in warned)
    assert "row 2, column x: places must be known" in said
    assert "row 6, column x: places must lie in the image, from 0 to 1; got 1.3" in said
    page = (tmp_path / "out" / "report.html").read_text()
    assert "row 6, column x" in page
    assert "Left out: 1 trials that are shorter." in page


def test_stimuli_of_their_own_are_found_by_name(run, tmp_path, capsys):
    pytest.importorskip("h5py")
    image = np.random.default_rng(5).integers(0, 255, (6, 24, 24), dtype=np.uint8)
    names = np.array([f"s{number}" for number in range(6)])
    np.savez(tmp_path / "stimuli.npz", image=image, label=np.arange(6) % 3, stimulus=names)
    table = simulated_participants(np.arange(6) % 3, Observers(), participants=3, fixations=3)
    path = tmp_path / "people.hdf5"
    gaze.write_pysaliency(path, table._replace(stimulus=names[table.image][::1]), gaze.image_screen(24, 24))
    flags = ("--people-format", "pysaliency", "--stimuli", tmp_path / "stimuli.npz", "--passes", 1)
    printed(capsys, "compare", run, "--people", path, "--out", tmp_path / "out", *flags)
    _, rows = rows_of(tmp_path / "out" / "tables" / "hardest.csv")
    assert set(rows) == set(names)
    gaze.write_pysaliency(path, table._replace(stimulus=np.full(len(table.x), "s9")), gaze.image_screen(24, 24))
    text = refused(capsys, "compare", run, "--people", path, *flags)
    assert "row 1, column stimulus: stimuli must be among the 6 known; got 's9'" in text


def attention_mnist_file(path, stimuli, *, trials, images, seed=0):
    """Trials of 12 clicks in AttentionMNIST's own form, where the digit is; more and more answers are right."""
    rng = np.random.default_rng(seed)
    numbers = rng.permutation(70_000)[:images]
    entries = []
    for trial in range(trials):
        number = int(numbers[trial % images])
        label, mass = int(stimuli["label"][number]), stimuli["image"][number, ..., 0].ravel() + 20.0
        known, data = rng.random() * 12, {}
        for glimpse, place in enumerate(rng.choice(784, 12, p=mass / mass.sum())):
            y, x = np.clip(np.array(divmod(place, 28)) + 1, 1, 26)
            answer = [label] if glimpse >= known else sorted(set(rng.integers(0, 10, 2).tolist()))
            data[f"Glimpse_{glimpse + 1}"] = {
                "x-coordinate": str(x), "y-coordinate": str(y), "Class": ",".join(map(str, answer)),
                "Duration (seconds)": "" if glimpse == 0 else f"{rng.gamma(4):.3f}",
            }  # fmt: skip
        entries.append({"Stimuli": f"{trial % 10:02d}_{number}", "Label": str(label), "Data": data})
    path.write_text(json.dumps(entries))


def test_mnist_is_in_the_order_of_its_files(mnist_dir):
    """The labels with which the original files begin are known; those of the whole are of the set's known counts."""
    stimuli = gaze.attention_mnist.attention_mnist_stimuli(mnist_dir)
    assert stimuli["image"].shape == (70_000, 28, 28, 1)
    first = [5, 0, 4, 1, 9, 2, 1, 3, 1, 4, 3, 5, 3, 6, 1, 7, 2, 8, 6, 9]
    assert stimuli["label"][:20].tolist() == first
    assert stimuli["label"][60_000:60_020].tolist() == [7, 2, 1, 0, 4, 1, 4, 9, 5, 9, 0, 6, 9, 0, 1, 5, 9, 7, 3, 4]


@pytest.mark.nightly
def test_attention_mnist_takes_less_than_two_minutes(mnist_dir, tmp_path, capsys, record_property):
    """1,736 trials of 12 clicks on 150 images."""
    config = fx.TrainingConfig(images=6_000)
    fx.train(config, out=tmp_path / "run", evaluate=False)
    stimuli = gaze.attention_mnist.attention_mnist_stimuli(mnist_dir)
    attention_mnist_file(tmp_path / "mnist.json", stimuli, trials=1_736, images=150)
    start = time.monotonic()
    flags = ("--people-format", "attention_mnist", "--data-dir", mnist_dir)
    printed(capsys, "compare", tmp_path / "run", "--people", tmp_path / "mnist.json", *flags)
    record_property("seconds", round(time.monotonic() - start))
    assert time.monotonic() - start < 120
    page = (tmp_path / "run" / "people" / "report.html").read_text()
    assert "1,736 trials of 12 fixations on 150 images; participants: unknown." in page
    assert "These are clicks of a mouse, not gaze." in page
