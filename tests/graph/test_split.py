"""A split graph, rolled out, gives the compiled graph's trajectory; and the episode keeps its contract."""

import dataclasses

import flax.linen as nn
import hypothesis
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import strategies as st

import foveax as fx
from foveax.graph.graph import waiting_for
from foveax.modules import following


def rolled(graph, params, inputs, key, record, progress=1.0):
    """The environment and its actors, rolled one against the other: every answer, and all that the actors gave."""
    environment, actors = fx.split(graph, record=record)
    keys = {name: fx.actor_keys(graph, key, name) for name in actors}
    state, time_step = environment.reset(key, params, inputs, progress)
    carries, time_steps, acted = {name: actor.begin() for name, actor in actors.items()}, [time_step], []
    for saccade in range(environment.length - 1):
        outputs = {}
        for name, actor in actors.items():
            observation = time_step.observation[name]
            outputs[name], carries[name] = actor.act(params[name], carries[name], observation, keys[name][saccade])
        action = {name: {port: outputs[name][port] for port in ports} for name, ports in environment.action.items()}
        state, time_step = environment.step(state, action, params, progress)
        time_steps.append(time_step)
        acted.append(outputs)
    return time_steps, acted


def bright(glimpse, fixation):
    return glimpse.mean() + fixation.sum()


def named_graphs(config, data):
    """Pipelines that differ in what crosses the agents' border, and when; short ones but the first, to compile fast."""
    yield "standard", fx.standard_pipeline(data, config)
    standard = fx.standard_pipeline(data, dataclasses.replace(config, glimpses=3))
    blind = standard.unlink("classifier.fixation", "saccader.position")
    efference = blind.add(
        "saccader.fixation -> memory.copy", "memory.copy -> classifier.fixation", memory={"copy": (0.5, 0.5)}
    )
    yield "efference copy", efference
    yield "another layer", standard.add("classifier.encoder.what -> saccader.observation")
    yield (
        "in the same glimpse",
        standard.add(
            "retina.glimpse -> bright.glimpse", "saccader.fixation -> bright.fixation", bright=fx.from_function(bright)
        ),
    )
    yield "a module that draws", standard.add(noise=fx.uniform_random())
    remembering = fx.saccader(fx.networks.SaccadeNetwork(hidden=8, core="gru"))
    yield "a saccader with a core", standard.swap("saccader", remembering)
    yield (
        "a core between the two",
        standard.add(
            "classifier.hidden -> between.inputs",
            "between.output -> saccader.observation",
            between=fx.from_linen_cell(nn.GRUCell(12)),
        ),
    )
    yield (
        "a second agent",
        standard.add(
            "retina.glimpse -> flat.glimpse",
            "flat.pixels -> head.observation",
            "head.fixation -> memory.heading",
            "memory.heading -> saccader.position",
            flat=fx.from_function(lambda glimpse: glimpse.reshape(-1), outputs="pixels"),
            head=fx.saccader(),
            memory={"heading": (0.1, 0.1)},
        ),
    )
    yield "one glimpse", fx.standard_pipeline(data, dataclasses.replace(config, glimpses=1))


@pytest.fixture(scope="module")
def graphs(small_config, digits):
    return dict(named_graphs(small_config, digits))


NAMES = ["standard", "efference copy", "another layer", "in the same glimpse", "a module that draws",
         "a saccader with a core", "a core between the two", "a second agent", "one glimpse"]  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_split_gives_the_compiled_trajectory(name, graphs, digits):
    graph = graphs[name]
    params = fx.init(graph, jax.random.key(0))
    inputs = {"image": digits.test["image"][0], "label": digits.test["label"][0]}
    key, record = jax.random.key(7), ("memory.fixation", "decision.probabilities", "reward.reward")
    whole = jax.jit(fx.compile(graph))(params, inputs, key, 0.3)
    time_steps, acted = jax.jit(lambda: rolled(graph, params, inputs, key, record, 0.3))()
    for port in record:
        mine = np.stack([value_at(time_step.info, port) for time_step in time_steps])
        np.testing.assert_allclose(mine, value_at(whole, port), rtol=1e-6, atol=1e-6)
    for agent in graph.agents:
        for port in ("action", "log_prob", "value") if acted else ():
            mine = np.stack([outputs[agent][port] for outputs in acted])
            np.testing.assert_allclose(mine, whole[agent][port][:-1], rtol=1e-5, atol=1e-5)
        rewards = np.stack([time_step.reward[agent] for time_step in time_steps])
        np.testing.assert_allclose(rewards[1:], whole["reward"]["reward"][1:], rtol=1e-5, atol=1e-6)
        assert rewards[0] == 0
    assert [bool(time_step.terminated) for time_step in time_steps] == [False] * (graph.length - 1) + [True]


def value_at(values, port):
    module, _, name = port.partition(".")
    return values[module][name]


