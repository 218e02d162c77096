"""A full step under JAX's own checkers: of keys, of tracers that leak, of types inside."""

import contextlib
import operator
from collections.abc import Iterator

import jax
import jax.numpy as jnp
import pytest
import tiny

import foveax as fx


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
    config = fx.TrainingConfig(images=8, batch=4, shift=1, warp=0.5, task="cluttered", canvas=32, pieces=2,
                               pipeline=tiny.PIPELINE, learning=fx.LearningConfig(epochs=2, fit_every=2))  # fmt: skip
    data = config.prepare(tiny.data())
    learner = fx.make_learner(fx.build_graph(config, data), config.learning, steps=config.steps)
    *_, (state, _) = fx.fit(learner, data, learner.init(jax.random.key(0)), steps=2, batch=4, dispatch=1)
    assert int(state.step) == 2
    return data


@pytest.mark.slow
@pytest.mark.nightly
@pytest.mark.parametrize("checker", ["jax_check_tracer_leaks", "jax_enable_checks"])
def test_a_full_step_passes(checker):
    with checking(checker):
        take_steps()


def scanned_batch(key):
    """Every key is used once here; but a batch of scans that jax.vmap makes hands them on twice."""

    def scanned(key):
        def body(carry, key):
            return jnp.tanh(carry + jax.random.normal(key)), None

        return jax.lax.scan(body, 1.0, jax.random.split(key, 3))[0]

    return jax.vmap(scanned)(jax.random.split(key, 4)).sum()


def looped(function, in_axes=0):
    """What jax.vmap does, one example after the other."""

    def mapped(*arguments):
        axes = in_axes if isinstance(in_axes, tuple) else (in_axes,) * len(arguments)
        size = next(len(jax.tree.leaves(part)[0]) for part, axis in zip(arguments, axes, strict=True) if axis == 0)
        rows = [
            function(*(part if axis is None else jax.tree.map(operator.itemgetter(row), part)
                       for part, axis in zip(arguments, axes, strict=True)))
            for row in range(size)
        ]  # fmt: skip
        return jax.tree.map(lambda *leaves: jnp.stack(leaves), *rows)

    return mapped


@pytest.mark.slow
def test_a_full_step_uses_every_key_once(monkeypatch):
    """With the batch as a loop: what jax.vmap makes of a scan never passes, as the simplest one shows."""
    config = fx.TrainingConfig(images=8, batch=4, pipeline=tiny.PIPELINE)
    data = config.prepare(tiny.data())
    learner = fx.make_learner(fx.build_graph(config, data), config.learning, steps=2)
    state = learner.init(jax.random.key(0))
    shown = {name: jnp.asarray(array[:2]) for name, array in data.train.items()}
    with checking("jax_debug_key_reuse"):
        with pytest.raises(jax.errors.KeyReuseError):  # once it is not raised, the loop can go
            jax.jit(scanned_batch)(jax.random.key(0))
        shown = jax.jit(data.render)(jax.random.key(1), shown)
        with monkeypatch.context() as patched:
            patched.setattr(jax, "vmap", looped)
            learner = fx.make_learner(fx.build_graph(config, data), config.learning, steps=2)
            after, _ = jax.jit(learner.step)(state, shown)
    assert int(after.step) == 1


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
