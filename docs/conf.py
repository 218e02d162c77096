"""The documentation: `sphinx-build -W docs docs/_build`. It needs no network, neither to be built nor to be read."""

import html
import importlib.metadata
import io

import matplotlib
from docutils.nodes import SkipNode
from matplotlib.mathtext import math_to_image

project = "foveax"
author = "The foveax authors"
release = importlib.metadata.version("foveax")

extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 3
nb_execution_mode = "off"  # notebooks are shown with their stored outputs
nb_render_image_options = {"alt": "The figure that the code above draws"}
exclude_patterns = ["_build"]
html_math_renderer = "svg"  # MathJax would be fetched, and MathML needs a font for mathematics

html_theme = "furo"
html_title = "foveax"
html_show_copyright = False
html_static_path = ["static"]
html_css_files = ["page.css"]

autodoc_member_order = "bysource"
autodoc_typehints = "description"
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


INK = "#010203"
"""A colour that stands for that of the text."""


def setup(app):
    """Draws equations; leaves out the fields of named tuples, which their classes' docstrings describe."""

    def skip(app, what, name, member, skip, options):
        return True if type(member).__name__ == "_tuplegetter" else None

    app.connect("autodoc-skip-member", skip)
    frame = '<div class="equation" style="overflow-x: auto; text-align: center">{}</div>'
    app.add_html_math_renderer("svg", (equation("{}"), None), (equation(frame), None))


def equation(frame):
    """A writer of equations as drawings of matplotlib, on the line of the text."""

    def visit(translator, node):
        drawn, tex = io.BytesIO(), node.astext()
        with matplotlib.rc_context({"mathtext.fontset": "stix", "savefig.facecolor": "none", "font.size": 13}):
            depth = math_to_image(f"${' '.join(tex.split())}$", drawn, dpi=72, format="svg", color=INK)
        svg = drawn.getvalue().decode().partition("<svg")[2].replace(INK, "currentColor").strip()
        place = f'<svg role="img" aria-label="{html.escape(tex)}" style="vertical-align: {-depth:.1f}pt"'
        translator.body.append(frame.format(place + svg))
        raise SkipNode

    return visit
