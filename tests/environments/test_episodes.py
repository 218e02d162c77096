"""Episodes on a data set, sessions that hold them, and the training of a classifier on them."""

import dataclasses
import multiprocessing
import os
import pickle

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import foveax as fx
from foveax.environments import GLIMPSES, make_classifier_training, make_episodes
from foveax.environments.gymnax import make_gymnax
from foveax.environments.session import Session
from foveax.modules import following
from foveax.networks import index_features


@pytest.fixture(scope="module")
def graph(small_config, digits):
    return fx.standard_pipeline(digits, small_config)


@pytest.fixture(scope="module")
def short_config(small_config):
    """Which compiles faster."""
    return dataclasses.replace(small_config, glimpses=3)


@pytest.fixture(scope="module")
def params(graph):
    return fx.init(graph, jax.random.key(0))


@pytest.fixture(scope="module")
def episodes(graph, digits):
    """Of which all sessions share the compiled programs."""
    return make_episodes(graph, digits)


@pytest.fixture
def session(episodes, params):
    return Session(episodes, 3, params)


def places(session, seed=0):
    rng = np.random.default_rng(seed)
    return rng.uniform(-1, 1, (session.episodes.graph.length - 1, session.size, 2)).astype(np.float32)


def play(session, seed=0):
    """An episode of each: every answer."""
    return [session.reset(seed), *(session.step(actions) for actions in places(session))]


def test_answers_are_those_of_the_compiled_graph(session, graph, params, digits):
    time_steps = play(session)
    rows = time_steps[0].info["index"]
    inputs = {
        "image": digits.train["image"][rows],
        "label": digits.train["label"][rows],
        "fixations": jnp.asarray((places(session).swapaxes(0, 1) + 1) / 2),
    }
    followed = following(graph, "saccader.fixation")
    record = ["classifier.hidden", "memory.fixation", "decision.predicted", "decision.correct", "reward.reward"]
    rollout = jax.jit(jax.vmap(fx.compile(followed, record), in_axes=(None, 0, None)))
    whole = rollout({**params, "given": {}}, inputs, jax.random.key(0))
    index = np.broadcast_to(jax.vmap(index_features)(jnp.arange(6))[None], (3, 6, 29))
    observed = np.concatenate([whole["classifier"]["hidden"], whole["memory"]["fixation"], index], axis=-1)
    for glimpse, time_step in enumerate(time_steps):
        np.testing.assert_allclose(time_step.observation, observed[:, glimpse], atol=1e-6)
        np.testing.assert_allclose(time_step.info["fixation"], whole["memory"]["fixation"][:, glimpse], atol=1e-6)
        np.testing.assert_array_equal(time_step.info["predicted"], whole["decision"]["predicted"][:, glimpse])
        np.testing.assert_array_equal(time_step.info["correct"], whole["decision"]["correct"][:, glimpse])
        np.testing.assert_array_equal(time_step.info["label"], digits.train["label"][rows])
        expected = whole["reward"]["reward"][:, glimpse] if glimpse else np.zeros(3)
        np.testing.assert_allclose(time_step.reward, expected, atol=1e-6)
        assert time_step.terminated.tolist() == [glimpse == 5] * 3


def test_same_seed_same_episode_another_seed_other_images(session):
    first, again, other = play(session, 7), play(session, 7), play(session, 8)
    jax.tree.map(np.testing.assert_array_equal, first, again)
    assert first[0].info["index"].tolist() != other[0].info["index"].tolist()


def test_answers_belong_to_the_caller(session):
    time_steps = play(session)
    before = time_steps[0].observation.copy()
    time_steps[0].observation[:] = 5  # may be written to, and is nobody else's
    again = session.reset(0)
    again.info["fixation"][:] = 9
    np.testing.assert_array_equal(session.pictures()[1], np.full((3, 1, 2), 0.5))
    jax.tree.map(lambda one, two: np.shares_memory(one, two) and pytest.fail("shared"), *time_steps[1:3])
    np.testing.assert_array_equal(session.reset(0).observation, before)


