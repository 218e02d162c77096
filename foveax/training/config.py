"""The configuration of a training: data, budget, model and learning."""

import dataclasses
from typing import Literal

from foveax._fields import Checked, bounded
from foveax.data.augment import shifted, warped
from foveax.data.canvas import cluttered
from foveax.data.dataset import Data, held_out
from foveax.pipelines import Model
from foveax.training.learner import Learning

Task = Literal["original", "translated", "cluttered"]


@dataclasses.dataclass(frozen=True)
class Config(Checked):
    """All that decides the outcome of a training, on one kind of device.

    Raises:
      InputError: for a value out of range; the message names the field.
    """

    data: str = "mnist5k"
    """mnist5k (bundled), mnist or another TFDS name, or a path to an .npz file of arrays."""
    data_dir: str = ""
    """Where TFDS sets lie; by default $TFDS_DATA_DIR, or ~/tensorflow_datasets."""
    images: int = bounded(300_000, 1, 10**12)
    """How many training images are shown in all."""
    batch: int = bounded(32, 1, 10**6)
    """Images per step."""
    seed: int = bounded(0, 0, 2**32 - 1)
    """Of the parameters, the order of the images, and the eye's exploration."""
    shift: int = bounded(2, 0, 1000)
    """Augmentation: random shifts by up to so many pixels."""
    warp: float = bounded(0.0, 0.0, 1000.0)
    """Augmentation: smooth random displacements of so many pixels (standard deviation)."""
    task: Task = "original"
    """The images as they are; each at a random place of a larger canvas (translated); or so, among pieces of others
    (cluttered)."""
    canvas: int = bounded(60, 1, 100_000)
    """Side of the canvas in pixels."""
    pieces: int = bounded(4, 0, 10_000)
    """Pieces of other images on a cluttered canvas."""
    validation: int = bounded(0, 0, 10**9)
    """So many training images are held out, and take the place of the test images; 0 trains on all."""
    dispatch: int = bounded(100, 1, 10**6)
    """Steps per call of the compiled program."""
    resident_megabytes: int = bounded(2048, 0, 10**9)
    """Training data up to this size are kept on the device; larger ones are streamed."""
    model: Model = dataclasses.field(default_factory=Model)
    """The pipeline."""
    learning: Learning = dataclasses.field(default_factory=Learning)
    """How it learns."""

    def prepare(self, data: Data) -> Data:
        """The data as this configuration shows them: held out, augmented, on their canvas.

        Raises:
          InputError: if the images do not fit the canvas, or none is left to train on.
        """
        data = held_out(data, self.validation) if self.validation else data
        data = shifted(data, pixels=self.shift) if self.shift else data
        data = warped(data, pixels=self.warp) if self.warp else data
        if self.task == "original":
            return data
        return cluttered(data, side=self.canvas, pieces=self.pieces if self.task == "cluttered" else 0)

    @property
    def steps(self) -> int:
        """Training steps in all; at least one."""
        return max(self.images // self.batch, 1)


PRESETS = {
    "default": Config(),
    "mnist": Config(data="mnist", images=100_000, shift=0),
    "ram": Config(
        data="mnist",
        images=1_000_000,
        model=Model(
            crop=8,
            contrast=False,
            core="rnn",
            features=128,
            combine="add",
            reward="correct_last",
            deviation="fixed",
            deviation_start=0.7,
        ),
        learning=Learning(ppo=0.0, reinforce=1.0, discount=1.0),
    ),
    "report": Config(
        data="mnist",
        images=100_000,
        shift=0,
        model=Model(
            contrast=False,
            core="rnn",
            features=128,
            where=False,
            reward="correct_last",
            deviation="learned",
            deviation_start=0.7,
        ),
        learning=Learning(discount=0.9),
    ),
}
"""Named configurations: the defaults; full MNIST; close to RAM (Mnih et al. 2014); close to the original report."""
