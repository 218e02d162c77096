"""The fused step: where gradients go, what is credited, what is updated, and that it compiles once."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import foveax as fx
from foveax.learning import policies

SMALL = {"crop": 3, "glimpses": 4, "hidden": 8, "features": 6, "saccader_hidden": 4}
SHAPE, CLASSES = (8, 8, 1), 5


def pipeline(**choices):
    return fx.standard_pipeline(fx.Model(**{**SMALL, **choices}), fx.image_source(SHAPE), classes=CLASSES)


def batch(size=6, seed=0):
    rng = np.random.default_rng(seed)
    image = jnp.asarray(rng.integers(0, 255, (size, *SHAPE), dtype=np.uint8))
    return {"image": image, "label": jnp.asarray(rng.integers(0, CLASSES, size, dtype=np.int32))}


def summed_gradient(graph, port):
    """The gradient of one port, summed over glimpses, in the parameters of each module."""
    rollout = fx.compile(graph, [port])
    inputs = {**{name: value[0] for name, value in batch().items()}, "progress": jnp.float32(0.5)}
    params = fx.init(graph, jax.random.key(0))
    gradient = jax.grad(lambda params: jnp.sum(rollout(params, inputs, jax.random.key(1))[port]))(params)
    return {name: max((float(abs(leaf).max()) for leaf in jax.tree.leaves(part)), default=0.0)
            for name, part in gradient.items()}  # fmt: skip


RL_PORTS = ("saccader.log_prob", "saccader.value", "saccader.entropy")


@pytest.mark.parametrize("where", [True, False])
def test_cross_entropy_never_reaches_the_saccader(where):
    gradient = summed_gradient(pipeline(where=where), "classifier.cross_entropy")
    assert gradient["saccader"] == 0
    assert gradient["network"] > 0


@pytest.mark.parametrize("port", RL_PORTS)
@pytest.mark.parametrize("pathwise", [0.0, 0.5])
def test_reinforcement_never_reaches_the_classifier(port, pathwise):
    gradient = summed_gradient(pipeline(pathwise=pathwise), port)
    assert gradient["network"] == 0
    assert gradient["saccader"] > 0


def test_pathwise_gradient_arrives_in_proportion_to_its_weight():
    half, full = (summed_gradient(pipeline(pathwise=w), "classifier.cross_entropy")["saccader"] for w in (0.5, 1.0))
    assert full > 0
    # Each fixation depends on the one before through the observation, whose gradient is stopped: it is linear.
    np.testing.assert_allclose(half, 0.5 * full, rtol=1e-4)


def test_pathwise_gradient_is_that_of_finite_differences():
    """With one saccade and its noise fixed, the classifier's loss is a plain function of the saccader's bias."""
    smooth = jnp.asarray(np.add.outer(np.arange(8), np.arange(8) ** 2)[..., None] / 60, jnp.float32)
    graph = fx.standard_pipeline(
        fx.Model(**{**SMALL, "glimpses": 2, "pathwise": 1.0}), fx.image_source(SHAPE, jnp.float32), classes=CLASSES
    )
    rollout = fx.compile(graph, ["classifier.cross_entropy"])
    params = fx.init(graph, jax.random.key(0))
    inputs = {"image": smooth, "label": jnp.int32(1), "progress": jnp.float32(0)}

    def loss(bias):
        moved = jax.tree_util.tree_map_with_path(
            lambda path, leaf: bias if "location" in str(path) and "bias" in str(path) else leaf, params
        )
        return jnp.sum(rollout(moved, inputs, jax.random.key(4))["classifier.cross_entropy"])

    gradient = jax.grad(loss)(jnp.zeros(2))
    assert float(abs(gradient).max()) > 1e-4
    difference = [float(loss(0.01 * axis) - loss(-0.01 * axis)) / 0.02 for axis in jnp.eye(2)]
    np.testing.assert_allclose(gradient, difference, rtol=0.05, atol=2e-4)


def test_the_action_after_the_last_glimpse_is_never_credited():
    """Nothing of the last glimpse's action reaches the saccader's update, though its reward pays the one before."""
    graph = pipeline()
    learner = fx.make_learner(graph, fx.Learning(entropy=0.0), steps=10)
    saccader = graph.modules["saccader"]

    def spoilt(params, state, inputs, key):
        outputs, state = saccader.apply(params, state, inputs, key)
        last = inputs["time"][-1]
        ports = ("log_prob", "value", "entropy")
        return {**outputs, **{port: outputs[port] * (1 + 1e3 * last) for port in ports}}, state

    spoilt_graph = graph.add(saccader=saccader._replace(apply=spoilt))
    spoilt_learner = fx.make_learner(spoilt_graph, fx.Learning(entropy=0.0), steps=10)
    ours, theirs = (
        jax.jit(each.step)(learner.init(jax.random.key(0)), batch())[0] for each in (learner, spoilt_learner)
    )
    chex.assert_trees_all_close(ours.params["saccader"], theirs.params["saccader"], rtol=1e-6)


def test_log_prob_is_that_of_the_executed_fixation():
    graph = pipeline(deviation="fixed", deviation_start=0.6)
    params = fx.init(graph, jax.random.key(0))
    inputs = {**{name: value[0] for name, value in batch().items()}, "progress": jnp.float32(0)}
    acted = fx.compile(graph)(params, inputs, jax.random.key(1))
    mode = fx.compile(fx.greedy(graph))(params, inputs, jax.random.key(1))
    np.testing.assert_allclose(jax.nn.sigmoid(acted["saccader.action"]), acted["saccader.fixation"], rtol=1e-6)
    # At the first glimpse both see the same, and the mode's action is the location.
    expected = policies.log_prob(acted["saccader.action"][0], mode["saccader.action"][0], jnp.full(2, 0.6))
    np.testing.assert_allclose(acted["saccader.log_prob"][0], expected, rtol=1e-5)


def test_one_step_is_the_gradient_of_the_losses_by_hand():
    """The step's update of the classifier is Adam on the mean cross-entropy, written out here."""
    graph = pipeline(policy="random")
    learning = fx.Learning(learning_rate=0.01, decay="constant", gradient_clip=1e9)
    learner = fx.make_learner(graph, learning, steps=10)
    state = learner.init(jax.random.key(0))
    keys = jax.random.split(jax.random.fold_in(state.key, 0), 6)
    rollout = jax.vmap(fx.compile(graph, ["classifier.logits"]), in_axes=(None, 0, 0))
    inputs = {**batch(), "progress": jnp.zeros(6)}

    def loss(network):
        logits = rollout({**state.params, "network": network}, inputs, keys)["classifier.logits"]
        log_probs = jax.nn.log_softmax(logits)
        return -jnp.mean(jnp.take_along_axis(log_probs, inputs["label"][:, None, None], axis=-1))

    adam = optax.adam(0.01)
    gradient = jax.grad(loss)(state.params["network"])
    with jax.numpy_dtype_promotion("standard"):  # as optax needs it
        updates, _ = adam.update(gradient, adam.init(state.params["network"]))
    expected = optax.apply_updates(state.params["network"], updates)
    after, metrics = jax.jit(learner.step)(state, batch())
    chex.assert_trees_all_close(after.params["network"], expected, atol=2e-4)
    np.testing.assert_allclose(metrics["loss/classifier.cross_entropy"], loss(state.params["network"]), rtol=1e-5)


