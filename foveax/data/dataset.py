"""Data sets as arrays, checked at the door."""

import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from foveax._checked import in_line
from foveax._types import Batch, InputError, Key, pickled_by_value
from foveax.data.mapped import take
from foveax.data.names import check_names, is_text, number_labels

SAMPLED_BYTES = 256 * 2**20
"""Samples of a split are of up to this size, and large arrays are looked through in parts of it."""

DARK = 1 / 8
"""Of the range of images: values that all lie below it are probably of another range."""
LOOKED_AT = 1_000
"""Images among which the brightest value is looked for."""
ROUNDING = 1e-6
"""How far beyond its range an image may be interpolated."""
FEW_CHANNELS = 4
"""An image of so few rows is probably one of so many channels, which come last here."""

ARRAYS = ("train_image", "train_label", "test_image", "test_label")
Split = dict[str, np.ndarray]
"""Arrays with a leading ``[N]`` by the graph input they feed: ``image``, ``label``, and any others of your own."""

Render = Callable[[Key, Batch], Batch]
"""What is done to training examples, with a leading ``[B]``, each time they are shown: pure, on the device."""


class DataWarning(UserWarning):
    """Data that are probably not what they are meant to be."""


class Data(NamedTuple):
    """A data set.

    Attributes:
      train: the training split, as it lies in memory.
      test: the test split, as it is shown.
      classes: K.
      render: from training examples in memory to those that are shown.
      names: of the classes, for people to read; empty where they have only numbers.
    """

    train: Split
    test: Split
    classes: int
    render: Render = lambda key, batch: batch
    names: tuple[str, ...] = ()

    def __reduce__(self) -> tuple[Any, ...]:
        return pickled_by_value(Data, self)

    @property
    def inputs(self) -> dict[str, jax.ShapeDtypeStruct]:
        """The graph inputs for one example as it is shown."""
        return {name: jax.ShapeDtypeStruct(array.shape[1:], array.dtype) for name, array in self.test.items()}

    def class_name(self, number: int) -> str:
        """The name of a class or, where it has none, its number."""
        return self.names[number] if number < len(self.names) else str(number)

    def rendered(self, render: Render) -> "Data":
        """The same data with a further step after those that are there."""

        def both(key: Key, batch: Batch) -> Batch:
            first_key, then_key = jax.random.split(key)
            return render(then_key, self.render(first_key, batch))

        return self._replace(render=both)

    def sample(self, key: Key, size: int) -> Split:
        """Training examples as they are shown, at most `size` of them, or 256 MB, chosen at random."""
        rows_key, render_key = jax.random.split(key)
        most = max(SAMPLED_BYTES // sum(array[:1].nbytes for array in self.train.values()), 1)
        rows = np.asarray(jax.random.permutation(rows_key, len(self.train["label"])))[: min(size, most)]
        shown = jax.jit(self.render)(render_key, {name: take(array, rows) for name, array in self.train.items()})
        return {name: np.asarray(array) for name, array in shown.items()}


def held_out(data: Data, size: int) -> Data:
    """The same training data without `size` examples, which take the place of the test split.

    Choices are made on these, so that the test split is left for the end. Which ones is fixed by `size` alone. The data
    must not be rendered yet. Raises `InputError` if none would be left to train on.
    """
    total = len(data.train["label"])
    if not 0 < size < total:
        raise InputError(f"held-out images must be at least 1 and fewer than the training images, {total}; got {size}")
    order = np.random.default_rng(0).permutation(total)
    test, train = (
        {name: array[np.sort(rows)] for name, array in data.train.items()} for rows in np.split(order, [size])
    )
    return data._replace(train=train, test=test)


def held_out_by_class(data: Data, share: float) -> Data:
    """As `held_out`, but for a share of the examples of each class, rounded to whole ones, which `share` alone fixes.

    Raises `InputError` if no example is held out, or none is left.

    Example:
      >>> split = {"image": np.zeros((8, 4, 4), np.uint8), "label": np.array([0, 1, 1, 1, 1, 0, 1, 1])}
      >>> np.bincount(held_out_by_class(from_arrays(split, split), 0.5).test["label"]).tolist()
      [1, 3]
    """
    label = data.train["label"]
    order = np.random.default_rng(0).permutation(len(label))
    classes = [order[label[order] == number] for number in np.unique(label)]
    is_held = np.zeros(len(label), bool)
    is_held[np.concatenate([rows[: round(share * len(rows))] for rows in classes])] = True
    if is_held.all() or not is_held.any():
        came = f"{share:g} of {len(label)} training images in {len(classes)} classes holds out {is_held.sum()}"
        raise InputError(f"a share held out must hold at least one image and leave one; {came}")
    test, train = ({name: array[rows] for name, array in data.train.items()} for rows in (is_held, ~is_held))
    return data._replace(train=train, test=test)


def from_arrays(
    train: Mapping[str, Any],
    test: Mapping[str, Any],
    *,
    classes: int | None = None,
    names: Sequence[str] | np.ndarray | None = None,
) -> Data:
    """A data set from arrays of your own.

    Args:
      train: ``image`` ``[N, H, W, C]`` or ``[N, H, W]``, uint8 or a float in [0, 1]; ``label`` ``[N]``, integers in
        [0, K) or text, the names of classes, which become integers; and any further arrays with a leading ``[N]`` that
        the graph takes as inputs.
      test: likewise; images of the same shape and dtype.
      classes: K; by default the largest label plus one or, where labels are text, the number of names.
      names: of the classes, K different lines of text; by default those of the training labels, sorted, where labels
        are text, and none otherwise.

    A `DataWarning` names a class 0 without an image, where labels may count from 1, and images of which no value is
    above an eighth of the range.

    Raises:
      InputError: if an array is missing, empty, of the wrong rank or dtype, has values out of range or NaN, has its
        channels first, if a label has a name that is not among the names, if there are not K names, or if the two
        splits differ in shape or dtype.

    Example:
      >>> import foveax as fx, numpy as np
      >>> split = {"image": np.zeros((4, 8, 8), np.uint8), "label": np.array([0, 1, 2, 0])}
      >>> data = fx.from_arrays(split, split)
      >>> data.classes, data.train["image"].shape
      (3, (4, 8, 8, 1))
      >>> animals = {**split, "label": np.array(["cat", "dog", "ant", "cat"])}
      >>> data = fx.from_arrays(animals, animals)
      >>> data.train["label"].tolist(), data.names
      ([1, 2, 0, 1], ('ant', 'cat', 'dog'))
    """
    called = () if names is None else check_names("names", as_array("names", names))
    splits = {"train": train, "test": test}
    given = {name: _label(name, split) for name, split in splits.items()}
    labels, called = number_labels(given, called)
    train, test = (check_arrays(name, {**split, "label": labels[name]}) for name, split in splits.items())
    counted = 1 + max(int(split["label"].max()) for split in (train, test))
    if classes is not None and counted > classes:
        raise InputError(f"labels must be less than the number of classes, {classes}; got a label {counted - 1}")
    if set(train) != set(test):
        raise InputError(f"train and test must hold the same arrays; got {sorted(train)} and {sorted(test)}")
    for name in train:
        ours, theirs = (f"{split[name].dtype}{list(split[name].shape[1:])}" for split in (train, test))
        if ours != theirs:
            raise InputError(f"{name} must be alike in train and test; got {ours} and {theirs}")
    total = classes or (len(called) if is_text(given["train"]) else counted)
    if called and len(called) != total:
        raise InputError(f"names must be one for each of {total} classes; got {len(called)}")
    _warn_of_ranges(train)
    return Data(train, test, total, names=called)


def _warn_of_ranges(train: Split) -> None:
    if train["label"].min() > 0:
        warnings.warn(
            f"class 0 has no training image: labels count from 0, and here lie from {train['label'].min()} to "
            f"{train['label'].max()}",
            DataWarning,
            stacklevel=3,
        )
    image = take(train["image"], np.arange(min(len(train["image"]), LOOKED_AT)))
    white = 255 if image.dtype == np.uint8 else 1
    if 0 < image.max() <= DARK * white:
        message = f"images are dark: their values lie in [0, {white}], and here go up to {image.max():g}; scale them"
        warnings.warn(message, DataWarning, stacklevel=3)


def from_named(path: Path, arrays: dict[str, np.ndarray]) -> Data:
    """A data set from arrays named ``SPLIT_NAME``."""
    missing = [name for name in ARRAYS if name not in arrays]
    if missing:
        raise InputError(f"{path} must hold the arrays {', '.join(ARRAYS)}; it lacks {', '.join(missing)}")
    train, test = (
        {name.removeprefix(split): array for name, array in arrays.items() if name.startswith(split)}
        for split in ("train_", "test_")
    )
    classes = arrays.get("classes")
    if classes is not None and (classes.shape or not np.issubdtype(classes.dtype, np.integer)):
        raise InputError(f"classes in {path} must be a whole number; got {classes.dtype} {list(classes.shape)}")
    return from_arrays(train, test, classes=None if classes is None else int(classes), names=arrays.get("names"))


def _label(split_name: str, split: Mapping[str, Any]) -> np.ndarray:
    """The label of a split, which must hold it and an image."""
    for name in ("image", "label"):
        if name not in split:
            raise InputError(f"{split_name} must hold an array {name!r}; it holds {', '.join(split) or 'none'}")
    return as_array(f"{split_name} label", split["label"])


def check_arrays(split_name: str, split: Mapping[str, Any], *, classes: int | None = None) -> Split:
    """Arrays of one length N, at least 1, each as its name says: ``image``, ``label``, or any numbers.

    Raises `InputError` for what `from_arrays` refuses.
    """
    arrays = {name: as_array(f"{split_name} {name}", array) for name, array in split.items()}
    for name, array in arrays.items():
        if name == "image":
            arrays[name] = check_image(f"{split_name} image", array)
        elif name == "label":
            arrays[name] = check_label(f"{split_name} label", array, classes=classes)
        else:
            arrays[name] = _check_numbers(f"{split_name} {name}", array)
    lengths = {name: len(array) if array.ndim else 0 for name, array in arrays.items()}
    if len(set(lengths.values())) != 1:
        raise InputError(f"the arrays of {split_name} must have one length; got {lengths}")
    if 0 in lengths.values():
        raise InputError(f"{split_name} must hold an example at least; got none")
    return arrays


def _check_numbers(name: str, array: np.ndarray) -> np.ndarray:
    """An array of your own, floats as float32 or less; refuses what 32 bits do not hold."""
    if array.dtype.kind not in "biuf":
        raise InputError(f"{name} must hold numbers; got {array.dtype}")
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise InputError(f"{name} must be finite; got {array[~np.isfinite(array)][0]}")
    if array.dtype.itemsize <= 4 or not array.size:
        return array
    limits = {"f": np.finfo(np.float32), "i": np.iinfo(np.int32), "u": np.iinfo(np.uint32)}[array.dtype.kind]
    low, high = array.min(), array.max()
    if low < limits.min or high > limits.max:
        raise InputError(f"{name} must fit into 32 bits; got values from {low} to {high}")
    return array.astype(np.float32) if array.dtype.kind == "f" else array


def check_image(name: str, image: Any) -> np.ndarray:
    """Images as ``[N, H, W, C]``, uint8 or float32; refuses, with an `InputError`, those of other shapes or ranges."""
    image = as_array(name, image)
    if image.ndim == 3:
        image = image[..., None]
    if image.ndim != 4:
        raise InputError(f"{name} must have the shape [N, H, W, C] or [N, H, W]; got {list(image.shape)}")
    if image.shape[1] <= FEW_CHANNELS < min(image.shape[2:]):
        came = f"{list(image.shape)}, which looks like channels first: numpy.moveaxis(image, 1, -1) puts them last"
        raise InputError(f"{name} must have the shape [N, H, W, C]; got {came}")
    if image.size == 0:
        raise InputError(f"{name} must not be empty; got the shape {list(image.shape)}")
    if image.dtype == np.uint8:
        return image
    if not np.issubdtype(image.dtype, np.floating):
        raise InputError(f"{name} must be uint8 in [0, 255] or a float in [0, 1]; got {image.dtype}")
    rows = max(SAMPLED_BYTES // image[:1].nbytes, 1)  # in parts, since the whole may lie in a file
    parts = (take(image, np.arange(first, min(first + rows, len(image)))) for first in range(0, len(image), rows))
    ranges = np.array([(part.min(), part.max()) for part in parts])
    low, high = float(ranges[:, 0].min()), float(ranges[:, 1].max())
    if not (low >= -ROUNDING and high <= 1 + ROUNDING):  # false for NaN as well
        raise InputError(f"{name} must lie in [0, 1] where it is a float; got values from {low} to {high}")
    return image.astype(np.float32, copy=False)


def check_label(name: str, label: Any, *, size: int | None = None, classes: int | None = None) -> np.ndarray:
    """Labels ``[N]`` as int32, of some size and number of classes where these are known; an `InputError` if not."""
    label, most = as_array(name, label), np.iinfo(np.int32).max
    if label.shape != ((label.size,) if size is None else (size,)) or not np.issubdtype(label.dtype, np.integer):
        wanted = "N" if size is None else size
        raise InputError(f"{name} must be integers of the shape [{wanted}]; got {label.dtype} {list(label.shape)}")
    if label.size and label.min() < 0:
        raise InputError(f"{name} must be at least 0; got {label.min()}")
    if label.size and label.max() > most:
        raise InputError(f"{name} must be at most {most}; got {label.max()}")
    if label.size and classes is not None and label.max() >= classes:
        raise InputError(f"{name} must be less than the number of classes, {classes}; got {label.max()}")
    return label.astype(np.int32)


def as_array(name: str, values: Any) -> np.ndarray:
    """Values as NumPy's array; an `InputError` if they make none, as rows of unequal lengths."""
    try:
        return np.asarray(values)
    except (RuntimeError, TypeError, ValueError) as error:  # rows of several lengths; a tensor that lies elsewhere
        raise InputError(f"{name} must be an array; it is not: {in_line(error)}") from None
