"""The stock modules, and those made of flax networks."""

from foveax.modules.classifier import classifier as classifier
from foveax.modules.decision import decision as decision
from foveax.modules.flax import from_linen as from_linen
from foveax.modules.flax import from_linen_cell as from_linen_cell
from foveax.modules.flax import from_nnx as from_nnx
from foveax.modules.retina import cropper as cropper
from foveax.modules.retina import image_source as image_source
from foveax.modules.retina import spatiotopic_map as spatiotopic_map
from foveax.modules.reward import reward as reward
from foveax.modules.saccader import saccader as saccader
from foveax.modules.scripted import centre as centre
from foveax.modules.scripted import fixed_sequence as fixed_sequence
from foveax.modules.scripted import following as following
from foveax.modules.scripted import given_fixations as given_fixations
from foveax.modules.scripted import uniform_random as uniform_random
