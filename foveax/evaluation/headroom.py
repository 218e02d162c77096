"""Headroom: how much a better choice of the next place could gain, as far as what an eye knows can tell."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from foveax._types import Array, Batch, InputError, Key, Params
from foveax.analysis.bootstrap import Interval, bootstrap_mean
from foveax.data.dataset import Split
from foveax.data.mapped import take
from foveax.evaluation.controls import control_targets
from foveax.evaluation.evaluate import check_split, greedy
from foveax.graph.compile import number
from foveax.graph.graph import Graph, Source, parse_port, waiting_for
from foveax.graph.split import split
from foveax.modules.scripted import within_reach

SIDE = 7
"""Candidate places along each axis."""
IMAGES, BATCH = 2_000, 100
"""Images that are looked at, at most, and those that are shown at once."""
GLANCE = 8
"""Side of the thumbnail that stands for a glance, in pixels."""
PENALTIES = 10.0 ** np.arange(5, -3, -1)
"""Of ridge regression, relative to the number of images."""
FOLDS = 5
RESAMPLES = 1_000


class Headroom(NamedTuple):
    """Of one saccade, over images; intervals are of 95 %.

    Attributes:
      variation: the mean variance, over the candidate places of an image, of what a glimpse there would tell (nats²).
      by_place: the share of it that the place alone explains, the same on every image.
      by_state: the further share that what the eye reads explains, on images held out.
      by_glance: likewise, of what it reads and a thumbnail of the whole image together.
      worth: what choosing by the state gains over the best place for all images (nats).
      taken: what the eye's own choice gains over that place (nats).
    """

    variation: float
    by_place: Interval
    by_state: Interval
    by_glance: Interval
    worth: Interval
    taken: Interval


def headroom(graph: Graph, params: dict[str, Params], images: Split, *, key: Key, agent: str) -> list[Headroom]:
    """What an agent's choice of each saccade could gain, if it made the most of what it reads.

    The agent takes the mode of its policy; after each glimpse, candidate places are tried, the centres of the cells of
    a grid over the image, or over what is within its reach, and the drop in the loss that a glimpse there brings (nats,
    with the cross-entropy) is written down: ``y[i, g]`` for image i and place g. What varies within an image is
    regressed on the place, ``y[i, g] - mean_g y[i, g] = a[g] + B[g] x[i] + rest``, x what the agent reads, by ridge
    regression. Its penalty is the one of least error in five-fold cross-validation and, for the choice, the one whose
    choices gain most, which may be none but ``a[g]``. Each half of the images is judged by what was fitted to the
    other, so that a share or a gain may come out below 0: nothing was learnt. What only the label tells is no headroom:
    it stays in the rest.

    Args:
      graph: with a belief and a label, or losses, that do not wait for the saccade.
      params: by module.
      images: a split, as for `foveax.evaluate`; at least 20 images, of which up to 2,000 are looked at.
      key: of what the graph draws.
      agent: which chooses one place.

    Returns:
      one for each of the T - 1 saccades.

    Raises:
      InputError: if there is no such agent, no saccade, too few images, or the losses wait for the saccade.
    """
    if agent not in graph.agents or agent not in control_targets(graph) or graph.length < 2:
        raise InputError(f"headroom is of an agent that chooses a place, at more than one glimpse; got {agent!r}")
    checked = check_split(graph, images)
    shown = {name: take(array, np.arange(min(IMAGES, len(array)))) for name, array in checked.items()}
    size = len(next(iter(shown.values())))
    if size < 20:
        raise InputError(f"headroom needs at least 20 images; got {size}")
    tried = jax.jit(jax.vmap(_trials(graph, agent), in_axes=(None, 0, 0)))
    keys = jax.random.split(key, size)
    parts = []
    for start in range(0, size, BATCH):
        rows = np.minimum(np.arange(start, start + BATCH), size - 1)
        inputs = {name: array[rows] for name, array in shown.items()}
        parts.append(jax.tree.map(np.asarray, tried(params, inputs, keys[rows])))
    read, drops, own = (np.concatenate(arrays)[:size] for arrays in zip(*parts, strict=True))
    glance = _thumbnails(shown["image"]) if "image" in shown else np.zeros((size, 0))
    return [_explained(drops[:, t], own[:, t], read[:, t], glance) for t in range(graph.length - 1)]


def format_headroom(rows: list[Headroom]) -> str:
    """A table, a row for each saccade: shares in %, gains in nats, with the bounds of their intervals."""
    lines = [
        "what a choice of the next place could gain (variation between places; shares of it in %; nats)",
        f"{'saccade':<9}{'variation':>10}{'place':>21}{'state':>21}{'and a glance':>21}{'a choice gains':>26}"
        f"{'the eye gains':>26}",
    ]
    for saccade, row in enumerate(rows, 1):
        shares = "".join(f"{_interval(share, 100, 1):>21}" for share in (row.by_place, row.by_state, row.by_glance))
        gains = "".join(f"{_interval(gain, 1, 3):>26}" for gain in (row.worth, row.taken))
        lines.append(f"{saccade:<9}{row.variation:>10.4f}{shares}{gains}")
    return "\n".join(lines)


def _interval(interval: Interval, times: float, digits: int) -> str:
    mean, low, high = (f"{times * bound:.{digits}f}" for bound in interval)
    return f"{mean} ({low}, {high})"


def _trials(graph: Graph, agent: str) -> Callable[..., tuple[Array, Array, Array]]:
    """``(params, inputs, key) -> (read [T - 1, D], drops [T - 1, G], own [T - 1])`` of one example."""
    target, losses = control_targets(graph)[agent], _losses(graph)
    waiting = waiting_for(graph.wiring, [agent]) & {source.module for source in losses}
    if waiting:
        raise InputError(f"headroom needs losses that do not wait for the saccade; {', '.join(sorted(waiting))} does")
    environment, actors = split(greedy(graph), agent, record=tuple(map(str, losses)))
    actor = actors[agent]
    cells = (np.arange(SIDE) + 0.5) / SIDE
    grid = jnp.asarray(np.stack(np.meshgrid(cells, cells), axis=-1).reshape(-1, 2), jnp.float32)

    def loss(info: Any) -> Array:
        return sum((weight * info[port.module][port.port] for port, weight in losses.items()), start=jnp.zeros(()))

    def trials(params: dict[str, Params], inputs: Batch, key: Key) -> tuple[Array, Array, Array]:
        reset_key, act_key = jax.random.split(key)
        state, seen = environment.reset(reset_key, params, inputs)

        def saccade(carry: Any, key: Key) -> tuple[Any, tuple[Array, Array, Array]]:
            state, seen, memory = carry
            observed = seen.observation[agent]
            outputs, memory = actor.act(params[agent], memory, observed, key)
            act = {port: outputs[port] for port in environment.action[agent]}

            def drop(place: Array) -> Array:
                if target.reach is not None:
                    place = observed["position"] + target.reach * (2 * place - 1)
                    place = within_reach(place, observed["position"], target.reach)
                after = environment.step(state, {agent: {**act, target.port.port: place}}, params)[1]
                return loss(seen.info) - loss(after.info)

            after, then = environment.step(state, {agent: act}, params)
            read = [jnp.ravel(value).astype(jnp.float32) for _, value in sorted(observed.items())]
            told = jnp.concatenate(read), jax.vmap(drop)(grid), loss(seen.info) - loss(then.info)
            return (after, then, memory), told

        keys = jax.random.split(act_key, graph.length - 1)
        return jax.lax.scan(saccade, (state, seen, actor.begin()), keys)[1]

    return trials


def _losses(graph: Graph) -> dict[Source, Any]:
    return {parse_port(str(port)): number(loss.weight, graph.hyperparameters) for port, loss in graph.losses.items()}


def _thumbnails(images: np.ndarray) -> np.ndarray:
    """Images ``[N, H, W, C]``, each the means over the cells of a grid, flat: ``[N, at most GLANCE² C]``."""
    rows, columns = (np.array_split(np.arange(side), min(GLANCE, side)) for side in images.shape[1:3])
    cells = [images[:, r[0] : r[-1] + 1, c[0] : c[-1] + 1].mean((1, 2)) for r in rows for c in columns]
    return np.concatenate(cells, axis=-1)


def _explained(drops: np.ndarray, own: np.ndarray, read: np.ndarray, glance: np.ndarray) -> Headroom:
    """The headroom of one saccade, of the drops ``[N, G]`` and what could tell them, ``[N, D]``."""
    drops = drops.astype(np.float64)
    within = drops - drops.mean(1, keepdims=True)
    place = _held_out(within, read[:, :0], _error)
    state = _held_out(within, read, _error)
    both = _held_out(within, np.concatenate([read, glance], axis=1), _error)
    choice = _held_out(within, read, _missed)
    rows = np.arange(len(drops))
    chosen, fixed = drops[rows, choice.argmax(1)], drops[rows, place.argmax(1)]

    def share(told: np.ndarray, before: np.ndarray) -> Interval:
        """How much less of the variation is left."""
        left = ((within - before) ** 2).sum(1) - ((within - told) ** 2).sum(1)
        return _ratio(left, (within**2).sum(1))

    return Headroom(
        variation=float(within.var(1).mean()),
        by_place=share(place, np.zeros_like(place)),
        by_state=share(state, place),
        by_glance=share(both, place),
        worth=bootstrap_mean(chosen - fixed, resamples=RESAMPLES),
        taken=bootstrap_mean(own - fixed, resamples=RESAMPLES),
    )


def _ratio(part: np.ndarray, whole: np.ndarray) -> Interval:
    """The ratio of two sums over images, and its bootstrap interval: images are drawn anew."""
    rng, size = np.random.default_rng(0), len(part)
    drawn = rng.multinomial(size, np.full(size, 1 / size), RESAMPLES)
    ratios = (drawn @ part) / np.maximum(drawn @ whole, 1e-12)
    low, high = np.quantile(ratios, [0.025, 0.975])
    return Interval(float(part.sum() / max(whole.sum(), 1e-12)), float(low), float(high))


def _error(values: np.ndarray, told: np.ndarray) -> float:
    """The mean squared error."""
    return float(((values - told) ** 2).mean())


def _missed(values: np.ndarray, told: np.ndarray) -> float:
    """Minus the mean value of the places of which most is told."""
    return -float(values[np.arange(len(values)), told.argmax(1)].mean())


Cost = Callable[[np.ndarray, np.ndarray], float]


def _held_out(within: np.ndarray, read: np.ndarray, cost: Cost) -> np.ndarray:
    """What is expected at each place, ``[N, G]``: of each half of the images by what is fitted to the other."""
    told = np.empty_like(within)
    for parity in (0, 1):
        fitted, judged = (np.arange(len(within)) % 2 == each for each in (parity, 1 - parity))
        told[judged] = _regressed(within[fitted], read[fitted], cost)(read[judged])
    return told


def _regressed(values: np.ndarray, read: np.ndarray, cost: Cost) -> Callable[[np.ndarray], np.ndarray]:
    """Ridge regression of ``[N, G]`` on ``[N, D]``, whose penalty costs least in cross-validation."""
    costs = []
    for fold in range(FOLDS):
        left = np.arange(len(values)) % FOLDS == fold
        costs.append([cost(values[left], ridge(read[left])) for ridge in _ridges(values[~left], read[~left])])
    return _ridges(values, read)[int(np.argmin(np.mean(costs, axis=0)))]


def _ridges(values: np.ndarray, read: np.ndarray) -> list[Callable[[np.ndarray], np.ndarray]]:
    """The mean alone, and a regression for each penalty, the largest first."""
    mean, middle, spread = values.mean(0), read.mean(0), read.std(0)
    spread = np.where(spread > 1e-6, spread, np.inf)  # what does not vary tells nothing
    left, size, right = np.linalg.svd((read - middle) / spread, full_matrices=False)
    projected = left.T @ (values - mean)
    shrunk = [size / (size**2 + penalty * len(values)) for penalty in PENALTIES]
    weights = [np.zeros((read.shape[1], values.shape[1])), *(right.T @ (projected * each[:, None]) for each in shrunk)]
    return [lambda new, weight=weight: mean + (new - middle) / spread @ weight for weight in weights]
