"""The graph: modules, links between their ports, and a loop of T glimpses, checked when it is built."""

import dataclasses
import zlib
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from foveax._types import Key, Params
from foveax.graph.modules import AGENT_OUTPUTS, Module, Values
from foveax.graph.ports import GraphError, describe

RESERVED = ("input", "loop")


class Feedback(NamedTuple):
    """A link that carries a value to the next glimpse.

    Attributes:
      link: ``"module.port -> module.port"``.
      initial: the value at the first glimpse; Python floats become float32.

    Example:
      >>> import foveax as fx
      >>> feedback = fx.Feedback("saccader.fixation -> retina.fixation", initial=(0.5, 0.5))
    """

    link: str
    initial: Any


class Source(NamedTuple):
    """Where an input port gets its value: an output port, of this glimpse or of the one before."""

    module: str
    port: str
    initial: Any = None

    def __str__(self) -> str:
        return f"{self.module}.{self.port}"


class Wiring(NamedTuple):
    """A checked graph: what `compile` needs to know.

    Attributes:
      order: the modules, each after those that it reads.
      sources: for each module, its fed input ports and where their values come from.
      inputs: for each module, the `jax.ShapeDtypeStruct` at each fed input port.
      outputs: likewise at each output port.
      feedback: the sources that carry to the next glimpse, by the (module, port) that they feed.
    """

    order: tuple[str, ...]
    sources: Mapping[str, Mapping[str, Source]]
    inputs: Mapping[str, Mapping[str, jax.ShapeDtypeStruct]]
    outputs: Mapping[str, Mapping[str, jax.ShapeDtypeStruct]]
    feedback: Mapping[tuple[str, str], Source]


@dataclasses.dataclass(frozen=True, eq=False)
class Graph:
    """A pipeline: modules, and links between their ports, run for `length` glimpses. Checked when it is made.

    Attributes:
      inputs: the graph's own inputs for one example, by name, as `jax.ShapeDtypeStruct`: linked as ``input.NAME``, and
        the same at every glimpse.
      modules: the modules by name.
      links: ``"module.port -> module.port"``, or a `Feedback`. Besides ``input`` there is ``loop``, with the ports
        ``index`` (int32, 0 to T - 1), ``time`` (float32 ``[T]``, the index as one-hot) and ``last`` (bool).
      length: the number of glimpses T.

    Raises:
      GraphError: for an unknown module or port (the message lists those that exist), an input with no source or two,
        a shape or dtype that differ (both sides are printed), or a cycle without feedback (the cycle is printed).

    Example:
      >>> import foveax as fx
      >>> graph = fx.Graph(
      ...     inputs=fx.image_source((28, 28, 1)),
      ...     modules={"retina": fx.cropper(size=9), "eye": fx.centre()},
      ...     links=["input.image -> retina.image", fx.Feedback("eye.fixation -> retina.fixation", (0.5, 0.5))],
      ...     length=6,
      ... )
      >>> graph.wiring.outputs["retina"]["glimpse"].shape
      (9, 9, 1)
    """

    inputs: Mapping[str, jax.ShapeDtypeStruct]
    modules: Mapping[str, Module]
    links: tuple[str | Feedback, ...] | list[str | Feedback]
    length: int
    wiring: Wiring = dataclasses.field(init=False, repr=False)

    def __post_init__(self):
        object.__setattr__(self, "wiring", _wire(self))

    def add(self, *links: str | Feedback, **modules: Module) -> "Graph":
        """The same graph with more modules and links.

        A module takes the place of one of its name; a link takes the place of one into the same port.
        """
        fed = {_parse(link)[1] for link in links}
        kept = [link for link in self.links if _parse(link)[1] not in fed]
        return dataclasses.replace(self, modules={**self.modules, **modules}, links=[*kept, *links])

    def unlink(self, *ports: str) -> "Graph":
        """The same graph without the links into these input ports, each given as ``"module.port"``."""
        fed = {".".join(_parse(link)[1]): link for link in self.links}
        for port in ports:
            if port not in fed:
                raise GraphError(f"no link leads into {port}; links lead into {_list(fed)}")
        kept = [link for port, link in fed.items() if port not in ports]
        return dataclasses.replace(self, links=kept) if ports else self  # without wiring the same graph again

    def remove(self, *names: str) -> "Graph":
        """The same graph without some modules, and without the links into and out of them."""
        for name in names:
            if name not in self.modules:
                raise GraphError(f"no module {name!r} to remove; modules are {_list(self.modules)}")
        modules = {name: module for name, module in self.modules.items() if name not in names}
        ends = {link: (_parse(link)[0].module, _parse(link)[1][0]) for link in self.links}
        kept = [link for link in self.links if not set(ends[link]) & set(names)]
        return dataclasses.replace(self, modules=modules, links=kept)

    def swap(self, name: str, module: Module, *links: str | Feedback) -> "Graph":
        """The same graph with another module in the place of one; links into ports that it lacks are dropped.

        Args:
          name: of the module to replace.
          module: the one to take its place.
          links: more links, as in `add`.
        """
        fed = {_parse(link)[1] for link in links}
        dropped = fed | {(name, port) for port in self.modules[name].inputs if port not in module.inputs}
        kept = [link for link in self.links if _parse(link)[1] not in dropped]
        return dataclasses.replace(self, modules={**self.modules, name: module}, links=[*kept, *links])


