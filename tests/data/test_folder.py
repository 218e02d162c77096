"""Folders of pictures as a stranger has them: every kind of file, size, place and mistake."""

import csv
import os
import re
import warnings
from pathlib import Path

import jax
import numpy as np
import pytest
import tiny
from command import printed, refused
from PIL import Image

import foveax as fx
from foveax.data.dataset import DataWarning
from foveax.data.folder import load_folder
from foveax.data.listing import list_pictures
from foveax.data.pictures import read_picture

SHAPES = {"cat": (8, 12), "dog": (12, 12)}
"""Height and width of the pictures of two classes."""


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "foveax"


def picture(seed=0, shape=(8, 12, 3), kind=np.uint8):
    return np.random.default_rng(seed).integers(0, np.iinfo(kind).max, shape, dtype=kind)


def write_set(folder, each=5, shapes=SHAPES):
    """Pictures without loss, each a function of its class and number."""
    for label, shape in shapes.items():
        (folder / label).mkdir(parents=True)
        for number in range(each):
            Image.fromarray(picture(number, (*shape, 3))).save(folder / label / f"{number}.png")
    return folder


def test_folders_of_splits_and_classes_are_the_data(tmp_path):
    for split, each in (("train", 3), ("val", 2)):
        write_set(tmp_path / "set" / split, each, dict.fromkeys(("cat", "dog"), (8, 12)))
    (tmp_path / "set" / "train" / "cat" / "notes.txt").write_text("no picture")
    (tmp_path / "set" / "train" / ".hidden").mkdir()
    (tmp_path / "set" / "train" / "cat" / "images").mkdir()  # one further below, as some sets have them
    (tmp_path / "set" / "train" / "cat" / "2.png").rename(tmp_path / "set" / "train" / "cat" / "images" / "2.png")
    data = fx.load(str(tmp_path / "set"))
    assert data.names == ("cat", "dog")
    assert data.classes == 2
    assert sorted(data.train) == ["image", "label"]  # of one size: nothing is padded, or scaled
    assert data.train["label"].tolist() == [0, 0, 0, 1, 1, 1]
    assert data.test["image"].shape == (4, 8, 12, 3)
    np.testing.assert_array_equal(data.train["image"][:3], [picture(number) for number in range(3)])


def test_without_splits_a_share_of_each_class_is_for_tests_always_the_same(tmp_path):
    write_set(tmp_path / "set", 10)
    listed = list_pictures(tmp_path / "set", test_share=0.3)
    tests = {label: [each.file.stem for each in listed if each.is_test and each.label == label] for label in SHAPES}
    assert {label: len(files) for label, files in tests.items()} == {"cat": 3, "dog": 3}
    assert list_pictures(tmp_path / "set", test_share=0.3) == listed
    assert len(fx.load(str(tmp_path / "set"), test_share=0.05).test["label"]) == 2  # one of each at least


@pytest.mark.parametrize(
    ("fit", "side", "shape", "extents"),
    [
        ("pad", 0, (12, 12, 3), {0: [1, 7 / 11], 1: [1, 1]}),
        ("pad", 6, (6, 6, 3), {0: [1, 3 / 5], 1: [1, 1]}),
        ("pad", 20, (20, 20, 3), {0: [11 / 19, 7 / 19], 1: [11 / 19, 11 / 19]}),
        ("crop", 6, (6, 6, 3), None),
        ("stretch", 0, (12, 12, 3), None),
    ],
)
def test_pictures_of_several_sizes_become_images_of_one(fit, side, shape, extents, tmp_path):
    data = load_folder(write_set(tmp_path / "set"), fit=fit, side=side)
    assert data.train["image"].shape[1:] == shape
    assert ("extent" in data.train) == (extents is not None)
    for label, extent in (extents or {}).items():
        rows = data.train["label"] == label
        np.testing.assert_allclose(data.train["extent"][rows], np.tile(extent, (4, 1)), rtol=1e-6)
        columns, lines = (round(share * (shape[0] - 1)) + 1 for share in extent)
        assert not data.train["image"][rows, lines:].any()
        assert not data.train["image"][rows, :, columns:].any()
        assert data.train["image"][rows, :lines, :columns].any(axis=(1, 2, 3)).all()