def test_pictures_are_the_images_with_their_fixations(session, digits):
    time_steps = play(session)
    images, fixations = session.pictures()
    np.testing.assert_array_equal(images, digits.train["image"][time_steps[0].info["index"]])
    np.testing.assert_allclose(fixations[:, 1:], (places(session).swapaxes(0, 1) + 1) / 2, atol=1e-6)
    np.testing.assert_array_equal(fixations[:, 0], 0.5)


def test_training_images_are_rendered_anew_and_test_images_as_they_are(graph, params, digits):
    moved = digits._replace(render=lambda key, batch: {**batch, "image": 255 - batch["image"]})
    for split_name, expected in (("train", 255 - digits.train["image"]), ("test", digits.test["image"])):
        session = Session(make_episodes(graph, moved, split_name=split_name), 2, params)
        time_step = session.reset(0)
        np.testing.assert_array_equal(session.pictures()[0], expected[time_step.info["index"]])


def test_single_episodes_are_cluttered_by_other_images(small_config, digits):
    """Pieces come from the other images of a batch: a batch of one must still have others."""
    data = fx.cluttered(digits._replace(train={name: array[:50] for name, array in digits.train.items()}))
    graph = fx.standard_pipeline(data, small_config)
    session = Session(make_episodes(graph, data), 1, fx.init(graph, jax.random.key(0)))
    for seed in range(5):
        index = session.reset(seed).info["index"][0]
        alone = int(digits.train["image"][index].astype(int).sum())
        assert int(session.pictures()[0][0].astype(int).sum()) > 1.05 * alone


def test_ports_are_observed_by_name(graph, params, digits):
    session = Session(make_episodes(graph, digits, observe=GLIMPSES), 2, params)
    time_step = session.reset(0)
    assert {name: part.shape for name, part in time_step.observation.items()} == {
        "glimpse": (2, 243), "fixation": (2, 2), "index": (2, 29)}  # fmt: skip
    assert {name: box.shape[0] for name, box in session.episodes.observation.items()} == {
        "glimpse": 243, "fixation": 2, "index": 29}  # fmt: skip
    image = session.pictures()[0][1]
    crop = fx.contrast_luminance(fx.crop(image, jnp.array([0.5, 0.5]), size=9))
    np.testing.assert_allclose(time_step.observation["glimpse"][1], crop.reshape(-1), atol=1e-6)
    np.testing.assert_array_equal(time_step.observation["index"], [index_features(jnp.int32(0))] * 2)


REFUSED = {
    "step before reset": (
        lambda s: s.step(np.zeros((3, 2))),
        "must be under way to be stepped.*before the first reset",
    ),
    "step after the end": (lambda s: [*play(s), s.step(np.zeros((3, 2)))], "after the end, at glimpse 6: call reset"),
    "shape": (lambda s: [s.reset(0), s.step(np.zeros(2))], r"of the shape \[3, 2\]; got float64 \[2\]"),
    "no numbers": (lambda s: [s.reset(0), s.step(np.full((3, 2), "a"))], r"must be numbers"),
    "NaN": (lambda s: [s.reset(0), s.step(np.full((3, 2), np.nan))], "must be finite; got nan"),
    "infinite": (lambda s: [s.reset(0), s.step(np.full((3, 2), np.inf))], "must be finite; got inf"),
    "ragged": (lambda s: [s.reset(0), s.step([[0, 0], [0]])], "must be an array of numbers; got list"),
    "closed": (lambda s: [s.close(), s.close(), s.reset(0)], "must not be used once it is closed"),
    "pickled": (pickle.dumps, "must not be pickled"),
    "nothing to render": (lambda s: s.pictures(), "call reset first"),
}


@pytest.mark.parametrize("misuse", REFUSED)
def test_misuse_is_answered_in_a_sentence(misuse, session):
    call, message = REFUSED[misuse]
    with pytest.raises(fx.InputError, match=message):
        call(session)


