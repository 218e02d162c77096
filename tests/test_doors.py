"""Every public function that takes images, labels, fixations or beliefs refuses the same bad ones in one sentence.

Warnings are errors here, so that NumPy has said nothing before.
"""

import inspect
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import small

import foveax as fx
from foveax import analysis, plot
from foveax.environments import make_episodes

SIDES = {"height": 28, "width": 28}
RNG = np.random.default_rng(0)
PATHS = RNG.random((3, 4, 2))
POINTS = PATHS[0]
BELIEFS = RNG.dirichlet(np.ones(5), (3, 4))
LABEL = np.array([0, 4, 2])
IMAGE = RNG.integers(0, 256, (28, 28, 1), dtype=np.uint8)
MAP = RNG.random((28, 28)) + 0.1
OBSERVERS = RNG.random((2, 3, 4, 2))
KEY = jax.random.key(0)
TABLE = analysis.fixation_table(PATHS, **SIDES)

NUMBERS = {
    "NaN": lambda good: np.where(np.arange(good.size).reshape(good.shape) == 1, np.nan, good.astype(float)),
    "infinite": lambda good: np.full(good.shape, np.inf),
    "text": lambda good: np.full(good.shape, "a"),
    "nothing": lambda good: None,
    "complex": lambda good: good.astype(complex),
    "ragged": lambda good: [[1.0, 2.0], [3.0]],
    "another rank": lambda good: good[None, None, None],
    "empty": lambda good: good[..., :0],
}
BAD = {
    "fixations": {
        **NUMBERS,
        "pixels": lambda good: 27 * good,
        "pixels of a screen": lambda good: 1080 * good,
        "far away": lambda good: np.where(np.arange(good.size).reshape(good.shape) == 0, 1e6, good),
        "three coordinates": lambda good: np.concatenate([good, good[..., :1]], axis=-1),
    },
    "beliefs": {
        **NUMBERS,
        "percent": lambda good: 100 * good,
        "logits": lambda good: np.log(good),
    },
    "label": {
        "floats": lambda good: good.astype(float),
        "negative": lambda good: good - 3,
        "text": lambda good: good.astype(str),
        "nothing": lambda good: None,
        "another length": lambda good: good[:2],
        "another rank": lambda good: good[:, None],
        "far too great": lambda good: good + 2**40,
    },
    "label below K": {"a class there is not": lambda good: good + 3},
    "image": {
        "NaN": lambda good: np.full(good.shape, np.nan),
        "floats up to 255": lambda good: good.astype(np.float32),
        "integers": lambda good: good.astype(np.int64),
        "text": lambda good: good.astype(str),
        "nothing": lambda good: None,
        "another rank": lambda good: good[None, None, None],
        "empty": lambda good: good[..., :0],
    },
    "map": {**NUMBERS},
    "numbers": {name: NUMBERS[name] for name in ("NaN", "infinite", "text", "complex", "ragged", "another rank")},
    "count": {
        "zero": lambda good: 0,
        "negative": lambda good: -1,
        "a fraction": lambda good: 2.5,
        "NaN": lambda good: float("nan"),
        "text": lambda good: "9",
    },
}  # fmt: skip
BAD["label below K"] |= BAD["label"]
BAD["beliefs of any shape"] = {name: change for name, change in BAD["beliefs"].items() if name != "another rank"}
"""Bad values made of good ones, by the kind of value."""


