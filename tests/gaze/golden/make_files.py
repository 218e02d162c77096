"""Makes the files here with pysaliency, pymovements and MNE-BIDS, and reads files of foveax with them.

Run in an environment of its own, with foveax's source on the path; it had the versions in versions.json. (pysaliency
0.2 uses a name that NumPy 2 has no more, and imports torch, which is not needed here.)

    pip install pysaliency pymovements multimatch-gaze mne-bids bids-validator-deno h5py
    python tests/gaze/golden/make_files.py
"""

import contextlib
import importlib.metadata
import json
import shutil
import subprocess
import sys
import tempfile
import types
from pathlib import Path

import numpy as np

sys.modules.setdefault("torch", types.ModuleType("torch")).Tensor = type("Tensor", (), {})
np.string_ = np.bytes_

import mne
import mne_bids
import multimatch_gaze
import polars
import pymovements
import pysaliency

from foveax import analysis, gaze

HERE = Path(__file__).parent
SCREEN = gaze.Screen(640.0, 480.0, image_left=20.0, image_top=10.0, image_width=400.0, image_height=300.0)
XS, YS = [[30.5, 200.0], [100.0, 50.25, 419.0]], [[20.0, 100.0], [10.0, 309.0, 77.5]]


def make() -> None:
    """Writes what other programs write."""
    times = [[0.0, 0.25], [0.0, 0.5, 0.75]]
    trains = pysaliency.FixationTrains.from_fixation_trains(
        XS, YS, times, [0, 1], [4, 5], scanpath_fixation_attributes={"durations": [[0.2, 0.3], [0.1, 0.2, 0.3]]}
    )
    trains.to_hdf5(str(HERE / "pysaliency_trains.hdf5"))
    frame = polars.DataFrame(
        {
            "subject": ["s4"] * 2 + ["s5"] * 3,
            "trial": [1] * 2 + [2] * 3,
            "name": ["fixation", "fixation", "fixation.ivt", "fixation", "saccade"],
            "onset": [0.0, 250.0, 0.0, 500.0, 750.0],
            "offset": [200.0, 550.0, 100.0, 700.0, 760.0],
            "location": [[x, y] for x, y in zip(sum(XS, []), sum(YS, []), strict=True)],
        }
    )
    events = pymovements.Events(data=frame, trial_columns=["subject", "trial"])
    events.frame.write_ipc(HERE / "pymovements_events.feather")


def make_mne_bids() -> None:
    """Writes what MNE-BIDS 0.20 writes of half a second: it then ends, since it cannot tell its own two files apart."""
    channels = ["x", "y", "pupil"]
    info = mne.create_info(channels, 100.0, ["eyegaze", "eyegaze", "pupil"])
    data = np.stack([np.arange(50.0), 200 - np.arange(50.0), np.full(50, 3.0)])
    raw = mne.io.RawArray(data, info, verbose=False)
    kinds = {"x": ("eyegaze", "px", "left", "x"), "y": ("eyegaze", "px", "left", "y"), "pupil": ("pupil", "au", "left")}
    mne.preprocessing.eyetracking.set_channel_types_eyetrack(raw, mapping=kinds)
    events = ["fixation", "saccade"]
    raw.set_annotations(mne.Annotations([0.1, 0.3], [0.1, 0.1], events, ch_names=[("x", "y")] * 2))
    facts = {"screen_size": (0.5, 0.3), "screen_distance": 0.7, "screen_resolution": (1000, 600)}
    none = {"positions": np.zeros((1, 2)), "offsets": np.zeros(1), "gaze": np.zeros((1, 2))}
    calibration = mne.preprocessing.eyetracking.Calibration(
        onset=0, model="H3", eye="left", avg_error=0.3, max_error=0.5, **none, **facts
    )
    calibration["screen_origin"] = ("top", "left")
    with tempfile.TemporaryDirectory() as folder:
        path = mne_bids.BIDSPath(subject="01", task="look", root=folder, datatype="beh")
        with contextlib.suppress(RuntimeError):
            mne_bids.write_raw_bids(raw, path, allow_preload=True, format="auto", eyetrack_calibration=calibration)
        shutil.copytree(Path(folder) / "sub-01", HERE / "mne_bids" / "sub-01", dirs_exist_ok=True)


def read(table: analysis.FixationTable) -> dict[str, str]:
    """Reads with other programs what foveax writes, and compares."""
    order = np.concatenate(list(gaze.rows.scanpath_rows(table)))
    pixels = gaze.from_fractions(np.stack([table.x, table.y], axis=-1), SCREEN)[order]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "trains.hdf5"
        gaze.write_pysaliency(path, table, SCREEN, kind="FixationTrains 1.2")
        trains = pysaliency.read_hdf5(str(path))
        np.testing.assert_allclose(np.stack([trains.x, trains.y], axis=-1), pixels, atol=1e-9)
        np.testing.assert_array_equal(trains.n, table.image[order])
        events = pymovements.Events(data=gaze.to_pymovements(table, SCREEN), trial_columns=["subject", "trial"])
        np.testing.assert_allclose(np.array(events.fixations["location"].to_list())[order], pixels, atol=1e-9)
        scanpaths = [path for path in gaze.to_multimatch(table, SCREEN) if len(path) > 2]
        likeness = multimatch_gaze.docomparison(scanpaths[0], scanpaths[0], screensize=[640, 480])
        np.testing.assert_allclose(likeness, 1)
        root = Path(folder) / "bids"
        time = np.arange(0, 30, 1 / 250)
        samples = np.random.default_rng(0).normal(300, 20, (2, len(time)))
        recordings = {name: gaze.Recording(time, *samples, 250.0) for name in np.unique(table.subject).tolist()}
        gaze.write_bids(root, table, SCREEN, task="look", recordings=recordings)
        (root / "README.md").write_text("Made up by foveax, to be read by the validator of BIDS. " * 5)
        answer = subprocess.run(["bids-validator-deno", "--json", str(root)], capture_output=True, text=True)
        issues = json.loads(answer.stdout)["issues"]["issues"]
    errors = sorted({issue["code"] for issue in issues if issue.get("severity") == "error"})
    return {"bids-validator errors": ", ".join(errors) or "none"}


def table() -> analysis.FixationTable:
    """Three scanpaths of two people."""
    rng = np.random.default_rng(1)
    trial = np.repeat([1, 2, 3], 4)
    return analysis.FixationTable(
        image=trial - 1, glimpse=np.tile(np.arange(1, 5), 3), x=rng.random(12), y=rng.random(12),
        subject=np.array(["anna", "ben"])[trial % 2], onset=np.arange(12) / 2, duration=np.full(12, 0.25), trial=trial,
    )  # fmt: skip


if __name__ == "__main__":
    make()
    make_mne_bids()
    names = ("pysaliency", "pymovements", "multimatch-gaze", "mne-bids", "bids-validator-deno")
    versions = {name: importlib.metadata.version(name) for name in names}
    (HERE / "versions.json").write_text(json.dumps({**versions, **read(table())}, indent=2) + "\n")
