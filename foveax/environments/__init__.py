"""The two halves of a graph for other frameworks: environments in their signatures, and policies brought back.

Importing this package imports no other framework; each adapter is a module of its own, which needs its extra:
`foveax.environments.gymnasium` (``gym``), `foveax.environments.sb3` (``sb3``),
`foveax.environments.rllib` (``rllib``). `foveax.environments.gymnax` needs nothing more.
"""

from foveax.environments.episodes import GLIMPSES as GLIMPSES
from foveax.environments.episodes import Episodes as Episodes
from foveax.environments.episodes import make_episodes as make_episodes
from foveax.environments.joint import train_with as train_with
from foveax.environments.lessons import Lessons as Lessons
from foveax.environments.lessons import make_lessons as make_lessons
