"""The configuration of a training: data, budget, pipeline and learning; and how it is executed."""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, Self

from foveax._checked import Checked, bounded
from foveax._types import InputError
from foveax.data.augment import cut_out, mirrored, mixed, recoloured, rescaled, shifted, warped
from foveax.data.canvas import cluttered
from foveax.data.dataset import Data, Split, held_out, held_out_by_class
from foveax.data.debris import debris
from foveax.data.first import begun_anywhere
from foveax.data.listing import TEST_SHARE
from foveax.data.load import absolute_name, is_of_pictures, load
from foveax.data.pictures import Fit
from foveax.data.scenes import scenes
from foveax.learning.hyperparameters import LearningConfig
from foveax.pipelines.standard import PipelineConfig
from foveax.runs.scanpaths import absolute_source, follow_scanpaths, parse_source
from foveax.runtime.files import read_json, read_text

Task = Literal["original", "translated", "cluttered", "scenes", "debris"]
MOST_STEPS = 2**31 - 1
"""Steps are counted in 32 bits."""


@dataclasses.dataclass(frozen=True)
class TrainingConfig(Checked):
    """All that decides the outcome of a training of the standard pipeline, on one kind of device.

    Raises:
      InputError: for a value out of range; the message names the field.
    """

    data: str = "mnist5k"
    """mnist5k (bundled), mnist or another TFDS name, or a path: an .npz file, a folder of .npy files, one that holds a
    folder of pictures for each class, or a CSV file that lists pictures."""
    fit: Fit = "pad"
    """How pictures of several sizes become images of one: padded, with the eye kept to the picture; cropped about the
    centre; or stretched."""
    side: int = bounded(0, 0, 20_000)
    """Side of the images of pictures in pixels; 0: as large as they are or, if they differ, as the longest, at most
    512."""
    test_share: float = bounded(TEST_SHARE, 0.0, 0.9, above=0.0)
    """Share of the pictures of each class that is for tests, where no folder says which."""
    images: int = bounded(300_000, 1, 10**12)
    """How many training images are shown in all."""
    batch: int = bounded(32, 1, 10**6)
    """Images per step."""
    seed: int = bounded(0, 0, 2**32 - 1)
    """Of the parameters, the order of the images, and the eye's exploration."""
    shift: int = bounded(2, 0, 1000)
    """Augmentation: random shifts by up to this many pixels."""
    warp: float = bounded(0.0, 0.0, 1000.0)
    """Augmentation: smooth random displacements of this many pixels (standard deviation)."""
    mirror: bool = False
    """Augmentation: half of the images mirrored left to right."""
    rescale: float = bounded(0.0, 0.0, 10.0)
    """Augmentation: images magnified or shrunk about their centre by up to this share."""
    colour: float = bounded(0.0, 0.0, 1.0)
    """Augmentation: light, contrast and saturation changed by up to this share."""
    cutout: int = bounded(0, 0, 10_000)
    """Augmentation: a square of this many pixels a side cut out at a random place."""
    mix: float = bounded(0.0, 0.0, 100.0)
    """Augmentation: images mixed in pairs, shares from a beta distribution with both parameters of this size."""
    task: Task = "original"
    """The images as they are; each at a random place of a larger canvas (translated); or so, among pieces of others
    (cluttered); or each of a random size, a sixth to a half of the canvas, on a texture among scrambled pictures
    (scenes); or each, no larger, under fragments of digits (debris)."""
    canvas: int = bounded(60, 1, 100_000)
    """Side of the canvas in pixels."""
    pieces: int = bounded(4, 0, 10_000)
    """Pieces of other images on a cluttered canvas, scrambled pictures in a scene, or fragments of digits (debris): 10
    are light, 30 moderate, 50 heavy."""
    validation: int = bounded(0, 0, 10**9)
    """Training images that are held out, and take the place of the test images; 0 trains on all."""
    validate: float = bounded(0.0, 0.0, 0.9)
    """Share of the training images, of each class alike, that is held out and judged while training (val_accuracy)."""
    validate_every: int = bounded(10_000, 1, 10**12)
    """Training images between two such validations."""
    keep: Literal["last", "best"] = "last"
    """The parameters that a training ends with: the last, or those of the best validation."""
    early_stopping: int = bounded(0, 0, 10**9)
    """Consecutive validations without a better one that end a training; 0 trains on."""
    link: tuple[str, ...] = ()
    """Links to add to the pipeline, each as "module.port -> module.port"; one into the same port is replaced."""
    unlink: tuple[str, ...] = ()
    """Ports, each as module.port, whose links are removed from the pipeline."""
    freeze: tuple[str, ...] = ()
    """Modules, or layers in them, whose parameters stay as they begin, such as "classifier.encoder"."""
    fixations: str = "learned"
    """What moves the eye of any pipeline, all else unchanged: learned, the pipeline's own eye; random, centre,
    centre_biased, corners or salient; a file of scanpaths (.npz); or permuted:FILE, in which each image gets another
    image's."""
    pipeline: PipelineConfig = dataclasses.field(default_factory=PipelineConfig)
    """The standard pipeline."""
    learning: LearningConfig = dataclasses.field(default_factory=LearningConfig)
    """How it learns."""

    def __post_init__(self):
        super().__post_init__()
        object.__setattr__(self, "data", absolute_name(self.data))
        if self.steps > MOST_STEPS:
            raise InputError(f"images must be at most {MOST_STEPS} batches; got {self.steps} of {self.batch}")
        object.__setattr__(self, "fixations", absolute_source(self.fixations))
        if self.fixations != "learned" and self.pipeline.policy != "learned":
            both = f"got {self.fixations!r} and {self.pipeline.policy!r}"
            raise InputError(f"one of fixations and policy must say what moves the eye; {both}")
        if parse_source(self.fixations).file and (self.task != "original" or self.mirror):
            raise InputError("fixations from a file must be of images that stay where they are; got a task, or mirror")
        if not self.validate and (self.keep == "best" or self.early_stopping):
            raise InputError("validate must be more than 0 to keep the best, or to stop early; got 0.0")

    def load(
        self,
        name: str = "",
        *,
        data_dir: str | Path | None = None,
        download: bool = False,
        like: Sequence[int] | None = None,
    ) -> Data:
        """The data that this configuration names, or others, loaded as it says (`foveax.load`); not yet prepared."""
        options: dict[str, Any] = {"data_dir": data_dir or None, "download": download, "like": like}
        if not name or is_of_pictures(name):
            options |= {"fit": self.fit, "side": self.side, "test_share": self.test_share}
        return load(name or self.data, **options)

    def follow_scanpaths(self, data: Data) -> Data:
        """The data with the scanpaths of the file that `fixations` names, if it is one; not yet prepared."""
        return follow_scanpaths(data, self.fixations, first=self.pipeline.first == "given")

    def prepare(self, data: Data) -> Data:
        """The data as this configuration shows them: held out, augmented, on their canvas.

        Raises `InputError` if the images do not fit the canvas, or none is left to train on.
        """
        data = held_out(data, self.validation) if self.validation else data
        data = data._replace(train=held_out_by_class(data, self.validate).train) if self.validate else data
        data = mirrored(data) if self.mirror else data
        data = rescaled(data, factor=self.rescale) if self.rescale else data
        data = shifted(data, pixels=self.shift) if self.shift else data
        data = warped(data, pixels=self.warp) if self.warp else data
        data = recoloured(data, strength=self.colour) if self.colour else data
        data = cut_out(data, pixels=self.cutout) if self.cutout else data
        data = mixed(data, strength=self.mix) if self.mix else data
        return self.prepare_test(data)

    def prepare_test(self, data: Data) -> Data:
        """Another set as this configuration shows its test split: on a canvas it must fit, if the task has one."""
        told = self.pipeline.policy == "told"
        if self.task == "scenes":
            data = scenes(data, side=self.canvas, distractors=self.pieces, told=told)
        elif self.task == "debris":
            data = debris(data, pieces=self.pieces)
        elif self.task != "original":
            pieces = self.pieces if self.task == "cluttered" else 0
            data = cluttered(data, side=self.canvas, pieces=pieces, told=told)
        return begun_anywhere(data) if self.pipeline.first == "random" else data

    def validation_split(self, data: Data) -> Split:
        """The images that a training is judged on while it runs, shown as test images are; empty if there are none.

        The data are as they were before `prepare`.
        """
        if not self.validate:
            return {}
        data = held_out(data, self.validation) if self.validation else data
        return self.prepare_test(held_out_by_class(data, self.validate)).test

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        """The configuration that `to_json` wrote, or that the ``config.json`` of a run holds."""
        of_run = isinstance(values, Mapping) and {"format", "config"} <= values.keys()
        return super().from_json(values["config"] if of_run else values)

    @property
    def steps(self) -> int:
        """Training steps in all; at least one."""
        return max(self.images // self.batch, 1)

    @property
    def validation_steps(self) -> int:
        """Training steps between two validations; 0 without any."""
        return max(self.validate_every // self.batch, 1) if self.validate else 0


def read_config(file: Path) -> TrainingConfig:
    """A configuration from a file, JSON or YAML, as `TrainingConfig.from_json` takes it; what it lacks is default.

    Raises `InputError` if it cannot be read, or holds what a configuration has not.
    """
    if file.suffix not in (".yaml", ".yml"):
        return TrainingConfig.from_json(read_json(file.resolve()))
    import yaml

    try:
        return TrainingConfig.from_json(yaml.safe_load(read_text(file.resolve())))
    except yaml.YAMLError as error:
        raise InputError(f"{file} must be YAML: {' '.join(str(error).split())}") from None


@dataclasses.dataclass(frozen=True)
class ExecutionConfig(Checked):
    """How a training is executed; its outcome does not depend on it, but for the rounding of sums.

    Raises:
      InputError: for a value out of range; the message names the field.
    """

    data_dir: str = ""
    """Where TFDS sets lie; by default $TFDS_DATA_DIR, or ~/tensorflow_datasets."""
    download: bool = False
    """Download and prepare a TFDS set that is not there."""
    dispatch: int = bounded(100, 1, 10**6)
    """Steps per call of the compiled program, and per line of metrics."""
    resident_megabytes: int = bounded(2048, 0, 10**9)
    """Training data up to this size are kept on the device; larger ones are streamed."""
    devices: int = bounded(1, 0, 10**6)
    """Devices of each process, among which every batch is divided; 0 takes all."""
    patience: float = bounded(0.0, 0.0)
    """Seconds without a finished dispatch after which the process is ended, with a stack dump; 0 waits for ever."""

    def fit_options(self, config: TrainingConfig) -> dict[str, Any]:
        """Arguments of `foveax.fit`, by name."""
        resident = self.resident_megabytes * 2**20
        options = {"batch": config.batch, "dispatch": self.dispatch, "resident_bytes": resident}
        return {**options, "period": config.validation_steps}


_PAID_AT_LAST = PipelineConfig(contrast=False, core="rnn", features=128, reward="correct_last", scale_start=0.7)
PRESETS = {
    "default": TrainingConfig(),
    "mnist": TrainingConfig(
        data="mnist",
        images=100_000,
        shift=0,
        pipeline=PipelineConfig(spread=1.3, scale_start=0.05, scale_end=0.05, pathwise=3.0),
    ),
    "canvas": TrainingConfig(
        data="mnist",
        images=400_000,
        batch=64,
        shift=0,
        task="translated",
        pipeline=PipelineConfig(
            crop_size=12,
            scales=3,
            kernels=32,
            combine="add",
            scale_start=0.3,
            saccade="relative",
            saccader_sees="both",
            glimpse_reward=1.0,
        ),
        learning=LearningConfig(policy_learning_rate=2e-3, discount=0.0),
    ),
    "mnist_long": TrainingConfig(
        data="mnist",
        images=4_000_000,
        batch=128,
        shift=1,
        warp=1.0,
        pipeline=PipelineConfig(core="rnn", layers=2, scale_end=0.05),
    ),
    "hardened": TrainingConfig(
        data="mnist",
        images=400_000,
        batch=64,
        shift=1,
        pipeline=PipelineConfig(
            saturation=40.0,
            contrast=False,
            kernels=16,
            kernel_size=3,
            kernel_stride=1,
            spread=1.3,
            scale_start=0.05,
            scale_end=0.05,
            pathwise=3.0,
        ),
        learning=LearningConfig(learning_rate=4e-3, adversary=0.3, adversary_steps=3),
    ),
    "ram": TrainingConfig(
        data="mnist",
        images=1_000_000,
        pipeline=dataclasses.replace(_PAID_AT_LAST, crop_size=8, combine="add", exploration="fixed"),
        learning=LearningConfig(ppo=0.0, reinforce=1.0, discount=1.0),
    ),
    "report": TrainingConfig(
        data="mnist",
        images=100_000,
        shift=0,
        unlink=("classifier.fixation",),
        pipeline=dataclasses.replace(_PAID_AT_LAST, exploration="learned"),
        learning=LearningConfig(discount=0.9),
    ),
}
"""Named configurations: the defaults; full MNIST in a minute, where digits are in the middle and the eye need not
explore; on a canvas, where it must; MNIST in minutes to hours; against an adversary; close to RAM (Mnih et al. 2014);
close to the original report."""
