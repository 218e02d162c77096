"""The fused step: where gradients go, what is credited, what is updated, and that it compiles once."""

import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import small
from scipy import stats

import foveax as fx
from foveax.learning.ppo import with_credit
from foveax.training.learner import later_epochs, replayed_loss

SMALL = {"crop_size": 3, "glimpses": 4, "hidden": 8, "features": 6, "saccader_hidden": 4}


@functools.cache
def pipeline(*unlinked, **choices):
    return fx.standard_pipeline(small.data(), fx.PipelineConfig(**{**SMALL, **choices})).unlink(*unlinked)


def summed_gradient(graph, port):
    """The gradient of one port, summed over glimpses, in the parameters of each module."""
    rollout, params = fx.compile(graph, [port]), fx.init(graph, jax.random.key(0))
    module, _, name = port.partition(".")

    def total(params):
        return jnp.sum(rollout(params, small.example(), jax.random.key(1), 0.5)[module][name])

    gradient = jax.jit(jax.grad(total))(params)
    return {name: max((float(abs(leaf).max()) for leaf in jax.tree.leaves(part)), default=0.0)
            for name, part in gradient.items()}  # fmt: skip


RL_PORTS = ("saccader.log_prob", "saccader.value", "saccader.entropy")


@pytest.mark.parametrize("unlinked", [(), ("classifier.fixation",)])
def test_cross_entropy_never_reaches_the_saccader(unlinked):
    gradient = summed_gradient(pipeline(*unlinked), "decision.cross_entropy")
    assert gradient["saccader"] == 0
    assert gradient["classifier"] > 0


@pytest.mark.parametrize("port", RL_PORTS)
@pytest.mark.parametrize("pathwise", [0.0, 0.5])
def test_reinforcement_never_reaches_the_classifier(port, pathwise):
    gradient = summed_gradient(pipeline(pathwise=pathwise), port)
    assert gradient["classifier"] == 0
    assert gradient["saccader"] > 0


def test_pathwise_gradient_arrives_in_proportion_to_its_weight():
    half, full = (summed_gradient(pipeline(pathwise=w), "decision.cross_entropy")["saccader"] for w in (0.5, 1.0))
    assert full > 0
    # Each fixation depends on the one before through the observation, whose gradient is stopped: it is linear.
    np.testing.assert_allclose(half, 0.5 * full, rtol=1e-4)


def test_pathwise_gradient_is_that_of_finite_differences():
    """With one saccade and its noise fixed, the classifier's loss is a plain function of the saccader's bias."""
    smooth = jnp.asarray(np.add.outer(np.arange(8), np.arange(8) ** 2)[..., None] / 60, jnp.float32)
    config = fx.PipelineConfig(**{**SMALL, "glimpses": 2, "pathwise": 1.0, "features": 32})
    graph = fx.standard_pipeline(small.data(dtype=np.float32), config)
    rollout = jax.jit(fx.compile(graph, ["decision.cross_entropy"]))
    params = fx.init(graph, jax.random.key(0))
    inputs = {"image": smooth, "label": jnp.int32(1)}

    def loss(bias):
        moved = jax.tree_util.tree_map_with_path(
            lambda path, leaf: bias if "policy" in str(path) and "bias" in str(path) else leaf, params
        )
        return jnp.sum(rollout(moved, inputs, jax.random.key(4), 0.0)["decision"]["cross_entropy"])

    gradient = jax.jit(jax.grad(loss))(jnp.zeros(2))
    assert float(abs(gradient).max()) > 1e-4
    difference = [float(loss(0.01 * axis) - loss(-0.01 * axis)) / 0.02 for axis in jnp.eye(2)]
    np.testing.assert_allclose(gradient, difference, rtol=0.05, atol=2e-4)


def test_the_action_after_the_last_glimpse_is_never_credited(unrolled):
    """Nothing of the last glimpse's action reaches the saccader's update, though its reward pays the one before."""
    graph = pipeline()
    learner = fx.make_learner(graph, fx.LearningConfig(entropy=0.0), steps=10)
    saccader = graph.modules["saccader"]

    def spoilt(params, state, inputs, key):
        outputs, state = saccader.apply(params, state, inputs, key)
        last = (inputs["index"] == graph.length - 1).astype(jnp.float32)
        ports = ("log_prob", "value", "entropy")
        return {**outputs, **{port: outputs[port] * (1 + 1e3 * last) for port in ports}}, state

    spoilt_graph = graph.add(saccader=saccader._replace(apply=spoilt))
    spoilt_learner = fx.make_learner(spoilt_graph, fx.LearningConfig(entropy=0.0), steps=10)
    ours, theirs = (
        jax.jit(each.step)(learner.init(jax.random.key(0)), small.batch())[0] for each in (learner, spoilt_learner)
    )
    chex.assert_trees_all_close(ours.params["saccader"], theirs.params["saccader"], rtol=1e-6)


