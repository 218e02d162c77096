"""What the eye did: statistics of scanpaths. NumPy in, numbers out."""

from foveax.analysis.information import map_entropy as map_entropy
from foveax.analysis.information import mutual_information as mutual_information
from foveax.analysis.information import shuffled_information as shuffled_information
from foveax.analysis.scanpaths import border_share as border_share
from foveax.analysis.scanpaths import coverage as coverage
from foveax.analysis.scanpaths import refixation_rate as refixation_rate
from foveax.analysis.scanpaths import saccade_amplitudes as saccade_amplitudes
