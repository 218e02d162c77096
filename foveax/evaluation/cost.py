"""What a decision costs: multiply-adds, counted in the program."""

import math
from collections.abc import Callable, Iterator
from typing import Any

import jax
from jax.extend.core import ClosedJaxpr, Jaxpr

from foveax.evaluation.evaluate import greedy
from foveax.graph.compile import compile as compile_graph
from foveax.graph.graph import Graph, init


def decision_cost(graph: Graph) -> int:
    """Multiply-adds of all glimpses of one image, from its pixels to the last belief, as the policies act when tested.

    Example:
      >>> import foveax as fx
      >>> data = fx.load("mnist5k")
      >>> costs = [decision_cost(fx.standard_pipeline(data, fx.PipelineConfig(glimpses=length))) for length in (3, 6)]
      >>> costs[1] / costs[0]
      2.0
    """
    params = jax.eval_shape(lambda: init(graph, jax.random.key(0)))
    return multiply_adds(compile_graph(greedy(graph)), params, graph.inputs, jax.random.key(0))


def multiply_adds(function: Callable[..., Any], *arguments: Any) -> int:
    """Multiply-adds of the products and convolutions in a function of arrays, or of their shapes and dtypes.

    Loops of a known length count as often as they turn, others once; of branches the dearest counts. What is computed
    without products, such as sums, is not counted, as is usual for networks.

    Example:
      >>> import jax.numpy as jnp
      >>> multiply_adds(jnp.matmul, jnp.zeros((2, 3)), jnp.zeros((3, 4)))
      24
    """
    return _count(jax.make_jaxpr(function)(*arguments).jaxpr)


def _count(jaxpr: Jaxpr) -> int:
    return sum(_cost(equation) for equation in jaxpr.eqns)


def _cost(equation: Any) -> int:
    name, params = equation.primitive.name, equation.params
    inner = [_count(body) for body in _bodies(params)]
    if name == "dot_general":
        (contracted, _), _ = params["dimension_numbers"]
        shape = equation.invars[0].aval.shape
        return equation.outvars[0].aval.size * math.prod(shape[axis] for axis in contracted)
    if name == "conv_general_dilated":
        kernel = equation.invars[1].aval
        outputs = kernel.shape[params["dimension_numbers"].rhs_spec[0]]
        return equation.outvars[0].aval.size * kernel.size // outputs
    if name == "scan":
        return params["length"] * sum(inner)
    return max(inner, default=0) if name == "cond" else sum(inner)


def _bodies(params: dict[str, Any]) -> Iterator[Jaxpr]:
    """The programs in an equation's parameters."""
    for value in params.values():
        for one in value if isinstance(value, tuple | list) else [value]:
            if isinstance(one, ClosedJaxpr):
                yield one.jaxpr
            elif isinstance(one, Jaxpr):
                yield one
