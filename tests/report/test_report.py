"""Reports: the folder that is written for any pipeline, and the page as a browser displays it."""

import csv
import html.parser
import json
import re
import shutil
import subprocess
from types import SimpleNamespace

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

import foveax as fx
from foveax import analysis
from foveax.report import write_report
from foveax.report.figures import learning_curves, representative_trial
from foveax.report.findings import Findings, People
from foveax.report.page import SECTIONS
from foveax.report.report import people_of
from foveax.report.tables import tables_of_observers

TABLES = ("accuracy", "statistics", "directions", "information", "speed")
DECISIONS = ("confusion", "reliability")
FIGURES = ("trials", "learning", *DECISIONS, "accuracy", "speed", "trial", "glimpses", "classes", "saccades", "field")
SIZES = {"hidden": 8, "features": 8, "saccader_hidden": 8}
SHORT = fx.TrainingConfig(images=96, shift=0)


def image_set(channels, *, test=24, seed=0):
    """Images ``[N, 12, 10, C]`` at random, of three classes."""
    rng = np.random.default_rng(seed)
    splits = [
        {"image": rng.integers(0, 256, (size, 12, 10, channels), dtype=np.uint8), "label": np.arange(size) % 3}
        for size in (48, test)
    ]
    return fx.from_arrays(*splits)


class Error(nn.Module):
    """How badly the mean of a ring of pixels about the fixation predicts the image's."""

    @nn.compact
    def __call__(self, ring, image):
        guess = nn.Dense(1)(ring)[0]
        mean = jnp.mean(image.astype(jnp.float32)) / 255
        return {"ring": ring, "error": (guess - mean) ** 2, "reward": -jnp.abs(guess - mean)}


def ring(image, fixation):
    """Eight samples on a circle, no square of pixels."""
    angles = jnp.arange(8, dtype=jnp.float32) * (jnp.pi / 4)
    points = fixation[None] + 0.1 * jnp.stack([jnp.cos(angles), jnp.sin(angles)], axis=-1)
    return jax.vmap(lambda point: fx.crop(image, point, size=1).mean())(points)


def without_belief(data):
    """A pipeline that does not classify, and whose retina is no square."""
    return fx.Graph(
        inputs=data.inputs,
        modules={
            "sense": fx.from_function(ring, outputs="ring"),
            "aim": fx.from_linen(Error(), losses=("error",)),
            "gazer": fx.saccader(reward="aim.reward"),
        },
        links=[
            "input.image -> sense.image",
            "memory.place -> sense.fixation",
            "sense.ring -> aim.ring",
            "input.image -> aim.image",
            "sense.ring -> gazer.observation",
            "gazer.fixation -> memory.place",
        ],
        length=3,
        memory={"place": (0.5, 0.5)},
        roles=fx.Roles(gaze="place"),
    )


def gaze_of(head, eye):
    """An eye that moves within the head's field of view."""
    return jnp.clip(head + 0.5 * (eye - 0.5), 0.0, 1.0)


def two_agents(data):
    """An eye and a head: what is looked at follows from both. The standard pipeline's gaze is neither's own."""
    standard = fx.standard_pipeline(data, fx.PipelineConfig(glimpses=3, crop_size=5, scales=2, **SIZES))
    return standard.remove("saccader").add(
        "classifier.hidden -> eye.observation",
        "classifier.hidden -> the head.observation",
        "the head.fixation -> gaze.head",
        "eye.fixation -> gaze.eye",
        "eye.fixation -> memory.eye",
        "the head.fixation -> memory.head",
        "gaze.output -> memory.fixation",
        memory={"eye": (0.5, 0.5), "head": (0.5, 0.5)},
        **{"eye": fx.saccader(), "the head": fx.saccader(), "gaze": fx.from_function(gaze_of)},
    )


def blind(data):
    """A recurrent classifier of whole images, without an eye."""
    graph = without_belief(data).remove("gazer")
    return graph.add("memory.place -> memory.place", roles=fx.Roles())


