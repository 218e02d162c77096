"""The page of an evaluation of robustness: its numbers, and the data of its figures, against NumPy and SciPy."""

import html.parser

import numpy as np
import pytest
from scipy import stats

from foveax.evaluation.attack_rows import AttackConfig, rows
from foveax.report.attack_figures import attack_figures, example_rows
from foveax.report.attack_page import write_attack_page
from foveax.report.corruption_figures import corruption_figures
from foveax.robustness import CORRUPTIONS

IMAGES = 200
NAMES = ("cat & co", "dog", "bird")


def results(**changes):
    """An evaluation with accuracies at random, all different."""
    rng = np.random.default_rng(0)
    config = AttackConfig(draws=(1, 10, 100), sweep=(0.1, 0.5))
    made = rows(config, has_eye=True)
    counts = rng.permutation(IMAGES)[: len(made)]
    measured = {
        name: {**row._asdict(), "accuracy": count / IMAGES, "images": IMAGES, "seconds": 2.0, "change": 0.123,
               "moved": 0.234}
        for (name, row), count in zip(made.items(), counts, strict=True)
    }  # fmt: skip
    verdict = {"verdict": "masked", "reasons": ["Square leaves <less>"], "notes": ["more steps help"], "worst": 0.035}
    missing = {"loss": 0.0, "gaze": 0.42}
    return {
        "config": config.to_json(), "rows": measured, "missing": missing, "examples": "APGD", **verdict, **changes
    }  # fmt: skip


def corruptions():
    rng = np.random.default_rng(1)
    subjects = {
        name: {"clean": 0.9, "accuracy": {kind: rng.random(5).round(3).tolist() for kind in CORRUPTIONS},
               "mean": 0.5, "low": 0.4, "high": 0.6}
        for name in ("own gaze", "whole image")
    }  # fmt: skip
    return {"images": IMAGES, "subjects": subjects}


def examples(channels=1, gaze=2):
    rng = np.random.default_rng(2)
    image = rng.random((6, 12, 10, channels)).astype(np.float32)
    fixations = rng.random((6, 3, gaze))
    return {
        "image": image, "attacked": np.clip(image + rng.uniform(-0.3, 0.3, image.shape), 0, 1).astype(np.float32),
        "label": np.array([0, 1, 2, 0, 1, 2]), "predicted": np.array([1, 1, 2, 0, 0, 2]),
        "predicted_attacked": np.array([0, 0, 0, 1, 1, 1]), "fixations": fixations, "fixations_attacked": 1 - fixations,
    }  # fmt: skip


def figures(given=None, **choices):
    return attack_figures(given or results(), examples(**choices), NAMES.__getitem__)


def lines(ax):
    return {line.get_label(): np.array(line.get_data()).T for line in ax.lines if len(line.get_xdata()) > 1}


class Text(html.parser.HTMLParser):
    """The texts of a page in their order, and its images."""

    def __init__(self, page):
        super().__init__()
        self.texts, self.images = [], []
        self.feed(page)

    def handle_data(self, data):
        self.texts.append(data.strip())

    def handle_starttag(self, tag, attributes):
        if tag == "img":
            self.images.append(dict(attributes))


def test_the_page_holds_the_verdict_first_and_the_numbers_of_every_row(tmp_path):
    given = {
        **results(),
        "corruptions": corruptions(),
        "smallest": {"the class": {"L2": 1.25}, "the gaze": {"L2": 2.5}},
    }
    np.savez(tmp_path / "examples.npz", **examples())
    path = write_attack_page(given, tmp_path, title="a <run>", called=NAMES.__getitem__)
    source = path.read_text()
    page = Text(source)
    texts = [text for text in page.texts if text]
    whole = "\n".join(texts)
    first = next(index for index, text in enumerate(texts) if text.startswith("Masked."))
    assert first < texts.index("Square leaves <less>") < texts.index("more steps help")
    assert first < next(
        index for index, text in enumerate(texts) if text.startswith("How large a change does it stand?")
    )
    assert "the gaze 42 %" in whole
    for name, row in given["rows"].items():
        interval = stats.binomtest(round(row["accuracy"] * IMAGES), IMAGES).proportion_ci(method="wilson")
        at = texts.index(name, texts.index("Every attack"))
        assert float(texts[at + 1]) == pytest.approx(100 * row["accuracy"], abs=0.005)
        bounds = [float(bound) for bound in texts[at + 2].strip("[]").split(",")]
        np.testing.assert_allclose(bounds, [100 * interval.low, 100 * interval.high], atol=0.006)
        assert texts[at + 3 : at + 5] == ["0.123", "0.234"]
    assert texts[texts.index("the gaze") + 1] == "2.500"
    assert 'src="http' not in source
    assert all(image["src"].startswith("data:image/png;base64,") for image in page.images)
    drawn = {"radius", "rows", "examples", "draws", "corruptions", "corruptions_pictured"}
    assert {file.stem for file in (tmp_path / "figures").glob("*.png")} == drawn
    assert len(page.images) == len(drawn)
    assert all("n = 200" in image["alt"] for image in page.images if "interval" in image["alt"])


