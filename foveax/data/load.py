"""Data sets by name: the bundled digits, a file or a folder of arrays, or any image classification set of TFDS."""

import contextlib
import importlib.resources
import zipfile
from pathlib import Path

import numpy as np

from foveax._checked import in_line
from foveax._types import InputError
from foveax.data.dataset import Data, from_named
from foveax.data.known_answers import cued_place, hidden_target, one_place
from foveax.data.mapped import map_folder
from foveax.data.shapes import SHAPE_SETS
from foveax.data.tfds import load_tfds
from foveax.runtime.machine import check_memory

BUNDLED = "mnist5k"
DRAWN = {"one_place": one_place, "cued_place": cued_place, "hidden_target": hidden_target, **SHAPE_SETS}


def load(name: str = BUNDLED, *, data_dir: str | Path | None = None, download: bool = False) -> Data:
    """Loads a data set.

    Args:
      name: ``"mnist5k"``, the 5,000 + 1,000 digits of MNIST that come with foveax; ``"one_place"``, ``"cued_place"``
        or ``"hidden_target"``, problems whose answer is known (`foveax.data.known_answers`); ``"shaded_shapes"``,
        ``"coloured_shapes"`` or ``"circle_square"`` (`foveax.data.shapes`); the path of an ``.npz`` file with the
        arrays ``train_image``, ``train_label``, ``test_image``, ``test_label`` (as `from_arrays` takes them, any
        further ``train_NAME`` and ``test_NAME``, and optionally the scalar ``classes`` and the text ``names``, one for
        each class); the path of a folder with a
        file ``train_image.npy``, and so on, for each of these arrays, of which only the images that are shown are read;
        or the name of a TFDS image classification set, such as ``"mnist"``.
      data_dir: the folder of TFDS sets; by default ``$TFDS_DATA_DIR``, or ``~/tensorflow_datasets``.
      download: whether to download and prepare a TFDS set that is not there.

    Raises:
      InputError: if there is no such set, it is not prepared, or its arrays are refused.

    Example:
      >>> import foveax as fx
      >>> fx.load("mnist5k").train["image"].shape
      (5000, 28, 28, 1)
    """
    if name == BUNDLED:
        return _load_npz(Path(str(importlib.resources.files("foveax.data") / BUNDLED / f"{BUNDLED}.npz")))
    if name in DRAWN:
        return DRAWN[name]()
    name = absolute_name(name)
    if name.endswith(".npz"):
        return _load_npz(Path(name))
    if any(Path(name).glob("*.npy")):
        return from_named(Path(name), map_folder(Path(name)))
    return load_tfds(name, data_dir=data_dir, download=download)


def absolute_name(name: str) -> str:
    """The name of a data set as it is the same in every folder: that of a file, or of a folder of arrays, in full.

    Example:
      >>> absolute_name("mnist")
      'mnist'
    """
    try:
        path = Path(name).expanduser()
        return str(path.absolute()) if name.endswith(".npz") or any(path.glob("*.npy")) else name
    except (OSError, RuntimeError, ValueError):  # no such user, or characters that no path has
        return name


def _load_npz(path: Path) -> Data:
    if path.exists() and not path.is_file():
        raise InputError(f"data must be an .npz file of plain arrays; {path} is not: it is no plain file")
    with contextlib.suppress(OSError, zipfile.BadZipFile), zipfile.ZipFile(path) as archive:  # else NumPy says why
        check_memory(f"data {path}", sum(entry.file_size for entry in archive.infolist()))
    try:
        with path.open("rb") as opened, np.load(opened, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
    except FileNotFoundError:
        raise InputError(f"data must be there: no file {path}") from None
    except Exception as error:  # a damaged file makes its reader raise anything
        raise InputError(f"data must be an .npz file of plain arrays; {path} is not: {in_line(error)}") from error
    return from_named(path, arrays)
