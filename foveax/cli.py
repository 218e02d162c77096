"""The command line: reads flags into a command (`foveax.commands`), and runs it."""

import contextlib
import difflib
import io
import itertools
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any, NoReturn

import tyro

from foveax._types import InputError
from foveax.commands import Analyze, Diagnose, Evaluate, Export, Population, Recipe, Train, Verify
from foveax.training.config import PRESETS, Config
from foveax.training.divergence import DivergenceError
from foveax.training.processes import leads, leaving_at_once, start_processes
from foveax.training.programs import keep_programs
from foveax.training.signals import Interrupted, raising_signals


@leaving_at_once()
def main(arguments: list[str] | None = None) -> None:
    """Runs a command; what ends it early is told in one sentence.

    Exit codes are 2 for input that is refused or a place that cannot be written, 1 for a training that diverged or a
    run that verification finds to differ, 130 for SIGINT and 143 for SIGTERM.
    """
    arguments = sys.argv[1:] if arguments is None else arguments
    try:
        with raising_signals():
            command = _parse(arguments)
            COMMANDS[type(command)](command)
    except (InputError, DivergenceError) as error:
        _end(str(error), 2 if isinstance(error, InputError) else 1)
    except KeyboardInterrupt as error:
        said = str(error) or "interrupted; the same command continues from the last checkpoint"
        _end(said, 128 + (error.signal if isinstance(error, Interrupted) else signal.SIGINT))


def _end(said: str, code: int) -> NoReturn:
    printable = said.encode("utf-8", "backslashreplace").decode()  # a file's name may be no text
    print(f"foveax: {printable}", file=sys.stderr)
    raise SystemExit(code) from None


def _parse(arguments: list[str]) -> Any:
    preset = _preset(arguments)
    commands = (
        Annotated[Train, tyro.conf.subcommand("train", default=Train(preset))]
        | Annotated[Evaluate, tyro.conf.subcommand("evaluate")]
        | Annotated[Diagnose, tyro.conf.subcommand("diagnose")]
        | Annotated[Analyze, tyro.conf.subcommand("analyze")]
        | Annotated[Population, tyro.conf.subcommand("population", default=Population(preset))]
        | Annotated[Recipe, tyro.conf.subcommand("recipe")]
        | Annotated[Export, tyro.conf.subcommand("export")]
        | Annotated[Verify, tyro.conf.subcommand("verify")]
    )
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said):
            return tyro.cli(commands, prog="foveax", description=__doc__, args=arguments)  # pyright: ignore
    except SystemExit as end:
        refusal = _refusal(end)
        if refusal:
            raise refusal from None
        print(said.getvalue(), end="", file=sys.stderr)
        raise


def _refusal(error: BaseException | None) -> InputError | None:
    """The configuration's own complaint among the causes of an error, which tyro wraps in a frame of its own."""
    while error is not None and not isinstance(error, InputError):
        error = error.__cause__ or error.__context__
    return error


