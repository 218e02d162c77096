"""Several devices: the same training as on one, with one all-reduce of gradients per update."""

import os
import re
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest

import foveax as fx
from foveax.training import shards
from foveax.training.mesh import training_mesh
