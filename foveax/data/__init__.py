"""Data sets: the bundled digits, TFDS, arrays; what is done to them; and the order in which they are seen."""

from foveax.data.augment import random_shift as random_shift
from foveax.data.augment import random_warp as random_warp
from foveax.data.augment import shifted as shifted
from foveax.data.augment import warped as warped
from foveax.data.canvas import canvas as canvas
from foveax.data.canvas import cluttered as cluttered
from foveax.data.canvas import translated as translated
from foveax.data.dataset import Data as Data
from foveax.data.dataset import from_arrays as from_arrays
from foveax.data.dataset import held_out as held_out
from foveax.data.load import load as load
from foveax.data.order import batch_indices as batch_indices
from foveax.data.order import epoch_orders as epoch_orders
