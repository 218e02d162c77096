"""The documentation: `sphinx-build -W docs docs/_build`."""

import importlib.metadata

project = "foveax"
author = "The foveax authors"
release = importlib.metadata.version("foveax")

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx.ext.mathjax"]
myst_enable_extensions = ["dollarmath"]
exclude_patterns = ["_build"]

html_theme = "furo"
html_title = "foveax"

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
autodoc_preserve_defaults = True
napoleon_numpy_docstring = False
napoleon_use_ivar = True
napoleon_use_rtype = False
default_role = "code"


def setup(app):
    """Leaves out the fields of named tuples, which their classes' docstrings describe."""

    def skip(app, what, name, member, skip, options):
        return True if type(member).__name__ == "_tuplegetter" else None

    app.connect("autodoc-skip-member", skip)
