"""The panel of many pairs in a browser."""

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


def test_the_grid_shows_means_and_hatches_what_may_be_zero(show_live):
    page = show_live(states.pairs())
    assert page.get_by_role("grid").get_by_role("columnheader").all_text_contents()[1:3] == ["·Mary…", "·gave·a·drink"]
    assert cell(page, 0, 0).text_content() == "+1.00"
    assert cell(page, 0, 0).get_attribute("data-state") is None
    assert cell(page, 3, 1).get_attribute("data-state") == "unsure"
    assert (
        "12 pairs · clean prefers the answer in 12, corrupt the foil in 11"
        in page.locator(".iw-of-pairs").text_content()
    )
    assert "hatched: may be zero (q ≥ 0.05)" in page.locator(".iw-legend").text_content()
    cell(page, 0, 0).hover()
    said = page.locator(".iw-readout").text_content()
    assert said.endswith("mean +1.00 [+0.95, +1.05] · p < 0.001, q < 0.001 · random pair +0.20")
    assert cell(page, 3, 1).get_attribute("title") is None


def test_a_cell_is_read_pair_by_pair(show_live):
    page = show_live(states.pairs())
    assert page.get_by_text("Press a cell to see it pair by pair").is_visible()
    cell(page, 4, 1).click()
    settle(page)
    assert get(page, "cell") == ["resid_post", 4, 10]
    assert get(page, "positions") == [10, 11, 12]
    dots = page.get_by_role("listbox", name="Effect of each pair").get_by_role("option", disabled=False)
    assert dots.count() == 11, "one pair has no value"
    dots.nth(3).dispatch_event("click")
    settle(page)
    assert get(page, "pair") == 3
    assert page.locator(".iw-said dd").all_text_contents()[0] == "When name3 and" + states.EVIL[1]
    assert page.evaluate("window.pwned") is None
    dots.nth(3).focus()
    page.keyboard.press("ArrowRight")
    assert page.get_by_role("heading", name="Pair 4").is_visible()
    page.keyboard.press("Enter")
    settle(page)
    assert get(page, "pair") == 4
    assert page.locator(".iw-dots circle.iw-dot-wrong").count() == 12
    cell(page, 4, 1).click()
    settle(page)
    assert page.get_by_role("listbox").count() == 0


def test_without_a_baseline_there_is_none(show_live):
    page = show_live(states.pairs(baseline=False, cell=["resid_post", 2, 9], positions=[9]))
    assert page.locator(".iw-dot-wrong").count() == 0
    assert "random pair" not in page.locator(".iw-values").text_content()


def test_states(show_live):
    page = show_live(
        states.pairs(columns=[], pairs=[], status={"state": "idle", "message": "", "done": 0, "total": 0, "seconds": 0})
    )
    assert page.get_by_text("No pair is patched yet").is_visible()
    page.get_by_role("button", name="Run").click()
    assert page.evaluate("model.sent") == [{"type": "run"}]
    nothing = float("nan")

    page = show_live(
        states.pairs(done=0, mean=wire.float32(np.full((2, 30, 3), nothing)), dots={}, cell=["resid_post", 0, 9])
    )
    assert cell(page, 0, 0).get_attribute("data-state") == "pending"
    assert "0 of 12 pairs so far" in page.locator(".iw-of-pairs").text_content()
    arrive(page, cell=["resid_post", 99, 77], positions=[4], dots={"values": [1, 2]}, sites=[])
    assert page.get_by_role("grid").is_visible()


def test_without_a_kernel(show_saved):
    page = show_saved(states.pairs(cell=["resid_post", 2, 9], positions=[9]))
    assert page.get_by_role("button", name="Run").is_disabled()
    page.get_by_role("tab", name="Attention output").click()
    page.get_by_role("tabpanel", name="Attention output").wait_for()
