"""Figures. Functions draw into the axes given, or make some; matplotlib is imported when one is called.

Fixations are (x, y) as fractions of the image, ``[T, 2]`` of one scanpath, ``[N, T, 2]`` of N. An image is
``[H, W, C]``, uint8 or a float in [0, 1]; `height` and `width` are its sides in pixels. A retina has crops of `size`
pixels a side, None or 0 for none, at a number of `scales`. A function that takes `ax` returns it, by default new axes;
a figure belongs to no window. Arrays of another shape, or without what is to be drawn, raise an `InputError`.
"""

from foveax.plot.curves import accuracy_by_glimpse as accuracy_by_glimpse
from foveax.plot.curves import belief as belief
from foveax.plot.curves import learning_curve as learning_curve
from foveax.plot.curves import speed_accuracy_curve as speed_accuracy_curve
from foveax.plot.decisions import confusion_matrix as confusion_matrix
from foveax.plot.decisions import reliability_diagram as reliability_diagram
from foveax.plot.distributions import amplitudes as amplitudes
from foveax.plot.distributions import densities as densities
from foveax.plot.distributions import density as density
from foveax.plot.distributions import directions as directions
from foveax.plot.distributions import policy_field as policy_field
from foveax.plot.scanpath import animate_trial as animate_trial
from foveax.plot.scanpath import crops as crops
from foveax.plot.scanpath import fixation_sheet as fixation_sheet
from foveax.plot.scanpath import reconstruction as reconstruction
from foveax.plot.scanpath import scanpath as scanpath