def train(folder, data, pipeline):
    fx.train(SHORT, data, pipeline=pipeline, out=folder, evaluate=False)
    return write_report(folder, data=data, pipeline=pipeline)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A short run of the standard pipeline, and people who looked at its first three test images."""
    folder = tmp_path_factory.mktemp("runs")
    config = fx.TrainingConfig(images=96, pipeline=fx.PipelineConfig(**SIZES))
    fx.train(config, out=folder / "short", evaluate=False)
    rng = np.random.default_rng(0)
    table = analysis.fixation_table(rng.random((6, 6, 2)), height=28, width=28)
    subject = np.repeat(["anna", "ben"], 18)
    table.x[2] = 1.3  # people look past the image
    known = analysis.table.known_columns(table._replace(image=table.image % 3, subject=subject))
    rows = np.arange(36) != 35  # and one of them stops sooner
    analysis.write_csv(folder / "people.csv", analysis.FixationTable(**{name: known[name][rows] for name in known}))
    return folder / "short"


@pytest.fixture(scope="module")
def report(run):
    return write_report(run, people=run.parent / "people.csv")


@pytest.fixture(scope="module")
def beliefless(tmp_path_factory):
    return train(tmp_path_factory.mktemp("runs") / "ring", image_set(2), without_belief)


@pytest.fixture(scope="module")
def agents(tmp_path_factory):
    return train(tmp_path_factory.mktemp("runs") / "agents", image_set(4), two_agents)


def rows_of(path):
    with path.open(newline="") as file:
        return list(csv.reader(file))


def tables_of(report):
    return {path.stem for path in (report / "tables").glob("*.csv")}


def figures_of(report):
    pictures, prints = ({path.stem for path in (report / "figures").glob(f"*.{kind}")} for kind in ("png", "pdf"))
    assert pictures == prints
    return pictures


class Page(html.parser.HTMLParser):
    """The text of a page by its elements, and how many images and tables it holds."""

    def __init__(self, path):
        super().__init__()
        self.texts, self.images, self.tables, self._open = {}, 0, [], []
        self.anchors, self.links = [], []
        self.feed((path / "report.html").read_text())

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        self._open = [tag, attributes.get("class", "")]
        self.images += tag == "img" and attributes["src"].startswith("data:image/")
        self.tables += [attributes["id"]] if tag == "table" else []
        self.anchors += [attributes["id"]] if tag == "h2" else []
        self.links += [attributes["href"][1:]] if tag == "a" else []

    def handle_data(self, data):
        if data.strip() and self._open:
            self.texts.setdefault(" ".join(self._open).strip(), []).append(data.strip())


@pytest.mark.slow
def test_tables_and_figures_are_files(report):
    for name in (*TABLES, "similarity_to_people", "prediction_of_people"):
        rows = rows_of(report / "tables" / f"{name}.csv")
        assert len({len(row) for row in rows}) == 1
        assert len(rows) > 2
    assert figures_of(report) == {*FIGURES, "people_trials", "people_places", "people_saccades"}
    classes = rows_of(report / "tables" / "class_accuracy.csv")
    assert [row[:2] for row in classes] == [["class", "n"], *([str(kind), "100"] for kind in range(10))]
    table = analysis.read_csv(report / "tables" / "fixations.csv")
    assert analysis.to_scanpaths(table).shape == (1000, 6, 2)
    rows = rows_of(report / "tables" / "accuracy.csv")
    correct = table.correct[table.glimpse == 6].mean()
    assert float(rows[1][rows[0].index("glimpse 6")]) == pytest.approx(100 * correct)
    assert np.mean([float(row[2]) for row in classes[1:]]) == pytest.approx(100 * correct)
    assert [row[0] for row in rows[1:]] == ["learned", "best sequence", "another image", "random", "centre"]


@pytest.mark.parametrize(("model", "people"), [(6, 3), (3, 6)])
def test_scanpaths_are_compared_over_as_many_fixations_of_either_side(model, people):
    """People who look as the model does are like it, whoever stops sooner."""
    paths = np.random.default_rng(0).random((4, 6, 2))
    own = SimpleNamespace(fixations=paths[:, :model])
    sides = {"height": 28, "width": 28}
    shown = People(np.arange(4), paths[None, :, :people], 24, ("anna",))
    findings = SimpleNamespace(own=own, passes=None, people=shown, sides=sides)
    table = tables_of_observers(findings)["similarity_to_people"][1]()
    scores = dict(zip(table.header, table.rows[0], strict=True))
    assert scores[""] == "the model"
    assert scores["levenshtein"] == (0, 0, 0)
    assert scores["scanmatch"] == pytest.approx((1, 1, 1))
    assert "on both sides, the first 3 fixations. These are" in table.note
    assert table.note.endswith("on 4 images, by anna.")


def test_people_are_compared_where_most_of_their_fixations_can_be():
    """Of two subjects, on images 2, 7 and 9, as long as here; one has not seen the last."""
    lengths = {("anna", 2): 5, ("anna", 7): 4, ("anna", 9): 1, ("ben", 2): 5, ("ben", 7): 3}
    rows = [(who, image, glimpse) for (who, image), length in lengths.items() for glimpse in range(1, length + 1)]
    subject, image, glimpse = (np.array(column) for column in zip(*rows, strict=True))
    x = np.random.default_rng(0).random(len(rows))
    shown = people_of(analysis.FixationTable(image, glimpse, x, 1 - x, subject=subject))
    assert shown.images.tolist() == [2, 7]
    assert shown.observers.shape == (2, 2, 3, 2)
    assert shown.given == 18
    assert shown.subjects == ("anna", "ben")
    np.testing.assert_array_equal(shown.observers[1, 1, :, 0], x[(subject == "ben") & (image == 7)])


@pytest.mark.slow
def test_page_holds_every_figure_and_table(report):
    page = Page(report)
    assert page.images == 15
    assert set(page.tables) == tables_of(report) - {"fixations"}
    assert len(page.tables) == 12
    assert page.anchors == page.links == [*SECTIONS, "configuration"]
    assert "chance, one of 10 classes" in page.texts["dt"]
    assert "10.0 %" in page.texts["dd"]
    assert page.texts["h1"] == ["short"]
    assert "left out" not in (report / "report.html").read_text()


@pytest.fixture(scope="module")
def browser():
    installed = [path for path in map(shutil.which, ("chromium", "chromium-browser", "google-chrome")) if path]
    return installed[0] if installed else pytest.skip("there is no Chromium here")


COUNT = """
onload = () => {
  const drawn = [...document.images].filter(image => image.naturalWidth > 0).length;
  document.title = drawn + " " + document.querySelectorAll("table tbody tr:first-child").length;
}
"""


@pytest.mark.slow
def test_page_holds_every_figure_and_table_in_a_browser(report, browser, tmp_path):
    """Opened in Chromium away from its folder, with a script that counts what the browser could draw."""
    page = tmp_path / "page.html"
    page.write_text((report / "report.html").read_text().replace("</body>", f"<script>{COUNT}</script></body>"))
    flags = ("--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path / 'profile'}")
    document = subprocess.run(
        [browser, *flags, "--virtual-time-budget=10000", "--dump-dom", page.as_uri()],
        capture_output=True, text=True, timeout=120, check=True,
    ).stdout  # fmt: skip
    images, tables = map(int, re.search(r"<title>(\d+) (\d+)</title>", document).groups())
    assert (images, tables) == (15, 12)
    for title in (
        "Decisions after each glimpse",
        "Likeness to people",
        "Predicting people",
        "over another image's places",
    ):
        assert title in document


def test_people_on_one_image_are_compared_without_others_and_intervals(rng):
    """With what the scores are of two observers alone: nothing of other images, and no interval."""
    paths = rng.random((1, 3, 2))
    own = SimpleNamespace(fixations=paths)
    observers = np.stack([paths, paths + 0.01])
    findings = SimpleNamespace(
        own=own,
        passes=observers.copy(),
        people=People(np.arange(1), observers, 6, ("anna", "ben")),
        sides={"height": 28, "width": 28},
    )
    tables = tables_of_observers(findings)
    likeness, prediction = (tables[name][1]() for name in ("similarity_to_people", "prediction_of_people"))
    assert [row[0] for row in likeness.rows] == ["the model", "random", "centre", "between observers"]
    assert [row[0] for row in prediction.rows] == ["the model", "centre", "uniform", "between observers"]
    assert prediction.header == ["", "AUC", "NSS", "CC", "KL", "SIM"]
    assert all(np.isfinite(cell.mean) and np.isnan(cell.low) for table in (likeness, prediction)
               for row in table.rows for cell in row[1:])  # fmt: skip
    assert likeness.note.endswith("On one image there is no interval, and no other image to compare with.")


@pytest.mark.slow
@pytest.mark.nightly
def test_a_run_with_one_test_image_is_analysed(tmp_path):
    data = image_set(1, test=1)
    config = fx.PipelineConfig(glimpses=2, crop_size=5, **SIZES)
    fx.train(fx.TrainingConfig(images=96, shift=0, pipeline=config), data, out=tmp_path / "one", evaluate=False)
    report = write_report(tmp_path / "one", data=data)
    page = Page(report)
    own = ("similarity_to_the_policys_own_passes", "prediction_of_the_policys_own_passes")
    assert set(page.tables) == {*TABLES, "class_accuracy", "calibration", "stopping", *own}
    assert figures_of(report) == set(FIGURES)
    assert any("There is one test image" in text for text in page.texts["p note"])
    assert not any("left out:" in text for text in page.texts["p note"])
    assert [row[0] for row in rows_of(report / "tables" / "accuracy.csv")[1:]] == [
        "learned", "best sequence", "random", "centre"]  # fmt: skip
    assert "nan" not in (report / "report.html").read_text().partition("<img")[0].lower().replace("nance", "")


@pytest.mark.slow
@pytest.mark.nightly
def test_run_judged_on_other_data_says_so(run, digits, tmp_path):
    """On inverted digits: in the folder's name, the title and a note; the configuration names the digits themselves."""
    inverted = {name: array[:24] for name, array in digits.test.items()}
    inverted["image"] = 255 - inverted["image"]
    arrays = {f"{split}_{name}": array for split in ("train", "test") for name, array in inverted.items()}
    np.savez(tmp_path / "in verted.npz", **arrays)
    report = write_report(run, new_data=str(tmp_path / "in verted.npz"))
    assert report.parent == run
    assert re.fullmatch(r"analysis-on-[\w.-]*in-verted\.npz", report.name)
    page = Page(report)
    assert page.texts["h1"] == [f"short, judged on {tmp_path / 'in verted.npz'}"]
    assert page.texts["title"] == [f"{page.texts['h1'][0]}: foveax"]
    assert "other data than it was trained on" in page.texts["p note"][0]
    assert page.texts["p"][0].startswith("Trained on 5,000 images uint8[28, 28, 1]")
    table = analysis.read_csv(report / "tables" / "fixations.csv")
    own = fx.evaluate(*fx.load_run(run)[3:5], inverted, key=jax.random.key(0))
    np.testing.assert_allclose(analysis.to_scanpaths(table), own.fixations, atol=1e-6)


