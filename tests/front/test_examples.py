"""A table of examples in a browser, live and saved."""

from __future__ import annotations

import pytest

from tests.front import states
from tests.front.pages import arrive

pytestmark = pytest.mark.browser


def rows(page):
    return page.locator(".iw-examples li")


def test_an_atom_is_chosen_and_its_examples_are_shown(show_live):
    page = show_live(states.examples())
    assert page.get_by_role("button", name="Run").count() == 0
    assert page.get_by_role("combobox", name="Atom").input_value() == "2779"
    assert not page.locator("h3").is_visible(), "the choice says it"
    assert "37 examples" in page.locator(".iw-tools").first.text_content()
    assert page.get_by_role("tab").all_text_contents() == ["Whole range", "Strongest", "At random"]
    page.get_by_role("tab", name="At random").click()
    assert rows(page).count() == 3
    page.get_by_role("combobox", name="Atom").select_option("#12")
    arrive(page)
    assert page.evaluate("model.saved") == ["atom"]
    assert page.get_by_role("tab").all_text_contents() == ["Strongest"]
    assert page.get_by_role("tab").get_attribute("aria-selected") == "true"
    assert page.get_by_role("tabpanel").get_attribute("aria-label") == "Strongest"
    assert rows(page).count() == 10
    assert states.EVIL[0] in rows(page).first.text_content() or "…" in rows(page).first.text_content()
    assert page.evaluate("window.pwned") is None
    arrive(page, atom=3)
    assert page.locator(".iw-empty").text_content() == "Looking it up."
    assert not page.locator(".iw-examples").is_visible()
    arrive(page, stored={"3": states.card(3, 1)["examples"]})
    assert rows(page).count() == 3, "the tab that was chosen comes back"


def test_contexts_and_keys(show_live):
    page = show_live(states.examples(atom=12))
    lengths = []
    for size in ("6", "19", "all"):
        page.get_by_role("radio", name=size, exact=True).click(force=True)
        lengths.append(rows(page).nth(1).locator(".iw-snippet > span").count())
    assert lengths == [6, 19, 52]
    page.get_by_role("combobox", name="Atom").focus()
    page.keyboard.press("ArrowUp")
    arrive(page)
    assert page.get_by_role("tab").count() == 3


def test_a_table_of_one_atom_has_no_choice_and_an_empty_one_says_so(show_live):
    page = show_live(states.examples(atoms=[12], atom=12))
    assert not page.get_by_role("combobox", name="Atom").is_visible()
    assert page.locator("h3").text_content() == "Atom #12"
    page = show_live(states.examples(atoms=[], atom=-1, stored={}))
    assert page.locator(".iw-empty").text_content() == "The table has no examples."


def test_a_saved_table_answers_with_what_it_holds(show_saved):
    page = show_saved(states.examples())
    assert not page.locator(".iw-offline").is_visible(), "nothing here needs a kernel"
    page.get_by_role("combobox", name="Atom").select_option("#12")
    page.get_by_text("10 examples").wait_for()
    assert rows(page).count() == 10
    page.get_by_role("combobox", name="Atom").select_option("#3")
    page.get_by_text("The examples of this atom are not stored here.").wait_for()


def test_it_fits_a_narrow_page(show_saved):
    page = show_saved(states.examples(), width=600)
    assert page.evaluate("document.documentElement.scrollWidth") <= 600
