"""The recipes: the original report's table, RAM's, and the tasks where looking must matter."""

import dataclasses
from typing import Any

from foveax.pipelines import Model
from foveax.recipes.recipe import Recipe, Row
from foveax.training.config import Config

MNIST: dict[str, Any] = {"data": "mnist"}

# The original report's Table 1, test accuracy in %: (reward, discount, policy learning rate), feed-forward, recurrent.
# "binary" pays after the last glimpse; three rows lost their label and are taken as binary, which its sweep used.
REPORTED = (
    ("binary", "correct_last", 0.9, 5e-5, "77/75", "90/90"),
    ("each step", "correct_each", 0.9, 5e-5, "79/79", "91/89"),
    ("(label lost) binary", "correct_last", 0.9, 1e-3, "83/77", "92/92"),
    ("(label lost) binary", "correct_last", 0.99, 5e-5, "84/75", "91/90"),
    ("(label lost) binary", "correct_last", 0.99, 1e-3, "87/79", "94/91"),
    ("cross-entropy", "cross_entropy", 0.9, 5e-5, "63/54", "89/84"),
    ("custom cross-entropy", "tanh_cross_entropy", 0.9, 5e-5, "77/61", "90/89"),
)
BASELINES = (("centre", "80/80", "88/86"), ("random", "28/28", "44/44"))
CORES = ("feedforward", "gru")


def _table1() -> Recipe:
    rows = {}
    base = Config(**MNIST, images=100_000, shift=0)
    for column, core in enumerate(CORES):
        model = dataclasses.replace(base.model, core=core)
        for policy, *figures in BASELINES:
            config = dataclasses.replace(base, model=dataclasses.replace(model, policy=policy))
            rows[f"{core}, {policy}"] = Row(config, 3, figures[column])
        for name, reward, discount, rate, *figures in REPORTED:
            config = dataclasses.replace(
                base,
                model=dataclasses.replace(model, reward=reward),
                learning=dataclasses.replace(base.learning, discount=discount, policy_learning_rate=rate),
            )
            rows[f"{core}, {name}, {discount}, {rate:g}"] = Row(config, 3, figures[column])
    return Recipe(
        "Table 1 of the original report: MNIST, 9x9, 6 glimpses, 100,000 images, 3 seeds", "train/test %", rows
    )


def _long(images: int, **choices: Any) -> Config:
    """A long training: larger batches, warped digits."""
    model = Model(**choices)
    return Config(**MNIST, images=images, batch=64, shift=1, warp=1.0, model=model)


RECIPES = {"table1": _table1()}
