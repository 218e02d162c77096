"""The commands and their flags, one class each: ``foveax train``, ``foveax evaluate``, ``foveax analyze``, ..."""

import dataclasses

from tyro.conf import OmitArgPrefixes, Positional

from foveax.training.config import Config


@dataclasses.dataclass(frozen=True)
class Train:
    """Train a pipeline, and test it beside its controls."""

    config: OmitArgPrefixes[Config]
    preset: str = "default"
    """Where the flags start from: default, mnist, mnist_long, ram or report."""
    out: str = ""
    """Run directory; a run of the same configuration there is continued. By default nothing is written."""
    fork: str = ""
    """Another run, from whose newest checkpoint this one begins, under the configuration given here."""
    download: bool = False
    """Download and prepare a TFDS set that is not there."""
    programs: str = ""
    """Private folder in which compiled programs are kept, so that the next start is quick."""
    devices: int = 1
    """Devices of each process, among which every batch is divided; 0 takes all."""
    coordinator: str = ""
    """HOST:PORT of process 0, where several processes train together; srun and mpirun need none of these three."""
    num_processes: int = 0
    """How many processes there are, on all machines."""
    process_id: int = -1
    """Which of them this is, from 0."""
    patience: float = 1800.0
    """Seconds without a finished dispatch after which the process is ended, with a stack dump; 0 waits for ever."""


@dataclasses.dataclass(frozen=True)
class Evaluate:
    """Test a run beside its controls again, and print the table."""

    run: Positional[str]
    """Run directory."""


@dataclasses.dataclass(frozen=True)
class Diagnose:
    """Say whether a run's eye does anything: its controls, its measures, and a verdict; writes diagnosis.json."""

    run: Positional[str]
    """Run directory."""
    rounds: int = 12
    """Of the search for the best fixed sequence."""
    whole_image: int = 300_000
    """Images on which a network that sees the whole image is trained, for comparison, at most the run's; 0: none."""


@dataclasses.dataclass(frozen=True)
class Analyze:
    """Analyse where a run looks: a folder of tables, figures and one page with everything, beside its controls."""

    run: Positional[str]
    """Run directory."""
    out: str = ""
    """The folder; by default analysis in the run directory."""
    people: str = ""
    """A CSV file of people's fixations on the first test images, with which the run's are compared."""


@dataclasses.dataclass(frozen=True)
class Recipe:
    """Run a named experiment, and print what it gives beside the figures that others report."""

    name: Positional[str]
    """table1, ram, translated, cluttered, default, collapse, known_answers, shapes or trainers."""
    out: str = ""
    """Folder of results and runs, which continues what is there; by default runs/NAME."""
    data_dir: str = ""
    """Where TFDS sets lie; by default $TFDS_DATA_DIR, or ~/tensorflow_datasets."""
    only: str = ""
    """Run the rows whose name contains this."""


@dataclasses.dataclass(frozen=True)
class Population:
    """Train many seeds, and values of hyper-parameters, as one program; print mean, deviation and worst seed."""

    config: OmitArgPrefixes[Config]
    preset: str = "default"
    """Where the flags start from: default, mnist, mnist_long, ram or report."""
    seeds: int = 5
    """How many, counted on from the configuration's."""
    vary: tuple[str, ...] = ()
    """NAME=VALUE,VALUE,...: values of a hyper-parameter, any float among the flags; every combination is trained."""
    out: str = ""
    """A JSON file for each member's configuration and test accuracy; by default none is written."""
    run: str = ""
    """Run directory; the same population there is continued. By default the training itself is not kept."""
    devices: int = 1
    """Devices among which the members are divided and, where there are more, every batch; 0: all."""


@dataclasses.dataclass(frozen=True)
class Export:
    """Write what a run does with a split as .npz: probabilities, predicted, label, fixations."""

    run: Positional[str]
    """Run directory."""
    split: str = "test"
    """train or test."""
    file: str = ""
    """Where to; by default SPLIT.npz in the run directory."""


@dataclasses.dataclass(frozen=True)
class Verify:
    """Train the first steps of a run again, in memory, and compare them with its records; they may differ (code 1)."""

    run: Positional[str]
    """Run directory."""
    steps: int = 300
    """How many, up to the last record among them; at least the first record."""
