"""Attention in a browser: choosing heads, the lock between queries and keys, ranges, and long texts."""

from __future__ import annotations

import numpy as np
import pytest

from interp_widgets.widgets import wire
from interp_widgets.widgets.attention import AttentionWidget
from tests.front import states
from tests.front.pages import arrive, settle

pytestmark = pytest.mark.browser


def get(page, name: str):
    return page.evaluate("(name) => model.get(name)", name)


def sent(page) -> list:
    return page.evaluate("model.sent")


def heads(page):
    return page.get_by_role("listbox", name="Heads")


def queries(page):
    return page.get_by_role("listbox", name="Queries").get_by_role("option")


def keys(page):
    return page.get_by_role("listbox", name="Keys").get_by_role("option")


def names(page) -> list[str]:
    return heads(page).locator("[role=option] > span").all_text_contents()


def coloured(options) -> list[int]:
    """Positions of the tokens that have a colour."""
    return options.evaluate_all("all => all.flatMap((e, i) => (e.style.backgroundColor ? [i] : []))")


def readout(page) -> str:
    return page.locator(".iw-readout").text_content()


def test_every_head_is_there_and_named(show_live):
    page = show_live(states.attention())
    assert heads(page).get_by_role("option").count() == 24
    assert names(page)[:5] == ["L0 H0", "L0 H1", "L0 H2", "L0 H3", "L1 H0"]
    assert heads(page).get_by_role("group").count() == 6
    chosen = heads(page).locator("[aria-selected=true]")
    assert chosen.get_attribute("aria-label") == "L2 H1"
    assert page.get_by_role("heading", name="Layer 2, head 1").count() == 1


def test_thumbnails_are_drawn_below_their_diagonal_in_both_themes(show_live):
    page = show_live(states.attention())
    size, below, above, gap, dark = page.evaluate(
        """() => {
          const canvas = document.querySelectorAll(".iw-head-card canvas")[1];
          const at = (x, y) => [...canvas.getContext("2d").getImageData(x, y, 1, 1).data];
          return [canvas.width, at(0, 1), at(5, 1), at(10, 5), at(11, 1)];
        }"""
    )
    assert size == 2 * 10 + 1
    assert below[3] == dark[3] == 255
    assert sum(below[:3]) < 200, "much is dark on a light page"
    assert sum(dark[:3]) > 450, "and light on a dark one"
    assert above[3] == gap[3] == 0


def test_sorting_puts_the_largest_score_first_and_says_it(show_live):
    page = show_live(states.attention())
    page.get_by_label("Heads by").select_option("induction")
    settle(page)
    assert get(page, "sort") == "induction"
    assert names(page)[:2] == ["L5 H3", "L5 H2"]
    assert heads(page).get_by_role("option").first.get_attribute("aria-label") == "L5 H3 0.96"
    page.get_by_label("Heads by").select_option("previous_token")
    settle(page)
    assert names(page)[:2] == ["L0 H0", "L0 H1"]
    page.get_by_label("Heads by").select_option("effect")  # of no head: the order of the layers, and dashes
    settle(page)
    assert names(page)[:2] == ["L0 H0", "L0 H1"]
    assert heads(page).locator("small").first.text_content() == "–"


def test_effects_are_sorted_by_size_and_shown_with_their_sign(show_live):
    scores = np.zeros((6, 2, 2))
    scores[5] = [[0.5, -3.0], [1.0, np.nan]]
    page = show_live(
        states.attention(layers=2, heads=2, head=(0, 1), scores=wire.float32(scores), sort="effect", effect_of="it")
    )
    assert names(page) == ["L0 H1", "L1 H0", "L0 H0", "L1 H1"]
    assert heads(page).locator("small").all_text_contents() == ["−3.00", "+1.00", "+0.50", "–"]


def test_pressing_a_head_chooses_it_and_python_is_told(show_live):
    page = show_live(states.attention())
    heads(page).get_by_role("option").nth(14).click()
    settle(page)
    assert get(page, "head") == [3, 2]
    assert page.get_by_role("heading", name="Layer 3, head 2").count() == 1
    assert page.locator(".iw-attention-shown[data-stale]").count() == 1, "the patterns of layer 3 are not there yet"
    arrive(page, loaded=3, patterns=states.attention().patterns)
    assert page.locator(".iw-attention-shown[data-stale]").count() == 0


