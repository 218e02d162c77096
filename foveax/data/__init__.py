"""Images with labels: bundled digits, TensorFlow Datasets, your own arrays."""

from foveax.data.augment import random_shift as random_shift
from foveax.data.dataset import Data as Data
from foveax.data.dataset import from_arrays as from_arrays
from foveax.data.load import load as load
from foveax.data.order import batch_indices as batch_indices
from foveax.data.order import epoch_orders as epoch_orders
