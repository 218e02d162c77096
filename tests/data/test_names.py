"""Names of classes: labels as text against NumPy, files and TFDS sets that hold them, and what is refused."""

import numpy as np
import pytest
import tiny
from mnist_records import copy_of_test_split

import foveax as fx
from foveax.data.fingerprint import fingerprint

IMAGE = np.zeros((4, 8, 8), np.uint8)
NUMBERS, TEXTS = np.array([0, 1, 2, 1]), np.array(["ox", "cat", "dog", "cat"])


def split(label):
    return {"image": IMAGE, "label": label}


@pytest.mark.parametrize("kind", [list, np.array, lambda texts: np.array(texts, object)])
def test_labels_of_text_are_the_numbers_of_their_sorted_names(kind):
    rng = np.random.default_rng(0)
    texts = {"train": rng.permutation(["b", "a", "a", "c"]), "test": rng.choice(["c", "a"], 4)}
    data = fx.from_arrays(*(split(kind(text)) for text in texts.values()))
    names, numbers = np.unique(texts["train"], return_inverse=True)
    assert data.names == tuple(names) == ("a", "b", "c")
    assert data.classes == 3
    np.testing.assert_array_equal(data.train["label"], numbers)
    np.testing.assert_array_equal(data.test["label"], np.searchsorted(names, texts["test"]))
    assert data.train["label"].dtype == np.int32


def test_names_that_are_given_number_labels_of_text():
    data = fx.from_arrays(split(TEXTS), split(TEXTS[::-1]), names=["ox", "ant", "dog", "cat"])
    assert data.train["label"].tolist() == [0, 3, 2, 3]
    assert (data.classes, data.names) == (4, ("ox", "ant", "dog", "cat"))


def test_a_class_without_a_name_is_called_by_its_number():
    assert fx.from_arrays(split(NUMBERS), split(NUMBERS), names=["a", "b", "c"]).class_name(2) == "c"
    assert fx.from_arrays(split(NUMBERS), split(NUMBERS)).class_name(2) == "2"


REFUSED = {
    "too many": (NUMBERS, NUMBERS, {"names": list("abcd")}, "names must be one for each of 3 classes; got 4"),
    "too few": (NUMBERS, NUMBERS, {"names": ["a"]}, "names must be one for each of 3 classes; got 1"),
    "other classes": (TEXTS, TEXTS, {"classes": 5}, "names must be one for each of 5 classes; got 3"),
    "twice": (NUMBERS, NUMBERS, {"names": ["a", "b", "a"]}, "names must all differ; got 'a' twice"),
    "one text": (NUMBERS, NUMBERS, {"names": "abc"}, r"names must be texts of the shape \[K\]; got <U3 \[\]"),
    "numbers": (NUMBERS, NUMBERS, {"names": [1, 2, 3]}, r"must be texts of the shape \[K\]; got int64 \[3\]"),
    "lines": (NUMBERS, NUMBERS, {"names": ["a", "b\nc", "d"]}, r"must each be a line of text; got 'b\\nc'"),
    "a terminal's": (NUMBERS, NUMBERS, {"names": ["a", "\x1b[2J", "d"]}, r"a line of text; got '\\x1b\[2J'"),
    "nothing": (NUMBERS, NUMBERS, {"names": ["a", " ", "d"]}, "a line of text; got ' '"),
    "new in test": (
        TEXTS,
        np.array(["cat", "cow", "ox", "ox"]),
        {},
        "test label must be among the 3 names of the",
    ),
    "no such name": (TEXTS, TEXTS, {"names": ["ox", "cat"]}, "among the 2 names given; got 'dog'"),
    "one split": (TEXTS, NUMBERS, {}, "labels must be text in both splits, or in neither; got <U3 in train and int64"),
    "a gap": (np.array(["a", None, "b", "b"], object), TEXTS, {}, "got object in train"),
    "a table": (TEXTS[:, None], TEXTS, {}, r"train label must be integers of the shape \[N\]"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_names_refused(case):
    train, test, options, message = REFUSED[case]
    with pytest.raises(fx.InputError, match=message):
        fx.from_arrays(split(train), split(test), **options)


@pytest.mark.parametrize(("write", "end"), [(tiny.write_npz, ".npz"), (tiny.write_folder, "")])
def test_files_may_hold_names_and_labels_of_text(write, end, tmp_path):
    named = fx.load(str(write(tmp_path / f"named{end}", names=np.array(["x", "y", "z"]))))
    assert named.names == ("x", "y", "z")
    label = np.array(["z", "x", "y"])[tiny.data().train["label"]]
    texts = fx.load(str(write(tmp_path / f"texts{end}", train_label=label, test_label=label)))
    assert texts.names == ("x", "y", "z")
    np.testing.assert_array_equal(texts.train["label"], np.array([2, 0, 1])[tiny.data().train["label"]])
    with pytest.raises(fx.InputError, match="names must be one for each of 3 classes; got 2"):
        fx.load(str(write(tmp_path / f"few{end}", names=np.array(["x", "y"]))))


def test_only_names_that_there_are_belong_to_a_fingerprint():
    bare, named = tiny.data(), tiny.data()._replace(names=("x", "y", "z"))
    assert fingerprint(bare).keys() == {"classes", "train", "test"}
    assert fingerprint(named) == {**fingerprint(bare), "names": ["x", "y", "z"]}


@pytest.mark.slow
def test_names_of_a_tfds_set_are_those_of_its_label(mnist_dir, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    names = ("nil", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
    sets = copy_of_test_split(mnist_dir, tmp_path / "sets")
    (next((sets / "mnist").iterdir()) / "label.labels.txt").write_text("\n".join(names))
    data = fx.load("mnist", data_dir=sets)
    assert data.names == names
    assert data.test["label"][:5].tolist() == [2, 0, 4, 8, 7]
    monkeypatch.setattr("foveax.data.tfds._decode", None)  # from here on only the cache can answer
    assert fx.load("mnist", data_dir=sets).names == names
