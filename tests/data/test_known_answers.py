"""Learning on problems whose answer is known: where to look is learned from a reward, and looking there is needed."""

import jax
import numpy as np
import pytest

import foveax as fx
from foveax.evaluation.controls import best_sequence

# Corners lie near the border, and a single saccade for each image is no collapse: the alarm while training is expected.
pytestmark = pytest.mark.filterwarnings("ignore::foveax.runs.run.CollapseWarning")

GLIMPSES = {"one_place": 2, "cued_place": 2}
METHODS = {"ppo": {}, "reinforce": {"ppo": 0.0, "reinforce": 1.0}}


def config(problem, *, images=100_000, policy="learned", **learning):
    """Small and short, and so without a schedule; `foveax recipe known_answers` is the default recipe, in full."""
    sizes = {"hidden": 64, "features": 64, "saccader_hidden": 64}
    fixed = {"exploration": "fixed", "scale_start": 1.5}
    pipeline = fx.PipelineConfig(glimpses=GLIMPSES[problem], policy=policy, **sizes, **fixed)
    learning = fx.LearningConfig(**learning)
    return fx.TrainingConfig(data=problem, images=images, shift=0, pipeline=pipeline, learning=learning)


def final_accuracy(config):
    result = fx.train(config, evaluate=False)
    test = fx.load(config.data).test
    return fx.evaluate(result.graph, result.params, test, key=jax.random.key(0)).accuracy[-1]


@pytest.mark.slow
@pytest.mark.nightly
@pytest.mark.parametrize("problem", GLIMPSES)
@pytest.mark.parametrize("method", METHODS)
def test_policy_gradient_finds_where_to_look(problem, method):
    assert final_accuracy(config(problem, **METHODS[method])) >= 0.95


@pytest.mark.slow
@pytest.mark.nightly
@pytest.mark.parametrize("problem", GLIMPSES)
def test_random_fixations_do_not_solve_it(problem):
    assert final_accuracy(config(problem, policy="random")) <= 0.8


def test_best_sequence_of_an_eye_that_must_look_at_one_corner_is_that_corner(searched):
    """A classifier that reads the corner exactly stands in for one that has learned to."""

    def follow(split):
        fixations = np.asarray(split["fixations"])
        seen = np.exp(-60 * ((fixations[:, 0] - np.array([4 / 22, 18 / 22])) ** 2).sum(-1))
        right = 0.5 + 0.5 * seen
        label = split["label"]
        probabilities = np.where(np.arange(2) == label[:, None], right[:, None], 1 - right[:, None])
        return fx.Evaluation(probabilities[:, None].repeat(2, 1), label, fixations, {}, np.zeros((len(label), 2)), {})

    tried = np.full((10, 1, 2), 0.5, np.float32)
    found = best_sequence(follow, fx.load("one_place"), key=jax.random.key(0), tried=tried, rounds=8)
    np.testing.assert_allclose(found, [[4 / 22, 18 / 22]], atol=0.03)


def test_without_a_belief_the_best_sequence_has_the_least_loss(searched):
    """The loss of a place is its distance from the corner: the sequence sought is a closed form."""

    def follow(split):
        fixations = np.asarray(split["fixations"])
        loss = ((fixations[:, 0] - np.array([4 / 22, 18 / 22])) ** 2).sum(-1)
        return fx.Evaluation(None, None, fixations, {}, loss[:, None].repeat(2, 1), {})

    tried = np.full((10, 1, 2), 0.5, np.float32)
    found = best_sequence(follow, fx.load("one_place"), key=jax.random.key(0), tried=tried, rounds=8)
    np.testing.assert_allclose(found, [[4 / 22, 18 / 22]], atol=0.03)
