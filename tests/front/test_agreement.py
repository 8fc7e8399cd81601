"""The agreement in a browser: what is shown, what a person can do to it, and what reaches Python."""

from __future__ import annotations

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


def background(at) -> str:
    return at.evaluate("(cell) => getComputedStyle(cell).backgroundColor")


def test_the_result_stands_on_top_in_sentences(show_live):
    page = show_live(states.agreement())
    assert (
        page.locator(".iw-between").text_content()
        == "SmolLM2-135M float32, here and SmolLM2-135M bfloat16, on a server"
    )
    said = page.get_by_role("list", name="Result").get_by_role("listitem")
    assert said.first.text_content() == "Over 30 layers, the top token agrees in 9 of 10 cells (90.0%)."
    assert said.count() == 2
    assert page.get_by_role("grid").get_by_role("rowheader").all_text_contents()[-2:] == ["28", "29 out"]


def test_a_cell_that_differs_is_marked_by_more_than_its_colour(show_live):
    page = show_live(states.agreement())
    assert cell(page, 9, 1).text_content() == "·the 1.0e−6"
    assert cell(page, 9, 2).text_content() == "≈ ·the | ·Paris"
    assert cell(page, 9, 3).text_content() == "≠ ·the | ·Paris"
    assert cell(page, 9, 4).text_content() == "? ·the | ·the"
    states_ = [cell(page, 9, column).get_attribute("data-state") for column in range(6)]
    assert states_ == ["masked", None, "tie", "differs", "undefined", None]
    outlines = [cell(page, 9, c).evaluate("(cell) => getComputedStyle(cell).outlineStyle") for c in (1, 2, 3)]
    assert outlines == ["none", "dotted", "solid"]
    assert "≠ top tokens differ · ≈ near tie" in page.locator(".iw-tools").text_content()


@pytest.mark.parametrize("dark", [False, True])
def test_rounding_looks_calm_and_a_tenth_does_not(show_live, dark):
    """The scale is in the legend; below its low end all cells look alike, and 0.1 is far along it."""
    page = show_live(states.agreement(), theme="dark" if dark else "", dark=dark)
    assert background(cell(page, 9, 1)) == background(cell(page, 9, 2)) == background(cell(page, 9, 3))
    shades = [background(cell(page, 9, column)) for column in (3, 5, 6, 7)]
    assert len(set(shades)) == 4, "0.0001, 0.01, 0.1 and 1"
    legend = page.locator(".iw-legend").text_content()
    assert legend == "≤ 0.00011log scale, the same for every result"


def test_another_quantity_colours_without_python(show_saved):
    page = show_saved(states.agreement())
    before = background(cell(page, 9, 6))
    page.get_by_role("radio", name="logit difference").check()
    page.locator(".iw-legend", has_text="≤ 0.0110").wait_for()
    assert cell(page, 9, 6).text_content() == "·the 1"
    page.get_by_role("radio", name="residual difference").check()
    page.locator(".iw-legend", has_text="≤ 0.00011").wait_for()
    assert background(cell(page, 9, 6)) != before


def test_a_click_lists_both_sides_with_what_each_gives_the_others_tokens(show_live):
    page = show_live(states.agreement(error=0.0004))
    assert page.get_by_role("heading", name="Layer 29 (output), position 9").is_visible(), "at rest, the output"
    cell(page, 12, 3).click()
    settle(page)
    assert (get(page, "cell"), get(page, "positions"), sent(page)) == ([12, 3], [3], [])
    assert page.get_by_role("heading", name="Layer 12, position 3").is_visible()
    assert page.locator(".iw-verdict").text_content() == '≠ The top tokens differ: " the" and " Paris".'
    assert page.locator(".iw-values dd").first.text_content() == "1.0e−4 ± 4.0e−4"
    tables = page.locator(".iw-both table")
    assert page.locator(".iw-both h4").all_text_contents() == get(page, "sides")
    assert tables.nth(0).locator("tbody tr").first.text_content() == "·the50.0%49.0%"
    assert tables.nth(1).locator("tbody tr").first.text_content() == "·Paris50.0%49.0%"
    last = tables.nth(0).locator("tbody tr").last
    assert last.text_content() == "·a<0.1%–", "not among the compared tokens"
    assert last.locator("td").last.get_attribute("title") == "Not among the compared tokens"
    cell(page, 12, 3).click()
    settle(page)
    assert get(page, "cell") == []
    arrive(page, cell=[12, 2], positions=[2])
    assert page.locator(".iw-verdict").text_content().startswith("≈ Near tie")
    arrive(page, cell=[12, 4], positions=[4])
    assert "cannot be compared" in page.locator(".iw-verdict").text_content()
    assert page.locator(".iw-values dd").first.text_content().startswith("–")
    arrive(page, cell=[12, 7], positions=[7])
    assert page.locator(".iw-verdict").text_content() == 'The top token is the same: " the".'


