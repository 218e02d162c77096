"""`foveax analyze`: the folder it writes, and the page as a browser shows it."""

import csv
import re
import shutil
import subprocess

import numpy as np
import pytest

import foveax as fx
from foveax import analysis
from foveax.cli import main

TABLES = ("accuracy", "statistics", "directions", "information", "speed")


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A short run, and people who looked at its first three test images."""
    folder = tmp_path_factory.mktemp("runs")
    fx.train(fx.Config(images=640, model=fx.Model(hidden=16, features=8, saccader_hidden=8)), out=folder / "short")
    rng = np.random.default_rng(0)
    table = analysis.fixation_table(rng.random((6, 6, 2)), height=28, width=28)
    subject = np.repeat(["anna", "ben"], 18)
    table.x[2] = 1.3  # people look past the image
    known = analysis.table.known_columns(table._replace(image=table.image % 3, subject=subject))
    kept = np.arange(36) != 35  # and one of them stops sooner
    analysis.write_csv(folder / "people.csv", analysis.FixationTable(**{name: known[name][kept] for name in known}))
    return folder / "short"


@pytest.fixture(scope="module")
def report(run):
    main(["analyze", str(run), "--people", str(run.parent / "people.csv")])
    return run / "analysis"


def rows_of(path):
    with path.open(newline="") as file:
        return list(csv.reader(file))


@pytest.mark.slow
def test_tables_and_figures_are_files(report):
    for name in (*TABLES, "similarity_to_people", "prediction_of_people"):
        rows = rows_of(report / "tables" / f"{name}.csv")
        assert len({len(row) for row in rows}) == 1
        assert len(rows) > 2
    assert len(list((report / "figures").glob("*.png"))) == len(list((report / "figures").glob("*.pdf"))) == 9
    table = analysis.read_csv(report / "tables" / "fixations.csv")
    assert analysis.to_scanpaths(table).shape == (1000, 6, 2)
    rows = rows_of(report / "tables" / "accuracy.csv")
    correct = table.correct[table.glimpse == 6].mean()
    assert float(rows[1][rows[0].index("glimpse 6")]) == pytest.approx(100 * correct)


@pytest.fixture(scope="module")
def browser():
    found = [path for path in map(shutil.which, ("chromium", "chromium-browser", "google-chrome")) if path]
    return found[0] if found else pytest.skip("there is no Chromium here")


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
    shown = subprocess.run(
        [browser, *flags, "--virtual-time-budget=10000", "--dump-dom", page.as_uri()],
        capture_output=True, text=True, timeout=120, check=True,
    ).stdout  # fmt: skip
    images, tables = map(int, re.search(r"<title>(\d+) (\d+)</title>", shown).groups())
    assert (images, tables) == (10, 9)
    for title in ("Decisions after each glimpse", "Likeness to people", "Predicting people", "The eye has"):
        assert title in shown


@pytest.mark.slow
def test_what_cannot_be_analysed_is_refused(run, tmp_path, capsys):
    def refused(*arguments):
        with pytest.raises(SystemExit):
            main(["analyze", *map(str, arguments)])
        return capsys.readouterr().err

    assert "must hold a config.json" in refused(tmp_path)
    alone = tmp_path / "alone.csv"
    alone.write_text("image,glimpse,x,y\n0,1,0.5,0.5\n")
    assert "must have the column subject" in refused(run, "--people", alone)
    alone.write_text("subject,image,glimpse,x,y\nanna,4,1,0.5,0.5\n")
    assert "numbered from 0" in refused(run, "--people", alone)
    alone.write_text("subject,image,glimpse,x,y\nanna,0,1,14,14\n")
    assert "as pixels are" in refused(run, "--people", alone)
    fx.train(fx.Config(images=320, model=fx.Model(glimpses=1, hidden=8, features=8)), out=tmp_path / "still")
    assert "a single glimpse" in refused(tmp_path / "still")


@pytest.mark.slow
def test_an_eye_that_never_moves_is_analysed_too(tmp_path):
    """Its saccades have no length, and so no direction."""
    model = fx.Model(glimpses=2, hidden=8, features=8, policy="centre")
    fx.train(fx.Config(images=320, model=model), out=tmp_path / "centre")
    main(["analyze", str(tmp_path / "centre")])
    rows = rows_of(tmp_path / "centre" / "analysis" / "tables" / "directions.csv")
    assert rows[1][1:] == [""] * 4
    similar = rows_of(tmp_path / "centre" / "analysis" / "tables" / "similarity_to_the_policys_own_passes.csv")
    assert len({len(row) for row in similar}) == 1
