"""Gaze data of people: files of the field, read and written, their screens, and their problems."""

from foveax.gaze.attention_mnist import attention_mnist_stimuli as attention_mnist_stimuli
from foveax.gaze.attention_mnist import read_attention_mnist as read_attention_mnist
from foveax.gaze.bids import read_bids as read_bids
from foveax.gaze.bids import write_bids as write_bids
from foveax.gaze.coco_search import read_coco_search as read_coco_search
from foveax.gaze.gaze_cifar10 import read_gaze_cifar10 as read_gaze_cifar10
from foveax.gaze.multimatch import from_multimatch as from_multimatch
from foveax.gaze.multimatch import to_multimatch as to_multimatch
from foveax.gaze.problems import Problem as Problem
from foveax.gaze.problems import check_gaze as check_gaze
from foveax.gaze.problems import content_centres as content_centres
from foveax.gaze.problems import gaze_problems as gaze_problems
from foveax.gaze.pymovements import from_pymovements as from_pymovements
from foveax.gaze.pymovements import to_pymovements as to_pymovements
from foveax.gaze.pysaliency import read_pysaliency as read_pysaliency
from foveax.gaze.pysaliency import write_pysaliency as write_pysaliency
from foveax.gaze.recording import Recording as Recording
from foveax.gaze.recording import fixations_of as fixations_of
from foveax.gaze.screen import Screen as Screen
from foveax.gaze.screen import from_fractions as from_fractions
from foveax.gaze.screen import image_screen as image_screen
from foveax.gaze.screen import to_fractions as to_fractions
