"""The commands, one function each: ``foveax train``, ``foveax evaluate``, ``foveax analyze``, ..."""

import contextlib
import csv
import dataclasses
import functools
import json
import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import jax
import numpy as np
import tyro
from tqdm import tqdm
from tyro.conf import OmitArgPrefixes, Positional

from foveax._types import InputError
from foveax.analysis import FixationTable, read_csv
from foveax.analysis.bootstrap import Interval
from foveax.analysis.gaze_file import Times, Units
from foveax.data.pictures import picture_files, read_picture
from foveax.evaluation.controls import evaluate_with_controls
from foveax.evaluation.cost import decision_cost
from foveax.evaluation.diagnosis import diagnose as measure
from foveax.evaluation.diagnosis import format_diagnosis, format_gain, paired_gain
from foveax.evaluation.evaluate import (
    Evaluation,
    Report,
    as_arrays,
    class_balance,
    format_balance,
    format_table,
    scores,
    table_title,
    watched,
)
from foveax.evaluation.evaluate import evaluate as show
from foveax.evaluation.headroom import format_headroom
from foveax.evaluation.headroom import headroom as measure_headroom
from foveax.evaluation.retraining import retrained_controls
from foveax.evaluation.whole_image import whole_image_evaluation, whole_image_learning, whole_image_pipeline
from foveax.pipelines.named import import_object, import_pipeline
from foveax.recipes import RECIPES, Recipe, format_results, run_recipe
from foveax.runs.config import ExecutionConfig, TrainingConfig
from foveax.runs.export import export_function, export_params
from foveax.runs.load import LoadedRun, load_run
from foveax.runs.loggers import logger
from foveax.runs.run import Listener
from foveax.runs.sources import evaluate_sources, export_scanpaths
from foveax.runs.summary import Result
from foveax.runs.train import train as train_run
from foveax.runs.verify import verify as train_again
from foveax.runtime.compilation_cache import keep_compilation_cache
from foveax.runtime.files import write_atomically, write_json, write_npz
from foveax.runtime.processes import is_main, start_processes
from foveax.sweeps.population import format_population, train_population
from foveax.sweeps.sweep import sweep as run_sweep

Control = Literal["best_sequence", "another_image", "random", "centre", "corners", "salient"]
BAR: dict[str, Any] = {"unit": " images", "unit_scale": True, "dynamic_ncols": True}
LONGEST_NAME = 100
"""Characters of a data set's name in that of a file."""


@dataclasses.dataclass(frozen=True)
class PipelineFlags:
    """A pipeline of your own."""

    pipeline: str = ""
    """A function (data) -> foveax.Graph: FILE.py:FUNCTION or package.module:FUNCTION."""
    pipeline_args: tuple[str, ...] = ()
    """Its keyword arguments, each as name=value."""

    def options(self) -> dict[str, Any]:
        """The pipeline, imported, as an argument by name; None without one."""
        if self.pipeline_args and not self.pipeline:
            raise InputError("pipeline arguments must go with a pipeline; got none: name it with --pipeline")
        return {"pipeline": import_pipeline(self.pipeline, self.pipeline_args) if self.pipeline else None}


@dataclasses.dataclass(frozen=True)
class RunFlags:
    """What a run needs to be read."""

    source: OmitArgPrefixes[PipelineFlags] = PipelineFlags()
    data: str = ""
    """Another data set to judge the run on, as for train; by default the run's own."""
    data_dir: str = ""
    """Where TFDS sets lie; by default $TFDS_DATA_DIR, or ~/tensorflow_datasets."""

    def options(self) -> dict[str, Any]:
        """Arguments by name of what reads a run, but for other data."""
        return {"data_dir": self.data_dir or None, **self.source.options()}

    def load(self, run: str) -> LoadedRun:
        """The run, with a note where it is judged on other data."""
        loaded = load_run(run, new_data=self.data or None, **self.options())
        if loaded.judged_on:
            print(f"judged on {loaded.judged_on}, on which it was not trained")
        return loaded


OWN_DATA = RunFlags()
PATIENT = ExecutionConfig(patience=1800.0)


