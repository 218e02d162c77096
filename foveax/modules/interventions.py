"""Interventions: edits of a graph that change what a trained network does, and leave its parameters as they are."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from foveax._checked import in_line
from foveax._types import Array, Key, Params
from foveax.graph.graph import Graph, parse_port
from foveax.graph.modules import Module, State, Values
from foveax.graph.ports import GraphError, Port
from foveax.modules.scripted import INDEX

Change = Callable[[Array, Values], Array]
"""From a port's value, and what enters the module, to the value that takes its place."""


def lesion(graph: Graph, port: str, units: Any, value: Any = 0.0) -> Graph:
    """The same graph, in which some units of a port stay at a value, whatever drives them.

    Where the port is a layer of a linen network, such as ``classifier.core`` or ``classifier.encoder.what``, all that
    reads the layer within the network reads it lesioned, and so does the next glimpse where the layer is a recurrent
    cell. Any other port, such as ``classifier.hidden``, is changed where it leaves its module: other modules read it
    lesioned, the module itself does not.

    Args:
      graph: of a run; its parameters fit the result.
      port: ``"module.port"``, an array of numbers.
      units: their numbers in the port's values at one glimpse, flattened, or an array of bool of their shape.
      value: a number, or an array of the port's shape, such as the units' means.

    Raises:
      GraphError: if there is no such port, or it has no such units.

    Example:
      >>> import foveax as fx
      >>> graph = fx.standard_pipeline(fx.load("mnist5k"))
      >>> lesioned = lesion(graph, "classifier.core", [3, 17])
      >>> lesioned.links == graph.links, lesioned.modules["decision"] is graph.modules["decision"]
      (True, True)
    """
    spec = _spec(graph, port)
    mask = _mask(port, spec, units)
    held = np.broadcast_to(np.asarray(value, np.float32), spec.shape)

    def change(values: Array, inputs: Values) -> Array:
        return jnp.where(mask, jnp.asarray(held, values.dtype), values)

    module, name = parse_port(port)
    return graph.replace(modules={**graph.modules, module: _changed(graph.modules[module], name, change)})


def patch(graph: Graph, port: str, units: Any = None, *, glimpses: Iterable[int] = (), name: str = "patch") -> Graph:
    """The same graph, in which some units of a port take values given with each image, at some glimpses.

    The graph has a further input of a name, ``[T, ...]``, the port's values at all glimpses: such as those recorded
    from other images (`foveax.analysis.record_activations`). Which readers of the port see them is as for `lesion`.

    Args:
      graph: of a run; its parameters fit the result.
      port: ``"module.port"``, an array of numbers.
      units: as for `lesion`; by default all.
      glimpses: at which they are patched, from 0; by default at each.
      name: of the input.

    Raises:
      GraphError: if there is no such port, it has no such units, or the name is that of an input already.

    Example:
      >>> import foveax as fx
      >>> graph = fx.standard_pipeline(fx.load("mnist5k"))
      >>> patch(graph, "classifier.core", glimpses=[2]).inputs["patch"].shape
      (6, 256)
    """
    spec, (module, own) = _spec(graph, port), parse_port(port)
    mask = _mask(port, spec, np.ones(spec.shape, bool) if units is None else units)
    at = [*glimpses] or range(graph.length)
    if not set(at) <= set(range(graph.length)):
        raise GraphError(f"glimpses to patch must be from 0 to {graph.length - 1}; got {in_line(list(at))}")
    when = np.isin(np.arange(graph.length), at)
    if name in graph.inputs or name in graph.modules[module].inputs:
        raise GraphError(f"a patch must have a name of its own; {name!r} is an input already")
    index = f"{name}_index"

    def change(values: Array, inputs: Values) -> Array:
        now = mask & jnp.asarray(when)[inputs[index]]
        return jnp.where(now, inputs[name][inputs[index]].astype(values.dtype), values)

    changed = _changed(graph.modules[module], own, change, {name: Port(), index: INDEX})
    return graph.replace(
        inputs={**graph.inputs, name: jax.ShapeDtypeStruct((graph.length, *spec.shape), jnp.float32)},
        modules={**graph.modules, module: changed},
        links=[*graph.links, f"input.{name} -> {module}.{name}", f"loop.index -> {module}.{index}"],
    )


