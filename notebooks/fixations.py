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
# # Where does it look, and does it matter?
# A short training on the bundled digits, each somewhere on a canvas of 40 by 40 pixels, so that the eye must find it.

# %%
# %matplotlib inline
import jax
from matplotlib import pyplot

import foveax as fx
from foveax import analysis, plot

data = fx.translated(fx.load("mnist5k"), side=40)
config = fx.TrainingConfig(images=50_000, pipeline=fx.PipelineConfig(crop_size=12))
result = fx.train(config, data)
own, sides = result.evaluations["learned"], {"height": 40, "width": 40}
plot.accuracy_by_glimpse({name: evaluation.accuracy for name, evaluation in result.evaluations.items()})
# %% [markdown]
# ## One trial
# The scanpath, what has been seen, and what was believed after each glimpse.

# %%
index = int((own.predicted[:, -1] == own.label).argmax())
figure, axes = pyplot.subplots(1, 3, figsize=(8, 2.6), layout="constrained")
plot.scanpath(data.test["image"][index], own.fixations[index], size=12, ax=axes[0])
plot.reconstruction(data.test["image"][index], own.fixations[index], size=12, ax=axes[1])
_ = plot.belief(own.probabilities[index], label=int(own.label[index]), ax=axes[2])

# %% [markdown]
# ## All trials
# Where each glimpse lands, and how far and whereto saccades go.

# %%
plot.densities(own.fixations, **sides)

# %%
figure = pyplot.figure(figsize=(7, 2.6), layout="constrained")
plot.amplitudes(own.fixations, **sides, ax=figure.add_subplot(131))
plot.directions(own.fixations, **sides, ax=figure.add_subplot(132, projection="polar"))
_ = plot.directions(own.fixations, **sides, relative=True, ax=figure.add_subplot(133, projection="polar"))

# %% [markdown]
# ## As a table
# One row per fixation, for R, SPSS or pandas; people's fixations load into the same type.

# %%
table = analysis.fixation_table(own.fixations, probabilities=own.probabilities, label=own.label, **sides)
analysis.to_pandas(table).head(6).round(3)

# %% [markdown]
# ## How sure, how soon
# If looking stops as soon as the belief's entropy falls under a threshold: fewer glimpses for easy images.

# %%
curves = {
    name: analysis.speed_accuracy(evaluation.probabilities, evaluation.label)
    for name, evaluation in result.evaluations.items()
    if name in ("learned", "best sequence", "random")
}
plot.speed_accuracy_curve(curves)
# %% [markdown]
# ## Is it the image that guides the eye?
# The policy is sampled six times on a hundred images. Its passes should be more like each other on the same image
# than across images.

# %%
few = {name: array[:100] for name, array in data.test.items()}
passes = fx.sample_scanpaths(result.graph, result.params, few, key=jax.random.key(0), passes=6)
scores = analysis.compare_scanpaths(passes, {}, **sides)
for name, row in scores.items():
    print(f"{name:<20}" + "  ".join(f"{score} {found.mean:.2f}" for score, found in list(row.items())[-4:]))
