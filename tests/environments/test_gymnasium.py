"""The Gymnasium environments keep its rules, alone and as a batch, and misuse is answered."""

import copy
import dataclasses
import functools
import pickle

import gymnasium
import jax
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from gymnasium.vector import AsyncVectorEnv, AutoresetMode, SyncVectorEnv
from gymnasium.wrappers.vector import ClipAction

import foveax as fx
from foveax.environments import make_classifier_training, make_episodes
from foveax.environments.gymnasium import IDS, FoveaxEnv, FoveaxVectorEnv

SIZE = 3


@pytest.fixture(scope="module")
def parts(small_config, digits):
    graph = fx.standard_pipeline(digits, small_config)
    return make_episodes(graph, digits), fx.init(graph, jax.random.key(0))


def batch_of(parts, mode, **more):
    episodes, params = parts
    return FoveaxVectorEnv(SIZE, episodes, params=params, autoreset_mode=mode, **more)


def played(environments, steps, seed=0):
    """What each of some steps with the same actions gives, the reset first."""
    actions = np.random.default_rng(1).uniform(-1, 1, (steps, SIZE, 2)).astype(np.float32)
    observations, infos = environments.reset(seed=seed)
    none = np.zeros(SIZE)
    return [(observations, none, none, none, infos), *(environments.step(action) for action in actions)]


FIRST, *OTHERS = IDS


@pytest.mark.slow
@pytest.mark.parametrize("name", [FIRST, *(pytest.param(name, marks=pytest.mark.nightly) for name in OTHERS)])
def test_registered_ids_pass_gymnasiums_own_check(name):
    """Warnings are errors here."""
    environment = gymnasium.make(name, render_mode="rgb_array")
    check_env(environment.unwrapped)
    environment.close()


def test_next_step_reset(parts):
    steps = played(batch_of(parts, AutoresetMode.NEXT_STEP), 8)
    ends = [bool(terminations.all()) for _, _, terminations, _, _ in steps]
    assert ends == [False] * 5 + [True] + [False] * 3
    assert not any(truncations.any() for _, _, _, truncations, _ in steps)
    observations, rewards, _, _, infos = steps[6]  # the step after the end begins anew, whatever its action
    assert not rewards.any()
    np.testing.assert_array_equal(infos["fixation"], np.full((SIZE, 2), 0.5))
    assert observations[:, -29:].argmax(-1).tolist() == [0] * SIZE
    assert infos["index"].tolist() != steps[0][4]["index"].tolist()


def test_same_step_reset_gives_the_last_observation_too(parts):
    next_step = played(batch_of(parts, AutoresetMode.NEXT_STEP), 8)
    same_step = played(batch_of(parts, "SameStep"), 7)
    *_, terminations, _, infos = same_step[5]
    assert terminations.all()
    np.testing.assert_array_equal(np.stack(list(infos["final_obs"])), next_step[5][0])
    jax.tree.map(np.testing.assert_array_equal, infos["final_info"], next_step[5][4])
    assert infos["_final_obs"].all()
    np.testing.assert_array_equal(same_step[5][0], next_step[6][0])
    np.testing.assert_array_equal(same_step[5][1], next_step[5][1])


def test_without_automatic_reset_a_step_after_the_end_is_refused(parts):
    environments = batch_of(parts, AutoresetMode.DISABLED)
    with pytest.raises(fx.InputError, match="after the end, at glimpse 6: call reset"):
        played(environments, 6)
    environments.reset()
    assert not environments.step(np.zeros((SIZE, 2)))[2].any()


def test_batch_of_one_is_the_single_environment(parts):
    episodes, params = parts
    single, batch = FoveaxEnv(episodes, params=params), FoveaxVectorEnv(1, episodes, params=params)
    observation, info = single.reset(seed=4)
    observations, infos = batch.reset(seed=4)
    for _ in range(5):
        np.testing.assert_array_equal(observation, observations[0])
        assert info["index"] == infos["index"][0]
        action = single.action_space.sample()
        observation, reward, terminated, _, info = single.step(action)
        observations, rewards, terminations, _, infos = batch.step(action[None])
        assert reward == float(rewards[0])
        assert terminated == terminations[0]
    assert terminated


def test_seeds_follow_gymnasiums_rules(parts):
    environments = batch_of(parts, AutoresetMode.NEXT_STEP)
    first, second, again = (environments.reset(seed=seed)[1]["index"].tolist() for seed in (1, None, 1))
    assert first == again
    assert first != second
    assert environments.np_random_seed == 1
    state = copy.deepcopy(environments.np_random)
    index = environments.reset()[1]["index"].tolist()
    environments.np_random = state
    assert environments.reset()[1]["index"].tolist() == index


