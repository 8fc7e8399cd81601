"""The head of a panel whose model is on a server: what is said of a request, and the list of models."""

from __future__ import annotations

import pytest

from tests.front import states
from tests.front.pages import arrive, settle

pytestmark = pytest.mark.browser


def sent(page) -> list:
    return page.evaluate("model.sent")


def line(page) -> str:
    return page.locator(".iw-remote").inner_text().replace("\n", " ")


def test_a_model_that_is_here_has_neither_line_nor_list(show_live):
    page = show_live(states.lens())
    assert page.locator(".iw-remote").is_hidden()
    assert page.locator(".iw-models").is_hidden()
    assert "SmolLM2-135M" in page.locator(".iw-about").inner_text()


def test_a_waiting_request_is_told_with_place_id_and_bytes(show_live):
    page = show_live(states.lens(**states.FAR, status=states.waiting()))
    assert page.get_by_role("status").first.inner_text() == "3rd in the queue"
    assert page.locator("progress").get_attribute("value") is None  # nothing is known of how long
    assert "on far.test:8011" in line(page)
    assert "42 kB sent" in line(page)
    assert "job 0f3c9a17…" in line(page)
    assert "12.3 s" in page.locator(".iw-status").inner_text()
    assert page.get_by_role("grid").is_visible()  # the former result stays
    page.get_by_role("button", name="Cancel").click()
    assert sent(page) == [{"type": "cancel"}]


def test_the_stages_are_read_out_and_the_seconds_are_not(show_live):
    page = show_live(states.lens(**states.FAR, status=states.waiting()))
    page.evaluate(
        """() => {
          window.heard = [];
          const regions = [...document.querySelectorAll("[aria-live], [role=status], [role=alert]")];
          for (const region of regions) new MutationObserver(() => heard.push(region.textContent))
            .observe(region, { childList: true, characterData: true, subtree: true });
        }"""
    )
    for second in range(5):
        arrive(page, status={**states.waiting(seconds=13.0 + second), "seconds": 13.3 + second})
    assert page.evaluate("heard") == []
    assert "17.3 s" in page.locator(".iw-status").inner_text()
    arrive(page, status=states.waiting(stage="running", words="running on the server", position=None))
    assert page.evaluate("heard") == ["running on the server"]


def test_bytes_on_their_way_fill_the_bar(show_live):
    state = states.waiting(
        stage="sending", words="sending 9.4 MB", position=None, id="", size=9_400_000, up=2_350_000,
        estimate="sends 9.4 MB (a dictionary of 9.4 MB); about 12 s, as before",
    )  # fmt: skip
    page = show_live(states.lens(**states.FAR, status=state))
    bar = page.locator("progress")
    assert float(bar.get_attribute("value")) / float(bar.get_attribute("max")) == 0.25
    assert "about 12 s, as before" in line(page)
    assert "job" not in line(page)


def test_what_a_finished_job_cost_stays(show_live):
    status = {"state": "done", "message": "", "done": 0, "total": 0, "seconds": 4.2}
    status["remote"] = states.remote(stage="completed", words="done", position=None, down=6_157, requests=2)
    page = show_live(states.lens(**states.FAR, status=status))
    assert page.get_by_role("status").first.inner_text() == "Done"
    assert "42 kB sent, 6.2 kB fetched, 2 requests" in line(page)


def test_the_id_can_be_copied_or_at_least_selected(show_live):
    page = show_live(states.lens(**states.FAR, status=states.waiting()))
    page.evaluate(
        "Object.defineProperty(navigator, 'clipboard', { value: { writeText: async (t) => { window.copied = t; } } })"
    )
    page.get_by_role("button", name="Copy the id of the job").click()
    page.get_by_text("Copied", exact=True).wait_for()
    assert page.evaluate("copied") == states.remote()["id"]
    page.evaluate("() => { navigator.clipboard.writeText = async () => { throw new Error(); }; }")
    page.get_by_role("button", name="Copy the id of the job").click()
    page.get_by_text("Selected", exact=True).wait_for()
    assert page.evaluate("String(getSelection())") == states.remote()["id"]


