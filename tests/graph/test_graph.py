"""Graphs: what the checker refuses, what edits make of a graph, and modules of flax networks."""

import dataclasses

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import small
from flax import nnx

import foveax as fx

SMALL = fx.PipelineConfig(crop_size=3, glimpses=3, hidden=8, features=6, saccader_hidden=4)
MODULES = {"retina": fx.cropper(3), "eye": fx.uniform_random()}
LINKS = ["input.image -> retina.image", "memory.fixation -> retina.fixation", "eye.fixation -> memory.fixation"]
CENTRE = {"fixation": (0.5, 0.5)}


def graph(modules=None, links=(), length=4, memory=None, *, own_links=None, roles=None, numbers=None, **more_modules):
    """A retina that a random eye moves, with more modules and links, or with other parts in the place of its own."""
    modules = {**(MODULES if modules is None else modules), **more_modules}
    links = [*(LINKS if own_links is None else own_links), *links]
    memory = CENTRE if memory is None else memory
    return fx.Graph(fx.image_source(small.SHAPE), modules, links, length, memory, numbers or {}, roles or fx.Roles())


def with_classifier(links=(), **more_modules):
    return fx.standard_pipeline(small.data(), SMALL).add(*links, **more_modules)


def takes_int(count):
    return count


INTEGER = fx.from_function(takes_int, ports={"count": fx.Port((), (jnp.int32,))}, outputs="same")
FLOAT = fx.from_function(lambda value: value, ports={"value": fx.Port((), (jnp.float32,))}, outputs="same")
ANY = fx.from_function(lambda x: x)
ADD = fx.from_function(lambda a, b: a + b)
PAIR = fx.from_function(lambda: {"a": jnp.zeros(2), "b": jnp.zeros((), jnp.int32)}, outputs="both")


class DroppingCell(nn.SimpleCell):
    @nn.compact
    def __call__(self, carry, inputs):
        return super().__call__(carry, nn.Dropout(0.5, deterministic=False)(inputs))


EYE = fx.saccader(fx.networks.SaccadeNetwork(hidden=4))
EYE_LINKS = ["eye.fixation -> mine.observation"]


def with_agent(reward="reward.reward", links=(), **more_modules):
    """The graph with an agent, ``mine``, that is paid at a port."""
    agent = EYE._replace(agent=EYE.agent._replace(reward=reward))
    return graph(links=[*EYE_LINKS, *links], mine=agent, **more_modules)