@pytest.mark.slow
def test_pipeline_without_belief_and_crop_is_reported_by_its_score(beliefless):
    """And its images of two channels are drawn."""
    page = Page(beliefless)
    assert tables_of(beliefless) - {"fixations"} == set(page.tables)
    passes = {"similarity_to_the_policys_own_passes", "prediction_of_the_policys_own_passes"}
    assert set(page.tables) == {"accuracy", "statistics", "directions", "information", *passes}
    assert figures_of(beliefless) == set(FIGURES) - {"speed", "classes", *DECISIONS}
    assert page.images == len(figures_of(beliefless)) + 1
    assert "Score after each glimpse" in page.texts["h3"]
    notes = " ".join(page.texts["p note"])
    assert "no square crop" in notes
    assert "no belief and no label" in notes
    assert "-100 x test loss" in notes
    score = rows_of(beliefless / "tables" / "accuracy.csv")
    assert all(float(cell) < 0 for row in score[1:] for cell in row[1:])
    assert "coverage" not in rows_of(beliefless / "tables" / "statistics.csv")[0]
    assert [row[0] for row in rows_of(beliefless / "tables" / "information.csv")] == [
        "bits",
        "entropy of the map",
        "information about the image",
        "of shuffled images",
    ]
    assert analysis.read_csv(beliefless / "tables" / "fixations.csv").label is None
    with Image.open(beliefless / "figures" / "trial.gif") as film:
        assert film.n_frames == 3
        assert film.size[0] < film.size[1]  # the scanpath alone