def test_supervision_of_the_last_glimpse_alone():
    state_and_metrics = {}
    for supervise in ("each", "last"):
        learner = fx.make_learner(pipeline(policy="centre"), fx.Learning(supervise=supervise), steps=10)
        state_and_metrics[supervise] = jax.jit(learner.step)(learner.init(jax.random.key(0)), batch())
    graph = pipeline(policy="centre")
    state = fx.make_learner(graph, fx.Learning(), steps=10).init(jax.random.key(0))
    rollout = jax.vmap(fx.compile(graph, ["classifier.cross_entropy"]), in_axes=(None, 0, 0))
    losses = rollout(state.params, {**batch(), "progress": jnp.zeros(6)}, jax.random.split(jax.random.key(0), 6))
    losses = losses["classifier.cross_entropy"]
    for supervise, expected in (("each", losses.mean()), ("last", losses[:, -1].mean())):
        metric = state_and_metrics[supervise][1]["loss/classifier.cross_entropy"]
        np.testing.assert_allclose(metric, expected, rtol=1e-5)


def test_batching_capsule_updates_every_fourth_step_by_the_mean_gradient():
    graph = pipeline(policy="centre")
    every_fourth = graph.add(network=fx.batching(graph.modules["network"], every=4))
    learning = fx.Learning(decay="constant", gradient_clip=1e9)
    learner = fx.make_learner(every_fourth, learning, steps=8)
    state, step, seen = learner.init(jax.random.key(0)), jax.jit(learner.step), []
    start = state.params["network"]
    whole = {name: jnp.concatenate([batch(seed=s)[name] for s in range(4)]) for name in ("image", "label")}
    for seed in range(4):
        state, _ = step(state, batch(seed=seed))
        seen.append(
            all(
                bool((a == b).all())
                for a, b in zip(*map(jax.tree.leaves, (state.params["network"], start)), strict=True)
            )
        )
    assert seen == [True, True, True, False]
    plain = fx.make_learner(graph, learning, steps=8)
    expected, _ = jax.jit(plain.step)(plain.init(jax.random.key(0)), whole)
    chex.assert_trees_all_close(state.params["network"], expected.params["network"], atol=5e-4)