@dataclasses.dataclass(frozen=True)
class TrainingFlags:
    """What a training needs."""

    config: OmitArgPrefixes[TrainingConfig]
    execution: OmitArgPrefixes[ExecutionConfig] = PATIENT
    source: OmitArgPrefixes[PipelineFlags] = PipelineFlags()
    preset: str = "default"
    """Where the flags start from: default, mnist, canvas, mnist_long, hardened, ram or report."""
    config_file: Annotated[str, tyro.conf.arg(name="config")] = ""
    """Where the flags start from instead: a file, JSON or YAML, as foveax config prints it, or a run's config.json."""
    out: str = ""
    """Run directory; a run of the same configuration there is resumed. By default nothing is written."""

    def options(self) -> dict[str, Any]:
        """Arguments by name of what trains."""
        return {"out": self.out or None, "execution": self.execution, **self.source.options()}


def train(
    flags: OmitArgPrefixes[TrainingFlags],
    *,
    fork: str = "",
    extend: str = "",
    init_from: str = "",
    evaluate: bool = True,
    log: Literal["nowhere", "tensorboard", "wandb"] = "nowhere",
    compilation_cache: str = "",
    coordinator: str = "",
    num_processes: int = 0,
    process_id: int = -1,
) -> None:
    """Train a pipeline, and test it next to its controls.

    Args:
      fork: Another run, from whose newest checkpoint this one begins, under the configuration given here.
      extend: Another run, to go on for more --images in a directory of its own: as fork, and its configuration is where
        the flags start from. Schedules are those of the new length.
      init_from: Another run, or a file of safetensors, with whose parameters this one begins as far as they fit.
      evaluate: Evaluate at the end.
      log: Hand the metrics on: to TensorBoard, in the run directory, or to Weights & Biases.
      compilation_cache: Private folder for compiled programs, so that the next start is quick.
      coordinator: HOST:PORT of process 0, where several processes train; srun and mpirun need none of these three.
      num_processes: How many processes there are, on all machines.
      process_id: Which of them this is, from 0.
    """
    if bool(fork) + bool(extend) + bool(init_from) > 1:
        raise InputError("one of --fork, --extend and --init-from must be given; got more")
    if compilation_cache:
        keep_compilation_cache(Path(compilation_cache))
    start_processes(coordinator, num_processes, process_id)
    with contextlib.ExitStack() as opened:
        progress, report = opened.enter_context(progress_bars(flags.config))
        listeners = [progress]
        if log != "nowhere":
            listeners.append(opened.enter_context(logger(log, flags.config, flags.out or None)))
        origins = {"fork": fork or extend or None, "init_from": init_from or None}
        outcome = {"evaluate": evaluate, "listeners": listeners, "report": report}
        result = train_run(flags.config, **origins, **outcome, **flags.options())
    if is_main():
        _report(result)
        if not flags.out:
            print("nothing is kept of this training; --out DIR keeps the next")


def config(flags: OmitArgPrefixes[TrainingFlags]) -> None:
    """Print the configuration that the flags make, as JSON, for --config."""
    print(json.dumps(flags.config.to_json(), indent=2))


def train_sb3(flags: OmitArgPrefixes[TrainingFlags], *, algorithm: Literal["ppo", "a2c", "sac"] = "ppo") -> None:
    """Train the classifier while stable-baselines3 trains the saccader in its environment.

    Args:
      algorithm: Of stable-baselines3, as it comes.
    """
    from foveax.environments.sb3_training import train_sb3 as train_with_sb3

    if flags.source.pipeline:
        raise InputError("pipeline must be the standard one for train-sb3; got one of your own")
    with progress_bars(flags.config) as (progress, _):
        result = train_with_sb3(
            flags.config, algorithm, out=flags.out or None, listeners=[progress], execution=flags.execution
        )
    _report(result)


def evaluate(
    run: Positional[str], /, flags: OmitArgPrefixes[RunFlags] = OWN_DATA, *, fixations: tuple[str, ...] = ()
) -> None:
    """Test a run next to its controls again, and print the table.

    Args:
      run: Run directory.
      fixations: Also the same network under other fixations, each random, centre, centre_biased, corners, salient,
        permuted (its own, on other images), a file of scanpaths, a table of people's fixations, or permuted:FILE.
    """
    _tested(flags.load(run), fixations)


