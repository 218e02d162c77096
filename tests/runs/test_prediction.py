"""What a run says of pictures that have no label, from Python and from the command line."""

import csv
import io

import jax
import numpy as np
import pytest
import tiny
from command import printed, refused
from PIL import Image

import foveax as fx


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    out = tmp_path_factory.mktemp("runs") / "run"
    tiny.write_npz(out.parent / "tiny.npz")
    tiny.train(out, fx.load(str(out.parent / "tiny.npz")), config=tiny.named(out.parent / "tiny.npz"))
    return out


def test_a_prediction_is_the_evaluation_without_its_label(run):
    loaded = fx.load_run(run)
    test = loaded.data.test
    seen = fx.evaluate(loaded.graph, loaded.params, test, key=jax.random.key(tiny.CONFIG.seed))
    predicted = loaded.predict(test["image"])
    np.testing.assert_array_equal(predicted.probabilities, seen.probabilities)
    np.testing.assert_array_equal(predicted.fixations, seen.fixations)
    in_bytes = np.round(255 * test["image"]).astype(np.uint8)
    np.testing.assert_allclose(loaded.predict(in_bytes).probabilities, seen.probabilities, atol=0.05)


def test_images_of_another_shape_or_range_are_refused(run):
    loaded = fx.load_run(run)
    with pytest.raises(fx.InputError, match=r"images must be of the shape \[24, 24, 1\]; got \[20, 24, 1\]"):
        loaded.predict(np.zeros((2, 20, 24)))
    with pytest.raises(fx.InputError, match=r"images must lie in \[0, 1\] where it is a float; got values from 7"):
        loaded.predict(np.full((2, 24, 24), 7.0))


def test_pictures_are_read_from_files_and_folders(run, tmp_path, capsys):
    folder = tmp_path / "pictures"
    folder.mkdir()
    pixels = np.random.default_rng(0).integers(0, 255, (24, 24), dtype=np.uint8)
    Image.fromarray(pixels).save(folder / "b.png")
    Image.fromarray(pixels).convert("RGB").resize((60, 40)).save(folder / "a.jpg")
    (folder / "notes.txt").write_text("no picture")
    Image.fromarray(pixels).rotate(90).save(tmp_path / "turned.png")
    capsys.readouterr()
    table = list(csv.DictReader(io.StringIO(printed(capsys, "predict", run, folder, tmp_path / "turned.png"))))
    assert [row["picture"].rpartition("/")[2] for row in table] == ["a.jpg", "b.png", "turned.png"]
    belief = fx.load_run(run).predict(pixels[None]).probabilities[0, -1]
    assert table[1]["class"] == str(belief.argmax())
    assert table[1]["probability"] == f"{belief.max():.4f}"


@pytest.mark.parametrize("kind", ["nowhere", "an empty folder", "text", "a half", "fractions"])
def test_what_is_no_picture_is_refused(kind, run, tmp_path, capsys):
    place = tmp_path / "picture.png"
    Image.fromarray(np.zeros((24, 24), np.uint8)).save(tmp_path / "whole.png")
    whole = (tmp_path / "whole.png").read_bytes()
    {
        "nowhere": lambda: None,
        "an empty folder": place.mkdir,
        "text": lambda: place.write_text("no picture"),
        "a half": lambda: place.write_bytes(whole[: len(whole) // 2]),
        "fractions": lambda: Image.fromarray(np.zeros((24, 24), np.float32)).save(place, format="TIFF"),
    }[kind]()
    message = refused(capsys, "predict", run, place)
    assert message.startswith("pictures must be ")
    assert str(place) in message
