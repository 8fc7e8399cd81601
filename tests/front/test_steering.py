"""The steering panel in a browser."""

from __future__ import annotations

from itertools import pairwise

import pytest

from tests.front import states
from tests.front.pages import arrive, settle

pytestmark = pytest.mark.browser


def get(page, name: str):
    return page.evaluate("(name) => model.get(name)", name)


def sent(page):
    return page.evaluate("model.sent")


def strengths(page):
    return page.get_by_role("listbox", name="Strengths").get_by_role("option")


def text(page, name: str):
    return page.get_by_role("region", name=name)


def test_texts_stand_side_by_side_with_what_differs_marked(show_live):
    page = show_live(states.steering())
    steered = text(page, "Steered, strength 20")
    assert steered.locator("[data-differs]").all_text_contents() == [" Rome", " And", " it", states.EVIL[1]]
    assert steered.locator("[data-shared]").all_text_contents() == [".", " is"]
    assert steered.locator("[data-first]").all_text_contents() == [" Rome"]
    assert "first difference at new token 1 · 2 of 6 tokens shared" in steered.text_content()
    assert text(page, "Baseline").locator("[data-differs]").count() == 4
    assert "⏎" in text(page, "Baseline").text_content()
    assert "the same 6 tokens as the baseline" in text(page, "Random direction of the same length").text_content()
    assert page.evaluate("window.pwned") is None
    assert steered.locator("span").nth(0).get_attribute("title") == 'new token 1: " Rome", id 300, 50%'


def test_pressing_a_strength_shows_its_text_and_asks_nothing(show_live):
    page = show_live(states.steering())
    assert strengths(page).count() == 5
    strengths(page).nth(2).click()
    settle(page)
    assert get(page, "strength") == 0
    assert text(page, "Steered, strength 0").locator("[data-differs]").count() == 0
    assert "norm ratio 0 · logit difference −1.00" in page.locator(".iw-dose").text_content()
    strengths(page).nth(2).focus()
    page.keyboard.press("ArrowLeft")
    settle(page)
    assert get(page, "strength") == -20
    page.keyboard.press("End")
    settle(page)
    assert get(page, "strength") == 40
    assert strengths(page).nth(4).evaluate("e => e === document.activeElement")
    assert (
        strengths(page).nth(4).get_attribute("aria-label")
        == "strength 40, norm ratio 0.24: +3.00, random −1.00 [−1.50, −0.50]"
    )
    slider = page.get_by_role("slider", name="Strength")
    slider.focus()
    page.keyboard.press("ArrowLeft")
    settle(page)
    assert get(page, "strength") == 20
    assert slider.get_attribute("aria-valuetext") == "20"
    assert sent(page) == []


def test_another_metric_needs_no_run(show_live):
    page = show_live(states.steering())
    assert page.get_by_text("logit(Paris) − logit(Rome) after the prompt").is_visible()
    before = page.locator(".iw-curve .iw-line").get_attribute("points")
    page.get_by_role("radio", name="fluency").check()
    settle(page)
    assert page.locator(".iw-curve .iw-line").get_attribute("points") != before
    assert "mean log-probability a new token" in page.locator(".iw-caption").text_content()
    assert "−2.00" in page.locator(".iw-dose").text_content()
    assert sent(page) == []


def test_the_line_lies_where_its_numbers_are(show_live):
    page = show_live(states.steering())
    points = [
        tuple(map(float, p.split(","))) for p in page.locator(".iw-curve .iw-line").get_attribute("points").split()
    ]
    assert [round(b[0] - a[0], 1) for a, b in pairwise(points)] == pytest.approx(
        [points[1][0] - points[0][0]] * 4, abs=0.11
    )
    slopes = [b[1] - a[1] for a, b in pairwise(points)]
    assert slopes == pytest.approx([slopes[0]] * 4, abs=0.2)
    assert slopes[0] < 0, "upwards"
    levels = page.locator(".iw-axes line").evaluate_all("all => all.map((e) => Number(e.getAttribute('y1')))")
    value = -6 + 10 * (levels[0] - points[0][1]) / (levels[0] - levels[-1])
    assert value == pytest.approx(-5, abs=0.05)


def test_any_strength_can_be_typed(show_live):
    page = show_live(states.steering())
    typed = page.get_by_role("spinbutton", name="Strength as a number")
    typed.fill("-20")
    typed.press("Tab")
    settle(page)
    assert get(page, "strength") == -20
    typed.fill("33.5")
    typed.press("Tab")
    assert sent(page) == [{"type": "strength", "value": 33.5}]
    typed.fill("")
    typed.press("Tab")
    assert typed.input_value() == "-20"


