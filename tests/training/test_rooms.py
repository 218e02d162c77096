"""What the code of training needs, and how the package's code is divided: read off the source, nothing is imported."""

import ast
import functools
from pathlib import Path

import foveax

PACKAGE = Path(foveax.__file__).parent
MOST_FILES, LARGEST_ROOM = 12, 0.15


def path_of(name):
    """The file of a module by its dotted name; None for what is no module of the package."""
    base = PACKAGE.parent.joinpath(*name.split("."))
    for path in (base.with_suffix(".py"), base / "__init__.py"):
        if path.is_file():
            return path
    return None


@functools.cache
def imported(path):
    """The package's modules that a file imports, anywhere in it, for types alone too."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} imports relatively"
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return {name for name in names if name.split(".")[0] == "foveax" and path_of(name)}


def closure(path):
    """A file and those of the package that it reaches."""
    reached, ahead = set(), [path]
    while ahead:
        here = ahead.pop()
        if here not in reached:
            reached.add(here)
            ahead += map(path_of, imported(here))
    return reached


def test_a_step_of_training_is_read_in_a_dozen_files():
    files = {path for path in closure(PACKAGE / "training" / "learner.py") if path.name != "__init__.py"}
    assert PACKAGE / "graph" / "compile.py" in files
    names = sorted(str(path.relative_to(PACKAGE)) for path in files)
    assert len(files) <= MOST_FILES, names


def test_training_knows_no_pipeline_network_or_run():
    others = {"pipelines", "networks", "modules", "runs", "runtime"}
    for path in (PACKAGE / "training").glob("*.py"):
        rooms = {name.split(".")[1] for name in imported(path) if "." in name}
        assert not rooms & others, (path.name, rooms & others)


def test_no_room_is_much_larger_than_the_others():
    lines: dict[str, int] = {}
    for path in PACKAGE.rglob("*.py"):
        room = path.relative_to(PACKAGE).parts[0]
        lines[room] = lines.get(room, 0) + len(path.read_text().splitlines())
    shares = {room: count / sum(lines.values()) for room, count in lines.items()}
    too_large = {room: f"{share:.1%}" for room, share in shares.items() if share > LARGEST_ROOM}
    assert not too_large
