"""One panel in several places of a notebook: displayed twice, in a box, from a loop, in another view."""

from __future__ import annotations

import json

import pytest

from tests import jupyterlab
from tests.jupyter.notebooks import TOY, cell_output, open_and_run, run_cell, wait_for_panels, write

pytestmark = [pytest.mark.browser, pytest.mark.slow]

COUNT = "n => document.querySelectorAll('section.iw').length === n"
TWINS = """() => {
    const cells = window.jupyterapp.shell.currentWidget.content.model.cells;
    return [[1, 0], [2, 0], [4, 0], [4, 1]].every(([cell, i]) =>
        cells.get(cell).outputs.get(i)?.data["text/html"]?.includes("data:image/png;base64,"));
}"""
CELLS = (
    TOY + "\nimport ipywidgets",
    "lens = iw.Lens(model, IOI)\nlens",
    "lens",
    "ipywidgets.VBox([lens, ipywidgets.HTML('below')])",
    "for text in ('mary went home because', 'john went home because'):\n    display(iw.Lens(model, text))",
)


@pytest.fixture(scope="module")
def page(browser, lab_url, tmp_path_factory):
    folder = tmp_path_factory.mktemp("displayed")
    write(folder, "displayed", *CELLS)
    page = browser.new_page(viewport={"width": 1200, "height": 3000})
    open_and_run(page, lab_url(folder), "displayed")
    page.wait_for_function(COUNT, arg=5, timeout=60_000)
    wait_for_panels(page)
    page.folder = folder
    yield page
    page.close()


def chosen(page) -> list[str]:
    """The selected token of every panel on the page, in order."""
    selected = "e.querySelector('[role=option][aria-selected=true]')?.textContent.trim() ?? ''"
    return page.evaluate(f"() => [...document.querySelectorAll('section.iw')].map(e => {selected})")


def test_a_press_in_one_place_shows_in_all_places_of_that_panel(page) -> None:
    sections = page.locator("section.iw")
    sections.nth(1).get_by_role("option").nth(4).click()
    page.wait_for_function(
        "() => document.querySelectorAll('section.iw [role=option][aria-selected=true]').length >= 3"
    )
    assert chosen(page)[:3] == ["john"] * 3
    run_cell(page, "print(lens.positions)")
    assert cell_output(page).strip() == "[4]"


def test_what_is_saved_of_each_place_shows_the_panel(page) -> None:
    page.wait_for_function(TWINS, timeout=60_000)
    jupyterlab.save(page)
    cells = json.loads((page.folder / "displayed.ipynb").read_text(encoding="utf-8"))["cells"]
    outputs = [[o["data"] for o in cell["outputs"] if "data" in o] for cell in cells]
    assert [len(each) for each in outputs][1:5] == [1, 1, 1, 2]
    for data in (*outputs[1], *outputs[2], *outputs[4]):
        assert "data:image/png;base64," in "".join(data["text/html"])


def test_another_view_of_an_output_is_live(page) -> None:
    page.evaluate(
        """async () => {
            const app = window.jupyterapp;
            const notebook = app.shell.currentWidget.content;
            notebook.activeCellIndex = 1;
            await app.commands.execute('notebook:create-output-view');
        }"""
    )
    page.wait_for_function("n => document.querySelectorAll('section.iw').length >= n", arg=6, timeout=30_000)
    assert page.get_by_text("Error displaying widget").count() == 0
