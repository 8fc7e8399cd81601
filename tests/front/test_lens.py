"""The lens in a browser: what is shown, what a person can do to it, and what reaches Python."""

from __future__ import annotations

import numpy as np
import pytest

from interp_widgets.widgets import wire
from tests.front import states
from tests.front.pages import arrive, settle

pytestmark = pytest.mark.browser


def cell(page, row: int, column: int):
    return page.locator(".iw-row").nth(row + 1).get_by_role("gridcell").nth(column)


def get(page, name: str):
    return page.evaluate("(name) => model.get(name)", name)


def sent(page) -> list:
    return page.evaluate("model.sent")


def test_grid_names_layers_and_tokens(show_live):
    page = show_live(states.lens())
    grid = page.get_by_role("grid")
    assert grid.get_by_role("rowheader").all_text_contents() == [*map(str, range(29)), "29 out"]
    assert grid.get_by_role("columnheader").all_text_contents()[:3] == ["layer", "The", "·Eiffel"]
    assert cell(page, 29, 7).text_content() == "·Paris 65%"


def test_hover_draws_the_line_and_tells_nobody(show_live):
    page = show_live(states.lens())
    cell(page, 20, 5).hover()
    assert page.get_by_role("img").get_attribute("aria-label").startswith("Probability over layers. ·Paris: ")
    assert "layer 20, position 5" in page.locator(".iw-readout").text_content()
    assert sent(page) == []
    assert page.evaluate("model.saved") == []
    page.get_by_role("heading").first.or_(page.locator(".iw-title")).first.hover()
    assert "the model's prediction" in page.locator(".iw-caption").text_content()


HOVER = """() => {
  const cells = [...document.querySelectorAll("[role=gridcell]")].slice(0, 60);
  const touched = [];
  const observer = new MutationObserver((records) => touched.push(...records));
  observer.observe(document.body, { attributes: true, childList: true, characterData: true, subtree: true });
  let most = 0;
  for (const cell of cells) {
    cell.dispatchEvent(new MouseEvent("mouseover", { bubbles: true }));
    touched.push(...observer.takeRecords());
    most = Math.max(most, touched.length);
    touched.length = 0;
  }
  return most;
}"""


def test_hover_touches_as_little_in_a_large_grid_as_in_a_small_one(show_live):
    """Work is counted, not timed: see tests/benchmarks for milliseconds."""
    small = show_live(states.lens()).evaluate(HOVER)
    large = show_live(states.lens([f" t{i}" for i in range(128)])).evaluate(HOVER)
    assert 0 < large <= small + 2
    assert large < 40


def test_click_selects_and_lists_the_top_k(show_live):
    page = show_live(states.lens())
    cell(page, 25, 6).click()
    settle(page)
    assert get(page, "cell") == [25, 6]
    assert get(page, "positions") == [6]
    assert cell(page, 25, 6).get_attribute("aria-selected") == "true"
    entries = page.get_by_role("list", name="Most likely").get_by_role("listitem")
    assert entries.count() == 5
    assert "·Parisid 1003" in entries.nth(0).text_content()
    assert "·Parisid 1009" in entries.nth(1).text_content()  # equal text, another id: another row
    cell(page, 25, 6).click()
    settle(page)
    assert get(page, "cell") == []


def test_pinning_keeps_a_line_and_asks_for_one_that_is_not_stored(show_live):
    page = show_live(states.lens())
    cell(page, 25, 6).click()
    settle(page)
    page.locator(".iw-entry").nth(0).click()
    settle(page)
    assert get(page, "pins") == [[6, 1003]]
    assert sent(page) == []
    page.locator(".iw-entry").nth(1).click()
    settle(page)
    assert get(page, "pins") == [[6, 1003], [6, 1009]]
    assert sent(page) == [{"type": "line", "position": 6, "token_id": 1009}]
    arrive(page, extra_lines=[{"position": 6, "token_id": 1009, "token": " Paris", "probability": [0.01] * 30}])
    assert page.locator(".iw-line").count() == 2
    dashes = page.evaluate(
        "[...document.querySelectorAll('.iw-line')].map((line) => getComputedStyle(line).strokeDasharray)"
    )
    assert len(set(dashes)) == 2
    page.get_by_role("button", name="Unpin ·Paris @6").first.click()
    settle(page)
    assert get(page, "pins") == [[6, 1009]]