def init(graph: Graph, key: Key) -> dict[str, Params]:
    """Parameters of a graph's modules, by the module's name; those of a module depend on its name and the key alone.

    Example:
      >>> import foveax as fx, jax
      >>> graph = fx.standard_pipeline(fx.Model(), fx.image_source((28, 28, 1)), classes=10)
      >>> sorted(name for name, params in fx.init(graph, jax.random.key(0)).items() if params)
      ['network', 'saccader']
    """
    return {
        name: module.init(module_key(key, name), graph.wiring.inputs[name]) for name, module in graph.modules.items()
    }


def loop_ports(length: int) -> dict[str, jax.ShapeDtypeStruct]:
    """The ports of ``loop`` in a graph of `length` glimpses."""
    return {
        "index": jax.ShapeDtypeStruct((), jnp.int32),
        "time": jax.ShapeDtypeStruct((length,), jnp.float32),
        "last": jax.ShapeDtypeStruct((), jnp.bool_),
    }


def as_initial(value: Any) -> jax.Array:
    """A feedback's initial value as an array: Python floats as float32, integers as int32."""
    array = np.asarray(value)
    narrow = {np.dtype(np.float64): np.float32, np.dtype(np.int64): np.int32}.get(array.dtype, array.dtype)
    return jnp.asarray(array.astype(narrow))


def module_key(key: Key, name: str) -> Key:
    """The key of one module, whatever others there are."""
    return jax.random.fold_in(key, zlib.crc32(name.encode()))


def glimpse_keys(graph: Graph, key: Key, name: str) -> Key:
    """The keys of a random module in a rollout, ``[T]``, one per glimpse."""
    return jax.random.split(module_key(key, name), graph.length)


def _struct(initial: Any) -> jax.ShapeDtypeStruct:
    return jax.eval_shape(lambda: as_initial(initial))


def _list(names: Any) -> str:
    return ", ".join(names) or "none"


def _parse(link: str | Feedback) -> tuple[Source, tuple[str, str]]:
    text, initial = (link.link, link.initial) if isinstance(link, Feedback) else (link, None)
    ends = [end.strip().partition(".") for end in text.split("->")]
    if len(ends) != 2 or not all(module and port for module, _, port in ends):
        raise GraphError(f'a link must read "module.port -> module.port"; got "{text}"')
    (module, _, port), (target, _, target_port) = ends
    return Source(module, port, initial), (target, target_port)


def _wire(graph: Graph) -> Wiring:
    if graph.length < 1:
        raise GraphError(f"length must be at least 1 glimpse; got {graph.length}")
    for name in RESERVED:
        if name in graph.modules:
            raise GraphError(f"a module must not be called {name!r}: that name stands for the graph's own ports")
    sources = _connect(graph)
    order = _sort(sources)
    outputs = {"input": dict(graph.inputs), "loop": loop_ports(graph.length)}
    inputs = {}
    for name in order:
        inputs[name] = {port: _spec(source, outputs, f"{name}.{port}") for port, source in sources[name].items()}
        _check_ports(name, graph.modules[name], sources[name], inputs[name])
        outputs[name] = _infer(name, graph.modules[name], inputs[name])
    fed = [(name, port, source) for name in order for port, source in sources[name].items()]
    feedback = {(name, port): source for name, port, source in fed if source.initial is not None}
    _check_feedback(feedback, outputs)
    return Wiring(tuple(order), sources, inputs, outputs, feedback)


