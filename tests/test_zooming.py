"""An eye that zooms: a second agent chooses how wide each crop is."""

import jax
import numpy as np
import small

import foveax as fx
from foveax.evaluation.controls import control_targets

CONFIG = fx.PipelineConfig(glimpses=4, crop_size=3, contrast=False, zoom=2.0, hidden=8, features=8, saccader_hidden=8)


def test_crops_are_as_wide_as_the_agent_has_chosen():
    graph = fx.standard_pipeline(small.data(), CONFIG)
    params = fx.init(graph, jax.random.key(0))
    inputs = {name: array[0] for name, array in small.data().train.items()}
    seen = fx.compile(graph)(params, inputs, jax.random.key(2))
    level = np.asarray(seen["magnifier"]["place"])[:, 2]
    assert level[0] == 1
    assert set(level.round(4)) <= {0.0, 0.25, 0.5, 0.75, 1.0}
    assert len(set(level)) > 1
    np.testing.assert_allclose(level, (5 * np.asarray(seen["memory"]["zoom"])[:, 0] - 0.5) / 4, atol=1e-6)
    np.testing.assert_allclose(seen["magnifier"]["factor"], 2**level, rtol=1e-6)
    for glimpse, place, factor in zip(seen["retina"]["glimpse"], seen["memory"]["fixation"], 2**level, strict=True):
        expected = fx.zoom(inputs["image"], place, np.float32(factor), size=3, widest=2.0)
        np.testing.assert_allclose(glimpse, expected, atol=1e-6)
    np.testing.assert_array_equal(seen["magnifier"]["place"][:, :2], seen["memory"]["fixation"])


def test_both_agents_learn_and_each_has_its_controls():
    graph = fx.standard_pipeline(small.data(), CONFIG)
    assert graph.agents == ["saccader", "zoom"]
    assert list(control_targets(graph)) == ["saccader", "zoom"]
    learner = fx.make_learner(graph, fx.LearningConfig(), steps=10)
    before = learner.init(jax.random.key(0))
    after, _ = jax.jit(learner.step)(before, small.batch())
    for agent in graph.agents:
        moved = [
            float(abs(new - old).max())
            for new, old in zip(*(jax.tree.leaves(state.params[agent]) for state in (after, before)), strict=True)
        ]
        assert max(moved) > 0


def test_a_crop_can_be_wider_at_each_of_its_scales():
    retina = fx.cropper(4, scales=2, widest=3.0)
    image = small.data().train["image"][0]
    inputs = {"image": image, "fixation": np.array([0.4, 0.6], np.float32), "factor": np.float32(1.5)}
    outputs, _ = retina.apply({}, (), inputs, None)
    for scale, factor in enumerate((1.5, 3.0)):
        expected = fx.zoom(image, inputs["fixation"], np.float32(factor), size=4, widest=6.0)
        channels = image.shape[-1]
        np.testing.assert_allclose(
            outputs["glimpse"][..., scale * channels : (scale + 1) * channels], expected, atol=1e-6
        )
