"""A pipeline as a user writes it, small enough for tests: glimpses with noise, whose amplitude is a hyper-parameter."""

import jax
import jax.numpy as jnp

import foveax as fx

CONFIG = {"glimpses": 3, "crop_size": 3, "features": 4, "saccader_hidden": 4, "bands": 0, "contrast": False}


def noise_module() -> fx.Module:
    """Adds noise to a glimpse."""

    def apply(params, state, inputs, key):
        noise = jax.random.normal(key, inputs["glimpse"].shape, jnp.float32)
        return {"glimpse": inputs["glimpse"] + inputs["amplitude"] * noise}, state

    return fx.Module({"glimpse": fx.Port(), "amplitude": fx.Port((), (jnp.float32,))}, apply, random=True)


def pipeline(data: fx.Data, noise: float = 0.0, hidden: int = 4, links: tuple = ()) -> fx.Graph:
    """The standard pipeline, with noise between retina and classifier."""
    graph = fx.standard_pipeline(data, fx.PipelineConfig(hidden=hidden, **CONFIG))
    return graph.add(
        "retina.glimpse -> noise.glimpse",
        "hyperparameter.noise -> noise.amplitude",
        "noise.glimpse -> classifier.glimpse",
        *links,
        hyperparameters={"noise": noise},
        noise=noise_module(),
    )
