"""The help of commands that train: the flags that matter most, the others by what they are about, and examples."""

import argparse
import dataclasses
import inspect
import typing
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import docstring_parser

from foveax.commands import TrainingFlags

MAIN = ("out", "preset", "data", "images", "batch", "seed", "task", "glimpses", "crop_size", "reward")
"""Fields that most trainings choose."""
NAMES = {"config_file": "config"}
"""Flags that are not named as their fields."""
EPILOG = """\
presets (foveax config --preset NAME prints one whole):
  default     5,000 bundled digits, a minute on two cores
  mnist       full MNIST, a minute; needs the extra tfds
  canvas      each digit somewhere on a canvas of 60x60, three scales
  mnist_long  full MNIST, warped, minutes to hours
  hardened    full MNIST against an adversary in L-infinity, receptors that saturate, minutes
  ram         close to RAM (Mnih et al. 2014): REINFORCE, 8x8 crops
  report      close to the original report: paid at the last glimpse, no efference copy

rewards (CE is the cross-entropy of the right class, p its probability, K classes):
  cross_entropy_drop  by how much a glimpse lowered CE
  correct_each        1 for a right decision, at every glimpse
  correct_last        1 for a right decision at the last glimpse, as in RAM
  cross_entropy       -CE
  tanh_cross_entropy  tanh(1 / CE)
  clipped_linear      max(0, p - 1 / K)

examples:
  foveax train --out runs/first
  foveax train --data pictures --crop-size 15 --glimpses 8 --out runs/pictures
  foveax train --preset canvas --task cluttered --glimpses 8 --images 1000000 --out runs/cluttered
  foveax train --extend runs/first --images 600000 --out runs/longer
  foveax train --pipeline my_eye.py:early_eye --out runs/early
"""


class Flag(NamedTuple):
    """What is said of a flag."""

    name: str
    kind: Any
    default: Any
    text: str


def command_list(commands: Mapping[str, Callable[..., None]], description: str) -> str:
    """The help of the program: each command's name and the first line of its docstring."""
    wide = max(map(len, commands)) + 2
    lines = [f"  {name:<{wide}}{(command.__doc__ or '').partition(chr(10))[0]}" for name, command in commands.items()]
    return "\n".join(
        ["usage: foveax COMMAND ...", "", description, "", *lines, "", "foveax COMMAND --help says more", ""]
    )


def training_help(command: Callable[..., None], flags: TrainingFlags) -> str:
    """The help of a command whose flags start from a configuration."""
    titled = {
        "data, task and budget": _fields(flags.config),
        "the standard pipeline": _fields(flags.config.pipeline),
        "learning": _fields(flags.config.learning),
        "execution, on which the outcome does not depend": _fields(flags.execution),
        "a pipeline of your own": _fields(flags.source),
        "start, end and processes": [*_fields(flags), *_parameters(command)],
    }
    every = {flag.name: flag for group in titled.values() for flag in group}
    groups = {"what matters most": [every[name] for name in MAIN]}
    groups |= {title: [flag for flag in group if flag.name not in MAIN] for title, group in titled.items()}
    parser = argparse.ArgumentParser(
        prog=f"foveax {command.__name__.replace('_', '-')}",
        usage="%(prog)s [FLAGS]",
        description=docstring_parser.parse(command.__doc__ or "").short_description,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        add_help=False,
    )
    for title, group in groups.items():
        section = parser.add_argument_group(title)
        for flag in group:
            _add(section, flag)
    return parser.format_help()


def _fields(config: Any) -> list[Flag]:
    """The flags of a dataclass's own fields, but not of dataclasses in it."""
    texts = _texts(docstring_parser.parse_from_object(type(config)))
    pairs = ((field, getattr(config, field.name)) for field in dataclasses.fields(config))
    return [
        Flag(field.name, field.type, value, texts[field.name])
        for field, value in pairs
        if not dataclasses.is_dataclass(value)
    ]


def _parameters(command: Callable[..., None]) -> list[Flag]:
    """The flags of a command's own parameters."""
    texts = _texts(docstring_parser.parse(command.__doc__ or ""))
    parameters = inspect.signature(command).parameters.values()
    return [
        Flag(parameter.name, parameter.annotation, parameter.default, texts[parameter.name])
        for parameter in parameters
        if parameter.default is not parameter.empty
    ]


def _texts(docstring: docstring_parser.Docstring) -> dict[str, str]:
    return {parameter.arg_name: " ".join((parameter.description or "").split()) for parameter in docstring.params}


def _add(section: Any, flag: Flag) -> None:
    name = NAMES.get(flag.name, flag.name).replace("_", "-")
    default = "" if flag.default in ("", ()) else f" (default: {flag.default})"
    text = f"{flag.text}{default}".replace("%", "%%")
    if flag.kind is bool:
        section.add_argument(f"--{name}", f"--no-{name}", action="store_true", help=text)
        return
    choices, several = typing.get_args(flag.kind), typing.get_origin(flag.kind) is tuple
    word = "NUMBER" if flag.kind in (int, float) else "TEXT"
    if typing.get_origin(flag.kind) is typing.Literal:
        word = f"{{{','.join(choices)}}}"
    section.add_argument(f"--{name}", metavar="..." if several else word, help=text)
