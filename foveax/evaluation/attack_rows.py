"""The rows of an honest evaluation of robustness: which attack is made on what, and how its images are judged.

The rows follow the recommendations for evaluating defences of Carlini et al. 2019, https://arxiv.org/abs/1902.06705,
and Tramèr et al. 2020, https://arxiv.org/abs/2002.08347: white box and black box, more steps, restarts, transfer,
expectation over noise, and attacks on the parts of a model that could hide its gradient, here the gaze.
"""

import dataclasses
import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple

from foveax._arrays import check_count
from foveax._checked import Checked, bounded
from foveax._types import InputError
from foveax.robustness import Ball, l2, linf


@dataclasses.dataclass(frozen=True)
class AttackConfig(Checked):
    """The budget of an evaluation of robustness. Raises `InputError` for a value out of range."""

    norm: Literal["linf", "l2"] = "linf"
    """How changes are measured."""
    epsilon: float = bounded(0.3, above=0.0)
    """The largest change, where a pixel's whole range is 1."""
    images: int = bounded(1_000, 1, 10_000_000)
    """Test images that are attacked, at most."""
    steps: int = bounded(50, 1, 1_000_000)
    """Of PGD and APGD; one row doubles them."""
    restarts: int = bounded(5, 1, 10_000)
    """Of the row with restarts."""
    queries: int = bounded(1_000, 1, 10_000_000)
    """Of the black box attack."""
    draws: tuple[int, ...] = (1, 10, 20)
    """Of the model's noise, over which expectations are taken: a row for each number, in rising order."""
    sweep: tuple[float, ...] = (0.05, 0.1, 0.2, 0.3, 0.4, 0.6)
    """Radii at which the curve of robust accuracy is measured, in rising order."""
    distance: float = bounded(0.25, 0.0, 1.0)
    """How far an attack on the gaze wants it moved, as a fraction of the image."""
    batch: int = bounded(50, 1, 1_000_000)
    """Images that are attacked at once, until the slowest of them is done."""
    seed: int = bounded(0, 0, 2**31 - 1)
    """Of all randomness."""

    def __post_init__(self):
        super().__post_init__()
        for number in self.draws:
            check_count("draws", number)
        for name in ("draws", "sweep"):
            values = getattr(self, name)
            if not all(before < after for before, after in itertools.pairwise((0, *values))):
                raise InputError(f"{name} must be more than 0 and rise; got {', '.join(map(str, values))}")
        if not self.draws:
            raise InputError("draws must hold a number at least; got none")

    def ball(self, epsilon: Any) -> Ball:
        """The ball of a radius."""
        return linf(epsilon) if self.norm == "linf" else l2(epsilon)

    def grey(self, shape: tuple[int, ...]) -> float:
        """The radius within which any image ``[H, W, C]`` can be made grey, whatever it showed."""
        return 0.5 if self.norm == "linf" else 0.5 * math.sqrt(math.prod(shape))


class Row(NamedTuple):
    """One attack.

    Attributes:
      kind: of the verdict's comparisons: ``"none"``, ``"weak"``, ``"white"``, ``"black"``, ``"gaze"``, ``"noise"``,
        ``"more"``, ``"sweep"`` or ``"control"``.
      attack: its name among `attacks`.
      source: the model that is attacked, by name.
      target: the model that judges the attacked images.
      places: where a held gaze looks: ``"clean"``, ``"random"`` or ``"fixed"``.
      start: the row whose images the attack begins with; by default at random.
      epsilon: None takes that of the configuration.
      draws: of the model's noise, over which the expectation is taken.
    """

    kind: str
    attack: str
    source: str = "free"
    target: str = "free"
    places: str = "clean"
    start: str = ""
    epsilon: float | None = None
    draws: int = 1


