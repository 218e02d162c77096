"""A split graph, rolled out, gives the compiled graph's trajectory; and the episode keeps its contract."""

import flax.linen as nn
import hypothesis
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import strategies as st

import foveax as fx
from foveax.graph.split import downstream


def rolled(graph, params, inputs, key, record):
    """The environment and the agent, rolled one against the other: every answer, and every action."""
    environment, player = fx.split(graph, record=record)
    keys = fx.saccade_keys(graph, key)
    state, seen = environment.reset(key, params, inputs)
    memory, steps, actions = player.begin(), [seen], []
    for saccade in range(environment.length - 1):
        action, memory = player.act(params["saccader"], memory, seen, keys[saccade])
        state, seen = environment.step(state, {port: action[port] for port in environment.action}, params)
        steps.append(seen)
        actions.append(action)
    return steps, actions


def bright(glimpse, fixation):
    return glimpse.mean() + fixation.sum()


def graphs(small_model, inputs):
    """Pipelines that differ in what crosses the agent's border, and when."""
    standard = fx.standard_pipeline(small_model, inputs, classes=10)
    blind = fx.standard_pipeline(
        fx.Model(hidden=16, features=8, saccader_hidden=8, where=False, position=False), inputs, classes=10
    )
    efference = blind.add(fx.Feedback("saccader.fixation -> network.fixation", initial=(0.5, 0.5)))
    yield "standard", standard
    yield "efference copy", efference
    yield "another layer", standard.add("network.encoder.what -> saccader.observation")
    yield (
        "in the same glimpse",
        standard.add(
            "retina.glimpse -> bright.glimpse", "saccader.fixation -> bright.fixation", bright=fx.from_function(bright)
        ),
    )
    yield "a module that draws", standard.add(noise=fx.uniform_random())
    remembering = fx.saccader(fx.networks.SaccadeNetwork(8, core="gru"))
    yield "a saccader with a memory", standard.swap("saccader", remembering)
    yield (
        "a memory between the two",
        standard.add(
            "network.hidden -> between.inputs",
            "between.output -> saccader.observation",
            between=fx.from_linen_cell(nn.GRUCell(12)),
        ),
    )
    yield (
        "one glimpse",
        fx.standard_pipeline(fx.Model(glimpses=1, hidden=16, features=8, saccader_hidden=8), inputs, classes=10),
    )


NAMES = ["standard", "efference copy", "another layer", "in the same glimpse", "a module that draws",
         "a saccader with a memory", "a memory between the two", "one glimpse"]  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_split_gives_the_compiled_trajectory(name, small_model, digits):
    graph = dict(graphs(small_model, digits.inputs))[name]
    params = fx.init(graph, jax.random.key(0))
    inputs = {"image": digits.test["image"][0], "label": digits.test["label"][0], "progress": jnp.float32(0.3)}
    key, record = jax.random.key(7), ("retina.fixation", "classifier.probabilities", "reward.reward")
    whole = jax.jit(fx.compile(graph))(params, inputs, key)
    steps, actions = jax.jit(lambda: rolled(graph, params, inputs, key, record))()
    for port in record:
        np.testing.assert_allclose(np.stack([seen.info[port] for seen in steps]), whole[port], rtol=1e-6, atol=1e-6)
    for port in ("action", "log_prob", "value") if actions else ():
        mine = np.stack([action[port] for action in actions])
        np.testing.assert_allclose(mine, whole[f"saccader.{port}"][:-1], rtol=1e-5, atol=1e-5)
    rewards = np.stack([seen.reward for seen in steps])
    np.testing.assert_allclose(rewards[1:], whole["reward.reward"][1:], rtol=1e-5, atol=1e-6)
    assert rewards[0] == 0
    assert [bool(seen.terminated) for seen in steps] == [False] * (graph.length - 1) + [True]


def mixed(first, second):
    """Any two values, as one number."""
    return sum(jnp.mean(jnp.sin(value.astype(jnp.float32))) for value in (first, second))


def joined(hidden, extra):
    return jnp.append(hidden, extra)


@st.composite
def random_graphs(draw):
    """The standard pipeline with its parts chosen at random, and modules that read any two ports, now or fed back."""
    model = fx.Model(
        glimpses=draw(st.integers(1, 4)),
        crop=draw(st.integers(2, 5)),
        scales=draw(st.integers(1, 2)),
        contrast=draw(st.booleans()),
        core=draw(st.sampled_from(["rnn", "gru", "lstm", "feedforward"])),
        where=draw(st.booleans()),
        position=draw(st.booleans()),
        time=draw(st.booleans()),
        saccader_core=draw(st.sampled_from(["none", "gru"])),
        deviation=draw(st.sampled_from(["fixed", "scheduled", "learned"])),
        reward=draw(st.sampled_from(["cross_entropy_drop", "correct_last"])),
        hidden=6,
        features=5,
        saccader_hidden=4,
    )
    graph = fx.standard_pipeline(model, fx.image_source((8, 8, 1)), classes=3)
    if draw(st.booleans()):
        graph = graph.add(noise=fx.uniform_random())
    for number in range(draw(st.integers(0, 3))):
        ports = [f"{name}.{port}" for name in graph.wiring.order for port in graph.wiring.outputs[name]]
        now, later = draw(st.sampled_from(ports)), draw(st.sampled_from(ports))
        module, _, port = later.partition(".")
        spec = graph.wiring.outputs[module][port]
        fed_back = fx.Feedback(f"{later} -> extra{number}.second", np.ones(spec.shape, spec.dtype))
        second = fed_back if draw(st.booleans()) else f"{later} -> extra{number}.second"
        extra = fx.from_function(mixed, outputs="mixed")
        graph = graph.add(f"{now} -> extra{number}.first", second, **{f"extra{number}": extra})
    if "extra0" in graph.modules and draw(st.booleans()):
        into, out = ["network.hidden -> joined.hidden", "extra0.mixed -> joined.extra"], "joined.output"
        try:
            graph = graph.add(*into, f"{out} -> saccader.observation", joined=fx.from_function(joined))
        except fx.GraphError:  # what the extra module reads waits for the saccader: a cycle
            hypothesis.reject()
    return graph