def test_log_prob_is_that_of_the_executed_fixation():
    graph = pipeline(exploration="fixed", scale_start=0.6)
    params = fx.init(graph, jax.random.key(0))
    acted, mode = (
        jax.jit(fx.compile(each))(params, small.example(), jax.random.key(1), 0.0)["saccader"]
        for each in (graph, fx.greedy(graph))
    )
    np.testing.assert_allclose(jax.nn.sigmoid(acted["action"]), acted["fixation"], rtol=1e-6)
    np.testing.assert_array_equal(mode["fixation"], mode["mode"])
    # At the first glimpse both see the same, and the mode's action is the mean of the Gaussian.
    np.testing.assert_array_equal(acted["mode"][0], mode["fixation"][0])
    fixation = np.asarray(acted["fixation"][0], np.float64)
    gaussian = stats.norm(np.asarray(mode["action"][0]), 0.6).logpdf(acted["action"][0])
    expected = np.sum(gaussian - np.log(fixation * (1 - fixation)))
    np.testing.assert_allclose(acted["log_prob"][0], expected, rtol=1e-4)


def test_one_step_is_the_gradient_of_the_losses_by_hand():
    """The step's update of the classifier is Adam on the mean cross-entropy, written out here."""
    graph = pipeline(policy="random")
    learning = fx.LearningConfig(learning_rate=0.01, decay="constant", gradient_clip=1e9)
    learner = fx.make_learner(graph, learning, steps=10)
    state, batch = learner.init(jax.random.key(0)), small.batch()
    keys = jax.random.split(jax.random.fold_in(state.key, 0), 6)
    rollout = jax.jit(jax.vmap(fx.compile(graph, ["classifier.logits"]), in_axes=(None, 0, 0, None)))

    def loss(classifier):
        logits = rollout({**state.params, "classifier": classifier}, batch, keys, 0.0)["classifier"]["logits"]
        log_probs = jax.nn.log_softmax(logits)
        return -jnp.mean(jnp.take_along_axis(log_probs, batch["label"][:, None, None], axis=-1))

    adam, params = optax.adam(0.01), state.params["classifier"]
    gradient = jax.jit(jax.grad(loss))(params)
    with jax.numpy_dtype_promotion("standard"):  # as optax needs it
        updates, _ = adam.update(gradient, adam.init(params))
    expected = optax.apply_updates(params, updates)
    after, metrics = jax.jit(learner.step)(state, batch)
    chex.assert_trees_all_close(after.params["classifier"], expected, atol=2e-4)
    np.testing.assert_allclose(metrics["loss/decision.cross_entropy"], loss(params), rtol=1e-5)


def test_supervision_of_the_last_glimpse_alone():
    stepped = {}
    for supervise in ("each", "last"):
        learner = fx.make_learner(pipeline(policy="centre", supervise=supervise), fx.LearningConfig(), steps=10)
        stepped[supervise] = jax.jit(learner.step)(learner.init(jax.random.key(0)), small.batch())
    graph = pipeline(policy="centre")
    state = fx.make_learner(graph, fx.LearningConfig(), steps=10).init(jax.random.key(0))
    rollout = jax.jit(jax.vmap(fx.compile(graph, ["decision.cross_entropy"]), in_axes=(None, 0, 0)))
    losses = rollout(state.params, small.batch(), jax.random.split(jax.random.key(0), 6))["decision"]["cross_entropy"]
    for supervise, expected in (("each", losses.mean()), ("last", losses[:, -1].mean())):
        metric = stepped[supervise][1]["loss/decision.cross_entropy"]
        np.testing.assert_allclose(metric, expected, rtol=1e-5)


def test_batching_capsule_updates_every_fourth_step_by_the_mean_gradient():
    graph = pipeline(policy="centre")
    every_fourth = graph.add(classifier=fx.batching(graph.modules["classifier"], every=4))
    learning = fx.LearningConfig(decay="constant", gradient_clip=1e9)
    learner = fx.make_learner(every_fourth, learning, steps=8)
    state, step, unchanged = learner.init(jax.random.key(0)), jax.jit(learner.step), []
    start = state.params["classifier"]
    whole = {name: jnp.concatenate([small.batch(seed=s)[name] for s in range(4)]) for name in ("image", "label")}
    for seed in range(4):
        state, _ = step(state, small.batch(seed=seed))
        unchanged.append(
            all(
                bool((a == b).all())
                for a, b in zip(*map(jax.tree.leaves, (state.params["classifier"], start)), strict=True)
            )
        )
    assert unchanged == [True, True, True, False]
    plain = fx.make_learner(graph, learning, steps=8)
    expected, _ = jax.jit(plain.step)(plain.init(jax.random.key(0)), whole)
    chex.assert_trees_all_close(state.params["classifier"], expected.params["classifier"], atol=5e-4)