@pytest.mark.parametrize("name", [NAMES[0], *(pytest.param(name, marks=pytest.mark.nightly) for name in NAMES[1:])])
def test_split_at_the_retina_gives_the_compiled_trajectory(name, graphs, digits):
    """Given its glimpses one after the other, the rest of the graph computes what the compiled graph does."""
    graph = graphs[name]
    params, key = fx.init(graph, jax.random.key(0)), jax.random.key(4)
    inputs = {"image": digits.test["image"][0], "label": digits.test["label"][0]}
    whole = jax.jit(fx.compile(graph))(params, inputs, key, 0.3)
    waiting = waiting_for(graph.wiring, ["retina"]) - {"retina"}
    record = tuple(f"{module}.{port}" for module in sorted(waiting) for port in graph.wiring.outputs[module])
    environment, actors = fx.split(graph, "retina", record=record)
    assert list(actors) == ["retina"]
    assert {port: spec.shape for port, spec in environment.action["retina"].items()} == {"glimpse": (9, 9, 3)}
    assert environment.reset(key, params, inputs)[1].reward == {}  # no agent is cut out

    @jax.jit
    def ended(glimpses):
        state, _ = environment.reset(key, params, inputs, 0.3)
        infos = []
        for glimpse in range(graph.length):  # one step more than an episode has: it ends the last glimpse
            state, time_step = environment.step(state, {"retina": {"glimpse": glimpses[glimpse]}}, params, 0.3)
            infos.append(time_step.info)
        return jax.tree.map(lambda *values: jnp.stack(values), *infos)

    info = ended(whole["retina"]["glimpse"])
    for port in record:
        np.testing.assert_allclose(value_at(info, port), value_at(whole, port), rtol=1e-5, atol=1e-5, err_msg=port)


def mixed(first, second):
    """Any two values, as one number."""
    return sum(jnp.mean(jnp.sin(value.astype(jnp.float32))) for value in (first, second))


def joined(hidden, extra):
    return jnp.append(hidden, extra)


@st.composite
def random_graphs(draw):
    """The standard pipeline with parts chosen at random, and modules that read any two ports, now or from memory."""
    config = fx.PipelineConfig(
        glimpses=draw(st.integers(1, 4)),
        crop_size=draw(st.integers(2, 5)),
        scales=draw(st.integers(1, 2)),
        contrast=draw(st.booleans()),
        core=draw(st.sampled_from(["rnn", "gru", "lstm", "feedforward"])),
        saccader_core=draw(st.sampled_from(["none", "gru"])),
        exploration=draw(st.sampled_from(["fixed", "scheduled", "learned"])),
        reward=draw(st.sampled_from(["cross_entropy_drop", "correct_last"])),
        hidden=6,
        features=5,
        saccader_hidden=4,
    )
    image = {"image": np.zeros((3, 8, 8, 1), np.uint8), "label": np.arange(3)}
    graph = fx.standard_pipeline(fx.from_arrays(image, image), config)
    optional = ("classifier.fixation", "saccader.position", "saccader.index")
    graph = graph.unlink(*(port for port in optional if not draw(st.booleans())))
    if draw(st.booleans()):
        graph = graph.add(noise=fx.uniform_random())
    for number in range(draw(st.integers(0, 3))):
        ports = [f"{name}.{port}" for name in graph.wiring.order for port in graph.wiring.outputs[name]]
        now, later = draw(st.sampled_from(ports)), draw(st.sampled_from(ports))
        spec = value_at(graph.wiring.outputs, later)
        name, links, memory = f"extra{number}", [f"{later} -> extra{number}.second"], {}
        if draw(st.booleans()):
            links = [f"{later} -> memory.{name}", f"memory.{name} -> {name}.second"]
            memory = {name: np.ones(spec.shape, spec.dtype)}
        extra = fx.from_function(mixed, outputs="mixed")
        graph = graph.add(f"{now} -> {name}.first", *links, memory=memory, **{name: extra})
    if "extra0" in graph.modules and draw(st.booleans()):
        into, out = ["classifier.hidden -> joined.hidden", "extra0.mixed -> joined.extra"], "joined.output"
        try:
            graph = graph.add(*into, f"{out} -> saccader.observation", joined=fx.from_function(joined))
        except fx.GraphError:  # what the extra module reads waits for the saccader: a cycle
            hypothesis.reject()
    return graph


SETTINGS = hypothesis.settings(deadline=None, derandomize=True, database=None,
                               suppress_health_check=list(hypothesis.HealthCheck))  # fmt: skip


@hypothesis.settings(SETTINGS, max_examples=2)
@hypothesis.given(random_graphs())
def test_any_graph_split_gives_the_compiled_trajectory(graph):
    check_split(graph)


@pytest.mark.nightly
@hypothesis.settings(SETTINGS, max_examples=20)
@hypothesis.given(random_graphs())
def test_many_graphs_split_give_the_compiled_trajectory(graph):
    check_split(graph)


