"""Names of classes in a run: recorded, compared, printed, drawn, and no code in its report."""

import csv
import io
import json
from types import SimpleNamespace

import numpy as np
import pytest
import tiny
from command import printed
from PIL import Image

import foveax as fx
from foveax.evaluation.evaluate import Evaluation, class_balance, format_balance
from foveax.report.figures import figures_of_run
from foveax.report.page import table_html
from foveax.report.tables import tables_of_decisions
from foveax.runs.directory import read_run

NAMES = ("<b>ant</b>", "US$ of $ banks", "a name of 21 letters.")


def set_in_file(folder, names=NAMES):
    return tiny.write_npz(folder / "set.npz", **({"names": np.array(names)} if names else {}))


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    file = set_in_file(folder)
    tiny.train(folder / "run", fx.load(str(file)), config=tiny.named(file))
    return folder / "run"


def test_a_run_keeps_names_and_predicts_them(run, tmp_path, capsys):
    assert read_run(run).data["names"] == list(NAMES)
    pixels = np.random.default_rng(0).integers(0, 255, (24, 24), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "one.png")
    (row,) = csv.DictReader(io.StringIO(printed(capsys, "predict", run, tmp_path / "one.png")))
    belief = fx.load_run(run).predict(pixels[None]).probabilities[0, -1]
    assert row["class"] == NAMES[belief.argmax()]


def test_other_names_are_other_data(run):
    renamed = tiny.data()._replace(names=("x", *NAMES[1:]))
    with pytest.raises(fx.InputError, match="the name of class 0 is <b>ant</b> there, x here"):
        fx.load_run(run, renamed)
    with pytest.raises(fx.InputError, match="by the same names: class 0 is '<b>ant</b>' there, 'x' here"):
        fx.load_run(run, new_data=renamed)
    judged = fx.load_run(run, new_data=tiny.data(seed=1)).data
    assert (judged.classes, judged.names) == (3, NAMES)


def test_a_run_from_before_there_were_names_is_loaded_and_resumed(tmp_path):
    """Its record holds none, and its data have some now."""
    file = set_in_file(tmp_path, names=())
    config = tiny.named(file)
    tiny.train(tmp_path / "run", fx.load(str(file)), config=config)
    before = (tmp_path / "run" / "config.json").read_bytes()
    file = set_in_file(tmp_path)
    loaded = fx.load_run(tmp_path / "run")
    assert (loaded.data.names, loaded.judged_on) == (NAMES, "")
    assert fx.load_run(tmp_path / "run", new_data=str(file)).judged_on == ""
    result = tiny.train(tmp_path / "run", fx.load(str(file)), config=config)
    assert result.summary["images"] == config.images
    assert (tmp_path / "run" / "config.json").read_bytes() == before


@pytest.mark.parametrize("names", ["xyz", [1, 2, 3], ["x", "y"], ["x", ["y"], "z"], ["x", "y\n", "z"], None])
def test_names_of_any_content_in_a_record_are_refused(names, run, tmp_path):
    stored = json.loads((run / "config.json").read_text())
    stored["data"]["names"] = names
    (tmp_path / "config.json").write_text(json.dumps(stored))
    with pytest.raises(fx.InputError, match=r"^(names|data) in .*config.json must"):
        read_run(tmp_path)


@pytest.fixture
def findings():
    """Of a pipeline that takes two of three images of the first class for the last."""
    decided, label = np.array([0, 2, 2, 1, 2]), np.array([0, 0, 0, 1, 2])
    probabilities = np.eye(3)[decided][:, None].repeat(3, axis=1)
    fixations = np.random.default_rng(0).random((5, 3, 2))
    own = Evaluation(probabilities, label, fixations, {}, np.zeros((5, 3)), {})
    found = {"own": own, "has_decisions": True, "people": None, "evaluations": {"own": own}, "names": NAMES}
    data = tiny.data()._replace(names=NAMES)
    found |= {"run": SimpleNamespace(data=data), "images": data.test["image"][:5], "retina": {}, "beliefs": None}
    return SimpleNamespace(**found)


def test_tables_and_what_is_printed_call_classes_by_their_names(findings):
    title, make = tables_of_decisions(findings)["class_accuracy"]
    table = make()
    assert [row[0] for row in table.rows] == list(NAMES)
    assert table.rows[0][3] == f"{NAMES[2]} (2)"
    page = table_html("class_accuracy", title, table)
    assert "&lt;b&gt;ant&lt;/b&gt;" in page
    assert "<b>" not in page
    balance = class_balance(findings.own, np.array([0]), NAMES)
    assert format_balance(balance).endswith(f"{NAMES[0]} 33.33, {NAMES[1]} 100.00, {NAMES[2]} 100.00")


def test_figures_call_classes_by_their_names(findings):
    """A dollar sign is no formula, and a long name is cut."""
    shown = ["<b>ant</b>", r"US\$ of \$ banks", "a name of 21 letter\N{HORIZONTAL ELLIPSIS}"]
    figures = figures_of_run(findings)
    matrix = figures["confusion"][1]()
    assert [text.get_text() for text in matrix.axes[0].get_yticklabels()] == shown
    matrix.canvas.draw()
    size = np.array([matrix.axes[0].get_window_extent().width, matrix.axes[0].get_window_extent().height])
    assert (size > 0.4 * matrix.bbox.size).all()  # long names leave room for the matrix
    titles = {ax.get_title() for ax in figures["trials"][1]().axes}
    assert titles == {"", shown[0], f"{shown[0]},\ntaken for {shown[2]}"}  # of tests, a sheet has few trials