FIXATIONS, SIDED = {"fixations": (PATHS, "fixations")}, {"height": (28, "count"), "width": (28, "count")}
GAZE = {**FIXATIONS, **SIDED}
PAIR = {"first": (PATHS, "fixations"), "second": (PATHS[::-1], "fixations")}
READ = {"saliency": (MAP, "map"), "points": (POINTS, "fixations")}
TWO_MAPS = {"saliency": (MAP, "map"), "density": (MAP, "map")}
LOOK = {"image": (IMAGE, "image"), "fixations": (POINTS, "fixations")}
SIZE = {"size": (9, "count")}
BINS = {"bins": (8, "count")}
POINTWISE = {"points": (POINTS, "fixations")}
ANALYSIS = {
    "saccade_amplitudes": GAZE,
    "saccade_directions": GAZE,
    "saccade_turns": GAZE,
    "refixation_rate": GAZE,
    "return_rates": GAZE,
    "border_share": GAZE,
    "centre_distances": GAZE,
    "coverage": {**GAZE, **SIZE},
    "coverage_by_fixation": {**GAZE, **SIZE},
    "bootstrap_mean": {"values": (MAP[0], "numbers"), "resamples": (10, "count")},
    "bootstrap_ratio": {"parts": (MAP[0], "numbers"), "wholes": (MAP[1], "numbers"), "resamples": (10, "count")},
    "fixation_targets": FIXATIONS,
    "compare_scanpaths": {"observers": (OBSERVERS, "fixations"), "candidates": ({}, ""), **SIDED},
    "compare_densities": {"observers": (OBSERVERS, "fixations"), "densities": ({}, ""), **SIDED},
    "observed_densities": {"observers": (OBSERVERS, "fixations"), **SIDED},
    "belief_entropy": {"probabilities": (BELIEFS, "beliefs of any shape")},
    "reading_time": {"probabilities": (BELIEFS, "beliefs"), "threshold": (1.0, "")},
    "speed_accuracy": {"probabilities": (BELIEFS, "beliefs"), "label": (LABEL, "label below K")},
    "allocation": {
        "probabilities": (BELIEFS, "beliefs"),
        "label": (LABEL, "label below K"),
        "glimpses": (np.ones_like(LABEL), "label"),
    },
    "density_map": {**POINTWISE, **SIDED},
    "density_entropy": {"density": (MAP, "map")},
    "map_entropy": {**POINTWISE, **BINS},
    "mutual_information": {**POINTWISE, "labels": (np.arange(4), "label"), **BINS},
    "shuffled_information": {**POINTWISE, "labels": (np.arange(4), "label"), **BINS, "repeats": (2, "count")},
    "image_information": {"observers": (OBSERVERS, "fixations"), **BINS},
    "shuffled_image_information": {"observers": (OBSERVERS, "fixations"), **BINS, "repeats": (2, "count")},
    "auc": {**READ, "others": (POINTS, "fixations")},
    "nss": READ,
    "correlation": TWO_MAPS,
    "kl_divergence": TWO_MAPS,
    "intersection": TWO_MAPS,
    "information_gain": {"density": (MAP, "map"), "baseline": (MAP, "map"), "points": (POINTS, "fixations")},
    "multimatch": {**PAIR, **SIDED},
    "dynamic_time_warping": {**PAIR, **SIDED},
    "levenshtein": {**PAIR, **BINS},
    "scanmatch": {**PAIR, **BINS, "threshold": (1.0, "")},
    "calibration": {"probabilities": (BELIEFS[:, -1], "beliefs"), "label": (LABEL, "label below K"), **BINS},
    "fixation_table": {**GAZE, "probabilities": (BELIEFS, "beliefs"), "label": (LABEL, "label below K")},
}
PLOT = {
    "belief": {"probabilities": (BELIEFS[0], "beliefs")},
    "density": {**POINTWISE, **SIDED, "image": (IMAGE, "image")},
    "densities": {**GAZE, "label": (LABEL, "label"), "image": (IMAGE, "image")},
    "amplitudes": GAZE,
    "directions": GAZE,
    "policy_field": {**FIXATIONS, "image": (IMAGE, "image"), "glimpse": (2, "count")},
    "scanpath": LOOK,
    "crops": {**LOOK, **SIZE, "scales": (1, "count")},
    "reconstruction": {**LOOK, **SIZE, "scales": (1, "count")},
    "fixation_sheet": {"images": (np.stack([IMAGE] * 3), "image"), **FIXATIONS},
    "confusion_matrix": {
        "label": (LABEL, "label below K"),
        "predicted": (LABEL, "label below K"),
        "classes": (5, "count"),
    },
    "animate_trial": {"path": ("", ""), **LOOK, "probabilities": (BELIEFS[0], "beliefs")},
    "learning_curve": {"images": (np.arange(4), "numbers"), "runs": ({"one": np.ones((1, 4))}, "")},
}
ACTIVITY = {  # of any rank, in the tests of tests/analysis
    *("record_activations", "read_activations", "decode", "brightness_centres", "place_selectivity", "dynamics"),
    *("class_selectivity", "class_means", "dissimilarities", "rdm_likeness", "noise_ceiling", "write_rdms"),
}
OTHERS = {  # of tables and of curves by name, below
    analysis: {
        "read_csv",
        "to_pandas",
        "from_pandas",
        "to_polars",
        "from_polars",
        "write_csv",
        "to_scanpaths",
        "wilson_interval",
    }
    | ACTIVITY,
    plot: {"accuracy_by_glimpse", "speed_accuracy_curve", "reliability_diagram"},
}


def cases():
    for module, doors in ((analysis, ANALYSIS), (plot, PLOT)):
        for name, arguments in doors.items():
            door = getattr(module, name)
            optional = {each for each, given in inspect.signature(door).parameters.items() if given.default is None}
            for argument, (good, kind) in arguments.items():
                for case, change in BAD.get(kind, {}).items():
                    if not (case == "nothing" and argument in optional):
                        values = {each: value for each, (value, _) in arguments.items()} | {argument: change(good)}
                        yield pytest.param(door, values, argument, id=f"{name}-{argument}-{case}")