def test_every_kind_of_file_is_read_upright_and_opaque(tmp_path):
    pixels = picture(shape=(8, 8, 3))
    grey, deep = pixels[..., 0], picture(1, (8, 8), np.uint16)
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera lay on its side: turn it clockwise
    clear = np.dstack([pixels, np.where(np.arange(8) < 4, 0, 255)[None].repeat(8, 0).astype(np.uint8)])
    files = {
        "whole.png": (Image.fromarray(pixels), {}, pixels),
        "whole.bmp": (Image.fromarray(pixels), {}, pixels),
        "whole.tiff": (Image.fromarray(pixels), {}, pixels),
        "whole.webp": (Image.fromarray(pixels), {"lossless": True}, pixels),
        "turned.png": (Image.fromarray(pixels), {"exif": exif}, np.rot90(pixels, -1)),
        "grey.png": (Image.fromarray(grey), {}, grey[..., None].repeat(3, -1)),
        "deep.png": (Image.fromarray(deep), {}, np.round(deep / 257)[..., None].repeat(3, -1)),
        "deep.tif": (Image.fromarray(deep), {}, np.round(deep / 257)[..., None].repeat(3, -1)),
        "clear.png": (Image.fromarray(clear), {}, np.where(clear[..., 3:] == 0, 255, pixels)),
        "palette.gif": (
            Image.fromarray(grey).convert("P"),
            {"save_all": True, "append_images": [Image.new("P", (8, 8))]},
            grey[..., None].repeat(3, -1),
        ),
    }
    for name, (image, options, expected) in files.items():
        image.save(tmp_path / name, **options)
        read = read_picture(tmp_path / name, height=8, width=8, channels=3)
        np.testing.assert_array_equal(read.pixels, expected, err_msg=name)
        assert not read.scaled
    Image.fromarray(np.full((8, 8, 3), 90, np.uint8)).save(tmp_path / "even.jpeg", quality=95)
    assert np.ptp(read_picture(tmp_path / "even.jpeg", height=4, width=4, channels=1).pixels) <= 2


def test_a_grey_set_has_one_channel_and_one_in_colour_three(tmp_path):
    for label in SHAPES:
        (tmp_path / "set" / label).mkdir(parents=True)
        for number in range(3):
            Image.fromarray(picture(number, (8, 8))).save(tmp_path / "set" / label / f"{number}.png")
    assert load_folder(tmp_path / "set").test["image"].shape == (2, 8, 8, 1)
    Image.fromarray(picture(9, (8, 8, 3))).save(tmp_path / "set" / "cat" / "new.png")
    assert load_folder(tmp_path / "set").test["image"].shape == (2, 8, 8, 3)


def test_a_list_in_csv_names_files_labels_and_splits(tmp_path):
    write_set(tmp_path, 4, dict.fromkeys(("cat", "dog"), (8, 12)))
    rows = [{"path": f"{label}/{n}.png", "label": label.upper(), "split": "test" if n == 3 else "train"}
            for label in ("cat", "dog") for n in range(4)]  # fmt: skip
    with (tmp_path / "list.csv").open("w", newline="", encoding="utf-8-sig") as file:
        writer = csv.DictWriter(file, ["split", "path", "label"])
        writer.writeheader()
        writer.writerows(rows)
    data = fx.load(str(tmp_path / "list.csv"))
    assert data.names == ("CAT", "DOG")
    np.testing.assert_array_equal(data.test["image"], [picture(3)] * 2)
    (tmp_path / "list.csv").write_text("path,label,split\ncat/0.png,cat,train\ncat/1.png,,train\n")
    with pytest.raises(fx.InputError, match=r"list.csv, line 3: must be a path, a label and, if any, train or test"):
        fx.load(str(tmp_path / "list.csv"))
    (tmp_path / "list.csv").write_text("file,class\na,b\n")
    with pytest.raises(fx.InputError, match=r"must have the columns path and label; .* has file, class"):
        fx.load(str(tmp_path / "list.csv"))


