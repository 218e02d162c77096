"""Two agents in one graph, each paid by a port of its own: what each learns from, and what is logged of it."""

import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import small

import foveax as fx

SHAPE = (16, 16, 1)
BEGINS = (0.1, 0.9)
"""Where the second eye looks first."""
AGENTS = ("left", "right")
LEARNING = fx.LearningConfig(normalize="none", reinforce=0.5, policy_learning_rate=0.01)


def eye(reward, **options):
    network = fx.networks.SaccadeNetwork(hidden=8)
    return fx.saccader(network, reward=reward, scale_start=0.5, **options)


@functools.cache
def pipeline(*links, pathwise=0.0, pay=1.0):
    """The standard pipeline, whose eye is called ``left``; and an eye ``right``, paid for the light that it sees."""
    config = fx.PipelineConfig(crop_size=9, glimpses=5, hidden=8, features=6, policy="centre")
    graph = fx.standard_pipeline(small.data(SHAPE), config).remove("saccader").add(memory={"second": BEGINS})
    return graph.add(
        "classifier.hidden -> left.observation",
        "memory.fixation -> left.position",
        "loop.index -> left.index",
        "left.fixation -> memory.fixation",
        "classifier.hidden -> right.observation",
        "loop.index -> right.index",
        "right.fixation -> memory.second",
        "input.image -> other_retina.image",
        "memory.second -> other_retina.fixation",
        "other_retina.glimpse -> light.glimpse",
        *links,
        left=eye("reward.reward", pathwise=pathwise),
        right=eye("light.seen"),
        other_retina=fx.cropper(3),
        light=fx.from_function(lambda glimpse: pay * glimpse.mean(), outputs="seen"),
    )


@functools.cache
def learner(*links, **options):
    made = fx.make_learner(pipeline(*links, **options), LEARNING, steps=10)
    return made, jax.jit(made.step)


def stepped(*links, **options):
    made, step = learner(*links, **options)
    before = made.init(jax.random.key(0))
    return before, *step(before, small.batch(16, shape=SHAPE))


def largest(tree):
    return max((float(abs(leaf).max()) for leaf in jax.tree.leaves(tree)), default=0.0)


READS_THE_OTHER = ("left.action -> right.observation",)


@pytest.mark.parametrize("links", [(), READS_THE_OTHER])
@pytest.mark.parametrize("pathwise", [0.0, 0.5])
@pytest.mark.parametrize("agent", AGENTS)
def test_an_agents_loss_has_a_gradient_in_its_own_parameters_alone(agent, pathwise, links):
    graph = pipeline(*links, pathwise=pathwise)
    params, example = fx.init(graph, jax.random.key(0)), {**small.batch(1, shape=SHAPE)}
    example = {name: value[0] for name, value in example.items()}
    ports = ("log_prob", "value", "entropy")
    rollout = fx.compile(graph, [f"{agent}.{port}" for port in ports])

    def total(params):
        trajectory = rollout(params, example, jax.random.key(1), 0.5)
        return sum(weight * jnp.sum(trajectory[agent][port]) for weight, port in enumerate(ports, start=1))

    gradient = {name: largest(part) for name, part in jax.jit(jax.grad(total))(params).items()}
    assert gradient.pop(agent) > 0
    assert gradient == dict.fromkeys(gradient, 0.0)


def test_every_agent_and_the_classifier_move():
    before, after, metrics = stepped()
    for name in (*AGENTS, "classifier"):
        assert largest(jax.tree.map(lambda new, old: new - old, after.params[name], before.params[name])) > 1e-4
    assert all(np.isfinite(value) for value in metrics.values())


def test_an_agent_is_paid_at_its_own_port():
    """Twice the light changes what the right eye is paid and learns, and nothing of the left eye or the classifier."""
    (_, once, metrics), (_, twice, others) = stepped(), stepped(pay=2.0)
    np.testing.assert_allclose(others["right/reward"], 2 * metrics["right/reward"], rtol=1e-5)
    np.testing.assert_allclose(others["left/reward"], metrics["left/reward"], rtol=1e-6)
    for name in ("left", "classifier"):
        chex.assert_trees_all_close(once.params[name], twice.params[name], atol=1e-6)
    assert largest(jax.tree.map(lambda a, b: a - b, once.params["right"], twice.params["right"])) > 1e-5


