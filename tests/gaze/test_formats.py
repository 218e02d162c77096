"""Round trips of every format, exact on tables at random with missing values; other programs' files are read."""

import gzip
import json
from pathlib import Path

import numpy as np
import pytest

import foveax as fx
from foveax import analysis, gaze
from foveax.analysis.table import known_columns
from foveax.gaze.gaze_cifar10 import gaze_cifar10_fixations, mirrored
from foveax.gaze.rows import scanpath_rows

GOLDEN = Path(__file__).parent / "golden"
SCREEN = gaze.Screen(1280.0, 1024.0, image_left=100.0, image_top=50.0, image_width=800.0, image_height=700.0)


def table_at_random(seed, *, missing=True):
    """Rows of several people in no order, some of whose numbers are missing."""
    rng = np.random.default_rng(seed)
    lengths = rng.integers(1, 7, 12)
    trial = np.repeat(np.arange(12), lengths)
    size = len(trial)
    order = rng.permutation(size)

    def lacking(values):
        return np.where(rng.random(size) < 0.2, np.nan, values) if missing else values

    columns = {
        "image": np.repeat(rng.integers(0, 4, 12), lengths),
        "glimpse": np.concatenate([np.arange(1, length + 1) for length in lengths]),
        "x": lacking(rng.normal(0.5, 0.3, size)),
        "y": lacking(rng.normal(0.5, 0.3, size)),
        "subject": np.array(["anna", "ben", "C. 3"])[trial % 3],
        "onset": lacking(np.cumsum(rng.random(size)) + trial),
        "duration": lacking(rng.random(size)),
        "label": np.repeat(rng.integers(0, 9, 12), lengths),
        "trial": trial,
        "stimulus": np.array(["été.png", "b c.png"])[trial % 2],
        "response": np.array(["", "3", "3 8"])[rng.integers(0, 3, size)],
    }
    return analysis.FixationTable(**{name: column[order] for name, column in columns.items()})


def assert_same(back, table):
    for name, column in table._asdict().items():
        np.testing.assert_array_equal(getattr(back, name), column, err_msg=name)
        assert column is None or getattr(back, name).dtype.kind == column.dtype.kind, name


def rows_of(table, rows):
    return analysis.FixationTable(**{name: column[rows] for name, column in known_columns(table).items()})


@pytest.mark.parametrize("seed", range(4))
def test_frames_and_text_come_back_exactly(seed, tmp_path):
    pytest.importorskip("polars")
    table = table_at_random(seed)
    assert_same(analysis.from_pandas(analysis.to_pandas(table)), table)
    assert_same(analysis.from_polars(analysis.to_polars(table)), table)
    path = tmp_path / "table.csv"
    analysis.write_csv(path, table)
    assert_same(analysis.read_csv(path, missing="keep"), table)


def test_nulls_of_frames_are_missing():
    polars = pytest.importorskip("polars")
    pandas = pytest.importorskip("pandas")
    columns = {"image": [1, 1], "glimpse": [1, 2], "x": [0.5, None], "y": [0.1, None], "response": [None, "3"]}
    read = analysis.from_polars(polars.DataFrame(columns)), analysis.from_pandas(pandas.DataFrame(columns))
    for table in read:
        assert np.isnan(table.x).tolist() == [False, True]
        assert table.response.tolist() == ["", "3"]


@pytest.mark.parametrize("seed", range(4))
def test_multimatch_records_come_back_exactly(seed):
    table = table_at_random(seed)
    scanpaths = gaze.to_multimatch(table, SCREEN)
    rows = np.concatenate(scanpath_rows(table))
    assert_same(gaze.from_multimatch(scanpaths, SCREEN), rows_of(table, rows))
    plain = [scanpath[["start_x", "start_y", "duration"]] for scanpath in scanpaths]
    back = gaze.from_multimatch(plain, SCREEN)
    np.testing.assert_allclose(back.x, table.x[rows], atol=1e-12)
    np.testing.assert_array_equal(back.duration, table.duration[rows])


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("unit", ["pixel", "degree"])
def test_pymovements_events_come_back_exactly(seed, unit, tmp_path):
    polars = pytest.importorskip("polars")
    table = table_at_random(seed)
    sizes = {"width_cm": 38.0, "height_cm": 30.0, "distance_cm": 68.0, "origin": "centre"}
    screen = gaze.Screen(1280.0, 1024.0, image_left=1.0, image_width=1000.0, image_height=1000.0, **sizes)
    events = gaze.to_pymovements(table, screen, unit)
    assert_same(gaze.from_pymovements(events, screen, unit), table)
    events.write_ipc(tmp_path / "events.feather")
    assert_same(gaze.from_pymovements(polars.read_ipc(tmp_path / "events.feather"), screen, unit), table)
    native = events.select([name for name in events.columns if not name.startswith("foveax_")])
    back = gaze.from_pymovements(native, screen, unit)
    np.testing.assert_allclose(back.x, table.x, atol=1e-9)
    np.testing.assert_allclose(back.duration, table.duration, atol=1e-12)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("kind", ["Scanpaths", "ScanpathFixations", "FixationTrains 1.2", "FixationTrains 1.3"])
