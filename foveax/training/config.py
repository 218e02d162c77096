"""The configuration of a training: data, budget, model and learning."""

import dataclasses

from foveax._fields import Checked, bounded
from foveax.pipelines import Model
from foveax.training.learner import Learning


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
    dispatch: int = bounded(100, 1, 10**6)
    """Steps per call of the compiled program."""
    resident_megabytes: int = bounded(2048, 0, 10**9)
    """Training data up to this size are kept on the device; larger ones are streamed."""
    model: Model = dataclasses.field(default_factory=Model)
    """The pipeline."""
    learning: Learning = dataclasses.field(default_factory=Learning)
    """How it learns."""

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
        model=Model(crop=8, contrast=False, core="rnn", combine="add", reward="correct_last", deviation="fixed"),
        learning=Learning(ppo=0.0, reinforce=1.0, discount=1.0),
    ),
    "report": Config(
        data="mnist",
        images=100_000,
        shift=0,
        model=Model(contrast=False, core="rnn", where=False, reward="correct_last", deviation="learned"),
        learning=Learning(discount=0.9),
    ),
}
"""Named configurations: the defaults; full MNIST; close to RAM (Mnih et al. 2014); close to the original report."""