def _changed(module: Module, port: str, change: Change, more: dict[str, Port] | None = None) -> Module:
    """A module whose layer, or else whose output, is changed each time it is computed."""
    path = () if port == "output" else tuple(port.split("."))

    def around(function: Callable[..., Any], inputs: Values, *arguments: Any) -> tuple[Values, State]:
        reached: list[bool] = []

        def intercept(call: Callable[..., Any], args: Sequence[Any], kwargs: dict[str, Any], context: Any) -> Any:
            result = call(*args, **kwargs)
            if context.method_name != "__call__" or context.module.path != path:
                return result
            output = result[-1] if isinstance(result, tuple) else result
            if not isinstance(output, jax.Array):
                return result
            reached.append(True)
            return jax.tree.map(lambda leaf: change(leaf, inputs) if _is_like(leaf, output) else leaf, result)

        with nn.intercept_methods(intercept):
            outputs, state = function(*arguments)
        if not reached and port in outputs:
            outputs = {**outputs, port: change(outputs[port], inputs)}
        return outputs, state

    def without_more(inputs: Values) -> Values:
        return {name: value for name, value in inputs.items() if name not in (more or {})}

    def apply(params: Params, state: State, inputs: Values, key: Key | None) -> tuple[Values, State]:
        return around(module.apply, inputs, params, state, without_more(inputs), key)

    agent = module.agent
    if agent is not None:
        act, judge = agent.mode, agent.evaluate

        def mode(params: Params, state: State, inputs: Values, key: Key | None) -> tuple[Values, State]:
            return around(act, inputs, params, state, without_more(inputs), key)

        def evaluate(params: Params, state: State, outputs: Values) -> tuple[Values, State]:
            return around(judge, outputs, params, state, outputs)

        agent = agent._replace(mode=mode, evaluate=judge if more else evaluate)
    return module._replace(
        inputs={**module.inputs, **(more or {})},
        apply=apply,
        init=lambda key, inputs: module.init(key, without_more(inputs)),
        begin=lambda inputs: module.begin(without_more(inputs)),
        agent=agent,
    )


def _is_like(leaf: Any, output: Array) -> bool:
    """Whether a value is the layer's activity, as in a recurrent cell's carry, and not something else with it."""
    return isinstance(leaf, jax.Array) and (leaf.shape, leaf.dtype) == (output.shape, output.dtype)


def _spec(graph: Graph, port: str) -> jax.ShapeDtypeStruct:
    module, name = parse_port(port)
    outputs = graph.wiring.outputs.get(module, {}) if module in graph.modules else {}
    spec = outputs.get(name)
    if not isinstance(spec, jax.ShapeDtypeStruct) or not jnp.issubdtype(spec.dtype, jnp.floating):
        there = ", ".join(f"{each}.{own}" for each in graph.modules for own in graph.wiring.outputs[each])
        raise GraphError(f"no port {port!r} of real numbers to change; ports are {there}")
    return spec


def _mask(port: str, spec: jax.ShapeDtypeStruct, units: Any) -> np.ndarray:
    """Which units of a port are meant, as bool of its shape."""
    chosen, mask = np.asarray(units), np.zeros(spec.shape, bool)
    if chosen.dtype == bool and chosen.shape == mask.shape:
        return chosen
    numbers = chosen.astype(int) if not chosen.size else chosen
    if numbers.ndim != 1 or numbers.dtype.kind not in "iu" or not ((numbers >= 0) & (numbers < mask.size)).all():
        raise GraphError(f"units of {port} must be whole numbers from 0 to {mask.size - 1}; got {in_line(units)}")
    mask.reshape(-1)[numbers] = True
    return mask
