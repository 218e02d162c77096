"""Ports: what a module takes and gives, with shape and dtype."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from foveax._types import InputError


class GraphError(InputError):
    """A graph that cannot be built: the message names the link, port or module, and what exists instead."""


class Port(NamedTuple):
    """What an input port accepts. `Port()` is universal: it takes anything.

    Attributes:
      shape: one entry per axis: a number, or a letter for any size; None takes any shape. A letter that occurs more
        than once in a module's ports stands for one size.
      dtypes: the dtypes it takes; None takes any. A dtype is never converted on the way: an integer does not become
        a float unless the module says that it takes integers, and converts.
      required: whether a link must feed it. A module is not given the inputs that no link feeds.

    Example:
      >>> import foveax as fx, jax.numpy as jnp
      >>> fx.Port(("H", "W", "C"), (jnp.uint8, jnp.float32)).refuses(jax.ShapeDtypeStruct((28, 28), jnp.float32), {})
      'has 2 axes instead of 3'
    """

    shape: tuple[int | str, ...] | None = None
    dtypes: tuple[Any, ...] | None = None
    required: bool = True

    def is_well_formed(self) -> bool:
        """Whether shape and dtypes are of the kinds that are named above."""
        try:
            [np.dtype(dtype) for dtype in self.dtypes or ()]
        except TypeError:
            return False
        axes = () if self.shape is None else self.shape
        return isinstance(axes, tuple) and all(isinstance(axis, int | str) for axis in axes)

    def refuses(self, value: jax.ShapeDtypeStruct, sizes: dict[str, int]) -> str | None:
        """Why `value` does not fit, or None. `sizes` holds what the module's letters stand for, and is added to."""
        if self.shape is None and self.dtypes is None:
            return None
        if not isinstance(value, jax.ShapeDtypeStruct):
            return "is not a single array"
        if self.dtypes is not None and value.dtype not in [np.dtype(dtype) for dtype in self.dtypes]:
            return f"has dtype {value.dtype}"
        if self.shape is None:
            return None
        if len(self.shape) != len(value.shape):
            return f"has {len(value.shape)} axes instead of {len(self.shape)}"
        for wanted, size in zip(self.shape, value.shape, strict=True):
            expected = sizes.setdefault(wanted, size) if isinstance(wanted, str) else wanted
            if expected != size:
                return f"has size {size} where {wanted} = {expected}" if wanted != expected else f"has size {size}"
        return None

    def __str__(self) -> str:
        dtypes = "|".join(np.dtype(dtype).name for dtype in self.dtypes) if self.dtypes else "any dtype"
        shape = "[" + ", ".join(map(str, self.shape)) + "]" if self.shape is not None else "of any shape"
        return f"{dtypes}{shape}" if self.shape is not None and self.dtypes else f"{dtypes} {shape}"


FLOATS = (jnp.float32, jnp.bfloat16)
POINT = Port((2,), (jnp.float32,))
"""A fixation, as the fractions (x, y)."""


def describe(value: Any) -> str:
    """A value's dtype and shape as they are written in messages, such as ``float32[9, 9, 1]``."""
    if not hasattr(value, "shape"):
        return str(jax.tree.map(describe, value)).replace("'", "")
    return f"{value.dtype}[{', '.join(map(str, value.shape))}]"
