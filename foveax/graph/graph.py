"""The graph: modules, links between their ports, memory, and a loop of T glimpses, checked when it is built."""

import dataclasses
import functools
import zlib
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from foveax._checked import in_line, is_number
from foveax._types import InputError, Key, Params
from foveax.graph.modules import AGENT_OUTPUTS, Factor, Loss, Module, Values, check_module
from foveax.graph.ports import GraphError, describe

MOST_GLIMPSES = 2**31 - 1
RESERVED = ("input", "loop", "memory", "hyperparameter")
"""Names that stand for the graph's own ports."""


class Roles(NamedTuple):
    """What tools need to know of a graph, whatever its modules are called.

    Attributes:
      gaze: the memory that holds the place looked at, a fixation ``[2]``. Scanpaths, figures and controls are of it.
      belief: the port, ``"module.port"``, of the probabilities of the classes ``[K]``. Accuracy is that of its argmax.
      label: the port of the true class, int32, such as ``"input.label"``.
      crop_size: side in pixels of the square that is seen about a fixation, for figures and coverage; 0 if what is seen
        is no square: both are then left out.
      scales: concentric squares, each twice as wide as the one before.
      extent: the port of the shares of the image, along x and y, that are picture, float32 ``[2]``, where the rest, to
        the right and below, is padding. Places are then fractions of the picture, so that no eye leaves it.
    """

    gaze: str = ""
    belief: str = ""
    label: str = ""
    crop_size: int = 0
    scales: int = 1
    extent: str = ""


class Source(NamedTuple):
    """Where an input port or a memory gets its value: an output port."""

    module: str
    port: str

    def __str__(self) -> str:
        return f"{self.module}.{self.port}"


class Wiring(NamedTuple):
    """A checked graph: what `compile` needs to know.

    Attributes:
      order: the modules, each after those that it reads.
      sources: for each module, its fed input ports, in the order of `Module.inputs`, and where their values come from.
      inputs: for each module, the `jax.ShapeDtypeStruct` at each fed input port.
      outputs: likewise at each output port; also for ``input``, ``loop``, ``memory`` and ``hyperparameter``.
      writes: for each memory that is written, where its next value comes from.
    """

    order: tuple[str, ...]
    sources: Mapping[str, Mapping[str, Source]]
    inputs: Mapping[str, Mapping[str, jax.ShapeDtypeStruct]]
    outputs: Mapping[str, Mapping[str, jax.ShapeDtypeStruct]]
    writes: Mapping[str, Source]