def trees_equal(ours, theirs):
    return all(bool((a == b).all()) for a, b in zip(*map(jax.tree.leaves, (ours, theirs)), strict=True))


def test_later_epochs_move_only_the_saccader_and_report_the_divergence():
    results = {}
    for epochs in (1, 3):
        learner = fx.make_learner(pipeline(), fx.Learning(epochs=epochs, policy_learning_rate=0.01), steps=10)
        results[epochs] = jax.jit(learner.step)(learner.init(jax.random.key(0)), batch())
    (one, one_metrics), (three, three_metrics) = results[1], results[3]
    chex.assert_trees_all_close(one.params["network"], three.params["network"], rtol=1e-6)
    assert one_metrics["saccader/kl"] == 0
    assert three_metrics["saccader/kl"] > 0


@pytest.mark.parametrize("core", ["none", "gru", "lstm"])
def test_replay_gives_what_was_acted(core):
    """The saccader computed again on its experience, under the same parameters, has the same log-probabilities."""
    graph = pipeline(saccader_core=core)
    saccader, params = graph.modules["saccader"], fx.init(graph, jax.random.key(0))
    inputs = {**{name: value[0] for name, value in batch().items()}, "progress": jnp.float32(0.2)}
    trajectory = fx.compile(graph)(params, inputs, jax.random.key(1))
    state = saccader.begin(graph.wiring.inputs["saccader"])
    for t in range(SMALL["glimpses"]):
        outputs = {port: trajectory[f"saccader.{port}"][t] for port in graph.wiring.outputs["saccader"]}
        judged, state = saccader.agent.evaluate(params["saccader"], state, outputs)
        for port in ("log_prob", "value", "entropy"):
            np.testing.assert_allclose(judged[port], outputs[port], rtol=1e-5, atol=1e-6)


def test_one_compilation_per_configuration():
    learner = fx.make_learner(pipeline(), fx.Learning(), steps=10)
    chex.clear_trace_counter()
    step = jax.jit(chex.assert_max_traces(learner.step, n=1), donate_argnums=0)
    state = learner.init(jax.random.key(0))
    for seed in range(3):
        state, _ = step(state, batch(seed=seed))
    assert int(state.step) == 3


CHOICES = [
    {"core": "rnn"},
    {"core": "lstm"},
    {"core": "feedforward"},
    {"precision": "bfloat16"},
    {"combine": "add"},
    {"crop": 6, "kernels": 4, "scales": 2},
    {"crop": 6, "kernels": 4, "contrast": False},
    {"where": False, "time": False, "position": False},
    {"deviation": "learned"},
    {"contrast": False},
]


