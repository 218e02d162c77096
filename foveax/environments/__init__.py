"""The two halves of a graph for other frameworks: environments in their signatures, and policies brought back.

Importing this package imports no other framework; each adapter is a module of its own, which needs its extra:
`foveax.environments.gymnasium` and `foveax.environments.active_classification` (``gym``), `foveax.environments.sb3`
(``sb3``), `foveax.environments.rllib` (``rllib``). `foveax.environments.gymnax` needs nothing more.
"""

from foveax.environments.classifier_training import ClassifierTraining as ClassifierTraining
from foveax.environments.classifier_training import make_classifier_training as make_classifier_training
from foveax.environments.episodes import GLIMPSES as GLIMPSES
from foveax.environments.episodes import Episodes as Episodes
from foveax.environments.episodes import make_episodes as make_episodes