def test_a_refused_step_changes_nothing(session):
    session.reset(0)
    with pytest.raises(fx.InputError):
        session.step(np.full((3, 2), np.nan))
    time_step = session.step(places(session)[0])
    session.reset(0)
    jax.tree.map(np.testing.assert_array_equal, time_step, session.step(places(session)[0]))


@pytest.mark.filterwarnings("ignore:os.fork:RuntimeWarning", "ignore:This process:DeprecationWarning")
def test_use_in_a_forked_process_is_refused(session):
    session.reset(0)
    ours, theirs = multiprocessing.Pipe()
    child = os.fork()
    if child == 0:  # pragma: no cover
        try:
            session.step(places(session)[0])
        except fx.InputError as error:
            theirs.send(str(error))
        finally:
            os._exit(0)
    os.waitpid(child, 0)
    assert ours.poll(10)
    assert f"such as {os.getpid()}; this is {child}, forked from it" in ours.recv()


def test_a_session_has_an_episode_at_least(episodes, params):
    with pytest.raises(fx.InputError, match="num_envs must be a whole number, at least 1; got 0"):
        Session(episodes, 0, params)


def test_what_cannot_be_observed_is_refused(graph, digits):
    with pytest.raises(fx.GraphError, match=r"must not wait for the action; saccader\.value does"):
        make_episodes(graph, digits, observe=("saccader.value",))
    with pytest.raises(fx.GraphError, match=r"no port 'retina\.colour' to record; there are retina\.glimpse"):
        make_episodes(graph, digits, observe=("retina.colour",))
    with pytest.raises(fx.InputError, match="observe must be 'agent' or a tuple of ports; got 'retina"):
        make_episodes(graph, digits, observe="retina.glimpse")
    with pytest.raises(fx.InputError, match="must differ in the last part of their names"):
        make_episodes(graph, digits, observe=("memory.fixation", "memory.fixation"))


def test_an_agent_that_does_not_act_by_its_fixation_alone_is_refused(graph, digits):
    two = graph.add(
        "saccader.mode -> judge.mode", "decision.correct -> judge.correct",
        judge=fx.from_function(lambda mode, correct: mode.sum() * jnp.where(correct, 1.0, 0.0)),
    )  # fmt: skip
    with pytest.raises(
        fx.GraphError, match=r"by one port float32\[2\] alone; others read .*fixation .* saccader\.mode"
    ):
        make_episodes(two, digits)
    with pytest.raises(fx.GraphError, match="others read none"):
        make_episodes(graph.unlink("memory.fixation"), digits)


def test_the_agent_reads_its_ports_in_one_order_however_the_graph_was_rewired(graph, params, digits):
    """A policy learnt on one order must not be read in another."""
    rewired = dataclasses.replace(graph, links=list(reversed(graph.links)))
    once, again = (Session(make_episodes(each, digits), 3, params).reset(0) for each in (graph, rewired))
    np.testing.assert_array_equal(once.observation, again.observation)


def test_one_glimpse_leaves_nothing_to_act_in(digits):
    graph = fx.standard_pipeline(digits, fx.PipelineConfig(glimpses=1, hidden=8, features=8))
    with pytest.raises(fx.GraphError, match="at least 2 glimpses to be acted in; got 1"):
        make_episodes(graph, digits)


