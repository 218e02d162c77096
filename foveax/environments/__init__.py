"""The two halves of a graph for other frameworks: environments in their signatures, and policies brought back.

Importing this package imports no other framework. Its modules need their extras: `gymnasium` and
`active_classification` ``gym``, `sb3` and `rllib` one of their name; `gymnax` needs nothing more.
"""

from foveax.environments.episodes import GLIMPSES as GLIMPSES
from foveax.environments.episodes import Episodes as Episodes
from foveax.environments.episodes import make_episodes as make_episodes
from foveax.environments.session import ClassifierTraining as ClassifierTraining
from foveax.environments.session import make_classifier_training as make_classifier_training
