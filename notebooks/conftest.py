"""Leaves out the notebook that needs stable-baselines3, where that is not installed."""

import importlib.util

collect_ignore = [] if importlib.util.find_spec("stable_baselines3") else ["environments.ipynb"]
