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
# # Where does the network think it looks?
# A network that was never told where its eye is may know it all the same. This notebook trains one, records its
# recurrent state at every fixation, decodes the place of the fixation in the image from it, lesions the units that
# carry the code, and asks what the decisions lose.
#
# Digits lie somewhere on a canvas of 40 by 40 pixels. The classifier's efference copy is cut (`efference="none"`): it
# reads crops alone. The first fixation is anywhere.

# %%
# %matplotlib inline
import tempfile

import jax
import numpy as np
from matplotlib import pyplot

import foveax as fx
from foveax import analysis
from foveax.evaluation.lesions import format_lesions, lesion_code

pipeline = fx.PipelineConfig(crop_size=12, first="random", efference="none")
config = fx.TrainingConfig(images=60_000, task="translated", canvas=40, pipeline=pipeline)
result = fx.train(config, evaluate=False)
data = config.prepare(config.load())
few = {name: array[:1000] for name, array in data.test.items()}

# %% [markdown]
# ## Record
# Any ports, image by image, as files that are mapped into memory. `greedy` takes the mode of the policy, as evaluation
# does.

# %%
folder = tempfile.mkdtemp()
ports = ["classifier.core", "memory.fixation", "input.label"]
graph = fx.greedy(result.graph)
recorded = analysis.record_activations(graph, result.params, few, ports, f"{folder}/own", key=jax.random.key(0))
{port: array.shape for port, array in recorded.items()}  # [image, fixation, unit]

# %% [markdown]
# ## Decode
# Each image by a decoder that was fitted on others. The shuffled control gives each image the fixations of another:
# what it reaches follows from the number of the fixation alone.

# %%
state, fixations = recorded["classifier.core"], np.asarray(recorded["memory.fixation"])
objects = analysis.brightness_centres(few["image"])
targets = {"class": few["label"], **analysis.fixation_targets(fixations, objects)}
decoded = {name: analysis.decode(state, target) for name, target in targets.items()}
for name, found in decoded.items():
    score = found.score
    print(f"{name:<10}{score.mean:7.3f} ({score.low:.3f} to {score.high:.3f}), shuffled {found.shuffled.mean():.3f}")

# %%
names = list(decoded)
pyplot.figure(figsize=(7, 2.6))
pyplot.bar(names, [decoded[name].score.mean for name in names], label="R², or share of classes")
pyplot.bar(names, [decoded[name].shuffled.mean() for name in names], width=0.4, label="shuffled")
_ = pyplot.legend()

# %% [markdown]
# One decoder for all fixations reads little of the place. A decoder for each fixation reads more: the code changes from
# one to the next. Where the eye goes next, the state commands.

# %%
pyplot.figure(figsize=(4, 2.6))
for name in ("position", "next"):
    known = [t for t in range(state.shape[1]) if np.isfinite(targets[name][:, t]).all()]
    apart = [analysis.decode(state[:, [t]], targets[name][:, [t]], shuffles=0).score.mean for t in known]
    pyplot.plot([t + 1 for t in known], apart, "o-", label=name)
pyplot.xlabel("fixation")
pyplot.ylabel("R² of a decoder of its own")
_ = pyplot.legend()

# %% [markdown]
# ## Which units?
# How well each unit by itself follows the place, and how well it tells classes apart at the last fixation.

# %%
place = analysis.place_selectivity(state, targets["position"])
classes = analysis.class_selectivity(state, few["label"])[-1]
pyplot.figure(figsize=(3, 3))
pyplot.plot(classes, place, ".")
pyplot.xlabel("η² of the class")
_ = pyplot.ylabel("R² of the place")

# %% [markdown]
# ## Lesion
# The units that follow the place best stay at their mean; then as many at random. The eye is moved as it was, so that
# all decode the same fixations. *Same decoder* is the one of the intact network: whoever reads this code loses it. *New
# decoder* is fitted to the lesioned state: what is still there. Half a percent of the units, then a tenth.

# %%
rows = lesion_code(
    result.graph, result.params, few, "classifier.core", f"{folder}/half", key=jax.random.key(0), randoms=2
)
print(format_lesions(rows))

# %%
rows = lesion_code(
    result.graph,
    result.params,
    few,
    "classifier.core",
    f"{folder}/tenth",
    key=jax.random.key(0),
    share=0.1,
    randoms=2,
)
print(format_lesions(rows))

# %% [markdown]
# ## Dissimilarity and dynamics
# Which classes the state tells apart, fixation by fixation, and how it changes from one to the next.

# %%
means = analysis.class_means(state, few["label"])
matrices = analysis.dissimilarities(means)
analysis.write_rdms(f"{folder}/rdms.pkl", matrices, matrix_names={"glimpse": list(range(1, len(matrices) + 1))})
print(
    "likeness of each fixation's matrix to the last one's:",
    analysis.rdm_likeness(matrices, matrices[-1:])[:, 0].round(2),
)
went_on = analysis.dynamics(state)
print("change:", went_on.change.round(2), "dimensions:", went_on.dimensions.round(1))