def test_later_epochs_move_only_the_saccader_and_report_how_far():
    graph, results = pipeline(), {}
    for epochs in (1, 3):
        learner = fx.make_learner(graph, fx.LearningConfig(epochs=epochs, policy_learning_rate=0.01), steps=10)
        results[epochs] = jax.jit(learner.step)(learner.init(jax.random.key(0)), small.batch())
    (one, one_metrics), (three, three_metrics) = results[1], results[3]
    chex.assert_trees_all_close(one.params["classifier"], three.params["classifier"], rtol=1e-6)
    assert one_metrics["saccader/kl"] == 0
    start = learner.init(jax.random.key(0))
    keys = jax.random.split(jax.random.fold_in(start.key, 0), 6)
    acted = jax.jit(jax.vmap(fx.compile(graph), (None, 0, 0, None)))(start.params, small.batch(), keys, 0.0)["saccader"]

    def log_prob(outputs):
        return graph.modules["saccader"].agent.evaluate(three.params["saccader"], (), outputs)[0]["log_prob"]

    log_ratio = np.asarray(jax.vmap(jax.vmap(log_prob))(acted) - acted["log_prob"], np.float64)[:, :-1]
    assert abs(log_ratio).max() > 1e-3
    # of the parameters after the last epoch
    np.testing.assert_allclose(three_metrics["saccader/kl"], np.mean(np.expm1(log_ratio) - log_ratio), rtol=0.01)


def test_later_epochs_descend_along_a_closed_form_until_one_is_not_finite():
    """Of p^2 / 2 with a rate of a half each epoch halves p; once the loss is infinite, nothing moves any more."""

    def loss(params, smallest):
        value = jnp.where(params["p"] < smallest, jnp.inf, params["p"] ** 2 / 2)
        return value, {"loss": value}

    def after(epochs, smallest):
        optimizer, params = optax.sgd(0.5), {"p": jnp.float32(8)}
        start = params, optimizer.init(params), jnp.bool_(True)
        params, _, finite = later_epochs(loss, optimizer, *start, (smallest,), epochs=epochs)
        return float(params["p"]), bool(finite)

    assert after(5, 0.0) == (8 / 2**5, True)
    assert after(5, 1.5) == (1.0, False)


@pytest.mark.parametrize("alone", [False, True])
def test_the_program_does_not_grow_with_the_epochs(alone):
    def lowered(epochs):
        learning = fx.LearningConfig(epochs=epochs)
        if alone:
            learner = fx.make_agent_learner(pipeline(), learning, steps=10, agent="saccader")
            outputs = pipeline().wiring.outputs
            ports = {**outputs["saccader"], "reward": outputs["reward"]["reward"]}
            given = {
                name: jnp.zeros((6, SMALL["glimpses"] - 1, *port.shape), port.dtype) for name, port in ports.items()
            }
        else:
            learner, given = fx.make_learner(pipeline(), learning, steps=10), small.batch()
        state = jax.eval_shape(learner.init, jax.random.key(0))
        return jax.jit(learner.step).lower(state, given).as_text().count("\n")

    assert lowered(2) == lowered(50)


@pytest.mark.parametrize("core", ["none", "gru", "lstm"])
def test_replay_gives_what_was_acted(core):
    """The saccader computed again on its experience, under the same parameters, has the same log-probabilities."""
    graph = pipeline(saccader_core=core)
    saccader, params = graph.modules["saccader"], fx.init(graph, jax.random.key(0))
    trajectory = jax.jit(fx.compile(graph))(params, small.example(), jax.random.key(1), 0.2)["saccader"]
    state = saccader.begin(graph.wiring.inputs["saccader"])
    for t in range(SMALL["glimpses"]):
        outputs = {port: trajectory[port][t] for port in graph.wiring.outputs["saccader"]}
        judged, state = saccader.agent.evaluate(params["saccader"], state, outputs)
        for port in ("log_prob", "value", "entropy"):
            np.testing.assert_allclose(judged[port], outputs[port], rtol=1e-5, atol=1e-6)


