"""Pipelines by name: what a run records of a function from data to a graph, so that it can ask for it again."""

import ast
import difflib
import functools
import importlib
import importlib.util
import inspect
import json
import sys
import traceback
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, cast

from foveax._types import InputError, pickled_by_value
from foveax.data.dataset import Data
from foveax.graph.graph import Graph

Build = Callable[[Data], Graph]
"""``(data) -> graph``."""


class Pipeline(NamedTuple):
    """A pipeline and how to find it again.

    Attributes:
      function: ``"package.module:function"`` or ``"file.py:function"``.
      arguments: keyword arguments of the function, JSON types.
      build: the function with its arguments.
      source: the text of the file that defines the function, for the record; empty for those of this package.
    """

    function: str
    arguments: dict[str, Any]
    build: Build
    source: str

    def __reduce__(self) -> tuple[Any, ...]:
        return pickled_by_value(Pipeline, self)


def name_pipeline(build: Any) -> Pipeline:
    """The pipeline of a function given in Python, or of a `functools.partial` of one with keyword arguments.

    Raises `InputError` if it is no function, or a partial with positional arguments.
    """
    if not callable(build):
        raise InputError(f"pipeline must be a function of the data; got {type(build).__name__}")
    partial = build if isinstance(build, functools.partial) else functools.partial(build)
    if partial.args:
        raise InputError("pipeline must be given its arguments by name; got a partial with positional ones")
    function: Any = partial.func
    name = f"{getattr(function, '__module__', None)}:{getattr(function, '__qualname__', type(function).__qualname__)}"
    return Pipeline(name, _as_json(partial.keywords), cast(Build, build), _source(function))


def import_pipeline(name: str, arguments: Sequence[str] = ()) -> Pipeline:
    """Imports a pipeline that the user has named.

    Args:
      name: ``"file.py:function"`` or ``"package.module:function"``.
      arguments: of the function, as ``"name=value"``; values are Python literals, or else text.

    Raises:
      InputError: if there is no such file, module or function, or it does not take these arguments.

    Example:
      >>> import_pipeline("foveax.pipelines.standard:standard_pipeline").function
      'foveax.pipelines.standard:standard_pipeline'
    """
    build: Any = import_object(name, "pipeline")
    if not callable(build):
        raise InputError(f"pipeline must be a function of the data; {name} is {type(build).__name__}")
    options = dict(_parse_argument(argument) for argument in arguments)
    try:
        inspect.signature(build).bind(None, **options)
    except TypeError as error:
        raise InputError(f"pipeline arguments must fit {name}{inspect.signature(build)}: {error}") from None
    return Pipeline(name, _as_json(options), cast(Build, functools.partial(build, **options)), _source(build))


def import_object(name: str, kind: str) -> Any:
    """Imports what the user has named as ``"file.py:name"`` or ``"package.module:name"``; messages call it `kind`.

    Raises `InputError` if there is no such file, module or name, or importing it fails.
    """
    place, _, attribute = name.rpartition(":")
    if not place or not attribute.isidentifier():
        raise InputError(f"{kind} must be FILE.py:NAME or package.module:NAME; got {name!r}")
    file = Path(place).expanduser() if place.endswith(".py") else None
    if file and not file.is_file():
        raise InputError(f"{kind} must be in a file that is there; got {file}")
    sys.path.insert(0, str((file.parent if file else Path()).absolute()))  # what it imports may lie next to it
    try:
        module = _run(file) if file else importlib.import_module(place)
    except InputError:
        raise
    except Exception as error:  # whatever the user's own code raises
        raised = describe_error(error)
        raise InputError(f"{kind} must be in a file or module that can be imported; {place} raised {raised}") from error
    finally:
        sys.path.pop(0)
    if not hasattr(module, attribute):
        near = difflib.get_close_matches(attribute, [key for key in vars(module) if key[0] != "_"], n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise InputError(f"{kind} must be there; {place} has no {attribute!r}{hint}")
    return getattr(module, attribute)


def describe_error(error: Exception) -> str:
    """What the user's own code raised, in a line, and the last line of that code that was run."""
    foreign = ("site-packages", str(Path(__file__).parents[1]), "<")
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if not any(name in frame.filename for name in foreign)]
    place = f" ({Path(own[-1].filename).name}, line {own[-1].lineno})" if own else ""
    return f"{type(error).__name__}: {error}{place}"


def _run(file: Path) -> Any:
    spec = importlib.util.spec_from_file_location(file.stem, file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules.setdefault(file.stem, module)
    spec.loader.exec_module(module)
    return module


def _source(function: Any) -> str:
    try:
        return Path(inspect.getsourcefile(function) or "").read_text()
    except (OSError, TypeError):
        return ""  # typed at a prompt


def _as_json(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments as they are read back from a file; what is no JSON, such as an infinite number, as its text."""
    return json.loads(json.dumps(arguments, default=repr, skipkeys=True), parse_constant=str)


def _parse_argument(argument: str) -> tuple[str, Any]:
    name, equals, text = argument.partition("=")
    if not equals or not name.isidentifier():
        raise InputError(f"pipeline arguments must be name=value; got {argument!r}")
    try:
        return name, ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return name, text
