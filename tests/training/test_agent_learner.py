"""The agent's learner, given episodes played elsewhere, makes the update that the fused step makes."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import foveax as fx


def setting(config, digits, **learning):
    graph = fx.standard_pipeline(digits, config)
    batch = {name: jnp.asarray(array[:8]) for name, array in digits.train.items()}
    return graph, batch, fx.LearningConfig(**learning)


def played(graph, params, batch, keys, progress=0.0, agent="saccader"):
    """An agent's experience of a batch of episodes, by rolling the environment against it."""
    environment, actors = fx.split(graph, agent)
    actor = actors[agent]

    def episode(inputs, key):
        actor_keys = fx.actor_keys(graph, key, agent)
        state, time_step = environment.reset(key, params, inputs, progress)
        carry, outputs, rewards = actor.begin(), [], []
        for saccade in range(environment.length - 1):
            output, carry = actor.act(params[agent], carry, time_step.observation[agent], actor_keys[saccade])
            state, time_step = environment.step(state, {agent: {"fixation": output["fixation"]}}, params, progress)
            outputs.append(output)
            rewards.append(time_step.reward[agent])
        stacked = jax.tree.map(lambda *steps: jnp.stack(steps), *outputs)
        return {**stacked, "reward": jnp.stack(rewards)}

    return jax.jit(jax.vmap(episode))(batch, keys)


def with_head(graph):
    """A second agent of another name, paid by a port of its own."""
    return graph.add(
        "classifier.hidden -> head.observation",
        "head.fixation -> memory.heading",
        "memory.heading -> effort.heading",
        "memory.heading -> saccader.position",
        memory={"heading": (0.5, 0.5)},
        head=fx.saccader(reward="effort.reward"),
        effort=fx.from_function(lambda heading: -jnp.sum(jnp.abs(heading - 0.5)), outputs="reward"),
    )


@pytest.mark.parametrize(
    ("agent", "epochs"),
    [("saccader", 3), *(pytest.param(agent, 1, marks=pytest.mark.nightly) for agent in ("saccader", "head"))],
)
def test_update_is_that_of_the_fused_step(agent, epochs, small_config, digits):
    short = dataclasses.replace(small_config, glimpses=3)  # which compiles faster
    graph, batch, learning = setting(small_config if epochs > 1 else short, digits, epochs=epochs)
    graph = with_head(graph) if agent == "head" else graph
    whole = fx.make_learner(graph, learning, steps=50)
    start = whole.init(jax.random.key(0))._replace(step=jnp.int32(30))
    keys = jax.random.split(jax.random.fold_in(start.key, start.step), 8)  # those of the fused step
    experience = played(graph, start.params, batch, keys, progress=30 / 50, agent=agent)
    learner = fx.make_agent_learner(graph, learning, steps=50, agent=agent)
    state = learner.init(jax.random.split(jax.random.key(0))[0])
    jax.tree.map(np.testing.assert_array_equal, state.params, start.params[agent])
    updated, metrics = jax.jit(learner.step)(state._replace(step=start.step), experience)
    end, fused = jax.jit(whole.step)(start, batch)
    # Adam's moments, not its steps: it divides by the gradient's size, so that where that is near zero rounding decides
    jax.tree.map(
        lambda mine, theirs: np.testing.assert_allclose(mine, theirs, rtol=1e-3, atol=1e-3 * float(abs(theirs).max())),
        updated.optimizer,
        end.optimizer[agent],
    )
    for name, value in metrics.items():
        np.testing.assert_allclose(value, fused[f"{agent}/{name}"], rtol=1e-3, atol=1e-5, err_msg=name)


def test_what_is_not_finite_changes_nothing(small_config, digits):
    graph, batch, learning = setting(small_config, digits)
    experience = played(graph, fx.init(graph, jax.random.key(0)), batch, jax.random.split(jax.random.key(1), 8))
    learner = fx.make_agent_learner(graph, learning, steps=50, agent="saccader")
    state = learner.init(jax.random.key(0))
    broken = {**experience, "reward": experience["reward"].at[3, 2].set(jnp.nan)}
    after, _ = jax.jit(learner.step)(state, broken)
    jax.tree.map(np.testing.assert_array_equal, after._replace(step=state.step), state)
    assert int(after.step) == 1


def test_rewarded_actions_become_likelier(small_config, digits):
    """A step with one good action among equal ones raises its log-probability above that of the others."""
    graph, batch, learning = setting(small_config, digits, entropy=0.0, value=0.0, policy_learning_rate=1e-2)
    learner = fx.make_agent_learner(graph, learning, steps=50, agent="saccader")
    state = learner.init(jax.random.key(0))
    params = fx.init(graph, jax.random.key(0))
    experience = played(graph, params, batch, jax.random.split(jax.random.key(1), 8))
    experience["reward"] = jnp.zeros((8, 5)).at[3, 2].set(1.0)
    before = experience["log_prob"]
    state, _ = jax.jit(learner.step)(state, experience)

    def log_prob(outputs):
        return graph.modules["saccader"].agent.evaluate(state.params, (), outputs)[0]["log_prob"]

    after = jax.jit(jax.vmap(jax.vmap(log_prob)))(experience)
    assert float((after - before)[3, 2]) > 0
    assert float((after - before)[3, 2]) > float(jnp.median((after - before)[:, 2]))


@pytest.mark.parametrize(("decay", "share"), [("cosine", 0.25), ("constant", 1.0)])
def test_the_entropy_bonus_falls_along_a_line(decay, share, small_config, digits):
    """With no other loss, the mean gradient after three quarters of training is a quarter of that at its beginning."""
    graph, batch, learning = setting(small_config, digits, ppo=0.0, value=0.0, decay=decay)
    experience = played(graph, fx.init(graph, jax.random.key(0)), batch, jax.random.split(jax.random.key(1), 8))
    learner = fx.make_agent_learner(graph, learning, steps=80, agent="saccader")
    state = learner.init(jax.random.key(0))
    first, later = (
        optax.tree.get(learner.step(state._replace(step=jnp.int32(step)), experience)[0].optimizer, "mu")
        for step in (0, 60)
    )
    assert float(optax.tree.norm(first)) > 0
    jax.tree.map(lambda a, b: np.testing.assert_allclose(share * a, b, rtol=1e-5, atol=1e-9), first, later)


def test_there_must_be_such_an_agent(small_config, digits):
    graph, _, learning = setting(small_config, digits)
    with pytest.raises(fx.InputError, match="agent must be one of the graph's agents, saccader; got 'eye'"):
        fx.make_agent_learner(graph, learning, steps=1, agent="eye")
