"""Two ways to see a panel without JupyterLab: as an exported page, and live in a bare page with a model that records."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from interp_widgets.export import html
from tests.front.live import BLANK, Stage
from tests.front.pages import RECORDER, parts, split


def is_outside(url: str) -> bool:
    return not url.startswith(("blob:", "data:", "file:", "about:"))


@pytest.fixture
def open_page(browser) -> Iterator[Callable]:
    """A page that must log no error and ask nothing of the network."""
    contexts = []
    troubles: list[str] = []

    def open_(width: int = 1200, height: int = 1000, dark: bool = False):
        context = browser.new_context(
            viewport={"width": width, "height": height}, color_scheme="dark" if dark else "light"
        )
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(8000)
        page.on("pageerror", lambda error: troubles.append(f"error: {error}"))
        page.on(
            "console", lambda message: troubles.append(f"console: {message.text}") if message.type == "error" else None
        )
        page.on(
            "request", lambda request: troubles.append(f"request: {request.url}") if is_outside(request.url) else None
        )
        return page

    yield open_
    for context in contexts:
        context.close()
    assert troubles == []


@pytest.fixture(scope="module")
def stage(browser) -> Iterator[Stage]:
    """One page for all tests of a file, which show one widget after the other; it must log no error."""
    context = browser.new_context(viewport={"width": 1200, "height": 1000})
    page, troubles = context.new_page(), []
    page.set_default_timeout(8000)
    page.on("pageerror", lambda error: troubles.append(str(error)))
    page.on("console", lambda message: troubles.append(message.text) if message.type == "error" else None)
    yield Stage(page)
    context.close()
    assert troubles == []


@pytest.fixture
def show_live(open_page) -> Callable:
    """Render a widget in a bare page; `page.evaluate("model.sent")` tells what Python would have got."""

    def show(widget, theme: str = "", **options):
        page = open_page(**options)
        page.set_content(BLANK.format(theme))
        state, buffers = split(widget)
        page.evaluate(
            RECORDER,
            {"esm": widget._esm, "css": widget._css, "state": state, "buffers": buffers, "parts": parts(widget)},
        )
        return page

    return show


@pytest.fixture
def show_saved(open_page, tmp_path: Path) -> Callable:
    """Export widgets and open the file."""

    def show(*widgets, **options):
        page = open_page(**options)
        page.goto(html.to_html(tmp_path / "page.html", *widgets, title="Saved").as_uri())
        page.locator("[data-ready]").nth(len(widgets) - 1).wait_for()
        return page

    return show
