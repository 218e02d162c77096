"""Episodes on a data set, sessions that hold them, and the lessons that a classifier takes from them."""

import multiprocessing
import os
import pickle

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import foveax as fx
from foveax.environments import GLIMPSES, make_episodes, make_lessons
from foveax.environments.gymnax import make_gymnax
from foveax.environments.session import Session


@pytest.fixture(scope="module")
def graph(small_model, digits):
    return fx.standard_pipeline(small_model, digits.inputs, classes=10)


@pytest.fixture(scope="module")
def params(graph):
    return fx.init(graph, jax.random.key(0))


@pytest.fixture
def session(graph, params, digits):
    return Session(make_episodes(graph, digits), 3, params)


def places(session, seed=0):
    rng = np.random.default_rng(seed)
    return rng.uniform(-1, 1, (session.episodes.length - 1, session.size, 2)).astype(np.float32)


def play(session, seed=0):
    """An episode of each: everything that was answered."""
    return [session.reset(seed), *(session.step(actions) for actions in places(session))]


def test_what_is_answered_is_what_the_compiled_graph_computes(session, graph, params, digits):
    seen = play(session)
    rows = seen[0].info["index"]
    followed = {
        "image": digits.train["image"][rows],
        "label": digits.train["label"][rows],
        "fixations": jnp.asarray((places(session).swapaxes(0, 1) + 1) / 2),
    }
    given = fx.pipelines.following(graph)
    record = ["network.hidden", "retina.fixation", "classifier.predicted", "classifier.correct", "reward.reward"]
    rollout = jax.jit(jax.vmap(fx.compile(given, record), in_axes=(None, 0, None)))
    inputs = {**followed, "progress": jnp.ones(3)}
    whole = rollout({**params, "saccader": {}}, {name: inputs[name] for name in given.inputs}, jax.random.key(0))
    time = np.broadcast_to(np.eye(6, dtype=np.float32)[None], (3, 6, 6))
    observed = np.concatenate([whole["network.hidden"], whole["retina.fixation"], time], axis=-1)
    for glimpse, step in enumerate(seen):
        np.testing.assert_allclose(step.observation["agent"], observed[:, glimpse], atol=1e-6)
        np.testing.assert_array_equal(step.info["predicted"], whole["classifier.predicted"][:, glimpse])
        np.testing.assert_array_equal(step.info["correct"], whole["classifier.correct"][:, glimpse])
        np.testing.assert_array_equal(step.info["label"], digits.train["label"][rows])
        expected = whole["reward.reward"][:, glimpse] if glimpse else np.zeros(3)
        np.testing.assert_allclose(step.reward, expected, atol=1e-6)
        assert step.terminated.tolist() == [glimpse == 5] * 3


def test_same_seed_same_episode_another_seed_other_images(session):
    first, again, other = play(session, 7), play(session, 7), play(session, 8)
    jax.tree.map(np.testing.assert_array_equal, first, again)
    assert first[0].info["index"].tolist() != other[0].info["index"].tolist()


def test_answers_belong_to_the_caller(session):
    seen = play(session)
    kept = seen[0].observation["agent"].copy()
    seen[0].observation["agent"][:] = 5  # may be written to, and is nobody else's
    again = session.reset(0)
    again.info["fixation"][:] = 9
    np.testing.assert_array_equal(session.pictures()[1], np.full((3, 1, 2), 0.5))
    jax.tree.map(lambda one, two: np.shares_memory(one, two) and pytest.fail("shared"), seen[1], seen[2])
    np.testing.assert_array_equal(session.reset(0).observation["agent"], kept)


def test_training_images_are_rendered_anew_and_test_images_as_they_are(graph, params, digits):
    moved = digits._replace(render=lambda key, batch: {**batch, "image": 255 - batch["image"]})
    for split_name, expected in (("train", 255 - digits.train["image"]), ("test", digits.test["image"])):
        session = Session(make_episodes(graph, moved, split_name=split_name), 2, params)
        seen = session.reset(0)
        np.testing.assert_array_equal(session.pictures()[0], expected[seen.info["index"]])


def test_single_episodes_are_cluttered_by_other_images(small_model, digits):
    """Pieces come from the other images of a batch: a batch of one must still have others."""
    data = fx.cluttered(digits._replace(train={name: array[:50] for name, array in digits.train.items()}))
    graph = fx.standard_pipeline(small_model, data.inputs, classes=10)
    session = Session(make_episodes(graph, data), 1, fx.init(graph, jax.random.key(0)))
    for seed in range(5):
        index = session.reset(seed).info["index"][0]
        alone = int(digits.train["image"][index].astype(int).sum())
        assert int(session.pictures()[0][0].astype(int).sum()) > 1.05 * alone


def test_ports_are_observed_by_name(graph, params, digits):
    session = Session(make_episodes(graph, digits, observe=GLIMPSES), 2, params)
    seen = session.reset(0)
    assert {name: part.shape for name, part in seen.observation.items()} == {
        "glimpse": (2, 243), "fixation": (2, 2), "time": (2, 6)}  # fmt: skip
    image = session.pictures()[0][1]
    crop = fx.contrast_luminance(fx.crop(image, jnp.array([0.5, 0.5]), size=9))
    np.testing.assert_allclose(seen.observation["glimpse"][1], crop.reshape(-1), atol=1e-6)
    assert seen.observation["time"].tolist() == [[1, 0, 0, 0, 0, 0]] * 2