@dataclasses.dataclass(frozen=True, eq=False)
class Graph:
    """A pipeline: modules, and links between their ports, run for `length` glimpses. Checked when it is made.

    Attributes:
      inputs: the graph's own inputs for one example, by name, as `jax.ShapeDtypeStruct`: linked as ``input.NAME``, and
        the same at every glimpse.
      modules: the modules by name; names hold no dots.
      links: ``"module.port -> module.port"``. Besides modules there are ``input``; ``loop``, with the ports ``index``
        (int32, 0 to T - 1), ``last`` (bool) and ``progress`` (float32, the share of training done, 1 when it is over);
        ``memory`` and ``hyperparameter``.
      length: the number of glimpses T.
      memory: initial values by name; Python floats become float32, and ``"input.NAME"`` stands for an input of the
        graph, so that each example begins with its own. ``memory.NAME`` can be read by any module, and written by one
        link, ``"module.port -> memory.NAME"``: what is read at a glimpse was written at the one before.
      hyperparameters: floats by name, linked as ``hyperparameter.NAME``: they are arguments of the compiled program, so
        that the members of a population can differ in them.
      roles: what tools need to know of the graph.
      before: a graph of which this is an edit: what is known of modules that are in both is not found out again.

    Raises:
      GraphError: for an unknown module or port (the message lists those that exist), an input with no source or two,
        a shape or dtype that differ (both sides are printed), a cycle within a glimpse (the cycle is printed), a role,
        reward or weight that names what does not exist, or a part of another kind than is named here.

    Example:
      >>> import foveax as fx
      >>> modules = {"retina": fx.cropper(9), "eye": fx.centre()}
      >>> links = ["input.image -> retina.image", "memory.gaze -> retina.fixation", "eye.fixation -> memory.gaze"]
      >>> graph = fx.Graph(fx.image_source((28, 28, 1)), modules, links, length=6, memory={"gaze": (0.5, 0.5)})
      >>> graph.wiring.outputs["retina"]["glimpse"].shape
      (9, 9, 1)
    """

    inputs: Mapping[str, jax.ShapeDtypeStruct]
    modules: Mapping[str, Module]
    links: tuple[str, ...] | list[str]
    length: int
    memory: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    hyperparameters: Mapping[str, float] = dataclasses.field(default_factory=dict)
    roles: Roles = dataclasses.field(default_factory=Roles)
    before: dataclasses.InitVar["Graph | None"] = None
    wiring: Wiring = dataclasses.field(init=False, repr=False)

    def __post_init__(self, before: "Graph | None"):
        object.__setattr__(self, "wiring", _wire(self, before))

    @property
    def agents(self) -> list[str]:
        """The names of the modules that are agents."""
        return [name for name, module in self.modules.items() if module.agent]

    @property
    def losses(self) -> dict[Source, Loss]:
        """The modules' declared losses."""
        return {Source(name, port): loss for name in self.modules for port, loss in self.modules[name].losses.items()}

    @property
    def metrics(self) -> list[Source]:
        """The modules' declared metrics."""
        return [Source(name, port) for name, module in self.modules.items() for port in module.metrics]

    def replace(self, **fields: Any) -> "Graph":
        """The same graph with other fields; modules that stay, and are fed the same, are not evaluated again."""
        there = [field.name for field in dataclasses.fields(self) if field.init]
        if unknown := [name for name in fields if name not in there]:
            raise GraphError(f"a graph has {_list(there)}; got {_list(unknown)}")
        return dataclasses.replace(self, before=self, **fields)

    def add(
        self,
        /,
        *links: str,
        memory: Mapping[str, Any] | None = None,
        hyperparameters: Mapping[str, float] | None = None,
        roles: Roles | None = None,
        **modules: Module,
    ) -> "Graph":
        """The same graph with more modules, links, memory and hyper-parameters, or other roles.

        A module takes the place of one of its name; a link takes the place of one into the same port.
        """
        return self.replace(
            modules={**self.modules, **modules},
            links=list(_by_target([*self.links, *links]).values()),
            memory={**self.memory, **_as_mapping("memory", memory or {})},
            hyperparameters={**self.hyperparameters, **_as_mapping("hyper-parameter", hyperparameters or {})},
            roles=self.roles if roles is None else roles,
        )

    def unlink(self, *ports: str) -> "Graph":
        """The same graph without the links into these ports, each given as ``"module.port"``."""
        fed = _by_target(self.links)
        for port in ports:
            if str(parse_port(port)) not in fed:
                raise GraphError(f"no link leads into {port}; links lead into {_list(fed)}")
        links = [link for port, link in fed.items() if port not in ports]
        return self.replace(links=links)

    def remove(self, *names: str) -> "Graph":
        """The same graph without some modules, the links into and out of them, and the roles that they had."""
        for name in names:
            self._check_there(name, "remove")
        modules = {name: module for name, module in self.modules.items() if name not in names}
        links = [link for link in self.links if not {end.module for end in _parse(link)} & set(names)]
        lost = {
            role: "" for role in ("belief", "label", "extent") if getattr(self.roles, role).partition(".")[0] in names
        }
        roles = self.roles._replace(**lost)
        return self.replace(modules=modules, links=links, roles=roles)

    def swap(self, name: str, module: Module, *links: str) -> "Graph":
        """The same graph with another module in the place of one; links into ports that it lacks are dropped.

        Further links are as in `add`.
        """
        self._check_there(name, "swap")
        targets = {link: _parse(link)[1] for link in self.links}
        fitting = [link for link, to in targets.items() if to.module != name or to.port in module.inputs]
        fed = _by_target([*fitting, *links])
        modules = {**self.modules, name: module}
        return self.replace(modules=modules, links=list(fed.values()))

    def reroute(self, source: str, to: str, **modules: Module) -> "Graph":
        """The same graph in which all links from one output port, ``"module.port"``, lead from another instead.

        More modules are as in `add`; links into them must follow from `add` before.
        """
        ends = {link: _parse(link) for link in self.links}
        there = dict.fromkeys(str(read) for read, _ in ends.values())
        if str(parse_port(source)) not in there:
            raise GraphError(f"no link leads from {source}; links lead from {_list(there)}")
        links = [f"{to} -> {target}" if str(read) == source else link for link, (read, target) in ends.items()]
        return self.replace(modules={**self.modules, **modules}, links=links)

    def _check_there(self, name: str, act: str) -> None:
        if not isinstance(name, str) or name not in self.modules:
            raise GraphError(f"no module {name!r} to {act}; modules are {_list(self.modules)}")


