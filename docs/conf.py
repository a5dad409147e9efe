"""How Sphinx builds the documentation."""

from __future__ import annotations

import importlib.metadata
import pathlib
import sys

# The directives that describe the findings.
sys.path.insert(0, str(pathlib.Path(__file__).parent / "_ext"))

project = "Flask-Session-Inspector"
author = "The Flask-Session-Inspector authors"
project_copyright = "2026, The Flask-Session-Inspector authors"
release = version = importlib.metadata.version("Flask-Session-Inspector")

extensions = ["myst_parser", "sphinx.ext.autodoc", "findings"]
exclude_patterns = ["_build"]
source_suffix = {".md": "markdown"}

myst_heading_anchors = 3
myst_enable_extensions = ["deflist", "fieldlist"]

autodoc_member_order = "bysource"
autodoc_typehints = "description"
autodoc_typehints_description_target = "documented"

html_theme = "furo"
html_title = "Flask-Session-Inspector"
html_copy_source = False
