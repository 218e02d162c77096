"""Files of data that are damaged: refused in a sentence that names them, or read to the last bit."""

import os
from pathlib import Path

import numpy as np
import pytest
import tiny
from mnist_records import copy_of_test_split

import foveax as fx


def write(path: Path, **changes) -> Path:
    arrays = tiny.data()
    splits = {f"{split}_{name}": getattr(arrays, split)[name]
              for split in ("train", "test") for name in ("image", "label")}  # fmt: skip
    np.savez(path, **{**splits, **changes})
    return path


def test_a_damaged_file_of_arrays_is_named_or_read_as_it_was(tmp_path):
    file = write(tmp_path / "own.npz")
    whole, expected, rng = file.read_bytes(), fx.load(str(file)), np.random.default_rng(0)
    refused = 0
    for number in range(200):
        content = bytearray(whole)
        place = int(rng.integers(len(content)))
        if number % 2:
            content[place] ^= 1 << int(rng.integers(8))
        else:
            del content[place:]
        file.write_bytes(content)
        try:
            found = fx.load(str(file))
        except fx.InputError:
            refused += 1
            continue
        for split in ("train", "test"):
            for name, array in getattr(expected, split).items():
                np.testing.assert_array_equal(getattr(found, split)[name], array)
    assert refused > 150


REFUSED = {
    "classes of text": ({"classes": np.array("ten")}, "classes in .* must be a whole number"),
    "classes in a row": ({"classes": np.arange(3)}, "classes in .* must be a whole number"),
    "no classes": ({"classes": 0}, "labels must be less than the number of classes, 0"),
    "a label past int32": ({"train_label": np.arange(32) + 2**32}, "train label must be at most 2147483647"),
    "NaN elsewhere": ({"train_depth": np.full(32, np.nan), "test_depth": np.zeros(32)}, "train depth must be finite"),
    "text elsewhere": ({"train_name": np.full(32, "a"), "test_name": np.full(32, "a")}, "must hold numbers; got <U1"),
    "a number elsewhere": ({"train_depth": np.float32(3), "test_depth": np.float32(3)}, "must have one length"),
    "beyond float32": (
        {"train_depth": np.full(32, 1e300), "test_depth": np.zeros(32)},
        "depth must fit into 32 bits",
    ),
    "beyond int32": (
        {"train_when": np.full(32, 2**40), "test_when": np.zeros(32, int)},
        "when must fit into 32 bits",
    ),
    "infinite": ({"train_image": np.full((32, 8, 8), np.inf, np.float32)}, "must lie in .0, 1. where it is a float"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_arrays_that_are_not_as_they_must_be(case, tmp_path):
    changes, said = REFUSED[case]
    with pytest.raises(fx.InputError, match=said):
        fx.load(str(write(tmp_path / "own.npz", **changes)))


def test_arrays_of_more_than_64_bits_are_taken_as_float32():
    split = {**tiny.data().train, "depth": np.full(32, 0.1, np.longdouble)}
    data = fx.from_arrays(split, split)
    assert data.inputs["depth"].dtype == np.float32
    np.testing.assert_array_equal(data.train["depth"], np.float32(0.1))


def test_what_numpy_says_in_several_lines_is_said_in_one():
    split = tiny.data().train
    with pytest.raises(fx.InputError, match=r"^train depth must be an array; it is not: [^\n]*$"):
        fx.from_arrays({**split, "depth": [np.zeros(2), np.zeros((2, 2))] * 16}, split)
    with pytest.raises(fx.InputError, match=r"^batch must be int; got array\(\[\[0., 0.\], \[0., 0.\]\]\)$"):
        fx.TrainingConfig(batch=np.zeros((2, 2)))
    with pytest.raises(fx.GraphError, match=r"^[^\n]*'gain' must be a number; got array[^\n]*$"):
        fx.Graph({}, {}, [], 2, hyperparameters={"gain": np.zeros((2, 2))})


def test_other_files_under_the_name_of_arrays_are_refused(tmp_path):
    (tmp_path / "folder.npz").mkdir()
    np.save(tmp_path / "one.npy", np.zeros(3))
    (tmp_path / "one.npy").rename(tmp_path / "one.npz")
    for name in ("folder.npz", "one.npz"):
        with pytest.raises(fx.InputError, match=f"must be an .npz file of plain arrays; .*{name} is not"):
            fx.load(str(tmp_path / name))


@pytest.fixture
def prepared(mnist_dir, tmp_path, monkeypatch):
    """Array records of MNIST, and a cache of its own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return next((copy_of_test_split(mnist_dir, tmp_path / "sets") / "mnist").iterdir())


@pytest.mark.slow
@pytest.mark.parametrize("damage", ["flipped", "truncated", "emptied", "gone"])
def test_a_damaged_array_record_is_named(damage, prepared):
    file = prepared / "mnist-train.array_record-00000-of-00001"
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 16
    whole = {"flipped": bytes(content), "truncated": bytes(content[: len(content) // 2]), "emptied": b""}
    file.unlink()
    if damage in whole:
        file.write_bytes(whole[damage])
    with pytest.raises(fx.InputError, match=rf"must be whole; record \d+ of train in .*{file.name} is not: "):
        fx.load("mnist", data_dir=prepared.parent.parent)


@pytest.mark.slow
def test_a_damaged_cache_is_decoded_again(prepared, tmp_path, monkeypatch):
    monkeypatch.setattr("foveax.data.tfds._decode", lambda place: decoded)
    decoded = {f"{split}_{name}": value for split in ("train", "test") for name, value in tiny.data().train.items()}
    decoded["classes"] = np.asarray(3)
    expected = fx.load("mnist", data_dir=prepared.parent.parent)
    cached = next((tmp_path / "cache" / "foveax").iterdir())
    content = bytearray(cached.read_bytes())
    content[len(content) // 3] ^= 1
    cached.write_bytes(content)
    found = fx.load("mnist", data_dir=prepared.parent.parent)
    np.testing.assert_array_equal(found.train["image"], expected.train["image"])


def test_an_archive_that_would_fill_the_memory_is_refused_unread(tmp_path, monkeypatch):
    np.savez_compressed(tmp_path / "bomb.npz", train_image=np.zeros((1000, 64, 64), np.uint8))
    monkeypatch.setattr("foveax.runtime.machine.free_memory", lambda: 2.0**20)
    with pytest.raises(
        fx.InputError, match=r"bomb.npz must fit into memory, of which 0.0 GB are free; it needs 0.0 GB"
    ):
        fx.load(str(tmp_path / "bomb.npz"))


@pytest.mark.parametrize("name", ["data.npz", "data/train_image.npy"])
def test_a_pipe_in_the_place_of_arrays_is_refused(name, tmp_path):
    (tmp_path / "data").mkdir()
    os.mkfifo(tmp_path / name)
    with pytest.raises(fx.InputError, match=r"must be .*plain (arrays|files); .* is not"):
        fx.load(str(tmp_path / name.partition("/")[0]))
