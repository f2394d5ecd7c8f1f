"""The site that `make docs` builds: README, the pages beside this file, notebooks, public names."""

from pathlib import Path

from sphinx.application import Sphinx

import rtkit

HERE = Path(__file__).parent

project = "rtkit"
author = "the rtkit contributors"
version = release = rtkit.__version__
extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.autosummary", "numpydoc"]
include_patterns = ["docs/**", "notebooks/0*.ipynb"]  # links are as in the repository
exclude_patterns = ["docs/templates", "docs/static"]
root_doc = "docs/index"
default_role = "py:obj"  # a name in a docstring leads to its page
templates_path = [str(HERE / "templates")]

html_theme = "furo"
html_title = f"rtkit {release}"
html_static_path = [str(HERE / "static")]
html_css_files = ["site.css"]
html_show_copyright = False
pygments_dark_style = "monokai"
html_copy_source = False
html_show_sourcelink = False
html_additional_pages = {"index": "index.html"}  # leads to docs/index.html

# Nothing on a page comes from the network: a widget is shown by the text or the picture beside it.
nb_ipywidgets_js: dict[str, dict[str, str]] = {}
nb_mime_priority_overrides = [("html", "application/vnd.jupyter.widget-view+json", None)]
nb_execution_mode = "cache"
nb_execution_timeout = 300
nb_execution_raise_on_error = True
nb_merge_streams = True

myst_heading_anchors = 3
numpydoc_show_class_members = False


def begin_with_readme(app: Sphinx, document: str, source: list[str]) -> None:
    """Put README, but for its list of folders, before the contents that the index names."""
    if document == root_doc:
        text = (HERE.parent / "README.md").read_text(encoding="utf-8")
        text = text.partition("<!-- the site ends here -->")[0]
        source[0] = text.replace("](", "](../") + source[0]


def setup(app: Sphinx) -> None:
    """Called by Sphinx."""
    app.connect("source-read", begin_with_readme)