def test_heads_by_keyboard(show_live):
    page = show_live(states.attention())
    heads(page).locator("[aria-selected=true]").focus()
    for key in ("ArrowRight", "ArrowDown", "ArrowLeft"):
        page.keyboard.press(key)
    assert page.evaluate("document.activeElement.getAttribute('aria-label')") == "L3 H1"
    assert get(page, "head") == [2, 1], "moving chooses nothing"
    page.keyboard.press("Enter")
    settle(page)
    assert get(page, "head") == [3, 1]
    page.keyboard.press("Home")
    assert page.evaluate("document.activeElement.getAttribute('aria-label')") == "L0 H0"
    page.keyboard.press("End")
    assert page.evaluate("document.activeElement.getAttribute('aria-label')") == "L5 H3"
    assert heads(page).locator("[tabindex='0']").count() == 1


def test_at_rest_the_last_query_colours_the_keys(show_live):
    page = show_live(states.attention())
    assert coloured(keys(page)) == list(range(1, 10)), "key 0 is left out"
    assert coloured(queries(page)) == []
    assert "Query 9" in readout(page)
    assert "attends most to 8" in readout(page)
    assert "the last query" in readout(page)


def test_pointing_at_a_query_colours_the_keys_and_pointing_at_a_key_the_queries(show_live):
    page = show_live(states.attention())
    queries(page).nth(4).hover()
    assert coloured(keys(page)) == [1, 2, 3, 4]
    assert readout(page).startswith('Query 4 " in" attends most to 3 " is" 9')
    assert queries(page).nth(4).get_attribute("data-source") == ""
    keys(page).nth(6).hover()
    assert coloured(queries(page)) == [6, 7, 8, 9]
    assert coloured(keys(page)) == []
    assert sent(page) == []
    assert page.evaluate("model.saved") == []


def test_a_press_locks_and_hover_then_adds_the_other_side(show_live):
    page = show_live(states.attention())
    queries(page).nth(7).click()
    settle(page)
    assert get(page, "positions") == [7]
    page.get_by_role("heading").first.hover()
    assert coloured(keys(page)) == [1, 2, 3, 4, 5, 6, 7]
    keys(page).nth(6).hover()
    assert coloured(keys(page)) == [1, 2, 3, 4, 5, 6, 7], "the lock stays"
    assert readout(page).startswith('Query 7 " of" → key 6 " city": 9')
    keys(page).nth(6).click()
    settle(page)
    assert get(page, "key_positions") == [6]
    page.get_by_role("heading").first.hover()
    assert readout(page).startswith('Query 7 " of" → key 6 " city"')
    keys(page).nth(6).click()
    queries(page).nth(7).click()
    settle(page)
    assert (get(page, "positions"), get(page, "key_positions")) == ([], [])


def test_a_key_after_the_query_is_said_to_be_out_of_sight(show_live):
    page = show_live(states.attention(positions=[2]))
    keys(page).nth(5).hover()
    assert "comes before key 5" in readout(page)


def test_the_pattern_answers_pointer_and_keys(show_live):
    page = show_live(states.attention())
    field = page.locator(".iw-pattern-field")
    box = field.bounding_box()
    cell = box["width"] / 10
    assert box["height"] == pytest.approx(box["width"])
    page.mouse.move(box["x"] + 3.5 * cell, box["y"] + 4.5 * cell)
    assert readout(page).startswith('Query 4 " in" → key 3 " is": 9')
    page.mouse.click(box["x"] + 3.5 * cell, box["y"] + 4.5 * cell)
    settle(page)
    assert (get(page, "positions"), get(page, "key_positions")) == ([4], [3])
    assert page.locator(".iw-pattern-selected").count() == 2
    page.mouse.move(box["x"] + 8.5 * cell, box["y"] + 1.5 * cell)  # above the diagonal there is nothing
    assert readout(page).startswith('Query 4 " in" → key 3')
    page.locator(".iw-pattern-scroll").focus()
    page.keyboard.press("ArrowUp")
    assert readout(page).startswith("Query 8")
    page.keyboard.press("End")
    assert readout(page).startswith('Query 8 "</script>')
    page.keyboard.press("Enter")
    settle(page)
    assert (get(page, "positions"), get(page, "key_positions")) == ([8], [8])
    page.keyboard.press("Enter")
    settle(page)
    assert get(page, "positions") == []