def test_the_cells_to_look_at_first_lead_there_by_mouse_and_keyboard(show_live):
    page = show_live(states.agreement())
    first = page.get_by_role("list", name="Cells to look at first").get_by_role("button")
    assert first.all_text_contents() == [
        "20, 3·the ≠ ·Paris1.0e−4", "5, 3·the ≠ ·Paris1.0e−4", "20, 2·the ≈ ·Paris1.0e−5", "20, 7·the1",
    ]  # fmt: skip
    first.nth(1).focus()
    page.keyboard.press("Enter")
    settle(page)
    assert (get(page, "cell"), get(page, "positions")) == ([5, 3], [3])
    assert first.nth(1).get_attribute("aria-pressed") == "true"
    assert page.evaluate("document.activeElement.dataset.cell") == "5,3", "the keyboard stays where it was"
    page.keyboard.press("Enter")
    settle(page)
    assert get(page, "cell") == []


def test_keyboard_walks_the_grid_and_copies_a_cell(show_live):
    page = show_live(states.agreement())
    cell(page, 0, 0).focus()
    for key in ["ArrowDown", "ArrowRight", "ArrowRight", "ArrowRight", "Enter"]:
        page.keyboard.press(key)
    assert get(page, "cell") == [1, 3]
    copied = page.evaluate("""() => {
      const clipboardData = new DataTransfer();
      document.activeElement.dispatchEvent(new ClipboardEvent("copy", { bubbles: true, cancelable: true, clipboardData }));
      return clipboardData.getData("text/plain");
    }""")
    assert copied == (
        'layer 1, position 3 · SmolLM2-135M float32, here: " the" (id 1000) 0.5 · SmolLM2-135M bfloat16, on a server: '
        '" Paris" (id 1001) 0.5 · top tokens differ · total variation 1.0e−4 · largest logit difference 0.001 · '
        "residual difference 5.0e−5"
    )


def test_hover_tells_nobody(show_live):
    page = show_live(states.agreement())
    cell(page, 20, 5).hover()
    assert "layer 20, position 5" in page.locator(".iw-readout").text_content()
    assert (sent(page), page.evaluate("model.saved")) == ([], [])


def test_window_moves_by_button_and_by_a_token_outside(show_live):
    page = show_live(states.agreement([f" t{i}" for i in range(1000)], width=64, start=128))
    assert "positions 128 to 191 of 1000" in page.locator(".iw-pager").text_content()
    page.get_by_role("button", name="later").click()
    page.get_by_role("option", name="token 990:").click()
    assert [message["start"] for message in sent(page)] == [192, 936]


def test_states(show_live):
    page = show_live(states.AgreementWidget())
    assert "how far the two sessions agree" in page.locator(".iw-empty").text_content()
    arrive(page, status={"state": "running", "message": "reading", "done": 0, "total": 2, "seconds": 0})
    assert page.locator(".iw-empty[data-loading]").count() == 1
    page = show_live(states.agreement())
    arrive(page, error="read this text as different tokens", status={"state": "error", "message": ""})
    assert "different tokens" in page.get_by_role("alert").text_content()
    assert page.get_by_role("grid").is_visible(), "the former result stays"
    arrive(page, cell=[99, 99], worst=[[99, 1]], window=[0, 40], scales={})
    assert not page.get_by_text("Look here first").is_visible()
    arrive(page, top_index=b"", verdict=b"", total_variation=b"", vocabulary=[], sides=[])
    arrive(page, tokens=[], token_ids=[], layers=[], window=[0, 0])
    assert page.locator(".iw-empty").is_visible()
    page.evaluate("controller.abort()")
    assert page.evaluate("model.count()") == 0


def test_tokens_that_look_like_scripts_are_text(show_saved):
    page = show_saved(states.agreement())
    assert page.evaluate("window.pwned") is None
    cell(page, 3, 3).click()
    page.locator(".iw-both tbody th", has_text="</script>").wait_for()
    assert page.get_by_role("button", name="Run", exact=True).is_disabled()


def test_a_new_colour_of_another_quantity_touches_nothing(show_live):
    page = show_live(states.agreement())
    before = page.locator(".iw-grid").inner_html()
    arrive(page, residual_difference=wire.float32([0.5] * 300))
    assert page.locator(".iw-grid").inner_html() == before


@pytest.mark.parametrize("width", [1280, 848, 600, 420])
def test_nothing_is_cut_off(show_live, width):
    page = show_live(states.agreement(), width=width)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    for table in page.locator(".iw-both table").all():
        assert table.evaluate("(table) => table.scrollWidth <= table.clientWidth")
        assert table.evaluate(
            """(table) => [...table.querySelectorAll("td, thead th")].every((each) => each.scrollWidth <= each.clientWidth)"""
        )
    signs = cell(page, 29, 3).locator("span")
    assert signs.text_content().startswith("≠")
