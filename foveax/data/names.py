"""Names of classes, and labels that are names."""

import unicodedata
from collections.abc import Mapping

import numpy as np

from foveax._types import InputError

NO_LINE = ("Cc", "Cs", "Zl", "Zp")
"""Categories of characters that no name has: controls, halves of characters, ends of lines and paragraphs."""


def check_names(name: str, names: np.ndarray) -> tuple[str, ...]:
    """Names of classes: none, or a line of text for each, all different; an `InputError` if they are not.

    Example:
      >>> check_names("names", np.array(["cat", "dog"]))
      ('cat', 'dog')
    """
    if names.ndim != 1 or (names.size and not is_text(names)):
        raise InputError(f"{name} must be texts of the shape [K]; got {names.dtype} {list(names.shape)}")
    texts = tuple(map(str, names))
    for text in texts:
        if not text.strip() or any(unicodedata.category(character) in NO_LINE for character in text):
            raise InputError(f"{name} must each be a line of text; got {text!r:.60}")
    if len(set(texts)) < len(texts):
        twice = next(text for index, text in enumerate(texts) if text in texts[:index])
        raise InputError(f"{name} must all differ; got {twice!r:.60} twice")
    return texts


def is_text(array: np.ndarray) -> bool:
    """Whether an array holds nothing but text."""
    if array.dtype.kind == "O":
        return array.size > 0 and all(isinstance(value, str) for value in array.flat)
    return array.dtype.kind in "UT"


def number_labels(
    labels: Mapping[str, np.ndarray], names: tuple[str, ...] = ()
) -> tuple[dict[str, np.ndarray], tuple[str, ...]]:
    """Labels of the splits, train first, that are text, as the numbers of their names; and the names.

    Names are by default those of the training labels, sorted. Raises `InputError` for a label that is no such name.

    Example:
      >>> labels, names = number_labels({"train": np.array(["dog", "cat"]), "test": np.array(["dog", "dog"])})
      >>> labels["train"].tolist(), labels["test"].tolist(), names
      ([1, 0], [1, 1], ('cat', 'dog'))
    """
    texts = {split: is_text(label) for split, label in labels.items()}
    if not all(texts.values()):
        if any(texts.values()):
            kinds = " and ".join(f"{label.dtype} in {split}" for split, label in labels.items())
            raise InputError(f"labels must be text in both splits, or in neither; got {kinds}")
        return dict(labels), names
    unique = {split: np.unique(label.astype(np.str_), return_inverse=True) for split, label in labels.items()}
    whose = "names given" if names else "names of the training labels"
    names = names or check_names("labels", next(iter(unique.values()))[0])
    numbers = {name: number for number, name in enumerate(names)}
    numbered = {}
    for split, (own, inverse) in unique.items():
        unknown = [name for name in own.tolist() if name not in numbers]
        if unknown:
            raise InputError(f"{split} label must be among the {len(names)} {whose}; got {unknown[0]!r:.60}")
        numbered[split] = np.array([numbers[name] for name in own.tolist()], int)[inverse].reshape(labels[split].shape)
    return numbered, names