def test_pysaliency_files_come_back_exactly(seed, kind, tmp_path):
    h5py = pytest.importorskip("h5py")
    table = table_at_random(seed)
    path = tmp_path / "scanpaths.hdf5"
    gaze.write_pysaliency(path, table, SCREEN, kind=kind)
    assert_same(gaze.read_pysaliency(path, SCREEN), table)
    with h5py.File(path, "a") as file:
        del file["foveax"]
    back = gaze.read_pysaliency(path, SCREEN)
    rows = np.concatenate(scanpath_rows(table))
    if kind == "Scanpaths":
        np.testing.assert_allclose(back.x, table.x[rows], atol=1e-12)
        np.testing.assert_array_equal(back.duration, table.duration[rows])
        np.testing.assert_array_equal(back.subject, table.subject[rows])
    np.testing.assert_array_equal(np.unique(back.image), np.unique(table.image))


def test_other_kinds_of_pysaliency_are_refused(tmp_path):
    with pytest.raises(fx.InputError, match=r"kind must be one of Scanpaths, .*; got 'FixationTrains 1.1'"):
        gaze.write_pysaliency(tmp_path / "trains.hdf5", table_at_random(0), SCREEN, kind="FixationTrains 1.1")


def test_scanpaths_are_laid_out_as_pysaliency_has_them(tmp_path):
    """Of its coming version, which cannot be installed yet: what its `Scanpaths.read_hdf5` reads, by name and shape."""
    h5py = pytest.importorskip("h5py")
    table = table_at_random(0)
    gaze.write_pysaliency(tmp_path / "scanpaths.hdf5", table, SCREEN)
    with h5py.File(tmp_path / "scanpaths.hdf5") as file:
        assert (file.attrs["type"], file.attrs["version"]) == (b"Scanpaths", b"1.0")
        assert json.loads(file.attrs["attribute_mapping"]) == {"ts": "t", "durations": "duration"}
        length = file["length"][...]
        assert length.sum() == len(table.x)
        for name in ("xs", "ys"):
            assert file[name].shape == (len(length), length.max())
        assert file["n"].shape == length.shape
        for group in ("scanpath_attributes", "fixation_attributes"):
            assert sorted(json.loads(file[group].attrs["__attributes__"])) == sorted(file[group])
        assert {"subject", "trial"} <= set(file["scanpath_attributes"])
        assert {"ts", "durations"} <= set(file["fixation_attributes"])
        xs = file["xs"][...]
        pixels = SCREEN.image_left + table.x * (SCREEN.image_width - 1)
        inside = np.arange(length.max()) < length[:, None]
        np.testing.assert_allclose(np.sort(xs[inside]), np.sort(pixels))


@pytest.mark.parametrize("seed", range(4))
def test_bids_comes_back_exactly(seed, tmp_path):
    table = table_at_random(seed)
    rng = np.random.default_rng(seed)
    time = np.arange(50) / 250
    samples = rng.normal(500, 50, (3, 50))
    samples[:, 10:14] = np.nan
    recordings = {"anna": gaze.Recording(time, *samples[:2], 250.0, samples[2], "left")}
    gaze.write_bids(tmp_path, table, SCREEN, task="look", recordings=recordings)
    back, recorded = gaze.read_bids(tmp_path, task="look")
    people = sorted(set(table.subject), key=lambda name: gaze.bids.bids_label(name))
    rows = np.concatenate([np.flatnonzero(table.subject == name) for name in people])
    assert_same(back, rows_of(table, rows))
    for name in ("time", "x", "y", "pupil"):
        np.testing.assert_array_equal(getattr(recorded["anna"], name), getattr(recordings["anna"], name))
    assert (recorded["anna"].frequency, recorded["anna"].eye) == (250.0, "left")


