"""The Shift panel in a browser."""

from __future__ import annotations

import pytest

from interp_widgets.widgets.front import FRONT
from tests.front import states
from tests.front.pages import settle

pytestmark = pytest.mark.browser


def get(page, name: str):
    return page.evaluate("(name) => model.get(name)", name)


def rows(page):
    return page.locator(".iw-shift-list li")


def test_a_box_strikes_an_atom_out_and_a_press_shows_its_texts(show_live):
    page = show_live(states.shift())
    assert "2 of 6 struck out" in page.locator(".iw-tools").first.text_content()
    rows(page).nth(3).locator("input").check()
    settle(page)
    assert get(page, "struck") == ["resid_post.1/101", "resid_post.2/102", "resid_post.0/103"]
    assert get(page, "node") == "resid_post.0/100", "striking shows nothing else"
    rows(page).nth(1).locator("input").uncheck()
    settle(page)
    assert get(page, "struck") == ["resid_post.2/102", "resid_post.0/103"]
    rows(page).nth(4).locator(".iw-number").click()
    settle(page)
    assert get(page, "node") == "resid_post.1/104"
    assert page.get_by_role("heading", name="Atom #104 resid_post.1").is_visible()
    page.get_by_role("button", name="Strike none").click()
    settle(page)
    assert get(page, "struck") == []
    assert page.get_by_role("button", name="Compare").is_disabled(), "there is nothing to compare"


def test_texts_are_shaded_and_say_what_they_are_of(show_live):
    page = show_live(states.shift())
    first = page.locator(".iw-shift-texts li").first
    assert first.locator(".iw-shift-label").text_content() == "nurse · she"
    said = first.locator(".iw-snippet").text_content()
    assert said == "<s> mary lives in <img src=x onerror=window.pwned=3> . she is a"
    assert page.evaluate("window.pwned") is None
    assert first.locator("[title='2']").text_content() == "she"
    assert first.locator(".iw-snippet [style]").count() == 2


def test_the_table_has_a_row_for_each_probe_with_its_intervals(show_live):
    page = show_live(states.shift())
    heads = page.locator(".iw-shift-table thead th").all_text_contents()
    assert heads[:4] == ["probe", "struck", "nurse or professorn = 40", "she or hen = 40"]
    row = page.locator("tr[data-condition='struck']")
    assert row.locator("td").all_text_contents()[:3] == ["2", "80%70 to 90%", "60%50 to 70%"]
    page.get_by_role("button", name="Compare").click()
    assert page.evaluate("model.sent.at(-1)") == {"type": "compare"}


def test_a_saved_page_shows_all_of_it_and_offers_nothing(show_saved):
    page = show_saved(states.shift())
    assert rows(page).nth(1).locator("input").is_disabled()
    assert rows(page).nth(1).locator("input").is_checked()
    rows(page).nth(2).locator("button").click()
    settle(page)
    assert page.get_by_role("heading", name="Atom #102 resid_post.2").is_visible()


def test_nothing_measured_is_said(show_live):
    idle = {"state": "idle", "message": "", "done": 0, "total": 0, "seconds": 0.0}
    page = show_live(states.shift(atoms=0, status=idle))
    assert page.locator(".iw-empty").text_content() == "Nothing is measured yet. Press Run."


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_a_narrow_cell_hides_nothing(show_live, theme):
    page = show_live(states.shift(), theme=theme, width=600)
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")


def test_files_are_short():
    assert all(len(path.read_text(encoding="utf-8").splitlines()) <= 270 for path in FRONT.glob("shift*.js"))
