"""The configuration of a training: data, budget, model and learning."""

import dataclasses
from typing import Literal

from foveax._fields import Checked, bounded
from foveax.data.augment import shifted, warped
from foveax.data.canvas import cluttered
from foveax.data.dataset import Data, held_out
from foveax.graph.graph import Graph
from foveax.graph.modules import Module, batching
from foveax.networks.perceptron import perceptron_saccader
from foveax.pipelines import Model, standard_pipeline

Task = Literal["original", "translated", "cluttered"]
Trainer = Literal["foveax", "sb3_ppo", "sb3_a2c", "sb3_sac"]
LIBRARY_POLICIES: dict[Trainer, Module] = {
    "sb3_ppo": perceptron_saccader((64, 64), activation="tanh", squash="clip"),
    "sb3_a2c": perceptron_saccader((64, 64), activation="tanh", squash="clip"),
    "sb3_sac": perceptron_saccader((256, 256), activation="relu", squash="tanh"),
}
"""What the policies of other libraries look like, as they come."""


@dataclasses.dataclass(frozen=True)
class Learning(Checked):
    """How the two heads learn.

    Raises:
      InputError: for a value out of range; the message names the field.
    """

    learning_rate: float = bounded(2e-3, 0.0)
    """Adam's learning rate for all but the saccader."""
    policy_learning_rate: float = bounded(5e-4, 0.0)
    """Adam's learning rate for the saccader."""
    decay: Literal["cosine", "constant"] = "cosine"
    """Over training, the learning rates fall to 0 along a cosine and the entropy bonus along a line; or all stay."""
    supervise: Literal["each", "last"] = "each"
    """Which glimpses' cross-entropy is minimised: the mean over each, or that of the last."""
    ppo: float = bounded(1.0, 0.0)
    """Weight of PPO's clipped surrogate."""
    reinforce: float = bounded(0.0, 0.0)
    """Weight of REINFORCE with the value as baseline."""
    value: float = bounded(0.5, 0.0)
    """Weight of the value loss."""
    entropy: float = bounded(0.12, 0.0)
    """Weight, at first, of the bonus on the entropy of the fixations, which also keeps them from the border."""
    discount: float = bounded(0.5, 0.0, 1.0)
    """Discount per glimpse, gamma."""
    gae_lambda: float = bounded(0.84, 0.0, 1.0)
    """Decay of generalised advantage estimation, lambda."""
    epsilon: float = bounded(0.2, above=0.0)
    """PPO's clipping range of the probability ratio."""
    epochs: int = bounded(1, 1, 100)
    """Passes of PPO over a batch; from the second on only the saccader is computed again."""
    normalize: Literal["glimpse", "batch", "none"] = "glimpse"
    """Standardise the advantages: over the batch at each glimpse, so that late saccades, whose rewards are small, learn
    as fast as the first; over batch and glimpses together; or not."""
    gradient_clip: float = bounded(10.0, above=0.0)
    """Largest norm of each module's gradient."""
    fit_every: int = bounded(1, 1, 10**6)
    """Batches after which the classifier is fitted, to the mean of their gradients."""
    skips_in_a_row: int = bounded(10, 1, 10**6)
    """So many updates skipped in a row, since losses or gradients were not finite, end a training."""


@dataclasses.dataclass(frozen=True)
class Config(Checked):
    """All that decides the outcome of a training, on one kind of device.

    Raises:
      InputError: for a value out of range; the message names the field.
    """

    data: str = "mnist5k"
    """mnist5k (bundled), mnist or another TFDS name, or the path of an .npz file or of a folder of .npy files."""
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
    trainer: Trainer = "foveax"
    """Who trains the saccader: foveax, or PPO, A2C or SAC of stable-baselines3, as they come."""
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

    def pipeline(self, data: Data) -> Graph:
        """The standard pipeline for prepared data, with the saccader that the trainer gives it.

        Raises:
          GraphError: if the data and the model do not fit.
        """
        graph = standard_pipeline(self.model, data.inputs, classes=data.classes)
        if self.learning.fit_every > 1:
            graph = graph.add(network=batching(graph.modules["network"], every=self.learning.fit_every))
        if self.trainer == "foveax" or self.model.policy != "learned":
            return graph
        return graph.swap("saccader", LIBRARY_POLICIES[self.trainer])

    @property
    def steps(self) -> int:
        """Training steps in all; at least one."""
        return max(self.images // self.batch, 1)


PRESETS = {
    "default": Config(),
    "mnist": Config(data="mnist", images=100_000, shift=0),
    "mnist_long": Config(
        data="mnist",
        images=4_000_000,
        batch=128,
        shift=1,
        warp=1.0,
        model=Model(core="rnn", layers=2, deviation_end=0.05),
    ),
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
"""Named configurations: the defaults; full MNIST in half a minute, and in minutes to hours; close to RAM (Mnih et al.
2014); close to the original report."""
