"""The site of the documentation, for Sphinx. Built from the folder that build.py prepares; see decisions/docs-site.md."""

from __future__ import annotations

import re

import interp_widgets

project = "interp_widgets"
author = "the authors of interp_widgets"
version = release = interp_widgets.__version__
language = "en"

extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "interp_widgets.sphinx",
]

# Pages and notebooks. Notebooks come with their outputs.
myst_enable_extensions = ["attrs_inline", "colon_fence"]
myst_heading_anchors = 4
nb_execution_mode = "off"
nb_ipywidgets_js: dict[str, dict[str, str]] = {}  # its defaults are requests to elsewhere; our panels need none
nb_merge_streams = True

# The reference.
autodoc_class_signature = "separated"
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_preserve_defaults = True
python_use_unqualified_type_names = True
python_maximum_signature_line_length = 88
add_module_names = False
toc_object_entries_show_parents = "hide"

# The look.
html_theme = "furo"
html_title = "interp_widgets"
html_static_path = ["static"]
html_css_files = ["site.css"]
html_favicon = "static/icon.svg"
html_copy_source = False
html_show_sphinx = False
html_show_copyright = False
html_theme_options = {"navigation_with_keys": False}
pygments_style = "friendly"
pygments_dark_style = "native"


_written: dict[str, list[str]] = {}
"""Docstrings of properties before napoleon, which takes a sentence with a colon in it for a type."""


def plain(app: object, what: str, name: str, obj: object, options: object, lines: list[str]) -> None:
    """Our docstrings are prose with `code` in it, and examples after >>> or four spaces; what else reStructuredText would read
    into them is taken away."""
    out: list[str] = []
    for line in lines:
        example = line.lstrip().startswith((">>>", "..."))
        literal = line.startswith("    ") and out and (not out[-1] or out[-1].startswith("    ")) and what == "module"
        out.append(line if example or literal else _escaped(line))
    lines[:] = out
    if what in ("property", "attribute") and not any(line.strip() in ("Raises:", "Returns:") for line in lines):
        _written[name] = list(lines)


def sentences(app: object, what: str, name: str, obj: object, options: object, lines: list[str]) -> None:
    """After napoleon: a property that has no sections says what it said."""
    lines[:] = _written.pop(name, lines)


def _escaped(line: str) -> str:
    parts = re.split(r"(`[^`]*`)", line)
    for index, part in enumerate(parts):
        if index % 2:
            parts[index] = rf"\ ``{part[1:-1]}``\ " if part != "``" else part
        else:
            parts[index] = re.sub(r"(?<=\w)_(?!\w)", r"\\_", re.sub(r"([*|\\])", r"\\\1", part))
    text = "".join(parts)
    indent = re.match(r" *", line)[0]  # type: ignore[index]
    return indent + text.strip().removeprefix("\\ ").removesuffix("\\ ") if text.strip() else text


def setup(app: object) -> None:
    """Called by Sphinx."""
    app.connect("autodoc-process-docstring", plain, priority=100)  # type: ignore[attr-defined]
    app.connect("autodoc-process-docstring", sentences, priority=900)  # type: ignore[attr-defined]
