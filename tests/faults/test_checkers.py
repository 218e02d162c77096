"""A full step under JAX's own checkers: of keys, of tracers that leak, of types inside."""

import jax
import jax.numpy as jnp
import pytest
import tiny

import foveax as fx
from foveax.training.fit import fit
from foveax.training.learner import make_learner

CHECKERS = ["jax_debug_key_reuse", "jax_check_tracer_leaks", "jax_enable_checks"]


@pytest.fixture(params=CHECKERS)
def checker(request):
    before = getattr(jax.config, request.param)
    jax.config.update(request.param, True)
    jax.clear_caches()
    yield request.param
    jax.config.update(request.param, before)
    jax.clear_caches()


@pytest.mark.parametrize("task", ["original", "cluttered"])
def test_a_full_step_passes(checker, task):
    config = fx.Config(images=8, batch=4, shift=1, warp=0.5, task=task, canvas=12, pieces=2, model=tiny.MODEL,
                       learning=fx.Learning(epochs=2, fit_every=2))  # fmt: skip
    data = config.prepare(tiny.data())
    learner = make_learner(config.pipeline(data), config.learning, steps=config.steps)
    *_, (state, _) = fit(learner, data, learner.init(jax.random.key(0)), steps=2, batch=4, dispatch=1)
    assert int(state.step) == 2


def test_the_checker_of_keys_finds_a_key_that_is_used_twice():
    jax.config.update("jax_debug_key_reuse", True)
    try:
        with pytest.raises(jax.errors.KeyReuseError):
            jax.jit(lambda key: jax.random.normal(key) + jax.random.uniform(key))(jax.random.key(0))
    finally:
        jax.config.update("jax_debug_key_reuse", False)


def test_the_checker_of_tracers_finds_one_that_leaks():
    leaked = []
    with jax.checking_leaks(), pytest.raises(Exception, match=r"(?i)leaked"):
        jax.jit(lambda value: leaked.append(value) or jnp.sin(value))(1.0)