def init(graph: Graph, key: Key) -> dict[str, Params]:
    """Parameters of a graph's modules, by the module's name; those of a module depend on its name and the key alone.

    Example:
      >>> import foveax as fx, jax
      >>> graph = fx.standard_pipeline(fx.load("mnist5k"))
      >>> sorted(name for name, params in fx.init(graph, jax.random.key(0)).items() if params)
      ['classifier', 'saccader']
    """
    return {
        name: module.init(module_key(key, name), graph.wiring.inputs[name]) for name, module in graph.modules.items()
    }


def as_initial(value: Any) -> jax.Array:
    """A memory's initial value as an array: Python floats as float32, integers as int32."""
    array = np.asarray(value)
    return jnp.asarray(array.astype(_narrow(array.dtype)))


def initial_memory(graph: Graph, inputs: Mapping[str, Any]) -> dict[str, Any]:
    """What the memory holds before the first glimpse: constants, or what comes in at inputs of the graph."""
    return {
        name: inputs[parse_port(value).port] if isinstance(value, str) else as_initial(value)
        for name, value in graph.memory.items()
    }


def _narrow(dtype: np.dtype) -> np.dtype:
    """A dtype of at most 32 bits, of the same kind."""
    return np.dtype(f"{dtype.kind}4") if dtype.kind in "fiu" and dtype.itemsize > 4 else dtype


def batch_size(graph: Graph, batch: Mapping[str, Any], kind: str) -> int:
    """The number of examples in a batch, or split, which must hold all inputs of the graph."""
    missing = [name for name in graph.inputs if name not in batch]
    if missing:
        raise InputError(f"a {kind} must hold {', '.join(graph.inputs)}; it lacks {', '.join(missing)}")
    return len(next(iter(batch.values())))


def module_key(key: Key, name: str) -> Key:
    """The key of one module, whatever others there are."""
    return jax.random.fold_in(key, zlib.crc32(name.encode()))


def glimpse_keys(graph: Graph, key: Key, name: str) -> Key:
    """The keys of a random module in a rollout, ``[T]``, one per glimpse."""
    return jax.random.split(module_key(key, name), graph.length)


def loop_values(graph: Graph, index: Any, progress: Any) -> dict[str, Any]:
    """The ports of ``loop`` at a glimpse."""
    return {"index": index, "last": index == graph.length - 1, "progress": jnp.asarray(progress, jnp.float32)}


def parse_port(port: str) -> Source:
    """A port given as ``"module.port"``; a port's own name may hold dots, as those of inner layers do."""
    if not isinstance(port, str):
        raise GraphError(f'a port must read "module.port"; got {in_line(port)}')
    module, _, name = port.partition(".")
    return Source(module, name)


def waiting_for(wiring: Wiring, names: Iterable[str]) -> set[str]:
    """These modules, and those that wait for what they give within a glimpse."""
    waiting = set(names)
    for name in wiring.order:
        if waiting.intersection(source.module for source in wiring.sources[name].values()):
            waiting.add(name)
    return waiting


def _list(names: Any) -> str:
    return ", ".join(names) or "none"


def _parse(link: str) -> tuple[Source, Source]:
    ends = [end.strip() for end in link.split("->")] if isinstance(link, str) else []
    if len(ends) != 2 or not all(all(end.partition(".")) for end in ends):
        raise GraphError(f'a link must read "module.port -> module.port"; got {in_line(link)}')
    source, target = map(parse_port, ends)
    return source, target


