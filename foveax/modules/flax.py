"""Modules of flax networks, linen or nnx: every inner layer becomes an output port."""

import contextlib
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import flax.linen as nn
import jax
from flax import errors
from flax.traverse_util import flatten_dict

from foveax._checked import in_line
from foveax._types import Key, Params
from foveax.graph.modules import Losses, Module, State, Values, as_losses, signature_ports, zeros_like
from foveax.graph.ports import GraphError, Port

if TYPE_CHECKING:
    from flax import nnx

Ports = Mapping[str, Port]
CAPTURE: dict[str, Any] = {"capture_intermediates": True, "mutable": ["intermediates"]}


def from_linen(module: nn.Module, *, ports: Ports | None = None, losses: Losses = ()) -> Module:
    """Makes a module of a flax linen module that keeps no state.

    The parameters of its ``__call__`` are the input ports; those with a default need no link. If it gives a
    dictionary, its keys are output ports, otherwise the one port ``output``. Each inner layer is an output port too,
    under its path, such as ``encoder.what``.

    Args:
      module: for one example; only the collection ``params`` is kept.
      ports: what the input ports accept, by name; those not named take anything.
      losses: the outputs, scalars, that training minimises: names, or a `Loss` by name.

    A graph refuses one that draws random numbers (dropout must be deterministic) or keeps other collections, such as
    ``batch_stats``. Raises `GraphError` for what is no linen module.

    Example:
      >>> import foveax as fx, flax.linen as nn, jax
      >>> module = fx.from_linen(nn.Sequential([nn.Dense(8), nn.relu, nn.Dense(10)]), ports={})
    """

    def apply(params: Params, state: State, inputs: Values, key: Key | None) -> tuple[Values, State]:
        with stateless(module):
            outputs, inner = module.apply(params, **inputs, **CAPTURE)
        return _with_layers(outputs, inner["intermediates"]), state

    def init(key: Key, inputs: Values) -> Params:
        return {"params": module.init(key, **zeros_like(inputs)).get("params", {})}

    fed = _linen_ports(module, ports, skip=1)
    return Module(fed, apply, init, losses=as_losses(losses))


def from_linen_cell(module: nn.Module, *, ports: Ports | None = None, losses: Losses = ()) -> Module:
    """Makes a module of a flax linen module that carries state from glimpse to glimpse; otherwise as `from_linen`.

    It follows the protocol of `flax.linen.RNNCellBase`: ``__call__(carry, ...) -> (carry, outputs)`` and
    ``initialize_carry(rng, input_shape)``, which is given the shape at the first input port of the signature.

    Example:
      >>> import foveax as fx, flax.linen as nn
      >>> list(fx.from_linen_cell(nn.GRUCell(16)).inputs)
      ['inputs']
    """
    fed = _linen_ports(module, ports, skip=2)
    if not fed or not hasattr(module, "initialize_carry"):
        raise GraphError(f"a cell must have initialize_carry, and an input next to its carry; got {in_line(module)}")
    first = next(iter(fed))

    def begin(inputs: Values) -> State:
        return module.initialize_carry(jax.random.key(0), inputs[first].shape)  # pyright: ignore

    def apply(params: Params, state: State, inputs: Values, key: Key | None) -> tuple[Values, State]:
        with stateless(module):
            (state, outputs), inner = module.apply(params, state, **inputs, **CAPTURE)
        return _with_layers(outputs, inner["intermediates"]), state

    def init(key: Key, inputs: Values) -> Params:
        return {"params": module.init(key, begin(inputs), **zeros_like(inputs)).get("params", {})}

    return Module(fed, apply, init, begin, losses=as_losses(losses))


def from_nnx(
    construct: "Callable[[nnx.Rngs], nnx.Module]", *, ports: Ports | None = None, losses: Losses = ()
) -> Module:
    """Makes a module of a flax nnx module that keeps no state; otherwise as `from_linen`.

    `construct` makes the module, for one example, from `flax.nnx.Rngs`; it must hold no variables but `nnx.Param`, or
    `GraphError` is raised.

    Example:
      >>> import foveax as fx
      >>> from flax import nnx
      >>> fx.from_nnx(lambda rngs: nnx.Linear(4, 2, rngs=rngs)).inputs["inputs"].required
      True
    """
    from flax import nnx  # slow to import, and needed only here

    abstract = nnx.eval_shape(lambda: construct(nnx.Rngs(0)))
    variables = jax.tree.leaves(nnx.state(abstract), is_leaf=lambda leaf: isinstance(leaf, nnx.Variable))
    held = {type(variable).__name__ for variable in variables if not isinstance(variable, nnx.Param)}
    if held:
        cure = "normalise by LayerNorm or GroupNorm, and leave dropout out"
        raise GraphError(f"a flax module must hold Param alone; it holds {', '.join(sorted(held))}: {cure}")
    graphdef, _ = nnx.split(abstract, nnx.Param)

    def init(key: Key, inputs: Values) -> Params:
        return nnx.to_pure_dict(nnx.state(construct(nnx.Rngs(params=key)), nnx.Param))

    def apply(params: Params, state: State, inputs: Values, key: Key | None) -> tuple[Values, State]:
        template = nnx.state(abstract, nnx.Param)
        nnx.replace_by_pure_dict(template, params)
        module = nnx.merge(graphdef, template)
        outputs, inner = nnx.capture(module, nnx.Intermediate, method_outputs=nnx.Intermediate)(**inputs)
        return _with_layers(outputs, nnx.to_pure_dict(inner)), state

    fed = signature_ports(type(abstract).__call__, ports or {}, skip=1)
    return Module(fed, apply, init, losses=as_losses(losses))


@contextlib.contextmanager
def stateless(module: nn.Module) -> Iterator[None]:
    """Says in one sentence what a linen module keeps or draws that a graph cannot give it."""
    name = type(module).__name__
    try:
        yield
    except errors.InvalidRngError as error:
        cure = "make it deterministic, or draw in a module of your own that is random"
        raise GraphError(f"{name} must draw no random numbers; it draws {_quoted(error, 'PRNG for')}: {cure}") from None
    except (errors.ModifyScopeVariableError, errors.ScopeCollectionNotFound) as error:
        cure = "normalise by LayerNorm or GroupNorm; what lasts from glimpse to glimpse is a carry (from_linen_cell)"
        kept = _quoted(error, "collection")
        raise GraphError(f"{name} must keep the collection params alone; it keeps {kept}: {cure}") from None


def _quoted(error: Exception, before: str) -> str:
    """What an error names in quotes after some words."""
    return str(error).partition(f'{before} "')[2].partition('"')[0]


def _linen_ports(module: Any, ports: Ports | None, skip: int) -> dict[str, Port]:
    if not isinstance(module, nn.Module):
        raise GraphError(f"a flax linen module must be given, an instance; got {in_line(module)}")
    return signature_ports(type(module).__call__, ports or {}, skip=skip)


def _with_layers(outputs: Any, intermediates: Mapping[str, Any]) -> dict[str, Any]:
    """A module's outputs by name, and those of its inner layers by their path."""
    named = dict(outputs) if isinstance(outputs, Mapping) else {"output": outputs}
    layers: dict[Any, Any] = flatten_dict(dict(intermediates))
    for path, calls in layers.items():
        layer = ".".join(part for part in map(str, path) if part != "__call__")
        value = calls[-1]
        if isinstance(value, tuple) and len(value) == 2 and hasattr(value[1], "shape"):
            value = value[1]  # a recurrent cell's (carry, output)
        if layer and isinstance(value, jax.Array):
            named.setdefault(layer, value)
    return named
