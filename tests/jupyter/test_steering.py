"""Steering in a real JupyterLab, on the real model: towards French, and its portraits."""

from __future__ import annotations

import pytest

from tests import jupyterlab
from tests.jupyter.notebooks import SET_UP, cell_output, open_and_run, panel, run_cell, write
from tests.models.test_steering_smollm2 import ENGLISH, FRENCH

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.smollm2]

CODE = f"""model = iw.load("smollm2-135m")
french = iw.methods.mean_difference(model, {FRENCH}, {ENGLISH}, site="resid_post.20", position=None, name="French")"""
SHOW = """steering = iw.Steering(model, "I think that", direction=french, strengths=[-1.5, -1, -0.5, 0, 0.5, 1, 1.5, 2],
                       answer=" le", foil=" the", tokens=24)
steering"""


def test_steering_sits_for_its_portraits(smollm2, lab_url, lab_page, tmp_path, pictures) -> None:
    write(tmp_path, "steering", SET_UP + CODE, SHOW)
    page = lab_page
    page.set_viewport_size({"width": 1440, "height": 1300})
    open_and_run(page, lab_url(tmp_path), "steering")
    box = panel(page, "Steering")
    box.get_by_role("listbox", name="Strengths").get_by_role("option").nth(5).click()
    text = box.get_by_role("region", name="Steered, strength 1", exact=True)
    text.get_by_text("shared with the baseline").wait_for()
    assert "✓ strength 0 says the 24 tokens of the baseline" in box.text_content()
    page.mouse.move(0, 0)
    page.evaluate("() => document.activeElement?.blur()")
    for dark in (False, True):
        jupyterlab.set_theme(page, dark=dark)
        page.wait_for_timeout(700)
        box.screenshot(path=pictures / f"steering-{'dark' if dark else 'light'}.png")
    jupyterlab.set_theme(page, dark=False)
    page.evaluate("() => window.jupyterapp.commands.execute('application:toggle-left-area')")
    page.set_viewport_size({"width": 600, "height": 2000})
    page.wait_for_timeout(700)
    box.screenshot(path=pictures / "steering-narrow.png")
    run_cell(page, "print(steering.strength, steering.selection['direction'].to_list())")
    assert cell_output(page).strip() == "1.0 ['given', 'random', 'random', 'random']"
