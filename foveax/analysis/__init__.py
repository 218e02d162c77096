"""What the eye did: statistics of scanpaths. NumPy in, numbers out."""

from foveax.analysis.scanpaths import refixation_rate as refixation_rate
from foveax.analysis.scanpaths import saccade_amplitudes as saccade_amplitudes