@pytest.mark.parametrize("choices", CHOICES)
def test_every_choice_of_model_takes_a_finite_step(choices):
    learner = fx.make_learner(pipeline(**choices), fx.Learning(), steps=10)
    before = learner.init(jax.random.key(0))
    after, metrics = jax.jit(learner.step)(before, batch())
    assert all(np.isfinite(value) for value in metrics.values())
    for leaf, moved in zip(*(jax.tree.leaves(state.params) for state in (before, after)), strict=True):
        assert leaf.dtype == moved.dtype == jnp.float32
        assert np.isfinite(moved).all()


def test_gru_is_flax_gru():
    """Our two-product cell against flax's six, with the same weights."""
    import flax.linen as nn

    from foveax.networks.cells import GRUCell

    ours, theirs = GRUCell(5), nn.GRUCell(5)
    x, h = jnp.asarray(np.random.default_rng(0).normal(size=(2, 5)), jnp.float32)
    params = ours.init(jax.random.key(0), h, x)["params"]
    params = jax.tree.map(lambda leaf: leaf + 0.1, params)
    kernels = {name: jnp.split(params[name]["kernel"], 3, axis=1) for name in ("input", "recurrent")}
    biases = jnp.split(params["input"]["bias"], 3)
    gates = {f"i{gate}": {"kernel": kernels["input"][n], "bias": biases[n]} for n, gate in enumerate("rzn")}
    gates |= {f"h{gate}": {"kernel": kernels["recurrent"][n]} for n, gate in enumerate("rzn")}
    gates["hn"]["bias"] = params["bias"]
    expected, _ = theirs.apply({"params": gates}, h, x)
    np.testing.assert_allclose(ours.apply({"params": params}, h, x)[0], expected, rtol=1e-5, atol=1e-6)


def test_with_a_single_glimpse_the_classifier_learns_and_nothing_is_skipped(digits):
    graph = fx.standard_pipeline(fx.Model(glimpses=1, hidden=16, features=8), digits.inputs, classes=10)
    learner = fx.make_learner(graph, fx.Learning(), steps=10)
    batch = {name: jnp.asarray(array[:8]) for name, array in digits.train.items()}
    before = learner.init(jax.random.key(0))
    after, metrics = jax.jit(learner.step)(before, batch)
    assert np.isfinite([float(value) for value in metrics.values()]).all()
    assert int(after.skipped) == 0
    chex.assert_trees_all_equal(after.params["saccader"], before.params["saccader"])
    moved = jax.tree.map(lambda new, old: float(abs(new - old).max()), after.params, before.params)
    assert max(jax.tree.leaves(moved["network"])) > 1e-4


def test_the_signs_of_collapse_in_the_log_are_those_of_the_analysis():
    graph = fx.standard_pipeline(fx.Model(**{**SMALL, "glimpses": 6}), fx.image_source((16, 16, 1)), classes=CLASSES)
    shown = {**batch(32), "image": jax.random.randint(jax.random.key(1), (32, 16, 16, 1), 0, 255).astype(jnp.uint8)}
    learner = fx.make_learner(graph, fx.Learning(), steps=10)
    state = learner.init(jax.random.key(0))
    wild = jax.tree.map(lambda leaf: jax.random.normal(jax.random.key(2), leaf.shape), state.params["saccader"])
    state = state._replace(params={**state.params, "saccader": wild})
    keys = jax.random.split(jax.random.fold_in(state.key, 0), 32)
    inputs = {**shown, "progress": jnp.zeros(32)}
    aims = jax.vmap(fx.compile(graph, ["saccader.aim"]), (None, 0, 0))(state.params, inputs, keys)["saccader.aim"]
    fixations = np.concatenate([np.full((32, 1, 2), 0.5), aims[:, :-1]], axis=1)
    _, metrics = jax.jit(learner.step)(state, shown)
    late = {"begin": 3, "height": 16, "width": 16}
    assert 0 < metrics["saccader/refixation"] < 1
    assert 0 < metrics["saccader/border"] < 1
    np.testing.assert_allclose(
        metrics["saccader/refixation"], fx.analysis.refixation_rate(fixations, **late), rtol=1e-5
    )
    np.testing.assert_allclose(metrics["saccader/border"], fx.analysis.border_share(fixations, **late), rtol=1e-5)