def test_rank_of_a_token(show_live):
    page = show_live(states.lens(cell=[25, 6]))
    page.get_by_role("button", name="Colour by the rank of ·Paris, id 1009").click()
    assert sent(page) == [{"type": "track", "token_id": 1009}]
    assert get(page, "color") == "rank"
    box = page.get_by_label("Token whose rank colours the grid")
    box.fill(" London")
    box.press("Enter")
    assert sent(page)[1] == {"type": "track", "text": " London"}


def test_ranks_are_never_rounded(show_live):
    ranks = np.full((30, 8), 12_347, "float32")
    page = show_live(states.lens(color="rank", rank=wire.float32(ranks), scales={"rank": [1.0, 123_457.0]}))
    assert cell(page, 3, 3).locator("small").text_content() == "12347"
    assert "123457" in page.locator(".iw-legend").text_content()


def test_colours_switch_without_python(show_saved):
    page = show_saved(states.lens())
    before = cell(page, 3, 3).get_attribute("style")
    page.get_by_role("radio", name="entropy").check()
    page.locator(".iw-legend", has_text="nats").wait_for()
    assert cell(page, 3, 3).get_attribute("style") != before


def test_keyboard_walks_the_grid(show_live):
    page = show_live(states.lens())
    assert page.locator("[role=gridcell][tabindex='0']").count() == 1
    cell(page, 0, 0).focus()
    for key in ["ArrowDown", "ArrowDown", "ArrowRight", "End", "ArrowLeft", "Enter"]:
        page.keyboard.press(key)
    assert get(page, "cell") == [2, 6]
    page.keyboard.press("Control+End")
    assert "29 (output), position 7" in page.locator(".iw-readout").text_content()


def test_strip_selects_spans_by_keyboard_and_mouse(show_live):
    page = show_live(states.lens())
    options = page.get_by_role("option")
    options.nth(2).click()
    assert get(page, "positions") == [2]
    options.nth(5).click(modifiers=["Shift"])
    assert get(page, "positions") == [2, 3, 4, 5]
    settle(page)
    assert [o.get_attribute("aria-selected") for o in options.all()] == ["false"] * 2 + ["true"] * 4 + ["false"] * 2
    page.keyboard.press("Home")
    page.keyboard.press("Enter")
    assert get(page, "positions") == [0]
    settle(page)
    page.keyboard.press("Shift+ArrowRight")
    assert get(page, "positions") == [0, 1]
    options.nth(4).click()
    settle(page)
    options.nth(4).click()
    assert get(page, "positions") == []


def test_window_moves_by_button_and_by_a_token_outside(show_live):
    tokens = [f" t{i}" for i in range(1000)]
    page = show_live(states.lens(tokens, width=64, start=128))
    assert page.locator(".iw-pager").text_content().count("positions 128 to 191 of 1000") == 1
    page.get_by_role("button", name="later").click()
    page.get_by_role("button", name="earlier").click()
    page.get_by_role("option", name="token 3:").click()
    page.get_by_role("option", name="token 990:").click()
    assert [message["start"] for message in sent(page)] == [192, 64, 0, 936]
    assert page.locator(".iw-strip").bounding_box()["height"] <= 170


def test_prompt_runs_restores_and_survives(show_live):
    page = show_live(states.lens())
    box = page.get_by_label("Prompt", exact=True)
    box.fill("Paris is in\nFrance")
    box.press("Escape")
    assert box.input_value() == get(page, "text")
    box.fill("Paris is in")
    box.press("Control+Enter")
    assert sent(page) == [{"type": "run", "text": "Paris is in"}]
    arrive(page, error="ModelError: out of memory.", status={"state": "error", "message": "failed"})
    assert box.input_value() == "Paris is in", "a failed run does not lose what was typed"
    assert page.get_by_role("alert").text_content().startswith("ModelError: out of memory.")
    page.get_by_role("button", name="Dismiss").click()
    assert page.get_by_role("alert").count() == 0
    page.get_by_role("button", name="Run", exact=True).click()
    assert len(sent(page)) == 2


def test_keys_do_not_reach_the_notebook(show_live):
    page = show_live(states.lens())
    page.evaluate("document.addEventListener('keydown', (event) => (window.leaked ??= []).push(event.key))")
    page.get_by_label("Prompt", exact=True).press("a")
    page.get_by_role("option").first.press("d")
    cell(page, 1, 1).press("ArrowDown")
    page.get_by_label("Prompt", exact=True).press("Shift+Enter")
    assert page.evaluate("window.leaked ?? []") in ([], ["Shift"])


