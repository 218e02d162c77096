"""stable-baselines3 runs on the environment, and its policies come back as saccaders. Needs the extra sb3."""

import dataclasses
import json

import gymnasium
import jax
import numpy as np
import pytest

import foveax as fx

sb3 = pytest.importorskip("stable_baselines3", reason="needs the extra sb3")

from stable_baselines3.common.env_checker import check_env  # noqa: E402
from stable_baselines3.common.vec_env import VecMonitor, VecNormalize  # noqa: E402

from foveax.environments import GLIMPSES, make_episodes, train_with  # noqa: E402
from foveax.environments.gymnasium import IDS  # noqa: E402
from foveax.environments.sb3 import FoveaxVecEnv, import_policy  # noqa: E402
from foveax.training.run import load_run  # noqa: E402

LEARNERS = {
    "ppo": lambda environments: sb3.PPO("MlpPolicy", environments, n_steps=5, batch_size=20, device="cpu", seed=0),
    "a2c": lambda environments: sb3.A2C("MlpPolicy", environments, device="cpu", seed=0),
    "sac": lambda environments: sb3.SAC("MlpPolicy", environments, device="cpu", seed=0, buffer_size=1000,
                                        learning_starts=20, batch_size=16),
}  # fmt: skip


@pytest.fixture(scope="module")
def pipeline(small_model, digits):
    graph = fx.standard_pipeline(small_model, digits.inputs, classes=10)
    return graph, fx.init(graph, jax.random.key(0))


def environments_of(pipeline, digits, size=4, observe="agent"):
    graph, params = pipeline
    return FoveaxVecEnv(size, make_episodes(graph, digits, observe=observe), params=params)


@pytest.mark.parametrize("name", IDS)
def test_registered_ids_pass_its_own_check(name):
    """Warnings are errors here."""
    check_env(gymnasium.make(name).unwrapped, warn=True)


def test_episodes_end_together_with_their_last_observation(pipeline, digits):
    environments = environments_of(pipeline, digits)
    environments.seed(3)
    first = environments.reset()
    environments.seed(3)
    np.testing.assert_array_equal(environments.reset(), first)
    for step in range(5):
        observations, rewards, dones, infos = environments.step(np.zeros((4, 2), np.float32))
        assert dones.tolist() == [step == 4] * 4
        assert ["terminal_observation" in info for info in infos] == [step == 4] * 4
    assert observations[:, -6:].argmax(-1).tolist() == [0] * 4
    assert [info["terminal_observation"][-6:].argmax() for info in infos] == [5] * 4
    assert not any(info["TimeLimit.truncated"] for info in infos)
    assert [info["index"] for info in environments.reset_infos] != [info["index"] for info in infos]
    assert rewards.dtype == np.float32


@pytest.mark.parametrize("name", LEARNERS)
def test_learners_run_and_their_policies_come_back(name, pipeline, digits):
    """The imported saccader looks where the library's own policy, asked for its usual action, would look."""
    graph, params = pipeline
    monitored = VecMonitor(environments_of(pipeline, digits))
    model = LEARNERS[name](monitored).learn(60)
    assert model.num_timesteps >= 60
    module, imported = import_policy(model)
    led = graph.swap("saccader", module)
    done = fx.evaluate(led, {**params, "saccader": imported}, digits.test, key=jax.random.key(0))
    environments = FoveaxVecEnv(4, make_episodes(graph, digits, split_name="test"), params=params)
    environments.seed(0)
    observations = environments.reset()
    rows = [info["index"] for info in environments.reset_infos]
    for saccade in range(5):
        actions, _ = model.predict(observations, deterministic=True)
        np.testing.assert_allclose((actions + 1) / 2, done.fixations[rows, saccade + 1], atol=1e-5)
        observations, *_ = environments.step(actions)


def test_a_network_of_its_own_reads_glimpses(pipeline, digits):
    environments = environments_of(pipeline, digits, observe=GLIMPSES)
    model = sb3.PPO("MultiInputPolicy", environments, n_steps=5, batch_size=20, device="cpu").learn(40)
    with pytest.raises(fx.InputError, match="must be an MlpPolicy on one vector"):
        import_policy(model)


def test_policies_that_a_perceptron_is_not_are_refused(pipeline, digits):
    normalised = VecNormalize(environments_of(pipeline, digits))
    with pytest.raises(fx.InputError, match="must read observations as they are"):
        import_policy(sb3.PPO("MlpPolicy", normalised, device="cpu"))
    exploring = sb3.SAC("MlpPolicy", environments_of(pipeline, digits), use_sde=True, device="cpu", buffer_size=100)
    with pytest.raises(fx.InputError, match="must end in one linear layer"):
        import_policy(exploring)


def test_other_policies_are_refused(pipeline, digits):
    model = sb3.TD3("MlpPolicy", environments_of(pipeline, digits), device="cpu", buffer_size=100)
    with pytest.raises(fx.InputError, match="must be that of PPO, A2C or SAC; got TD3Policy"):
        import_policy(model)


@pytest.mark.parametrize("trainer", ["sb3_ppo", "sb3_a2c", "sb3_sac"])
def test_joint_training_leaves_a_run_like_any_other(trainer, tmp_path, small_model):
    model = dataclasses.replace(small_model, glimpses=3)
    config = fx.Config(images=640, batch=16, dispatch=10, model=model)
    result = train_with(trainer, config, out=tmp_path / "run")
    stored, data, graph, params = load_run(tmp_path / "run")
    assert stored.trainer == trainer
    done = fx.evaluate(graph, params, data.test, key=jax.random.key(0))
    np.testing.assert_array_equal(done.fixations, result.evaluations["learned"].fixations)
    frozen = gymnasium.make_vec("foveax/Mnist5k-v0", num_envs=2, run=str(tmp_path / "run"))
    assert frozen.reset(seed=0)[0].shape == (2, 16 + 2 + 3)
    lines = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [10, 20, 30, 40]
    assert lines[-1]["images"] == 640
    again = train_with(trainer, config, out=tmp_path / "run")
    assert again.summary == result.summary


def test_the_foreign_trainer_is_told_to_train_elsewhere(small_model):
    with pytest.raises(fx.InputError, match=r"use foveax\.environments\.train_with"):
        fx.train(fx.Config(trainer="sb3_ppo", images=64, model=small_model))
    with pytest.raises(fx.InputError, match="needs the policy learned"):
        train_with("sb3_ppo", fx.Config(images=64, model=dataclasses.replace(small_model, policy="random")))
