"""stable-baselines3 runs on the environment, and its policies come back as saccaders. Needs the extra sb3."""

import dataclasses
import json
import signal

import gymnasium
import jax
import numpy as np
import pytest

import foveax as fx

sb3 = pytest.importorskip("stable_baselines3", reason="needs the extra sb3")

from stable_baselines3.common.env_checker import check_env  # noqa: E402
from stable_baselines3.common.vec_env import VecMonitor, VecNormalize  # noqa: E402

from foveax.environments import GLIMPSES, make_episodes  # noqa: E402
from foveax.environments.gymnasium import IDS, FoveaxEnv, FoveaxVectorEnv  # noqa: E402
from foveax.environments.sb3 import FoveaxVecEnv, import_policy  # noqa: E402
from foveax.environments.sb3_training import train_sb3  # noqa: E402
from foveax.pipelines import perceptron_pipeline  # noqa: E402
from foveax.runtime.signals import Interrupted  # noqa: E402

LEARNERS = {
    "ppo": lambda environments: sb3.PPO("MlpPolicy", environments, n_steps=5, batch_size=20, device="cpu", seed=0),
    "a2c": lambda environments: sb3.A2C("MlpPolicy", environments, device="cpu", seed=0),
    "sac": lambda environments: sb3.SAC("MlpPolicy", environments, device="cpu", seed=0, buffer_size=1000,
                                        learning_starts=20, batch_size=16),
}  # fmt: skip


@pytest.fixture(scope="module")
def pipeline(small_config, digits):
    graph = fx.standard_pipeline(digits, small_config)
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
    assert observations[:, -29:].argmax(-1).tolist() == [0] * 4
    assert [info["terminal_observation"][-29:].argmax() for info in infos] == [5] * 4
    assert not any(info["TimeLimit.truncated"] for info in infos)
    assert [info["index"] for info in environments.reset_infos] != [info["index"] for info in infos]
    assert rewards.dtype == np.float32


def test_each_episode_has_a_seed_of_its_own(pipeline, digits):
    """Its images and observations are those of Gymnasium's environment with that seed, also in the next episodes."""
    graph, params = pipeline
    environments = environments_of(pipeline, digits, size=3)
    seeds = environments.seed(7)
    single = FoveaxEnv(make_episodes(graph, digits), params)
    batch = [environments.reset()]
    indices = [[info["index"] for info in environments.reset_infos]]
    for _ in range(5):
        batch.append(environments.step(np.full((3, 2), 0.5, np.float32))[0])  # the last begins the next episodes
    indices.append([info["index"] for info in environments.reset_infos])
    assert seeds == [7, 8, 9]
    for place, seed in enumerate(seeds):
        observation, info = single.reset(seed=seed)
        np.testing.assert_allclose(batch[0][place], observation, rtol=1e-5, atol=1e-6)
        assert indices[0][place] == info["index"]
        for step in range(1, 5):
            np.testing.assert_allclose(
                batch[step][place], single.step(np.full(2, 0.5, np.float32))[0], rtol=1e-5, atol=1e-6
            )
        observation, info = single.reset()
        np.testing.assert_allclose(batch[5][place], observation, rtol=1e-5, atol=1e-6)
        assert indices[1][place] == info["index"]


def test_tensors_that_require_grad_are_actions(pipeline, digits):
    """PyTorch's own; the tests without it have a stand-in."""
    torch = pytest.importorskip("torch")
    graph, params = pipeline
    environments = FoveaxVectorEnv(2, make_episodes(graph, digits), params)
    environments.reset(seed=0)
    actions = torch.tensor([[0.3, -0.2], [3.0, 0.0]], requires_grad=True)
    fixation = environments.step(actions)[4]["fixation"]
    np.testing.assert_allclose(fixation, [[0.65, 0.4], [1.0, 0.5]], atol=1e-6)


@pytest.mark.parametrize("name", LEARNERS)
def test_learners_run_and_their_policies_come_back(name, pipeline, digits):
    """The imported saccader looks where the library's own policy, asked for its mode, would look."""
    graph, params = pipeline
    monitored = VecMonitor(environments_of(pipeline, digits))
    model = LEARNERS[name](monitored).learn(60)
    assert model.num_timesteps >= 60
    module, imported = import_policy(model)
    swapped = graph.swap("saccader", module)
    evaluated = fx.evaluate(swapped, {**params, "saccader": imported}, digits.test, key=jax.random.key(0))
    environments = FoveaxVecEnv(4, make_episodes(graph, digits, split_name="test"), params=params)
    environments.seed(0)
    observations = environments.reset()
    rows = [info["index"] for info in environments.reset_infos]
    for saccade in range(5):
        actions, _ = model.predict(observations, deterministic=True)
        np.testing.assert_allclose((actions + 1) / 2, evaluated.fixations[rows, saccade + 1], atol=1e-5)
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


