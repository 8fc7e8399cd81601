"""The patching panel in a browser."""

from __future__ import annotations

import numpy as np
import pytest

from interp_widgets.widgets import wire
from tests.front import states
from tests.front.pages import arrive, settle, split

pytestmark = pytest.mark.browser


def cell(page, row: int, position: int):
    """The cell of a corrupt position; positions 0 to 8 are one column."""
    return page.locator(".iw-row").nth(row + 1).get_by_role("gridcell").nth(max(0, position - 8))


def get(page, name: str):
    return page.evaluate("(name) => model.get(name)", name)


def token(page, side: str, position: int):
    return page.get_by_role("listbox", name=f"{side} tokens").get_by_role(
        "option", name=f"{side} {position}:", exact=False
    )


def test_run_sends_all_four(show_live):
    page = show_live(states.patching())
    page.get_by_label("Answer", exact=True).fill(" Anne")
    page.get_by_label("Answer", exact=True).press("Enter")
    assert page.evaluate("model.sent") == [
        {
            "type": "run",
            "clean": "".join(states.CLEAN),
            "corrupt": "".join(states.CORRUPT),
            "answer": " Anne",
            "foil": " John",
        }
    ]


def test_pairs_stand_over_each_other(show_live):
    page = show_live(states.patching(extra=True))
    above, below = token(page, "clean", 12).bounding_box(), token(page, "corrupt", 13).bounding_box()
    assert above["x"] == below["x"]
    assert page.locator(".iw-pair [data-differs]").count() == 2
    assert token(page, "corrupt", 11).get_attribute("data-unpaired") is not None
    assert "no partner" in page.locator(".iw-note").text_content()


def test_pairing_by_hand_with_mouse_and_keyboard(show_live):
    page = show_live(states.patching(extra=True))
    token(page, "clean", 10).click()
    assert page.get_by_text("Now press the corrupt token").is_visible()
    token(page, "corrupt", 11).click()
    assert page.evaluate("model.sent") == [{"type": "align", "clean": 10, "corrupt": 11}]
    token(page, "clean", 3).focus()
    for key in ["Enter", "ArrowDown", "ArrowRight", "Enter"]:
        page.keyboard.press(key)
    assert page.evaluate("model.sent")[1] == {"type": "align", "clean": 3, "corrupt": 4}
    token(page, "clean", 3).click()
    page.keyboard.press("Escape")
    token(page, "corrupt", 9).click()
    settle(page)
    assert get(page, "positions") == [9]
    page.get_by_role("button", name="Unpair").click()
    page.get_by_role("button", name="Reset pairs").click()
    assert page.evaluate("model.sent")[2:] == [{"type": "unalign", "corrupt": 9}, {"type": "reset_alignment"}]


def test_cells_say_why_they_have_no_value(show_live):
    page = show_live(states.patching(done=12, extra=True))
    assert cell(page, 3, 2).get_attribute("data-state") == "unaffected"
    assert cell(page, 3, 2).text_content() == "0"
    assert "0 by causality" in cell(page, 3, 2).get_attribute("title")
    heads = page.get_by_role("columnheader").all_text_contents()
    assert heads[:3] == ["layer", "0–8", "·Mary"]
    assert (
        page.get_by_role("columnheader")
        .nth(1)
        .get_attribute("title")
        .startswith("Positions 0 to 8: same in both prompts")
    )
    assert cell(page, 3, 11).get_attribute("data-state") == "unaligned"
    assert cell(page, 12, 9).get_attribute("data-state") == "pending"
    assert cell(page, 11, 9).get_attribute("data-state") is None


def test_columns_of_equal_tokens_are_one_and_selection_stays_right(show_live):
    page = show_live(states.patching())
    cell(page, 4, 9).focus()
    page.keyboard.press("ArrowLeft")
    assert "positions 0 to 8" in page.locator(".iw-readout").text_content()
    page.keyboard.press("Enter")
    settle(page)
    assert get(page, "positions") == list(range(9))
    assert get(page, "cell") == []
    assert page.locator(".iw-column-head[data-selected]").all_text_contents() == ["0–8"]
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    settle(page)
    assert get(page, "cell") == ["resid_post", 4, 9]
    assert page.locator(".iw-column-head[data-selected]").all_text_contents() == ["·Mary"]
    arrive(page, positions=[3], cell=["resid_post", 4, 3])
    assert cell(page, 4, 3).get_attribute("aria-selected") == "true"
    assert page.locator(".iw-column-head[data-selected]").all_text_contents() == ["0–8"]


