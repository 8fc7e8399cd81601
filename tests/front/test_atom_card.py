"""The card of an atom, the search for atoms, and the effects in the list, in a browser."""

from __future__ import annotations

import pytest

from tests.front import states
from tests.front.pages import arrive, settle

pytestmark = pytest.mark.browser

FOUND = {"how": "similar", "about": "By direction.", "rows": [{"atom": 17, "value": 0.5, "detail": "cosine 0.5"}]}


def sent(page) -> list:
    return page.evaluate("model.sent")


def rows(page):
    return page.locator(".iw-examples li")


def test_the_card_says_how_often_and_marks_the_token_at_hand(show_live):
    page = show_live(states.atoms())
    card = page.get_by_label("Atom card")
    assert "fires on 0.5% of the tokens (1 in 204)" in card.text_content()
    assert "active on 1,234 of 250,000 tokens" in card.text_content()
    value = page.locator(".iw-mark-label").text_content()
    assert value.endswith(" here")
    assert value.split()[0] in page.locator(".iw-readout").text_content()
    assert page.locator(".iw-bars rect").count() == 40
    arrive(page, positions=[1])
    assert page.locator(".iw-mark-label").count() == 0, "the atom is silent there"
    arrive(page, atom=-1)
    assert not card.is_visible()


def test_examples_over_the_whole_range_come_first_and_keep_their_groups(show_live):
    page = show_live(states.atoms())
    assert page.get_by_role("tab", name="Whole range").get_attribute("aria-selected") == "true"
    heads = page.locator(".iw-example-group h4").all_text_contents()
    assert heads[0].startswith("9 to 10 3 activations")
    assert len(heads) == 8
    page.get_by_role("tab", name="Strongest").click()
    assert rows(page).count() == 10
    assert rows(page).first.locator(".iw-number").text_content() == "10"
    page.get_by_role("tab", name="At random").click()
    assert rows(page).count() == 3
    page.keyboard.press("ArrowLeft")
    assert rows(page).count() == 10


def test_contexts_come_in_three_sizes(show_live):
    page = show_live(states.atoms())
    page.get_by_role("tab", name="Strongest").click()
    lengths = []
    for size in ("6", "19", "all"):
        page.locator(".iw-card fieldset").get_by_role("radio", name=size, exact=True).click(force=True)
        row = rows(page).nth(1)
        lengths.append(row.locator(".iw-snippet > span").count())
        assert row.locator(".iw-at").text_content() == " word41"
    assert lengths == [6, 19, 52]
    assert "⏎" in rows(page).first.text_content()
    assert states.EVIL[0] in rows(page).first.text_content()
    assert page.evaluate("window.pwned") is None


def test_what_removing_the_atom_does_is_measured_and_direct_weights_are_warned_of(show_live):
    page = show_live(states.atoms())
    card = page.get_by_label("Atom card")
    assert "changes by −0.71 (first order: −0.65, 12% of the effect of all atoms and errors)" in card.text_content()
    cells = page.locator(".iw-changes tbody tr").first.locator("th, td").all_text_contents()
    assert cells == ["are", "62%", "31%"]
    assert "token 4" in page.locator(".iw-changes caption").text_content()
    page.locator(".iw-direct summary").click()
    assert "r = 0.08: at this depth they mean little." in card.text_content()
    good = states.card(2779, 12)
    good["removed"] |= {"agreement": 0.9}
    arrive(page, cards={"2779": good})
    assert "r = 0.9." in card.text_content()
    arrive(page, cards={"2779": {**good, "removed": None}})
    assert "Being measured." in card.text_content()
    arrive(page, cards={"2779": {**good, "removed": {**good["removed"], "active": False, "agreement": None}}})
    assert "does not fire in this text" in card.text_content()


def test_a_neighbour_is_a_press_away_and_without_a_corpus_it_says_what_to_do(show_live):
    page = show_live(states.atoms())
    page.get_by_role("button", name="#2790 0.61").click()
    settle(page)
    assert page.evaluate("model.get('atom')") == 2790
    assert "No corpus has been read." in page.get_by_label("Atom card").text_content()
    assert not page.locator(".iw-examples").is_visible()


