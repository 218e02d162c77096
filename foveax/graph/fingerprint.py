"""A graph's fingerprint: what is compared to know a pipeline again."""

import json
from typing import Any

import jax
import numpy as np

from foveax.graph.graph import Graph, init
from foveax.graph.modules import Module
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
        "memory": {
            name: [describe(graph.wiring.outputs["memory"][name]), _as_json(value)]
            for name, value in sorted(graph.memory.items())
        },
        "hyperparameters": sorted(graph.hyperparameters),
        "length": graph.length,
        "roles": {role: value for role, value in graph.roles._asdict().items() if role != "extent" or value},
    }


def _as_json(initial: Any) -> Any:
    """Numbers as nested lists; those that are not finite, for which JSON has no word, as text; an input by its name."""
    if isinstance(initial, str):
        return initial
    return json.loads(json.dumps(np.asarray(initial, float).tolist()), parse_constant=str)


def _module(module: Module, inputs: Any, outputs: Any, params: Any) -> dict[str, Any]:
    leaves = jax.tree_util.tree_leaves_with_path(params)
    described = {
        "inputs": {port: describe(spec) for port, spec in inputs.items()},
        "outputs": {port: describe(spec) for port, spec in sorted(outputs.items())},
        "parameters": {jax.tree_util.keystr(path): describe(leaf) for path, leaf in leaves},
    }
    parts = {
        "losses": {
            port: {"weight": loss.weight, "scheduled": loss.schedule is not None, "glimpses": loss.glimpses}
            for port, loss in module.losses.items()
        },
        "metrics": list(module.metrics),
        "agent": (agent := module.agent) and {"reward": agent.reward, "pathwise": agent.pathwise, "reach": agent.reach},
        "fit_every": module.fit_every if module.fit_every > 1 else None,
    }
    return {**described, **{name: part for name, part in parts.items() if part}}
