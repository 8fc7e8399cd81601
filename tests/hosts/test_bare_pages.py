"""What hosts do to a view, in a bare page: other addresses, two views of one model, a move, an older host, a strict policy."""

from __future__ import annotations

import base64
import hashlib
import re
from pathlib import Path

import pytest

from interp_widgets.export import to_html
from interp_widgets.widgets import front
from tests.front import states
from tests.front.conftest import open_page as open_page
from tests.front.pages import RECORDER, parts, settle, split
from tests.hosts.modules import PANELS

pytestmark = pytest.mark.browser

BLANK = (
    '<!doctype html><html lang="en"><title>host</title><body><div id="root"></div><div id="other"></div></body></html>'
)

AGAIN = """
async ({ esm, address, host }) => {
  const url = address === "data" ? `data:text/javascript;charset=utf-8,${encodeURIComponent(esm)}`
    : URL.createObjectURL(new Blob([esm], { type: "text/javascript" }));
  const loaded = await import(url);
  const el = document.getElementById("other");
  const { signal } = (window.second = new AbortController());
  await loaded.default.render({ model, el, signal, ...(host ? { host: window.host } : {}) });
  return Object.keys(loaded);
}
"""
"""Draws the widget of a recorder's page once more; without `host` as an anywidget before 0.11 does."""

SAME = """() => {
  const [first, second] = ["root", "other"].map((id) => document.getElementById(id).textContent);
  return first.length > 20 && first === second;
}"""
"""Both views say the same; the explorer's parts come a moment later."""


def show(page, widget) -> None:
    page.set_content(BLANK)
    state, buffers = split(widget)
    recorder = RECORDER.replace("Object.assign(window, {", "Object.assign(window, { host,")
    assert recorder != RECORDER
    page.evaluate(
        recorder, {"esm": widget._esm, "css": widget._css, "state": state, "buffers": buffers, "parts": parts(widget)}
    )


def again(page, widget, address: str = "blob", host: bool = True) -> list[str]:
    names = page.evaluate(AGAIN, {"esm": widget._esm, "address": address, "host": host})
    settle(page)
    return names


@pytest.mark.parametrize("name", PANELS)
def test_a_second_view_from_a_data_address_lives_beside_the_first_and_survives_a_move(open_page, name) -> None:
    """JupyterLab moves outputs in the page, "new view for output" draws a model twice, and some hosts load from data addresses."""
    page, widget = open_page(), PANELS[name]()
    show(page, widget)
    assert again(page, widget, "data") == ["default"]
    page.wait_for_function(SAME)

    page.evaluate("window.kept = document.getElementById('root'); kept.remove()")
    page.evaluate("(error) => model.arrive({ error })", "said while one view was away")
    settle(page)
    page.evaluate("document.body.append(kept)")
    settle(page)
    errors = "all => all.filter((each) => !each.hidden && each.textContent.includes('away')).length"
    assert page.locator(".iw-error").evaluate_all(errors) == 2

    page.evaluate("second.abort()")
    page.evaluate("model.arrive({ error: '' })")
    settle(page)
    left = "document.querySelector('#{} .iw-error').hidden"
    assert page.evaluate(left.format("root")) is True, "the view that is left goes on"
    assert page.evaluate(left.format("other")) is False, "a view that was taken down hears no more"


@pytest.mark.parametrize("name", [name for name in PANELS if name != "explorer"])
def test_a_panel_needs_no_host(open_page, name) -> None:
    page, widget = open_page(), PANELS[name]()
    show(page, widget)
    again(page, widget, host=False)
    page.wait_for_function(SAME)


def test_the_explorer_says_what_it_misses_in_an_older_host(open_page) -> None:
    page, widget = open_page(), states.explorer()
    show(page, widget)
    again(page, widget, host=False)
    other = page.locator("#other")
    assert "anywidget is older than 0.11" in other.get_by_role("alert").last.inner_text()
    assert "iw.Lens" in other.inner_text()


