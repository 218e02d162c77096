"""Pipelines as graphs: modules with typed ports, links, memory, and the compiler. Knows nothing of eyes."""