def diagnose(
    run: Positional[str],
    /,
    flags: OmitArgPrefixes[RunFlags] = OWN_DATA,
    *,
    whole_image: int = 300_000,
    retrain: tuple[Control, ...] = (),
    headroom: bool = False,
) -> None:
    """Report whether a run's eye does anything: its controls, its measures, and a verdict; writes diagnosis.json.

    Args:
      run: Run directory.
      whole_image: Images on which a network that sees the whole image is trained, for comparison, at most the run's; of
        residual blocks, if the run has them: the same with one glimpse; 0: none.
      retrain: Controls to train the pipeline anew with, each as long as the run: what is it worth to learn to look?
      headroom: Also how much a better choice of each place could gain, as far as what the eye reads can tell.
    """
    loaded = flags.load(run)
    config, data = loaded.config, loaded.data
    evaluations, rows = _tested(loaded)
    height, width = data.test["image"].shape[1:3]
    measures = measure(evaluations, loaded.graph, height=height, width=width)
    print(format_diagnosis(measures))
    report: dict[str, Any] = {"judged_on": loaded.judged_on, "test": rows, "diagnosis": measures}
    if whole_image and loaded.graph.roles.belief and not loaded.judged_on:
        images = min(whole_image, config.images)
        graph = whole_image_pipeline(data, config.pipeline)
        options: dict[str, Any] = {"images": images, "batch": config.batch, "seed": config.seed}
        learning = whole_image_learning(config.pipeline, config.learning)
        whole = whole_image_evaluation(graph, data, learning=learning, **options)
        report["whole_image"] = float(whole.accuracy[-1])
        report["multiply_adds"] = {"run": decision_cost(loaded.graph), "whole_image": decision_cost(graph)}
        kind = "the same network" if config.pipeline.blocks else "a convolutional network"
        print(f"{kind} that sees the whole image: {100 * report['whole_image']:.2f} %")
        millions = {name: f"{cost / 1e6:,.1f}" for name, cost in report["multiply_adds"].items()}
        print(f"million multiply-adds an image: {millions['run']}, of the whole image {millions['whole_image']}")
    if headroom:
        report["headroom"] = {name: _headroom(loaded, name) for name in loaded.graph.agents}
    if retrain:
        report["retrained"] = _retrained(loaded, evaluations, [name.replace("_", " ") for name in retrain])
    write_json(loaded.path / f"diagnosis{suffix(loaded)}.json", report)


def _headroom(run: LoadedRun, agent: str) -> list[dict[str, Any]]:
    """The headroom of an agent's saccades, which is printed."""
    rows = measure_headroom(run.graph, run.params, run.data.test, key=jax.random.key(run.config.seed), agent=agent)
    print(f"{agent}: {format_headroom(rows)}")
    return [
        {name: value._asdict() if isinstance(value, Interval) else value for name, value in row._asdict().items()}
        for row in rows
    ]


def _retrained(run: LoadedRun, evaluations: dict[str, Evaluation], controls: Sequence[str]) -> dict[str, Any]:
    """The scores of controls with a classifier of their own, and the run's gain over each, which are printed."""
    config, data = run.config, run.data
    height, width = data.test["image"].shape[1:3]
    trained = retrained_controls(
        run.graph, run.params, data, evaluations, learning=config.learning, steps=config.steps, batch=config.batch,
        seed=config.seed, controls=controls,
    )  # fmt: skip
    own, rows = next(iter(evaluations.values())), {}
    for name, evaluation in trained:
        gain = paired_gain(own, evaluation)
        rows[name] = {**scores(evaluation, height=height, width=width), "gain": gain._asdict()}
        last = f"{100 * evaluation.accuracy[-1]:.2f}; the run gains {format_gain(gain)}"
        print(f"{name}: {last}")
    return rows