def test_curves_over_the_radius_and_over_draws_are_the_rows(tmp_path):
    given = results()
    drawn = figures(given)

    def accuracy(*names):
        return 100 * np.array([given["rows"][name]["accuracy"] for name in names])

    curves = lines(drawn["radius"][1].axes[0])
    expected = {
        "own gaze, free": accuracy("clean", "at 0.1", "at 0.5"),
        "clean fixations replayed": accuracy(
            "clean fixations, clean", "clean fixations at 0.1", "clean fixations at 0.5"
        ),
        "whole image": accuracy("whole image, clean", "whole image at 0.1", "whole image at 0.5"),
    }
    assert curves.keys() == expected.keys()
    for name, values in expected.items():
        np.testing.assert_allclose(curves[name], np.column_stack([[0, 0.1, 0.5], values]))
    draws = lines(drawn["draws"][1].axes[0])["sampled gaze"]
    names = ("sampled gaze, 1 draw", "sampled gaze, 10 draws", "sampled gaze, 100 draws")
    np.testing.assert_allclose(draws, np.column_stack([[1, 10, 100], accuracy(*names)]))
    band = drawn["draws"][1].axes[0].collections[0].get_paths()[0].vertices
    bounds = [
        stats.binomtest(round(each * IMAGES / 100), IMAGES).proportion_ci(method="wilson") for each in draws[:, 1]
    ]
    for (place, _), bound in zip(draws, bounds, strict=True):
        np.testing.assert_allclose(
            np.unique(band[band[:, 0] == place, 1].round(6)), [100 * bound.low, 100 * bound.high], atol=1e-4
        )


def test_the_checklist_has_a_dot_for_each_row_of_the_radius():
    given = results()
    ax = figures(given)["rows"][1].axes[0]
    named = [label.get_text() for label in ax.get_yticklabels()]
    dots = [float(line.get_xdata()[0]) for line in ax.lines if len(line.get_xdata()) == 1]
    assert named == [name for name, row in given["rows"].items() if row["epsilon"] is None]
    np.testing.assert_allclose(dots, [100 * given["rows"][name]["accuracy"] for name in named])


@pytest.mark.parametrize(("channels", "gaze"), [(1, 2), (3, 0)])
def test_examples_are_images_that_were_right(channels, gaze):
    arrays = examples(channels, gaze)
    assert example_rows(arrays) == [1, 2, 3, 5]
    axes = figures(channels=channels, gaze=gaze)["examples"][1].axes
    titles = [ax.get_title() for ax in axes]
    assert titles[0] == "dog"
    assert titles[2].split() == ["dog,", "taken", "for", "cat", "&", "co"]
    changes = [ax.images[0] for ax in axes[1::3]]
    for image, index in zip(changes, (1, 2, 3, 5), strict=True):
        change = (arrays["attacked"] - arrays["image"])[index].mean(-1)
        np.testing.assert_allclose(image.get_array(), change, atol=1e-6)
        np.testing.assert_allclose(image.get_clim(), [-np.abs(change).max(), np.abs(change).max()], rtol=1e-5)


def test_corruptions_have_a_curve_for_each_subject():
    given = corruptions()
    figure = corruption_figures(given, examples()["image"][0])["corruptions"][1]
    for ax, kind in zip(figure.axes, CORRUPTIONS, strict=True):
        assert ax.get_title() == kind
        for name, values in given["subjects"].items():
            expected = np.column_stack([np.arange(6), 100 * np.array([0.9, *values["accuracy"][kind]])])
            np.testing.assert_allclose(lines(ax)[name], expected)


def test_a_model_without_an_eye_has_a_page(tmp_path):
    made = rows(AttackConfig(sweep=()), has_eye=False)
    given = results(config=AttackConfig(sweep=()).to_json())
    given["rows"] = {name: given["rows"][name] for name in made}
    np.savez(tmp_path / "examples.npz", **examples(gaze=0))
    page = write_attack_page(given, tmp_path, title="run", called=NAMES.__getitem__).read_text()
    assert "How large a change does it stand?" not in page
    assert "noise protect" not in page
    assert "What does an attack look like?" in page
