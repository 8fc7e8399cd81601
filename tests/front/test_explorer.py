"""The explorer in a browser: which panels are drawn, what is hidden of another text, and one selection for all."""

from __future__ import annotations

import pytest

from interp_widgets.widgets.attention import AttentionWidget
from interp_widgets.widgets.lens import LensWidget
from tests.front import states
from tests.front.pages import arrive, settle

pytestmark = pytest.mark.browser

OTHER = list(range(14))
RUNNING = {"state": "running", "message": "layers", "done": 3, "total": 30, "seconds": 0.2}


def strip(page):
    return page.get_by_role("listbox", name="Text tokens").first.get_by_role("option")


def tab(page, name: str):
    return page.get_by_role("tablist", name="Panels").get_by_role("tab", name=name)


def part(page, name: str):
    return page.locator(f"[data-part={name}]")


def chosen(options) -> list[int]:
    return options.evaluate_all("all => all.flatMap((e, i) => e.ariaSelected === 'true' ? [i] : [])")


def saved(page, name: str = "") -> list[str]:
    return page.evaluate("(name) => (parts[name] ?? model).saved", name)


def get(page, trait: str, name: str = ""):
    return page.evaluate("([trait, name]) => (parts[name] ?? model).get(trait)", [trait, name])


def test_a_panel_is_drawn_when_its_tab_is_opened_and_not_before(show_live):
    page = show_live(states.explorer())
    panels = page.locator("section.iw section.iw")
    panels.first.wait_for()
    assert panels.evaluate_all("all => all.map(e => e.dataset.panel)") == ["lens"]
    tab(page, "Attention").click()
    part(page, "attention").get_by_role("listbox", name="Heads").wait_for()
    assert panels.evaluate_all("all => all.map(e => e.dataset.panel)") == ["lens", "attention"]
    assert not part(page, "lens").is_visible()
    assert saved(page) == ["view"]


def test_there_is_one_text_and_one_run(show_live):
    page = show_live(states.explorer(beside="attention"))
    part(page, "attention").get_by_role("listbox", name="Heads").wait_for()
    runs = page.get_by_role("button", name="Run", exact=True)
    assert runs.evaluate_all("all => all.filter(e => e.checkVisibility()).length") == 1
    fields = page.get_by_role("textbox", name="Text")
    assert fields.evaluate_all("all => all.filter(e => e.checkVisibility()).length") == 1
    fields.first.fill("the cat")
    page.keyboard.press("Control+Enter")
    assert page.evaluate("model.sent") == [{"type": "run", "text": "the cat"}]
    tab(page, "Patching").click()
    own = part(page, "patching")
    own.get_by_label("Corrupt").first.wait_for()
    assert not own.get_by_label("Clean", exact=True).first.is_visible()
    own.get_by_role("button", name="Run", exact=True).click()
    [request] = page.evaluate("parts.patching.sent")
    assert request["clean"] == "".join(states.CLEAN)


def test_a_press_in_a_part_shows_in_the_strip_at_once_and_is_told_once(show_live):
    page = show_live(states.explorer())
    grid = part(page, "lens").get_by_role("grid")
    grid.get_by_role("gridcell").nth(5).click()
    settle(page)
    assert chosen(strip(page)) == [5]
    assert saved(page) == [], "Python tells the others"
    strip(page).nth(8).click()
    settle(page)
    assert get(page, "positions", "lens") == [8]
    assert saved(page, "lens").count("positions") == 2
    arrive(page, positions=[8])  # what Python makes of it
    assert chosen(strip(page)) == [8]
    arrive(page, part="lens", positions=[2])
    assert chosen(strip(page)) == [2]


def test_an_old_answer_of_python_does_not_undo_a_newer_press(show_live):
    page = show_live(states.explorer())
    strip(page).nth(3).click()
    strip(page).nth(6).click()
    arrive(page, positions=[3])  # the first press has come back, the second is on its way
    assert chosen(strip(page)) == [6]
    assert get(page, "positions", "lens") == [6]