def test_files_of_other_programs_are_read():
    """Files that pysaliency 0.2.22 and pymovements 0.28 wrote (golden/make_files.py), of known scanpaths."""
    polars = pytest.importorskip("polars")
    screen = gaze.Screen(640.0, 480.0, image_left=20.0, image_top=10.0, image_width=400.0, image_height=300.0)
    x, y = [30.5, 200.0, 100.0, 50.25, 419.0], [20.0, 100.0, 10.0, 309.0, 77.5]
    table = gaze.read_pysaliency(GOLDEN / "pysaliency_trains.hdf5", screen)
    pixels = gaze.from_fractions(np.stack([table.x, table.y], axis=-1), screen)
    np.testing.assert_allclose(pixels, np.stack([x, y], axis=-1))
    assert table.subject.tolist() == ["4", "4", "5", "5", "5"]
    assert table.image.tolist() == [0, 0, 1, 1, 1]
    np.testing.assert_allclose(table.duration, [0.2, 0.3, 0.1, 0.2, 0.3])
    table = gaze.from_pymovements(polars.read_ipc(GOLDEN / "pymovements_events.feather"), screen)
    pixels = gaze.from_fractions(np.stack([table.x, table.y], axis=-1), screen)
    np.testing.assert_allclose(pixels, np.stack([x[:4], y[:4]], axis=-1))  # the last event is a saccade
    assert table.glimpse.tolist() == [1, 2, 1, 2]
    np.testing.assert_allclose(table.onset, [0, 0.25, 0, 0.5])


def test_gaze_of_mne_bids_is_read():
    """Samples, and a fixation whose place is not written down: x is 0, 1, 2, ... at 100 samples a second, y 200 - x."""
    screen = gaze.Screen(1000.0, 600.0, image_width=1000.0, image_height=600.0)
    table, recordings = gaze.read_bids(GOLDEN / "mne_bids", task="look", screen=screen)
    recording = recordings["01"]
    assert (recording.frequency, recording.eye, len(recording.x)) == (100.0, "left", 50)
    np.testing.assert_allclose(recording.x, np.arange(50))
    assert table.subject.tolist() == ["01"]
    assert table.onset.tolist() == [0.1]
    pixels = gaze.from_fractions(np.stack([table.x, table.y], axis=-1), screen)
    np.testing.assert_allclose(pixels, [[15, 185]], atol=0.5)
    with pytest.raises(fx.InputError, match="must hold the ScreenResolution"):
        gaze.read_bids(GOLDEN / "mne_bids", task="look")


def test_units_and_runs_of_bids_are_those_of_each_file(tmp_path):
    """Two runs in milliseconds, the second 100 pixels to the right; no fixation takes its place from the other run."""
    screen = gaze.Screen(1000.0, 600.0, image_width=1000.0, image_height=600.0)
    (source,) = (GOLDEN / "mne_bids").glob("sub-*/*")
    (tmp_path / "sub-01" / "beh").mkdir(parents=True)
    for run in (1, 2):
        for file in source.iterdir():
            name = file.name.replace("_recording", f"_run-{run}_recording")
            target = tmp_path / "sub-01" / "beh" / name
            if file.suffix == ".json":
                facts = json.loads(file.read_text())
                for column in ("timestamp", "onset", "duration"):
                    if column in facts:
                        facts[column]["Units"] = "ms"
                target.write_text(json.dumps(facts))
                continue
            rows = [line.split("\t") for line in gzip.decompress(file.read_bytes()).decode().splitlines()]
            for row in rows:
                row[0] = str(1000 * float(row[0]))
                row[1] = str(float(row[1]) + 100 * (run - 1) if "_physio." in name else 1000 * float(row[1]))
            target.write_bytes(gzip.compress("".join("\t".join(row) + "\n" for row in rows).encode()))
    table, recordings = gaze.read_bids(tmp_path, task="look", screen=screen)
    assert sorted(recordings) == [f"sub-01_task-look_run-{run}_recording-eye1" for run in (1, 2)]
    np.testing.assert_allclose(table.onset, [0.1, 0.1])
    np.testing.assert_allclose(table.x * 999, [15, 115], atol=0.5)
    np.testing.assert_allclose(recordings["sub-01_task-look_run-2_recording-eye1"].time[:2], [0, 0.01])
    for sidecar in tmp_path.glob("sub-01/beh/*run-2*_physio.json"):
        sidecar.write_text(sidecar.read_text().replace('"pixel"', '"deg"'))
    with pytest.raises(fx.InputError, match=r"x_coordinate of .* must be in pixel or pixels or px; got 'deg'"):
        gaze.read_bids(tmp_path, task="look", screen=screen)