@pytest.fixture
def short(small_config):
    config = dataclasses.replace(small_config, glimpses=3)
    return fx.TrainingConfig(images=640, batch=16, pipeline=config), fx.ExecutionConfig(dispatch=10)


@pytest.mark.parametrize("algorithm", ["ppo", "a2c", "sac"])
def test_training_leaves_a_run_like_any_other(algorithm, tmp_path, short):
    config, execution = short
    result = train_sb3(config, algorithm, out=tmp_path / "run", execution=execution)
    run = fx.load_run(tmp_path / "run")
    assert run.config == config
    assert run.graph.agents == []
    evaluated = fx.evaluate(run.graph, run.params, run.data.test, key=jax.random.key(0))
    np.testing.assert_array_equal(evaluated.fixations, result.evaluations["learned"].fixations)
    assert (np.ptp(evaluated.fixations[:, 1:], axis=0) > 0).any()
    frozen = gymnasium.make_vec("foveax/Mnist5k-v0", num_envs=2, run=str(tmp_path / "run"))
    assert frozen.reset(seed=0)[0].shape == (2, 16 + 2 + 29)
    lines = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [10, 20, 30, 40]
    assert lines[-1]["images"] == 640
    assert {"accuracy", "loss/decision.cross_entropy"} <= set(lines[-1])
    again = train_sb3(config, algorithm, out=tmp_path / "run", execution=execution)
    assert again.summary == result.summary
    other = {"ppo": "sac", "a2c": "ppo", "sac": "ppo"}[algorithm]
    with pytest.raises(
        fx.InputError, match=rf"pipeline must be the one that run .* is {algorithm} there, {other} here"
    ):
        train_sb3(config, other, out=tmp_path / "run", execution=execution)


def test_an_interrupted_training_begins_again(tmp_path, short):
    """It is saved as far as it came, and the next try drops what it left."""
    config, execution = short

    def interrupt(metrics):
        if metrics["step"] == 20:
            signal.raise_signal(signal.SIGTERM)

    with pytest.raises(Interrupted, match="the same command trains from the beginning again") as caught:
        train_sb3(config, out=tmp_path / "run", execution=execution, listeners=[interrupt])
    assert caught.value.signal == signal.SIGTERM
    assert not (tmp_path / "run" / "summary.json").exists()
    assert "classifier" in fx.load_run(tmp_path / "run").params
    seen = []
    train_sb3(config, out=tmp_path / "run", execution=execution, evaluate=False, listeners=[seen.append])
    assert [metrics["step"] for metrics in seen] == [10, 20, 30, 40]
    lines = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [10, 20, 30, 40]


def test_the_rate_is_that_of_the_steps_after_compilation(tmp_path, short):
    config, execution = short
    result = train_sb3(config, out=tmp_path / "run", evaluate=False, execution=execution)
    rate, seconds = result.summary["images_per_second"], result.summary["train_seconds"]
    np.testing.assert_allclose(rate * seconds, 640, rtol=0.05)
    assert result.summary["compile_seconds"] > 0


def test_foveaxs_own_training_refuses_the_run_of_another(tmp_path, short):
    config, execution = short
    train_sb3(config, out=tmp_path / "run", evaluate=False, execution=execution)
    with pytest.raises(fx.InputError, match=r"pipeline must be the one that run .* was trained with"):
        fx.train(config, out=tmp_path / "run")


def test_what_another_library_cannot_train_is_refused(short, small_config, digits):
    config, _ = short
    random = dataclasses.replace(config, pipeline=dataclasses.replace(small_config, policy="random"))
    with pytest.raises(fx.InputError, match="policy must be learned where another library learns it; got 'random'"):
        train_sb3(random)
    single = dataclasses.replace(config, pipeline=dataclasses.replace(small_config, glimpses=1))
    with pytest.raises(fx.GraphError, match="at least 2 glimpses to be acted in; got 1"):
        train_sb3(single)
    with pytest.raises(fx.InputError, match="devices must be 1"):
        train_sb3(config, execution=fx.ExecutionConfig(devices=2))
    with pytest.raises(fx.InputError, match="algorithm must be one of ppo, a2c, sac; got 'dqn'"):
        perceptron_pipeline(digits, algorithm="dqn")
