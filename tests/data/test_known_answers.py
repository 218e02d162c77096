"""Learning on problems whose answer is known: where to look is learned from a reward, and looking there is needed."""

import jax
import pytest

import foveax as fx

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
