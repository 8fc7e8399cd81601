"""The atoms panel in a browser."""

from __future__ import annotations

import pytest

from tests.front import states
from tests.front.pages import arrive, settle

pytestmark = pytest.mark.browser


def get(page, name: str):
    return page.evaluate("(name) => model.get(name)", name)


def entries(page):
    return page.get_by_role("list", name="Active atoms").get_by_role("listitem")


def test_a_token_lists_its_atoms_and_always_what_they_leave(show_live):
    page = show_live(states.atoms())
    assert entries(page).count() == 10
    page.get_by_role("button", name="Show all 21").click()
    assert entries(page).count() == 21
    rest = page.locator(".iw-rest")
    for name in ["bias", "reconstruction error", "|error| / |activation|", "active atoms"]:
        assert rest.get_by_text(name, exact=True).count() == 1
    page.get_by_role("option").nth(2).click()
    page.get_by_role("heading", name='Token 2 " to"').wait_for()
    assert get(page, "positions") == [2]


def test_a_negative_share_is_drawn_as_one(show_live):
    page = show_live(states.atoms())
    assert page.locator(".iw-share span[data-negative]").count() == 1
    assert "−" in entries(page).nth(3).text_content()


def test_choosing_an_atom_colours_the_text(show_live):
    page = show_live(states.atoms(atom=-1))
    assert page.locator(".iw-token[style*=background]").count() == 0
    entries(page).nth(1).locator(".iw-entry").click()
    settle(page)
    atom = get(page, "atom")
    assert atom >= 0
    assert page.locator(".iw-token[style*=background]").count() >= 1
    assert "activation" in page.locator(".iw-legend").text_content()
    assert page.get_by_label("Atom that colours the text").input_value() == str(atom)
    assert entries(page).nth(1).locator(".iw-entry").get_attribute("aria-pressed") == "true"
    entries(page).nth(1).locator(".iw-entry").click()
    assert get(page, "atom") == -1


def test_an_atom_that_is_not_listed_waits_for_python(show_live):
    page = show_live(states.atoms(complete=False))
    page.get_by_label("Atom that colours the text").fill("17")
    page.keyboard.press("Enter")
    settle(page)
    assert get(page, "atom") == 17
    assert page.locator(".iw-chooser .iw-why").text_content() == "#17 is being computed."
    assert page.locator(".iw-token[style*=background]").count() == 0


def test_pins_are_rows(show_live):
    page = show_live(states.atoms())
    assert page.get_by_role("grid").get_by_role("rowheader").count() == 2
    page.get_by_role("button", name="Unpin atom 2790 from the grid").click()
    settle(page)
    assert get(page, "atoms") == [2779]
    entries(page).nth(0).get_by_role("button", name="Pin atom").click()
    settle(page)
    assert page.get_by_role("grid").get_by_role("rowheader").count() == 2
    assert page.evaluate("model.sent") == []


def test_hover_reads_and_tells_nobody(show_live):
    page = show_live(states.atoms())
    page.get_by_role("option").nth(8).hover()
    readout = page.locator(".iw-readout").text_content()
    assert 'token 8 " table"' in readout
    assert "#2779" in readout
    assert "error" in readout
    assert page.evaluate("[model.saved, model.sent]") == [[], []]


def test_run_and_inconsistent_states(show_live):
    page = show_live(states.atoms())
    page.get_by_label("Text", exact=True).fill("Hello")
    page.get_by_role("button", name="Run", exact=True).click()
    assert page.evaluate("model.sent") == [{"type": "run", "text": "Hello", "answer": ""}]
    arrive(page, tokens=["Hello"], positions=[7])
    arrive(page, tokens=["a"] * 40, active=[], norm=b"", pinned_activation=b"", totals={})
    arrive(page, tokens=[])
    assert page.locator(".iw-empty").is_visible()


def test_without_a_kernel(show_saved):
    page = show_saved(states.atoms(complete=False))
    in_page = entries(page).locator(".iw-entry")
    assert all(entry.is_disabled() for entry in in_page.all() if entry.text_content()[:5] not in ("#2779", "#2790"))
    box = page.get_by_label("Atom that colours the text")
    box.fill("17")
    box.press("Enter")
    assert "#17 is not stored here. Needs a running kernel." in page.locator(".iw-chooser .iw-why").text_content()
    page.get_by_role("button", name="Colour the text by atom 2790").click()
    page.wait_for_function("document.querySelector('input[type=number]').value === '2790'")


def test_the_error_stays_in_sight_when_all_atoms_are_listed(show_live):
    page = show_live(states.atoms())
    before = page.locator(".iw-rest").bounding_box()["y"]
    page.get_by_role("button", name="Show all 21").click()
    assert page.locator(".iw-rest").bounding_box()["y"] - before < 30
    entries(page).nth(20).scroll_into_view_if_needed()
    assert page.locator(".iw-rest").bounding_box()["y"] - before < 30


def test_before_a_press_it_invites_to_one(show_live):
    page = show_live(states.atoms(positions=[], atom=-1))
    assert "Press a token" in page.locator(".iw-side .iw-invite").text_content()
    place = page.locator(".iw-strip").bounding_box()
    arrive(page, positions=[4], atom=2779)
    assert not page.locator(".iw-side .iw-invite").is_visible()
    assert page.locator(".iw-strip").bounding_box() == place, "choosing an atom moves nothing"


def test_bars_of_atoms_and_of_the_rest_line_up(show_live):
    page = show_live(states.atoms(), width=848)
    bars = [bar.bounding_box() for bar in page.locator(".iw-share").all()]
    assert len(bars) == 12
    assert len({(round(bar["x"]), round(bar["width"])) for bar in bars}) == 1


def test_scripts_are_text(show_saved):
    page = show_saved(states.atoms())
    assert page.evaluate("window.pwned") is None
