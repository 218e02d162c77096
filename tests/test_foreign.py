"""The reverse: a foveax pipeline in an active-classification environment that others wrote, here in plain NumPy."""

import dataclasses

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from gymnasium import spaces
from gymnasium.vector import AutoresetMode, SyncVectorEnv

import foveax as fx
from foveax.environments.foreign import Names, drive, foreign
from foveax.environments.foreign_training import train_in
from foveax.graph.detach import detach

STEPS, CROP = 2, 9


class Peephole(gymnasium.Env):
    """Pixels through a peephole at whole pixels; what is predicted last counts."""

    def __init__(self, data, *, relative=False, steps=STEPS, label=True, log_probabilities=False):
        self.images, self.labels = data.train["image"], data.train["label"]
        self.side, self.relative, self.steps, self.tell = self.images.shape[1] - 1, relative, steps, label
        self.observation_space = spaces.Dict(
            {
                "glimpse": spaces.Box(0, 255, (CROP, CROP, 1), np.uint8),
                "position": spaces.Box(0, self.side, (2,), np.float32),
            }
        )
        reach = spaces.Box(-self.side, self.side, (2,), np.float32)
        classes = data.classes
        self.action_space = spaces.Dict(
            {
                "movement": reach,  # wider than where an absolute movement may go
                "prediction": spaces.Box(-np.inf, 0, (classes,)) if log_probabilities else spaces.Discrete(classes),
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
        moved = self.position + movement if self.relative else movement
        self.position = np.clip(moved, 0, self.side).astype(np.float32)
        self.time += 1
        ended = self.time == self.steps
        correct = bool(prediction == self.labels[self.row])
        info = {"label": int(self.labels[self.row])} if ended and self.tell else {}
        return self.observe(), float(ended and correct), ended, False, info


@pytest.fixture(scope="module")
def corner():
    return fx.load("one_place")


def batch(data, size=4, mode=AutoresetMode.DISABLED, **options):
    environments = SyncVectorEnv([lambda: Peephole(data, **options) for _ in range(size)], autoreset_mode=mode)
    environments.reset(seed=0)
    return environments


MODEL = fx.Model(glimpses=STEPS, hidden=32, features=32, saccader_hidden=32)


def test_detached_graph_is_the_compiled_one(small_model, digits):
    graph = fx.standard_pipeline(small_model, digits.inputs, classes=10)
    params, key = fx.init(graph, jax.random.key(0)), jax.random.key(4)
    inputs = {"image": digits.test["image"][0], "label": digits.test["label"][0], "progress": jnp.float32(0.3)}
    whole = fx.compile(graph)(params, inputs, key)
    begin, apply = detach(graph, "retina")
    state = begin()
    for glimpse in range(graph.length):
        given = {port: whole[f"retina.{port}"][glimpse] for port in ("glimpse", "fixation")}
        values, state = apply(params, state, given, inputs, key)
        for port, value in values.items():
            np.testing.assert_allclose(value, whole[port][glimpse], rtol=1e-5, atol=1e-5, err_msg=port)
    with pytest.raises(fx.GraphError, match="no module 'eye' to leave out"):
        detach(graph, "eye")


@pytest.mark.parametrize("mode", AutoresetMode)
@pytest.mark.parametrize("relative", [False, True])
def test_the_eye_lands_where_the_saccader_says(mode, relative, corner):
    world = foreign(batch(corner, mode=mode, relative=relative), MODEL, movement="relative" if relative else "absolute")
    params = fx.init(world.graph, jax.random.key(0))
    done = drive(world, params, key=jax.random.key(1))
    assert done.glimpses.shape == (4, STEPS, CROP, CROP, 1)
    np.testing.assert_array_equal(done.positions[:, 0], 0.5)
    np.testing.assert_allclose(done.positions[:, 1], done.values["saccader.fixation"][:, 0], atol=1e-6)
    assert done.glimpses.max() <= 1
    assert (done.label < corner.classes).all()
    np.testing.assert_array_equal(done.reward[:, -1], done.values["classifier.predicted"][:, -1] == done.label)
    assert "classifier.correct" not in done.values  # the label is not known before the end


def test_predictions_may_be_log_probabilities(corner):
    world = foreign(batch(corner, log_probabilities=True), MODEL)
    done = drive(world, fx.init(world.graph, jax.random.key(0)), key=jax.random.key(1))
    np.testing.assert_array_equal(done.reward[:, -1], done.values["classifier.predicted"][:, -1] == done.label)


def test_a_single_environment_is_a_batch_of_one(corner):
    world = foreign(Peephole(corner), MODEL)
    done = drive(world, fx.init(world.graph, jax.random.key(0)), key=jax.random.key(1))
    assert done.accuracy.shape == (STEPS,)


@pytest.mark.slow
def test_both_learn_where_the_answer_lies(corner):
    """In one_place the centre says nothing, and one corner everything: chance is a half."""
    model = dataclasses.replace(MODEL, hidden=64, features=64, deviation="fixed", deviation_start=1.5)
    world = foreign(batch(corner, size=128), model)
    learning = fx.Learning(learning_rate=5e-3, policy_learning_rate=3e-3)
    *_, (params, metrics) = train_in(world, learning, seed=0, steps=300)
    accuracy = np.mean([drive(world, params, key=jax.random.key(seed)).accuracy[-1] for seed in range(8)])
    assert accuracy > 0.9
    assert set(metrics) >= {"accuracy", "reward", "policy_loss", "loss/classifier.cross_entropy"}


def renamed(data, **spaces_by_name):
    environment = Peephole(data)
    for name, space in spaces_by_name.items():
        setattr(environment, name, space)
    return environment


REFUSED = {
    "no dictionary": (
        lambda data: foreign(renamed(data, observation_space=spaces.Box(0, 1, (3,))), MODEL),
        "observations must be a dictionary with 'glimpse'",
    ),
    "other names": (
        lambda data: foreign(Peephole(data), MODEL, names=Names(glimpse="patch")),
        "observations must have an entry 'patch'; they have glimpse, position",
    ),
    "unbounded": (
        lambda data: foreign(
            renamed(data, observation_space=spaces.Dict({"glimpse": spaces.Box(0, 1, (9, 9, 1)),
                                                         "position": spaces.Box(-np.inf, np.inf, (2,))})), MODEL),
        "observation 'position' must be a bounded box of 2 numbers",
    ),
    "prediction": (
        lambda data: foreign(
            renamed(data, action_space=spaces.Dict({"movement": spaces.Box(0, 1, (2,)),
                                                    "prediction": spaces.MultiBinary(3)})), MODEL),
        "action 'prediction' must be Discrete from 0, or a box of one log-probability per class",
    ),
    "longer": (lambda data: played(data, steps=3), "must end after exactly 2 steps; after 2 of them 0 of 4 had ended"),
    "shorter": (lambda data: played(data, steps=1), "must end after exactly 2 steps; after 1 of them 4 of 4 had ended"),
    "no label": (lambda data: played(data, label=False), "the info at an episode's end must hold 'label'"),
}  # fmt: skip


def played(data, **options):
    world = foreign(batch(data, **options), MODEL)
    return drive(world, fx.init(world.graph, jax.random.key(0)), key=jax.random.key(1))


@pytest.mark.parametrize("case", REFUSED)
def test_what_does_not_fit_is_refused_in_a_sentence(case, corner):
    call, message = REFUSED[case]
    with pytest.raises(fx.InputError, match=message):
        call(corner)