REFUSED = {
    "unknown module": (
        lambda: graph(own_links=["input.image -> retna.image"]),
        "no module 'retna'; modules are retina",
    ),
    "unknown source": (
        lambda: graph(own_links=["camera.image -> retina.image"]),
        "no module 'camera'; modules are retina",
    ),
    "unknown input": (
        lambda: graph(own_links=["input.image -> retina.img"]),
        "no input port 'img' on 'retina'; it has image, fixation",
    ),
    "unknown output": (
        lambda: graph(own_links=["input.picture -> retina.image", *LINKS[1:]]),
        "no output port 'picture' on 'input' to feed retina.image; it has image, label",
    ),
    "unknown output into a memory": (
        lambda: graph(own_links=[*LINKS[:2], "eye.gaze -> memory.fixation"]),
        "no output port 'gaze' on 'eye' to feed memory.fixation; it has fixation",
    ),
    "unknown loop port": (
        lambda: graph(links=["loop.time -> any.x"], any=ANY),
        "no output port 'time' on 'loop' to feed any.x; it has index, last, progress",
    ),
    "unknown hyper-parameter": (
        lambda: graph(links=["hyperparameter.gain -> any.x"], any=ANY),
        "no output port 'gain' on 'hyperparameter' to feed any.x; it has none",
    ),
    "no source": (lambda: graph(own_links=LINKS[1:]), "retina.image has no source; it needs a link that brings uint8"),
    "two sources": (
        lambda: graph(links=["input.image -> retina.image"]),
        "retina.image has two sources: input.image and input.image; it must have one",
    ),
    "shape": (
        lambda: graph(own_links=["input.label -> retina.image", *LINKS[1:]]),
        r"input.label gives int32\[\], but retina.image takes uint8\|float32\[H, W, C\]: it has dtype int32",
    ),
    "integer for float": (
        lambda: graph(float=FLOAT, links=["input.label -> float.value"]),
        r"input.label gives int32\[\], but float.value takes float32\[\]: it has dtype int32",
    ),
    "float for integer": (
        lambda: graph(integer=INTEGER, links=["loop.progress -> integer.count"]),
        "it has dtype float32",
    ),
    "a pytree for an array": (
        lambda: graph(pair=PAIR, float=FLOAT, links=["pair.both -> float.value"]),
        r"pair.both gives \{a: float32\[2\], b: int32\[\]\}, but float.value takes float32\[\]: it is not a single",
    ),
    "second input without a source": (
        lambda: graph(a=ADD, b=ADD, links=["a.output -> b.a", "b.output -> a.a"]),
        "a.b has no source",
    ),
    "cycle": (
        lambda: graph(a=ANY, b=ANY, links=["a.output -> b.x", "b.output -> a.x"]),
        "a cycle within a glimpse: b -> a -> b; let one of its links go through a memory",
    ),
    "malformed link": (
        lambda: graph(own_links=["input.image retina.image"]),
        "must read \"module.port -> module.port\"; got 'input.image retina.image'",
    ),
    "link that is no text": (lambda: graph(links=[("eye", "retina")]), 'must read "module.port -> module.port"'),
    "link into the loop": (lambda: graph(links=["eye.fixation -> loop.index"]), "no module 'loop' to link into"),
    "zero glimpses": (lambda: graph(length=0), "length must be a whole number, at least 1 glimpse; got 0"),
    "half a glimpse": (lambda: graph(length=2.5), "length must be a whole number, at least 1 glimpse; got 2.5"),
    "a length that is a float": (lambda: graph(length=4.0), "length must be a whole number, .*; got 4.0"),
    "a length that is a bool": (lambda: graph(length=True), "length must be a whole number, .*; got True"),
    "crop too large": (
        lambda: graph(retina=fx.cropper(9)),
        "crop_size must be at most the image's larger side, 8; got 9",
    ),
    "shapes inside": (
        lambda: graph(add=ADD, links=["input.image -> add.a", "memory.fixation -> add.b"]),
        r"module 'add' cannot take a uint8\[8, 8, 1\], b float32\[2\]",
    ),
    "a value that is not there": (
        lambda: graph(bad=fx.Module({}, lambda params, state, inputs, key: ({"x": inputs["y"]}, state))),
        "module 'bad' cannot take no inputs: .*'y'",
    ),
    "outputs without names": (
        lambda: graph(bad=fx.Module({}, lambda params, state, inputs, key: (jnp.zeros(2), state))),
        "module 'bad' must give its outputs as a dictionary by port",
    ),
    "sizes that must agree": (
        lambda: graph(
            pair=fx.from_function(lambda a, b: a, ports=dict.fromkeys("ab", fx.Port(("N",)))),
            memory={**CENTRE, "four": np.zeros(4)},
            links=["memory.four -> pair.a", "eye.fixation -> pair.b"],
        ),
        "it has size 2 where N = 4",
    ),
    "reserved name": (lambda: graph(loop=fx.centre()), "must not be called 'loop'"),
    "reserved name of memory": (lambda: graph(memory={}, modules={"memory": fx.centre()}, own_links=[]), "'memory'"),
    "reserved name of hyper-parameters": (lambda: graph(hyperparameter=fx.centre()), "called 'hyperparameter'"),
    "a name with a dot": (
        lambda: graph({**MODULES, "left.eye": fx.centre()}),
        "the name of a module must be text without dots; got 'left.eye'",
    ),
    "a memory with a dot": (
        lambda: graph(memory={**CENTRE, "a.b": 0.0}),
        "the name of a memory must be text without dots; got 'a.b'",
    ),
    "a hyper-parameter with a dot": (
        lambda: graph(numbers={"a.b": 0.0}),
        "the name of a hyper-parameter must be text without dots; got 'a.b'",
    ),
    "a name that is no text": (lambda: graph({**MODULES, 3: fx.centre()}), "must be text without dots; got 3"),
    "a hyper-parameter that is no number": (
        lambda: graph(numbers={"gain": "high"}),
        "the hyper-parameter 'gain' must be a number; got 'high'",
    ),
    "nothing to unlink": (
        lambda: graph().unlink("eye.time"),
        "no link leads into eye.time; links lead into retina.image",
    ),
    "unknown module to swap": (
        lambda: graph().swap("retna", fx.cropper(5)),
        "no module 'retna' to swap; modules are retina, eye",
    ),
    "unknown module to remove": (
        lambda: graph().remove("retna"),
        "no module 'retna' to remove; modules are retina, eye",
    ),
    "nothing to reroute": (
        lambda: graph().reroute("eye.gaze", "retina.glimpse"),
        "no link leads from eye.gaze; links lead from input.image, memory.fixation, eye.fixation",
    ),
    "a module to swap that has no name": (lambda: graph().swap(["eye"], fx.centre()), r"no module \['eye'\] to swap"),
    "a function to swap in": (
        lambda: graph().swap("eye", lambda x: x),
        "'eye' must be a Module, as from_function and from_linen make them; got <function",
    ),
    "a port that is no text": (lambda: graph().unlink(["retina.image"]), 'must read "module.port"; got .*retina.image'),
    "a source to reroute that is no text": (
        lambda: graph().reroute(3, "eye.fixation"),
        'must read "module.port"; got 3',
    ),
    "a port to record that is no text": (lambda: fx.compile(graph(), [3]), 'must read "module.port"; got 3'),
    "a module to split off that is no text": (lambda: fx.split(graph(), ["eye"]), r"no module \['eye'\] to split off"),
    "a field that no graph has": (
        lambda: graph().replace(glimpses=3),
        "a graph has inputs, modules, links, length, .*; got glimpses",
    ),
    "a length beyond all integers": (lambda: graph(length=10**30), "length must be at most 2147483647 glimpses"),
    "modules without names": (
        lambda: fx.Graph({}, [fx.centre()], [], 4),
        "each module must be given by its name, in a dictionary; got",
    ),
    "memory without names": (
        lambda: graph().add(memory=[0.5]),
        r"each memory must be given by its name.*; got \[0.5\]",
    ),
    "links as one text": (lambda: fx.Graph({}, {}, "eye.x -> retina.y", 4), "links must be a list of texts; got"),
    "an input without shape": (
        lambda: fx.Graph({"image": (8, 8, 1)}, {}, [], 4),
        r"the input 'image' must be a jax.ShapeDtypeStruct; got \(8, 8, 1\)",
    ),
    "roles that are none": (lambda: graph(roles={"gaze": "fixation"}), "roles must be Roles, .*; got {'gaze'"),
    "a role that is no text": (lambda: graph(roles=fx.Roles(gaze=3)), r"roles must be Roles, .*; got Roles\(gaze=3"),
    "a hyper-parameter that is not finite": (
        lambda: graph(numbers={"gain": np.inf}),
        "'gain' must be a number; got inf",
    ),
    "a memory beyond float32": (
        lambda: graph(memory={**CENTRE, "far": 1e300}),
        r"memory 'far' must begin with numbers in the range of float32; got 1e\+300",
    ),
    "a module that raises": (
        lambda: graph(bad=fx.from_function(lambda: 1 // 0)),
        "module 'bad' cannot take no inputs: integer division",
    ),
    "a module that reads a value": (
        lambda: graph(bad=fx.from_function(lambda x: float(x[0])), links=["eye.fixation -> bad.x"]),
        "^[^\n]*module 'bad' cannot take x float32.*Abstract tracer value[^\n]*$",
    ),
    "an apply that is no function": (
        lambda: graph(bad=fx.Module({}, None)),
        "apply of module 'bad' must be a function",
    ),
    "a port of sizes that are none": (
        lambda: graph(bad=fx.Module({"x": fx.Port((2.0,))}, takes_int)),
        r"inputs of module 'bad' must be a dictionary of Port, .*; got {'x': Port\(shape=\(2.0",
    ),
    "a loss at glimpses that are none": (
        lambda: graph(bad=fx.centre()._replace(losses={"x": fx.Loss(glimpses="first")})),
        "losses of module 'bad' must be a dictionary of Loss, .*; got .*first",
    ),
    "a capsule of no steps": (
        lambda: graph(eye=fx.batching(fx.centre(), every=0)),
        "fit_every of module 'eye' must be a whole number, at least 1; got 0",
    ),
    "a function without parameters to read": (lambda: fx.from_function(max), "a function must say what it takes"),
    "a flax class": (lambda: fx.from_linen(nn.Dense), "must be given, an instance; got <class"),
    "a cell without a carry": (lambda: fx.from_linen_cell(nn.Dense(3)), "a cell must have initialize_carry"),
    "dropout": (
        lambda: graph(bad=fx.from_linen(nn.Dropout(0.5, deterministic=False)), links=["eye.fixation -> bad.inputs"]),
        "Dropout must draw no random numbers; it draws dropout: make it deterministic",
    ),
    "batch statistics": (
        lambda: graph(bad=fx.from_linen(nn.BatchNorm(use_running_average=False)), links=["eye.fixation -> bad.x"]),
        "BatchNorm must keep the collection params alone; it keeps batch_stats: normalise by LayerNorm or GroupNorm",
    ),
    "dropout of nnx": (
        lambda: fx.from_nnx(lambda rngs: nnx.Dropout(0.5, rngs=rngs)),
        "must hold Param alone; it holds RngCount, RngKey: normalise by LayerNorm or GroupNorm, and leave dropout out",
    ),
    "batch statistics of nnx": (lambda: fx.from_nnx(lambda rngs: nnx.BatchNorm(2, rngs=rngs)), "it holds BatchStat"),
    "a cell that drops": (
        lambda: graph(bad=fx.from_linen_cell(DroppingCell(4)), links=["eye.fixation -> bad.inputs"]),
        "DroppingCell must draw no random numbers; it draws dropout",
    ),
    "agent without outputs": (
        lambda: graph(eye=fx.centre()._replace(agent=fx.Agent(evaluate=None, mode=None))),
        "agent 'eye' must give the outputs action, log_prob, entropy, value; it lacks action",
    ),
    "loss not scalar": (
        lambda: graph(eye=fx.centre()._replace(losses={"fixation": fx.Loss()})),
        "module 'eye' must give its loss 'fixation' as a scalar; it gives fixation",
    ),
    "loss that is not there": (
        lambda: graph(eye=fx.centre()._replace(losses={"error": fx.Loss()})),
        "module 'eye' must give its loss 'error' as a scalar; it gives fixation",
    ),
    "metric not scalar": (
        lambda: graph(eye=fx.centre()._replace(metrics=("fixation",))),
        "module 'eye' must give its metric 'fixation' as a scalar",
    ),
    "weight without a hyper-parameter": (
        lambda: graph(
            any=fx.from_function(lambda x: x.sum(), losses={"output": fx.Loss("gain")}),
            links=["eye.fixation -> any.x"],
            numbers={"other": 1.0},
        ),
        "the weight of any.output must be a number or a hyper-parameter of the graph; got 'gain', there are other",
    ),
    "pathwise without a hyper-parameter": (
        lambda: with_classifier(saccader=fx.saccader(pathwise="share")),
        "the pathwise share of saccader must be a number or a hyper-parameter .*; got 'share', there are scale_start",
    ),
    "a reward that is not there": (
        lambda: with_agent("judge.reward"),
        "no output port 'reward' on 'judge' to feed the reward of 'mine'; it has none",
    ),
    "a reward of another port": (
        lambda: with_agent("retina.reward"),
        "no output port 'reward' on 'retina' to feed the reward of 'mine'; it has glimpse",
    ),
    "a reward of another dtype": (
        lambda: with_agent("input.label"),
        r"the reward input.label of 'mine' must be float32\[\]; it is int32\[\]",
    ),
    "a reward that is no scalar": (
        lambda: with_agent("eye.fixation"),
        r"the reward eye.fixation of 'mine' must be float32\[\]; it is float32\[2\]",
    ),
    "a reward that waits for its own action": (
        lambda: with_agent("paid.output", ["mine.fixation -> paid.x"], paid=fx.from_function(lambda x: x.sum())),
        "the reward of 'mine' must not wait for its action of the same glimpse, .*; paid.output does",
    ),
    "a reward of its own": (lambda: with_agent("mine.value"), "the reward of 'mine' must not wait for its action"),
    "a gaze that is no memory": (
        lambda: graph(roles=fx.Roles(gaze="eye.fixation")),
        "the gaze must be a memory; got 'eye.fixation', memories are fixation",
    ),
    "a gaze that is no place": (
        lambda: graph(roles=fx.Roles(gaze="place"), memory={**CENTRE, "place": np.zeros(3)}),
        r"the gaze memory.place must be float32\[2\]; it is float32\[3\]",
    ),
    "a belief of one number": (
        lambda: graph(roles=fx.Roles(belief="loop.progress")),
        r"the belief loop.progress must be float32\[K\]; it is float32\[\]",
    ),
    "a belief of an image": (
        lambda: graph(roles=fx.Roles(belief="retina.glimpse")),
        r"the belief retina.glimpse must be float32\[K\]; it is float32\[3, 3, 1\]",
    ),
    "a belief of integers": (
        lambda: graph(roles=fx.Roles(belief="memory.counts"), memory={**CENTRE, "counts": np.zeros(3, int)}),
        r"the belief memory.counts must be float32\[K\]; it is int32\[3\]",
    ),
    "a belief that is not there": (
        lambda: graph(roles=fx.Roles(belief="retina.belief")),
        "no output port 'belief' on 'retina' to feed the belief; it has glimpse",
    ),
    "a label of floats": (
        lambda: graph(roles=fx.Roles(label="loop.progress")),
        r"the label loop.progress must be int32\[\]; it is float32\[\]",
    ),
    "state changes": (
        lambda: graph(
            eye=fx.centre()._replace(begin=lambda inputs: jnp.zeros(3), apply=lambda p, s, i, k: ({}, s[:2]))
        ),
        "module 'eye' begins with the state",
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


def test_what_is_sown_by_a_flax_module_is_left_aside():
    class Sowing(nn.Module):
        @nn.compact
        def __call__(self, x):
            self.sow("losses", "norm", jnp.sum(x))
            return nn.Dense(2)(x)

    built = graph(net=fx.from_linen(Sowing()), links=["eye.fixation -> net.x"])
    assert rolled(built, fx.init(built, jax.random.key(0)))["net"]["output"].shape == (4, 2)


def test_universal_port_takes_anything():
    anything = fx.from_function(lambda value: value, outputs="same")
    for source in ("input.image", "input.label", "loop.last", "loop.index", "memory.fixation", "hyperparameter.gain"):
        built = graph(any=anything, links=[f"{source} -> any.value"], numbers={"gain": 2.0})
        module, _, port = source.partition(".")
        given, sent = built.wiring.outputs["any"]["same"], built.wiring.outputs[module][port]
        assert (given.shape, given.dtype) == (sent.shape, sent.dtype)


def test_a_universal_port_takes_a_pytree():
    built = graph(pair=PAIR, any=fx.from_function(lambda x: x["a"].sum()), links=["pair.both -> any.x"])
    assert built.wiring.outputs["any"]["output"].shape == ()


def test_removing_a_module_takes_its_links_and_its_roles():
    whole = with_classifier()
    assert whole.roles == fx.Roles("fixation", "decision.probabilities", "input.label", 3, 1)
    left = whole.remove("decision")
    assert "decision" not in left.modules
    assert left.roles == fx.Roles("fixation", "", "input.label", 3, 1)
    assert not [link for link in left.links if "decision" in link]
    assert whole.roles.belief == "decision.probabilities"  # the graph itself is as it was


def test_swapping_drops_the_links_into_ports_that_the_new_module_lacks():
    swapped = with_classifier().swap("saccader", fx.fixed_sequence([(0.1, 0.2), (0.3, 0.4)]))
    assert swapped.wiring.sources["saccader"].keys() == {"index"}
    assert str(swapped.wiring.writes["fixation"]) == "saccader.fixation"
    assert swapped.agents == []


def test_rerouting_moves_every_link_from_a_port():
    moved = with_classifier(given=fx.centre()).reroute("memory.fixation", "given.fixation")
    readers = [f"{name}.{port}" for name, sources in moved.wiring.sources.items()
               for port, source in sources.items() if str(source) == "given.fixation"]  # fmt: skip
    assert readers == ["retina.fixation", "classifier.fixation", "saccader.position"]
    assert not any(link.startswith("memory.fixation ->") for link in moved.links)
    assert str(moved.wiring.writes["fixation"]) == "saccader.fixation"


def test_rerouting_what_is_written_leaves_the_readers_of_the_memory():
    moved = with_classifier(given=fx.centre()).reroute("saccader.fixation", "given.fixation")
    assert str(moved.wiring.writes["fixation"]) == "given.fixation"
    assert str(moved.wiring.sources["retina"]["fixation"]) == "memory.fixation"


def test_an_efference_copy_is_one_more_link_and_trains():
    """The fixation that the saccader chose reaches the classifier through a memory of its own."""
    blind = with_classifier().unlink("classifier.fixation")
    links = ["saccader.fixation -> memory.copy", "memory.copy -> classifier.fixation"]
    edited = blind.add(*links, memory={"copy": (0.5, 0.5)})
    sizes = [sum(x.size for x in jax.tree.leaves(fx.init(g, jax.random.key(0)))) for g in (blind, edited)]
    assert sizes[1] > sizes[0]
    assert step_lowers_loss(edited)


def test_the_saccader_reads_an_earlier_layer_by_one_line_and_trains():
    edited = with_classifier(["classifier.encoder.what -> saccader.observation"])
    assert edited.wiring.inputs["saccader"]["observation"].shape == (6,)
    assert step_lowers_loss(edited)


def test_a_second_classifier_and_a_memory_between_two_modules_train():
    edited = with_classifier(
        [
            "classifier.features -> between.inputs",
            "between.output -> second.inputs",
            "second.output -> judge.logits",
            "input.label -> judge.label",
            "between.output -> saccader.observation",
        ],
        between=fx.from_linen_cell(nn.GRUCell(5)),
        second=fx.from_linen(nn.Dense(5)),
        judge=fx.decision(),
    )
    assert step_lowers_loss(edited, loss="loss/judge.cross_entropy")


def step_lowers_loss(built, loss="loss/decision.cross_entropy", steps=60):
    """Trains on images whose brightness is their class."""
    learner = fx.make_learner(built, fx.LearningConfig(learning_rate=0.02), steps=steps)
    label = jnp.arange(10, dtype=jnp.int32) % 5
    batch = {"image": jnp.zeros((10, 8, 8, 1), jnp.uint8) + (50 * label).astype(jnp.uint8)[:, None, None, None]}
    batch["label"] = label
    state, step, losses = learner.init(jax.random.key(0)), jax.jit(learner.step), []
    for _ in range(steps):
        state, metrics = step(state, batch)
        losses.append(float(metrics[loss]))
    return losses[-1] < 0.8 * losses[0]


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


def rolled(built, params):
    return jax.jit(fx.compile(built))(params, small.example(), jax.random.key(1))


def test_linen_module_has_its_layers_as_ports():
    module = fx.from_linen(Linen(), ports={"glimpse": fx.Port(("G", "G", "C"), (jnp.float32,))})
    built = graph(net=module, links=["retina.glimpse -> net.glimpse"])
    assert {name: port.shape for name, port in built.wiring.outputs["net"].items()} == {
        "wide": (7,),
        "narrow": (3,),
        "first": (7,),
        "Dense_0": (3,),
    }
    params = fx.init(built, jax.random.key(0))
    trajectory = rolled(built, params)
    expected = [Linen().apply(params["net"], glimpse)["wide"] for glimpse in trajectory["retina"]["glimpse"]]
    np.testing.assert_allclose(trajectory["net"]["first"], expected, rtol=1e-5, atol=1e-6)


def test_nnx_module_has_its_layers_as_ports_and_computes_the_same():
    built = graph(net=fx.from_nnx(Nnx), links=["retina.glimpse -> net.glimpse"])
    assert built.wiring.outputs["net"]["first"].shape == (7,)
    params = fx.init(built, jax.random.key(0))
    again = fx.init(built, jax.random.key(1))
    assert any((a != b).any() for a, b in zip(*map(jax.tree.leaves, (params, again)), strict=True))
    trajectory = rolled(built, params)
    first, second = params["net"]["first"], params["net"]["second"]
    inner = trajectory["retina"]["glimpse"].reshape(4, -1) @ first["kernel"] + first["bias"][None]
    expected = np.maximum(inner, 0) @ second["kernel"] + second["bias"][None]
    np.testing.assert_allclose(trajectory["net"]["output"], expected, rtol=1e-4, atol=1e-5)


def test_recurrent_cell_carries_over_glimpses():
    cell = nn.SimpleCell(4)
    built = graph(cell=fx.from_linen_cell(cell), links=["memory.fixation -> cell.inputs"])
    params = fx.init(built, jax.random.key(0))
    trajectory = rolled(built, params)
    carry = jnp.zeros(4)
    for fixation, output in zip(trajectory["memory"]["fixation"], trajectory["cell"]["output"], strict=True):
        carry, expected = cell.apply(params["cell"], carry, fixation)
        np.testing.assert_allclose(output, expected, rtol=1e-5, atol=1e-6)


class Summing(nn.Module):
    """A cell whose carry is as its first input."""

    @nn.compact
    def __call__(self, carry, first, second):
        return carry + first, nn.Dense(3)(jnp.concatenate([carry, second]))

    @nn.nowrap
    def initialize_carry(self, rng, input_shape):
        return jnp.zeros(input_shape)


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_a_cells_carry_is_as_the_first_port_of_its_signature_in_any_order_of_links(order):
    links = ["eye.fixation -> sum.first", "retina.glimpse -> flat.glimpse", "flat.output -> sum.second"]
    links = [links[1], *([links[0], links[2]][each] for each in order)]
    built = graph(
        sum=fx.from_linen_cell(Summing()), flat=fx.from_function(lambda glimpse: glimpse[0, :, 0]), links=links
    )
    assert list(built.wiring.inputs["sum"]) == ["first", "second"]
    others = [link for link in built.links if not link.endswith("sum.first")]
    again = dataclasses.replace(built, links=[*others, "memory.fixation -> sum.first"])  # re-linked, last of all
    assert list(again.wiring.inputs["sum"]) == ["first", "second"]
    trajectory = rolled(again, fx.init(again, jax.random.key(0)))
    assert trajectory["sum"]["output"].shape == (4, 3)


def test_the_order_of_links_and_modules_does_not_change_what_is_computed():
    whole = with_classifier()
    backwards = fx.Graph(
        whole.inputs,
        dict(reversed(whole.modules.items())),
        list(reversed(whole.links)),
        whole.length,
        whole.memory,
        whole.hyperparameters,
        whole.roles,
    )
    params = fx.init(whole, jax.random.key(0))
    jax.tree.map(np.testing.assert_array_equal, params, fx.init(backwards, jax.random.key(0)))
    jax.tree.map(np.testing.assert_array_equal, rolled(whole, params), rolled(backwards, params))


def test_parameters_of_a_module_do_not_depend_on_the_others():
    alone, together = with_classifier(), with_classifier(extra=fx.centre())
    key = jax.random.key(5)
    for ours, theirs in zip(*(jax.tree.leaves(fx.init(g, key)["classifier"]) for g in (alone, together)), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_an_edit_evaluates_only_modules_that_are_new_or_fed_otherwise():
    seen = []

    def look(glimpse):
        seen.append(glimpse.shape)
        return glimpse.mean()

    first = graph(links=["retina.glimpse -> look.glimpse"], look=fx.from_function(look))
    assert seen == [(3, 3, 1)]
    first.add(more=fx.from_function(lambda: 0.0)).remove("more")
    assert seen == [(3, 3, 1)]
    wider = first.swap("retina", fx.cropper(5))
    assert seen == [(3, 3, 1), (5, 5, 1)]
    assert wider.wiring.outputs["look"] == first.wiring.outputs["look"]
    first.swap("look", fx.from_function(look))
    assert seen == [(3, 3, 1), (5, 5, 1), (3, 3, 1)]