def test_glimpses_of_bids_are_counted_in_each_trial(tmp_path):
    """Where a file does not hold the table's own columns, as of other programs."""
    table = table_at_random(0, missing=False)
    gaze.write_bids(tmp_path, table, SCREEN, task="look")
    for sidecar in tmp_path.glob("sub-*/*/*_physioevents.json"):
        sidecar.write_text(sidecar.read_text().replace("foveax_", "other_"))
    back, _ = gaze.read_bids(tmp_path, task="look")
    lengths = [len(rows) for rows in scanpath_rows(back)]
    assert sorted(lengths) == sorted(len(rows) for rows in scanpath_rows(table))
    for rows in scanpath_rows(back):
        assert back.glimpse[rows].tolist() == list(range(1, len(rows) + 1))


@pytest.mark.parametrize("method", ["idt", "ivt"])
def test_fixations_are_found_in_samples(method, rng):
    """Three places, half a second each, at 200 samples a second, with a blink in the second."""
    pytest.importorskip("pymovements")
    places = np.repeat([[10.0, 10.0], [300.0, 40.0], [90.0, 200.0]], 100, axis=0) + rng.normal(0, 0.1, (300, 2))
    places[150:160] = np.nan
    recording = gaze.Recording(np.arange(300) / 200, *places.T, 200.0)
    threshold = {"idt": 5.0, "ivt": 1000.0}[method]
    table = gaze.fixations_of(recording, gaze.image_screen(480, 640), method=method, threshold=threshold)
    pixels = gaze.from_fractions(np.stack([table.x, table.y], axis=-1), gaze.image_screen(480, 640))
    np.testing.assert_allclose(pixels, [[10, 10], [300, 40], [300, 40], [90, 200]], atol=1)
    np.testing.assert_allclose(table.onset, [0, 0.5, 0.8, 1.0], atol=0.011)
    assert (table.duration > 0.15).all()


def test_screens_measure_from_every_origin():
    corner = np.array([[0.0, 0.0], [1.0, 1.0]])
    upper, lower = (gaze.image_screen(29, 41, origin=origin) for origin in ("upper left", "lower left"))
    np.testing.assert_array_equal(gaze.from_fractions(corner, upper), [[0, 0], [40, 28]])
    np.testing.assert_array_equal(gaze.from_fractions(corner, lower), [[0, 28], [40, 0]])
    one_based = gaze.image_screen(29, 41, first_pixel=1)
    np.testing.assert_array_equal(gaze.to_fractions(np.array([[1.0, 1.0], [41.0, 29.0]]), one_based), corner)
    sizes = {"width_cm": 41.0, "height_cm": 29.0, "distance_cm": 20.0}
    centre = gaze.image_screen(29, 41, origin="centre", **sizes)
    degrees = gaze.from_fractions(corner, centre, "degree")
    np.testing.assert_allclose(degrees, [[-45, np.rad2deg(np.arctan(0.7))], [45, -np.rad2deg(np.arctan(0.7))]])
    np.testing.assert_allclose(gaze.to_fractions(degrees, centre, "degree"), corner, atol=1e-12)
    with pytest.raises(fx.InputError, match="degrees must come with width_cm"):
        gaze.to_fractions(corner, upper, "degree")


def attention_mnist(path, changes=()):
    """Two trials exactly as the file has them: all values are texts."""
    clicks = [("13", "14", "", "3"), ("1", "26", "3.91", "3,8"), ("26", "1", "2.5", "8")]
    fields = ("x-coordinate", "y-coordinate", "Duration (seconds)", "Class")
    data = {f"Glimpse_{i}": dict(zip(fields, click, strict=True)) for i, click in enumerate(clicks, start=1)}
    trials = [{"Stimuli": name, "Label": "8", "Data": json.loads(json.dumps(data))} for name in ("01_17308", "02_66")]
    for glimpse, field, value in changes:
        trials[1]["Data"][glimpse][field] = value
    path.write_text(json.dumps(trials))
    return path