def test_labels_stand_over_their_columns(show_live):
    page = show_live(states.attention(), width=600)
    offsets = page.evaluate(
        """() => {
          const centre = (e) => { const box = e.getBoundingClientRect(); return box.left + box.width / 2; };
          const field = document.querySelector(".iw-pattern-field").getBoundingClientRect();
          return [...document.querySelectorAll(".iw-pattern-keys span")].map(
            (e, i) => centre(e) - field.left - (i + 0.5) * field.width / 10);
        }"""
    )
    assert len(offsets) == 10
    assert max(map(abs, offsets)) < 1.5


def test_ranges_of_queries_and_keys_are_separate(show_live):
    page = show_live(states.attention())
    page.get_by_label("Queries from position").fill("4")
    page.get_by_label("Queries from position").press("Enter")
    settle(page)
    assert (get(page, "query_range"), get(page, "key_range")) == ([4, 10], [])
    page.get_by_label("Keys to position").fill("6")
    page.get_by_label("Keys to position").press("Tab")
    settle(page)
    assert get(page, "key_range") == [0, 7]
    size = page.evaluate(
        "(([a, b]) => [a, b])([...document.querySelectorAll('.iw-pattern-field canvas')].map((c) => [c.width, c.height]).flat())"
    )
    assert size == [2 * 7 + 1, 6]
    assert "on the keys shown" in readout(page)
    assert queries(page).nth(3).get_attribute("data-outside") == ""
    page.get_by_label("Queries from position").fill("999")
    page.get_by_label("Queries from position").press("Enter")
    settle(page)
    assert get(page, "query_range") == [9, 10]
    page.get_by_role("button", name="All").click()
    settle(page)
    assert (get(page, "query_range"), get(page, "key_range")) == ([], [])
    assert page.get_by_label("Keys to position").input_value() == "9"


def test_leaving_out_position_0_is_a_choice(show_live):
    page = show_live(states.attention(head=(2, 0)))
    leave = page.get_by_role("button", name="Leave out position 0")
    assert leave.get_attribute("aria-pressed") == "true"
    assert page.locator(".iw-pattern-hatch").is_visible()
    high = page.locator(".iw-legend span").nth(2)
    before = high.text_content()
    leave.click()
    settle(page)
    assert get(page, "leave_first") is False
    assert page.locator(".iw-pattern-hatch").is_hidden()
    assert (before, high.text_content())[1] == "100%"
    assert before != "100%"
    assert 0 in coloured(keys(page))


def test_value_weights_replace_the_weights_once_they_are_there(show_live):
    page = show_live(states.attention(positions=[7], key_positions=[6]))
    page.get_by_role("button", name="Value-weighted").click()
    settle(page)
    assert get(page, "value_weighted") is True
    assert page.locator(".iw-attention-shown[data-stale]").count() == 1
    arrive(page, valued=2)
    assert page.locator(".iw-attention-shown[data-stale]").count() == 0
    assert "times |v W_O| 2." in readout(page)
    assert "weight × |v W_O|" in page.locator(".iw-legend").text_content()


def test_measuring_an_effect_asks_python_and_sorts_by_it(show_live):
    page = show_live(states.attention())
    page.get_by_label("Answer").fill(" Paris")
    page.get_by_label("Foil").fill(" London")
    page.get_by_role("button", name="Measure effect").click()
    assert sent(page) == [{"type": "effect", "answer": " Paris", "foil": " London"}]
    assert get(page, "sort") == "effect"
    arrive(page, effect_of="logit(' Paris') − logit(' London')", answer=" Paris", foil=" London")
    assert "logit(' Paris') − logit(' London')" in page.locator(".iw-effect").text_content()
    page.get_by_label("Answer").fill(" Rome")
    page.get_by_label("Answer").press("Escape")
    assert page.get_by_label("Answer").input_value() == " Paris"


