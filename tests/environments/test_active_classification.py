"""The reverse: a foveax pipeline in an active-classification environment that others wrote, here in plain NumPy."""

import dataclasses

import gymnasium
import jax
import numpy as np
import pytest
from gymnasium import spaces
from gymnasium.vector import AutoresetMode, SyncVectorEnv

import foveax as fx
from foveax.environments.active_classification import Names, make_active_classification, play_episodes
from foveax.environments.active_classification_training import train_active_classification

STEPS, CROP = 2, 9


class Peephole(gymnasium.Env):
    """Pixels through a peephole at whole pixels; what is predicted last counts."""

    def __init__(self, data, *, relative=False, steps=STEPS, label=True, log_probabilities=False, unit=None):
        self.images, self.labels = data.train["image"], data.train["label"]
        self.side, self.relative, self.steps, self.tell = self.images.shape[1] - 1, relative, steps, label
        self.unit = unit  # the farthest move along an axis, as a fraction of the side, of which a movement of 1 is one
        self.observation_space = spaces.Dict(
            {
                "glimpse": spaces.Box(0, 255, (CROP, CROP, 1), np.uint8),
                "position": spaces.Box(0, self.side, (2,), np.float32),
            }
        )
        farthest = self.side if unit is None else 1.0
        reach = spaces.Box(-farthest, farthest, (2,), np.float32)
        classes = data.classes
        self.action_space = spaces.Dict(
            {
                "movement": reach,  # wider than where an absolute movement may go
                "prediction": (
                    spaces.Box(-np.inf, log_probabilities, (classes,))
                    if log_probabilities is not False
                    else spaces.Discrete(classes)
                ),
            }
        )  # fmt: skip

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        del options
        self.row, self.time = self.np_random.integers(len(self.images)), 0
        self.position = np.full(2, self.side / 2, np.float32)
        return self.observe(), {}

    def observe(self):
        column, row = np.rint(self.position).astype(int)
        padded = np.pad(self.images[self.row], ((CROP // 2, CROP // 2), (CROP // 2, CROP // 2), (0, 0)))
        return {"glimpse": padded[row : row + CROP, column : column + CROP], "position": self.position.copy()}

    def step(self, action):
        assert self.action_space.contains(action), action
        movement, prediction = action["movement"], np.argmax(action["prediction"])
        prediction = prediction if isinstance(self.action_space["prediction"], spaces.Box) else action["prediction"]
        moved = self.position + movement * (1 if self.unit is None else self.unit * self.side)
        moved = moved if self.relative else movement
        self.position = np.clip(moved, 0, self.side).astype(np.float32)
        self.time += 1
        ended = self.time == self.steps
        correct = bool(prediction == self.labels[self.row])
        told = {"label": int(self.labels[self.row]), "outcome": {"target": int(self.labels[self.row])}}
        info = told if ended and self.tell else {}
        return self.observe(), float(ended and correct), ended, False, info


@pytest.fixture(scope="module")
def corner():
    return fx.load("one_place")


def batch(data, size=4, mode=AutoresetMode.DISABLED, **options):
    environments = SyncVectorEnv([lambda: Peephole(data, **options) for _ in range(size)], autoreset_mode=mode)
    environments.reset(seed=0)
    return environments


CONFIG = fx.PipelineConfig(glimpses=STEPS, hidden=32, features=32, saccader_hidden=32)


def keys(seed, size=4):
    return jax.random.split(jax.random.key(seed), size)


@pytest.mark.parametrize("mode", AutoresetMode)
@pytest.mark.parametrize("relative", [False, True])
def test_the_eye_lands_where_the_saccader_says(mode, relative, corner):
    movement = "relative" if relative else "absolute"
    environments = batch(corner, mode=mode, relative=relative)
    task = make_active_classification(environments, CONFIG, movement=movement)
    params = fx.init(task.graph, jax.random.key(0))
    played = play_episodes(task, params, keys=keys(1))
    assert played.glimpses.shape == (4, STEPS, CROP, CROP, 1)
    np.testing.assert_array_equal(played.positions[:, 0], 0.5)
    np.testing.assert_allclose(played.positions[:, 1], played.fixations[:, 0], atol=1e-6)
    assert played.glimpses.max() <= 1
    assert (played.label < corner.classes).all()
    np.testing.assert_array_equal(played.reward[:, -1], played.probabilities[:, -1].argmax(-1) == played.label)


@pytest.mark.parametrize("sample", [False, True])
def test_played_episodes_are_those_of_the_compiled_graph(sample, corner):
    """Given the glimpses, positions and keys of the play, the graph makes the same saccades and says the same."""
    task = make_active_classification(batch(corner), CONFIG)
    params = fx.init(task.graph, jax.random.key(0))
    played = play_episodes(task, params, keys=keys(1), progress=0.4, sample=sample)
    graph = task.graph if sample else fx.greedy(task.graph)
    rollout = jax.jit(jax.vmap(fx.compile(graph), in_axes=(None, 0, 0, None)))
    whole = rollout(params, played.inputs, keys(1), 0.4)
    np.testing.assert_allclose(played.probabilities, whole["decision"]["probabilities"], atol=1e-5)
    np.testing.assert_allclose(played.fixations, whole["saccader"]["fixation"], atol=1e-5)
    np.testing.assert_allclose(played.accuracy, whole["decision"]["correct"].mean(axis=0), atol=1e-6)
    assert played.fixations.std() > 0.01


def test_an_eye_that_does_not_look_follows_its_sequence(corner):
    """Its fixations do not wait for the retina."""
    config = dataclasses.replace(CONFIG, policy="sequence", sequence=((0.25, 0.75),))
    task = make_active_classification(batch(corner), config)
    played = play_episodes(task, fx.init(task.graph, jax.random.key(0)), keys=keys(1))
    np.testing.assert_allclose(played.positions[:, 1], [[0.25, 0.75]] * 4, atol=1e-6)


@pytest.mark.parametrize("mode", AutoresetMode)
def test_an_eye_of_limited_reach_moves_in_units_of_it(mode, corner):
    """As in environments whose largest action makes the longest move: none is cut short, and all land as chosen."""
    config = dataclasses.replace(CONFIG, glimpses=6, reach=0.1)
    environments = batch(corner, mode=mode, relative=True, unit=0.1, steps=6)
    names = Names(label="outcome.target")
    task = make_active_classification(environments, config, names=names, movement="relative", unit=0.1)
    params = fx.init(task.graph, jax.random.key(0))
    played = play_episodes(task, params, keys=keys(1), sample=True, progress=0.0)
    moves = np.diff(played.positions, axis=1)
    np.testing.assert_allclose(played.positions[:, 1:], played.fixations[:, :-1], atol=1e-5)
    assert 0.05 < np.abs(moves).max() <= 0.1 + 1e-5
    np.testing.assert_array_equal(played.reward[:, -1], played.probabilities[:, -1].argmax(-1) == played.label)


@pytest.mark.parametrize("highest", [0.0, np.inf])
def test_predictions_may_be_log_probabilities_or_logits(highest, corner):
    task = make_active_classification(batch(corner, log_probabilities=highest), CONFIG)
    played = play_episodes(task, fx.init(task.graph, jax.random.key(0)), keys=keys(1))
    np.testing.assert_array_equal(played.reward[:, -1], played.probabilities[:, -1].argmax(-1) == played.label)


def test_a_single_environment_is_a_batch_of_one(corner):
    task = make_active_classification(Peephole(corner), CONFIG)
    played = play_episodes(task, fx.init(task.graph, jax.random.key(0)), keys=keys(1, size=1))
    assert played.accuracy.shape == (STEPS,)


@pytest.mark.nightly
def test_a_step_is_that_of_the_agents_learner_on_what_was_played(corner):
    """The saccader learns from the saccades that were made, and is paid by the reward that it names."""
    task = make_active_classification(batch(corner), CONFIG)
    learning = fx.LearningConfig()
    (params, metrics), *_ = train_active_classification(task, learning, seed=0, steps=1)
    start = fx.make_learner(task.graph, learning, steps=1).init(jax.random.key(0))
    again = make_active_classification(batch(corner), CONFIG)
    own = jax.random.split(jax.random.fold_in(start.key, 0), 4)
    played = play_episodes(again, start.params, keys=own, progress=0.0, sample=True)
    whole = jax.vmap(fx.compile(task.graph), in_axes=(None, 0, 0, None))(start.params, played.inputs, own, 0.0)
    experience = {port: value[:, :-1] for port, value in whole["saccader"].items()}
    learner = fx.make_agent_learner(task.graph, learning, steps=1, agent="saccader")
    state = learner.init(jax.random.split(jax.random.key(0))[0])
    jax.tree.map(np.testing.assert_array_equal, state.params, start.params["saccader"])
    _, expected = learner.step(state, {**experience, "reward": whole["reward"]["reward"][:, 1:]})
    for name, value in expected.items():
        np.testing.assert_allclose(metrics[f"saccader/{name}"], value, rtol=1e-3, atol=1e-5, err_msg=name)
    np.testing.assert_allclose(metrics["saccader/reward"], whole["reward"]["reward"][:, 1:].sum(1).mean(), atol=1e-5)
    np.testing.assert_allclose(metrics["reward"], played.reward.sum(axis=1).mean(), atol=1e-6)
    changed = jax.tree.map(lambda old, new: bool((old != new).any()), start.params["saccader"], params["saccader"])
    assert any(jax.tree.leaves(changed))


@pytest.mark.slow
@pytest.mark.nightly
def test_both_learn_where_the_answer_lies(corner):
    """In one_place the centre says nothing, and one corner everything: chance is a half."""
    config = dataclasses.replace(CONFIG, hidden=64, features=64, exploration="fixed", scale_start=1.5)
    task = make_active_classification(batch(corner, size=128), config)
    learning = fx.LearningConfig(learning_rate=5e-3, policy_learning_rate=3e-3)
    *_, (params, metrics) = train_active_classification(task, learning, seed=0, steps=300)
    accuracy = np.mean([play_episodes(task, params, keys=keys(seed, 128)).accuracy[-1] for seed in range(8)])
    assert accuracy > 0.9
    assert set(metrics) >= {"accuracy", "reward", "saccader/policy_loss", "loss/decision.cross_entropy"}


def renamed(data, **spaces_by_name):
    environment = Peephole(data)
    for name, space in spaces_by_name.items():
        setattr(environment, name, space)
    return environment


REFUSED = {
    "no dictionary": (
        lambda data: make_active_classification(renamed(data, observation_space=spaces.Box(0, 1, (3,))), CONFIG),
        "observations must be a dictionary with 'glimpse'",
    ),
    "other names": (
        lambda data: make_active_classification(Peephole(data), CONFIG, names=Names(glimpse="patch")),
        "observations must have an entry 'patch'; they have glimpse, position",
    ),
    "unbounded": (
        lambda data: make_active_classification(
            renamed(data, observation_space=spaces.Dict({"glimpse": spaces.Box(0, 1, (9, 9, 1)),
                                                         "position": spaces.Box(-np.inf, np.inf, (2,))})), CONFIG),
        "observation 'position' must be a bounded box of 2 numbers",
    ),
    "prediction": (
        lambda data: make_active_classification(
            renamed(data, action_space=spaces.Dict({"movement": spaces.Box(0, 1, (2,)),
                                                    "prediction": spaces.MultiBinary(3)})), CONFIG),
        "action 'prediction' must be Discrete from 0, or a box of one log-probability per class",
    ),
    "longer": (lambda data: played(data, steps=3), "must end after exactly 2 steps; after 2 of them 0 of 4 had ended"),
    "shorter": (lambda data: played(data, steps=1), "must end after exactly 2 steps; after 1 of them 4 of 4 had ended"),
    "a label deeper down": (
        lambda data: play_episodes(
            task := make_active_classification(batch(data), CONFIG, names=Names(label="label.target")),
            fx.init(task.graph, jax.random.key(0)), keys=keys(1)),
        "must hold 'label.target'; it holds ndarray",
    ),
    "a unit of what is absolute": (
        lambda data: make_active_classification(Peephole(data), CONFIG, unit=0.1),
        r"unit must be in \(0, 1\], of a movement that is relative; got 0.1 of one absolute",
    ),
    "no label": (lambda data: played(data, label=False), "the info at an episode's end must hold 'label'"),
}  # fmt: skip


def played(data, **options):
    task = make_active_classification(batch(data, **options), CONFIG)
    return play_episodes(task, fx.init(task.graph, jax.random.key(0)), keys=keys(1))


@pytest.mark.parametrize("case", REFUSED)
def test_what_does_not_fit_is_refused_in_a_sentence(case, corner):
    call, message = REFUSED[case]
    with pytest.raises(fx.InputError, match=message):
        call(corner)