@pytest.mark.slow
@pytest.mark.nightly
def test_every_agent_is_reported_by_its_name(agents):
    """The gaze, which follows from both, stands for itself; images have four channels."""
    page = Page(agents)
    for name in ("eye", "the-head"):
        assert {f"{table}_{name}" for table in TABLES} <= set(page.tables)
        assert {
            f"{figure}_{name}" for figure in FIGURES if figure not in ("trials", "learning", "trial", *DECISIONS)
        } <= figures_of(agents)
        names = [row[0] for row in rows_of(agents / "tables" / f"accuracy_{name}.csv")]
        assert names == ["fixations", "learned", "best sequence", "another image", "random", "centre"]
    assert {"statistics_memory.fixation", "directions_memory.fixation"} <= set(page.tables)
    assert "accuracy_memory.fixation" not in page.tables
    assert "Scanpaths: the head" in page.texts["h3"]
    verdicts = [text for key, texts in page.texts.items() if key.startswith("p verdict") for text in texts]
    assert [verdict.partition(":")[0] for verdict in sorted(verdicts)] == ["eye", "the head"]
    gaze = rows_of(agents / "tables" / "statistics_memory.fixation.csv")
    assert [row[0] for row in gaze[1:3]] == ["learned", "eye: best sequence"]
    assert "coverage" in gaze[0]
    assert "coverage" not in rows_of(agents / "tables" / "statistics_eye.csv")[0]
    assert page.images == len(figures_of(agents)) + 1


