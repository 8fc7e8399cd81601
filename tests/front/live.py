"""One page for many widgets: each is drawn in the place of the one before, which saves the start of a page a hundred times."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tests.front.pages import RECORDER, parts, settle, split

BLANK = '<!doctype html><html lang="en"><head><title>live</title></head><body data-theme="{}"><div id="root"></div></body></html>'


class Stage:
    """A bare page that shows one widget after the other."""

    def __init__(self, page: Any, dark: bool = False) -> None:
        self.page, self.dark = page, dark

    def show(self, widget: Any, before: Callable[[Any], None] | None = None) -> Any:
        """Draw a widget on an empty page; `before` may change the page first."""
        self.page.evaluate("window.controller?.abort()")
        self.page.set_content(BLANK.format("dark" if self.dark else "light"))
        self.page.add_style_tag(content=f"body {{ margin: 8px; background: {'#111' if self.dark else '#fff'}; }}")
        if before is not None:
            before(self.page)
        state, buffers = split(widget)
        self.page.evaluate(
            RECORDER,
            {"esm": widget._esm, "css": widget._css, "state": state, "buffers": buffers, "parts": parts(widget)},
        )
        settle(self.page)
        return self.page