def test_a_step_of_the_classifier_is_that_of_a_learner_along_the_same_fixations(graph, digits):
    """Two batches of three episodes make one step on six, the same as training on them directly."""
    training = make_classifier_training(graph, fx.LearningConfig(), key=jax.random.key(0), batch=6, steps=10)
    session = Session(make_episodes(graph, digits), 3, training)
    first = play(session, 0)
    assert training.steps == 0
    assert "saccader" not in training.params
    before = jax.tree.map(np.asarray, training.params)
    second = play(session, 1)
    assert training.steps == 1
    rows = np.concatenate([time_steps[0].info["index"] for time_steps in (first, second)])
    fixations = np.concatenate([(places(session).swapaxes(0, 1) + 1) / 2] * 2)
    batch = {name: array[rows] for name, array in digits.train.items()} | {"fixations": fixations}
    followed = following(graph, "saccader.fixation").remove("saccader")
    learner = fx.make_learner(followed, fx.LearningConfig(), steps=10)
    start = learner.init(jax.random.key(0))
    jax.tree.map(np.testing.assert_array_equal, before, start.params)
    whole = fx.make_learner(graph, fx.LearningConfig(), steps=10).init(jax.random.key(0)).params
    jax.tree.map(np.testing.assert_array_equal, before["classifier"], whole["classifier"])
    state, metrics = jax.jit(learner.step)(start, batch)
    jax.tree.map(lambda mine, theirs: np.testing.assert_allclose(mine, theirs, rtol=1e-4, atol=1e-6),
                 training.params, state.params)  # fmt: skip
    reported = training.take_metrics()
    assert set(reported) == {"accuracy", "loss/decision.cross_entropy"}
    np.testing.assert_allclose(reported["accuracy"], metrics["accuracy"], atol=1e-6)


def test_the_batching_capsule_decides_how_often_the_classifier_changes(graph, digits):
    capsule = graph.add(classifier=fx.batching(graph.modules["classifier"], every=2))
    training = make_classifier_training(capsule, fx.LearningConfig(), key=jax.random.key(0), batch=3)
    session = Session(make_episodes(capsule, digits), 3, training)
    start = jax.tree.map(np.asarray, training.params["classifier"])
    play(session, 0)
    jax.tree.map(np.testing.assert_array_equal, start, training.params["classifier"])
    play(session, 1)
    changed = jax.tree.map(lambda old, new: bool((old != np.asarray(new)).any()), start, training.params["classifier"])
    assert any(jax.tree.leaves(changed))


def eye_and_head(digits, config):
    """Two agents, an eye and a head, each paid by a port of its own; what is seen lies between their places."""
    graph = fx.standard_pipeline(digits, config).remove("saccader")
    head = fx.saccader(reward="effort.reward", exploration="fixed")
    eye = fx.saccader(reward="pay.reward", exploration="fixed")
    return graph.add(
        "classifier.hidden -> eye.observation",
        "memory.fixation -> eye.position",
        "loop.index -> eye.index",
        "eye.fixation -> memory.fixation",
        "classifier.hidden -> head.observation",
        "head.fixation -> memory.heading",
        "memory.fixation -> place.gaze",
        "memory.heading -> place.heading",
        "place.middle -> retina.fixation",
        "memory.heading -> effort.heading",
        "reward.reward -> pay.drop",
        memory={"heading": (0.5, 0.5)},
        eye=eye,
        head=head,
        place=fx.from_function(lambda gaze, heading: (gaze + heading) / 2, outputs="middle"),
        effort=fx.from_function(lambda heading: -jnp.sum(jnp.abs(heading - 0.5)), outputs="reward"),
        pay=fx.from_function(lambda drop: 10 * drop, outputs="reward"),
    )


@pytest.mark.parametrize(("agent", "reward"), [("eye", "pay"), ("head", "effort")])
def test_the_agent_that_is_named_acts_and_is_paid_and_the_other_acts_inside(agent, reward, short_config, digits):
    graph = eye_and_head(digits, short_config)
    params, other = fx.init(graph, jax.random.key(0)), {"eye": "head", "head": "eye"}[agent]
    with pytest.raises(fx.GraphError, match="must be named unless the graph has exactly one; agents are eye, head"):
        make_episodes(graph, digits)
    episodes = make_episodes(graph, digits, agent)
    session = Session(episodes, 3, {name: part for name, part in params.items() if name != agent})
    assert episodes.agent == agent
    assert episodes.observation.shape[0] == {"eye": 16 + 2 + 29, "head": 16}[agent]
    time_steps = play(session)
    inputs, keys = session._state.episodes.inputs, session._state.episodes.key
    fixations = jnp.asarray((places(session).swapaxes(0, 1) + 1) / 2)
    followed = following(graph, f"{agent}.fixation")
    record = [f"{reward}.reward", f"{other}.fixation", "memory.fixation", "decision.probabilities"]
    rollout = jax.jit(jax.vmap(fx.compile(followed, record), in_axes=(None, 0, 0)))
    whole = rollout({**params, "given": {}}, {**inputs, "fixations": fixations}, keys)
    expected = whole[reward]["reward"]
    assert float(jnp.abs(expected[:, 1:]).min()) > 0
    for glimpse, time_step in enumerate(time_steps):
        np.testing.assert_allclose(time_step.reward, expected[:, glimpse] if glimpse else np.zeros(3), atol=1e-5)
        np.testing.assert_allclose(time_step.info["fixation"], whole["memory"]["fixation"][:, glimpse], atol=1e-5)
        predicted = whole["decision"]["probabilities"][:, glimpse].argmax(-1)
        np.testing.assert_array_equal(time_step.info["predicted"], predicted)
    assert float(whole[other]["fixation"].std()) > 0.01  # it explores


