"""Panels in a site made with Sphinx.

    extensions = ["interp_widgets.sphinx"]

Then `{interp-panel} lens.html` shows a file that `panel.to_html("lens.html")` wrote. Modules, stylesheet and chart library are
files of the site, loaded once however many panels and pages use them; so are those of fragments in raw HTML and in the outputs
of notebooks. It works over http and from `file://`, and asks for nothing outside the site.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

from docutils import nodes
from docutils.parsers.rst import directives
from sphinx.application import Sphinx
from sphinx.transforms.post_transforms import SphinxPostTransform
from sphinx.util.docutils import SphinxDirective
from sphinx.util.typing import ExtensionMetadata

import interp_widgets

from .export.parts import is_fragment, take_apart

FOLDER = "interp-widgets"
"""Within `_static`."""


class interp_panel(nodes.General, nodes.Element):
    """A fragment: `html`, `files` (see `export.parts`) and `alt`, which says the same in words."""


class InterpPanel(SphinxDirective):
    """`interp-panel`: a file that `to_html` wrote, or one with the text of `fragment()`.

    The path is relative to the page, or to the source folder if it begins with a slash. `:alt:` is what is read where nothing
    can be drawn: without JavaScript, and in a PDF.
    """

    required_arguments = 1
    final_argument_whitespace = True
    option_spec: ClassVar = {"alt": directives.unchanged}

    def run(self) -> list[nodes.Node]:
        shown, path = self.env.relfn2path(self.arguments[0])
        self.env.note_dependency(path)
        try:
            text = Path(path).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise self.error(
                f"The panel {shown} cannot be read ({error}). Write it with panel.to_html({shown!r}), or correct the path."
            ) from error
        if not is_fragment(text):
            raise self.error(
                f"{shown} holds no panel. Expected is a file that panel.to_html(path) wrote, or the text of "
                "panel.fragment(); if an older version wrote it, write it again."
            )
        return [_node(text, self.options.get("alt", "A panel of interp_widgets."))]


class FragmentsInRawHtml(SphinxPostTransform):
    """Fragments that stand in a page as raw HTML, or are the output of a notebook, share their files too."""

    default_priority = 900  # after the outputs of notebooks have been chosen
    formats = ("html",)

    def run(self, **kwargs: Any) -> None:
        for raw in list(self.document.findall(nodes.raw)):
            if raw["format"] == "html" and is_fragment(raw.astext()):
                raw.replace_self(_node(raw.astext(), ""))


def _node(text: str, alt: str) -> interp_panel:
    html, files = take_apart(text)
    return interp_panel("", html=html, files=files, alt=alt)


def _enter_html(self: Any, node: interp_panel) -> None:
    without = f"<noscript><p>{self.encode(node['alt'])}</p></noscript>\n" if node["alt"] else ""
    self.body.append(f'<div class="interp-panel">\n{without}{node["html"]}\n</div>\n')


def _leave(self: Any, node: interp_panel) -> None:
    pass


def _enter_words(self: Any, node: interp_panel) -> None:
    """In a builder that draws nothing, the words stand in a paragraph."""
    paragraph = nodes.paragraph("", node["alt"])
    paragraph.walkabout(self)
    raise nodes.SkipNode


def _add_files(app: Sphinx, page: str, template: str, context: dict[str, Any], doctree: nodes.document | None) -> None:
    """Writes what the panels of a page share, once for the site, and names it in the page."""
    if doctree is None:
        return
    files = {name: text for node in doctree.findall(interp_panel) for name, text in node["files"].items()}
    folder = Path(app.outdir) / "_static" / FOLDER
    for name in sorted(files, key=lambda name: name.endswith("-host.js")):  # the host reads what the others say
        folder.mkdir(parents=True, exist_ok=True)
        if not (folder / name).exists():
            (folder / name).write_text(files[name], encoding="utf-8")
        if name.endswith(".css"):
            app.add_css_file(f"{FOLDER}/{name}")
        else:
            app.add_js_file(f"{FOLDER}/{name}", loading_method="defer")


def setup(app: Sphinx) -> ExtensionMetadata:
    """Called by Sphinx."""
    words = (_enter_words, _leave)
    app.add_node(interp_panel, html=(_enter_html, _leave), latex=words, text=words, man=words, texinfo=words)
    app.add_directive("interp-panel", InterpPanel)
    app.add_post_transform(FragmentsInRawHtml)
    app.connect("html-page-context", _add_files)
    return {"version": interp_widgets.__version__, "parallel_read_safe": True, "parallel_write_safe": True}
