"""The documentation as a reader has it: no kernel, and no network but the site."""

from __future__ import annotations

import html.parser
import inspect
import re
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

import interp_widgets as iw
from tests.docs_site.conftest import ROOT, ready
from tests.test_docs import PANELS

pytestmark = [pytest.mark.slow, pytest.mark.browser]

LARGEST = 700_000
"""Bytes of a panel's page with everything that it loads, not compressed."""


def test_the_first_screen_is_a_live_panel(site, serve, visit) -> None:
    page = visit(serve(site))
    ready(page)
    grid = page.get_by_role("grid")
    box = grid.bounding_box()
    assert box["y"] > 0
    assert box["y"] + box["height"] <= 800, "the grid ends below the first screen"
    assert "Look inside language models" in page.locator("article p").first.text_content()
    cell = page.get_by_role("gridcell").nth(20)
    cell.click()
    page.locator("[role=gridcell][aria-selected=true]").first.wait_for()
    assert cell.get_attribute("aria-selected") == "true", "what is pressed is what is selected, at this scale too"


@pytest.mark.parametrize("name", PANELS)
def test_the_page_of_a_panel_draws_it_and_it_answers(site, serve, visit, name) -> None:
    page = visit(f"{serve(site)}panels/{name}.html")
    ready(page)
    panel = page.locator("section.iw").first
    before = panel.evaluate("e => e.outerHTML")
    panel.locator(
        "[role=gridcell]:visible, [role=option]:visible, [role=row] button:visible, button:enabled:visible"
    ).last.click()
    page.wait_for_function("([e, b]) => e.outerHTML !== b", arg=[panel.element_handle(), before])
    weight = page.evaluate(
        "() => [...performance.getEntriesByType('resource'), ...performance.getEntriesByType('navigation')]"
        ".reduce((sum, e) => sum + e.decodedBodySize, 0)"
    )
    assert weight < LARGEST


@pytest.mark.parametrize("name", ["start", "patching", "atoms"])
def test_a_tutorial_has_its_panels_and_charts_with_one_library(site, serve, visit, name) -> None:
    page = visit(f"{serve(site)}tutorials/{name}.html")
    ready(page)
    assert page.locator("section.iw").count() >= 2
    charts = page.locator(".iw-vega svg").count()
    large = [
        script for script in page.locator("script[src]").all() if size(site, script.get_attribute("src")) > 300_000
    ]
    assert len(large) == (1 if charts else 0)
    assert page.locator("style[data-iw-style], script[data-iw-module]").count() == 0, "what is shared is in files"
    assert "Traceback" not in page.locator("article").text_content()


def size(site: Path, src: str) -> int:
    return (site / "_static" / src.partition("_static/")[2].partition("?")[0]).stat().st_size


def test_panels_follow_the_switch_of_the_site_and_the_system(site, serve, visit) -> None:
    scheme = "e => getComputedStyle(e).colorScheme"
    page = visit(f"{serve(site)}panels/lens.html", scheme="dark")
    ready(page)
    panel = page.locator("section.iw").first
    assert panel.evaluate(scheme) == "dark"
    seen = set()
    for _ in range(3):
        page.locator(".theme-toggle:visible").first.click()
        theme = page.locator("body").get_attribute("data-theme")
        seen.add(theme)
        assert panel.evaluate(scheme) == {"auto": "dark"}.get(theme, theme)
    assert seen == {"auto", "light", "dark"}


def test_it_works_from_a_folder(site, visit) -> None:
    page = visit((site / "panels" / "lens.html").as_uri())
    ready(page)
    assert page.get_by_role("grid").is_visible()


def test_search_finds_what_pages_say(site, serve, visit) -> None:
    page = visit(f"{serve(site)}search.html?q=attention+sink")
    page.locator("#search-results li a").first.wait_for()
    page.wait_for_function("() => /finished|found/i.test(document.querySelector('#search-results').textContent)")
    found = page.locator("#search-results li > a").all_text_contents()
    assert any("inside" in title or "Audit" in title for title in found), found


@pytest.mark.parametrize("where", ["index", "gallery", "panels/atoms", "api/panels", "tutorials/start"])
@pytest.mark.parametrize("width", [390, 1280])
def test_nothing_is_wider_than_a_phone_or_a_laptop(site, serve, visit, where, width) -> None:
    page = visit(f"{serve(site)}{where}.html", width=width, height=844)
    assert page.evaluate("document.documentElement.scrollWidth") <= width


class _Page(html.parser.HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.links: set[str] = set()
        self.ids: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list) -> None:
        for name, value in attrs:
            if name in ("href", "src") and value:
                self.links.add(value)
            if name == "id" and value:
                self.ids.add(value)


def test_every_link_within_the_site_leads_somewhere(site) -> None:
    pages = {}
    for path in sorted(site.rglob("*.html")):
        pages[path] = _Page()
        pages[path].feed(path.read_text(encoding="utf-8"))
    broken = []
    for path, page in pages.items():
        for link in page.links:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            there = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            if not there.exists() or (
                parts.fragment and there in pages and unquote(parts.fragment) not in pages[there].ids
            ):
                broken.append(f"{path.relative_to(site)}: {link}")
    assert broken == []
    assert len(pages) > 60


def test_nothing_in_the_pages_comes_from_elsewhere(site) -> None:
    loaded = re.compile(
        r"<(?:script|img|iframe|source)[^>]+src=\"(?:https?:)?//|<link[^>]+stylesheet[^>]+href=\"(?:https?:)?//"
    )
    assert [path.name for path in site.rglob("*.html") if loaded.search(path.read_text(encoding="utf-8"))] == []


def test_every_public_name_is_in_the_reference(site) -> None:
    from sphinx.util.inventory import InventoryFile

    with (site / "objects.inv").open("rb") as file:
        inventory = InventoryFile.load(file, "", lambda base, name: name)
    known = {name for kind, names in inventory.items() if kind.startswith("py:") for name in names}
    public = {f"interp_widgets.{name}" for name in iw.__all__ if name not in ("errors", "frames", "methods")}
    public |= {
        f"interp_widgets.methods.{n}" for n, v in vars(iw.methods).items() if inspect.isfunction(v) and n[0] != "_"
    }
    public |= {f"interp_widgets.errors.{n}" for n, v in vars(iw.errors).items() if inspect.isclass(v)}
    assert public - known == set()
    frames = (site / "api" / "frames.html").read_text(encoding="utf-8")
    assert [name for name in vars(iw.frames) if name.isupper() and f">{name}<" not in frames] == []


def test_the_landing_page_is_real(site) -> None:
    """With the model in the cache the results are those of SmolLM2."""
    from interp_widgets.session import known

    name = "smollm2-135m" if known.cached("smollm2-135m") else "toy-grammar"
    assert f'"model_name":"{name}"' in (site / "index.html").read_text(encoding="utf-8")


def test_the_tree_names_no_place_of_this_machine(site) -> None:
    for path in [*site.rglob("*.html"), *site.rglob("*.js")]:
        assert str(ROOT) not in path.read_text(encoding="utf-8"), path