def test_equal_prompts_keep_their_columns(show_live):
    page = show_live(states.patching(unaffected=[]))
    heads = page.get_by_role("grid").get_by_role("columnheader")
    assert heads.count() == 15
    arrive(page, unaffected=list(range(14)))
    assert heads.count() == 15
    arrive(page, unaffected=[0, 1, 5])
    assert heads.count() == 14


def test_columns_get_the_room(show_live):
    page = show_live(states.patching(), width=848)
    widths = [head.bounding_box()["width"] for head in page.get_by_role("columnheader").all()[2:]]
    assert min(widths) >= 70
    scroll = page.locator(".iw-scroll")
    assert scroll.evaluate("box => box.scrollWidth <= box.clientWidth")
    beside = page.locator(".iw-side").bounding_box()
    assert beside["x"] > scroll.bounding_box()["x"] + scroll.bounding_box()["width"]


def test_filling_touches_only_new_cells(show_live):
    page = show_live(states.patching(done=12))
    page.evaluate("""() => {
      window.touched = new Set();
      new MutationObserver((records) => records.forEach(({ target }) => {
        const cell = (target.nodeType === 1 ? target : target.parentElement).closest("[role=gridcell]");
        if (cell) window.touched.add(cell);
      })).observe(document.querySelector(".iw-grid"), { attributes: true, childList: true, characterData: true, subtree: true });
    }""")
    arrive(page, logit_difference=states.patching(done=13).logit_difference)
    assert page.evaluate("window.touched.size") == 5  # positions 9 to 13 of one layer


def test_tabs_and_metric_switch(show_live):
    page = show_live(states.patching())
    first = cell(page, 5, 9).text_content()
    page.get_by_role("tab", name="Attention output").click()
    settle(page)
    assert get(page, "site") == "attn_out"
    assert cell(page, 5, 9).text_content() != first
    page.keyboard.press("ArrowRight")
    settle(page)
    assert get(page, "site") == "mlp_out"
    assert page.get_by_role("tab", name="MLP output").get_attribute("aria-selected") == "true"
    page.get_by_role("radio", name="recovery").check()
    settle(page)
    assert get(page, "metric") == "recovery"
    assert "1 is the clean run" in page.locator(".iw-legend").text_content()


def test_a_cell_compares_predictions(show_live):
    page = show_live(states.patching())
    cell(page, 10, 9).click()
    settle(page)
    assert get(page, "cell") == ["resid_post", 10, 9]
    assert get(page, "positions") == [9]
    for name in ["clean", "patched", "corrupt"]:
        assert page.get_by_role("list", name=f"Likeliest next tokens, {name}").get_by_role("listitem").count() == 4
    assert page.locator(".iw-values dd").count() == 3


def test_checks_are_shown_and_alarm(show_live):
    page = show_live(states.patching())
    said = page.get_by_role("list", name="Checks").get_by_role("listitem")
    assert said.all_text_contents()[0] == "✓ identity: the largest change is 2e-06 over 9 cells"
    assert page.get_by_role("alert").count() == 0
    arrive(
        page,
        checks=[{"name": "identity", "passed": False, "text": "changed the result by 0.31: do not trust this grid."}],
    )
    assert "do not trust this grid" in page.get_by_role("alert").text_content()


def test_the_direction_is_asked_for_and_the_grid_follows_the_result(show_live):
    page = show_live(states.patching())
    page.get_by_label("corrupt into clean").click(force=True)
    assert page.evaluate("model.sent") == [{"type": "turn", "direction": "noise"}]
    assert page.get_by_label("clean into corrupt").is_checked(), "until the result is there"
    clean = page.evaluate("model.get('clean_tokens')")
    arrive(page, direction="noise", unaffected=[])
    heads = page.get_by_role("grid").get_by_role("columnheader").all_text_contents()
    assert heads[1:] == [token.replace(" ", "·") for token in clean]
    assert "patched minus clean" in page.locator(".iw-legend").text_content()
    cell(page, 4, 9 + 8).hover()  # every column is shown
    assert "corrupt position 9" in page.locator(".iw-readout").text_content()
    token(page, "corrupt", 3).click()
    token(page, "clean", 4).click()
    assert page.evaluate("model.sent")[1] == {"type": "align", "clean": 4, "corrupt": 3}


