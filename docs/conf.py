"""The settings of the site: `make site` builds it with Sphinx, from this folder, the notebooks and the docstrings."""

import logging
from pathlib import Path
from typing import Any

from nbhelpers.course import site

# "owner/name" of the published repository. With it, each lesson gets a link that opens it in Colab.
REPOSITORY = ""
# The address of a JupyterLab in which the course is open, as `make lab` opens it
JUPYTERLAB = "http://localhost:8888/lab/tree/NAME"

logging.getLogger("matplotlib").setLevel("ERROR")  # a note about a font for each social picture

project = "nbhelpers"
author = "the authors of nbhelpers"
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx_copybutton", "sphinxext.opengraph"]
myst_heading_anchors = 4
# ref.python: the annotation `type` is taken for an attribute of that name
suppress_warnings = ["myst.header", "ref.python"]
default_role = "code"  # docstrings write names between single backticks, as Markdown does
autodoc_typehints = "description"
autodoc_type_aliases = {"ArrayLike": "ArrayLike"}  # its own definition would fill three lines
autodoc_default_options = {"exclude-members": "set"}  # which matplotlib adds to each figure, in its own markup
autodoc_member_order = "bysource"
python_use_unqualified_type_names = True

html_use_index = html_domain_indices = False  # the search finds more
html_theme = "furo"
html_title = "nbhelpers"
templates_path = ["_templates"]
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_js_files = ["site.js"]
html_copy_source = False
html_show_sphinx = False
copybutton_exclude = ".linenos, .gp"
ogp_site_url = f"https://{REPOSITORY.partition('/')[0]}.github.io/nbhelpers/" if REPOSITORY else "/"
ogp_social_cards = {"line_color": "#0072b2"}


def read_docstring(app: Any, what: str, name: str, thing: Any, options: Any, lines: list[str]) -> None:
    """Sphinx wants the lines changed in place."""
    lines[:] = site.to_rst(lines)


def read_page(app: Any, name: str, content: list[str]) -> None:
    """On the code host, pages link to notebooks; here, to the pages made from them."""
    if "/" not in name:
        content[0] = site.site_links(content[0])


def setup(app: Any) -> None:
    """Write the pages of lessons and helpers, then let Sphinx read the folder."""
    app.connect("autodoc-process-docstring", read_docstring, priority=100)  # before napoleon
    app.connect("source-read", read_page)
    links = {"JupyterLab": JUPYTERLAB}
    if REPOSITORY:
        links["Colab"] = f"https://colab.research.google.com/github/{REPOSITORY}/blob/main/notebooks/NAME"
    site.write_pages(Path(app.srcdir), links)
