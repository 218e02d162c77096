"""The spatiotopic map: what was seen of a picture so far, at the places where it was seen."""

import jax.numpy as jnp

from foveax._types import Array
from foveax.retina.zoom import cell_shares


def paint(canvas: Array, patch: Array, centre: Array, cell: Array, sides: Array) -> Array:
    """Paints a patch of a picture into a map of it, where the map shows nothing sharper.

    A cell of the map becomes the mean of what lies of the patch in it, so far as the patch covers it, and remembers
    how sharply it was seen. What was sharper stays, what was as sharp is replaced.

    Args:
      canvas: the map ``[N, N, C + 1]`` float32, N cells along each axis of the picture, whatever its proportions: C
        channels and last the sharpness, samples per pixel, 0 where nothing was seen.
      patch: ``[G, G, C]``, as a retina samples it.
      centre: ``[2]``, the patch's centre in pixels (x, y), counted from the centre of the picture's first.
      cell: ``[2]``, from one sample to the next, in pixels along x and y.
      sides: ``[2]``, width and height of the picture in pixels.

    Returns:
      the next map. Differentiable in all but `sides`, where edges of cells meet from one side.

    Example:
      >>> import jax.numpy as jnp
      >>> seen = paint(jnp.zeros((2, 2, 2)), jnp.ones((1, 1, 1)), jnp.zeros(2), jnp.ones(2), jnp.full(2, 2.0))
      >>> seen[..., 0].tolist(), seen[..., 1].tolist()
      ([[1.0, 0.0], [0.0, 0.0]], [[1.0, 0.0], [0.0, 0.0]])
    """
    size, cells = len(patch), len(canvas)
    width = sides / cells / cell  # of a cell of the map, in samples
    first = (-0.5 - centre) / cell + size / 2  # the picture's edge, in samples from the patch's
    columns, rows = (cell_shares(first[axis], width[axis], cells, size) for axis in (0, 1))  # [N, G]
    cover = rows.sum(axis=1)[:, None] * columns.sum(axis=1)[None, :]
    colour = (
        jnp.einsum("ng,ghc,mh->nmc", rows, patch.astype(jnp.float32), columns) / jnp.maximum(cover, 1e-6)[..., None]
    )
    sharpness = 1 / jnp.maximum(cell[0], cell[1])
    cover = jnp.where(sharpness >= canvas[..., -1], cover, 0)[..., None]
    new = jnp.concatenate([colour, jnp.full((cells, cells, 1), 1, jnp.float32) * sharpness], axis=-1)
    return cover * new + (1 - cover) * canvas
