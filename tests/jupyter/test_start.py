"""The first notebook on the real model: it runs top to bottom, is clicked through, and sits for its portraits."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests import jupyterlab
from tests.jupyter.notebooks import SET_UP, cell_output, panel, run_cell, wait_for_panels, write

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.smollm2]

ROOT = Path(__file__).parents[2]
HARM = "<script>window.harm = 1</script> </script> <img src=x onerror='window.harm = 1'> end"


def test_the_first_notebook_runs_and_sits_for_its_portraits(smollm2, lab_url, lab_page, pictures) -> None:
    page = lab_page
    page.set_viewport_size({"width": 1440, "height": 1500})
    jupyterlab.open_notebook(page, lab_url(ROOT / "notebooks"), "start.ipynb")
    jupyterlab.run_all(page, 300)
    wait_for_panels(page, 300)
    lens, atoms, attention, patching = (panel(page, name) for name in ("Lens", "Atoms", "Attention", "Patching"))

    last = lens.get_by_role("gridcell").last
    assert "Paris" in (last.text_content() or "")
    last.click()
    lens.get_by_role("list", name="Most likely tokens at the selected cell").get_by_role(
        "button", name="Paris"
    ).first.click()

    atoms.get_by_role("option").nth(14).click()
    atoms.get_by_role("list", name="Active atoms, largest first").get_by_role("button").first.click()
    atoms.get_by_role("list", name="Active atoms, largest first").get_by_role("button", name="Pin").nth(1).click()
    atoms.get_by_text("reconstruction error").first.wait_for()

    attention.get_by_label("Heads by").select_option("induction")
    attention.get_by_role("listbox", name="Queries").get_by_role("option").last.click()

    patching.get_by_role("gridcell").last.click()
    patching.get_by_text("✓ identity").wait_for()
    patching.locator(".iw-said dd").last.filter(has_not_text="…").wait_for(timeout=60_000)
    page.wait_for_timeout(500)
    for dark in (False, True):
        jupyterlab.set_theme(page, dark=dark)
        page.wait_for_timeout(700)
        for name, box in (("lens", lens), ("atoms", atoms), ("attention", attention), ("patching", patching)):
            box.scroll_into_view_if_needed()
            picture = pictures / f"{name}-{'dark' if dark else 'light'}.png"
            box.screenshot(path=picture)
            assert picture.stat().st_size > 10_000
    jupyterlab.set_theme(page, dark=False)
    page.evaluate("() => window.jupyterapp.commands.execute('application:toggle-left-area')")
    page.set_viewport_size({"width": 600, "height": 2000})
    page.wait_for_timeout(700)
    for name, box in (("lens", lens), ("atoms", atoms), ("attention", attention), ("patching", patching)):
        box.scroll_into_view_if_needed()
        box.screenshot(path=pictures / f"{name}-narrow.png")
    run_cell(
        page,
        "print(lens.frame.filter(layer=29, position=8, rank=1)['token'][0], all(check['passed'] for check in patching.checks))",
    )
    assert cell_output(page).strip() == "Paris True"


def test_script_like_tokens_are_text_in_the_panel_and_in_the_export(
    smollm2, lab_url, lab_page, browser, tmp_path
) -> None:
    write(tmp_path, "harm", SET_UP + 'model = iw.load("smollm2-135m")', f"text = {HARM!r}\nlens = iw.Lens(model, text)\nlens",
          'atoms = iw.Atoms(model, text, sae=iw.load_sae("smollm2-135m/15-resid-4096"))\natoms',
          "attention = iw.Attention(model, text)\nattention",
          'patching = iw.Patching(model, text, text.replace("end", "stop"), sites=("resid_post",))\npatching')  # fmt: skip
    page = lab_page
    jupyterlab.open_notebook(page, lab_url(tmp_path), "harm.ipynb")
    jupyterlab.run_all(page)
    wait_for_panels(page, 300)
    assert "".join(panel(page, "Lens").get_by_role("option").all_inner_texts()).count("script") >= 3
    for name in ("Lens", "Atoms", "Attention", "Patching"):
        assert panel(page, name).locator("script, img").count() == 0
    assert page.evaluate("() => window.harm") is None
    export = tmp_path / "harm.html"
    run_cell(page, f"iw.to_html({str(export)!r}, lens, atoms, attention, patching)\nprint('written')")
    assert cell_output(page).strip() == "written"
    offline = browser.new_context(offline=True).new_page()
    offline.goto(export.as_uri())
    offline.locator("section.iw").nth(3).wait_for()
    assert offline.locator("section.iw script, section.iw img").count() == 0
    assert offline.evaluate("() => window.harm") is None
    offline.close()