def test_screen_readers_hear_what_a_query_attends_to(show_live):
    page = show_live(states.attention())
    said = queries(page).nth(4).get_attribute("aria-label")
    assert said.startswith('token 4: " in", attends most to 3 " is" 9')
    assert page.get_by_role("grid").get_attribute("aria-label").startswith("Attention of layer 2, head 1")


def test_tokens_are_only_ever_text(show_live):
    page = show_live(states.attention())
    assert page.locator("section.iw script, section.iw img").count() == 0
    assert page.evaluate("window.pwned") is None


def test_empty_loading_and_error(show_live):
    page = show_live(AttentionWidget())
    assert "Type a text above" in page.locator(".iw-empty").text_content()
    arrive(page, status={"state": "running", "message": "layers", "done": 1, "total": 6, "seconds": 0.1})
    assert page.locator(".iw-empty[data-loading]").count() == 1
    arrive(page, status={"state": "error", "message": "", "done": 0, "total": 0, "seconds": 0.1},
           error="This model does not return attention patterns.")  # fmt: skip
    assert "does not return" in page.get_by_role("alert").text_content()
    assert page.get_by_role("button", name="Run").is_enabled()


def test_one_token(show_live):
    page = show_live(states.attention(["a"], layers=1, heads=1, head=(0, 0)))
    assert 'Query 0 "a" attends most to 0 "a" 100%' in readout(page)
    assert page.locator(".iw-pattern-hatch").is_hidden()
    assert page.locator(".iw-pattern-field").bounding_box()["width"] > 10


def test_512_tokens_keep_the_page_small_and_hover_light(show_live):
    page = show_live(states.attention([f" t{i}" for i in range(512)], layers=2, heads=2, head=(1, 1)))
    assert page.evaluate("document.querySelectorAll('section.iw *').length") < 4000
    field = page.locator(".iw-pattern-field").bounding_box()
    assert field["width"] == 3 * 512
    inside = page.locator(".iw-pattern-queries span").count()
    assert 40 < inside < 130
    touched = page.evaluate(
        """() => {
          const strip = document.querySelector("[role=listbox][aria-label^=Queries]");
          const observer = new MutationObserver(() => {});
          observer.observe(document.body, { attributes: true, childList: true, characterData: true, subtree: true });
          strip.children[20].dispatchEvent(new MouseEvent("mouseover", { bubbles: true }));
          observer.takeRecords();
          strip.children[21].dispatchEvent(new MouseEvent("mouseover", { bubbles: true }));
          return observer.takeRecords().length;
        }"""
    )
    assert touched < 60, "of 1,024 tokens only those that change"


def test_a_saved_page_answers_for_what_it_holds_and_says_what_it_lacks(show_saved):
    page = show_saved(states.attention())
    queries(page).nth(4).hover()
    assert coloured(keys(page)) == [1, 2, 3, 4]
    heads(page).get_by_role("option").nth(10).click()  # the same layer
    settle(page)
    assert page.get_by_role("heading", name="Layer 2, head 2").count() == 1
    assert page.locator(".iw-invite").is_hidden()
    heads(page).get_by_role("option").nth(0).click()
    settle(page)
    assert "The patterns of layer 0 are not stored in this page" in page.locator(".iw-invite").text_content()
    assert page.locator(".iw-attention-shown").is_hidden()
    for name in ("Run", "Measure effect", "Value-weighted"):
        assert page.get_by_role("button", name=name).is_disabled()
    page.get_by_label("Heads by").select_option("induction")
    settle(page)
    assert names(page)[0] == "L5 H3"


@pytest.mark.parametrize("width", [600, 900, 1400])
@pytest.mark.parametrize("theme", ["", "dark"])
def test_nothing_sticks_out(show_live, width, theme):
    page = show_live(states.attention(sort="induction"), theme=theme, width=width)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.evaluate(
        "[...document.querySelectorAll('.iw-head-card')].every((e) => e.scrollWidth <= e.clientWidth + 1)"
    )


def test_leaving_takes_every_listener_along(show_live):
    page = show_live(states.attention())
    page.evaluate("controller.abort()")
    assert page.evaluate("model.count()") == 0