def test_what_belongs_to_another_text_is_not_shown(show_live):
    page = show_live(states.explorer({"lens": {"token_ids": OTHER}}))
    lens = part(page, "lens")
    lens.get_by_text("belongs to another text").wait_for()
    assert not lens.get_by_role("grid").is_visible()
    arrive(page, part="lens", status=RUNNING)
    assert lens.locator("> .iw-empty[data-loading]").is_visible()
    assert tab(page, "Lens").get_attribute("data-state") == "running"
    ids = get(page, "token_ids")
    arrive(page, part="lens", token_ids=ids, status={**RUNNING, "state": "done"})
    assert lens.get_by_role("grid").is_visible()
    assert lens.locator("> .iw-empty").is_hidden()
    arrive(page, part="lens", error="There was not enough memory.")
    assert lens.get_by_role("alert").get_by_text("not enough memory").is_visible()
    assert tab(page, "Lens").get_attribute("data-state") == "error"


def test_a_new_text_waits_in_patching_for_its_corrupt_prompt(show_live):
    page = show_live(states.explorer(view="patching", token_ids=OTHER))
    patching = part(page, "patching")
    patching.get_by_text("Type the corrupt prompt that goes with it").wait_for()
    assert patching.get_by_label("Corrupt").first.is_visible()
    assert not patching.get_by_role("grid").is_visible()


def test_without_a_dictionary_the_tab_says_how_to_give_one(show_live):
    page = show_live(states.explorer(dictionary=False))
    tab(page, "Atoms").click()
    part(page, "atoms").get_by_text("sae=iw.load_sae").wait_for()


def test_without_a_text_it_says_what_to_do(show_live):
    page = show_live(states.explorer(text="", tokens=[], token_ids=[], lens=LensWidget()))
    page.get_by_text("Type a text above and run it: its tokens appear here").wait_for()
    assert not page.get_by_role("listbox", name="Text tokens").first.is_visible()


def test_two_parts_side_by_side_and_never_the_same_twice(show_live):
    page = show_live(states.explorer())
    page.get_by_label("Beside").select_option("atoms")
    part(page, "atoms").get_by_role("listbox", name="Text tokens").wait_for()
    boxes = [part(page, name).bounding_box() for name in ("lens", "atoms")]
    assert boxes[0]["x"] + boxes[0]["width"] <= boxes[1]["x"]
    tab(page, "Atoms").click()
    settle(page)
    assert (get(page, "view"), get(page, "beside")) == ("atoms", "lens")
    boxes = [part(page, name).bounding_box() for name in ("atoms", "lens")]
    assert boxes[0]["x"] < boxes[1]["x"]
    page.get_by_label("Beside").select_option("atoms")
    settle(page)
    assert get(page, "beside") == ""
    assert not part(page, "lens").is_visible()


def test_a_panel_that_was_hidden_shows_its_selection_when_it_is_opened_again(show_live):
    tokens = [f" token{i}" for i in range(40)]
    ids = list(range(40))
    lens = states.lens(tokens, token_ids=ids)
    page = show_live(states.explorer(text="".join(tokens), tokens=tokens, token_ids=ids, lens=lens), height=720)
    box = part(page, "lens").locator(".iw-scroll")
    box.wait_for()
    settle(page)
    low = box.evaluate("e => e.scrollTop")
    assert low > 0, "the output is at the bottom"
    tab(page, "Attention").click()
    arrive(page, part="lens", positions=[38])
    tab(page, "Lens").click()
    head = box.get_by_role("columnheader").nth(39)
    page.wait_for_function(
        "e => e.getBoundingClientRect().right <= e.closest('.iw-scroll').getBoundingClientRect().right + 1",
        arg=head.element_handle(),
    )
    assert box.evaluate("e => e.scrollTop") == low


def test_a_lens_of_a_long_text_moves_to_a_token_outside(show_live):
    tokens = [f" t{i}" for i in range(300)]
    ids = list(range(300))
    lens = states.lens(tokens, width=128, token_ids=ids)
    page = show_live(states.explorer(text="".join(tokens), tokens=tokens, token_ids=ids, lens=lens))
    strip(page).nth(200).click()
    assert page.evaluate("parts.lens.sent") == [{"type": "window", "start": 136}]