def _by_target(links: Iterable[str]) -> dict[str, str]:
    """Links by the port that they feed, each in the place of an earlier one into the same port."""
    return {str(_parse(link)[1]): link for link in links}


def _as_mapping(kind: str, values: Any) -> Mapping[str, Any]:
    """Values by name; refuses what is no dictionary."""
    if not isinstance(values, Mapping):
        raise GraphError(f"each {kind} must be given by its name, in a dictionary; got {in_line(values)}")
    return values


def _wire(graph: Graph, before: Graph | None) -> Wiring:
    _check_parts(graph)
    sources, writes = _connect(graph)
    order = _sort(sources)
    outputs: dict[str, Mapping[str, Any]] = {
        "input": dict(graph.inputs),
        "loop": jax.eval_shape(lambda: loop_values(graph, jnp.int32(0), 0.0)),
        "memory": jax.eval_shape(functools.partial(initial_memory, graph), dict(graph.inputs)),
        "hyperparameter": {name: jax.ShapeDtypeStruct((), jnp.float32) for name in graph.hyperparameters},
    }
    inputs = {}
    for name in order:
        inputs[name] = {port: _spec(source, outputs, f"{name}.{port}") for port, source in sources[name].items()}
        sizes: dict[str, int] = {}
        for port, value in inputs[name].items():
            accepts = graph.modules[name].inputs[port]
            if reason := accepts.refuses(value, sizes):
                gives = f"{sources[name][port]} gives {describe(value)}"
                raise GraphError(f"{gives}, but {name}.{port} takes {accepts}: it {reason}")
        outputs[name] = _known(name, graph, inputs[name], before) or _infer(name, graph.modules[name], inputs[name])
    for name, source in writes.items():
        given, held = describe(_spec(source, outputs, f"memory.{name}")), describe(outputs["memory"][name])
        if given != held:
            wide = ": switch JAX_ENABLE_X64 off" if "64" in given and jnp.result_type(float) == jnp.float64 else ""
            raise GraphError(f"{source} gives {given}, but memory.{name} begins with {held}{wide}")
    wiring = Wiring(tuple(order), sources, inputs, outputs, writes)
    _check_roles(graph.roles, wiring)
    for name, module in graph.modules.items():
        _check_training(name, module, graph, wiring)
    return wiring


def _check_parts(graph: Graph) -> None:
    """Refuses names, and values by these names, that no graph can have."""
    if isinstance(graph.length, bool) or not isinstance(graph.length, int) or graph.length < 1:
        raise GraphError(f"length must be a whole number, at least 1 glimpse; got {in_line(graph.length)}")
    if graph.length > MOST_GLIMPSES:
        raise GraphError(f"length must be at most {MOST_GLIMPSES} glimpses; got {in_line(graph.length)}")
    kinds = {"module": graph.modules, "memory": graph.memory, "hyper-parameter": graph.hyperparameters}
    for kind, values in {**kinds, "input": graph.inputs}.items():
        for name in _as_mapping(kind, values):
            if not isinstance(name, str) or not name or (kind in kinds and "." in name):
                raise GraphError(f"the name of a {kind} must be text without dots; got {in_line(name)}")
    for name in RESERVED:
        if name in graph.modules:
            raise GraphError(f"a module must not be called {name!r}: that name stands for the graph's own ports")
    for name, spec in graph.inputs.items():
        if not isinstance(spec, jax.ShapeDtypeStruct):
            raise GraphError(f"the input {name!r} must be a jax.ShapeDtypeStruct; got {in_line(spec)}")
    for name, module in graph.modules.items():
        check_module(name, module)
    if not isinstance(graph.links, list | tuple):
        raise GraphError(f"links must be a list of texts; got {in_line(graph.links)}")
    for name, value in graph.memory.items():
        _check_initial(name, value, graph.inputs)
    for name, value in graph.hyperparameters.items():
        if not is_number(value):
            raise GraphError(f"the hyper-parameter {name!r} must be a number; got {in_line(value)}")


