"""What the eye samples from an image."""

from foveax.retina.contrast import contrast_luminance as contrast_luminance
from foveax.retina.crop import crop as crop
from foveax.retina.foveate import foveate as foveate
from foveax.retina.glance import glance as glance
from foveax.retina.log_polar import log_polar as log_polar
from foveax.retina.saturation import saturate as saturate
from foveax.retina.spatiotopic import paint as paint
from foveax.retina.zoom import zoom as zoom
