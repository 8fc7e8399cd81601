"""SHIFT in a real JupyterLab: texts of an atom, strikes by click and by key, what they are compared with, all taken back, saved."""

from __future__ import annotations

import json

import pytest

from tests import jupyterlab
from tests.jupyter.notebooks import SET_UP, cell_output, open_and_run, panel, run_cell, wait_for_panels, write

pytestmark = [pytest.mark.browser, pytest.mark.slow]

CODE = """from interp_widgets.lab.biographies import toy_biographies
model = iw.load("toy-grammar")
data = toy_biographies(train=40, test=40)
elsewhere = toy_biographies(("pilot", "baker"), train=8, test=4).filter(split="balanced")["document"].to_list()
saes = [iw.load_sae(f"toy-grammar/{name}") for name in ("mlp_out.0", "resid_post.1")]"""
SHOW = """shift = iw.Shift(model, data, site="resid_post.1", dictionaries=saes, others=elsewhere, texts=20, steps=2, draws=2)
shift"""
ROWS = """import json
print(json.dumps({row["condition"]: [cell["accuracy"] for cell in row["cells"]] for row in shift.accuracy}))"""
BY_LABELS = """known = iw.methods.shift_effects(
    model, data, site="resid_post.1", dictionaries=saes, split="balanced", by="spurious", texts=20, steps=2
)
shift.struck = known.drop_nulls("atom")["node"].head(4).to_list()"""
REOPENED = """kept = iw.reopen("shift.ipynb")
print(kept.asleep, kept.frame.equals(shift.frame), kept.struck == shift.struck, kept.asleep)"""
EQUAL = """asked = {"site": "resid_post.1", "dictionaries": saes, "struck": shift.struck}
print(shift.frame.equals(iw.methods.shift(model, data, **asked, texts=20, steps=2, draws=2)), shift.compared, len(shift.struck))"""


def shares(box) -> dict[str, list[float]]:
    """Row of the table -> the accuracy that it shows of each group."""
    return box.locator(".iw-shift-table tbody").evaluate(
        """body => Object.fromEntries([...body.rows].map(row => [row.dataset.condition,
             [...row.querySelectorAll(".iw-shift-share")].map(each => Number(each.style.getPropertyValue("--share")))]))"""
    )


def settled(page, nodes: int) -> None:
    """Wait until the table is that of so many struck atoms; of none there is no row beside that of the probe as it is."""
    page.wait_for_function(
        """n => document.querySelector("tr[data-condition=original]")
             && (document.querySelector("tr[data-condition=struck] td")?.textContent ?? "0") === n""",
        arg=str(nodes),
        timeout=60_000,
    )
    wait_for_panels(page)


def in_kernel(page, code: str) -> str:
    run_cell(page, code)
    return cell_output(page).strip()


def test_atoms_are_looked_at_struck_out_compared_and_taken_back(lab_url, lab_page, tmp_path, pictures) -> None:
    write(tmp_path, "shift", SET_UP + CODE, SHOW)
    page = lab_page
    page.set_viewport_size({"width": 1440, "height": 1500})
    open_and_run(page, lab_url(tmp_path), "shift")
    box = panel(page, "Shift")
    rows = box.get_by_role("list", name="Atoms by effect on the probe").get_by_role("listitem")
    settled(page, 0)
    effects = [abs(float(each.replace("−", "-"))) for each in rows.locator(".iw-number").all_text_contents()]
    assert effects[0] == max(effects), "ranked"
    untouched = shares(box)

    # the texts of an atom
    first, second = (rows.nth(i).get_by_role("checkbox").get_attribute("data-node") for i in (0, 1))
    rows.nth(1).get_by_role("button").click()
    box.get_by_role("heading", name=f"Atom #{second.partition('/')[2]}").wait_for()
    assert box.locator(".iw-shift-texts .iw-snippet [title]").count() > 0
    assert in_kernel(page, "print(shift.node, shift.selection.height)") == f"{second} 1"

    # struck out by click, and by key
    rows.nth(0).get_by_role("checkbox").click()
    settled(page, 1)
    rows.nth(0).get_by_role("checkbox").press("ArrowDown")
    page.keyboard.press("Space")
    settled(page, 2)
    assert in_kernel(page, "print(*shift.struck)") == f"{first} {second}"
    assert shares(box) == json.loads(in_kernel(page, ROWS))
    assert shares(box)["original"] == untouched["original"]
    assert shares(box)["struck"] != untouched["original"]
    assert page.evaluate("document.activeElement.dataset.node") == second, "the focus stays where the key was pressed"

    # struck out in a cell: what labels would choose, listed or not
    run_cell(page, BY_LABELS)
    settled(page, 4)
    assert rows.locator("input:checked").count() == 4

    # what the strike is compared with
    box.get_by_role("button", name="Compare").click()
    box.locator("tr[data-condition='balanced retrained']").wait_for(timeout=60_000)
    wait_for_panels(page)
    assert in_kernel(page, EQUAL) == "True True 4"
    assert shares(box) == json.loads(in_kernel(page, ROWS))
    assert len(shares(box)) == 10

    portraits(page, box, pictures)

    # what is saved shows it, and is opened again with nothing computed
    saved = """() => window.jupyterapp.shell.currentWidget.content.model.cells.get(1).outputs.get(0)
                 ?.data["text/html"]?.includes("balanced retrained")"""
    page.wait_for_function(saved, timeout=60_000)
    jupyterlab.save(page)
    page.wait_for_function("() => !window.jupyterapp.shell.currentWidget.context.model.dirty")
    assert in_kernel(page, REOPENED) == "True True True True"

    # all taken back
    box.get_by_role("button", name="Strike none").click()
    settled(page, 0)
    assert shares(box) == untouched
    assert in_kernel(page, "print(shift.struck, shift.compared)") == "[] False"
    assert box.get_by_role("button", name="Compare").is_disabled()


def portraits(page, box, pictures) -> None:
    page.mouse.move(0, 0)
    page.evaluate("() => document.activeElement?.blur()")
    page.evaluate("() => window.jupyterapp.commands.execute('application:toggle-left-area')")
    for dark in (False, True):
        jupyterlab.set_theme(page, dark=dark)
        page.wait_for_timeout(700)
        box.screenshot(path=pictures / f"shift-{'dark' if dark else 'light'}.png")
    jupyterlab.set_theme(page, dark=False)
    page.set_viewport_size({"width": 600, "height": 2900})
    page.wait_for_timeout(700)
    assert box.evaluate("e => e.scrollWidth <= e.clientWidth + 1")
    box.screenshot(path=pictures / "shift-narrow.png")
    page.set_viewport_size({"width": 1440, "height": 1500})
