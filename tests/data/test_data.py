"""Data: what is refused at the door, full MNIST through TFDS, the order and the shifts."""

import dataclasses
import hashlib
import json
import mmap
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from mnist_records import copy_of_test_split

import foveax as fx
from foveax.data.augment import random_shift
from foveax.data.mapped import take
from foveax.data.order import batch_indices, epoch_orders

IMAGE, LABEL = np.zeros((4, 8, 8, 1), np.uint8), np.array([0, 1, 2, 1])
NAN = np.full((4, 8, 8), np.nan, np.float32)


def split(image=IMAGE, label=LABEL, **more):
    return {"image": image, "label": label, **more}


REFUSED = {
    "rank": (split(np.zeros((4, 8))), r"train image must have the shape \[N, H, W, C\] or \[N, H, W\]; got \[4, 8\]"),
    "dtype": (split(IMAGE.astype(np.int32)), r"must be uint8 in \[0, 255\] or a float in \[0, 1\]; got int32"),
    "channels first": (split(np.zeros((4, 3, 8, 8))), r"got \[4, 3, 8, 8\], which looks like channels first"),
    "nan": (split(NAN), r"train image must lie in \[0, 1\] where it is a float; got values from nan to nan"),
    "range": (split(IMAGE + np.float32(2)), "got values from 2.0 to 2.0"),
    "empty": (split(IMAGE[:0], LABEL[:0]), "train image must not be empty"),
    "lengths": (split(IMAGE[:3]), "the arrays of train must have one length"),
    "label dtype": (split(label=LABEL.astype(float)), r"train label must be integers of the shape \[N\]; got float64"),
    "label rank": (split(label=LABEL[:, None]), r"got int64 \[4, 1\]"),
    "negative label": (split(label=LABEL - 1), "train label must be at least 0; got -1"),
    "label outside": (split(label=LABEL + 5), "labels must be less than the number of classes, 3; got a label 7"),
    "no label": ({"image": IMAGE}, "train must hold an array 'label'; it holds image"),
    "sizes differ": (split(IMAGE[:, :6]), r"image must be alike in train and test"),
    "arrays differ": (split(depth=LABEL), "train and test must hold the same arrays"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_arrays_refused(case):
    train, message = REFUSED[case]
    with pytest.raises(fx.InputError, match=message):
        fx.from_arrays(train, split(), classes=3)


@pytest.mark.nightly
@pytest.mark.slow
def test_colour_and_grey_arrays_of_any_size_train(small_config):
    rng = np.random.default_rng(0)
    config = fx.TrainingConfig(images=64, pipeline=dataclasses.replace(small_config, glimpses=3))
    for shape in ((64, 20, 31, 3), (64, 12, 10)):
        arrays = split(rng.integers(0, 255, shape, dtype=np.uint8), rng.integers(0, 3, 64))
        result = fx.train(config, fx.from_arrays(arrays, arrays))
        assert result.evaluations["learned"].probabilities.shape == (64, 3, 3)


def test_bundled_digits_are_those_documented(digits):
    file = Path(fx.data.__file__).parent / "mnist5k" / "mnist5k.npz"
    digest = "fa8200cc903a49c1bd601973fecb282ef4ce9562c564ab78a904b9dfcca1a1f5"
    assert hashlib.sha256(file.read_bytes()).hexdigest() == digest
    assert np.bincount(digits.train["label"]).tolist() == [500] * 10
    assert digits.test["image"].shape == (1000, 28, 28, 1)


def test_full_mnist_without_tensorflow_and_again_from_the_cache(mnist_dir, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    small = copy_of_test_split(mnist_dir, tmp_path / "sets")
    first = fx.load("mnist", data_dir=small)
    assert "tensorflow" not in sys.modules
    assert first.test["image"].shape == (10_000, 28, 28, 1)
    assert first.test["label"][:5].tolist() == [2, 0, 4, 8, 7]  # as TFDS's own page of mnist 3.0.1 shows them
    assert first.classes == 10
    monkeypatch.setattr("foveax.data.tfds._decode", None)  # from here on only the cache can answer
    again = fx.load("mnist", data_dir=small)
    np.testing.assert_array_equal(first.train["image"], again.train["image"])


def test_tfds_prepared_otherwise_says_what_to_do(mnist_dir, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    folder = copy_of_test_split(mnist_dir, tmp_path) / "mnist" / "3.0.1"
    info = json.loads((folder / "dataset_info.json").read_text())
    (folder / "dataset_info.json").write_text(json.dumps({**info, "fileFormat": "tfrecord"}))
    with pytest.raises(fx.InputError, match=r"must be prepared as array_record; .* is tfrecord. Prepare it again"):
        fx.load("mnist", data_dir=tmp_path)


def test_tfds_not_there_says_what_to_do(tmp_path):
    with pytest.raises(fx.InputError, match=r"'cifar10' must be prepared: no dataset_info.json below .* --download"):
        fx.load("cifar10", data_dir=tmp_path)


@pytest.mark.parametrize("library", ["tensorflow_datasets", "array_record"])
def test_a_tfds_set_without_the_extra_says_what_to_install(library, mnist_dir, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setitem(sys.modules, library, None)
    message = rf"a TFDS set needs {library}, which is not installed: pip install 'foveax\[tfds\]'"
    with pytest.raises(fx.InputError, match=message):
        fx.load("mnist", data_dir=mnist_dir)
    with pytest.raises(fx.InputError, match=message):
        fx.load("cifar10", data_dir=tmp_path, download=True)


def test_files_that_are_no_arrays_are_refused(tmp_path):
    with pytest.raises(fx.InputError, match="no file"):
        fx.load(str(tmp_path / "none.npz"))
    (tmp_path / "text.npz").write_text("not a zip file")
    with pytest.raises(fx.InputError, match=r"must be an .npz file of plain arrays"):
        fx.load(str(tmp_path / "text.npz"))
    np.savez(tmp_path / "objects.npz", train_image=np.array([{}], dtype=object))
    with pytest.raises(fx.InputError, match=r"must be an .npz file of plain arrays"):
        fx.load(str(tmp_path / "objects.npz"))
    np.savez(tmp_path / "half.npz", train_image=IMAGE, train_label=LABEL)
    with pytest.raises(fx.InputError, match="it lacks test_image, test_label"):
        fx.load(str(tmp_path / "half.npz"))
    with pytest.raises(fx.InputError, match="data must be mnist5k, a path"):
        fx.load("../etc")


def write_folder(folder, **changes):
    """The set that `split` is, as a folder of .npy files, some changed or, where None, left out."""
    folder.mkdir(exist_ok=True)
    arrays = {f"{part}_{name}": array for part in ("train", "test") for name, array in split().items()}
    for name, array in {**arrays, **changes}.items():
        if array is not None:
            np.save(folder / f"{name}.npy", array)
    return str(folder)


def test_a_folder_of_arrays_is_mapped_not_read(tmp_path, rng):
    image = rng.integers(0, 255, (4, 8, 8, 3), dtype=np.uint8)
    data = fx.load(write_folder(tmp_path / "set", train_image=image, test_image=image, classes=np.int64(5)))
    assert isinstance(data.train["image"].base, np.memmap | mmap.mmap)
    np.testing.assert_array_equal(data.train["image"], image)
    assert data.classes == 5
    rows = np.array([[3, 0], [1, 1]])
    np.testing.assert_array_equal(take(data.train["image"], rows), image[rows])
    assert data.train["label"].dtype == np.int32


FOLDERS_REFUSED = {
    "missing": ({"train_label": None}, "must hold the arrays .*; it lacks train_label"),
    "objects": ({"train_label": np.array([{}], dtype=object)}, "must be .npy files of plain arrays"),
    "converted": (
        {"train_image": np.zeros((4, 8, 8))},
        "must be uint8 or float32, which are read in place; got float64",
    ),
    "range": ({"train_image": np.full((4, 8, 8), 2, np.float32)}, "got values from 2.0 to 2.0"),
    "nan": ({"train_image": NAN}, "must lie in .* got values from nan to nan"),
    "alike": ({"train_image": IMAGE[:, :4]}, "image must be alike in train and test"),
}


@pytest.mark.parametrize("case", FOLDERS_REFUSED)
def test_a_folder_is_checked_as_arrays_are(case, tmp_path):
    changes, message = FOLDERS_REFUSED[case]
    with pytest.raises(fx.InputError, match=message):
        fx.load(write_folder(tmp_path / "set", **changes))


def test_only_as_much_of_a_large_set_is_held_at_once(monkeypatch, small_config):
    for module in ("foveax.data.dataset", "foveax.evaluation.evaluate"):
        monkeypatch.setattr(f"{module}.SAMPLED_BYTES", 3 * IMAGE[0].nbytes)
    asked = []
    monkeypatch.setattr("foveax.evaluation.evaluate.take", lambda array, rows: asked.append(len(rows)) or array[rows])
    many = split(np.tile(IMAGE, (3, 1, 1, 1)), np.tile(LABEL, 3))
    data = fx.from_arrays(many, many)
    assert len(data.sample(jax.random.key(0), 12)["label"]) == 2  # the labels take their part
    graph = fx.standard_pipeline(data, dataclasses.replace(small_config, crop_size=3))
    done = fx.evaluate(graph, fx.init(graph, jax.random.key(0)), data.test, key=jax.random.key(1))
    assert set(asked) == {2}
    assert done.label.tolist() == many["label"].tolist()


@pytest.mark.parametrize(("size", "batch"), [(12, 4), (13, 4), (5, 5)])
def test_each_epoch_is_a_permutation_and_any_step_stands_alone(size, batch):
    orders, steps = epoch_orders(jax.random.key(0), size), 10
    order = batch_indices(orders, 0, steps=steps, batch=batch, size=size)
    per_epoch = size // batch
    epochs = [order[start : start + per_epoch].ravel() for start in range(0, steps - per_epoch + 1, per_epoch)]
    assert all(len(set(epoch.tolist())) == per_epoch * batch for epoch in epochs)
    assert all(set(epoch.tolist()) <= set(range(size)) for epoch in epochs)
    assert any((epochs[0] != other).any() for other in epochs[1:])
    for first in range(steps):
        alone = batch_indices(epoch_orders(jax.random.key(0), size), first, steps=1, batch=batch, size=size)
        np.testing.assert_array_equal(alone[0], order[first])


def test_shift_moves_whole_pixels_and_fills_with_zeros():
    image = np.random.default_rng(0).integers(1, 255, (6, 7, 2), dtype=np.uint8)
    candidates = {}
    for row in range(-2, 3):
        for column in range(-2, 3):
            padded = np.pad(image, ((2, 2), (2, 2), (0, 0)))
            candidates[padded[2 + row : 8 + row, 2 + column : 9 + column].tobytes()] = (row, column)
    shift = jax.vmap(lambda key: random_shift(key, jnp.asarray(image), pixels=2))
    shifted = np.asarray(shift(jax.random.split(jax.random.key(0), 500)))
    assert {candidates[one.tobytes()] for one in shifted} == set(candidates.values())


SUSPECT = {
    "labels from 1": ({"label": LABEL + 1}, "class 0 has no training image: labels count from 0, and here lie from 1"),
    "values to 16": ({"image": np.full((4, 8, 8), 16, np.uint8)}, r"dark: their values lie in \[0, 255\], .* up to 16"),
    "a sixteenth": ({"image": np.full((4, 8, 8), 1 / 16)}, r"dark: their values lie in \[0, 1\], .* up to 0.0625"),
}


@pytest.mark.parametrize("case", SUSPECT)
def test_what_is_probably_another_range_is_said(case):
    arrays, message = SUSPECT[case]
    with pytest.warns(fx.data.dataset.DataWarning, match=message):
        fx.from_arrays(split(**arrays), split(**arrays))


def test_a_shift_as_wide_as_the_images_is_refused(digits):
    with pytest.raises(fx.InputError, match="shift must be less than the shorter side of the images, 28 pixels"):
        fx.TrainingConfig(shift=28).prepare(digits)