def test_the_agent_that_stays_inside_learns_with_the_classifier(short_config, digits):
    graph = eye_and_head(digits, short_config)
    training = make_classifier_training(graph, fx.LearningConfig(), "eye", key=jax.random.key(0), batch=3)
    session = Session(make_episodes(graph, digits, "eye"), 3, training)
    start = jax.tree.map(np.asarray, training.params)
    play(session)
    assert "eye" not in training.params
    for name in ("classifier", "head"):
        changed = jax.tree.map(lambda old, new: bool((old != new).any()), start[name], dict(training.params[name]))
        assert any(jax.tree.leaves(changed)), name
    assert "head/policy_loss" in training.take_metrics()


def test_an_agent_of_any_name_acts(digits, short_config):
    """The same episodes as with the stock names: nothing depends on them."""
    standard = fx.standard_pipeline(digits, short_config)
    names = {"saccader": "eye", "retina": "fovea", "classifier": "cortex", "decision": "verdict", "reward": "pay"}

    def renamed(text):
        return ".".join(names.get(part, part) for part in text.split("."))

    links = [" -> ".join(renamed(end.strip()) for end in link.split("->")) for link in standard.links]
    modules = {names[name]: module for name, module in standard.modules.items()}
    agent = modules["eye"].agent._replace(reward="pay.reward")
    roles = standard.roles._replace(belief="verdict.probabilities")
    graph = dataclasses.replace(
        standard, modules={**modules, "eye": modules["eye"]._replace(agent=agent)}, links=links, roles=roles
    )
    params = fx.init(standard, jax.random.key(0))
    mine = play(Session(make_episodes(graph, digits), 3, {names[name]: part for name, part in params.items()}))
    theirs = play(Session(make_episodes(standard, digits), 3, params))
    jax.tree.map(lambda one, two: np.testing.assert_allclose(one, two, atol=1e-6), mine, theirs)


def test_limited_reach_is_kept_and_learnt_from(digits, short_config):
    """The eye moves as far as it can, in the environment and where the classifier learns from it."""
    standard = fx.standard_pipeline(digits, short_config)
    graph = standard.swap("saccader", fx.saccader(policy=fx.bounded_gaussian(0.1), exploration="fixed"))
    training = make_classifier_training(graph, fx.LearningConfig(), key=jax.random.key(0), batch=3)
    session = Session(make_episodes(graph, digits), 3, training)
    start = jax.tree.map(np.asarray, training.params)
    session.reset(0)
    for saccade in range(2):
        fixation = session.step(np.array([[1.0, -1.0]] * 3)).info["fixation"]
        expected = 0.5 + 0.1 * (saccade + 1)
        np.testing.assert_allclose(fixation, [[expected, 1 - expected]] * 3, atol=1e-6)
    _, track = session.pictures()
    np.testing.assert_allclose(track[0, :, 0], [0.5, 0.6, 0.7], atol=1e-6)
    reached = {**session._state.episodes.inputs, "fixations": jnp.asarray(track[:, 1:])}
    learner = fx.make_learner(
        following(graph, "saccader.fixation").remove("saccader"), fx.LearningConfig(decay="constant"), steps=1
    )
    initial = learner.init(jax.random.key(0))
    state, _ = jax.jit(learner.step)(initial, reached)
    jax.tree.map(np.testing.assert_array_equal, start["classifier"], initial.params["classifier"])
    jax.tree.map(lambda mine, theirs: np.testing.assert_allclose(mine, theirs, rtol=1e-4, atol=1e-6),
                 training.params["classifier"], state.params["classifier"])  # fmt: skip


