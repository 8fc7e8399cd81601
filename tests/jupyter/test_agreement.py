"""Agreement in a real JupyterLab, on the real model in two dtypes: a click, and its portraits."""

from __future__ import annotations

import pytest

from tests import jupyterlab
from tests.jupyter.notebooks import SET_UP, cell_output, open_and_run, panel, run_cell, write

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.smollm2]

CODE = """model = iw.load("smollm2-135m")
half = iw.load("smollm2-135m", dtype="bfloat16")"""
SHOW = """agreement = iw.Agreement(model, half, "The Eiffel Tower is in the city of")
agreement"""


def test_agreement_sits_for_its_portraits(smollm2, lab_url, lab_page, tmp_path, pictures) -> None:
    write(tmp_path, "agreement", SET_UP + CODE, SHOW)
    page = lab_page
    page.set_viewport_size({"width": 1440, "height": 1600})
    open_and_run(page, lab_url(tmp_path), "agreement")
    box = panel(page, "Agreement")
    assert "smollm2-135m float32 and smollm2-135m bfloat16" in box.text_content()
    first = box.get_by_role("list", name="Cells to look at first").get_by_role("button").first
    first.click()
    box.locator("[role=gridcell][aria-selected=true]").wait_for()
    run_cell(
        page, "print(agreement.cell == agreement.worst[0], agreement.selection.height, agreement.predictions.height)"
    )
    assert cell_output(page).strip() == "True 1 10"
    page.mouse.move(0, 0)
    page.evaluate("() => document.activeElement?.blur()")
    for dark in (False, True):
        jupyterlab.set_theme(page, dark=dark)
        page.wait_for_timeout(700)
        box.screenshot(path=pictures / f"agreement-{'dark' if dark else 'light'}.png")
    jupyterlab.set_theme(page, dark=False)
    page.evaluate("() => window.jupyterapp.commands.execute('application:toggle-left-area')")
    page.set_viewport_size({"width": 600, "height": 2000})
    page.wait_for_timeout(700)
    box.screenshot(path=pictures / "agreement-narrow.png")
    page.set_viewport_size({"width": 1440, "height": 1600})
    box.get_by_label("Prompt", exact=True).fill("The Colosseum is in")
    box.get_by_role("button", name="Run", exact=True).click()
    box.get_by_role("option", name='token 1: " Col"').wait_for()
    run_cell(page, "agreement.run(); print(agreement.cell, agreement.frame['position'].max())")
    assert cell_output(page).strip() == "[] 5"
