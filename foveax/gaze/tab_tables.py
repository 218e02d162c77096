"""Tables of BIDS: tabs, compressed and named by a sidecar, or with a line of names; what is missing is ``n/a``."""

import gzip
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from foveax._types import InputError
from foveax.runtime.files import read_json

MISSING = "n/a"


def write_rows(file: Path, columns: Mapping[str, Any], *, header: bool = False) -> None:
    """Writes columns as a table of tabs, compressed unless it has a header; numbers in full precision."""
    texts = [[_cell(name, value) for value in np.asarray(column).tolist()] for name, column in columns.items()]
    lines = ["\t".join(columns)] * header + ["\t".join(row) for row in zip(*texts, strict=True)]
    content = "".join(f"{line}\n" for line in lines).encode()
    file.write_bytes(content if header else gzip.compress(content, mtime=0))


def _cell(name: str, value: Any) -> str:
    if isinstance(value, str):
        if value == MISSING or re.search(r"[\t\r\n]", value):
            raise InputError(f"{name} must be without tabs and line ends, and not {MISSING!r}; got {value!r}")
        return value or MISSING
    return MISSING if isinstance(value, float) and np.isnan(value) else repr(value)


def read_sidecar(file: Path) -> dict[str, Any]:
    """The facts on a compressed table, among them its ``Columns``."""
    facts = read_json(Path(str(file).removesuffix(".tsv.gz") + ".json"))
    if not isinstance(facts, dict) or not facts.get("Columns"):
        raise InputError(f"the sidecar of {file} must name its Columns; it does not")
    return facts


def unit_size(facts: Mapping[str, Any], column: str, units: Mapping[str, float], *, source: str) -> float:
    """The size of one unit of a column, by the ``Units`` of its sidecar; 1 where none is declared."""
    described = facts.get(column)
    unit = described.get("Units", "") if isinstance(described, dict) else ""
    if unit and unit not in units:
        raise InputError(f"{column} of {source} must be in {' or '.join(units)}; got {unit!r}")
    return units[unit] if unit else 1.0


def read_rows(file: Path) -> dict[str, np.ndarray]:
    """The columns of a compressed table, as text; its sidecar names them."""
    names = read_sidecar(file)["Columns"]
    try:
        rows = [line.split("\t") for line in gzip.decompress(file.read_bytes()).decode().split("\n")[:-1]]
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{file} must be a compressed table; it is not: {error}") from None
    for number, row in enumerate(rows, start=1):
        if len(row) != len(names):
            raise InputError(f"{file}, line {number}, must have {len(names)} values; got {len(row)}")
    columns = np.array(rows, dtype=str).reshape(-1, len(names)).T
    return dict(zip(names, columns, strict=True))


def numbers(column: np.ndarray) -> np.ndarray:
    """Numbers of texts, or as they are; what is missing is NaN."""
    if column.dtype.kind == "f":
        return column
    return np.where(column == MISSING, "nan", column).astype(np.float64)
