"""What a compiled rollout computes: memory, the ports of the loop, hyper-parameters, and rows that are independent."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import small

import foveax as fx

STEP = fx.from_function(lambda count, step: count + step, outputs="count")
KEY = jax.random.key(1)


def run(graph, inputs=None, *, record=None, **options):
    return fx.compile(graph, record)(fx.init(graph, jax.random.key(0)), inputs or {}, KEY, **options)


def counting(initial=10, links=(), **more):
    links = ["memory.count -> counter.count", "loop.index -> counter.step", "counter.count -> memory.count", *links]
    return fx.Graph({}, {"counter": STEP}, links, 4, {"count": initial}).add(**more)


def test_what_is_read_at_a_glimpse_was_written_at_the_one_before():
    trajectory = run(counting())
    written = 10 + np.cumsum([0, 1, 2, 3])
    np.testing.assert_array_equal(trajectory["counter"]["count"], written)
    np.testing.assert_array_equal(trajectory["memory"]["count"], [10, *written[:-1]])


def test_readers_before_and_after_the_writer_read_the_same():
    """A memory takes effect at the next glimpse, wherever its readers come in the order of a glimpse."""
    both = fx.from_function(lambda now, held: jnp.stack([now, held]))
    graph = counting().add("counter.count -> late.now", "memory.count -> late.held", "memory.count -> early.x",
                           late=both, early=fx.from_function(lambda x: x))  # fmt: skip
    trajectory = run(graph)
    np.testing.assert_array_equal(trajectory["late"]["output"][:, 1], trajectory["early"]["output"])
    np.testing.assert_array_equal(trajectory["late"]["output"][1:, 1], trajectory["late"]["output"][:-1, 0])


def test_a_memory_that_nothing_writes_stays_as_it_begins():
    graph = counting().unlink("memory.count")
    trajectory = run(graph)
    np.testing.assert_array_equal(trajectory["memory"]["count"], [10] * 4)
    np.testing.assert_array_equal(trajectory["counter"]["count"], [10, 11, 12, 13])


def test_a_memory_that_nothing_reads_can_be_recorded():
    trajectory = run(counting(memory={"other": np.float32(2.0)}), record=["memory.other"])
    assert trajectory.keys() == {"memory"}
    np.testing.assert_array_equal(trajectory["memory"]["other"], [2.0] * 4)


def test_one_module_writes_two_memories_and_a_memory_writes_another():
    graph = counting(memory={"twice": 0, "before": 7}).add(
        "counter.count -> memory.twice", "memory.count -> memory.before"
    )
    trajectory = run(graph)["memory"]
    np.testing.assert_array_equal(trajectory["twice"][1:], trajectory["count"][1:])
    np.testing.assert_array_equal(trajectory["before"], [7, *trajectory["count"][:-1]])


INITIAL = {
    "float": (0.5, "float32"),
    "pair of floats": ((0.5, 0.5), "float32"),
    "integer": (3, "int32"),
    "bool": (True, "bool"),
    "double": (np.zeros(2), "float32"),
    "half": (np.zeros(2, jnp.bfloat16), "bfloat16"),
    "byte": (np.zeros(2, np.uint8), "uint8"),
    "long": (np.zeros(2, np.int64), "int32"),
    "jax": (jnp.zeros((2, 3)), "float32"),
}


@pytest.mark.parametrize("case", INITIAL)
def test_dtype_of_a_memory_is_that_of_its_initial_value(case):
    initial, dtype = INITIAL[case]
    graph = fx.Graph({}, {}, [], 2, {"held": initial})
    held = run(graph)["memory"]["held"]
    assert (held.dtype, graph.wiring.outputs["memory"]["held"].dtype) == (dtype, dtype)
    np.testing.assert_array_equal(held, np.stack([np.asarray(initial)] * 2))


MEMORY_REFUSED = {
    "shape": ((0.5, 0.5, 0.5), r"eye.fixation gives float32\[2\], but memory.held begins with float32\[3\]"),
    "dtype": ((1, 1), r"eye.fixation gives float32\[2\], but memory.held begins with int32\[2\]"),
    "scalar": (0.5, r"eye.fixation gives float32\[2\], but memory.held begins with float32\[\]"),
    "text": ("here", "memory 'held' must begin with numbers of one shape; got 'here'"),
    "nothing": (None, "memory 'held' must begin with numbers of one shape; got None"),
    "ragged": (((0.5,), (0.5, 0.5)), "memory 'held' must begin with numbers of one shape"),
    "too large": (2**40, "memory 'held' must begin with integers of 32 bits; got 1099511627776"),
}


@pytest.mark.parametrize("case", MEMORY_REFUSED)
def test_initial_value_that_does_not_fit_is_refused(case):
    initial, message = MEMORY_REFUSED[case]
    with pytest.raises(fx.GraphError, match=message):
        fx.Graph({}, {"eye": fx.centre()}, ["eye.fixation -> memory.held"], 4, {"held": initial})


def test_a_memory_has_one_writer():
    eyes = {"left": fx.centre(), "right": fx.uniform_random()}
    links = ["left.fixation -> memory.gaze", "right.fixation -> memory.gaze"]
    with pytest.raises(fx.GraphError, match=r"memory.gaze has two sources: left.fixation and right.fixation"):
        fx.Graph({}, eyes, links, 4, {"gaze": (0.5, 0.5)})
    graph = fx.Graph({}, eyes, links[:1], 4, {"gaze": (0.5, 0.5)}).add(links[1])  # takes the place of the other
    assert str(graph.wiring.writes["gaze"]) == "right.fixation"


def test_a_memory_that_is_not_there_is_refused_both_ways():
    eye = {"eye": fx.centre()}
    with pytest.raises(fx.GraphError, match="no memory 'gaze' on 'memory'; it has place"):
        fx.Graph({}, eye, ["eye.fixation -> memory.gaze"], 4, {"place": 0.0})
    with pytest.raises(fx.GraphError, match=r"no output port 'gaze' on 'memory' to feed any.x; it has none"):
        fx.Graph({}, {"any": fx.from_function(lambda x: x)}, ["memory.gaze -> any.x"], 4)


def test_a_memory_breaks_a_cycle():
    """Two modules that read each other, one through a memory: x -> x + 1 -> 2 (x + 1)."""
    modules = {"more": fx.from_function(lambda x: x + 1), "twice": fx.from_function(lambda x: 2 * x)}
    links = ["memory.held -> more.x", "more.output -> twice.x", "twice.output -> memory.held"]
    np.testing.assert_array_equal(run(fx.Graph({}, modules, links, 4, {"held": 1}))["twice"]["output"], [4, 10, 22, 46])


def test_the_gradient_flows_through_a_memory():
    """With x_0 = a and x_{t+1} = w x_t, the sum over four glimpses has the derivative a (1 + 2 w + 3 w^2) in w."""
    times = fx.Module(
        {"x": fx.Port()}, lambda params, state, inputs, key: ({"y": params * inputs["x"]}, state),
        init=lambda key, inputs: jnp.float32(0.5),
    )  # fmt: skip
    graph = fx.Graph({}, {"times": times}, ["memory.held -> times.x", "times.y -> memory.held"], 4, {"held": 3.0})

    def total(weight):
        return jnp.sum(fx.compile(graph)({"times": weight}, {}, KEY)["memory"]["held"])

    weight = 0.7
    np.testing.assert_allclose(jax.grad(total)(weight), 3 * (1 + 2 * weight + 3 * weight**2), rtol=1e-5)


@pytest.mark.parametrize("length", [1, 7, 8, 9, 17])
def test_ports_of_the_loop(length):
    any_module = fx.from_function(lambda index, last, progress: (index, last, progress), outputs=("i", "l", "p"))
    links = [f"loop.{port} -> any.{port}" for port in ("index", "last", "progress")]
    graph = fx.Graph({}, {"any": any_module}, links, length)
    outputs = run(graph, progress=0.25)["any"]
    np.testing.assert_array_equal(outputs["i"], np.arange(length))
    np.testing.assert_array_equal(outputs["l"], [False] * (length - 1) + [True])
    np.testing.assert_array_equal(outputs["p"], np.full(length, 0.25, np.float32))
    np.testing.assert_array_equal(run(graph)["any"]["p"], np.ones(length))  # by default all is done


def test_hyperparameters_reach_a_module_by_name():
    graph = fx.Graph({}, {"any": fx.from_function(lambda a, b: a - b)}, ["hyperparameter.a -> any.a",
                     "hyperparameter.b -> any.b"], 2, hyperparameters={"a": 5, "b": 2.0})  # fmt: skip
    np.testing.assert_array_equal(run(graph)["any"]["output"], [3, 3])
    np.testing.assert_array_equal(run(graph, hyperparameters={"b": 4.5})["any"]["output"], [0.5, 0.5])
    batched = jax.vmap(lambda b: run(graph, hyperparameters={"b": b})["any"]["output"])(jnp.arange(3.0))
    np.testing.assert_array_equal(batched, [[5, 5], [4, 4], [3, 3]])
    with pytest.raises(fx.InputError, match="hyper-parameters must be those of the graph, a, b; got c"):
        run(graph, hyperparameters={"c": 1.0})


def test_a_missing_input_is_one_sentence():
    graph = fx.standard_pipeline(small.data(), fx.PipelineConfig(crop_size=3, glimpses=2, hidden=4, features=4))
    with pytest.raises(fx.InputError, match=r"^inputs must hold image, label; they lack label$"):
        run(graph, {"image": small.example()["image"]})
    batch = {"image": small.batch()["image"]}
    learner = fx.make_learner(graph, fx.LearningConfig(), steps=1)
    with pytest.raises(fx.InputError, match=r"^a batch must hold image, label; it lacks label"):
        jax.eval_shape(learner.step, jax.eval_shape(learner.init, jax.random.key(0)), batch)
    with pytest.raises(fx.InputError, match=r"^a split must hold image, label; it lacks label$"):
        fx.evaluate(graph, {}, {"image": np.asarray(batch["image"])}, key=KEY)


def test_more_inputs_than_are_needed_are_left_aside():
    np.testing.assert_array_equal(run(counting(), {"depth": jnp.zeros(3)})["memory"]["count"], [10, 10, 11, 13])


def test_modules_without_parameters_can_be_left_out():
    graph = fx.Graph({}, {"eye": fx.centre()}, [], 2)
    np.testing.assert_array_equal(fx.compile(graph)({}, {}, KEY)["eye"]["fixation"], np.full((2, 2), 0.5))


def test_a_trajectory_is_by_module_and_port_even_where_a_ports_name_holds_dots():
    graph = fx.standard_pipeline(small.data(), fx.PipelineConfig(crop_size=3, glimpses=2, hidden=4, features=6))
    record = ["classifier.encoder.what", "classifier.logits", "memory.fixation", "input.label", "loop.index"]
    trajectory = run(graph, small.example(), record=record)
    shapes = jax.tree.map(jnp.shape, trajectory)
    assert shapes == {
        "classifier": {"encoder.what": (2, 6), "logits": (2, 5)},
        "memory": {"fixation": (2, 2)},
        "input": {"label": (2,)},
        "loop": {"index": (2,)},
    }


def test_recording_nothing_gives_nothing():
    assert run(counting(), record=[]) == {}


def looking(length=4):
    modules = {"retina": fx.cropper(3), "eye": fx.uniform_random()}
    links = ["input.image -> retina.image", "memory.fixation -> retina.fixation", "eye.fixation -> memory.fixation"]
    return fx.Graph(fx.image_source(small.SHAPE), modules, links, length, {"fixation": (0.5, 0.5)})


def test_retina_looks_where_the_eye_went():
    trajectory = fx.compile(looking())({}, small.example(), jax.random.key(3))
    fixations, went = trajectory["memory"]["fixation"], trajectory["eye"]["fixation"]
    np.testing.assert_array_equal(fixations[0], [0.5, 0.5])
    np.testing.assert_array_equal(fixations[1:], went[:-1])
    assert len(np.unique(np.asarray(fixations), axis=0)) == 4
    crops = [fx.crop(small.example()["image"], fixation, size=3) for fixation in fixations]
    np.testing.assert_allclose(trajectory["retina"]["glimpse"], crops, atol=1e-6)


def test_two_modules_that_draw_do_not_draw_alike():
    graph = looking().add(other=fx.uniform_random())
    trajectory = fx.compile(graph)({}, small.example(), jax.random.key(3))
    alone = fx.compile(looking())({}, small.example(), jax.random.key(3))
    np.testing.assert_array_equal(trajectory["eye"]["fixation"], alone["eye"]["fixation"])
    assert (trajectory["eye"]["fixation"] != trajectory["other"]["fixation"]).all()


def test_rows_of_a_batch_are_independent():
    config = fx.PipelineConfig(crop_size=3, glimpses=3, hidden=8, features=6, saccader_hidden=4)
    built = fx.standard_pipeline(small.data(), config)
    params = fx.init(built, jax.random.key(0))
    rollout = jax.jit(jax.vmap(fx.compile(built), in_axes=(None, 0, 0)))
    keys = jax.random.split(jax.random.key(1), 4)
    batch = small.batch(4)
    changed = {**batch, "image": batch["image"].at[2].set(0)}
    before, after = rollout(params, batch, keys), rollout(params, changed, keys)
    others = np.array([0, 1, 3])
    jax.tree.map(lambda ours, theirs: np.testing.assert_array_equal(ours[others], theirs[others]), before, after)
    assert (before["classifier"]["logits"][2] != after["classifier"]["logits"][2]).any()
