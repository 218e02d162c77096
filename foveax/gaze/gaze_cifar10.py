"""Gaze-CIFAR-10: raw gaze of 20 people on enlarged images of CIFAR-10, measured in a headset."""

import re
from pathlib import Path

import numpy as np

from foveax._types import InputError
from foveax.analysis.table import FixationTable
from foveax.gaze.recording import Recording, fixations_of
from foveax.gaze.screen import Screen

SIDE = 224.0
"""Coordinates are from 0 to this, from the lower left corner."""
SCREEN = Screen(SIDE + 1, SIDE + 1, image_width=SIDE + 1, image_height=SIDE + 1, origin="lower left")
DISPERSION = 15.0
"""Greatest dispersion of a fixation, in these coordinates, as users of the data set take it."""
FEWEST_SAMPLES = 2


def read_gaze_cifar10(folder: str | Path) -> dict[tuple[str, str], Recording]:
    """The samples of each image and person, by the image's name ``"CLASS/IMAGE"`` and the person's, as ``"p3"``.

    The files are ``CLASS/IMAGE/p3.txt``, CLASS from 0 to 9, with a sample ``(x, y)`` on each line, from 0 to 224, from
    the lower left corner. The rate of sampling is not documented: times count the samples.

    Raises:
      InputError: if there is no file, or a line is of another form; the message names both.
    """
    files = sorted(Path(folder).glob("**/p*.txt"))
    recordings = {}
    for file in files:
        name, kind = file.parent.name, file.parent.parent.name
        if not re.fullmatch(r"[0-9]", kind):
            raise InputError(f"files must be CLASS/IMAGE/pNUMBER.txt, CLASS from 0 to 9; got {file}")
        places = np.array([_sample(line, file, row) for row, line in enumerate(_lines(file), start=1)])
        x, y = places.reshape(-1, 2).T
        recordings[f"{kind}/{name}", file.stem] = Recording(np.arange(len(x), dtype=float), x, y, 1.0)
    if not recordings:
        raise InputError(f"{folder} must hold files CLASS/IMAGE/pNUMBER.txt; it holds none")
    return recordings


def gaze_cifar10_fixations(folder: str | Path) -> FixationTable:
    """The fixations of Gaze-CIFAR-10, found by I-DT with 15 units and at least 2 samples (the extra ``gaze``).

    ``image`` numbers the images in the order of their names, ``stimulus`` is the name, ``label`` the class.
    """
    recordings = read_gaze_cifar10(folder)
    names = sorted({name for name, _ in recordings})
    parts = []
    for (name, person), recording in recordings.items():
        image = names.index(name)
        table = fixations_of(
            recording, SCREEN, threshold=DISPERSION, minimum=FEWEST_SAMPLES, image=image, subject=person
        )
        count = len(table.image)
        known = {"stimulus": np.full(count, name), "label": np.full(count, int(name[0]))}
        parts.append(table._replace(onset=None, duration=None, **known))
    fields = [field for field in FixationTable._fields if getattr(parts[0], field) is not None]
    columns = {field: [getattr(part, field) for part in parts] for field in fields}
    filled = [part for part, table in enumerate(parts) if len(table.image)]
    return FixationTable(**{field: np.concatenate([own[part] for part in filled]) for field, own in columns.items()})


def mirrored(table: FixationTable, images: np.ndarray) -> FixationTable:
    """The same table for images of which some are shown mirrored left to right: their gaze is mirrored too.

    A loader that flips images must flip gaze. `images` ``[N]`` says of each image whether it is.

    Example:
      >>> table = FixationTable(np.array([0, 1]), np.array([1, 1]), np.array([0.2, 0.2]), np.array([0.5, 0.5]))
      >>> mirrored(table, np.array([False, True])).x.tolist()
      [0.2, 0.8]
    """
    flipped = np.asarray(images, bool)[table.image]
    sides = None if table.x_pixel is None else _width(table) - table.x_pixel
    x_pixel = None if sides is None or table.x_pixel is None else np.where(flipped, sides, table.x_pixel)
    return table._replace(x=np.where(flipped, 1 - table.x, table.x), x_pixel=x_pixel)


def _width(table: FixationTable) -> float:
    """The number of the last pixel, W - 1, from the places that a table holds in both units."""
    assert table.x_pixel is not None
    use = np.abs(table.x) > 1e-6
    return float(np.median(table.x_pixel[use] / table.x[use])) if use.any() else 0.0


def _lines(file: Path) -> list[str]:
    return [line for line in file.read_text().splitlines() if line.strip()]


def _sample(line: str, file: Path, row: int) -> tuple[float, float]:
    found = re.fullmatch(r"\s*\(?\s*(\S+?)\s*,\s*(\S+?)\s*\)?\s*", line)
    try:
        if not found:
            raise ValueError
        return float(found[1]), float(found[2])
    except ValueError:
        raise InputError(f"{file}, line {row}, must be (x, y); got {line!r}") from None