def test_history_goes_back_and_on_and_renames(show_live):
    page = show_live(states.patching())
    group = page.get_by_role("group", name="History")
    assert group.get_by_role("button", name="Redo").is_disabled()
    group.get_by_role("button", name="Undo").click()
    group.get_by_role("combobox").select_option(label="1:  Mary or John")
    group.get_by_role("button", name="Rename").click()
    assert group.get_by_role("textbox").input_value() == "names swapped"
    group.get_by_role("textbox").fill("the other way")
    group.get_by_role("textbox").press("Enter")
    group.get_by_role("button", name="Rename").click()
    group.get_by_role("textbox").press("Escape")
    assert page.evaluate("model.sent") == [
        {"type": "undo"},
        {"type": "recall", "index": 0},
        {"type": "rename", "name": "the other way"},
    ]
    arrive(page, history=[], history_at=-1)
    assert not group.is_visible()


def test_a_cell_is_put_elsewhere_by_pressing_and_by_dragging(show_live):
    page = show_live(states.patching())
    cell(page, 4, 9).click()
    page.get_by_role("button", name="Put it elsewhere").click()
    assert "goes into, or Escape" in page.locator(".iw-readout").text_content()
    cell(page, 7, 12).click()
    settle(page)
    assert get(page, "origin") == ["resid_post", 4, 9]
    assert get(page, "cell") == ["resid_post", 7, 12]
    assert page.locator("[data-reached]").count() == (30 - 8) * 2, "the layers above, from the position on"
    assert "from Residual stream, layer 4, position 9" in page.locator(".iw-cell-values").text_content()
    page.get_by_role("button", name="Put it back").click()
    settle(page)
    assert get(page, "origin") == []
    assert page.locator("[data-reached]").count() == 0
    cell(page, 2, 10).drag_to(cell(page, 6, 11))
    settle(page)
    assert (get(page, "origin"), get(page, "cell")) == (["resid_post", 2, 10], ["resid_post", 6, 11])
    page.get_by_role("button", name="Put it elsewhere").click()
    page.keyboard.press("Escape")
    assert "goes into" not in page.locator(".iw-readout").text_content()
    cell(page, 3, 9).click()
    settle(page)
    assert get(page, "origin") == [], "a press selects a cell as it is"


def test_positions_are_frozen_and_said(show_live):
    page = show_live(states.patching())
    freeze = page.get_by_role("button", name="Freeze", exact=True)
    assert freeze.is_disabled()
    token(page, "corrupt", 11).click()
    freeze.click()
    settle(page)
    assert get(page, "frozen") == [11]
    assert token(page, "corrupt", 11).get_attribute("data-frozen") is not None
    cell(page, 4, 9).click()
    settle(page)
    assert "held as they were: 11" in page.locator(".iw-cell-values").text_content()
    assert "…" in page.locator(".iw-values").text_content(), "not the grid's value, which is without it"
    place = {"cell": ["resid_post", 4, 9], "origin": ["resid_post", 4, 9], "frozen": [11]}
    effect = {"logit_difference": 1.25, "probability": 0.1, "recovery": None}
    arrive(page, patch={"place": place, "effect": effect, "top": [], "said": {}})
    assert page.locator(".iw-values dd").all_text_contents() == ["+1.25", "+10%", "–"]
    token(page, "corrupt", 11).click()
    page.get_by_role("button", name="Unfreeze").click()
    settle(page)
    assert get(page, "frozen") == []


