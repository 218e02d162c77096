# ---
# jupyter:
#   jupytext:
#     formats: ipynb,py:percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # How many images a second?
# The fused training step, on every kind of device that is here, over batch sizes. Compiled first, then timed.

# %%
# %matplotlib inline
import time

import jax
import numpy as np
from matplotlib import pyplot

import foveax as fx

data = fx.load("mnist5k")
learner = fx.make_learner(fx.standard_pipeline(data), fx.LearningConfig(), steps=1000)


def images_per_second(device: jax.Device, batch: int, seconds: float = 1.0) -> float:
    """The rate of the step on a device, over about so many seconds."""
    with jax.default_device(device):
        shown = {name: jax.device_put(array[:batch], device) for name, array in data.train.items()}
        step = jax.jit(learner.step, donate_argnums=0)
        state, _ = step(learner.init(jax.random.key(0)), shown)
        state, _ = step(state, shown)  # once more: what the first call gave may be placed otherwise than what it took
        began, done = time.perf_counter(), 0
        while time.perf_counter() - began < seconds:
            state, metrics = step(state, shown)
            metrics["accuracy"].block_until_ready()
            done += 1
        return batch * done / (time.perf_counter() - began)


def devices() -> dict[str, jax.Device]:
    """The first device of each kind."""
    found = {device.device_kind: device for device in reversed(jax.devices())}
    return {**found, "cpu": jax.devices("cpu")[0]}


batches = [16, 64, 256]
rates = {kind: [images_per_second(device, batch) for batch in batches] for kind, device in devices().items()}
{kind: np.round(values) for kind, values in rates.items()}

# %%
figure, ax = pyplot.subplots(figsize=(3.4, 2.6), layout="constrained")
for kind, values in rates.items():
    ax.plot(batches, values, "o-", label=kind)
ax.set(xscale="log", yscale="log", xlabel="batch", ylabel="images per second")
ax.set_xticks(batches, batches)
ax.set_xticks([], minor=True)
_ = ax.legend(frameon=False)
