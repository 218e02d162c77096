"""Figures. Functions draw into the axes given, or make some; matplotlib is imported when one is called."""

from foveax.plot.curves import accuracy_by_glimpse as accuracy_by_glimpse
from foveax.plot.curves import belief as belief
from foveax.plot.curves import learning_curve as learning_curve
from foveax.plot.curves import speed_accuracy_curve as speed_accuracy_curve
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
