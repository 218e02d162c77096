"""Graphs: what the checker refuses, and what the compiled rollout computes."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

import foveax as fx

LOOP = fx.Feedback("eye.fixation -> retina.fixation", initial=(0.5, 0.5))
MODULES = {"retina": fx.cropper(size=3), "eye": fx.uniform_random()}
LINKS = ["input.image -> retina.image", LOOP]


def graph(modules=None, links=None, length=4, shape=(8, 8, 1), **more_modules):
    modules = {**(MODULES if modules is None else modules), **more_modules}
    return fx.Graph(fx.image_source(shape), modules, LINKS if links is None else links, length)


def with_classifier(links=(), **more_modules):
    model = fx.Model(crop=3, glimpses=3, hidden=8, features=6, saccader_hidden=4)
    standard = fx.standard_pipeline(model, fx.image_source((8, 8, 1)), classes=5)
    return standard.add(*links, **more_modules)


def example(key=0):
    image = np.random.default_rng(key).integers(0, 255, (8, 8, 1), dtype=np.uint8)
    return {"image": jnp.asarray(image), "label": jnp.int32(2), "progress": jnp.float32(0.3)}


def takes_int(count):
    return count


INTEGER = fx.from_function(takes_int, ports={"count": fx.Port((), (jnp.int32,))}, outputs="same")
FLOAT = fx.from_function(lambda value: value, ports={"value": fx.Port((), (jnp.float32,))}, outputs="same")
ADD = fx.from_function(lambda a, b: a + b)

REFUSED = {
    "unknown module": (
        lambda: graph(links=["input.image -> retna.image"]),
        "no module 'retna'; modules are retina",
    ),
    "unknown source": (lambda: graph(links=["camera.image -> retina.image"]), "no module 'camera'; modules are retina"),
    "unknown input": (
        lambda: graph(links=["input.image -> retina.img"]),
        "no input port 'img' on 'retina'; it has",
    ),
    "unknown output": (
        lambda: graph(links=["input.picture -> retina.image", LOOP]),
        "no output port 'picture' on 'input' to feed retina.image; it has image, label, progress",
    ),
    "unknown output in feedback": (
        lambda: graph(links=[LINKS[0], fx.Feedback("eye.gaze -> retina.fixation", (0.5, 0.5))]),
        "no output port 'gaze' on 'eye' to feed retina.fixation; it has fixation",
    ),
    "no source": (lambda: graph(links=[LOOP]), "retina.image has no source"),
    "two sources": (
        lambda: graph(links=[*LINKS, "input.image -> retina.image"]),
        "retina.image has two sources: input.image and input.image; it must have one",
    ),
    "shape": (
        lambda: graph(links=["input.label -> retina.image", LOOP]),
        r"input.label gives int32\[\], but retina.image takes uint8\|float32\[H, W, C\]",
    ),
    "integer for float": (
        lambda: graph(float=FLOAT, links=[*LINKS, "input.label -> float.value"]),
        r"input.label gives int32\[\], but float.value takes float32\[\]: it has dtype int32",
    ),
    "float for integer": (
        lambda: graph(integer=INTEGER, links=[*LINKS, "input.progress -> integer.count"]),
        "it has dtype float32",
    ),
    "initial value": (
        lambda: graph(links=[LINKS[0], fx.Feedback("eye.fixation -> retina.fixation", (0.5, 0.5, 0.5))]),
        r"float32\[3\]",
    ),
    "initial dtype": (
        lambda: graph(
            modules={"counter": fx.from_function(lambda count: jnp.int32(3))},
            links=[fx.Feedback("counter.output -> counter.count", 0.5)],
        ),
        r"counter.output gives int32\[\], but its initial value for counter.count is float32\[\]",
    ),
    "second input without a source": (
        lambda: graph(a=ADD, b=ADD, links=[*LINKS, "a.output -> b.a", "b.output -> a.a"]),
        "a.b has no source",
    ),
    "cycle": (
        lambda: graph(
            a=fx.from_function(lambda x: x),
            b=fx.from_function(lambda x: x),
            links=[*LINKS, "a.output -> b.x", "b.output -> a.x"],
        ),
        "a cycle without feedback: b -> a -> b; make one of its links a Feedback",
    ),
    "malformed link": (lambda: graph(links=["input.image retina.image"]), 'must read "module.port -> module.port"'),
    "zero glimpses": (lambda: graph(length=0), "length must be at least 1 glimpse; got 0"),
    "crop too large": (
        lambda: graph(retina=fx.cropper(size=9)),
        "crop must be at most the image's larger side, 8; got 9",
    ),
    "shapes inside": (
        lambda: graph(add=ADD, links=[*LINKS, "input.image -> add.a", "loop.time -> add.b"]),
        r"module 'add' cannot take a uint8\[8, 8, 1\], b float32\[4\]",
    ),
    "sizes that must agree": (
        lambda: graph(
            modules={"pair": fx.from_function(lambda a, b: a, ports=dict.fromkeys("ab", fx.Port(("N",))))},
            links=["loop.time -> pair.a", "eye.fixation -> pair.b"],
            eye=fx.centre(),
        ),
        "it has size 2 where N = 4",
    ),
    "reserved name": (lambda: graph(loop=fx.centre()), "must not be called 'loop'"),
    "nothing to unlink": (lambda: graph().unlink("eye.time"), "no link leads into eye.time"),
    "agent without outputs": (
        lambda: graph(eye=fx.centre()._replace(agent=fx.Agent(evaluate=None, mode=None))),
        "agent 'eye' must give the outputs action, log_prob",
    ),
    "loss not scalar": (
        lambda: graph(eye=fx.centre()._replace(losses=("fixation",))),
        "must give its loss 'fixation' as a scalar",
    ),
    "state changes": (
        lambda: graph(
            eye=fx.centre()._replace(begin=lambda inputs: jnp.zeros(3), apply=lambda p, s, i, k: ({}, s[:2]))
        ),
        "begins with the state",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused_when_built(case):
    build, message = REFUSED[case]
    with pytest.raises(fx.GraphError, match=message):
        build()


def test_unknown_record_lists_ports():
    with pytest.raises(fx.GraphError, match=r"no port 'retina.crop' to record; there are .*retina.glimpse"):
        fx.compile(graph(), ["retina.crop"])


def test_universal_port_takes_anything():
    anything = fx.from_function(lambda value: value, outputs="same")
    for source in ("input.image", "input.label", "loop.last", "loop.time"):
        built = graph(any=anything, links=[*LINKS, f"{source} -> any.value"])
        module, _, port = source.partition(".")
        given, sent = built.wiring.outputs["any"]["same"], built.wiring.outputs[module][port]
        assert (given.shape, given.dtype) == (sent.shape, sent.dtype)


def test_loop_ports_and_feedback_over_time():
    counter = fx.from_function(lambda count, step: count + step, outputs="count")
    links = [fx.Feedback("counter.count -> counter.count", 10), "loop.index -> counter.step"]
    built = fx.Graph({}, {"counter": counter}, links, 4)
    trajectory = fx.compile(built)(fx.init(built, jax.random.key(0)), {}, jax.random.key(1))
    np.testing.assert_array_equal(trajectory["counter.count"], 10 + np.cumsum([0, 1, 2, 3]))


def test_retina_looks_where_the_eye_went():
    trajectory = fx.compile(graph())({"retina": {}, "eye": {}}, example(), jax.random.key(3))
    fixations, went = trajectory["retina.fixation"], trajectory["eye.fixation"]
    np.testing.assert_array_equal(fixations[0], [0.5, 0.5])
    np.testing.assert_array_equal(fixations[1:], went[:-1])
    assert len(np.unique(np.asarray(fixations), axis=0)) == 4
    crops = [fx.crop(example()["image"], fixation, size=3) for fixation in fixations]
    np.testing.assert_allclose(trajectory["retina.glimpse"], crops, atol=1e-6)


def test_rows_of_a_batch_are_independent():
    built = with_classifier()
    params = fx.init(built, jax.random.key(0))
    rollout = jax.jit(jax.vmap(fx.compile(built), in_axes=(None, 0, 0)))
    keys = jax.random.split(jax.random.key(1), 4)
    batch = jax.tree.map(lambda *rows: jnp.stack(rows), *[example(row) for row in range(4)])
    changed = {**batch, "image": batch["image"].at[2].set(0)}
    before, after = rollout(params, batch, keys), rollout(params, changed, keys)
    for port, value in before.items():
        others = np.array([0, 1, 3])
        np.testing.assert_array_equal(value[others], after[port][others], err_msg=port)
    assert (before["classifier.logits"][2] != after["classifier.logits"][2]).any()


def test_an_efference_copy_is_one_more_link_and_trains():
    """The fixation that the saccader chose reaches the classifier, by an edit of one line."""
    with_where = with_classifier().unlink("network.fixation")
    edited = with_where.add(fx.Feedback("saccader.fixation -> network.fixation", initial=(0.5, 0.5)))
    sizes = [sum(x.size for x in jax.tree.leaves(fx.init(g, jax.random.key(0)))) for g in (with_where, edited)]
    assert sizes[1] > sizes[0]
    assert step_lowers_loss(edited)


def test_the_saccader_reads_an_earlier_layer_by_one_line_and_trains():
    edited = with_classifier(["network.encoder.what -> saccader.observation"])
    assert edited.wiring.inputs["saccader"]["observation"].shape == (6,)
    assert step_lowers_loss(edited)


def test_a_second_classifier_and_a_memory_between_two_modules_train():
    memory = fx.from_linen_cell(nn.GRUCell(5))
    second = fx.from_linen(nn.Dense(5))
    edited = with_classifier(
        [
            "network.features -> memory.inputs",
            "memory.output -> second.inputs",
            "second.output -> judge.logits",
            "input.label -> judge.label",
            "memory.output -> saccader.observation",
        ],
        memory=memory,
        second=second,
        judge=fx.classifier(),
    )
    assert step_lowers_loss(edited, loss="loss/judge.cross_entropy")


def step_lowers_loss(built, loss="loss/classifier.cross_entropy", steps=60):
    """Trains on images whose brightness is their class."""
    learner = fx.make_learner(built, fx.Learning(learning_rate=0.02), steps=steps)
    label = jnp.arange(10, dtype=jnp.int32) % 5
    batch = {"image": jnp.zeros((10, 8, 8, 1), jnp.uint8) + (50 * label).astype(jnp.uint8)[:, None, None, None]}
    batch["label"] = label
    state, step, seen = learner.init(jax.random.key(0)), jax.jit(learner.step), []
    for _ in range(steps):
        state, metrics = step(state, batch)
        seen.append(float(metrics[loss]))
    return seen[-1] < 0.8 * seen[0]


class Linen(nn.Module):
    @nn.compact
    def __call__(self, glimpse):
        return {"wide": nn.Dense(7, name="first")(glimpse.reshape(-1)), "narrow": nn.Dense(3)(glimpse.reshape(-1))}


class Nnx(nnx.Module):
    def __init__(self, rngs):
        self.first = nnx.Linear(9, 7, rngs=rngs)
        self.second = nnx.Linear(7, 3, rngs=rngs)

    def __call__(self, glimpse):
        return self.second(nnx.relu(self.first(glimpse.reshape(-1))))


def test_linen_module_has_its_layers_as_ports():
    module = fx.from_linen(Linen(), ports={"glimpse": fx.Port(("G", "G", "C"), (jnp.float32,))})
    built = graph(net=module, links=[*LINKS, "retina.glimpse -> net.glimpse"])
    assert {name: port.shape for name, port in built.wiring.outputs["net"].items()} == {
        "wide": (7,),
        "narrow": (3,),
        "first": (7,),
        "Dense_0": (3,),
    }
    params = fx.init(built, jax.random.key(0))
    trajectory = fx.compile(built)(params, example(), jax.random.key(1))
    expected = [Linen().apply(params["net"], glimpse)["wide"] for glimpse in trajectory["retina.glimpse"]]
    np.testing.assert_allclose(trajectory["net.first"], expected, rtol=1e-5, atol=1e-6)


def test_nnx_module_has_its_layers_as_ports_and_computes_the_same():
    built = graph(net=fx.from_nnx(Nnx), links=[*LINKS, "retina.glimpse -> net.glimpse"])
    assert built.wiring.outputs["net"]["first"].shape == (7,)
    params = fx.init(built, jax.random.key(0))
    again = fx.init(built, jax.random.key(1))
    assert any((a != b).any() for a, b in zip(*map(jax.tree.leaves, (params, again)), strict=True))
    trajectory = fx.compile(built)(params, example(), jax.random.key(1))
    first, second = params["net"]["first"], params["net"]["second"]
    inner = trajectory["retina.glimpse"].reshape(4, -1) @ first["kernel"] + first["bias"][None]
    expected = np.maximum(inner, 0) @ second["kernel"] + second["bias"][None]
    np.testing.assert_allclose(trajectory["net.output"], expected, rtol=1e-4, atol=1e-5)


def test_recurrent_cell_carries_over_glimpses():
    cell = nn.SimpleCell(4)
    links = [*LINKS, "retina.fixation -> cell.inputs"]
    built = graph(cell=fx.from_linen_cell(cell), links=links)
    params = fx.init(built, jax.random.key(0))
    trajectory = fx.compile(built)(params, example(), jax.random.key(1))
    carry = jnp.zeros(4)
    for fixation, output in zip(trajectory["retina.fixation"], trajectory["cell.output"], strict=True):
        carry, expected = cell.apply(params["cell"], carry, fixation)
        np.testing.assert_allclose(output, expected, rtol=1e-5, atol=1e-6)


def test_parameters_of_a_module_do_not_depend_on_the_others():
    alone, together = with_classifier(), with_classifier(extra=fx.centre())
    key = jax.random.key(5)
    for ours, theirs in zip(*(jax.tree.leaves(fx.init(g, key)["network"]) for g in (alone, together)), strict=True):
        np.testing.assert_array_equal(ours, theirs)
