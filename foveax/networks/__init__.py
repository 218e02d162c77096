"""Networks of the stock pipelines, in flax linen."""

from foveax.networks.classifiers import RecurrentClassifier as RecurrentClassifier
from foveax.networks.encoders import GlimpseEncoder as GlimpseEncoder
from foveax.networks.encoders import fourier_features as fourier_features
from foveax.networks.encoders import index_features as index_features
from foveax.networks.saccaders import Heads as Heads
from foveax.networks.saccaders import SaccadeNetwork as SaccadeNetwork
