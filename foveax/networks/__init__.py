"""Networks of the stock pipelines, and wrappers for your own."""

from foveax.networks.classifiers import FeedForwardClassifier as FeedForwardClassifier
from foveax.networks.classifiers import RecurrentClassifier as RecurrentClassifier
from foveax.networks.encoders import GlimpseEncoder as GlimpseEncoder
from foveax.networks.encoders import fourier_features as fourier_features
from foveax.networks.saccaders import SaccadeNetwork as SaccadeNetwork
from foveax.networks.saccaders import saccader as saccader
from foveax.networks.wrap import from_linen as from_linen
from foveax.networks.wrap import from_linen_cell as from_linen_cell
from foveax.networks.wrap import from_nnx as from_nnx