def _preset(arguments: list[str]) -> Config:
    """The configuration that the flags start from: it is needed before the others can be read."""
    names = [later for flag, later in itertools.pairwise(arguments) if flag == "--preset"]
    names += [flag.partition("=")[2] for flag in arguments if flag.startswith("--preset=")]
    name = names[-1] if names else "default"
    if name not in PRESETS:
        near = difflib.get_close_matches(name, PRESETS, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise InputError(f"preset must be one of {', '.join(PRESETS)}; got {name!r}{hint}")
    return PRESETS[name]


@contextlib.contextmanager
def _progress_bar(config: Config) -> Iterator[Callable[[dict[str, float]], None]]:
    """A bar of the images shown, and what to tell the metrics to."""
    from tqdm import tqdm

    images = config.steps * config.batch
    with tqdm(total=images, unit=" images", unit_scale=True, dynamic_ncols=True) as bar:

        def progress(metrics: dict[str, float]) -> None:
            losses = {name: value for name, value in metrics.items() if "loss" in name or name == "accuracy"}
            shown = {name.replace("loss/", ""): f"{value:.3f}" for name, value in losses.items()}
            bar.set_postfix(shown, refresh=False)
            bar.update(int(metrics["images"]) - bar.n)

        yield progress


def _train(command: Train) -> None:
    from foveax.environments.joint import train_with
    from foveax.training.diagnosis import format_diagnosis
    from foveax.training.evaluate import format_table

    config = command.config
    if command.programs:
        keep_programs(Path(command.programs))
    start_processes(command.coordinator, command.num_processes, command.process_id)
    with _progress_bar(config) if leads() else contextlib.nullcontext() as progress:
        result = train_with(
            config.trainer,
            config,
            out=command.out or None,
            fork=command.fork or None,
            download=command.download,
            progress=progress,
            devices=command.devices,
            patience=command.patience,
        )
    if not leads():
        return
    print(format_table(result.summary["test"]))
    print(format_diagnosis(result.summary["diagnosis"]))
    print(
        f"{result.summary['images_per_second']:,.0f} images/s; {result.summary['train_seconds']:.0f} s to train, "
        f"{result.summary['compile_seconds']:.0f} s to compile"
    )


def _evaluate(command: Evaluate) -> None:
    import jax

    from foveax.training.controls import evaluate_with_controls
    from foveax.training.evaluate import format_table, scores
    from foveax.training.run import load_run

    config, data, graph, params = load_run(command.run)
    height, width = data.test["image"].shape[1:3]
    runs = evaluate_with_controls(graph, params, data, policy=config.model.policy, key=jax.random.key(config.seed))
    print(format_table({name: scores(run, height=height, width=width) for name, run in runs.items()}))


def _diagnose(command: Diagnose) -> None:
    import jax

    from foveax.training.controls import evaluate_with_controls
    from foveax.training.diagnosis import diagnose, format_diagnosis, whole_image_accuracy
    from foveax.training.evaluate import format_table, scores
    from foveax.training.files import write_json
    from foveax.training.run import load_run

    config, data, graph, params = load_run(command.run)
    policy, (height, width) = config.model.policy, data.test["image"].shape[1:3]
    key = jax.random.key(config.seed)
    runs = evaluate_with_controls(graph, params, data, policy=policy, key=key, rounds=command.rounds)
    rows = {name: scores(run, height=height, width=width) for name, run in runs.items()}
    measures = diagnose(runs, policy=policy, config=config, data=data)
    print(format_table(rows))
    print(format_diagnosis(measures))
    if command.whole_image:
        images = min(command.whole_image, config.images)
        measures["whole_image"] = whole_image_accuracy(config, data, images=images)
        print(f"a network of like size that sees the whole image: {100 * measures['whole_image']:.2f} %")
    write_json(Path(command.run) / "diagnosis.json", {"test": rows, **measures})


def _analyze(command: Analyze) -> None:
    from foveax.report import write_report

    folder = write_report(command.run, command.out or None, people=command.people or None)
    print(f"tables, figures and the page are in {folder}; open {folder / 'report.html'}")


def _recipe(command: Recipe) -> None:
    from foveax.recipes import RECIPES, format_results, run_recipe

    if command.name not in RECIPES:
        raise InputError(f"recipe must be one of {', '.join(RECIPES)}; got {command.name!r}")
    out = Path(command.out or Path("runs") / command.name)
    results = run_recipe(
        RECIPES[command.name],
        name=command.name,
        out=out,
        data_dir=command.data_dir,
        only=command.only,
        report=lambda line: print(line, flush=True),
    )
    print(format_results(results))
    print(f"results in {out / 'results.json'}")


def _population(command: Population) -> None:
    from foveax.training.files import write_json
    from foveax.training.population import format_population, train_population

    vary = dict(_values(given) for given in command.vary)
    population = train_population(
        command.config, seeds=command.seeds, vary=vary, out=command.run or None, devices=command.devices
    )
    print(format_population(population, list(vary)))
    if command.out:
        pairs = zip(population.configs, population.accuracy.tolist(), strict=True)
        members = [{"config": config.to_json(), "test": accuracy} for config, accuracy in pairs]
        write_json(Path(command.out), {"members": members})


def _values(given: str) -> tuple[str, list[float]]:
    """A hyper-parameter's name and values, from ``NAME=VALUE,VALUE,...``."""
    name, _, values = given.partition("=")
    try:
        return name, [float(value) for value in values.split(",")]
    except ValueError:
        raise InputError(f"vary must be NAME=VALUE,VALUE,... with numbers; got {given!r}") from None


def _export(command: Export) -> None:
    import jax

    from foveax.training.evaluate import evaluate
    from foveax.training.files import write_npz
    from foveax.training.run import load_run

    if command.split not in ("train", "test"):
        raise InputError(f"split must be train or test; got {command.split!r}")
    config, data, graph, params = load_run(command.run)
    file = Path(command.file or Path(command.run) / f"{command.split}.npz")
    done = evaluate(graph, params, getattr(data, command.split), key=jax.random.key(config.seed))
    write_npz(file, done._asdict())
    print(f"{len(done.label)} examples in {file}")


def _verify(command: Verify) -> None:
    from foveax.training.verify import verify

    verified = verify(command.run, steps=command.steps)
    print(verified.told)
    if not verified.same:
        raise SystemExit(1)


COMMANDS = {
    Train: _train,
    Evaluate: _evaluate,
    Diagnose: _diagnose,
    Analyze: _analyze,
    Population: _population,
    Recipe: _recipe,
    Export: _export,
    Verify: _verify,
}

if __name__ == "__main__":
    main()