@pytest.mark.slow
def test_pipeline_without_gaze_is_reported_too(tmp_path):
    report = train(tmp_path / "blind", image_set(1), blind)
    page = Page(report)
    assert tables_of(report) == set(page.tables) == {"accuracy"}
    assert figures_of(report) == {"learning", "accuracy"}
    assert page.images == 2
    assert rows_of(report / "tables" / "accuracy.csv")[1][0] == "scripted"
    notes = " ".join(page.texts["p note"])
    assert "declares no gaze" in notes
    assert "there is no verdict" in notes
    (tmp_path / "people.csv").write_text("subject,image,glimpse,x,y\nanna,0,1,0.5,0.5\nanna,1,1,0.5,0.5\n")
    with pytest.raises(fx.InputError, match="must declare a gaze"):
        write_report(tmp_path / "blind", data=image_set(1), pipeline=blind, people=tmp_path / "people.csv")


@pytest.mark.slow
def test_what_cannot_be_analysed_is_refused(run, tmp_path):
    def refused(message, *arguments, **options):
        with pytest.raises(fx.InputError, match=message):
            write_report(*arguments, **options)

    refused("must hold a config.json", tmp_path)
    alone = tmp_path / "alone.csv"
    alone.write_text("image,glimpse,x,y\n0,1,0.5,0.5\n")
    refused("must have the column subject", run, people=alone)
    alone.write_text("subject,image,glimpse,x,y\nanna,4,1,0.5,0.5\nben,5,1,0.5,0.5\n")
    refused("must have looked at an image in common; got none", run, people=alone)
    alone.write_text("subject,image,glimpse,x,y\nanna,4,1,0.5,0.5\nanna,1000,1,0.5,0.5\n")
    refused("must have looked at the test images, 0 to 999; got fixations on 4 to 1000", run, people=alone)
    alone.write_text("subject,image,glimpse,x,y\nanna,0,1,14,14\n")
    refused("as pixels are", run, people=alone)
    still = fx.TrainingConfig(images=96, shift=0, pipeline=fx.PipelineConfig(glimpses=1, crop_size=5, **SIZES))
    fx.train(still, image_set(1), out=tmp_path / "still", evaluate=False)
    refused("a single glimpse", tmp_path / "still", data=image_set(1))
    refused("must be those that run", tmp_path / "still", data=image_set(1, seed=1))


