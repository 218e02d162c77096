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
# # Quickstart
# Train on the bundled digits, see where the eye goes, then rewire the pipeline by one line.

# %%
# %matplotlib inline
import jax

import foveax as fx
from foveax import plot

data = fx.load("mnist5k")
result = fx.train(fx.TrainingConfig(images=30_000), data)
{policy: row["accuracy"][-1] for policy, row in result.summary["test"].items()}

# %% [markdown]
# Where it looked: fixations are fractions of the image, `(x, y)` in [0, 1].

# %%
run = result.evaluations["learned"]
decisions = zip(run.label[:4], run.predicted[:4, -1], strict=True)
titles = [f"{label}, taken for {decision}" for label, decision in decisions]
plot.fixation_sheet(data.test["image"][:4], run.fixations[:4], titles=titles, size=9)

# %% [markdown]
# The pipeline is a graph. Here the saccader reads an earlier layer, and the classifier gets an efference copy of the
# fixation that the saccader chose; nothing else changes.

# %%
edited = fx.standard_pipeline(data).add(
    "classifier.encoder.what -> saccader.observation",
    "saccader.fixation -> memory.efference",
    "memory.efference -> classifier.fixation",
    memory={"efference": (0.5, 0.5)},
)
learner = fx.make_learner(edited, fx.LearningConfig(), steps=300)
for state, metrics in fx.fit(learner, data, learner.init(jax.random.key(0)), batch=32):
    print(int(metrics["step"]), round(float(metrics["accuracy"]), 3))

# %%
fx.evaluate(edited, state.params, data.test, key=jax.random.key(1)).accuracy