def test_running_shows_progress_and_cancel_without_a_jump(show_live):
    page = show_live(states.lens())
    place = page.get_by_role("grid").bounding_box()
    arrive(page, status={"state": "running", "message": "layer by layer", "done": 3, "total": 10, "seconds": 1.5})
    assert page.locator(".iw").get_attribute("aria-busy") == "true"
    assert page.get_by_role("progressbar").get_attribute("value") == "3"
    assert "3/10 · 1.5 s" in page.locator(".iw-status").text_content()
    assert page.get_by_role("grid").bounding_box() == place
    page.get_by_role("button", name="Cancel").click()
    assert sent(page) == [{"type": "cancel"}]
    arrive(page, status={"state": "cancelled", "message": "", "done": 3, "total": 10, "seconds": 1.6})
    assert page.locator(".iw").get_attribute("aria-busy") == "false"


def test_empty_and_loading(show_live):
    page = show_live(states.LensWidget())
    assert "Type a prompt" in page.locator(".iw-empty").text_content()
    arrive(page, status={"state": "running", "message": "loading", "done": 0, "total": 0, "seconds": 0})
    assert page.locator(".iw-empty[data-loading]").count() == 1


def test_states_that_do_not_fit_together_do_not_break_it(show_live):
    page = show_live(states.lens())
    arrive(page, tokens=["only", " two"], window=[0, 40], layers=list(range(50)))
    arrive(page, window=[0, 0], top_index=b"", top_probability=b"", lines=b"", lines_index=b"")
    arrive(page, vocabulary=[], vocabulary_ids=[], cell=[99, 99], pins=[[5, 5]], scales={})
    arrive(page, tokens=[], token_ids=[], layers=[])
    assert page.locator(".iw-empty").is_visible()


def test_a_new_trait_redraws_only_what_changed(show_live):
    page = show_live(states.lens())
    page.evaluate("""() => {
      window.touched = 0;
      new MutationObserver((records) => { window.touched += records.length; })
        .observe(document.querySelector(".iw-grid"), { attributes: true, childList: true, characterData: true, subtree: true });
    }""")
    values = np.full((30, 8), 0.1, "float32")
    arrive(page, entropy=wire.float32(values))
    assert page.evaluate("window.touched") == 0  # coloured by probability: entropy is not seen
    arrive(page, positions=[3])
    assert page.evaluate("window.touched") < 20


def test_without_a_kernel(show_saved):
    page = show_saved(states.lens(cell=[25, 6]))
    assert "Saved view" in page.locator(".iw-offline").text_content()
    assert page.get_by_role("button", name="Run", exact=True).is_disabled()
    assert page.get_by_label("Prompt", exact=True).get_attribute("readonly") is not None
    assert page.get_by_role("button", name="Colour by the rank").first.is_disabled()
    stored, not_stored = page.locator(".iw-entry").nth(0), page.locator(".iw-entry").nth(1)
    assert stored.is_enabled()
    assert not_stored.is_disabled()
    assert not_stored.get_attribute("title") == "Needs a running kernel"
    stored.click()
    page.locator(".iw-pins li").wait_for()
    cell(page, 10, 3).click()
    page.get_by_text("Layer 10, position 3", exact=True).wait_for()


def test_tokens_that_look_like_scripts_are_text(show_saved):
    page = show_saved(states.lens([*states.PROMPT, *states.EVIL, "\u2028", "\u202e"]))
    assert page.evaluate("window.pwned") is None
    assert page.get_by_role("option").nth(8).text_content().replace("·", " ") == states.EVIL[0]
    assert page.get_by_role("option").nth(11).text_content() == "\\u202e"


def test_whitespace_is_visible(show_live):
    page = show_live(states.lens(["a", " b", "\n", "\t", "c"]))
    assert page.get_by_role("option").all_text_contents() == ["a", "·b", "⏎", "⇥", "c"]
    tops = [page.get_by_role("option").nth(i).bounding_box()["y"] for i in (0, 3)]
    assert tops[1] > tops[0] + 10
    assert page.get_by_role("option").nth(1).get_attribute("title") == '1: " b", id 101'
    assert "attention sink" in page.get_by_role("option").nth(0).get_attribute("title")


