"""Raw samples of an eye tracker, and fixations from them by I-DT and I-VT, which pymovements detects."""

from typing import Any, Literal, NamedTuple

import numpy as np

from foveax._arrays import check_number
from foveax._types import InputError
from foveax.analysis.table import FixationTable
from foveax.gaze.screen import Screen, to_fractions
from foveax.runtime.machine import import_extra

Eye = Literal["left", "right", "cyclopean"]


class Recording(NamedTuple):
    """Samples of one eye of one participant, ``[S]`` each; NaN where the eye was lost.

    Attributes:
      time: seconds, rising.
      x: places on the screen, in its pixels, from its origin.
      y: likewise.
      frequency: samples a second.
      pupil: its size in the tracker's own unit; None where it was not measured.
      eye: the eye; cyclopean is the mean of both.
    """

    time: np.ndarray
    x: np.ndarray
    y: np.ndarray
    frequency: float
    pupil: np.ndarray | None = None
    eye: Eye = "cyclopean"


def check_recording(recording: Recording, name: str = "recording") -> None:
    """Refuses samples that are not equally many, whose times do not rise, or without a sampling frequency."""
    sizes = {len(column) for column in (recording.time, recording.x, recording.y)}
    if len(sizes) != 1:
        raise InputError(f"{name} must have as many times as places; got {sorted(sizes)}")
    falls = np.flatnonzero(~(np.diff(recording.time) > 0))
    if len(falls):
        row = int(falls[0]) + 1
        came = f"row {row + 1} has {recording.time[row]:g} after {recording.time[row - 1]:g}"
        raise InputError(f"{name} must have times that rise; {came}")
    if not check_number("frequency", recording.frequency) > 0:
        raise InputError(f"frequency must be more than 0 samples a second; got {recording.frequency:g}")


def fixations_of(
    recording: Recording,
    screen: Screen,
    *,
    method: Literal["idt", "ivt"] = "idt",
    threshold: float,
    minimum: float = 0.1,
    image: int = 0,
    subject: str = "",
) -> FixationTable:
    """The fixations of a recording on one image, as pymovements detects them (the extra ``gaze``).

    By dispersion (I-DT) or by velocity (I-VT), after Salvucci, Goldberg 2000, Identifying fixations and saccades in
    eye-tracking protocols, ETRA. A fixation is at the mean of its samples; it ends where the eye is lost.

    Args:
      recording: samples.
      screen: the one on which they were taken.
      method: idt or ivt.
      threshold: of I-DT the greatest sum of the ranges of x and y, in pixels; of I-VT the greatest speed, in pixels a
        second, between neighbouring samples.
      minimum: the shortest fixation, in seconds.
      image: the number of the image looked at.
      subject: the participant.
    """
    check_recording(recording)
    detection = import_extra("pymovements.events", "gaze", "finding fixations")
    places = np.stack([recording.x, recording.y], axis=-1)
    steps = np.arange(len(places))
    samples = max(round(minimum * recording.frequency), 2)
    if method == "idt":
        found = detection.idt(places, timesteps=steps, minimum_duration=samples, dispersion_threshold=threshold)
    else:
        velocity = np.gradient(places, axis=0) * recording.frequency
        found = detection.ivt(velocity, timesteps=steps, minimum_duration=samples, velocity_threshold=threshold)
    frame: Any = found.frame
    begins, ends = (frame[name].to_numpy().astype(int) for name in ("onset", "offset"))
    past = method == "idt"  # whose fixations pymovements ends at the first sample beyond them
    spans = [np.arange(begin, max(end + 1 - past, begin + 1)) for begin, end in zip(begins, ends, strict=True)]
    means = np.array([np.nanmean(places[span], axis=0) for span in spans]).reshape(-1, 2)
    x, y = to_fractions(means, screen).T
    onset = recording.time[begins] if len(begins) else np.zeros(0)
    duration = recording.time[ends] - onset if len(begins) else np.zeros(0)
    return FixationTable(
        image=np.full(len(spans), image),
        glimpse=np.arange(1, len(spans) + 1),
        x=x,
        y=y,
        onset=onset,
        duration=duration,
        subject=np.full(len(spans), subject) if subject else None,
    )
