"""Sphinx: ``make docs`` builds these pages into build/docs."""

import losslab
from losslab.cli import app as command_line

project = "losslab"
author = copyright = "the losslab founders"
version = release = losslab.__version__
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx.ext.mathjax"]
html_theme = "furo"
html_title = f"losslab {version}"
html_copy_source = False
smartquotes = False  # options begin with two dashes
myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 4
autodoc_default_options = {"members": True}
autodoc_member_order = "bysource"
napoleon_numpy_docstring = False
python_use_unqualified_type_names = True


def _append_help(_app, page: str, text: list[str]) -> None:
    """The program's own help, at the end of the page on the command line."""
    if page == "command-line":
        _, _, help_of_commands = command_line.generate_docs(usage_name="losslab").partition(
            "## Table of Contents"
        )
        text[0] += help_of_commands


def setup(app) -> None:
    """Called by Sphinx."""
    app.connect("source-read", _append_help)
