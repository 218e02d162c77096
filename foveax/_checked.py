"""Checked fields for configurations: frozen dataclasses that name the field of every bad value."""

import dataclasses
import difflib
import json
import math
import typing
from collections.abc import Mapping
from typing import Any, Self

import jax
import numpy as np
from jax.core import Tracer

from foveax._types import InputError


def bounded(default: Any, low: float = -math.inf, high: float = math.inf, *, above: float = -math.inf) -> Any:
    """A numeric dataclass field whose value must lie in ``[low, high]``, and be more than `above`."""
    return dataclasses.field(default=default, metadata={"low": low, "high": high, "above": above})


class Checked:
    """Base of the configurations: checks its fields when it is made, and goes to JSON and back without loss."""

    def __post_init__(self):
        for field in dataclasses.fields(self):  # pyright: ignore[reportArgumentType]
            value = getattr(self, field.name)
            value = value.item() if isinstance(value, np.generic) else value
            _check_value(field, value)
            if field.type is float:  # so that equal configurations are equal as JSON
                value = float(value)
            object.__setattr__(self, field.name, value)

    def to_json(self) -> dict[str, Any]:
        """The configuration as plain JSON types; tuples become lists."""
        return json.loads(json.dumps(dataclasses.asdict(self)))  # pyright: ignore[reportArgumentType]

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        """The configuration that `to_json` wrote.

        Raises `InputError` for a key that is no field (with a suggestion), or a value that its field refuses.
        """
        if not isinstance(values, Mapping):
            raise InputError(f"{cls.__name__} must be a JSON object; got {type(values).__name__}")
        fields = {field.name: field for field in dataclasses.fields(cls)}  # pyright: ignore[reportArgumentType]
        for name in values:
            if name not in fields:
                near = difflib.get_close_matches(str(name), fields, n=1)
                hint = f"; did you mean {near[0]!r}?" if near else f"; it has {', '.join(fields)}"
                raise InputError(f"{cls.__name__} has no field {in_line(name)}{hint}")
        return cls(**{name: _from_json(name, fields[name].type, value) for name, value in values.items()})


def _from_json(name: str, kind: Any, value: Any) -> Any:
    """A field's value from JSON: a configuration in it, and lists as tuples, where and as deeply as it has them."""
    if isinstance(kind, type) and issubclass(kind, Checked):
        if not isinstance(value, Mapping):
            raise InputError(f"{name} must be a JSON object, a {kind.__name__}; got {in_line(value)}")
        return kind.from_json(value)
    kind = _kind(kind, value)
    if typing.get_origin(kind) is not tuple or not isinstance(value, list):
        return value
    return tuple(_from_json(name, typing.get_args(kind)[0], item) for item in value)


def _check_value(field: dataclasses.Field, value: Any) -> None:
    kind = _kind(field.type, value)
    choices = typing.get_args(kind) if typing.get_origin(kind) is typing.Literal else ()
    if choices and not (isinstance(value, str) and value in choices):
        raise InputError(f"{field.name} must be one of {', '.join(map(repr, choices))}; got {in_line(value)}")
    if typing.get_origin(kind) is tuple and not _fits(kind, value):
        items = "text" if "str" in str(kind) else "finite numbers"
        raise InputError(f"{field.name} must be {kind} of {items}; got {in_line(value)}")
    if isinstance(kind, type) and issubclass(kind, Checked) and not isinstance(value, kind):
        raise InputError(f"{field.name} must be a {kind.__name__}; got {in_line(value)}")
    if kind in (int, float, bool, str):
        _check_scalar(field, value)


def _kind(kind: Any, value: Any) -> Any:
    """The type that a value must be of; of a name or a tuple, the one for text, the other for all else."""
    if typing.get_origin(kind) is not typing.Union:
        return kind
    names, numbers = typing.get_args(kind)
    return names if isinstance(value, str) else numbers


def _fits(kind: Any, value: Any) -> bool:
    """Whether a value is of a tuple's type, down to text or finite numbers."""
    if kind is str:
        return isinstance(value, str)
    if typing.get_origin(kind) is not tuple:
        return isinstance(value, (int, float)) and not isinstance(value, bool) and _finite(value)
    items = typing.get_args(kind)
    if not isinstance(value, tuple) or (items[-1] is not Ellipsis and len(value) != len(items)):
        return False
    return all(_fits(items[0], item) for item in value)


def _check_scalar(field: dataclasses.Field, value: Any) -> None:
    kind: Any = field.type
    accepted = (int, float) if kind is float else (kind,)
    if not isinstance(value, accepted) or (isinstance(value, bool) and kind is not bool):
        raise InputError(f"{field.name} must be {kind.__name__}; got {in_line(value)}")
    if kind not in (int, float):
        return
    bounds = {"low": -math.inf, "high": math.inf, "above": -math.inf, **field.metadata}
    if not (_finite(value) and bounds["low"] <= value <= bounds["high"] and value > bounds["above"]):
        words = {"above": "more than", "low": "at least", "high": "at most"}
        parts = [f"{words[name]} {bounds[name]}" for name in words if math.isfinite(bounds[name])]
        raise InputError(f"{field.name} must be {' and '.join(parts) or 'finite'}; got {in_line(value)}")


def _finite(value: float) -> bool:
    """Whether a number is one that a float can hold."""
    try:
        return math.isfinite(value)
    except OverflowError:
        return False


def in_line(value: Any) -> str:
    """What came, or what an error says, as far as it can be said in a line.

    Example:
      >>> in_line(np.zeros((2, 2)))
      'array([[0., 0.], [0., 0.]])'
    """
    try:
        text = str(value) or type(value).__name__ if isinstance(value, Exception) else repr(value)
    except (ValueError, RecursionError):
        return f"a {type(value).__name__} too large to print"
    text, most = " ".join(text.split()), 600 if isinstance(value, Exception) else 200
    return text if len(text) <= most else f"{text[:most]}..."


def is_number(value: Any) -> bool:
    """Whether a value is one finite number, within the range of float32; one that is being traced is taken for it.

    Example:
      >>> is_number(np.float32(0.5)), is_number("0.5"), is_number(1e300), is_number([0.5])
      (True, False, False, False)
    """
    if isinstance(value, Tracer):
        return value.shape == ()
    array = np.asarray(value) if isinstance(value, int | float | np.number | np.ndarray | jax.Array) else np.array("")
    return array.shape == () and array.dtype.kind in "biuf" and bool(abs(array) <= np.finfo(np.float32).max)