def _check_initial(name: str, value: Any, inputs: Mapping[str, Any]) -> None:
    there = [f"input.{each}" for each in inputs]
    if isinstance(value, str) and value in there:
        return
    try:
        array = np.asarray(value)
    except (TypeError, ValueError):
        array = np.array("no numbers")
    if not any(jnp.issubdtype(array.dtype, kind) for kind in (bool, jnp.integer, jnp.floating)):
        others = f", or with one of {', '.join(there)}" if isinstance(value, str) and there else ""
        raise GraphError(f"memory {name!r} must begin with numbers of one shape{others}; got {in_line(value)}")
    with np.errstate(over="ignore"):
        narrow = array.astype(_narrow(array.dtype))
    if array.dtype.kind in "iu" and (array != narrow).any():
        raise GraphError(f"memory {name!r} must begin with integers of 32 bits; got {in_line(value)}")
    if array.dtype.kind == "f" and (np.isfinite(array) != np.isfinite(narrow)).any():
        raise GraphError(f"memory {name!r} must begin with numbers in the range of float32; got {in_line(value)}")


def _connect(graph: Graph) -> tuple[dict[str, dict[str, Source]], dict[str, Source]]:
    """The source of each fed input port, by module and port, and of each memory; every name in a link exists."""
    fed: dict[tuple[str, str], Source] = {}
    for link in graph.links:
        source, target = _parse(link)
        for end, own in ((source.module, RESERVED), (target.module, ("memory",))):
            if end not in graph.modules and end not in own:
                there = f"modules are {_list(graph.modules)}, and {_list(own)}"
                raise GraphError(f"no module {end!r}{' to link into' if end in RESERVED else ''}; {there}")
        memory = target.module == "memory"
        ports = graph.memory if memory else graph.modules[target.module].inputs
        if target.port not in ports:
            kind = "memory" if memory else "input port"
            raise GraphError(f"no {kind} {target.port!r} on {target.module!r}; it has {_list(ports)}")
        if target in fed:
            raise GraphError(f"{target} has two sources: {fed[target]} and {source}; it must have one")
        fed[target] = source
    for name, module in graph.modules.items():
        for port, accepts in module.inputs.items():
            if accepts.required and (name, port) not in fed:
                raise GraphError(f"{name}.{port} has no source; it needs a link that brings {accepts}")
    sources = {
        name: {port: fed[name, port] for port in module.inputs if (name, port) in fed}
        for name, module in graph.modules.items()
    }
    return sources, {name: fed["memory", name] for name in graph.memory if ("memory", name) in fed}


def _sort(sources: Mapping[str, Mapping[str, Source]]) -> list[str]:
    """Modules in an order in which each comes after those that it reads within a glimpse (depth first)."""
    order: list[str] = []

    def visit(name: str, path: tuple[str, ...]) -> None:
        if name in path:
            cycle = " -> ".join((*path[path.index(name) :][::-1], path[-1]))
            raise GraphError(f"a cycle within a glimpse: {cycle}; let one of its links go through a memory")
        if name in order or name in RESERVED:
            return
        for source in sources[name].values():
            visit(source.module, (*path, name))
        order.append(name)

    for name in sources:
        visit(name, ())
    return order


def _spec(source: Source, outputs: Mapping[str, Values], reader: str) -> Any:
    if source.port not in outputs.get(source.module, {}):
        there = _list(outputs.get(source.module, {}))
        raise GraphError(f"no output port {source.port!r} on {source.module!r} to feed {reader}; it has {there}")
    return outputs[source.module][source.port]


def _known(name: str, graph: Graph, inputs: Values, before: Graph | None) -> Values | None:
    """The outputs of a module that was there before the edit, and was fed the same."""
    same = before and before.modules.get(name) is graph.modules[name] and before.wiring.inputs[name] == inputs
    return before.wiring.outputs[name] if before and same else None


