"""The site: pages of docs/ and every chapter of nbs/, as they are stored. Built by `make docs`."""
import json
import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
VERSION = re.search(r'__version__ = "(.+)"', (ROOT/"wmkit/__init__.py").read_text())[1]

project, author, release = "wmkit", "the wmkit authors", VERSION
extensions = ["myst_nb"]
root_doc = "docs/index"
include_patterns = ["docs/*.md", "nbs/*.ipynb", "nbs/*/*.ipynb", "*.md"]
exclude_patterns = ["SECURITY.md", "README.md", "**/.ipynb_checkpoints"]
html_theme = "furo"
html_title = f"wmkit {VERSION}"
nb_execution_mode = "off"  # what a chapter shows is what is stored in it
nb_merge_streams = True
nb_output_stderr = "remove"
myst_heading_anchors = 3
suppress_warnings = [
    "myst.header",  # a chapter may begin its sections deeper than a page does
    "mystnb.unknown_mime_type",  # saved widgets are for JupyterLab
]


def tell_language(app, name, source):
    "nbdev stores no language in a notebook; the highlighter needs it."
    if not name.startswith("nbs/"):
        return
    notebook = json.loads(source[0])
    notebook["metadata"]["language_info"] = {"name": "python"}
    source[0] = json.dumps(notebook)


def setup(app):
    app.connect("source-read", tell_language)