def test_a_view_that_is_removed_listens_no_more(show_live):
    page = show_live(states.explorer(beside="attention"))
    part(page, "attention").get_by_role("listbox", name="Heads").wait_for()
    page.evaluate("controller.abort()")
    assert page.evaluate("[model, ...Object.values(parts)].map(each => each.count())") == [0] * 5


def test_a_saved_page_links_the_parts_by_itself(show_saved):
    page = show_saved(states.explorer(extra=True))
    part(page, "lens").get_by_role("gridcell").nth(11).click()
    tab(page, "Attention").click()
    queries = part(page, "attention").get_by_role("listbox", name="Queries").get_by_role("option")
    queries.nth(11).wait_for()
    assert chosen(strip(page)) == chosen(queries) == [11]
    queries.nth(12).click()
    tab(page, "Atoms").click()
    part(page, "atoms").get_by_text("Token 12").first.wait_for()
    assert chosen(strip(page)) == [12]
    tab(page, "Patching").click()
    corrupt = part(page, "patching").get_by_role("listbox", name="Corrupt tokens").get_by_role("option")
    corrupt.nth(13).wait_for()
    assert chosen(corrupt) == [13], "the corrupt prompt has one token more before it"
    corrupt.nth(11).click()  # it has no partner in the text
    settle(page)
    assert (chosen(corrupt), chosen(strip(page))) == ([11], [])
    corrupt.nth(10).click()
    tab(page, "Lens").click()
    settle(page)
    assert chosen(strip(page)) == [10]


def test_a_saved_page_says_which_part_was_not_computed(show_saved):
    page = show_saved(states.explorer(attention=AttentionWidget()))
    tab(page, "Attention").click()
    part(page, "attention").get_by_text("had no result on this text when the page was saved").wait_for()
    assert page.get_by_text("Saved view").count() >= 1
    assert page.locator(".iw-offline").evaluate_all("all => all.filter(e => e.checkVisibility()).length") == 1


def test_a_page_keeps_two_states_of_one_explorer_apart(open_page, tmp_path):
    from interp_widgets.export import fragment

    explorer = states.explorer()
    first = fragment(explorer)
    explorer.lens.color = "entropy"
    path = tmp_path / "docs.html"
    path.write_text(
        f"<!doctype html><html lang=en><title>x</title><meta charset=utf-8>{first}{fragment(explorer, explorer.lens)}",
        encoding="utf-8",
    )
    page = open_page()
    page.goto(path.as_uri())
    page.locator("[data-ready]").nth(2).wait_for()
    page.locator("section.iw[data-panel=lens]").nth(2).wait_for()
    colors = page.locator("section.iw[data-panel=lens] input:checked").evaluate_all("all => all.map(e => e.value)")
    assert colors == ["probability", "entropy", "entropy"]
    page.locator("section.iw[data-panel=lens]").nth(2).get_by_role("radio", name="rank").click()
    settle(page)
    colors = page.locator("section.iw[data-panel=lens] input:checked").evaluate_all("all => all.map(e => e.value)")
    assert colors == ["probability", "rank", "rank"], "one widget, drawn twice"


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("view", ["lens", "atoms", "attention", "patching"])
def test_it_fits_a_laptop(show_saved, view, dark):
    page = show_saved(states.explorer(view=view, positions=[4]), width=1280, height=720, dark=dark)
    part(page, view).locator("section.iw").wait_for()
    box = page.locator("section.iw").first
    assert box.bounding_box()["height"] < 620
    assert box.evaluate("e => e.scrollWidth <= e.clientWidth + 1")


def test_narrow_has_no_sideways_scroll(show_saved):
    page = show_saved(states.explorer(beside="atoms"), width=600)
    part(page, "atoms").locator("section.iw").wait_for()
    for box in (page.locator("section.iw").first, part(page, "lens"), part(page, "atoms")):
        assert box.evaluate("e => e.scrollWidth <= e.clientWidth + 1")