def test_seeds_of_each_episode_are_those_of_environments_of_their_own(parts):
    """Gymnasium's own batch of single environments, through the automatic reset and a reset of one place anew."""
    episodes, params = parts
    ours = batch_of(parts, AutoresetMode.NEXT_STEP)
    theirs = SyncVectorEnv([lambda: FoveaxEnv(episodes, params)] * SIZE, autoreset_mode=AutoresetMode.NEXT_STEP)
    for seeds in ([5, 2**40, 5], [None, 7, None]):
        mine, expected = (environments.reset(seed=seeds) for environments in (ours, theirs))
        np.testing.assert_allclose(mine[0], expected[0], atol=1e-6)
        for _ in range(7):
            actions = ours.action_space.sample()
            mine, expected = (environments.step(actions) for environments in (ours, theirs))
            np.testing.assert_allclose(mine[0], expected[0], atol=1e-6)
            np.testing.assert_array_equal(mine[4]["index"], expected[4]["index"])
    assert ours.reset(seed=1)[1]["index"].tolist() == batch_of(parts, "NextStep").reset(seed=1)[1]["index"].tolist()


def test_actions_outside_are_brought_to_the_border_as_gymnasium_clips_them(parts, rng):
    """Those of an unclipped Gaussian, and the next number beyond the bounds."""
    environments, clipped = batch_of(parts, "NextStep"), ClipAction(batch_of(parts, "NextStep"))
    environments.reset(seed=0)
    clipped.reset(seed=0)
    for actions in (rng.normal(0, 2, (SIZE, 2)), np.full((SIZE, 2), np.nextafter(np.float32(1), np.float32(2)))):
        mine, expected = environments.step(actions), clipped.step(actions.astype(np.float32))
        jax.tree.map(lambda one, two: np.testing.assert_allclose(one, two, atol=1e-6), mine, expected)
    assert mine[4]["fixation"].max() <= 1


class Tensor:
    """PyTorch's tensor that requires grad, as far as it matters here."""

    def __init__(self, array, *, attached=True):
        self.array = array
        self.attached = attached

    def __array__(self, *_, **__):
        raise RuntimeError("Can't call numpy() on Tensor that requires grad. Use tensor.detach().numpy() instead.")

    def detach(self):
        return Tensor(self.array, attached=False)

    def cpu(self):
        return self

    def numpy(self):
        return self.__array__() if self.attached else self.array


def test_tensors_that_require_grad_are_actions(parts):
    action = np.array([0.3, -0.2], np.float32)
    single, batch = FoveaxEnv(parts[0], params=parts[1]), batch_of(parts, "NextStep")
    single.reset(seed=0)
    batch.reset(seed=0)
    np.testing.assert_allclose(single.step(Tensor(action))[4]["fixation"], (action + 1) / 2, atol=1e-6)
    answered = batch.step(Tensor(np.tile(action, (SIZE, 1))))[4]["fixation"]
    np.testing.assert_allclose(answered, [(action + 1) / 2] * SIZE, atol=1e-6)


@pytest.mark.filterwarnings("ignore:os.fork:RuntimeWarning", "ignore:This process:DeprecationWarning")
@pytest.mark.filterwarnings("ignore:.*(WARN|ERROR).*:UserWarning")  # what Gymnasium has to say about it
@pytest.mark.parametrize("direct", [True, False])
def test_forked_workers_are_refused_in_the_parent_with_what_works(direct, parts):
    """Which would be a broken pipe, since a worker that cannot make its environment dies."""
    make = (lambda: FoveaxEnv(*parts)) if direct else (lambda: gymnasium.make("foveax/CuedPlace-v0"))
    environments = AsyncVectorEnv([make], context="fork")
    with pytest.raises(fx.InputError, match=r"forked from it, where JAX would hang: .*AsyncVectorEnv.*context='spawn'"):
        environments.reset(seed=0)
    environments.close(terminate=True)