def test_what_cannot_be_read_is_counted_and_named_each_time(tmp_path, cache):
    folder = write_set(tmp_path / "set")
    whole = (folder / "cat" / "0.png").read_bytes()
    (folder / "cat" / "half.png").write_bytes(whole[: len(whole) // 2])
    (folder / "dog" / "text.jpg").write_text("no picture")
    (folder / "dog" / "empty.png").touch()
    (folder / "dog" / "lost.png").symlink_to(folder / "nowhere.png")
    os.mkfifo(folder / "dog" / "pipe.png")
    Image.new("1", (20_000, 20_000)).save(folder / "dog" / "huge.png")
    for _ in range(2):  # the second time from the cache
        with pytest.warns(DataWarning, match=r"6 of 16 pictures are left out: pictures must be readable; .*and 3 more"):
            data = load_folder(folder)
        assert len(data.train["label"]) + len(data.test["label"]) == 10
    assert len(list(cache.iterdir())) == 1


def test_what_is_decoded_is_kept_until_a_file_changes(tmp_path, cache, monkeypatch):
    folder = write_set(tmp_path / "set")
    first = load_folder(folder)
    (kept,) = cache.iterdir()
    with monkeypatch.context() as patch:
        patch.setattr("foveax.data.folder.read_picture", None)
        np.testing.assert_array_equal(load_folder(folder).train["image"], first.train["image"])
        patch.setattr("foveax.data.folder.RESIDENT_BYTES", 0)  # from its file, as large sets are
        np.testing.assert_array_equal(load_folder(folder).train["image"], first.train["image"])
    Image.fromarray(picture(77, (12, 12, 3))).save(folder / "dog" / "0.png")
    assert (load_folder(folder).train["image"] != first.train["image"]).any()
    assert len(list(cache.iterdir())) == 2
    (kept / "unreadable.json").unlink()  # as if it had been made half, by hand
    assert len(load_folder(folder).train["image"]) == 8


REFUSED = {
    "one class": (r"pictures must be of two classes at least; those of .* are of cat", lambda folder: [
        file.unlink() for file in (folder / "dog").iterdir()] + [(folder / "dog").rmdir()]),
    "an empty class": (r"a class must have a folder with pictures in it; .*/bird has none", lambda folder: (
        folder / "bird").mkdir()),
    "a class that holds all": ("a folder of pictures must not hold itself", lambda folder: (
        folder / "loop").symlink_to(folder)),
    "a name of two lines": ("names of classes must each be a line of text", lambda folder: (
        folder / "cat").rename(folder / "cat\nfish")),
    "a locked folder": (r"folders of pictures must be readable; .*dog is not: Permission denied", lambda folder: (
        folder / "dog").chmod(0)),
    "nothing readable": ("pictures must be readable; none is for the split train", lambda folder: [
        file.write_text("") for file in folder.glob("*/*")]),
    "another class for tests": ("classes for tests must be those for training; .*test also has 'bird'", lambda folder: (
        write_set(folder / "train"), write_set(folder / "test", shapes={"bird": (8, 8)}))),
}  # fmt: skip


@pytest.mark.parametrize("kind", REFUSED)
def test_folders_that_make_no_data_set_are_refused_and_nothing_is_kept(kind, tmp_path, cache, capsys):
    message, spoil = REFUSED[kind]
    if kind == "a locked folder" and os.geteuid() == 0:
        pytest.skip("nothing is locked to root")
    folder = write_set(tmp_path / "set")
    spoil(folder)
    line = refused(capsys, "train", "--data", folder, "--images", "8", "--out", tmp_path / "run")
    assert re.search(message, line), line
    assert not (tmp_path / "run").exists()
    assert not cache.exists() or not list(cache.iterdir())


def test_options_of_pictures_are_refused_for_arrays(tmp_path, capsys):
    line = refused(capsys, "train", "--side", "32", "--images", "8")
    assert "fit, side and test_share are for pictures in files; 'mnist5k' is no folder or list of them" in line


def test_names_in_any_script_are_those_of_the_classes(tmp_path):
    names = sorted(["猫", "Hündin", "o'brien & co", "🐟"])
    folder = write_set(tmp_path / "Bilder öffnen", 3, dict.fromkeys(names, (8, 8)))
    assert load_folder(folder).names == tuple(names)


@pytest.mark.slow
def test_the_eye_stays_in_the_picture_and_the_controls_draw_in_it(tmp_path, capsys):
    """Trained from a folder, loaded again, judged on another, and asked about a picture."""
    shapes = {"cat": (8, 24), "dog": (24, 24)}
    folder = write_set(tmp_path / "set", 12, shapes)
    out = tmp_path / "run"
    printed(capsys, "train", "--data", folder, *tiny.FLAGS, "--images", "64", "--out", out)
    run = fx.load_run(out)
    assert run.graph.roles.extent == "input.extent"
    evaluations = fx.evaluate_with_controls(run.graph, run.params, run.data, key=jax.random.key(0))
    cats = run.data.test["label"] == 0
    assert cats.any()
    for name, evaluation in evaluations.items():
        last = np.where(cats, 7 / 23, 1.0)
        assert (evaluation.fixations[..., 1] <= last[:, None] + 1e-6).all(), name
        np.testing.assert_allclose(evaluation.fixations[:, 0, 1], last / 2, atol=1e-6)  # the picture's own centre
    assert evaluations["random"].fixations[cats, 1:, 1].max() > 0.5 * 7 / 23
    other = write_set(tmp_path / "other", 5, {"cat": (30, 30), "dog": (30, 30)})
    assert "other" in printed(capsys, "evaluate", out, "--data", other)
    Image.fromarray(picture(1, (8, 24, 3))).save(tmp_path / "new.png")
    table = list(csv.DictReader(printed(capsys, "predict", out, tmp_path / "new.png").splitlines()))
    assert table[0]["class"] in shapes
    assert Path(table[0]["picture"]).name == "new.png"


def test_odd_pictures_raise_no_warning_but_ours(tmp_path):
    folder = write_set(tmp_path / "set")
    Image.new("1", (10_000, 10_000)).save(folder / "dog" / "large.png")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert load_folder(folder, side=16).train["image"].shape[1:] == (16, 16, 3)


@pytest.mark.nightly
@pytest.mark.slow
def test_a_hundred_thousand_files_are_a_set_like_any_other(tmp_path, cache):
    """Each in its place, and read at once the next time."""
    contents = []
    for shade in range(100):
        file = tmp_path / f"{shade}.png"
        Image.new("L", (6, 6), shade).save(file)
        contents.append(file.read_bytes())
    folder = tmp_path / "set"
    for label in ("even", "odd"):
        (folder / label).mkdir(parents=True)
    for number in range(100_000):
        (folder / ("odd" if number % 2 else "even") / f"{number:06}.png").write_bytes(contents[number % 100])
    first = load_folder(folder)
    assert len(first.train["label"]) + len(first.test["label"]) == 100_000
    for split in (first.train, first.test):
        shades = np.asarray(split["image"])[:, 0, 0, 0]
        np.testing.assert_array_equal(shades % 2, split["label"])
        assert (np.asarray(split["image"]) == shades[:, None, None, None]).all()
    again = load_folder(folder)
    np.testing.assert_array_equal(again.test["image"], first.test["image"])
