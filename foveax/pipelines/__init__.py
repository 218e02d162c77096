"""The stock pipelines: small functions, from a data set and a small dataclass to a graph."""

from foveax.pipelines.areas import areas_pipeline as areas_pipeline
from foveax.pipelines.perceptron import perceptron_pipeline as perceptron_pipeline
from foveax.pipelines.predictive import predictive_pipeline as predictive_pipeline
from foveax.pipelines.standard import PipelineConfig as PipelineConfig
from foveax.pipelines.standard import standard_pipeline as standard_pipeline