def _connect(graph: Graph) -> dict[str, dict[str, Source]]:
    """The source of each fed input port, by module and port; every name that appears in a link exists."""
    sources: dict[str, dict[str, Source]] = {name: {} for name in graph.modules}
    for link in graph.links:
        source, (name, port) = _parse(link)
        for end in (source.module, name):
            if end not in graph.modules and not (end in RESERVED and end == source.module):
                raise GraphError(f"no module {end!r}; modules are {_list(graph.modules)}, and {_list(RESERVED)}")
        if port not in graph.modules[name].inputs:
            raise GraphError(f"no input port {port!r} on {name!r}; it has {_list(graph.modules[name].inputs)}")
        if port in sources[name]:
            raise GraphError(f"{name}.{port} has two sources: {sources[name][port]} and {source}; it must have one")
        sources[name][port] = source
    for name, module in graph.modules.items():
        for port, accepts in module.inputs.items():
            if accepts.required and port not in sources[name]:
                raise GraphError(f"{name}.{port} has no source; it needs a link that brings {accepts}")
    return sources


def _sort(sources: Mapping[str, Mapping[str, Source]]) -> list[str]:
    """Modules in an order in which each comes after those that it reads within a glimpse (depth first)."""
    order: list[str] = []

    def visit(name: str, path: tuple[str, ...]) -> None:
        if name in path:
            cycle = " -> ".join((*path[path.index(name) :][::-1], path[-1]))
            raise GraphError(f"a cycle without feedback: {cycle}; make one of its links a Feedback")
        if name in order or name in RESERVED:
            return
        for source in sources[name].values():
            if source.initial is None:
                visit(source.module, (*path, name))
        order.append(name)

    for name in sources:
        visit(name, ())
    return order


def _spec(source: Source, outputs: Mapping[str, Values], target: str) -> jax.ShapeDtypeStruct:
    if source.initial is not None:
        return _struct(source.initial)  # the source itself is compared once all outputs are known
    _check_output(source, outputs, target)
    return outputs[source.module][source.port]


def _check_output(source: Source, outputs: Mapping[str, Values], target: str) -> None:
    if source.port not in outputs[source.module]:
        there = _list(outputs[source.module])
        raise GraphError(f"no output port {source.port!r} on {source.module!r} to feed {target}; it has {there}")


def _check_ports(name: str, module: Module, sources: Mapping[str, Source], inputs: Values) -> None:
    sizes: dict[str, int] = {}
    for port, value in inputs.items():
        reason = module.inputs[port].refuses(value, sizes)
        if reason:
            gives = f"{sources[port]} gives {describe(value)}"
            raise GraphError(f"{gives}, but {name}.{port} takes {module.inputs[port]}: it {reason}")


def _infer(name: str, module: Module, inputs: Values) -> dict[str, jax.ShapeDtypeStruct]:
    """Shapes and dtypes of a module's outputs, by evaluating it on shapes alone."""

    def one_glimpse(key: Key, values: Values) -> tuple[Values, Any, Any]:
        state = module.begin(inputs)
        return *module.apply(module.init(key, inputs), state, values, key if module.random else None), state

    try:
        outputs, after, before = jax.eval_shape(one_glimpse, jax.random.key(0), dict(inputs))
    except (TypeError, ValueError) as error:
        takes = ", ".join(f"{port} {describe(value)}" for port, value in inputs.items())
        raise GraphError(f"module {name!r} cannot take {takes or 'no inputs'}: {error}") from error
    if jax.tree.map(describe, before) != jax.tree.map(describe, after):
        raise GraphError(f"module {name!r} begins with the state {before} but leaves {after}; they must be alike")
    for loss in module.losses:
        if loss not in outputs or outputs[loss].shape != ():
            raise GraphError(f"module {name!r} must give its loss {loss!r} as a scalar; it gives {_list(outputs)}")
    missing = [port for port in AGENT_OUTPUTS if port not in outputs]
    if module.agent and missing:
        raise GraphError(f"agent {name!r} must give the outputs {_list(AGENT_OUTPUTS)}; it lacks {_list(missing)}")
    return dict(outputs)


def _check_feedback(feedback: Mapping[tuple[str, str], Source], outputs: Mapping[str, Values]) -> None:
    for (name, port), source in feedback.items():
        _check_output(source, outputs, f"{name}.{port}")
        given = describe(outputs[source.module][source.port])
        initial = describe(_struct(source.initial))
        if given != initial:
            raise GraphError(f"{source} gives {given}, but its initial value for {name}.{port} is {initial}")
