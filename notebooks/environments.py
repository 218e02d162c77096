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
# # Another library trains the eye
# A pipeline splits into an environment and an agent. Here the agent is stable-baselines3 (`pip install -e '.[sb3]'`),
# and the classifier learns inside the environment while it is used.

# %%
# %matplotlib inline
import gymnasium
import matplotlib.pyplot as plt
import numpy as np

import foveax as fx
import foveax.environments.gymnasium
from foveax import plot
from foveax.environments.sb3_training import train_sb3

# %% [markdown]
# ## The environment
# An episode is one image; a step moves the eye. In this problem the centre shows a cue, which says in which of four
# corners to look, and only that corner tells the class.

# %%
environments = gymnasium.make_vec("foveax/CuedPlace-v0", num_envs=3, render_mode="rgb_array")
observation, info = environments.reset(seed=0)
print("observed:", environments.single_observation_space.shape, " action:", environments.single_action_space)
environments.step(np.array([[-0.6, -0.6], [0.6, -0.6], [0.6, 0.6]], np.float32))
figure, axes = plt.subplots(1, 3, figsize=(9, 2.2), layout="constrained")
for ax, frame in zip(axes, environments.render(), strict=True):
    ax.imshow(frame)
    ax.axis("off")

# %% [markdown]
# ## Two libraries, one problem
# The same problem, the same budget of images: foveax's own PPO, and that of stable-baselines3, with the same discounts.
# A training this short finds three of the four corners, or all of them; any one corner alone would give 62 %.

# %%
config = fx.TrainingConfig(
    data="cued_place",
    images=50_000,
    shift=0,
    pipeline=fx.PipelineConfig(glimpses=2, hidden=128, features=128),
    learning=fx.LearningConfig(policy_learning_rate=2e-3),
)
execution = fx.ExecutionConfig(dispatch=50)
curves, results = {}, {}
for name, train in (("foveax", fx.train), ("sb3_ppo", train_sb3)):
    curves[name] = []
    results[name] = train(config, listeners=[curves[name].append], execution=execution)
    test = results[name].summary["test"]
    print(name, {control: f"{100 * scores['accuracy'][-1]:.1f} %" for control, scores in test.items()})

# %%
figure, ax = plt.subplots(figsize=(5, 3), layout="constrained")
for (name, lines), style in zip(curves.items(), ("-", "--"), strict=True):
    ax.plot([line["images"] for line in lines], [line["accuracy"] for line in lines], style, label=name)
ax.set(xlabel="images", ylabel="accuracy while training", ylim=(0, 1))
_ = ax.legend()

# %% [markdown]
# ## Its policy, brought back
# The policy that the library learnt is a saccader like any other, and can be evaluated, diagnosed and drawn.

# %%
data = fx.load("cued_place")
fixations = results["sb3_ppo"].evaluations["learned"].fixations
figure, axes = plt.subplots(1, 4, figsize=(9, 2.4), layout="constrained")
for ax, image, path in zip(axes, data.test["image"], fixations, strict=False):
    plot.scanpath(image, path, size=9, ax=ax)
