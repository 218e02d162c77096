"""Data sets by name: the bundled digits, files of arrays, folders of pictures, or image classification sets of TFDS."""

import ast
import contextlib
import importlib.resources
import inspect
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from foveax._checked import in_line
from foveax._types import InputError
from foveax.data.dataset import Data, from_named
from foveax.data.digit_clutter import DIGIT_SETS
from foveax.data.folder import load_folder
from foveax.data.known_answers import cued_place, hidden_target, one_place
from foveax.data.listing import TEST_SHARE, holds_pictures
from foveax.data.mapped import map_folder
from foveax.data.pictures import Fit
from foveax.data.shapes import SHAPE_SETS
from foveax.data.tfds import load_tfds
from foveax.runtime.machine import check_memory

BUNDLED = "mnist5k"
UNUSABLE = (OSError, RuntimeError, ValueError)
"""What a name raises that is no path's: too long, of no such user, or of characters that no path has."""
KNOWN_ANSWERS = {"one_place": one_place, "cued_place": cued_place, "hidden_target": hidden_target}
DRAWN: dict[str, Callable[..., Data]] = {**KNOWN_ANSWERS, **SHAPE_SETS, **DIGIT_SETS}
"""Sets that are drawn; some take options, ``"NAME:option=value,option=value"``."""


def load(
    name: str = BUNDLED,
    *,
    data_dir: str | Path | None = None,
    download: bool = False,
    fit: Fit = "pad",
    side: int = 0,
    test_share: float = TEST_SHARE,
    like: Sequence[int] | None = None,
) -> Data:
    """Loads a data set.

    Args:
      name: ``"mnist5k"``, the 5,000 + 1,000 digits of MNIST that come with foveax; ``"one_place"``, ``"cued_place"``
        or ``"hidden_target"``, problems whose answer is known (`foveax.data.known_answers`); ``"shaded_shapes"``,
        ``"coloured_shapes"`` or ``"circle_square"`` (`foveax.data.shapes`); ``"digit_debris"`` or ``"digit_clutter"``
        (`foveax.data.digit_clutter`), with options if wanted, as ``"digit_debris:pieces=10,images=20000"``; the path
        of an ``.npz`` file with the arrays ``train_image``, ``train_label``, ``test_image``, ``test_label`` (as
        `from_arrays` takes them, any further ``train_NAME`` and ``test_NAME``, and optionally the scalar ``classes``
        and the text ``names``, one for each class); the path of a folder with a
        file ``train_image.npy``, and so on, for each of these arrays, of which only the images that are shown are read;
        the path of a folder of pictures, in a folder for each class, or of a CSV file that lists them
        (`foveax.data.folder`); or the name of a TFDS image classification set, such as ``"mnist"``.
      data_dir: the folder of TFDS sets; by default ``$TFDS_DATA_DIR``, or ``~/tensorflow_datasets``.
      download: whether to download and prepare a TFDS set that is not there.
      fit: of pictures alone: how those of several sizes become images of one.
      side: of pictures alone: the images' side in pixels; 0 follows from the pictures.
      test_share: of pictures alone: of each class that is for tests, if nothing says which.
      like: of pictures alone: height, width and channels that the images must have.

    Raises:
      InputError: if there is no such set, it is not prepared, its arrays are refused, or it is not of pictures while
        `fit`, `side` or `test_share` is not the default.

    Example:
      >>> import foveax as fx
      >>> fx.load("mnist5k").train["image"].shape
      (5000, 28, 28, 1)
    """
    if is_of_pictures(name):
        path = Path(name).expanduser().absolute()
        return load_folder(path, fit=fit, side=side, test_share=test_share, like=like)
    if (fit, side, test_share) != ("pad", 0, TEST_SHARE):
        raise InputError(f"fit, side and test_share are for pictures in files; {name!r} is no folder or list of them")
    if name == BUNDLED:
        return _load_npz(Path(str(importlib.resources.files("foveax.data") / BUNDLED / f"{BUNDLED}.npz")))
    if name.partition(":")[0] in DRAWN:
        return _draw(*name.partition(":")[::2])
    name = absolute_name(name)
    if name.endswith(".npz"):
        return _load_npz(Path(name))
    if _is_of_arrays(name):
        return from_named(Path(name), map_folder(Path(name)))
    return load_tfds(name, data_dir=data_dir, download=download)


def _draw(name: str, options: str) -> Data:
    """A set that is drawn, with options as ``"option=value,option=value"``."""
    known = inspect.signature(DRAWN[name], follow_wrapped=False).parameters
    values = {}
    for text in filter(None, options.split(",")):
        option, _, value = text.partition("=")
        try:
            values[option] = ast.literal_eval(value)
        except (SyntaxError, ValueError):
            values[option] = value
        if option not in known or not isinstance(values[option], type(known[option].default)):
            wanted = ", ".join(f"{key} ({type(part.default).__name__})" for key, part in known.items()) or "none"
            raise InputError(f"options of {name} must be among {wanted}; got {text!r:.60}")
    return DRAWN[name](**values)


def is_of_pictures(name: str) -> bool:
    """Whether a name is that of a list of pictures, or of a folder that holds some and no arrays.

    Example:
      >>> is_of_pictures("pictures.csv"), is_of_pictures("mnist5k")
      (True, False)
    """
    try:
        path = Path(name).expanduser()
        return path.suffix.lower() == ".csv" or (not _is_of_arrays(name) and holds_pictures(path))
    except UNUSABLE:
        return False


def _is_of_arrays(name: str) -> bool:
    """Whether a name is that of a folder of arrays."""
    try:
        return any(Path(name).expanduser().glob("*.npy"))
    except UNUSABLE:
        return False


def absolute_name(name: str) -> str:
    """The name of a data set as it is the same in every folder: that of a file or a folder in full.

    Example:
      >>> absolute_name("mnist")
      'mnist'
    """
    try:
        is_file = name.endswith(".npz") or _is_of_arrays(name) or is_of_pictures(name)
        return str(Path(name).expanduser().absolute()) if is_file else name
    except UNUSABLE:
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