@dataclasses.dataclass(frozen=True)
class PeopleFlags:
    """People's fixations."""

    people: str = ""
    """A CSV file of people's fixations on test images, to compare with."""
    columns: tuple[str, ...] = ()
    """The file's names of columns where they differ from ours, each as ours=theirs: x=x_px glimpse=fixation."""
    units: Units = "fraction"
    """Of x and y: fractions of the image, pixels of the screen, or -1 to 1 about the centre."""
    image_rect: tuple[float, ...] = ()
    """Where the image was on the screen, in pixels: left top width height."""
    times: Times = "s"
    """The unit of onsets and durations."""

    def table(self, missing: Literal["omit", "keep"] = "omit") -> FixationTable | None:
        """The fixations, with or without rows that have no place; None without a file."""
        if not self.people:
            return None
        parts = [name.partition("=") for name in self.columns]
        columns = {ours: theirs for ours, _, theirs in parts}
        rect: Any = self.image_rect or None
        options: dict[str, Any] = {"units": self.units, "image_rect": rect, "times": self.times, "missing": missing}
        return read_csv(self.people, columns=columns, **options)


NO_PEOPLE = PeopleFlags()


def analyze(
    run: Positional[str],
    /,
    flags: OmitArgPrefixes[RunFlags] = OWN_DATA,
    *,
    gaze: OmitArgPrefixes[PeopleFlags] = NO_PEOPLE,
    out: str = "",
) -> None:
    """Analyse where a run looks: a folder of tables, figures and one page with everything, next to its controls.

    Args:
      run: Run directory.
      out: The folder; by default analysis in the run directory.
    """
    from foveax.report import write_report  # imports matplotlib

    folder = write_report(run, out or None, people=gaze.table(), new_data=flags.data or None, **flags.options())
    print(f"tables, figures and the page are in {folder}; open {folder / 'report.html'}")


def population(
    flags: OmitArgPrefixes[TrainingFlags], *, seeds: int = 5, vary: tuple[str, ...] = (), table: str = ""
) -> None:
    """Train many seeds, and values of hyper-parameters, as one program; print mean, deviation and worst seed.

    Args:
      seeds: How many, counted on from the configuration's.
      vary: NAME=VALUE,VALUE,...: values of a number among the flags, or of a hyper-parameter of your own pipeline;
        every combination is trained.
      table: A JSON file for each member's configuration and test accuracy; by default none is written.
    """
    values = dict(_values(text) for text in vary)
    trained = train_population(flags.config, seeds=seeds, vary=values, **flags.options())
    print(format_population(trained))
    if table:
        members = [
            {"config": member.config.to_json(), "pipeline": member.pipeline.arguments, "test": accuracy}
            for member, accuracy in zip(trained.members, trained.accuracy.tolist(), strict=True)
        ]
        write_json(Path(table), {"members": members})


def sweep(flags: OmitArgPrefixes[TrainingFlags], *, vary: tuple[str, ...] = (), controls: bool = True) -> None:
    """Train every combination of values of any flags, those of one program together; print a table, also as CSV.

    Args:
      vary: NAME=VALUE,VALUE,...: values of a flag of the configuration, or of an argument of your own pipeline.
      controls: Evaluate each member's controls too.
    """
    grid = dict(_grid(text) for text in vary)
    report = functools.partial(print, file=sys.stderr, flush=True)
    table = run_sweep(flags.config, None, grid, controls=controls, report=report, **flags.options())
    print(table.to_string(index=False))
    if flags.out:
        print(f"the table is in {Path(flags.out) / 'sweep.csv'}")


def recipe(name: Positional[str], /, *, out: str = "", data: str = "", data_dir: str = "", only: str = "") -> None:
    """Run a named experiment, seed by seed, and print it next to published figures; a stopped one is resumed.

    Args:
      name: One of default, mnist_kernels, table1, ram, translated, cluttered, collapse, known_answers, shapes,
        circle_square, fashion, trainers; or a foveax.recipes.Recipe of your own, as FILE.py:NAME.
      out: The folder of its runs and results; by default runs/NAME.
      data: A set in place of those that its rows name: a file, a folder of pictures, or a TFDS name.
      data_dir: Where TFDS sets lie; by default $TFDS_DATA_DIR, or ~/tensorflow_datasets.
      only: Run the rows whose name contains this.
    """
    chosen = RECIPES.get(name) or (import_object(name, "recipe") if ":" in name else None)
    if not isinstance(chosen, Recipe):
        raise InputError(f"recipe must be one of {', '.join(RECIPES)}, or FILE.py:NAME of a Recipe; got {name!r}")
    folder = Path(out or Path("runs") / re.sub(r"[^\w.-]+", "-", name))
    report = functools.partial(print, flush=True)
    results = run_recipe(chosen, name=name, out=folder, data=data, data_dir=data_dir, only=only, report=report)
    print(format_results(results))
    print(f"results in {folder / 'results.json'}")