@pytest.mark.parametrize(("door", "values", "argument"), list(cases()))
def test_every_door_refuses_the_same_values_and_names_the_argument(door, values, argument):
    with pytest.raises(ValueError, match=argument) as refused:
        door(**values)
    assert len(str(refused.value).splitlines()) == 1


@pytest.mark.parametrize("module", [analysis, plot])
def test_every_public_function_has_its_case(module):
    doors = {analysis: ANALYSIS, plot: PLOT}[module].keys() | OTHERS[module]
    assert doors == {name for name, _ in inspect.getmembers(module, inspect.isfunction)}


@pytest.mark.parametrize("door", [name for name in ANALYSIS if not name.startswith("compare")])
def test_what_is_good_is_taken(door):
    getattr(analysis, door)(**{name: value for name, (value, _) in ANALYSIS[door].items()})


CURVES = {
    "no curve": (lambda: plot.accuracy_by_glimpse({}), "accuracy must hold a curve at least, by name; got {}"),
    "no glimpse": (lambda: plot.accuracy_by_glimpse({"one": []}), r"accuracy must have the shape \[T\]"),
    "text": (lambda: plot.accuracy_by_glimpse({"one": ["a"]}), "accuracy, one, must be an array of numbers"),
    "no run": (lambda: plot.learning_curve({}, images=np.arange(3)), "runs must hold a curve at least"),
    "curves": (lambda: plot.speed_accuracy_curve({}), "curves must hold a curve at least"),
    "unlike": (
        lambda: plot.speed_accuracy_curve({"one": analysis.SpeedAccuracy(*map(np.ones, (3, 3, 2)))}),
        r"as many glimpses as accuracies; one has \[3\] and \[2\]",
    ),
    "titles": (
        lambda: plot.fixation_sheet(np.stack([IMAGE] * 3), PATHS, titles=["a"]),
        "images, fixations and titles must be equally many; got 3, 3, 1",
    ),
    "an image of another size": (
        lambda: plot.density(POINTS, height=20, width=20, image=IMAGE),
        "image must be of the height and width, 20 and 20; got",
    ),
    "candidates": (
        lambda: analysis.compare_scanpaths(OBSERVERS, {"mine": PATHS[:2]}, **SIDES),
        "candidates must be of the 3 images; mine is of 2",
    ),
    "candidates in pixels": (
        lambda: analysis.compare_scanpaths(OBSERVERS, {"mine": 27 * PATHS}, **SIDES),
        "candidates, mine, must be fractions",
    ),
    "a table in pixels": (
        lambda: analysis.to_scanpaths(TABLE._replace(x=27 * TABLE.x, y=27 * TABLE.y)),
        "table must be fractions of the image",
    ),
    "a share": (lambda: analysis.wilson_interval(1.2, 10), "shares must lie in"),
    "columns of other lengths": (
        lambda: analysis.write_csv("/nowhere/else.csv", TABLE._replace(x=TABLE.x[:2])),
        "columns of a table must be equally long",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", CURVES)
def test_curves_and_tables_are_refused_by_name(case):
    call, message = CURVES[case]
    with pytest.raises(fx.InputError, match=message):
        call()


@pytest.fixture(scope="module")
def pipeline():
    """A small pipeline, the shapes of its parameters, and data that it takes."""
    sizes = {"hidden": 4, "features": 4, "saccader_hidden": 4, "bands": 0, "contrast": False}
    graph = fx.standard_pipeline(small.data(), fx.PipelineConfig(glimpses=2, crop_size=3, **sizes))
    return graph, jax.eval_shape(lambda: fx.init(graph, KEY)), small.data()


SPLITS = {
    "empty": lambda good: {name: array[:0] for name, array in good.items()},
    "floats up to 255": lambda good: {**good, "image": good["image"].astype(np.float32) + 200},
    "images of another size": lambda good: {**good, "image": good["image"][:, :6]},
    "images of another dtype": lambda good: {**good, "image": np.zeros(good["image"].shape, np.float32)},
    "no labels": lambda good: {"image": good["image"]},
    "a class there is not": lambda good: {**good, "label": good["label"] + 1},
    "negative labels": lambda good: {**good, "label": good["label"] - 1},
    "labels of floats": lambda good: {**good, "label": good["label"].astype(float)},
    "fewer labels": lambda good: {**good, "label": good["label"][:-1]},
}
SHOWS = {
    "evaluate": lambda graph, params, data: fx.evaluate(graph, params, data.test, key=KEY),
    "evaluate_with_controls": lambda graph, params, data: fx.evaluate_with_controls(graph, params, data, key=KEY),
    "sample_scanpaths": lambda graph, params, data: fx.sample_scanpaths(graph, params, data.test, key=KEY, passes=1),
}


@pytest.mark.parametrize("case", SPLITS)
@pytest.mark.parametrize("door", SHOWS)
def test_splits_are_refused_as_from_arrays_refuses_them(door, case, pipeline):
    graph, params, data = pipeline
    with pytest.raises(
        fx.InputError, match=r"^(split|test split|the arrays of (test )?split|a (test )?split) "
    ) as refused:
        SHOWS[door](graph, params, data._replace(test=SPLITS[case](data.test)))
    assert len(str(refused.value).splitlines()) == 1


@pytest.mark.parametrize("case", [name for name in SPLITS if "images" not in name and "class" not in name])
def test_episodes_are_refused_as_from_arrays_refuses_images(case, pipeline):
    graph, _, data = pipeline
    with pytest.raises(fx.InputError, match=r"^(train split|the arrays of train split|a train split) "):
        make_episodes(graph, data._replace(train=SPLITS[case](data.train)))


def test_a_rollout_is_given_what_its_graph_declares(pipeline):
    """Shapes and dtypes, which are known in traced code too."""
    graph, params, data = pipeline
    rollout = fx.compile(graph, ["memory.fixation"])
    good = {name: array[0] for name, array in data.test.items()}
    for bad, message in (
        (
            {"image": good["image"][:4]},
            r"inputs must hold image uint8\[8, 8, 1\], as the graph has it; got uint8\[4, 8",
        ),
        ({"image": good["image"] / 255}, r"image uint8\[8, 8, 1\].* got float32"),
        ({"label": np.zeros(3, np.int32)}, r"label int32\[\].* got int32\[3\]"),
    ):
        with pytest.raises(fx.InputError, match=message):
            jax.eval_shape(rollout, params, {**good, **bad}, KEY)
    environment, _ = fx.split(graph)
    state, _ = jax.eval_shape(environment.reset, KEY, params, good)
    with pytest.raises(fx.InputError, match=r"action of 'saccader' must hold fixation float32\[2\].* got float32\[3\]"):
        jax.eval_shape(environment.step, state, {"saccader": {"fixation": jnp.zeros(3)}}, params)
    with pytest.raises(fx.InputError, match=r"an action must hold saccader.fixation; it holds nothing"):
        jax.eval_shape(environment.step, state, {}, params)


def test_counts_are_refused_by_name():
    data = small.data()
    for call, message in (
        (lambda: fx.translated(data, side=9.5), "side must be a whole number, at least 1; got 9.5"),
        (lambda: fx.cluttered(data, side=20, pieces=-1), "pieces must be a whole number, at least 0; got -1"),
        (lambda: fx.fixed_sequence([["a", "b"]]), "fixations must be .* pairs of numbers"),
        (lambda: next(fx.fit(None, data, SimpleNamespace(key=KEY), steps=1, batch=0)), "batch must be a whole number"),
    ):
        with pytest.raises(fx.InputError, match=message):
            call()


GOOD = {"image": np.zeros((8, 8, 1), np.float32), "fixation": np.array([0.5, 0.5], np.float32), "size": 3}
EYES = {
    "an image without channels": (
        {"image": np.zeros((8, 8), np.float32)},
        r"image must be .* \[H, W, C\]; got float32",
    ),
    "an image of integers": ({"image": np.zeros((8, 8, 1), np.int32)}, "image must be uint8 or a float .*; got int32"),
    "NaN": ({"fixation": np.array([np.nan, 0.5], np.float32)}, "fixation must be finite; 1 of 2 numbers are not"),
    "three coordinates": ({"fixation": np.zeros(3, np.float32)}, r"fixation must have the shape \[2\]; got \[3\]"),
    "no crop": ({"size": 0}, "size must be a whole number, at least 1; got 0"),
}


@pytest.mark.parametrize("case", EYES)
@pytest.mark.parametrize("door", [fx.crop, lambda **values: fx.foveate(scales=2, **values)])
def test_a_retina_refuses_what_it_cannot_sample(door, case):
    bad, message = EYES[case]
    with pytest.raises(fx.InputError, match=message):
        door(**{**GOOD, **bad})


def test_contrast_is_of_a_crop_of_floats():
    with pytest.raises(fx.InputError, match=r"patch must be a float of the shape \[G, G, C\]; got uint8 \[3, 3, 1\]"):
        fx.contrast_luminance(jnp.zeros((3, 3, 1), jnp.uint8))
