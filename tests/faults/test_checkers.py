"""A full step under JAX's own checkers: of keys, of tracers that leak, of types inside."""

import contextlib
from collections.abc import Iterator

import jax
import jax.numpy as jnp
import pytest
import tiny

import foveax as fx
from foveax.training.fit import fit
from foveax.training.learner import make_learner


@contextlib.contextmanager
def checking(name: str) -> Iterator[None]:
    before = getattr(jax.config, name)
    jax.config.update(name, True)
    jax.clear_caches()
    try:
        yield
    finally:
        jax.config.update(name, before)
        jax.clear_caches()


def take_steps() -> fx.Data:
    """Two whole steps, with all that draws: shifts, warps, canvas, pieces, fixations."""
    config = fx.Config(images=8, batch=4, shift=1, warp=0.5, task="cluttered", canvas=12, pieces=2, model=tiny.MODEL,
                       learning=fx.Learning(epochs=2, fit_every=2))  # fmt: skip
    data = config.prepare(tiny.data())
    learner = make_learner(config.pipeline(data), config.learning, steps=config.steps)
    *_, (state, _) = fit(learner, data, learner.init(jax.random.key(0)), steps=2, batch=4, dispatch=1)
    assert int(state.step) == 2
    return data


@pytest.mark.slow
@pytest.mark.parametrize("checker", ["jax_check_tracer_leaks", "jax_enable_checks"])
def test_a_full_step_passes(checker):
    with checking(checker):
        take_steps()


def drawn_twice_by_jax(weight, key):
    """Every key is used once here; but the derivative of a batch of scans hands them on to its second half."""

    def scanned(key):
        def body(carry, key):
            return jnp.tanh(weight * carry + jax.random.normal(key)), None

        return jax.lax.scan(body, 1.0, jax.random.split(key, 3))[0]

    return jax.vmap(scanned)(jax.random.split(key, 4)).sum()


@pytest.mark.slow
def test_a_full_step_uses_every_key_once(monkeypatch):
    """The whole step without its derivatives, then the derivative of an episode: JAX's of a batch never passes."""

    def value_and_zeros(function, has_aux):
        return lambda params, *rest: (function(params, *rest), jax.tree.map(jnp.zeros_like, params))

    with checking("jax_debug_key_reuse"):
        with pytest.raises(jax.errors.KeyReuseError):  # once this passes, so will the step with its derivatives
            jax.jit(jax.grad(drawn_twice_by_jax))(2.0, jax.random.key(0))
        with monkeypatch.context() as patched:
            patched.setattr(jax, "value_and_grad", value_and_zeros)
            data = take_steps()
        graph = fx.standard_pipeline(tiny.MODEL, data.inputs, classes=3)
        ports = ("classifier.cross_entropy", "saccader.log_prob")
        rollout, params = fx.compile(graph, ports), fx.init(graph, jax.random.key(0))
        inputs = {name: value[0] for name, value in data.test.items()} | {"progress": jnp.float32(0)}

        def loss(params):
            trajectory = rollout(params, inputs, jax.random.key(1))
            return sum(trajectory[port].sum() for port in ports)

        assert jax.tree.leaves(jax.jit(jax.grad(loss))(params))


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
