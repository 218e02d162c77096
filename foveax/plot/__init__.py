"""Figures. Functions draw into the axes given, or make some; matplotlib is imported only when one is called."""

from foveax.plot.scanpath import crops as crops
from foveax.plot.scanpath import fixation_sheet as fixation_sheet
from foveax.plot.scanpath import scanpath as scanpath
