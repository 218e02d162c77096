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
# # Your gaze data
# From a CSV file to a figure in which people stand next to a model. The people of this notebook are simulated, with
# known preferences, so that it can be seen whether they are found; put your own file in the place of the second cell.

# %%
# %matplotlib inline
import tempfile
from pathlib import Path

import foveax as fx
from foveax import analysis, gaze, plot
from foveax.study import compare, figures, following, page, simulation, tables, trials

folder = Path(tempfile.mkdtemp())
data = fx.load("mnist5k")
result = fx.train(fx.TrainingConfig(images=10_000), data, out=folder / "run", evaluate=False)

# %% [markdown]
# ## The file
# Eight participants look at 60 of the test images, six fixations each: 3 of 10 fixations are drawn to the centre, half
# of them to places that each class has of its own.

# %%
observers = simulation.Observers(centre_bias=0.3, preference=0.5, noise=0.08)
people = simulation.simulated_participants(data.test["label"][:60], observers, participants=8, fixations=6)
analysis.write_csv(folder / "people.csv", people)
print(*(folder / "people.csv").read_text().splitlines()[:4], sep="\n")

# %% [markdown]
# ## Read it and check it
# A file with other names, units or separators is declared (`columns`, `units`, `image_rect`, `times`). Every problem is
# a sentence that names row and column; here is none.

# %%
table = analysis.read_csv(folder / "people.csv")
print(gaze.check_gaze(table, images=data.test["image"]))
looked = trials.trials_of(table, data.test)
print(*looked.notes)
plot.density(looked.fixations[:, 1:].reshape(-1, 2), height=28, width=28)

# %% [markdown]
# ## Compare
# The model makes as many fixations as people did, from where they began. `foveax compare RUN --people people.csv` does
# this, and writes a page.

# %%
run = fx.load_run(folder / "run", data)
follower = following.make_follower(run.graph, 6)
study = compare.compare(follower, (compare.Eye("model", run.params, {}),), looked)
print(*page.verdicts(study), sep="\n")

# %% [markdown]
# ## What is likeness worth?
# Left, ScanMatch as it is: what stays near the centre is like everybody. Right, the part that is owed to the image.

# %%
_ = figures.specific(study)

# %% [markdown]
# ## Does the classifier see more with people's gaze?

# %%
drawn = figures.figures_of(study)
_ = drawn["accuracy"][1]()

# %% [markdown]
# ## How probable does the model hold people's fixations?
# In bits per fixation over the centre prior; the ceiling is what other participants' fixations on the same image say.

# %%
_ = drawn["information"][1]()

# %% [markdown]
# Every number is in a table, with its interval over images and participants, and its test.

# %%
title, table_of_information = tables.tables_of(study)["information"]
print(title)
for name, gain, *_ in table_of_information.rows:
    print(f"{name:<28} {gain.mean:7.2f} [{gain.low:.2f}, {gain.high:.2f}]")