def test_the_program_of_credit_and_replay_does_not_grow_with_the_glimpses(unrolled):
    """The rollout's does not either: all are loops of eight glimpses a turn."""
    hyper, lengths = fx.LearningConfig().hyperparameters(), (17, 65)

    def lowered(glimpses):
        graph = pipeline(glimpses=glimpses)
        saccader, inputs = graph.modules["saccader"], graph.wiring.inputs["saccader"]
        given = {**graph.wiring.outputs["saccader"], "reward": graph.wiring.outputs["reward"]["reward"]}
        episodes = {
            port: jax.ShapeDtypeStruct((2, glimpses - 1, *spec.shape), spec.dtype) for port, spec in given.items()
        }

        def loss(params, episodes):
            credited = with_credit(episodes, hyper, normalize="glimpse")
            return replayed_loss(saccader, inputs, params, credited, hyper, 0.1)[0]

        params = jax.eval_shape(functools.partial(fx.init, graph), jax.random.key(0))["saccader"]
        return jax.jit(jax.grad(loss)).lower(params, episodes).as_text().count("\n")

    assert lowered(lengths[0]) == lowered(lengths[1])


def test_one_compilation_per_configuration():
    learner = fx.make_learner(pipeline(), fx.LearningConfig(), steps=10)
    chex.clear_trace_counter()
    step = jax.jit(chex.assert_max_traces(learner.step, n=1), donate_argnums=0)
    state = learner.init(jax.random.key(0))
    for seed in range(3):
        state, _ = step(state, small.batch(seed=seed))
    assert int(state.step) == 3


CHOICES = [
    *(
        pytest.param(choices, marks=pytest.mark.nightly)
        for choices in (
            {"core": "lstm", "precision": "bfloat16"},
            {"core": "feedforward", "exploration": "learned"},
            {"crop_size": 6, "kernels": 4, "contrast": False},
        )
    ),
    {"core": "rnn", "combine": "add", "supervise": "last", "reward": "correct_last"},
    {"crop_size": 6, "kernels": 4, "scales": 2},
    {"unlinked": ("classifier.fixation", "saccader.index", "saccader.position", "saccader.progress"),
     "exploration": "fixed"},
    {"saccader_core": "lstm", "pathwise": 0.5, "contrast": False},
]  # fmt: skip


@pytest.mark.parametrize("choices", CHOICES)
def test_every_choice_of_pipeline_takes_a_finite_step(choices):
    fields = {name: value for name, value in choices.items() if name != "unlinked"}
    graph = pipeline(*choices.get("unlinked", ()), **fields)
    learner = fx.make_learner(graph, fx.LearningConfig(), steps=10)
    before = learner.init(jax.random.key(0))
    after, metrics = jax.jit(learner.step)(before, small.batch())
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


def test_with_a_single_glimpse_the_classifier_learns_and_nothing_is_skipped():
    learner = fx.make_learner(pipeline(glimpses=1), fx.LearningConfig(), steps=10)
    before = learner.init(jax.random.key(0))
    after, metrics = jax.jit(learner.step)(before, small.batch())
    assert np.isfinite([float(value) for value in metrics.values()]).all()
    assert int(after.skipped) == 0
    chex.assert_trees_all_equal(after.params["saccader"], before.params["saccader"])
    moved = jax.tree.map(lambda new, old: float(abs(new - old).max()), after.params, before.params)
    assert max(jax.tree.leaves(moved["classifier"])) > 1e-4


def test_the_signs_of_collapse_in_the_log_are_those_of_the_analysis():
    graph = fx.standard_pipeline(small.data((16, 16, 1)), fx.PipelineConfig(**{**SMALL, "glimpses": 6}))
    batch = small.batch(32, shape=(16, 16, 1))
    learner = fx.make_learner(graph, fx.LearningConfig(), steps=10)
    state = learner.init(jax.random.key(0))
    wild = jax.tree.map(lambda leaf: jax.random.normal(jax.random.key(2), leaf.shape), state.params["saccader"])
    state = state._replace(params={**state.params, "saccader": wild})
    keys = jax.random.split(jax.random.fold_in(state.key, 0), 32)
    rollout = jax.jit(jax.vmap(fx.compile(graph, ["saccader.mode"]), (None, 0, 0, None)))
    modes = rollout(state.params, batch, keys, 0.0)["saccader"]["mode"]
    fixations = np.concatenate([np.full((32, 1, 2), 0.5), modes[:, :-1]], axis=1)
    _, metrics = jax.jit(learner.step)(state, batch)
    late = {"begin": 3, "height": 16, "width": 16}
    radius = graph.roles.crop_size / 3
    assert 0 < metrics["saccader/refixation"] < 1
    assert 0 < metrics["saccader/border"] < 1
    np.testing.assert_allclose(
        metrics["saccader/refixation"], fx.analysis.refixation_rate(fixations, radius=radius, **late), rtol=1e-5
    )
    np.testing.assert_allclose(metrics["saccader/border"], fx.analysis.border_share(fixations, **late), rtol=1e-5)
