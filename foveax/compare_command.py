"""The command ``foveax compare``: people and a run on the same trials, in a folder of tables, figures and one page."""

import dataclasses
import sys
from typing import Literal

from tyro.conf import OmitArgPrefixes, Positional

from foveax._checked import Checked, bounded
from foveax._types import InputError
from foveax.analysis.table import FixationTable
from foveax.commands import NO_PEOPLE, OWN_DATA, PeopleFlags, RunFlags, output_folder
from foveax.data.dataset import Split
from foveax.gaze.attention_mnist import attention_mnist_stimuli, read_attention_mnist
from foveax.gaze.problems import check_gaze
from foveax.gaze.pysaliency import read_pysaliency
from foveax.gaze.screen import image_screen
from foveax.runs.load import LoadedRun
from foveax.study.cloning import clone, split_trials
from foveax.study.compare import Eye
from foveax.study.compare import compare as compare_eyes
from foveax.study.following import Follower, best_scale, make_follower
from foveax.study.presentation import as_run_takes, check_labels, number_images, presentation_notes, read_stimuli
from foveax.study.trials import Trials, trials_of


@dataclasses.dataclass(frozen=True)
class StudyFlags(Checked):
    """Choices of the comparison of people and a run."""

    people_format: Literal["csv", "attention_mnist", "pysaliency"] = "csv"
    """The format of the file of people: CSV, with the flags above; mnist.json of AttentionMNIST; or HDF5 of pysaliency,
    in pixels of the images."""
    stimuli: str = ""
    """An .npz file of the images that people saw, image, label and, if the file of people names them, stimulus; by
    default the run's test images or, of AttentionMNIST, MNIST's own."""
    first_pixel: int = bounded(1, 0, 1)
    """The number of the first pixel in the coordinates of AttentionMNIST."""
    fixations: int = bounded(0, 0, 1000)
    """The number of fixations of each trial that are compared; 0: the one with which the most remain."""
    aperture: int = bounded(0, 0, 100_000)
    """The side in pixels of the square that people saw at each fixation, where it is known."""
    passes: int = bounded(4, 1, 1000)
    """Samples of the policy on each trial."""
    clone: bool = False
    """Also fit the eye to half of the people and images, alone and mixed with reward, and judge all on the others."""
    clone_share: float = bounded(0.1, 0.0, 1.0, above=0.0)
    """The share of people's likelihood in the loss of the eye that is also fitted to reward."""
    clone_steps: int = bounded(2_000, 1, 10**7)
    """Steps of each fit."""
    seed: int = bounded(0, 0, 2**32 - 1)
    """The seed of all random numbers."""


STUDY = StudyFlags()


def compare(
    run: Positional[str],
    /,
    flags: OmitArgPrefixes[RunFlags] = OWN_DATA,
    *,
    gaze: OmitArgPrefixes[PeopleFlags] = NO_PEOPLE,
    study: OmitArgPrefixes[StudyFlags] = STUDY,
    out: str = "",
) -> None:
    """Compare people with a run on the same trials, both ways, next to controls and the ceiling between people.

    Args:
      run: Run directory.
      out: The folder; by default people in the run directory.
    """
    from foveax.study.page import verdicts, write_study  # imports matplotlib

    if not gaze.people:
        raise InputError("people must be named, with --people FILE; got none")
    loaded = flags.load(run)
    table, stimuli = _table_and_stimuli(gaze, study, loaded, flags.data_dir)
    problems = check_gaze(table, images=stimuli["image"])
    trials = trials_of(table, stimuli, length=study.fixations)
    mouse = study.people_format == "attention_mnist"
    notes = presentation_notes(loaded, trials, aperture=study.aperture, mouse=mouse)
    kinds = dict.fromkeys(problem.kind for problem in problems)
    notes += [next(each.sentence for each in problems if each.kind == kind) + "." for kind in kinds]
    follower = make_follower(loaded.graph, trials.fixations.shape[1])
    eyes, trials, more = _eyes(loaded, follower, trials, study)
    comparison = compare_eyes(
        follower, eyes, trials, passes=study.passes, aperture=study.aperture, seed=study.seed, report=_report
    )
    folder = output_folder(out, loaded, "people")
    title = f"{loaded.path.absolute().name} and people"
    page = write_study(comparison, folder, title=title, notes=notes + more)
    for sentence in verdicts(comparison):
        print(sentence)
    print(f"tables, figures and the page are in {folder}; open {page}")


def _report(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _table_and_stimuli(
    gaze: PeopleFlags, study: StudyFlags, run: LoadedRun, data_dir: str
) -> tuple[FixationTable, Split]:
    """People's fixations, whose column ``image`` numbers the stimuli, and these."""
    names: tuple[str, ...] = ()
    stimuli: Split = dict(run.data.test)
    if study.stimuli:
        stimuli, names = read_stimuli(study.stimuli, run)
    elif study.people_format == "attention_mnist":
        stimuli = as_run_takes(attention_mnist_stimuli(data_dir or None), run)
    height, width = stimuli["image"].shape[1:3]
    if study.people_format == "attention_mnist":
        table = read_attention_mnist(gaze.people, first_pixel=study.first_pixel)
    elif study.people_format == "pysaliency":
        table = read_pysaliency(gaze.people, image_screen(height, width))
    else:
        read = gaze.table(missing="keep")
        assert read is not None
        table = read
    table = number_images(table, names) if names else table
    check_labels(table, stimuli)
    return table, stimuli


def _eyes(
    run: LoadedRun, follower: Follower, trials: Trials, study: StudyFlags
) -> tuple[tuple[Eye, ...], Trials, list[str]]:
    """The eyes to be compared, the trials to judge them on, and sentences on how they were fitted."""
    own = Eye("model", run.params, {})
    if not study.clone:
        return (own,), trials, []
    fitting, test = split_trials(trials, seed=study.seed)
    name = follower.scale_name
    scale = {name: best_scale(follower, run.params, fitting)[0]} if name else {}
    eyes = [own]
    for title, share in (("cloned", 1.0), ("cloned and rewarded", study.clone_share)):
        _report(f"{title}: fitting the eye to {len(fitting.image):,} trials")
        cloned = clone(
            follower.graph,
            run.params,
            fitting,
            share=share,
            data=run.data,
            learning=run.config.learning,
            hyper=scale,
            steps=study.clone_steps,
            batch=min(64, run.config.batch),
            seed=study.seed,
        )
        hyper = {name: best_scale(follower, cloned.params, fitting)[0]} if name else {}
        eyes.append(Eye(title, cloned.params, hyper))
    others = ", of other participants" if fitting.has_subjects else ""
    note = (
        f"The eye was also fitted to {len(fitting.image):,} trials on {len(fitting.names)} other images{others}, "
        f"through the same classifier: alone (cloned), and with a weight of {1 - study.clone_share:g} on reward "
        f"(cloned and rewarded). All eyes are judged on the trials that are left: {len(test.image):,}, on "
        f"{len(test.names)} images."
    )
    return tuple(eyes), test, [note]