def test_no_rule_of_the_stylesheet_reaches_the_rest_of_the_page(open_page) -> None:
    page = open_page()
    page.set_content(BLANK)
    page.add_style_tag(content=front.stylesheet())
    selectors = page.evaluate("""() => {
      const found = [];
      const visit = (rules) => { for (const rule of rules) {
        if (rule.selectorText) found.push(rule.selectorText); else if (rule.cssRules && !rule.name) visit(rule.cssRules);
      } };
      visit(document.styleSheets[0].cssRules);
      return found;
    }""")
    assert len(selectors) > 100
    assert [each for each in selectors if not re.match(r"(?:[^,(]|\([^)]*\))*\.iw\b|.*\.iw-", each)] == []


# Content policies


def policy(page: str) -> str:
    """The least that a page of `to_html` needs: its own script and styles by their hashes, and modules from blobs."""

    def hashes(tag: str) -> str:
        texts = re.findall(rf"<{tag}[^>]*>(.*?)</{tag}>", page, re.S)
        return " ".join(f"'sha256-{base64.b64encode(hashlib.sha256(t.encode()).digest()).decode()}'" for t in texts)

    scripts = re.search(r'<script type="module"[^>]*>(.*?)</script>', page, re.S)
    assert scripts
    script = base64.b64encode(hashlib.sha256(scripts[1].encode()).digest()).decode()
    return f"default-src 'none'; script-src 'sha256-{script}' blob:; style-src {hashes('style')}"


@pytest.fixture
def saved(tmp_path) -> Path:
    """A page with every panel."""
    return to_html(tmp_path / "page.html", *(make() for make in PANELS.values()), title="Policy")


COUNT = len(PANELS)


def serve(page, text: str, header: str | None) -> None:
    """Open a page from an address, with a content policy as a server sends it."""
    headers = {"content-type": "text/html; charset=utf-8"} | ({"content-security-policy": header} if header else {})
    page.route("**/*", lambda route: route.fulfill(body=text, headers=headers))
    page.goto("http://page.invalid/")


def test_an_exported_page_works_under_the_least_policy(browser, saved) -> None:
    """No 'unsafe-inline', no address, no picture, no font."""
    page = browser.new_page(viewport={"width": 1200, "height": 1000})
    troubles: list[str] = []
    page.on("console", lambda message: troubles.append(message.text) if message.type in {"error", "warning"} else None)
    page.on("pageerror", lambda error: troubles.append(str(error)))
    text = saved.read_text(encoding="utf-8")
    serve(page, text, policy(text))
    page.locator("[data-ready]").nth(COUNT - 1).wait_for()
    lens = page.locator("section.iw[data-panel=lens]").last
    lens.get_by_role("option").nth(3).click()
    lens.get_by_role("gridcell").last.click()
    page.wait_for_timeout(300)
    painted = lens.get_by_role("gridcell").last.evaluate("e => getComputedStyle(e).backgroundColor")
    assert painted not in {"rgba(0, 0, 0, 0)", "rgb(255, 255, 255)"}, "colours of cells are set by the script"
    page.close()
    assert troubles == []


@pytest.mark.parametrize(("without", "what"), [(" blob:", "blob"), ("'sha256-", "script")])
def test_less_than_that_is_not_enough(browser, saved, without, what) -> None:
    """That the test above can fail, and that no part of the policy is idle."""
    page = browser.new_page()
    text = saved.read_text(encoding="utf-8")
    serve(page, text, policy(text).replace(without, " " if without == " blob:" else "'sha256-0", 1))
    page.wait_for_timeout(1500)
    assert page.locator("[data-ready]").count() == 0
    page.close()


def test_an_exported_page_works_in_a_frame_of_no_origin(browser, saved) -> None:
    """As Colab and VS Code show outputs, and as a site embeds what it does not trust: no storage, no way to the page around."""
    page = browser.new_page(viewport={"width": 1200, "height": 1000})
    troubles: list[str] = []
    page.on("pageerror", lambda error: troubles.append(str(error)))
    page.set_content(
        "<!doctype html><title>around</title><iframe sandbox='allow-scripts' width=1100 height=900></iframe>"
    )
    page.evaluate("(text) => { document.querySelector('iframe').srcdoc = text; }", saved.read_text(encoding="utf-8"))
    frame = page.frame_locator("iframe")
    frame.locator("[data-ready]").nth(COUNT - 1).wait_for()
    frame.locator("section.iw[data-panel=lens]").last.get_by_role("gridcell").last.click()
    assert page.frames[1].evaluate("window.origin") == "null"
    page.close()
    assert troubles == []