def test_how_each_run_goes_on(show_live):
    page = show_live(states.patching())
    assert not page.get_by_text("How it goes on").is_visible()
    cell(page, 4, 9).click()
    settle(page)
    said = page.locator(".iw-said dd")
    assert said.all_text_contents() == ["…", "…", "…"]
    place = {"cell": ["resid_post", 4, 9], "origin": ["resid_post", 4, 9], "frozen": []}

    def tokens(*texts):
        return [{"token_id": i, "token": text, "probability": 0.5} for i, text in enumerate(texts)]

    runs = {"clean": tokens(" Mary", "."), "patched": tokens(*states.EVIL), "corrupt": tokens(" John", "\n")}
    arrive(page, patch={"place": place, "said": runs})
    assert said.all_text_contents() == [" Mary.", "".join(states.EVIL), " John⏎\n"]
    assert page.evaluate("window.pwned") is None
    arrive(page, patch={"place": {**place, "frozen": [3]}, "said": runs})
    assert said.all_text_contents() == ["…", "…", "…"], "another run's words are not shown"
    arrive(page, patch={"place": place, "failed": True})
    assert said.all_text_contents() == ["–", "–", "–"]


def test_inconsistent_states_do_not_break_it(show_live):
    page = show_live(states.patching())
    arrive(page, corrupt_tokens=["a", "b"], alignment=[[50, 60], [1, 1]], cell=["resid_post", 3, 99])
    arrive(page, clean_tokens=[], sites=[], site="", layers=[], logit_difference=b"")
    arrive(page, baselines={}, checks=[], history=[], patch={}, scales={}, vocabulary=[])
    arrive(page, **split(states.patching())[0])
    assert page.get_by_role("grid").is_visible()


def test_without_a_kernel(show_saved):
    page = show_saved(states.patching(positions=[9]))
    assert page.get_by_role("button", name="Unpair").is_disabled()
    assert page.get_by_role("button", name="Reset pairs").is_disabled()
    token(page, "clean", 3).click()
    assert page.get_by_text("Now press").count() == 0
    page.get_by_role("tab", name="MLP output").click()
    page.get_by_role("tabpanel", name="MLP output").wait_for()
    cell(page, 2, 10).click()
    page.get_by_text("Effect of patching layer 2, position 10").wait_for()
    assert not page.get_by_text("How it goes on").is_visible(), "nothing is promised that nobody computes"
    for name in ("Undo", "Rename", "Freeze", "Put it elsewhere…"):
        assert page.get_by_role("button", name=name).is_disabled()
    assert page.get_by_label("corrupt into clean").is_disabled()
    cell(page, 2, 10).drag_to(cell(page, 5, 11))
    settle(page)
    assert not page.get_by_role("button", name="Put it back").is_visible()


def test_empty(show_live):
    page = show_live(states.PatchingWidget())
    assert "Type two prompts" in page.locator(".iw-empty").text_content()


def test_headers_stand_over_their_columns_also_out_of_sight(show_live):
    page = show_live(states.patching(extra=True), width=600)
    for position in (8, 9, 14):
        head = page.get_by_role("columnheader").nth(position - 8 + 1).bounding_box()
        for row in (0, 29):
            box = cell(page, row, position).bounding_box()
            assert (box["x"], box["width"]) == (head["x"], head["width"])


def test_an_estimate_is_marked_until_the_cell_is_computed(show_live):
    estimate = np.full((3, 30, 14), np.nan)
    estimate[0, 12:, 9:] = 1.25
    page = show_live(states.patching(done=12, estimate=wire.float32(estimate)))
    waiting = cell(page, 12, 9)
    assert waiting.get_attribute("data-state") == "estimated"
    assert waiting.inner_text() == "≈+1.25"
    assert "estimated by attribution patching" in waiting.get_attribute("title")
    assert cell(page, 11, 9).get_attribute("data-state") is None
    page.get_by_text("patched minus corrupt · ≈ estimated").wait_for()
    waiting.click()
    page.get_by_text("logit difference ≈+1.25 · estimated").wait_for()
    page.get_by_role("radio", name="P(answer)").check()
    settle(page)
    assert cell(page, 12, 9).get_attribute("data-state") == "pending", "only the logit difference is estimated"


@pytest.mark.parametrize("dark", [False, True])
def test_an_estimate_reads(show_live, dark):
    estimate = np.tile(np.linspace(-4.4, 4.4, 14), (3, 30, 1))
    page = show_live(states.patching(done=0, estimate=wire.float32(estimate)), theme="dark" if dark else "light")
    inks = page.evaluate(
        "() => [...document.querySelectorAll('.iw-cell[data-state=estimated]')].map((e) => e.style.color)"
    )
    assert len(inks) == 150
    assert all(inks), "each brings the ink of its colour"
