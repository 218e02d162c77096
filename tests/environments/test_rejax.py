"""rejax, written for gymnax's environments, learns in ours. Needs the extra rejax."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import small

import foveax as fx
from foveax.environments import make_episodes
from foveax.environments.gymnax import make_gymnax

rejax = pytest.importorskip("rejax", reason="needs the extra rejax")


def test_its_ppo_learns_to_look_where_the_eye_is_paid():
    """In the lower right corner; minus the distance from it, along both axes, is the reward of each of two saccades."""
    data = small.data()
    config = fx.PipelineConfig(glimpses=3, crop_size=3, hidden=4, features=4, bands=0, contrast=False)
    pay = fx.from_function(lambda place: -jnp.sum(1 - place), outputs="reward")
    graph = fx.standard_pipeline(data, config).add("memory.fixation -> pay.place", pay=pay)
    graph = graph.swap("saccader", fx.saccader(reward="pay.reward"))
    environment = make_gymnax(make_episodes(graph, data), fx.init(graph, jax.random.key(0)))
    learner = rejax.PPO.create(
        env=environment,
        num_envs=64,
        num_steps=8,
        num_epochs=4,
        num_minibatches=4,
        learning_rate=0.01,
        max_grad_norm=0.5,
        gamma=0.5,
        ent_coef=0.0,
        total_timesteps=16_384,
        eval_freq=8_192,
    )
    assert learner.env_params.max_steps_in_episode == 2
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):  # it needs them
        state, (lengths, returns) = jax.jit(learner.train)(jax.random.PRNGKey(0))
    assert np.unique(lengths).tolist() == [2]
    assert returns[0].mean() < -1.5  # anywhere
    assert returns[-1].mean() > -0.5
    observation, _ = environment.reset(jax.random.key(1))
    assert learner.make_act(state)(observation, jax.random.PRNGKey(2)).shape == (2,)