def test_an_atom_can_be_pinned_from_its_card(show_live):
    page = show_live(states.atoms())
    page.locator(".iw-card").get_by_role("button", name="unpin").click()
    assert page.evaluate("model.get('atoms')") == [2790]
    page.locator(".iw-card").get_by_role("button", name="pin", exact=True).click()
    assert page.evaluate("model.get('atoms')") == [2790, 2779]


def test_reading_a_corpus_can_be_paused_and_gone_on_with(show_live):
    page = show_live(states.atoms())
    line = page.locator(".iw-corpus")
    assert "250,000 of 1,000,000 tokens, not complete" in line.text_content()
    line.get_by_role("button", name="Read on").click()
    assert sent(page) == [{"type": "read_on"}]
    arrive(
        page,
        corpus_state={
            "name": "speeches",
            "tokens": 300_000,
            "total": None,
            "complete": False,
            "running": True,
            "more": True,
        },
    )
    assert "300,000 tokens" in line.text_content()
    line.get_by_role("button", name="Pause").click()
    assert sent(page)[-1] == {"type": "pause"}
    arrive(
        page,
        corpus_state={
            "name": "speeches",
            "tokens": 400_000,
            "total": 400_000,
            "complete": True,
            "running": False,
            "more": False,
        },
    )
    assert line.get_by_role("button").count() == 0


def test_a_search_asks_for_what_it_needs(show_live):
    page = show_live(states.atoms())
    page.get_by_role("button", name="Find").click()
    assert sent(page)[-1] == {"type": "find", "how": "effect", "query": ""}
    assert not page.locator(".iw-find input").is_visible()
    page.get_by_label("Find atoms").select_option("contrast")
    page.get_by_label("another text").fill("the key is")
    page.keyboard.press("Enter")
    assert sent(page)[-1] == {"type": "find", "how": "contrast", "query": "the key is"}
    arrive(page, found=FOUND)
    found = page.get_by_role("list", name="Atoms found").get_by_role("button")
    assert found.text_content() == "#17 0.5"
    found.click()
    assert page.evaluate("model.get('atom')") == 17


def test_the_list_sorts_by_effect(show_live):
    page = show_live(states.atoms())
    page.get_by_label("Sort by").select_option("effect")
    shown = (
        page.get_by_role("list", name="Active atoms")
        .get_by_role("listitem")
        .locator(".iw-number:last-of-type")
        .all_text_contents()
    )
    values = [abs(float(text.replace("−", "-").replace("+", ""))) for text in shown]
    assert values == sorted(values, reverse=True)
    assert 'log p(" are")' in page.locator(".iw-side").text_content()
    arrive(page, top_effect=b"", error_effect=b"", answered="")
    assert "being computed" in page.locator(".iw-side").text_content()


def test_a_saved_card_answers_and_what_needs_python_is_off(show_saved):
    page = show_saved(states.atoms())
    page.get_by_role("tab", name="Strongest").click()
    assert rows(page).count() == 10
    assert page.get_by_role("button", name="Find").is_disabled()
    assert page.get_by_role("button", name="Read on").is_disabled()
    page.get_by_role("button", name="Colour the text by atom 2790").click()
    page.get_by_text("Not measured before this view was saved.").wait_for()


@pytest.mark.parametrize(
    ("address", "shown"), [("https://example.org/1", True), ("javascript:window.harm = 1", False), ("", False)]
)
def test_only_an_address_of_the_web_is_a_link(show_live, address, shown):
    page = show_live(states.atoms())
    arrive(page, cards={atom: {**card, "link": address} for atom, card in page.evaluate("model.get('cards')").items()})
    links = page.get_by_label("Atom card").locator("a")
    assert [link.is_visible() for link in links.all()] == [shown]
    assert (links.first.get_attribute("href") or "").startswith("javascript") is False