def rolled(state, record):
    batch = small.batch(16, shape=SHAPE)
    keys = jax.random.split(jax.random.fold_in(state.key, 0), 16)
    rollout = jax.jit(jax.vmap(fx.compile(pipeline(), record), (None, 0, 0, None)))
    return jax.tree.map(np.asarray, rollout(state.params, batch, keys, 0.0))


def test_the_reward_of_an_action_is_that_of_the_next_glimpse():
    """In NumPy: the mean over the batch of the sum from the second glimpse on."""
    before, _, metrics = stepped()
    trajectory = rolled(before, ["reward.reward", "light.seen"])
    np.testing.assert_allclose(metrics["left/reward"], trajectory["reward"]["reward"][:, 1:].sum(1).mean(), rtol=1e-4)
    np.testing.assert_allclose(metrics["right/reward"], trajectory["light"]["seen"][:, 1:].sum(1).mean(), rtol=1e-4)


def test_metrics_are_under_each_agents_name():
    _, _, metrics = stepped()
    terms = ("policy_loss", "value_loss", "entropy", "kl", "reward", "refixation", "border")
    supervised = {"loss/decision.cross_entropy", "accuracy"}
    assert metrics.keys() == {*(f"{name}/{term}" for name in AGENTS for term in terms), *supervised}


def wild(params, name):
    """Parameters so large that the eye looks here and there."""
    key = jax.random.key(10 + AGENTS.index(name))
    return jax.tree.map(lambda leaf: 0.5 * jax.random.normal(key, leaf.shape), params)


def test_signs_of_collapse_are_of_each_agents_own_memory():
    """Those of the analysis, on the modes that a rollout gives and the place that each memory begins with."""
    made, step = learner()
    state = made.init(jax.random.key(0))
    state = state._replace(params={**state.params, **{name: wild(state.params[name], name) for name in AGENTS}})
    _, metrics = step(state, small.batch(16, shape=SHAPE))
    modes = rolled(state, ["left.mode", "right.mode"])
    for name, begins in (("left", (0.5, 0.5)), ("right", BEGINS)):
        first = np.broadcast_to(np.array(begins, np.float32), (16, 1, 2))
        places = np.concatenate([first, modes[name]["mode"][:, :-1]], axis=1)
        for sign, rate in (("refixation", fx.analysis.refixation_rate), ("border", fx.analysis.border_share)):
            near = {"radius": pipeline().roles.crop_size / 3 or 3.0} if sign == "refixation" else {}
            expected = rate(places, begin=3, height=16, width=16, **near)
            np.testing.assert_allclose(metrics[f"{name}/{sign}"], expected, rtol=1e-5, err_msg=f"{name} {sign}")
    for sign in ("left/refixation", "left/border", "right/refixation"):
        assert 0 < metrics[sign] < 1


def test_an_agent_without_a_memory_of_places_shows_no_signs():
    graph = pipeline().unlink("memory.second")
    made = fx.make_learner(graph, LEARNING, steps=10)
    metrics = jax.eval_shape(made.step, jax.eval_shape(made.init, jax.random.key(0)), small.batch(4, shape=SHAPE))[1]
    assert "left/border" in metrics
    assert "right/border" not in metrics
    assert "right/reward" in metrics


def test_each_agent_learns_what_it_is_paid_for():
    """The right eye finds the light in a corner, which has nothing to do with the classes."""
    graph = pipeline()
    steps, rng = 300, np.random.default_rng(0)
    images = rng.integers(0, 20, (256, *SHAPE), dtype=np.uint8)
    images[:, 10:14, 2:6] = 255
    split = {"image": images, "label": rng.integers(0, small.CLASSES, 256).astype(np.int32)}
    data = fx.from_arrays(split, split)
    made = fx.make_learner(graph, fx.LearningConfig(policy_learning_rate=0.02, entropy=0.0), steps=steps)
    state = made.init(jax.random.key(0))
    for state, _ in fx.fit(made, data, state, batch=32):  # noqa: B007
        pass
    modes = rolled(state, ["right.mode"])["right"]["mode"][:, :-1].mean((0, 1))  # the last is never paid
    np.testing.assert_allclose(modes * 15, [3.5, 11.5], atol=0.5)
    begins = fx.evaluate(graph, state.params, data.test, key=jax.random.key(0)).tracks["right"][:, 0]
    np.testing.assert_allclose(begins, np.broadcast_to(np.array(BEGINS), begins.shape), rtol=1e-6)