def export(
    run: Positional[str],
    /,
    flags: OmitArgPrefixes[RunFlags] = OWN_DATA,
    *,
    file_format: Annotated[
        Literal["npz", "scanpaths", "stablehlo", "safetensors"], tyro.conf.arg(name="format")
    ] = "npz",
    split: Literal["train", "test"] = "test",
    file: str = "",
) -> None:
    """Write what a run does with a split as .npz, or the run itself for programs without foveax.

    Args:
      run: Run directory.
      file_format: npz: probabilities, predicted, label, fixations of a split. scanpaths: the fixations on training and
        test images, for --fixations of another training. stablehlo: a function from images to
        probabilities and fixations, which jax.export.deserialize reads. safetensors: the parameters, by dotted names.
      split: Of npz: train or test.
      file: Where to; by default SPLIT.npz, run.stablehlo or params.safetensors in the run directory.
    """
    loaded = flags.load(run)
    names = {"npz": f"{split}{suffix(loaded)}.npz", "scanpaths": f"scanpaths{suffix(loaded)}.npz"}
    names |= {"stablehlo": "run.stablehlo", "safetensors": "params.safetensors"}
    place = Path(file).expanduser() if file else loaded.path / names[file_format]
    if file_format == "scanpaths":
        train, test = map(len, export_scanpaths(loaded, place))
        print(f"{train} and {test} scanpaths in {place}")
        return
    if file_format != "npz":
        content = export_params(loaded) if file_format == "safetensors" else export_function(loaded).serialize()
        write_atomically(place, lambda opened: opened.write(content))
        print(f"{len(content):,} bytes in {place}")
        return
    evaluation = show(loaded.graph, loaded.params, getattr(loaded.data, split), key=jax.random.key(loaded.config.seed))
    write_npz(place, as_arrays(evaluation))
    print(f"{len(evaluation.losses)} examples in {place}")


def predict(
    run: Positional[str], pictures: Positional[tuple[str, ...]], /, flags: OmitArgPrefixes[RunFlags] = OWN_DATA
) -> None:
    """Print, as CSV, the class that a run sees in each picture, and how sure it is.

    Args:
      run: Run directory.
      pictures: Files, or folders of pictures; they are scaled to the size of the run's images.
      flags: What it needs to be read.
    """
    loaded = flags.load(run)
    files = picture_files(pictures)
    height, width, channels = loaded.graph.inputs["image"].shape
    fit = loaded.config.fit if "extent" in loaded.graph.inputs else "stretch"
    read = [read_picture(file, height=height, width=width, channels=channels, fit=fit) for file in files]
    extents = np.array([picture.extent for picture in read])
    seen = loaded.predict(np.stack([picture.pixels for picture in read]), extents).probabilities
    if seen is None:
        raise InputError("a graph must declare a belief to predict; this one declares none")
    if scaled := sum(picture.scaled for picture in read):
        print(f"{scaled} of {len(files)} pictures were scaled to {width} by {height} pixels", file=sys.stderr)
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(["picture", "class", "probability"])
    writer.writerows(
        [file, loaded.data.class_name(belief.argmax()), f"{belief.max():.4f}"]
        for file, belief in zip(files, seen[:, -1], strict=True)
    )


def verify(run: Positional[str], /, flags: OmitArgPrefixes[RunFlags] = OWN_DATA, *, steps: int = 300) -> None:
    """Train the first steps of a run again, in memory, and compare them with its records; they may differ (code 1).

    Args:
      run: Run directory.
      flags: What it needs to be read; with --data, where the run's own data are now.
      steps: How many, up to the last record among them; at least the first record.
    """
    verification = train_again(run, steps=steps, data=flags.data or None, **flags.options())
    print(verification)
    if not verification.same:
        raise SystemExit(1)


