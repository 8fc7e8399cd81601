"""The Audit panel in a real JupyterLab: a row, a column, an atom, and its portraits."""

from __future__ import annotations

import pytest

from tests import jupyterlab
from tests.jupyter.notebooks import TOY, cell_output, open_and_run, panel, run_cell, write

pytestmark = [pytest.mark.browser, pytest.mark.slow]

TEXTS = """names = ["mary", "john", "anna", "tom", "emma", "paul", "lucy", "peter"]
nouns = ["key", "dog", "doctor", "teacher", "picture", "book", "friend", "boy"]
gifts = [f"when {a} and {b} went to the store , {b} gave a drink to {a} ." for a in names for b in names if a != b]
verbs = [f"the {a}s to the {b} are on the table ." for a in nouns for b in nouns]
because = [f"the {a} gave {b} a book because" for a in nouns for b in names]"""
AUDIT = """audit = iw.Audit(
    model, {"gifts": gifts, "verbs": verbs, "because": because}, sae=sae, text=IOI, answer="mary", foil="john", batch=32
)
audit"""


def test_a_row_and_an_atom_are_answered_and_the_card_sits_for_its_portraits(
    lab_url, lab_page, tmp_path, pictures
) -> None:
    write(tmp_path, "audit", TOY, TEXTS, AUDIT)
    page = lab_page
    page.set_viewport_size({"width": 1440, "height": 1500})
    open_and_run(page, lab_url(tmp_path), "audit")
    box = panel(page, "Audit")
    box.get_by_text("Done").wait_for(timeout=120_000)
    box.get_by_role("button", name="loss recovered, against the mean").click()
    bins = box.get_by_role("listbox", name="Atoms by the share").get_by_role("option")
    bins.nth(14).dispatch_event("click")
    box.get_by_role("list", name="Atoms of the chosen column").get_by_role("button").first.wait_for()
    box.get_by_label("Atom", exact=True).fill("122")
    box.get_by_role("button", name="Measure").click()
    dots = box.get_by_role("listbox", name="Effect in each context").get_by_role("option")
    dots.first.wait_for(timeout=60_000)
    for dark in (False, True):
        jupyterlab.set_theme(page, dark=dark)
        page.wait_for_timeout(700)
        box.screenshot(path=pictures / f"audit-{'dark' if dark else 'light'}.png")
    jupyterlab.set_theme(page, dark=False)
    page.evaluate("() => window.jupyterapp.commands.execute('application:toggle-left-area')")
    page.set_viewport_size({"width": 600, "height": 2900})
    page.wait_for_timeout(700)
    box.screenshot(path=pictures / "audit-narrow.png")
    run_cell(page, "print(audit.quantity, audit.selection.height, audit.atom, audit.effects['token'][0], audit.bin)")
    assert cell_output(page).strip() == "loss_recovered_mean 4 122 she 14"
