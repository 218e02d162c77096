"""Parameters that stay as they begin."""

from typing import Any

import jax

from foveax._types import Array, InputError, Key, Params
from foveax.graph.graph import Graph, init
from foveax.graph.modules import Module, State, Values


def freeze(graph: Graph, *names: str) -> Graph:
    """The same graph, through which no gradient goes to the parameters of some modules, or of layers in them.

    Training leaves them as they begin. Gradients still go through what they compute.

    Args:
      graph: of modules.
      names: each ``"module"``, or ``"module.layer"`` by the path of its parameters, such as ``"classifier.encoder"``.

    Raises:
      InputError: if no parameter has such a name.

    Example:
      >>> import foveax as fx
      >>> graph = fx.standard_pipeline(fx.load("mnist5k"))
      >>> list(freeze(graph, "classifier.encoder", "saccader").modules) == list(graph.modules)
      True
    """
    shapes = jax.eval_shape(lambda: init(graph, jax.random.key(0)))
    layers = [_layer(path) for path, _ in jax.tree_util.tree_leaves_with_path(shapes)]
    for name in names:
        if not any(_is_in(layer, name) for layer in layers):
            modules = ", ".join(dict.fromkeys(layer.partition(".")[0] for layer in layers))
            raise InputError(f"freeze must name modules with parameters, {modules}, or layers in them; got {name!r}")
    of_modules = {module: [name for name in names if _is_in(name, module)] for module in graph.modules}
    frozen = {module: _frozen(module, graph.modules[module], own) for module, own in of_modules.items() if own}
    return graph.replace(modules={**graph.modules, **frozen})


def _frozen(name: str, module: Module, layers: list[str]) -> Module:
    """A module that holds the parameters of some layers, each with the module's name in front."""

    def hold(path: Any, leaf: Array) -> Array:
        layer = f"{name}.{_layer(path)}"
        return jax.lax.stop_gradient(leaf) if any(_is_in(layer, held) for held in layers) else leaf

    def held(params: Params) -> Params:
        return jax.tree_util.tree_map_with_path(hold, params)

    def apply(params: Params, state: State, inputs: Values, key: Key | None) -> tuple[Values, State]:
        return module.apply(held(params), state, inputs, key)

    agent = module.agent
    if agent is None:
        return module._replace(apply=apply)
    evaluate = agent.evaluate
    return module._replace(
        apply=apply, agent=agent._replace(evaluate=lambda params, *given: evaluate(held(params), *given))
    )


def _layer(path: Any) -> str:
    """The name of a parameter's layer, such as ``classifier.encoder.what.kernel``."""
    parts = jax.tree_util.keystr(path, simple=True, separator=".").split(".")
    return ".".join(part for part in parts if part != "params")


def _is_in(layer: str, name: str) -> bool:
    return f"{layer}.".startswith(f"{name}.")
