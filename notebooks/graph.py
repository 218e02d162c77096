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
# # A pipeline is a graph
# Modules have named, typed ports; links join them; the loop runs it for six glimpses. The standard pipeline is such a
# graph. Everything below is an edit of it, and each compiles to one program.

# %%
# %matplotlib inline
import jax

import foveax as fx
from foveax import plot

data = fx.load("mnist5k")
graph = fx.standard_pipeline(data).unlink("classifier.fixation")
for link in graph.links:
    print(link)

# %% [markdown]
# ## Three edits
# The saccader reads an earlier layer of the classifier; the classifier gets an efference copy of the fixation that the
# saccader chose; a module of our own watches how bright each glimpse is.

# %%
edits = {
    "standard": graph,
    "earlier layer": graph.add("classifier.encoder.what -> saccader.observation"),
    "efference copy": graph.add("memory.fixation -> classifier.fixation"),
}
watched = graph.add("retina.glimpse -> bright.glimpse", bright=fx.from_function(lambda glimpse: glimpse.mean()))
rollout = fx.compile(watched, ["bright.output"])
inputs = {"image": data.test["image"][0], "label": data.test["label"][0]}
rollout(fx.init(watched, jax.random.key(0)), inputs, jax.random.key(1))["bright"]["output"]

# %% [markdown]
# What does not fit is refused when the graph is built:

# %%
for link in ("classifier.encoder.waht -> saccader.observation", "input.image -> saccader.observation"):
    try:
        graph.add(link)
    except fx.GraphError as error:
        print(error)

# %% [markdown]
# ## Each is trained by the same step

# %%
STEPS = 400
accuracy = {}
for name, edited in edits.items():
    learner = fx.make_learner(edited, fx.LearningConfig(), steps=STEPS)
    for state, _ in fx.fit(learner, data, learner.init(jax.random.key(0)), batch=32):
        pass
    accuracy[name] = fx.evaluate(edited, state.params, data.test, key=jax.random.key(1)).accuracy

# %%
plot.accuracy_by_glimpse(accuracy)
