"""Pipelines as graphs: modules with typed ports, links, memory, and the compiler. Knows nothing of eyes."""

from foveax.graph.compile import compile as compile
from foveax.graph.graph import Graph as Graph
from foveax.graph.graph import Roles as Roles
from foveax.graph.graph import init as init
from foveax.graph.modules import Agent as Agent
from foveax.graph.modules import Loss as Loss
from foveax.graph.modules import Module as Module
from foveax.graph.modules import batching as batching
from foveax.graph.modules import from_function as from_function
from foveax.graph.ports import GraphError as GraphError
from foveax.graph.ports import Port as Port
from foveax.graph.split import Actor as Actor
from foveax.graph.split import Environment as Environment
from foveax.graph.split import actor_keys as actor_keys
from foveax.graph.split import split as split
