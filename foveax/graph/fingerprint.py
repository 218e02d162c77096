"""A graph's fingerprint: what is compared to know a pipeline again."""

from typing import Any

import jax

from foveax.graph.graph import Graph, init
from foveax.graph.modules import Agent, Loss, Module
from foveax.graph.ports import describe


def fingerprint(graph: Graph) -> dict[str, Any]:
    """Modules, ports with shapes and dtypes, parameters, links, memory, length and roles, as JSON types.

    Functions cannot be compared: two graphs of one fingerprint can compute different numbers. The values of
    hyper-parameters are left out, since members of a population differ in them.

    Example:
      >>> import foveax as fx
      >>> graph = fx.Graph({}, {"eye": fx.centre()}, ["eye.fixation -> memory.gaze"], 4, {"gaze": (0.5, 0.5)})
      >>> fingerprint(graph)["modules"]["eye"]
      {'inputs': {}, 'outputs': {'fixation': 'float32[2]'}, 'parameters': {}}
    """
    params = jax.eval_shape(lambda: init(graph, jax.random.key(0)))
    return {
        "inputs": {name: describe(spec) for name, spec in sorted(graph.inputs.items())},
        "modules": {
            name: _module(module, graph.wiring.inputs[name], graph.wiring.outputs[name], params[name])
            for name, module in sorted(graph.modules.items())
        },
        "links": sorted(" -> ".join(end.strip() for end in link.split("->")) for link in graph.links),
        "memory": {name: _memory(graph, name) for name in sorted(graph.memory)},
        "hyperparameters": sorted(graph.hyperparameters),
        "length": graph.length,
        "roles": graph.roles._asdict(),
    }


def _module(module: Module, inputs: Any, outputs: Any, params: Any) -> dict[str, Any]:
    leaves = jax.tree_util.tree_leaves_with_path(params)
    described = {
        "inputs": {port: describe(spec) for port, spec in inputs.items()},
        "outputs": {port: describe(spec) for port, spec in sorted(outputs.items())},
        "parameters": {jax.tree_util.keystr(path): describe(leaf) for path, leaf in leaves},
    }
    parts = {
        "losses": {port: _loss(loss) for port, loss in module.losses.items()},
        "metrics": list(module.metrics),
        "agent": _agent(module.agent) if module.agent else None,
        "fit_every": module.fit_every if module.fit_every > 1 else None,
    }
    return {**described, **{name: part for name, part in parts.items() if part}}


def _loss(loss: Loss) -> dict[str, Any]:
    return {"weight": loss.weight, "scheduled": loss.schedule is not None, "glimpses": loss.glimpses}


def _agent(agent: Agent) -> dict[str, Any]:
    return {"reward": agent.reward, "pathwise": agent.pathwise, "reach": agent.reach}


def _memory(graph: Graph, name: str) -> list[Any]:
    return [describe(graph.wiring.outputs["memory"][name]), jax.tree.map(float, _as_list(graph.memory[name]))]


def _as_list(value: Any) -> Any:
    return value.tolist() if hasattr(value, "tolist") else list(value) if isinstance(value, tuple | list) else value