def rows(
    config: AttackConfig,
    *,
    has_eye: bool,
    has_policy: bool = True,
    has_noise: bool = False,
    has_gradient: bool = True,
) -> dict[str, Row]:
    """All rows by name, in the order in which they are made.

    Args:
      config: budgets.
      has_eye: whether something moves the gaze; otherwise there are no rows on it.
      has_policy: whether a policy does, which can be sampled.
      has_noise: whether the model is random even with the mode of its policies.
      has_gradient: whether a gradient can flow through the gaze; otherwise it is also pushed off by a search.

    Example:
      >>> list(rows(AttackConfig(sweep=()), has_eye=False))[:4]
      ['clean', 'noise of equal norm', 'FGSM', 'PGD']
    """
    made = {
        "clean": Row("none", "nothing"),
        "noise of equal norm": Row("weak", "noise"),
        "FGSM": Row("weak", "fgsm"),
        "PGD": Row("weak", "pgd"),
        "APGD": Row("white", "apgd"),
        "APGD, targeted": Row("white", "targeted"),
        "APGD, twice the steps": Row("more", "doubled"),
        "PGD, restarts": Row("more", "restarts"),
        "transfer from the whole image": Row("black", "apgd", "whole image"),
        "APGD from the transfer": Row("white", "from start", start="transfer from the whole image"),
    }
    made["Square"] = Row("black", "square")
    if has_eye:
        made |= {
            "APGD, every glimpse": Row("white", "each glimpse"),
            "APGD, gaze held": Row("gaze", "apgd", "held"),
            "gaze pushed off": Row("gaze", "gaze"),
        }
        if not has_gradient and config.norm == "linf":
            made["gaze pushed off, Square"] = Row("gaze", "gaze, square")
    if has_eye and has_policy:
        made["sampled gaze, clean"] = Row("none", "nothing", "sampled", "sampled")
        made |= {expectation_name("sampled gaze", draws): _expectation("sampled", draws) for draws in config.draws}
    if has_noise:
        made |= {expectation_name("noise", draws): _expectation("free", draws) for draws in config.draws}
    controls = {"whole image": ("whole image", "clean")}
    if has_eye:
        controls |= {f"{places} fixations": ("held", places) for places in ("clean", "random", "fixed")}
    best = "either" if has_eye else "apgd"
    for name, (model, places) in controls.items():
        attack = "apgd" if model == "whole image" else best
        made[f"{name}, clean"] = Row("control", "nothing", model, model, places)
        made[f"{name}, APGD"] = Row("control", attack, model, model, places)
    for epsilon in config.sweep:
        made[f"at {epsilon:g}"] = Row("sweep", best, epsilon=epsilon)
        made[f"whole image at {epsilon:g}"] = Row("control", "apgd", "whole image", "whole image", epsilon=epsilon)
        if has_eye:
            made[f"clean fixations at {epsilon:g}"] = Row("control", best, "held", "held", epsilon=epsilon)
    return made


def chosen_rows(made: Mapping[str, Row], names: Sequence[str]) -> dict[str, Row]:
    """The rows of the names, that of clean images, and those that they begin with.

    Raises `InputError` for a name that is none.

    Example:
      >>> made = rows(AttackConfig(), has_eye=False)
      >>> list(chosen_rows(made, ["APGD from the transfer"]))
      ['clean', 'transfer from the whole image', 'APGD from the transfer']
    """
    for name in names:
        if name not in made:
            raise InputError(f"rows must be among {'; '.join(made)}; got {name}")
    needed = {"clean", *names, *(made[name].start for name in names)}
    return {name: row for name, row in made.items() if name in needed}


def expectation_name(model: str, draws: int) -> str:
    """The row of an attack on the mean of a number of draws.

    Example:
      >>> expectation_name("sampled gaze", 1), expectation_name("noise", 10)
      ('sampled gaze, 1 draw', 'noise, 10 draws')
    """
    return f"{model}, {draws} draw{'s' * (draws > 1)}"


def passes(row: Row, config: AttackConfig) -> int:
    """Passes forward and backward through the model, for each image, that a row needs at most; by which work is told.

    A query, which has no gradient, counts as a third.
    """
    number = {
        "pgd": config.steps, "apgd": config.steps, "each glimpse": config.steps, "from start": config.steps,
        "gaze": config.steps, "either": 2 * config.steps, "doubled": 2 * config.steps, "targeted": 9 * config.steps,
        "restarts": config.restarts * config.steps, "square": config.queries // 3, "gaze, square": config.queries // 3,
    }  # fmt: skip
    return 1 + (row.draws * config.steps if row.attack.startswith("expectation") else number.get(row.attack, 1))


def _expectation(model: str, draws: int) -> Row:
    return Row("noise", f"expectation of {draws}", model, model, draws=draws)
