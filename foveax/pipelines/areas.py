"""The standard pipeline with a network of areas, B, BL, BT or BLT, for a classifier."""

from collections.abc import Sequence
from typing import Literal, get_args

import jax.numpy as jnp

from foveax._arrays import check_count
from foveax._types import InputError
from foveax.data.dataset import Data
from foveax.graph.graph import Graph
from foveax.modules.flax import from_linen_cell
from foveax.networks.recurrent_convolutional import Letters, layered
from foveax.pipelines.standard import PipelineConfig, standard_pipeline


def areas_pipeline(
    data: Data,
    config: PipelineConfig | None = None,
    letters: Letters = "BLT",
    filters: Sequence[int] = (32, 32),
    kernel: int = 3,
    internal_steps: int = 4,
    norm: Literal["group", "layer", "none"] = "group",
    cumulative: bool = False,
) -> Graph:
    """The standard pipeline whose classifier is a network of areas (`layered`), with some steps at each fixation.

    Of the configuration, fields of the glimpse encoder and the core are not used; the network is not told where it
    looks. One glimpse at the centre, as large as the image, shows it the whole image.

    Args:
      data: the images.
      config: configuration of the retina, the saccader and the reward.
      letters: B without, L with lateral, T with top-down connections.
      filters: channels of each layer, between which are 2 x 2 pools.
      kernel: side of all kernels, odd.
      internal_steps: steps at each fixation.
      norm: normalisation of each layer, over all its places and channels, or none.
      cumulative: whether logits are the sum over all steps so far, or those of the last.

    Raises:
      InputError: for a value out of range; the message names it.

    Example:
      >>> import foveax as fx
      >>> graph = areas_pipeline(fx.load("mnist5k"), fx.PipelineConfig(crop_size=12), letters="BL")
      >>> graph.wiring.outputs["classifier"]["layer_1_by_step"].shape
      (4, 6, 6, 32)
    """
    config = config or PipelineConfig()
    for name, value, values in (("letters", letters, get_args(Letters)), ("norm", norm, ("group", "layer", "none"))):
        if value not in values:
            raise InputError(f"{name} must be one of {', '.join(values)}; got {value!r}")
    if check_count("kernel", kernel) % 2 == 0:
        raise InputError(f"kernel must be odd; got {kernel}")
    if isinstance(filters, (str, int)) or not filters:
        raise InputError(f"filters must be a number for each layer; got {filters!r}")
    sizes = tuple(check_count("filters", number) for number in filters)
    shrink = 2 ** (len(sizes) - 1)
    if config.crop_size < shrink:
        raise InputError(f"crop_size must be at least {shrink} for {len(sizes)} layers; got {config.crop_size}")
    if "T" in letters and config.crop_size % shrink:
        raise InputError(f"crop_size must be a multiple of {shrink} for top-down connections; got {config.crop_size}")
    network = layered(
        letters,
        classes=data.classes,
        filters=sizes,
        kernel=kernel,
        internal_steps=check_count("internal_steps", internal_steps),
        norm=norm,
        cumulative=cumulative,
        dtype=jnp.dtype(config.precision),
    )
    graph = standard_pipeline(data, config).unlink("classifier.fixation")
    return graph.swap("classifier", from_linen_cell(network))