@pytest.mark.nightly
def test_spawned_workers_are_those_of_environments_in_this_process():
    name, config = "foveax/CuedPlace-v0", {"pipeline": {"hidden": 8, "features": 8}}
    make = functools.partial(gymnasium.make_vec, name, num_envs=2, config=config)
    spawned = make(vectorization_mode="async", vector_kwargs={"context": "spawn"})
    here = make(vectorization_mode="sync")
    mine, expected = (environments.reset(seed=3) for environments in (spawned, here))
    np.testing.assert_allclose(mine[0], expected[0], atol=1e-5)
    np.testing.assert_array_equal(mine[1]["index"], expected[1]["index"])
    spawned.close()


def test_vector_entry_point_and_wrappers():
    environments = gymnasium.make_vec("foveax/Mnist5k-v0", num_envs=2, autoreset_mode="SameStep")
    assert environments.metadata["autoreset_mode"] == AutoresetMode.SAME_STEP
    recorded = gymnasium.wrappers.vector.RecordEpisodeStatistics(environments)
    recorded.reset(seed=0)
    returns = 0
    for _ in range(5):
        _, rewards, _, _, infos = recorded.step(recorded.action_space.sample())
        returns += rewards
    np.testing.assert_allclose(infos["episode"]["r"], returns, rtol=1e-6)
    assert infos["episode"]["l"].tolist() == [5, 5]


def test_fields_given_to_an_id_take_the_place_of_its_own():
    """The others stay: in this problem there are 2 glimpses of images of 23x23."""
    environments = gymnasium.make_vec("foveax/CuedPlace-v0", num_envs=1, config={"pipeline": {"hidden": 8}})
    assert environments.single_observation_space.shape == (8 + 2 + 29,)
    assert environments.unwrapped.session.episodes.images["image"].shape[1:] == (23, 23, 1)


def test_a_run_is_an_environment_whose_classifier_stays(tmp_path, small_config):
    config = fx.TrainingConfig(images=320, pipeline=small_config)
    result = fx.train(config, out=tmp_path / "run", evaluate=False)
    environments = gymnasium.make_vec("foveax/Mnist5k-v0", num_envs=64, run=str(tmp_path / "run"), split="test")
    jax.tree.map(np.testing.assert_array_equal, environments.unwrapped.session.params, result.params)
    data = fx.load("mnist5k")
    own = fx.evaluate(result.graph, result.params, data.test, key=jax.random.key(0))
    steps = [environments.reset(seed=0)[1]]
    rows = steps[0]["index"]
    for saccade in range(5):
        steps.append(environments.step(2 * own.fixations[rows, saccade + 1] - 1)[4])
    agreed = [step["predicted"] == own.predicted[rows, glimpse] for glimpse, step in enumerate(steps)]
    assert np.mean(agreed) > 0.99  # ties may be decided by rounding
    np.testing.assert_array_equal(steps[0]["label"], data.test["label"][rows])


def test_the_classifier_learns_from_what_it_serves(digits):
    """Random saccades, but the classifier gets better at them."""
    graph = fx.standard_pipeline(digits, fx.PipelineConfig(glimpses=3, hidden=64, features=64))
    training = make_classifier_training(graph, fx.LearningConfig(), key=jax.random.key(0), batch=32)
    environments = FoveaxVectorEnv(32, make_episodes(graph, digits), training)
    correct = []
    environments.reset(seed=0)
    environments.action_space.seed(0)
    for _ in range(300):
        *_, terminations, _, infos = environments.step(environments.action_space.sample())
        if terminations.all():
            correct.append(infos["correct"].mean())
    assert np.mean(correct[-20:]) > np.mean(correct[:20]) + 0.3


def test_rendering(parts):
    environments = batch_of(parts, AutoresetMode.NEXT_STEP, render_mode="rgb_array")
    with pytest.raises(fx.InputError, match="call reset first"):
        environments.render()
    environments.reset(seed=0)
    before = environments.render()
    environments.step(np.full((SIZE, 2), 0.8))
    after = environments.render()
    assert [frame.shape for frame in after] == [(280, 440, 3)] * SIZE
    assert after[0].dtype == np.uint8
    assert (after[0] != before[0]).mean() > 0.01
    assert batch_of(parts, AutoresetMode.NEXT_STEP).render() is None


def test_rendering_draws_no_crop_where_none_is_declared(parts):
    episodes, params = parts
    roles = episodes.graph.roles._replace(crop_size=0)
    graph = dataclasses.replace(episodes.graph, roles=roles)
    environment = FoveaxEnv(episodes._replace(graph=graph), params=params, render_mode="rgb_array")
    environment.reset(seed=0)
    assert environment.render().shape == (280, 280, 3)