@contextlib.contextmanager
def progress_bars(config: TrainingConfig) -> Iterator[tuple[Listener, Report]]:
    """A bar of the training images, which the listener moves, and after it the one of the evaluation."""
    images = config.steps * config.batch
    with contextlib.ExitStack() as opened:
        bar = opened.enter_context(tqdm(total=images, disable=not is_main(), **BAR))
        texts: dict[str, str] = {}  # a validation stays until the next
        titles: list[Report] = []

        def progress(metrics: dict[str, Any]) -> None:
            losses = {name: value for name, value in metrics.items() if "loss" in name or "accuracy" in name}
            texts.update({name.replace("loss/", ""): f"{value:.3f}" for name, value in losses.items()})
            bar.set_postfix(texts, refresh=False)
            bar.update(int(metrics["images"]) - bar.n)

        def report(line: str) -> None:
            if " is new: " in line:
                tqdm.write(line, file=sys.stderr)
                return
            bar.close()
            titles[:] = titles or [opened.enter_context(evaluation_bar())]
            titles[0](line)

        yield progress, report


@contextlib.contextmanager
def evaluation_bar(title: str = "") -> Iterator[Report]:
    """A bar of the images that an evaluation shows, whose title says what for."""
    with tqdm(desc=title, disable=not is_main(), **BAR) as bar, watched(bar.update):
        yield bar.set_description_str


def output_folder(out: str, run: LoadedRun, name: str) -> Path:
    """The folder of what a command writes about a run: the one that was named, or its own in the run directory."""
    return Path(out).expanduser() if out else run.path / f"{name}{suffix(run)}"


def suffix(run: LoadedRun) -> str:
    """What is appended to the names of files about a run that is judged on other data."""
    name = re.sub(r"[^A-Za-z0-9_.-]+", "-", run.judged_on).strip("-.")
    return f"-on-{name[-LONGEST_NAME:]}" if run.judged_on else ""


def _report(result: Result) -> None:
    """Prints the outcome of a training."""
    summary = result.summary
    if result.evaluations:
        print(format_table(summary["test"], table_title(next(iter(result.evaluations.values())))))
        if summary["balance"]:
            print(format_balance(summary["balance"]))
        print(format_diagnosis(summary["diagnosis"]))
    speed = "{images_per_second:,.0f} images/s; {train_seconds:.0f} s to train, {compile_seconds:.0f} s to compile"
    print(speed.format_map(summary))


def _tested(run: LoadedRun, fixations: Sequence[str] = ()) -> tuple[dict, dict]:
    """The evaluations of a run and its controls, and the rows of their table, which is printed."""
    height, width = run.data.test["image"].shape[1:3]
    key = jax.random.key(run.config.seed)
    with evaluation_bar() as report:
        evaluations = evaluate_with_controls(run.graph, run.params, run.data, key=key, report=report)
        if fixations:
            evaluations |= evaluate_sources(run, fixations, next(iter(evaluations.values())), report)
    rows = {name: scores(evaluation, height=height, width=width) for name, evaluation in evaluations.items()}
    own = next(iter(evaluations.values()))
    print(format_table(rows, table_title(own)))
    if balance := class_balance(own, run.data.train["label"], run.data.names):
        print(format_balance(balance))
    return evaluations, rows


def _grid(text: str) -> tuple[str, list[Any]]:
    """A field's name and values, from ``NAME=VALUE,VALUE,...``: JSON, or else text."""
    name, equals, values = text.partition("=")
    if not equals:
        raise InputError(f"vary must be NAME=VALUE,VALUE,...; got {text!r}")
    return name, [_json_or_text(value) for value in values.split(",") if value]


def _json_or_text(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


def _values(text: str) -> tuple[str, list[float]]:
    """A hyper-parameter's name and values, from ``NAME=VALUE,VALUE,...``."""
    name, _, values = text.partition("=")
    try:
        return name, [float(value) for value in values.split(",")]
    except ValueError:
        raise InputError(f"vary must be NAME=VALUE,VALUE,... with numbers; got {text!r}") from None
