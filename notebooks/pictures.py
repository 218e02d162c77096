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
# # Your own pictures
# From a folder of pictures to an eye, what its looking is worth, and what it says of a new picture. Put your own
# folder in the place of the first cell: a folder for each class, pictures of any size and kind.

# %%
# %matplotlib inline
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

import foveax as fx
from foveax import plot
from foveax.evaluation.cost import decision_cost
from foveax.evaluation.whole_image import whole_image_evaluation, whole_image_pipeline

folder = Path(tempfile.mkdtemp(), "pictures")
rng = np.random.default_rng(0)
for name in ("disc", "ring", "square"):
    (folder / name).mkdir(parents=True)
    for index in range(500):
        wide, high = rng.integers(48, 81, 2).tolist()
        ground = Image.fromarray(rng.integers(60, 120, (8, 8, 3), dtype=np.uint8)).resize((wide, high))
        x, y = rng.integers(8, wide - 8), rng.integers(8, high - 8)
        draw = ImageDraw.Draw(ground)
        shape = draw.rectangle if name == "square" else draw.ellipse
        box = (int(x) - 6, int(y) - 6, int(x) + 6, int(y) + 6)
        shape(box, fill=None if name == "ring" else "orange", outline="orange", width=3)
        ground.save(folder / name / f"{index:03}.png")

# %% [markdown]
# ## The data
# Pictures of several sizes are padded to a square, here of 64 pixels, and the eye is kept to the picture. A fifth of
# each class, always the same pictures, is the test split.

# %%
data = fx.load(folder, side=64)
print(data.names, len(data.train["label"]), "to train on,", len(data.test["label"]), "to judge by")

# %% [markdown]
# ## The eye
# Four glimpses of 12 by 12 pixels, each beside a glance of the whole picture at the same 12 by 12 pixels, which says
# where something is and hardly what. The saccader reads both, beside the state of the classifier, which need not
# remember where anything lies.

# %%
eye = fx.PipelineConfig(glimpses=4, crop_size=12, glance=True, kernels=32, saccader_sees="both", scale_start=0.5)
config = fx.TrainingConfig(data=str(folder), side=64, images=60_000, mirror=True, pipeline=eye)
run = folder.with_name("run")
result = fx.train(config, out=run)
plot.accuracy_by_glimpse({name: evaluation.accuracy for name, evaluation in result.evaluations.items()})

# %% [markdown]
# The first number is the eye's. The others are of the same classifier with another eye: the best fixed sequence, the
# fixations made on another image, places at random, the middle. What they lack is what this eye's looking is worth.

# %%
own = result.evaluations["learned"]
some = [10, 60, 110, 210, 260]
titles = [data.names[label] for label in own.label[some]]
plot.fixation_sheet(data.test["image"][some], own.fixations[some], titles=titles, size=12)

# %% [markdown]
# ## Against the whole picture
# A network that is given all pixels at once, trained as long, and what a decision costs either of them.

# %%
prepared = config.prepare(data)
graph = whole_image_pipeline(prepared, eye)
whole = whole_image_evaluation(
    graph, prepared, learning=config.learning, images=config.images, batch=config.batch, seed=0
)
for name, evaluation, network in (("four glimpses", own, result.graph), ("whole picture", whole, graph)):
    print(f"{name}: {100 * evaluation.accuracy[-1]:.1f} %, {decision_cost(network) / 1e6:.1f} million multiply-adds")

# %% [markdown]
# ## A new picture
# The run is a folder, which is all that it needs, wherever it is loaded.

# %%
loaded = fx.load_run(run)
picture, extent = (loaded.data.test[name][:1] for name in ("image", "extent"))
prediction = loaded.predict(picture, extent)
dict(zip(data.names, np.round(prediction.probabilities[0, -1], 3).tolist(), strict=True))
# %% [markdown]
# `foveax analyze RUN` makes one page of all figures and tables; the page on [your own
# pictures](../docs/own_pictures.md) lists the choices that follow from the pictures.
