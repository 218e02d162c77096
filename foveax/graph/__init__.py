"""Pipelines as graphs: modules with typed ports, links, and the compiler."""

from foveax.graph.compile import compile as compile
from foveax.graph.graph import Feedback as Feedback
from foveax.graph.graph import Graph as Graph
from foveax.graph.graph import init as init
from foveax.graph.modules import Agent as Agent
from foveax.graph.modules import Module as Module
from foveax.graph.modules import batching as batching
from foveax.graph.modules import from_function as from_function
from foveax.graph.ports import GraphError as GraphError
from foveax.graph.ports import Port as Port
from foveax.graph.split import Environment as Environment
from foveax.graph.split import Player as Player
from foveax.graph.split import saccade_keys as saccade_keys
from foveax.graph.split import split as split
from foveax.graph.stock import centre as centre
from foveax.graph.stock import classifier as classifier
from foveax.graph.stock import cropper as cropper
from foveax.graph.stock import fixed_sequence as fixed_sequence
from foveax.graph.stock import given_fixations as given_fixations
from foveax.graph.stock import image_source as image_source
from foveax.graph.stock import reward as reward
from foveax.graph.stock import uniform_random as uniform_random