def two_agents(data):
    """A pipeline of one's own, with a second agent."""
    graph = fx.standard_pipeline(data, fx.PipelineConfig(glimpses=2, hidden=8, features=8))
    return graph.add("classifier.hidden -> head.observation", "head.fixation -> memory.heading",
                     memory={"heading": (0.5, 0.5)}, head=fx.saccader())  # fmt: skip


def test_a_pipeline_of_ones_own_and_data_of_ones_own(digits):
    inverted = digits._replace(train={**digits.train, "image": 255 - digits.train["image"]})
    options = {"pipeline": two_agents, "data": inverted, "config": {"shift": 0}}
    with pytest.raises(
        fx.GraphError, match="must be named unless the graph has exactly one; agents are saccader, head"
    ):
        gymnasium.make("foveax/Mnist5k-v0", **options)
    environment = gymnasium.make("foveax/Mnist5k-v0", agent="head", **options).unwrapped
    assert environment.observation_space.shape == (8,)
    _, info = environment.reset(seed=0)
    np.testing.assert_array_equal(environment.session.pictures()[0][0], inverted.train["image"][info["index"]])
    by_name = gymnasium.make("foveax/Mnist5k-v0", pipeline="foveax.pipelines.standard:standard_pipeline")
    assert by_name.observation_space.shape == (256 + 2 + 29,)


def test_a_run_of_a_pipeline_of_ones_own_is_given_it_again(tmp_path):
    config, out = fx.TrainingConfig(images=32, shift=0), str(tmp_path / "run")
    result = fx.train(config, pipeline=two_agents, out=out, evaluate=False)
    environment = gymnasium.make("foveax/Mnist5k-v0", run=out, pipeline=two_agents, agent="saccader").unwrapped
    jax.tree.map(np.testing.assert_array_equal, dict(environment.session.params), result.params)
    with pytest.raises(fx.InputError, match="pipeline must be given again"):
        gymnasium.make("foveax/Mnist5k-v0", run=out, agent="saccader")


def stepped(environment, action):
    environment.reset(seed=0)
    environment.step(action)


MISUSE = {
    "unknown render mode": (
        lambda parts: FoveaxEnv(parts[0], params=parts[1], render_mode="human"),
        "render_mode must be rgb_array or None; got 'human'",
    ),
    "partial reset": (
        lambda parts: batch_of(parts, "NextStep").reset(options={"reset_mask": np.array([True, False, True])}),
        "all episodes must be reset together",
    ),
    "step before reset": (
        lambda parts: batch_of(parts, "NextStep").step(np.zeros((SIZE, 2))),
        "before the first reset",
    ),
    "action of one": (lambda parts: stepped(FoveaxEnv(parts[0], params=parts[1]), np.zeros(3)), r"\[1, 2\]"),
    "NaN": (lambda parts: stepped(batch_of(parts, "NextStep"), np.full((SIZE, 2), np.nan)), "must be finite; got nan"),
    "seeds": (
        lambda parts: batch_of(parts, "NextStep").reset(seed=[1, 2]),
        "seed must be one number, or one for each of 3 episodes; got 2",
    ),
    "negative seed": (
        lambda parts: batch_of(parts, "NextStep").reset(seed=[1, -2, 3]),
        "seed must be a whole number, at least 0; got -2",
    ),
    "pickled": (lambda parts: pickle.dumps(batch_of(parts, "NextStep")), "must not be pickled"),
    "test images to learn from": (
        lambda parts: gymnasium.make("foveax/Mnist5k-v0", split="test"),
        "split must be train where the classifier learns; got 'test'",
    ),
    "two sources": (
        lambda parts: gymnasium.make("foveax/Mnist5k-v0", run="runs/none", config={}),
        "of a config or of a run",
    ),
    "unknown field": (
        lambda parts: gymnasium.make("foveax/Mnist5k-v0", config={"crop": 9}),
        "TrainingConfig has no field 'crop'",
    ),
}  # fmt: skip


@pytest.mark.parametrize("misuse", MISUSE)
def test_misuse_is_answered_in_a_sentence(misuse, parts):
    call, message = MISUSE[misuse]
    with pytest.raises(fx.InputError, match=message):
        call(parts)


def test_closing_twice_is_harmless_and_use_after_it_refused(parts):
    episodes, params = parts
    for environment in (FoveaxEnv(episodes, params=params), batch_of(parts, "NextStep")):
        environment.reset(seed=0)
        environment.close()
        environment.close()
        with pytest.raises(fx.InputError, match="must not be used once it is closed"):
            environment.reset()