@pytest.mark.slow
@hypothesis.settings(max_examples=8, deadline=None, derandomize=True, database=None,
                     suppress_health_check=list(hypothesis.HealthCheck))  # fmt: skip
@hypothesis.given(random_graphs())
def test_any_graph_split_gives_the_compiled_trajectory(graph):
    """All that the environment can record, all that the agent gives, and every reward."""
    params, key = fx.init(graph, jax.random.key(0)), jax.random.key(1)
    image = np.random.default_rng(0).integers(0, 255, (8, 8, 1), dtype=np.uint8)
    inputs = {"image": jnp.asarray(image), "label": jnp.int32(2), "progress": jnp.float32(0.4)}
    whole = jax.jit(fx.compile(graph))(params, inputs, key)
    waits = downstream(graph, "saccader")
    record = tuple(port for port in whole if port.partition(".")[0] not in waits)
    steps, actions = jax.jit(lambda: rolled(graph, params, inputs, key, record))()
    for port in record:
        if not jnp.issubdtype(whole[port].dtype, jax.dtypes.prng_key):
            seen = np.stack([step.info[port] for step in steps])
            np.testing.assert_allclose(seen, whole[port], rtol=1e-5, atol=1e-6, err_msg=port)
    for port in actions[0] if actions else ():
        acted = np.stack([action[port] for action in actions])
        expected = whole[f"saccader.{port}"][:-1]
        skipped = 1 if port == "reward" else 0  # before the first saccade there is none: the environment says 0
        np.testing.assert_allclose(acted[skipped:], expected[skipped:], rtol=1e-5, atol=1e-5, err_msg=port)
    rewards = np.stack([step.reward for step in steps])
    np.testing.assert_allclose(rewards[1:], whole["reward.reward"][1:], rtol=1e-5, atol=1e-6)


def test_environment_is_jitted_vmapped_and_scanned(small_model, digits):
    """A batch of episodes as one scan over steps, as foreign learners run it."""
    graph = fx.standard_pipeline(small_model, digits.inputs, classes=10)
    params = fx.init(graph, jax.random.key(0))
    environment, _ = fx.split(graph, record=("classifier.correct",))
    inputs = {"image": digits.test["image"][:4], "label": digits.test["label"][:4], "progress": jnp.ones(4)}
    places = jax.random.uniform(jax.random.key(2), (5, 4, 2))

    @jax.jit
    def episodes(key):
        states, _ = jax.vmap(environment.reset, in_axes=(0, None, 0))(jax.random.split(key, 4), params, inputs)

        def step(states, fixation):
            return jax.vmap(environment.step, in_axes=(0, 0, None))(states, {"fixation": fixation}, params)

        return jax.lax.scan(step, states, places)[1]

    steps = episodes(jax.random.key(1))
    assert steps.reward.shape == (5, 4)
    assert steps.terminated.tolist() == [[False] * 4] * 4 + [[True] * 4]
    led = {**inputs, "fixations": jnp.moveaxis(places, 0, 1)}
    followed = {**digits.inputs, "fixations": jax.ShapeDtypeStruct((5, 2), jnp.float32)}
    given = fx.with_policy(fx.standard_pipeline(small_model, followed, classes=10), "given")
    keys = jax.random.split(jax.random.key(1), 4)
    whole = jax.vmap(fx.compile(given, ["classifier.correct"]), in_axes=(None, 0, 0))(
        {**params, "saccader": {}}, led, keys
    )
    np.testing.assert_array_equal(steps.info["classifier.correct"].T, whole["classifier.correct"][:, 1:])


def test_spaces_are_those_of_the_border(small_model, digits):
    graph = fx.standard_pipeline(small_model, digits.inputs, classes=10)
    environment, player = fx.split(graph)
    assert {port: spec.shape for port, spec in environment.observation.items()} == {
        "observation": (16,), "position": (2,), "time": (6,), "progress": ()}  # fmt: skip
    assert {port: spec.shape for port, spec in environment.action.items()} == {"fixation": (2,)}
    key = jax.random.key(3)
    jax.tree.map(np.testing.assert_array_equal, player.init(key), fx.init(graph, key)["saccader"])


def test_what_cannot_be_split_is_refused(small_model, digits):
    graph = fx.standard_pipeline(small_model, digits.inputs, classes=10)
    with pytest.raises(fx.GraphError, match="agent must be one of the graph's agents, saccader; got 'eye'"):
        fx.split(graph, "eye")
    with pytest.raises(fx.GraphError, match=r"must not wait for the action: 'saccader\.value'"):
        fx.split(graph, record=("saccader.value",))
