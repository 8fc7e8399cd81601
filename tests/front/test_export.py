"""The exported page: one file, small, shared parts once, in both themes."""

from __future__ import annotations

import re

import pytest

from interp_widgets.export import fragment, to_html
from tests.front import states

browser_test = pytest.mark.browser


def test_shared_parts_are_written_once():
    page = fragment(states.lens(), states.lens(), states.atoms())
    assert page.count("<style") == 1
    assert len(re.findall("data-iw-module=", page)) == 2 + 1  # two modules, and the host that looks for them
    assert page.count('type="application/x-interp-widget+json">') == 3


def test_a_lens_of_50_tokens_and_30_layers_is_small(tmp_path):
    path = to_html(tmp_path / "lens.html", states.lens([f" token{i}" for i in range(50)], top_k=10, lines=20))
    assert path.stat().st_size < 400_000


def test_nothing_can_end_the_script(tmp_path):
    widget = states.lens([*states.EVIL, "\u2028", "<!--"])
    text = to_html(tmp_path / "x.html", widget, title="</title><script>alert(1)</script>").read_text("utf-8")
    assert "window.pwned" in text
    assert "<script>window" not in text
    assert "<!--" not in text
    assert "\u2028" not in text
    assert "<script>alert" not in text


def test_numbers_that_json_has_not():
    page = fragment(states.lens(scales={"probability": [0.0, float("nan")], "entropy": [0.0, 1.0]}))
    assert "NaN" not in page.split("x-interp-widget+json")[1].split("</script>")[0]
    assert '"probability":[0.0,null]' in page


def test_a_page_saved_while_running_is_at_rest():
    page = fragment(
        states.lens(status={"state": "running", "message": "half way", "done": 1, "total": 2, "seconds": 0.1})
    )
    assert '"state":"running"' not in page


@browser_test
def test_several_panels_share_a_page(show_saved):
    page = show_saved(states.lens(), states.lens(), states.atoms(), states.patching())
    assert page.locator("section.iw").count() == 4
    assert page.title() == "Saved"
    assert page.locator("html").get_attribute("lang") == "en"


@browser_test
def test_fragments_on_one_page_share_what_they_can(open_page, tmp_path):
    path = tmp_path / "docs.html"
    parts = [
        fragment(states.lens(), states.atoms()),
        "<h2>And</h2>",
        fragment(states.lens()),
        fragment(states.lens(positions=[2])),
    ]
    path.write_text(
        "<!doctype html><html lang=en><title>docs</title><meta charset=utf-8>" + "\n".join(parts), encoding="utf-8"
    )
    page = open_page()
    page.add_init_script("""
      window.loaded = 0;
      const create = URL.createObjectURL;
      URL.createObjectURL = (blob) => { window.loaded += 1; return create.call(URL, blob); };
    """)
    page.goto(path.as_uri())
    page.locator("[data-ready]").nth(3).wait_for()
    assert page.locator("section.iw").count() == 4
    assert page.locator("style[data-iw-style]").count() == 1
    assert page.evaluate("window.loaded") == 2, "one module for all lenses, one for the atoms"
    page.locator("section.iw").nth(0).get_by_role("option").nth(4).click()
    chosen = page.locator("[data-panel=lens]").evaluate_all(
        "all => all.map((panel) => panel.querySelectorAll('[role=option][aria-selected=true]').length)"
    )
    assert chosen == [1, 0, 1], "each panel is its own"


@browser_test
@pytest.mark.parametrize("dark", [False, True])
def test_the_page_follows_the_system_until_told(show_saved, dark):
    page = show_saved(states.lens(), dark=dark)
    scheme = "getComputedStyle(document.querySelector('.iw')).colorScheme"
    assert page.evaluate(scheme) == ("dark" if dark else "light")
    page.get_by_role("button", name="Light theme" if dark else "Dark theme").click()
    assert page.evaluate(scheme) == ("light" if dark else "dark")
