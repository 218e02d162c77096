"""Checked fields for configurations: frozen dataclasses that name the field of every bad value."""

import dataclasses
import difflib
import json
import math
import typing
from collections.abc import Mapping
from typing import Any, Self

from foveax._types import InputError


def bounded(default: Any, low: float = -math.inf, high: float = math.inf, *, above: float | None = None) -> Any:
    """A numeric dataclass field whose value must lie in ``[low, high]``, and be more than `above` if that is given."""
    return dataclasses.field(default=default, metadata={"low": low, "high": high, "above": above})


class Checked:
    """Base of the configurations: checks its fields when it is made, and goes to JSON and back without loss."""

    def __post_init__(self):
        for field in dataclasses.fields(self):  # pyright: ignore[reportArgumentType]
            _check_value(field, getattr(self, field.name))

    def to_json(self) -> dict[str, Any]:
        """The configuration as plain JSON types; tuples become lists."""
        return json.loads(json.dumps(dataclasses.asdict(self)))  # pyright: ignore[reportArgumentType]

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        """The configuration that `to_json` wrote.

        Raises:
          InputError: for a key that is no field (with a suggestion), or a value that its field refuses.
        """
        if not isinstance(values, Mapping):
            raise InputError(f"{cls.__name__} must be a JSON object; got {type(values).__name__}")
        fields = {field.name: field for field in dataclasses.fields(cls)}  # pyright: ignore[reportArgumentType]
        for name in values:
            if name not in fields:
                near = difflib.get_close_matches(name, fields, n=1)
                hint = f"; did you mean {near[0]!r}?" if near else f"; it has {', '.join(fields)}"
                raise InputError(f"{cls.__name__} has no field {name!r}{hint}")
        return cls(**{name: _from_json(fields[name].type, value) for name, value in values.items()})


def _from_json(kind: Any, value: Any) -> Any:
    if isinstance(kind, type) and issubclass(kind, Checked):
        return kind.from_json(value)
    if isinstance(value, list):
        return tuple(_from_json(None, item) for item in value)
    return value


def _check_value(field: dataclasses.Field, value: Any) -> None:
    choices = typing.get_args(field.type) if typing.get_origin(field.type) is typing.Literal else ()
    if choices and value not in choices:
        raise InputError(f"{field.name} must be one of {', '.join(map(repr, choices))}; got {value!r}")
    if field.type in (int, float, bool, str):
        _check_scalar(field, value)


def _check_scalar(field: dataclasses.Field, value: Any) -> None:
    kind: Any = field.type
    accepted = (int, float) if kind is float else (kind,)
    if not isinstance(value, accepted) or (isinstance(value, bool) and kind is not bool):
        raise InputError(f"{field.name} must be {kind.__name__}; got {value!r}")
    if kind not in (int, float):
        return
    low, high, above = (field.metadata.get(name) for name in ("low", "high", "above"))
    within = math.isfinite(value) and (low is None or low <= value) and (high is None or value <= high)
    if not within or (above is not None and value <= above):
        raise InputError(f"{field.name} must be {_describe(low, high, above)}; got {value!r}")


def _describe(low: float | None, high: float | None, above: float | None) -> str:
    parts = []
    if above is not None:
        parts.append(f"more than {above}")
    if low is not None and math.isfinite(low):
        parts.append(f"at least {low}")
    if high is not None and math.isfinite(high):
        parts.append(f"at most {high}")
    return " and ".join(parts) or "finite"
