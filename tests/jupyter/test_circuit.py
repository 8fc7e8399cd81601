"""A circuit in a real JupyterLab: a node pressed, switched off, the threshold moved, the notebook saved. Sits for its portraits."""

from __future__ import annotations

import json

import pytest

from tests import jupyterlab
from tests.jupyter.notebooks import SET_UP, cell_output, open_and_run, panel, run_cell, write

pytestmark = [pytest.mark.browser, pytest.mark.slow]

CODE = """from interp_widgets.lab.toy_grammar import pairs as toy_pairs
model = iw.load("toy-grammar")
asked = toy_pairs.agreement_pairs(24, "rc_obj")[::2]"""
SHOW = """circuit = iw.Circuit(model, **{name: asked[name].to_list() for name in asked.columns}, compare=["neurons"])
circuit"""
NODE = "'embed/353@2'"  # plural noun


def test_a_circuit_is_found_pressed_switched_and_saved(lab_url, lab_page, tmp_path, pictures) -> None:
    write(tmp_path, "circuit", SET_UP + CODE, SHOW)
    page = lab_page
    page.set_viewport_size({"width": 1440, "height": 1500})
    open_and_run(page, lab_url(tmp_path), "circuit")
    box = panel(page, "Circuit")
    box.locator(".iw-circuit-curve .iw-line").first.wait_for()

    # a node of the list: its card opens
    box.get_by_role("button", name="As a list", exact=True).click()
    box.locator(".iw-node-list tbody th button").first.click()
    card = box.get_by_role("region", name="Atom card")
    card.get_by_text("Nearest directions").wait_for(timeout=60_000)
    run_cell(page, f"print(circuit.selected); circuit.select({NODE}); circuit.label({NODE}, 'subject')")
    assert "@" in cell_output(page)
    box.get_by_role("button", name="As a list", exact=True).click()

    # it is switched off: the prediction changes, in the panel and here
    box.get_by_role("button", name="Switch off", exact=True).click()
    page.wait_for_function(
        """() => { const s = document.querySelectorAll('section.iw [aria-label=Prediction] strong');
                     return s.length > 1 && s[1].textContent !== '…'; }""",
        timeout=60_000,
    )
    run_cell(page, "print(circuit.switches == {" + NODE + ": 0}, circuit.prediction['metric']['change'] != 0)")
    assert cell_output(page).strip() == "True True"

    # another prompt is chosen with the keys; the mean over all clean ones is there, too
    box.get_by_role("combobox", name="Prompt").press("ArrowDown")
    for trait, value in (("prediction", "prompt"), ("mean_change", "prompts")):
        run_cell(page, f"[job.wait(60) for job in circuit._beside.values()]; print(circuit.{trait}['{value}'])")
        assert cell_output(page).strip() == {"prediction": "clean 1", "mean_change": "12"}[trait]
    box.get_by_text("mean of 12 clean prompts").wait_for()

    # the threshold moves without the kernel, which hears of it
    shown = box.locator(".iw-threshold .iw-amount").first.text_content()
    box.get_by_role("slider", name="Nodes", exact=True).press("ArrowLeft")
    page.wait_for_function("s => document.querySelector('.iw-threshold .iw-amount').textContent !== s", arg=shown)
    run_cell(page, "print(circuit.size < circuit.frame.height, len(circuit.chart.to_dict()['layer']))")
    assert cell_output(page).strip() == "True 3"

    portraits(page, box, pictures)

    # the graph is saved, and opened beside its model: what is switched there says the same
    run_cell(
        page,
        "path = circuit.save('graph.json'); other = iw.Circuit(model, graph=iw.read_graph(path)); other.run(); "
        f"other.switch({NODE}, 0); print(other.changes.equals(circuit.changes), other.has_model)",
    )
    assert cell_output(page).strip() == "True True"

    # what is saved shows it, and is opened again
    page.wait_for_function(
        """() => { const outputs = window.jupyterapp.shell.currentWidget.content.model.cells.get(1).outputs;
                   return (outputs.get(0)?.data["text/html"] ?? "").includes('"subject"'); }""",
        timeout=90_000,
    )
    jupyterlab.save(page)
    page.wait_for_function("() => !window.jupyterapp.shell.currentWidget.context.model.dirty")
    [output] = [
        each["data"]
        for cell in json.loads((tmp_path / "circuit.ipynb").read_text(encoding="utf-8"))["cells"]
        for each in cell["outputs"]
        if "application/vnd.interp-widgets+json" in each.get("data", {})
    ]
    html = "".join(output["text/html"])
    assert "data:image/png" in html
    run_cell(
        page,
        "kept = iw.reopen('circuit.ipynb'); print(kept.asleep, list(kept.labels.values()), kept.frame.height > 500)",
    )
    assert cell_output(page).strip() == "True ['subject'] True"


def portraits(page, box, pictures) -> None:
    page.mouse.move(0, 0)
    page.evaluate("() => document.activeElement?.blur()")
    page.evaluate("() => window.jupyterapp.commands.execute('application:toggle-left-area')")
    page.set_viewport_size({"width": 1340, "height": 2300})
    page.wait_for_timeout(700)
    for dark in (False, True):
        jupyterlab.set_theme(page, dark=dark)
        page.wait_for_timeout(700)
        box.screenshot(path=pictures / f"circuit-{'dark' if dark else 'light'}.png")
    jupyterlab.set_theme(page, dark=False)
    page.set_viewport_size({"width": 600, "height": 3400})
    page.wait_for_timeout(700)
    box.screenshot(path=pictures / "circuit-narrow.png")