REFUSED = {
    "step before reset": (
        lambda s: s.step(np.zeros((3, 2))),
        "must be under way to be stepped.*before the first reset",
    ),
    "step after the end": (lambda s: [*play(s), s.step(np.zeros((3, 2)))], "after the end, at glimpse 6: call reset"),
    "shape": (lambda s: [s.reset(0), s.step(np.zeros(2))], r"of the shape \[3, 2\]; got float64 \[2\]"),
    "no numbers": (lambda s: [s.reset(0), s.step(np.full((3, 2), "a"))], r"must be numbers"),
    "NaN": (lambda s: [s.reset(0), s.step(np.full((3, 2), np.nan))], r"must lie in \[-1, 1\]; got values from nan"),
    "outside": (lambda s: [s.reset(0), s.step(np.full((3, 2), 1.5))], r"must lie in \[-1, 1\]; got values from 1.5"),
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
    seen = session.step(places(session)[0])
    session.reset(0)
    jax.tree.map(np.testing.assert_array_equal, seen, session.step(places(session)[0]))


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


def test_a_session_has_parameters_or_lessons(graph, params, digits):
    with pytest.raises(fx.InputError, match="either parameters or lessons"):
        Session(make_episodes(graph, digits), 1)
    with pytest.raises(fx.InputError, match="num_envs must be at least 1; got 0"):
        Session(make_episodes(graph, digits), 0, params)


def test_what_cannot_be_observed_is_refused(graph, digits):
    with pytest.raises(fx.GraphError, match=r"must not wait for the action: 'saccader\.value'"):
        make_episodes(graph, digits, observe=("saccader.value",))
    with pytest.raises(fx.InputError, match="observe must be 'agent' or a tuple of ports; got 'retina"):
        make_episodes(graph, digits, observe="retina.glimpse")
    with pytest.raises(fx.InputError, match="must differ in the last part of their names"):
        make_episodes(graph, digits, observe=("retina.fixation", "retina.fixation"))
    two = graph.add(
        "saccader.aim -> judge.aim", "classifier.correct -> judge.correct",
        judge=fx.from_function(lambda aim, correct: aim.sum() * jnp.where(correct, 1.0, 0.0)),
    )  # fmt: skip
    with pytest.raises(fx.GraphError, match="by its port fixation alone; others read aim, fixation"):
        make_episodes(two, digits)


def test_the_agent_reads_its_ports_in_one_order_however_the_graph_was_rewired(graph, params, digits):
    """A policy learnt on one order must not be read in another."""
    rewired = graph.add("network.hidden -> saccader.observation")  # the link moves to the end
    once, again = (Session(make_episodes(each, digits), 3, params).reset(0) for each in (graph, rewired))
    np.testing.assert_array_equal(once.observation["agent"], again.observation["agent"])


def test_one_glimpse_leaves_nothing_to_act_in(digits):
    graph = fx.standard_pipeline(fx.Model(glimpses=1, hidden=8, features=8), digits.inputs, classes=10)
    with pytest.raises(fx.GraphError, match="at least 2 glimpses to be acted in; got 1"):
        make_episodes(graph, digits)


def test_a_lesson_is_the_step_of_a_classifier_led_along_the_same_fixations(graph, digits):
    """Two batches of three episodes make one lesson of six, the same as training on them directly."""
    lessons = make_lessons(graph, fx.Learning(), key=jax.random.key(0), batch=6, steps=10)
    session = Session(make_episodes(graph, digits), 3, lessons=lessons)
    first = play(session, 0)
    assert lessons.given == 0
    before = jax.tree.map(np.asarray, lessons.params)
    second = play(session, 1)
    assert lessons.given == 1
    rows = np.concatenate([seen[0].info["index"] for seen in (first, second)])
    led = np.concatenate([(places(session).swapaxes(0, 1) + 1) / 2] * 2)
    batch = {name: array[rows] for name, array in digits.train.items()} | {"fixations": led}
    learner = fx.make_learner(fx.pipelines.following(graph), fx.Learning(), steps=10)
    start = learner.init(jax.random.key(0))
    jax.tree.map(np.testing.assert_array_equal, before, start.params)
    state, _ = jax.jit(learner.step)(start, batch)
    jax.tree.map(lambda mine, theirs: np.testing.assert_allclose(mine, theirs, rtol=1e-4, atol=1e-6),
                 lessons.params, state.params)  # fmt: skip


def test_the_batching_capsule_decides_how_often_the_classifier_changes(graph, digits):
    capsule = graph.add(network=fx.batching(graph.modules["network"], every=2))
    lessons = make_lessons(capsule, fx.Learning(), key=jax.random.key(0), batch=3)
    session = Session(make_episodes(capsule, digits), 3, lessons=lessons)
    start = jax.tree.map(np.asarray, lessons.params["network"])
    play(session, 0)
    jax.tree.map(np.testing.assert_array_equal, start, lessons.params["network"])
    play(session, 1)
    changed = jax.tree.map(lambda old, new: bool((old != np.asarray(new)).any()), start, lessons.params["network"])
    assert any(jax.tree.leaves(changed))


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
    time = np.asarray(observations[:, -6:])  # the last observed part: the glimpse as one-hot
    assert time.argmax(-1).tolist() == [1, 2, 3, 4, 0, 1, 2, 3, 4, 0, 1, 2]
    assert len(set(info["index"].tolist())) == 3
    assert np.isfinite(rewards).all()
    assert (rewards != 0).all()


def test_gymnax_episode_is_that_of_a_session(graph, params, digits):
    episodes = make_episodes(graph, digits)
    environment, session = make_gymnax(episodes, params), Session(episodes, 1, params)
    _, state = environment.reset(jax.random.key(5), environment.default_params)
    session.reset(5)
    for action in places(session):
        mine, state, reward, done, _ = environment.step_env(
            jax.random.key(0), state, action[0], environment.default_params
        )
        seen = session.step(action)
        np.testing.assert_allclose(mine, seen.observation["agent"][0], atol=1e-6)
        np.testing.assert_allclose(reward, seen.reward[0], atol=1e-6)
    assert bool(done)
