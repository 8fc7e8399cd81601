"""The explorer in a real JupyterLab: one text and one selection for panels that are opened one after the other."""

from __future__ import annotations

import pytest

from tests import jupyterlab
from tests.jupyter.notebooks import (
    SET_UP,
    TOY,
    cell_output,
    let_through,
    open_and_run,
    panel,
    run_cell,
    wait_for_panels,
    write,
)

pytestmark = [pytest.mark.browser, pytest.mark.slow]

PAIR = """A = "When Mary and John went to the store, John gave a drink to"
B = "When Mary and John went to the store, Mary gave a drink to"
explorer = iw.Explorer(model, A, sae=sae, corrupt=B, answer=" Mary", foil=" John", beside="atoms")
explorer"""

SEEN = """cell => {
  const [box, inner] = [cell.closest(".iw-scroll"), cell].map((e) => e.getBoundingClientRect());
  return inner.right <= box.right + 1 && inner.bottom <= box.bottom + 1;
}"""


def open_tab(box, name: str) -> None:
    box.get_by_role("tablist", name="Panels").get_by_role("tab", name=name).click()


def becomes_selected(page, option) -> None:
    option.wait_for()
    page.wait_for_function("e => e.ariaSelected === 'true'", arg=option.element_handle())


def test_what_is_selected_in_one_tab_is_selected_in_the_next(lab_url, lab_page, tmp_path) -> None:
    write(tmp_path, "explorer", TOY, "explorer = iw.Explorer(model, IOI, sae=sae)\nexplorer", "explorer.lens")
    page = lab_page
    open_and_run(page, lab_url(tmp_path), "explorer")
    explorer = panel(page, "Explorer")
    strip = explorer.get_by_role("listbox", name="Text tokens").first.get_by_role("option")
    assert explorer.locator("section.iw").count() == 1, "only the lens is drawn"

    explorer.get_by_role("gridcell").nth(5).click()
    becomes_selected(page, strip.nth(5))
    open_tab(explorer, "Atoms")
    atoms = explorer.locator("[data-part=atoms]")
    atoms.get_by_role("heading", name="Token 5").wait_for()
    open_tab(explorer, "Attention")
    queries = explorer.get_by_role("listbox", name="Queries").get_by_role("option")
    becomes_selected(page, queries.nth(5))
    queries.nth(7).click()
    becomes_selected(page, strip.nth(7))
    run_cell(page, "print({n: p.positions for n, p in explorer.parts.items()}, explorer.patching.status['state'])")
    assert cell_output(page).strip() == "{'lens': [7], 'atoms': [7], 'attention': [7], 'patching': []} idle"

    text = explorer.get_by_role("textbox", name="Text").first
    text.fill("the keys to the cabinet are on the table .")
    text.press("Control+Enter")
    strip.nth(2).filter(has_text="keys").wait_for()
    queries.nth(2).filter(has_text="keys").wait_for()
    open_tab(explorer, "Lens")
    wait_for_panels(page)
    explorer.get_by_role("columnheader").nth(3).filter(has_text="keys").wait_for()

    # the same lens in the cell below, with its own head: its text is the text of all
    below = page.locator('section.iw[data-panel="lens"]').nth(1)
    below.get_by_role("textbox", name="Prompt").fill("the cat sleeps")
    below.get_by_role("button", name="Run", exact=True).click()
    strip.nth(2).filter(has_text="cat").wait_for()
    wait_for_panels(page)
    let_through(page)  # a new text unselects in all parts, one after the other
    below.get_by_role("option").nth(3).click()
    becomes_selected(page, strip.nth(3))
    run_cell(page, "print(explorer.text, explorer.positions, explorer.frame['layer'].n_unique())")
    assert cell_output(page).strip() == "the cat sleeps [3] 4"


def test_it_fits_a_laptop_and_sits_for_its_portraits(smollm2, lab_url, lab_page, tmp_path, pictures) -> None:
    load = 'model = iw.load("smollm2-135m")\nsae = iw.load_sae("smollm2-135m/15-resid-4096")'
    write(tmp_path, "portrait", SET_UP + load, PAIR)
    page = lab_page
    page.set_viewport_size({"width": 1280, "height": 720})
    jupyterlab.open_notebook(page, lab_url(tmp_path), "portrait.ipynb")
    page.evaluate("() => window.jupyterapp.commands.execute('application:toggle-left-area')")
    jupyterlab.run_all(page, 300)
    wait_for_panels(page, 300)
    box = panel(page, "Explorer")
    last = box.locator("[data-part=lens]").get_by_role("gridcell").last
    last.click()
    box.get_by_role("heading", name="Token 13").wait_for()
    area = page.locator(".jp-WindowedPanel-outer").first.bounding_box()
    for view, result in (
        ("Attention", box.get_by_role("heading", name="Layer")),
        ("Patching", box.get_by_text("✓ identity")),
    ):
        open_tab(box, view)
        result.first.wait_for(timeout=120_000)
        wait_for_panels(page, 300)
        assert box.bounding_box()["height"] <= area["height"], view
    open_tab(box, "Lens")
    assert last.evaluate(SEEN), "the selected cell is in sight again"
    for dark in (False, True):
        jupyterlab.set_theme(page, dark=dark)
        page.wait_for_timeout(700)
        box.screenshot(path=pictures / f"explorer-{'dark' if dark else 'light'}.png")
    jupyterlab.set_theme(page, dark=False)
    page.set_viewport_size({"width": 600, "height": 1800})
    page.wait_for_timeout(700)
    assert box.evaluate("e => e.scrollWidth <= e.clientWidth + 1")
    assert box.evaluate("e => e.offsetWidth <= e.closest('.jp-OutputArea-output').clientWidth + 1")
    box.screenshot(path=pictures / "explorer-narrow.png")