def test_no_listener_is_left_behind(show_live):
    page = show_live(states.lens())
    assert page.evaluate("model.count()") > 0
    page.evaluate("controller.abort()")
    assert page.evaluate("model.count()") == 0


def test_before_any_choice_it_shows_what_the_model_predicts(show_live):
    page = show_live(states.lens())
    assert page.locator(".iw-line").count() == 1
    assert page.locator(".iw-line-rest").count() == 1
    assert page.locator(".iw-caption").text_content() == "·Paris at position 7, the model's prediction"
    assert page.get_by_text("Layer 29 (output), position 7").count() == 1
    page.locator(".iw-entry").first.click()
    settle(page)
    assert get(page, "pins") == [[7, 1003]], "its tokens can be kept as those of a chosen cell"
    cell(page, 20, 5).click()
    page.locator(".iw-title").hover()
    settle(page)
    assert page.locator(".iw-caption").text_content() == "·Paris at position 5"
    assert page.locator(".iw-line-now").count() == 1


@pytest.mark.parametrize(("width", "beside"), [(1280, True), (1160, True), (848, False), (600, False), (420, False)])
def test_side_by_side_only_where_there_is_room(show_live, width, beside):
    page = show_live(states.lens([f" token{i}" for i in range(9)]), width=width)
    grid, chart = page.locator(".iw-scroll").bounding_box(), page.locator(".iw-chart").bounding_box()
    assert (chart["x"] > grid["x"] + grid["width"]) == beside
    assert (chart["y"] > grid["y"] + grid["height"]) != beside
    top = page.get_by_role("list", name="Most likely").bounding_box()
    assert (top["y"] > chart["y"] + chart["height"]) == (beside or width < 560)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    box = page.locator(".iw-scroll")
    assert box.evaluate("box => box.scrollHeight <= box.clientHeight + 1"), "30 layers are seen at once"
    if width >= 600:
        assert box.evaluate("box => box.scrollWidth <= box.clientWidth"), "9 columns fit"


def test_a_percentage_is_shown_where_it_fits(show_live):
    shown = """([row, column]) => {
      const cell = document.querySelectorAll(".iw-row")[row + 1].querySelectorAll(".iw-cell")[column];
      const [token, share] = [cell.firstChild, cell.lastChild];
      return share.offsetTop - cell.offsetTop < 10 && token.scrollWidth <= token.clientWidth;
    }"""
    tokens = [f" t{i}" for i in range(9)]
    assert show_live(states.lens(tokens), width=848).evaluate(shown, [29, 7])
    narrow = show_live(states.lens(tokens), width=600)
    assert not narrow.evaluate(shown, [29, 7]), "·Paris has no room beside it"
    assert cell(narrow, 29, 7).locator("span").evaluate("token => token.scrollWidth <= token.clientWidth")


def test_a_tall_grid_opens_at_the_output_and_follows_the_selection(show_live):
    page = show_live(states.lens([f" t{i}" for i in range(60)], layers=80))
    settle(page)
    page_top = page.evaluate("scrollY")
    box = page.locator(".iw-scroll")
    assert box.evaluate("box => box.scrollTop + box.clientHeight >= box.scrollHeight - 1")
    arrive(page, cell=[3, 50], positions=[50])
    settle(page)
    inside, target = box.bounding_box(), cell(page, 3, 50).bounding_box()
    assert inside["x"] + 52 <= target["x"]
    assert target["x"] + target["width"] <= inside["x"] + inside["width"]
    assert inside["y"] + 22 <= target["y"]
    assert target["y"] + target["height"] <= inside["y"] + inside["height"]
    assert page.evaluate("scrollY") == page_top, "the page stays where it is"


def test_a_cell_tells_all_in_its_tooltip_and_when_copied(show_live):
    page = show_live(states.lens())
    cell(page, 25, 6).hover()
    assert cell(page, 25, 6).get_attribute("title").startswith('layer 25, position 6 · " Paris" (id 1003)')
    cell(page, 25, 6).focus()
    copied = page.evaluate("""() => {
      const clipboardData = new DataTransfer();
      document.activeElement.dispatchEvent(new ClipboardEvent("copy", { bubbles: true, cancelable: true, clipboardData }));
      return clipboardData.getData("text/plain");
    }""")
    assert copied == page.locator(".iw-readout").text_content()
