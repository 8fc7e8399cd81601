"""The patching studio in a real JupyterLab, on the real model: clicked through as a person would, and its portraits."""

from __future__ import annotations

import pytest

from tests import jupyterlab
from tests.jupyter.notebooks import SET_UP, cell_output, let_through, open_and_run, panel, run_cell, write

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.smollm2]

PAIRS = """import polars as pl
model = iw.load("smollm2-135m")
names = ["Mary", "John", "Tom", "James", "Anna", "Paul", "Sarah", "David"]
rows = []
for a, b in zip(names, names[1:] + names[:1]):
    start = f"When {a} and {b} went to the store,"
    rows.append((f"{start} {b} gave a drink to", f"{start} {a} gave a drink to", f" {a}", f" {b}"))
pairs = pl.DataFrame(rows, schema=["clean", "corrupt", "answer", "foil"], orient="row")"""


def test_a_person_works_in_the_studio(smollm2, lab_url, lab_page, tmp_path) -> None:
    write(
        tmp_path,
        "studio",
        SET_UP + PAIRS,
        'patching = iw.Patching(model, *pairs.row(0), sites=("resid_post",))\npatching',
    )
    page = lab_page
    page.set_viewport_size({"width": 1280, "height": 1300})
    open_and_run(page, lab_url(tmp_path), "studio")
    box = panel(page, "Patching")

    def cell(layer: int, column: int):
        return box.locator(".iw-row").nth(layer + 1).get_by_role("gridcell").nth(column)

    def effect() -> str:
        """Of the selected cell's own run, once it is there."""
        value = box.locator(".iw-values dd").first
        value.filter(has_not_text="…").wait_for(timeout=60_000)
        return value.text_content()

    cell(12, 1).click()
    patched = box.locator(".iw-said dd").nth(1)
    patched.get_by_text("Mary").first.wait_for(timeout=60_000)
    assert patched.text_content().startswith(" Mary")
    assert box.locator(".iw-said dd").nth(2).text_content().startswith(" John")

    first = cell(12, 1).text_content()
    box.get_by_label("Foil", exact=True).fill(" Tom")
    box.get_by_label("Foil", exact=True).press("Enter")
    box.get_by_role("combobox", name="Results so far").get_by_text("2: Mary or Tom").wait_for(state="attached")
    assert cell(12, 1).text_content() != first
    box.get_by_role("button", name="Undo").click()
    page.wait_for_function("([cell, text]) => cell.textContent === text", arg=[cell(12, 1).element_handle(), first])
    assert box.get_by_label("Foil", exact=True).input_value() == " John"
    let_through(page)  # a recalled result clears the selection

    box.get_by_role("listbox", name="Corrupt tokens").get_by_role("option").last.click()
    box.get_by_role("button", name="Freeze").click()
    let_through(page)
    cell(12, 1).click()
    box.get_by_text("held as they were: 13").wait_for()
    assert effect() in ("0", "0.00"), "all of it passes there"
    box.get_by_role("listbox", name="Corrupt tokens").get_by_role("option").last.click()
    box.get_by_role("button", name="Unfreeze").click()

    cell(10, 1).drag_to(cell(14, 2))
    box.get_by_text("from Residual stream, layer 10, position 9").wait_for()
    assert effect() not in ("0", "0.00")

    box.get_by_label("corrupt into clean").click(force=True)
    box.get_by_text("patched minus clean").wait_for(timeout=60_000)
    run_cell(page, "patching.run(); print(patching.direction, round(patching.frame['effect'].min(), 1))")
    assert cell_output(page).strip().startswith("noise -11")


def test_many_pairs_sit_for_their_portraits(smollm2, lab_url, lab_page, tmp_path, pictures) -> None:
    code = "many = iw.PatchingPairs(model, pairs, positions=[9, 10, 11, 12, 13], baseline=True)\nmany"
    write(tmp_path, "pairs", SET_UP + PAIRS, code)
    page = lab_page
    page.set_viewport_size({"width": 1440, "height": 1300})
    open_and_run(page, lab_url(tmp_path), "pairs")
    box = panel(page, "Patching pairs")
    box.get_by_role("gridcell").nth(20 * 5).click()
    dots = box.get_by_role("listbox", name="Effect of each pair").get_by_role("option")
    dots.first.wait_for(timeout=60_000)
    assert dots.count() == 16, "eight pairs, and each from a random other one"
    dots.nth(2).dispatch_event("click")
    box.get_by_role("heading", name="Pair 2").wait_for()
    for dark in (False, True):
        jupyterlab.set_theme(page, dark=dark)
        page.wait_for_timeout(700)
        box.screenshot(path=pictures / f"patchingpairs-{'dark' if dark else 'light'}.png")
    jupyterlab.set_theme(page, dark=False)
    page.evaluate("() => window.jupyterapp.commands.execute('application:toggle-left-area')")
    page.set_viewport_size({"width": 600, "height": 2000})
    page.wait_for_timeout(700)
    box.screenshot(path=pictures / "patchingpairs-narrow.png")
    run_cell(page, "print(many.cells.filter(site='resid_post.12', position=9)['low'][0] > 0.9)")
    assert cell_output(page).strip() == "True"