def test_a_hostile_host_or_id_is_text(show_live):
    page = show_live(
        states.lens(**{**states.FAR, "host": f"http://{states.EVIL[1]}"}, status=states.waiting(id=states.EVIL[0]))
    )
    settle(page)
    assert page.evaluate("window.pwned") is None


# The list of models


def popup(page):
    return page.locator(".iw-models-popup")


def open_list(page):
    page.get_by_role("button", name="org/small-135M").click()
    return page.get_by_role("listbox", name="Models of this server")


def test_the_list_is_asked_for_when_it_is_opened(show_live):
    page = show_live(states.lens(**{**states.FAR, "served": {}}))
    opener = page.get_by_role("button", name="org/small-135M")
    assert opener.get_attribute("aria-expanded") == "false"
    open_list(page)
    assert opener.get_attribute("aria-expanded") == "true"
    assert sent(page) == [{"type": "models"}]
    assert page.get_by_text("Asking the server …").is_visible()
    arrive(page, served=states.SERVED)
    assert popup(page).get_by_role("option").count() == 3
    assert popup(page).get_by_role("option", selected=True).inner_text().startswith("org/small-135M")


def test_a_model_is_chosen_with_the_keyboard(show_live):
    page = show_live(states.lens(**states.FAR))
    page.get_by_role("button", name="org/small-135M").focus()
    page.keyboard.press("ArrowDown")
    listbox = popup(page).get_by_role("listbox")
    assert page.evaluate("document.activeElement === document.querySelector('[role=listbox]')")
    page.keyboard.press("ArrowDown")
    active = listbox.get_attribute("aria-activedescendant")
    assert page.locator(f"#{active}").inner_text().startswith("org/large-8B")
    page.keyboard.press("End")
    page.keyboard.press("Enter")  # what panels cannot read is not chosen
    assert sent(page) == [{"type": "models"}]
    page.keyboard.press("Home")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    assert sent(page)[-1] == {"type": "model", "name": "org/large-8B"}
    assert popup(page).is_hidden()
    assert page.evaluate("document.activeElement.className").startswith("iw-button")


def test_escape_and_a_press_elsewhere_close_it(show_live):
    page = show_live(states.lens(**states.FAR))
    open_list(page)
    page.keyboard.press("Escape")
    assert page.locator(".iw-models-popup").is_hidden()
    open_list(page)
    page.locator(".iw-notes").click()
    assert page.locator(".iw-models-popup").is_hidden()
    open_list(page)
    popup(page).get_by_role("option").nth(0).click()  # the one that is shown: nothing to do
    assert [message["type"] for message in sent(page)] == ["models"] * 3


@pytest.mark.parametrize(
    ("served", "said"),
    [
        ({"state": "there", "models": [], "error": ""}, "This server has no models now."),
        ({"state": "", "models": [], "error": "There is no server at http://far.test."}, "There is no server at http://far.test."),
    ],
)  # fmt: skip
def test_an_empty_list_and_a_failure_are_said(show_live, served, said):
    page = show_live(states.lens(**{**states.FAR, "served": served}))
    open_list(page)
    assert page.get_by_text(said).is_visible()
    assert popup(page).get_by_role("option").count() == 0


def test_without_a_kernel_the_list_is_closed(show_live):
    page = show_live(states.lens(**states.FAR, live=False))
    assert page.get_by_role("button", name="org/small-135M").is_disabled()


@pytest.mark.parametrize("theme", ["", "dark"])
@pytest.mark.parametrize("width", [420, 1200])
def test_nothing_runs_out_of_the_panel(show_live, theme, width):
    state = states.waiting(estimate="sends 9.4 MB (a dictionary of 9.4 MB); about 12 s, as before")
    page = show_live(states.lens(**states.FAR, status=state), theme, width=width, dark=bool(theme))
    open_list(page)
    settle(page)
    wide = page.evaluate("document.documentElement.scrollWidth")
    assert wide <= width
    box = page.locator(".iw-models-popup").bounding_box()
    assert box["x"] >= 0
    assert box["x"] + box["width"] <= width