def test_only_declared_roles_are_reported(graph, params, digits):
    session = Session(make_episodes(dataclasses.replace(graph, roles=fx.Roles()), digits), 2, params)
    assert set(session.reset(0).info) == {"index", "label"}
    with pytest.raises(fx.InputError, match="must have an input image and declare its gaze"):
        session.pictures()


def test_observations_have_their_bounds_where_there_are_some(episodes, graph, digits):
    """The agent's vector is a layer of 16, a place and the number of the glimpse; an image is of uint8."""
    largest = np.finfo(np.float32).max
    low, high, *_ = episodes.observation
    np.testing.assert_array_equal(low, [-largest] * 16 + [0] * 31)
    np.testing.assert_array_equal(high, [largest] * 16 + [1] * 31)
    parts = make_episodes(graph, digits, observe=("input.image", "decision.probabilities")).observation
    assert {name: (box.low.min(), box.high.max()) for name, box in parts.items()} == {
        "image": (0, 255), "probabilities": (0, 1)}  # fmt: skip


def test_a_gymnax_environment_is_a_static_argument_and_says_how_long_an_episode_is(episodes, params):
    """As learners written for gymnax have it."""
    environment = make_gymnax(episodes, params)
    steps = jax.jit(lambda env, params: params.max_steps_in_episode + 0, static_argnums=0)
    assert steps(environment, environment.default_params) == 5


@pytest.mark.parametrize("step_values", [5, 6])
def test_gymnax_signatures_scan_and_begin_anew(step_values, graph, params, digits):
    environment = make_gymnax(make_episodes(graph, digits), params, step_values=step_values)
    default = environment.default_params

    @jax.jit
    def scanned(key):
        reset_key, steps_key = jax.random.split(key)
        observation, state = environment.reset(reset_key)

        def step(state, key):
            action_key, step_key = jax.random.split(key)
            action = environment.action_space(default).sample(action_key)
            observation, state, *rest = environment.step(step_key, state, action, default)
            return state, (observation, *rest)

        return observation, jax.lax.scan(step, state, jax.random.split(steps_key, 12))[1]

    first, (observations, rewards, *ends, info) = scanned(jax.random.key(3))
    assert len(ends) == step_values - 4
    assert np.flatnonzero(ends[0]).tolist() == [4, 9]
    if step_values == 6:
        assert not ends[1].any()
    assert bool(environment.observation_space().contains(first))
    index = np.asarray(observations[:, -29:])  # the last observed part: the number of the glimpse
    assert index.argmax(-1).tolist() == [1, 2, 3, 4, 0, 1, 2, 3, 4, 0, 1, 2]
    assert len(set(info["index"].tolist())) == 3
    assert np.isfinite(rewards).all()
    assert (rewards != 0).all()


def test_gymnax_episode_is_that_of_a_session(episodes, params):
    environment, session = make_gymnax(episodes, params), Session(episodes, 1, params)
    _, state = jax.jit(environment.reset)(jax.random.key(5), environment.default_params)
    step_env = jax.jit(environment.step_env)
    session.reset(5)
    for action in places(session):
        mine, state, reward, done, _ = step_env(jax.random.key(0), state, action[0], environment.default_params)
        time_step = session.step(action)
        np.testing.assert_allclose(mine, time_step.observation[0], atol=1e-6)
        np.testing.assert_allclose(reward, time_step.reward[0], atol=1e-6)
    assert bool(done)