def test_attention_mnist_is_read_as_documented(tmp_path):
    table = gaze.read_attention_mnist(attention_mnist(tmp_path / "mnist.json"))
    assert table.image.tolist() == [17308] * 3 + [66] * 3
    np.testing.assert_allclose(table.x[:3] * 27, [12, 0, 25])
    np.testing.assert_allclose(table.y[:3] * 27, [13, 25, 0])
    assert np.isnan(table.duration[0])
    assert table.duration[1:3].tolist() == [3.91, 2.5]
    assert table.response.tolist()[:3] == ["3", "3 8", "8"]
    assert table.correct.tolist()[:3] == [0, 0, 1]
    assert table.trial.tolist() == [1] * 3 + [2] * 3
    bad = attention_mnist(tmp_path / "bad.json", [("Glimpse_2", "x-coordinate", "left")])
    with pytest.raises(fx.InputError, match="trial 2, Glimpse_2: x-coordinate must be a number; got 'left'"):
        gaze.read_attention_mnist(bad)


def write_cifar(folder, lines):
    (folder / "3" / "cat_7").mkdir(parents=True)
    (folder / "3" / "cat_7" / "p12.txt").write_text("\n".join(lines) + "\n")


def test_gaze_cifar10_is_measured_from_the_lower_left(tmp_path):
    lines = [f"({100 + i % 2}, {200})" for i in range(90)] + [f"({20}, {30 + i % 2})" for i in range(86)]
    write_cifar(tmp_path, lines)
    (_, recording), *_ = gaze.read_gaze_cifar10(tmp_path).items()
    assert len(recording.x) == 176
    pytest.importorskip("pymovements")
    table = gaze_cifar10_fixations(tmp_path)
    np.testing.assert_allclose(table.x * 224, [100.5, 20], atol=0.5)
    np.testing.assert_allclose(table.y * 224, [24, 224 - 30.5], atol=0.5)
    assert (table.label[0], table.subject[0], table.stimulus[0]) == (3, "p12", "3/cat_7")


def test_gaze_of_a_mirrored_image_is_mirrored(rng):
    table = analysis.fixation_table(rng.random((3, 4, 2)), height=32, width=32)
    back = mirrored(table, np.array([True, False, True]))
    rows = table.image == 1
    np.testing.assert_array_equal(back.x[rows], table.x[rows])
    np.testing.assert_allclose(back.x[~rows], 1 - table.x[~rows])
    np.testing.assert_allclose(back.x_pixel, 31 * back.x)
    np.testing.assert_array_equal(back.y, table.y)


def test_a_bad_line_of_gaze_cifar10_is_named(tmp_path):
    write_cifar(tmp_path, ["(1, 2)", "1; 2"])
    with pytest.raises(fx.InputError, match=r"p12.txt, line 2, must be \(x, y\); got '1; 2'"):
        gaze.read_gaze_cifar10(tmp_path)


def test_coco_search_is_read_as_documented(tmp_path):
    trial = {"name": "000.jpg", "subject": 3, "task": "cup", "condition": "present", "bbox": [1, 2, 3, 4],
             "X": [839.5, 0.0], "Y": [524.5, 1049.0], "T": [200, 300], "length": 2, "correct": 1, "RT": 500,
             "split": "train"}  # fmt: skip
    path = tmp_path / "coco.json"
    path.write_text(json.dumps([trial, {**trial, "name": "001.jpg", "task": "bowl"}]))
    table = gaze.read_coco_search(path)
    np.testing.assert_allclose(table.x, [0.5, 0, 0.5, 0])
    np.testing.assert_allclose(table.y, [0.5, 1, 0.5, 1])
    assert table.onset.tolist() == [0.0, 0.2, 0.0, 0.2]
    assert table.label.tolist() == [1, 1, 0, 0]
    assert (table.correct.tolist(), table.response) == ([1, 1, 1, 1], None)
    assert table.trial.tolist() == [1, 1, 2, 2]
    free = {name: trial[name] for name in ("name", "subject", "X", "Y", "T", "length")}
    path.write_text(json.dumps([free]))
    table = gaze.read_coco_search(path)
    assert (table.label, table.correct) == (None, None)
    path.write_text(json.dumps([{**trial, "T": [200]}]))
    with pytest.raises(fx.InputError, match="trial 1 must hold 2 values in X, Y and T, as its length says"):
        gaze.read_coco_search(path)
