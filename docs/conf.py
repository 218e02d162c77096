"""The documentation: `sphinx-build -W docs docs/_build`. It needs no network, neither to be built nor to be read."""

import importlib.metadata

import latex2mathml.converter
from docutils.nodes import SkipNode

project = "foveax"
author = "The foveax authors"
release = importlib.metadata.version("foveax")

extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 3
nb_execution_mode = "off"  # notebooks are shown with their stored outputs
exclude_patterns = ["_build"]
html_math_renderer = "mathml"  # that of the browser; MathJax would be fetched

html_theme = "furo"
html_title = "foveax"
html_show_copyright = False

autodoc_member_order = "bysource"
autodoc_typehints = "description"
autodoc_typehints_description_target = "documented"
autodoc_typehints_format = "short"
add_module_names = False
toc_object_entries_show_parents = "hide"
python_use_unqualified_type_names = True
python_maximum_signature_line_length = 88
autodoc_preserve_defaults = True
napoleon_numpy_docstring = False
napoleon_use_ivar = True
napoleon_use_rtype = False
default_role = "code"


def setup(app):
    """Writes equations as MathML; leaves out the fields of named tuples, which their classes' docstrings describe."""

    def skip(app, what, name, member, skip, options):
        return True if type(member).__name__ == "_tuplegetter" else None

    def equation(display):
        def visit(translator, node):
            translator.body.append(latex2mathml.converter.convert(node.astext(), display=display))
            raise SkipNode

        return visit

    app.connect("autodoc-skip-member", skip)
    app.add_html_math_renderer("mathml", (equation("inline"), None), (equation("block"), None))