def _infer(name: str, module: Module, inputs: Values) -> dict[str, jax.ShapeDtypeStruct]:
    """Shapes and dtypes of a module's outputs, by evaluating it on shapes alone."""

    def one_glimpse(key: Key, values: Values) -> tuple[Values, Any, Any]:
        state = module.begin(inputs)
        outputs, after = module.apply(module.init(key, inputs), state, values, key if module.random else None)
        return outputs, after, state

    try:
        outputs, after, before = jax.eval_shape(one_glimpse, jax.random.key(0), dict(inputs))
    except Exception as error:
        takes = ", ".join(f"{port} {describe(value)}" for port, value in inputs.items())
        raise GraphError(f"module {name!r} cannot take {takes or 'no inputs'}: {in_line(error)}") from error
    if not isinstance(outputs, Mapping) or not all(isinstance(port, str) for port in outputs):
        raise GraphError(f"module {name!r} must give its outputs as a dictionary by port; it gives {describe(outputs)}")
    if jax.tree.map(describe, before) != jax.tree.map(describe, after):
        states = f"begins with the state {describe(before)} but leaves {describe(after)}"
        raise GraphError(f"module {name!r} {states}; they must be alike")
    return dict(outputs)


def _check_roles(roles: Roles, wiring: Wiring) -> None:
    outputs = wiring.outputs
    if not isinstance(roles, Roles) or list(map(type, roles)) != [str, str, str, int, int, str]:
        kinds = "of a memory, two ports, two whole numbers and a port"
        raise GraphError(f"roles must be Roles, {kinds}; got {in_line(roles)}")
    if roles.crop_size < 0 or roles.scales < 1:
        raise GraphError(f"crop_size must be at least 0 and scales at least 1; got {roles.crop_size}, {roles.scales}")
    if roles.gaze:
        if roles.gaze not in outputs["memory"]:
            raise GraphError(f"the gaze must be a memory; got {roles.gaze!r}, memories are {_list(outputs['memory'])}")
        _check_is(f"the gaze memory.{roles.gaze}", outputs["memory"][roles.gaze], "float32[2]")
    if roles.belief:
        belief = describe(_spec(parse_port(roles.belief), outputs, "the belief"))
        if not belief.startswith("float32[") or belief.count(",") or belief == "float32[]":
            raise GraphError(f"the belief {roles.belief} must be float32[K]; it is {belief}")
    if roles.label:
        _check_is(f"the label {roles.label}", _spec(parse_port(roles.label), outputs, "the label"), "int32[]")
    if roles.extent:
        spec = _spec(parse_port(roles.extent), outputs, "the extent")
        _check_is(f"the extent {roles.extent}", spec, "float32[2]")


def _check_training(name: str, module: Module, graph: Graph, wiring: Wiring) -> None:
    """What training reads of a module: its losses, metrics, experience and reward."""
    outputs = wiring.outputs[name]
    scalars = {**dict.fromkeys(module.losses, "loss"), **dict.fromkeys(module.metrics, "metric")}
    for port, kind in scalars.items():
        if port not in outputs or getattr(outputs[port], "shape", None) != ():
            raise GraphError(f"module {name!r} must give its {kind} {port!r} as a scalar; it gives {_list(outputs)}")
    for port, loss in module.losses.items():
        _check_factor(loss.weight, f"the weight of {name}.{port}", graph)
    if not module.agent:
        return
    missing = [port for port in AGENT_OUTPUTS if port not in outputs]
    if missing:
        raise GraphError(f"agent {name!r} must give the outputs {_list(AGENT_OUTPUTS)}; it lacks {_list(missing)}")
    if module.agent.reach is not None and "position" not in wiring.sources[name]:
        raise GraphError(f"agent {name!r} of limited reach must have a link into its port position")
    _check_factor(module.agent.pathwise, f"the pathwise share of {name}", graph)
    reward = parse_port(module.agent.reward)
    spec = _spec(reward, wiring.outputs, f"the reward of {name!r}")
    _check_is(f"the reward {reward} of {name!r}", spec, "float32[]")
    if reward.module in waiting_for(wiring, [name]):
        raise GraphError(
            f"the reward of {name!r} must not wait for its action of the same glimpse, since it pays the one before; "
            f"{reward} does: let it read a memory"
        )


def _check_is(what: str, spec: Any, wanted: str) -> None:
    if describe(spec) != wanted:
        raise GraphError(f"{what} must be {wanted}; it is {describe(spec)}")


def _check_factor(factor: Factor, what: str, graph: Graph) -> None:
    if isinstance(factor, str) and factor not in graph.hyperparameters:
        came = f"got {factor!r}, there are {_list(graph.hyperparameters)}"
        raise GraphError(f"{what} must be a number or a hyper-parameter of the graph; {came}")