def check_split(graph):
    """All that the environment can record, all that the agent gives, and every reward."""
    params, key = fx.init(graph, jax.random.key(0)), jax.random.key(1)
    image = np.random.default_rng(0).integers(0, 255, (8, 8, 1), dtype=np.uint8)
    inputs = {"image": jnp.asarray(image), "label": jnp.int32(2)}
    whole = jax.jit(fx.compile(graph))(params, inputs, key, 0.4)
    record = tuple(f"{name}.{port}" for name, ports in whole.items() if name != "saccader" for port in ports)
    waiting = waiting_for(graph.wiring, ["saccader"])
    time_steps, acted = jax.jit(lambda: rolled(graph, params, inputs, key, record, 0.4))()
    for port in record:
        late = port.partition(".")[0] in waiting  # its values are those of the glimpse that the action ended
        expected = value_at(whole, port)
        answers, expected = (time_steps[1:], expected[:-1]) if late else (time_steps, expected)
        if answers and not jnp.issubdtype(expected.dtype, jax.dtypes.prng_key):
            mine = np.stack([value_at(time_step.info, port) for time_step in answers])
            np.testing.assert_allclose(mine, expected, rtol=1e-5, atol=1e-6, err_msg=port)
    for port in acted[0]["saccader"] if acted else ():
        mine = np.stack([outputs["saccader"][port] for outputs in acted])
        np.testing.assert_allclose(mine, whole["saccader"][port][:-1], rtol=1e-5, atol=1e-5, err_msg=port)
    rewards = np.stack([time_step.reward["saccader"] for time_step in time_steps])
    np.testing.assert_allclose(rewards[1:], whole["reward"]["reward"][1:], rtol=1e-5, atol=1e-6)


def test_environment_is_jitted_vmapped_and_scanned(small_config, digits):
    """A batch of episodes as one scan over steps, as foreign learners run it."""
    graph = fx.standard_pipeline(digits, small_config)
    params = fx.init(graph, jax.random.key(0))
    environment, _ = fx.split(graph, record=("decision.correct",))
    inputs = {"image": digits.test["image"][:4], "label": digits.test["label"][:4]}
    places = jax.random.uniform(jax.random.key(2), (5, 4, 2))

    @jax.jit
    def episodes(key):
        states, _ = jax.vmap(environment.reset, in_axes=(0, None, 0))(jax.random.split(key, 4), params, inputs)

        def step(states, fixation):
            action = {"saccader": {"fixation": fixation}}
            return jax.vmap(environment.step, in_axes=(0, 0, None))(states, action, params)

        return jax.lax.scan(step, states, places)[1]

    time_steps = episodes(jax.random.key(1))
    assert time_steps.reward["saccader"].shape == (5, 4)
    assert time_steps.terminated.tolist() == [[False] * 4] * 4 + [[True] * 4]
    followed = following(graph, "saccader.fixation")
    keys = jax.random.split(jax.random.key(1), 4)
    whole = jax.vmap(fx.compile(followed, ["decision.correct"]), in_axes=(None, 0, 0))(
        {**params, "given": {}}, {**inputs, "fixations": jnp.moveaxis(places, 0, 1)}, keys
    )
    np.testing.assert_array_equal(time_steps.info["decision"]["correct"].T, whole["decision"]["correct"][:, 1:])


def test_spaces_are_those_of_the_border(small_config, digits):
    graph = fx.standard_pipeline(digits, small_config)
    environment, actors = fx.split(graph)
    scalars = dict.fromkeys(("index", "progress", "scale_start", "scale_end"), ())
    shapes = {port: spec.shape for port, spec in environment.observation["saccader"].items()}
    assert shapes == {"observation": (16,), "position": (2,), **scalars}
    assert {port: spec.shape for port, spec in environment.action["saccader"].items()} == {"fixation": (2,)}
    key = jax.random.key(3)
    jax.tree.map(np.testing.assert_array_equal, actors["saccader"].init(key), fx.init(graph, key)["saccader"])


def test_without_a_key_an_agent_takes_its_mode(small_config, digits):
    graph = fx.standard_pipeline(digits, small_config)
    params, (_, actors) = fx.init(graph, jax.random.key(0)), fx.split(graph)
    observation = {port: jnp.ones(spec.shape, spec.dtype) for port, spec in graph.wiring.inputs["saccader"].items()}
    actor = actors["saccader"]
    outputs, _ = actor.act(params["saccader"], actor.begin(), observation, None)
    np.testing.assert_array_equal(outputs["fixation"], outputs["mode"])


def test_what_cannot_be_split_is_refused(small_config, digits):
    graph = fx.standard_pipeline(digits, small_config)
    with pytest.raises(fx.GraphError, match="no module 'eye' to split off; modules are retina, classifier, decision"):
        fx.split(graph, "eye")
    with pytest.raises(fx.GraphError, match=r"must belong to the environment; saccader\.value is the action's own"):
        fx.split(graph, record=("saccader.value",))
    with pytest.raises(
        fx.GraphError, match="the modules to split off must be named in a graph without agents; got none"
    ):
        fx.split(graph.swap("saccader", fx.centre()))
    with pytest.raises(fx.GraphError, match="must act at once; 'saccader' waits for 'classifier'"):
        fx.split(graph, "classifier", "saccader")
    with pytest.raises(fx.GraphError, match="the reward of 'saccader' must not wait for an action of the same glimpse"):
        fx.split(graph, "saccader", "retina")