def test_settings_wait_for_a_run(show_live):
    page = show_live(states.steering())
    page.get_by_role("radio", name="clamp").check()
    page.get_by_role("radio", name="new tokens only").check()
    page.get_by_role("spinbutton", name="Atom that steers").fill("17")
    tokens = page.get_by_role("listbox", name="Steered tokens of the prompt").get_by_role("option")
    tokens.nth(2).click()
    tokens.nth(4).click(modifiers=["Shift"])
    settle(page)
    assert (get(page, "mode"), get(page, "where"), get(page, "atom"), get(page, "positions")) == (
        "clamp",
        "new",
        17,
        [2, 3, 4],
    )
    assert "No token of the prompt is steered" in page.locator(".iw-prompt-tokens").text_content()
    again = page.get_by_role("button", name="Run with these")
    assert again.is_hidden()
    arrive(page, stale=True, where="all")
    assert "3 of 10 tokens steered" in page.locator(".iw-prompt-tokens").text_content()
    assert page.get_by_text("Changed since this was run.").is_visible()
    again.click()
    assert sent(page) == [{"type": "run"}]
    page.get_by_role("spinbutton", name="Atom that steers").press("Enter")
    assert sent(page)[-1] == {"type": "run"}
    site = page.get_by_role("textbox", name="Site")
    site.fill("resid_post.12-17")
    site.press("Enter")
    assert sent(page)[-1] == {
        "type": "run",
        "text": "".join(states.HARMFUL),
        "site": "resid_post.12-17",
        "answer": " Paris",
        "foil": " Rome",
    }


def test_without_a_dictionary_nothing_can_be_ablated(show_live):
    page = show_live(states.steering(atom=-1, atoms=0))
    assert page.get_by_role("spinbutton", name="Atom that steers").count() == 0
    assert page.get_by_role("radio", name="ablate").is_disabled()
    assert page.get_by_role("radio", name="clamp").is_enabled()


def test_empty_loading_partial_and_failed(show_live):
    nothing = {
        "strengths": [],
        "given": b"",
        "random": b"",
        "baseline": [],
        "levels": [],
        "said": {},
        "tokens": [],
        "checks": [],
        "measured": [],
        "norm_ratio": [],
    }
    widget = states.steering(status={"state": "idle", "message": "", "done": 0, "total": 0, "seconds": 0})
    widget.set_traits(nothing)
    page = show_live(widget)
    assert page.get_by_text("Type a prompt above and run it").is_visible()
    arrive(
        page, status={"state": "running", "message": "given direction, token 3", "done": 2, "total": 60, "seconds": 1}
    )
    assert page.locator(".iw-empty[data-loading]").is_visible()
    page.get_by_role("button", name="Cancel").click()
    assert sent(page) == [{"type": "cancel"}]
    page = show_live(
        states.steering(
            randoms=0,
            seeds=[0, 1],
            status={"state": "running", "message": "random directions, token 3", "done": 32, "total": 60, "seconds": 3},
        )
    )
    assert text(page, "Random direction of the same length").locator(".iw-steered-body").text_content() == "…"
    assert page.locator(".iw-curve-band").count() == 1, "only in the legend"
    arrive(page, status={"state": "error", "message": "", "done": 0, "total": 0, "seconds": 0}, error="It broke.")
    assert text(page, "Random direction of the same length").locator(".iw-steered-body").text_content() == "–"
    assert page.get_by_role("alert").text_content().startswith("It broke.")


def test_one_strength_and_very_long_texts_keep_their_shape(show_live):
    many = [{"token": f" word{i}", "token_id": i, "probability": 0.1} for i in range(400)]
    one = {"tokens": many, "differs": [True] * 400, "baseline_differs": [True] * 400, "first": 0, "shared": 0}
    page = show_live(
        states.steering(strengths=(5,), randoms=1, said={"baseline": many, "given": [one], "random": [one], "gap": ""}),
        width=600,
    )
    assert strengths(page).count() == 1
    assert page.locator(".iw-curve-mean").count() == 1, "one point is no line"
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert text(page, "Baseline").locator(".iw-steered-body").evaluate("e => e.clientHeight") <= 262
    page = show_live(states.steering(strengths=tuple(range(-30, 31))))
    labels = page.locator(".iw-curve text.iw-curve-at, .iw-curve > text").evaluate_all(
        "all => all.map((e) => e.getBoundingClientRect()).map((r) => [r.top, r.left, r.right])"
    )
    rows: dict[int, list] = {}
    for top, left, right in labels:
        rows.setdefault(round(top), []).append((left, right))
    assert all(a[1] <= b[0] for row in rows.values() for a, b in pairwise(sorted(row))), "labels do not touch"


def test_a_saved_page_answers_what_it_stores(show_saved):
    page = show_saved(states.steering())
    strengths(page).nth(0).click()
    text(page, "Steered, strength −40").wait_for()
    page.get_by_role("radio", name="KL").check()
    page.get_by_text("KL(baseline ‖ this run)").wait_for()
    assert page.get_by_role("radio", name="clamp").is_disabled()
    assert page.get_by_role("button", name="Run", exact=True).is_disabled()
    typed = page.get_by_role("spinbutton", name="Strength as a number")
    typed.fill("7")
    typed.press("Tab")
    page.get_by_text("7 is not stored here. Needs a running kernel.").wait_for()
