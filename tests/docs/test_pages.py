"""The Python of the README and of the documentation runs as it stands, and each notebook is that of its script."""

import re
from pathlib import Path

import jupytext
import pytest

ROOT = Path(__file__).parents[2]
NIGHTLY = ("areas", "getting_started", "environments", "scanpaths", "looking_inside", "robustness")


def run_python_of(page):
    """Runs a page's Python blocks in order, in one namespace, which is returned."""
    names = {}
    for block in re.findall(r"```python\n(.*?)```", page.read_text(), flags=re.DOTALL):
        exec(compile(block, str(page), "exec"), names)
    return names


@pytest.mark.slow
def test_readme_runs(capsys):
    names = run_python_of(ROOT / "README.md")
    assert names["fixations"].shape == (1000, 4, 2)
    assert capsys.readouterr().out.splitlines()[-1].startswith("100 ")


@pytest.mark.slow
@pytest.mark.parametrize(
    "page",
    [
        "graph",
        "gaze_files",
        *(pytest.param(page, marks=pytest.mark.nightly) for page in NIGHTLY),
    ],
)
def test_documentation_runs(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = run_python_of(ROOT / "docs" / f"{page}.md")
    if page == "getting_started":
        assert (tmp_path / "scanpath.png").stat().st_size > 0
        assert len((tmp_path / "fixations.csv").read_text().splitlines()) == 6001
    elif page == "areas":
        assert names["outputs"]["v4_by_step"].shape == (4, 8, 8, 32)
    elif page == "looking_inside":
        assert names["matrices"].shape == (4, 45)
        assert (tmp_path / "rdms.pkl").stat().st_size > 0
    elif page == "scanpaths":
        assert names["config"].fixations == str(tmp_path / "model.npz")
    elif page == "robustness":
        assert names["outcome"].image.shape == (8, 28, 28, 1)
    elif page == "environments":
        assert names["observation"].shape == (16, 287)
        assert set(names["metrics"]) == {"policy_loss", "value_loss", "entropy", "kl"}
    elif page == "gaze_files":
        assert names["back"].subject.tolist() == ["anna", "anna"]
    else:
        assert names["trajectory"]["bright"]["output"].shape == (6,)


def test_no_page_has_a_section_twice():
    for page in [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]:
        text = re.sub(r"```.*?```", "", page.read_text(), flags=re.DOTALL)
        headings = re.findall(r"^#+ .*$", text, flags=re.MULTILINE)
        assert sorted(headings) == sorted(set(headings)), page


def test_documentation_names_only_what_there_is():
    """Every name in code in the page on analysis is one of the package, or a column of its table."""
    from foveax import analysis

    page = (ROOT / "docs" / "analysis.md").read_text()
    named = set(re.findall(r"`([a-z_]+)`", page))
    known = set(dir(analysis)) | set(analysis.FixationTable._fields) | {"rapidfuzz", "pysaliency"}
    assert named - known == set()


def test_gallery_and_reference_hold_every_figure_and_number():
    """Each function of ``foveax.plot`` is drawn in the gallery, whose files are there; those of analysis are listed."""
    from foveax import analysis, plot

    def public(room):
        return {name for name, value in vars(room).items() if callable(value)}

    gallery = (ROOT / "docs" / "gallery.md").read_text()
    drawn = {*re.findall(r"plot\.(\w+)\(", gallery)}
    assert drawn == public(plot)
    files = {path.name for path in (ROOT / "docs" / "gallery").iterdir()}
    assert files == {*re.findall(r"\(gallery/(\S+)\)", gallery)}
    listed = (ROOT / "docs" / "api" / "analysis.md").read_text()
    assert public(analysis) - {*re.findall(r"\w+", listed)} == set()


@pytest.mark.parametrize("script", sorted((ROOT / "notebooks").glob("*.py")), ids=lambda path: path.stem)
def test_notebook_is_that_of_its_script_and_keeps_its_figures(script):
    stored, written = jupytext.read(script.with_suffix(".ipynb")), jupytext.read(script)
    cells = [[(cell.cell_type, cell.source) for cell in notebook.cells] for notebook in (stored, written)]
    assert cells[0] == cells[1]
    outputs = [output for cell in stored.cells for output in cell.get("outputs", [])]
    assert any("image/png" in output.get("data", {}) for output in outputs)
    assert not [output for output in outputs if output.output_type == "error"]