@pytest.mark.nightly
@pytest.mark.slow
def test_an_eye_that_never_moves_is_analysed_too(tmp_path):
    """Its saccades have no length, and so no direction."""
    config = fx.PipelineConfig(glimpses=2, crop_size=5, policy="centre", **SIZES)
    data = image_set(3)
    fx.train(fx.TrainingConfig(images=96, shift=0, pipeline=config), data, out=tmp_path / "centre", evaluate=False)
    report = write_report(tmp_path / "centre", tmp_path / "elsewhere", data=data)
    assert report == tmp_path / "elsewhere"
    rows = rows_of(report / "tables" / "directions.csv")
    assert rows[1][1:] == [""] * 4
    similar = rows_of(report / "tables" / "similarity_to_the_policys_own_passes.csv")
    assert len({len(row) for row in similar}) == 1
    assert rows_of(report / "tables" / "accuracy.csv")[1][0] == "scripted"
    assert Page(report).texts["p"][0].startswith("Trained on arrays given in Python")


def evaluation(probabilities, label, losses):
    shape = np.shape(losses)
    return fx.Evaluation(probabilities, label, np.zeros((*shape, 2)), {}, np.asarray(losses, np.float32), {})


@pytest.mark.parametrize("scale", [1, 2])
def test_a_belief_is_drawn_where_it_is_a_distribution(scale):
    beliefs = scale * np.full((2, 2, 4), 0.25)
    shown = {"learned": evaluation(beliefs, np.zeros(2, int), np.zeros((2, 2)))}
    findings = Findings(None, None, "", shown, {}, None, None)
    assert (findings.beliefs is not None) == (scale == 1)


def test_representative_trial_is_the_least_expected_that_ends_well():
    beliefs = np.array([[[0.4, 0.6], [0.2, 0.8]], [[0.9, 0.1], [0.3, 0.7]], [[0.99, 0.01], [0.9, 0.1]]])
    assert representative_trial(evaluation(beliefs, np.array([1, 1, 1]), np.zeros((3, 2)))) == 1
    assert representative_trial(evaluation(beliefs, np.array([0, 0, 5]), np.zeros((3, 2)))) == 0
    losses = [[1.0, 1.0], [2.0, 0.5], [np.nan, 1.0]]
    assert representative_trial(evaluation(None, None, losses)) == 1


def test_learning_curve_is_of_the_accuracy_or_else_of_losses_or_rewards():
    line = {"step": 1, "images": 8, "eye/reward": 0.5}
    assert list(learning_curves([line])[0]) == ["eye/reward"]
    assert learning_curves([{**line, "loss/a.b": 1.0, "loss/c.d": 2.0}])[1] == "loss"
    curves, title = learning_curves([json.loads('{"step": 1, "loss/a.b": 3.0, "accuracy": NaN}')])
    assert title == "accuracy"
    assert np.isnan(curves["accuracy"]).all()
    assert learning_curves([{"step": 1, "images": 8}]) == ({}, "")
    assert learning_curves([]) == ({}, "")
