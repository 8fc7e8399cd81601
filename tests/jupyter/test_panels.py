"""The panels in a real JupyterLab, used as a person would use them."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from tests import jupyterlab
from tests.jupyter.notebooks import TOY, cell_output, open_and_run, panel, run_cell, wait_for_panels, write

pytestmark = [pytest.mark.browser, pytest.mark.slow]

SCRIPTS = "<script>window.harm = 1</script> </script> <img src=x onerror='window.harm = 1'>"


@pytest.fixture(scope="module")
def url(lab_url, tmp_path_factory) -> str:
    folder: Path = tmp_path_factory.mktemp("panels")
    write(
        folder,
        "all",
        TOY,
        "lens = iw.Lens(model, IOI)\nlens",
        "atoms = iw.Atoms(model, IOI, sae=sae, corpus=iw.corpus(model, [IOI, CORRUPT] * 3, sae=sae))\natoms",
        "attention = iw.Attention(model, IOI)\nattention",
        "patching = iw.Patching(model, IOI, CORRUPT, 'mary', 'john')\npatching",
    )
    write(
        folder,
        "steering",
        TOY,
        "steering = iw.Steering(model, 'mary went home because', direction=(sae, 122), tokens=4)\nsteering",
    )
    write(
        folder,
        "linked",
        TOY,
        "import ipywidgets\nlens = iw.Lens(model, IOI)\natoms = iw.Atoms(model, IOI, sae=sae)\n"
        "ipywidgets.link((lens, 'positions'), (atoms, 'positions'))\nlens",
        "atoms",
    )
    write(
        folder,
        "chart",
        TOY,
        "lens = iw.Lens(model, IOI)\nlens.chart",
        "patching = iw.Patching(model, IOI, CORRUPT, 'mary', 'john')\npatching.chart",
    )
    slow = (
        "import time, importlib\n"
        "way = importlib.import_module('interp_widgets.methods.sweep')._Way\n"
        "quick = way.fill\n"
        "def slow(*arguments):\n    time.sleep(2)\n    quick(*arguments)\n"
        "way.fill = slow\n"
        "patching = iw.Patching(model, IOI, CORRUPT, 'mary', 'john')\npatching"
    )
    write(folder, "slow", TOY, slow)
    return lab_url(folder)


@pytest.fixture
def page(lab_page):
    return lab_page


def test_lens_click_shows_the_top_tokens_and_pins_a_line(url, page) -> None:
    open_and_run(page, url, "all")
    lens = panel(page, "Lens")
    lens.get_by_role("gridcell").last.click()
    top = lens.get_by_role("list", name="Most likely tokens at the selected cell")
    top.get_by_role("button", name="mary").first.click()
    lens.get_by_role("list", name="Pinned lines").get_by_text("mary").wait_for()
    run_cell(page, "print(lens.cell, lens.positions, len(lens.pins), lens.selection['token'][0])")
    assert cell_output(page).strip() == "[3, 14] [14] 1 mary"
    token = lens.get_by_role("option").nth(4)
    token.click()
    lens.get_by_role("option").nth(6).click(modifiers=["Shift"])
    run_cell(page, "print(lens.positions, lens.cell)")
    assert cell_output(page).strip() == "[4, 5, 6] []"


def test_atoms_click_recolours_the_text(url, page) -> None:
    open_and_run(page, url, "all")
    atoms = panel(page, "Atoms")
    token = atoms.get_by_role("option").nth(11)
    token.click()
    atoms.get_by_text("reconstruction error").first.wait_for()
    before = token.evaluate("e => getComputedStyle(e).backgroundColor")
    atoms.get_by_role("list", name="Active atoms, largest first").get_by_role("button").first.click()
    page.wait_for_function(
        "([e, before]) => getComputedStyle(e).backgroundColor !== before", arg=[token.element_handle(), before]
    )
    card = atoms.get_by_label("Atom card")
    card.get_by_text("Most changed predictions").or_(card.get_by_text("No prediction changes")).wait_for()
    assert card.get_by_role("tab", name="Whole range").is_visible()
    assert "of the tokens" in card.text_content()
    atoms.get_by_role("button", name="Find").click()
    atoms.get_by_role("list", name="Atoms found").get_by_role("button").first.wait_for()
    run_cell(page, "print(atoms.atom == atoms.frame.filter(position=11)['atom'][0], atoms.pinned == [atoms.atom])")
    assert cell_output(page).strip() == "True True"


def test_attention_click_brings_another_layer_and_measures_the_effect(url, page) -> None:
    open_and_run(page, url, "all")
    attention = panel(page, "Attention")
    attention.get_by_role("option", name="L3 H1").click()
    attention.get_by_role("heading", name="Layer 3, head 1").wait_for()
    queries = attention.get_by_role("listbox", name="Queries")
    queries.get_by_role("option").nth(14).click()
    run_cell(page, "print(attention.head, attention.loaded, attention.selection['position'].unique().to_list())")
    assert cell_output(page).strip() == "[3, 1] 3 [14]"
    page.wait_for_function("e => !e.querySelector('[data-stale]')", arg=attention.element_handle())
    attention.get_by_role("button", name="Value-weighted").click()
    attention.get_by_text("weight × |v W_O|").wait_for()
    attention.get_by_label("Answer").fill("mary")
    attention.get_by_label("Foil").fill("john")
    attention.get_by_role("button", name="Measure effect").click()
    attention.get_by_text("Effect: what logit('mary') − logit('john') gains").wait_for()
    wait_for_panels(page)
    run_cell(page, "print(attention.sort, attention.valued, attention.heads['effect'].null_count())")
    assert cell_output(page).strip() == "effect 3 0"
    strongest = attention.get_by_role("listbox", name="Heads").get_by_role("option").first.text_content()
    run_cell(
        page,
        "e = attention.heads; b = e[int(e['effect'].abs().arg_max())]; print(f\"L{b['layer'][0]} H{b['head'][0]}\")",
    )
    assert strongest.startswith(cell_output(page).strip())


def test_patching_click_shows_the_patched_prediction(url, page) -> None:
    open_and_run(page, url, "all")
    patching = panel(page, "Patching")
    patching.get_by_role("gridcell").last.click()
    run_cell(page, "print(patching.cell, patching.predictions.filter(run='resid_post.3@14')['token'][0])")
    assert cell_output(page).strip() == "['resid_post', 3, 14] mary"
    patching.get_by_role("tab", name="Attention output").click()
    patching.get_by_text("✓ identity").wait_for()
    run_cell(page, "print(patching.site)")
    assert cell_output(page).strip() == "attn_out"


def test_steering_runs_a_strength_that_is_typed_and_another_mode(url, page) -> None:
    open_and_run(page, url, "steering")
    steering = panel(page, "Steering")
    typed = steering.get_by_role("spinbutton", name="Strength as a number")
    typed.fill("12.5")
    typed.press("Enter")
    steering.get_by_role("region", name="Steered, strength 12.5").wait_for()
    wait_for_panels(page)
    run_cell(page, "print(steering.strength, 12.5 in steering.frame['strength'], steering.selection.height)")
    assert cell_output(page).strip() == "12.5 True 4"
    steering.get_by_role("radio", name="ablate").check()
    steering.get_by_role("button", name="Run with these").click()
    steering.get_by_role("region", name="Steered, strength 1", exact=True).wait_for()
    wait_for_panels(page)
    steering.get_by_role("listbox", name="Strengths").get_by_role("option").first.click()
    steering.get_by_role("region", name="Steered, strength 0", exact=True).wait_for()
    run_cell(page, "print(steering.strength, steering.provenance['mode'], steering.stale)")
    assert cell_output(page).strip() == "0.0 ablate False"


def test_hover_sends_nothing_to_the_kernel(url, page) -> None:
    sent: list[str] = []
    page.on("websocket", lambda socket: socket.on("framesent", lambda frame: sent.append(str(frame))))
    open_and_run(page, url, "all")
    for name in ("Lens", "Atoms", "Attention", "Patching"):
        panel(page, name).scroll_into_view_if_needed()
        time.sleep(0.3)
        sent.clear()
        for role in ("gridcell", "option"):
            for place in panel(page, name).locator(f"[role={role}]:visible").all()[:12]:
                place.hover()
        time.sleep(0.3)
        assert [frame for frame in sent if "comm" in frame] == []


def test_a_click_is_answered_quickly(url, page) -> None:
    """From a click to the changed picture, kernel included, with a model that takes a few milliseconds."""
    open_and_run(page, url, "all")
    atoms = panel(page, "Atoms")
    atoms.get_by_role("option").nth(11).click()
    number = atoms.get_by_label("Atom that colours the text")
    run_cell(page, "print(atoms.frame['atom'].unique().to_list())")
    listed = set(json.loads(cell_output(page)))
    unlisted = [atom for atom in range(384) if atom not in listed][:20]
    waits = []
    for atom in unlisted:
        number.fill(str(atom))
        began = time.perf_counter()
        number.press("Enter")
        atoms.get_by_text(f"#{atom} does not fire in this text.").wait_for()
        waits.append((time.perf_counter() - began) * 1000)

    lens = panel(page, "Lens")
    run_cell(
        page,
        """
model_ms = []
def note(change):
    if change["new"]["state"] == "done":
        model_ms.append(1000 * change["new"]["seconds"])
lens.observe(note, "status")
""",
    )
    runs = []
    for i in range(20):
        text = ("the cat sleeps", "the dogs sleep")[i % 2]
        lens.get_by_role("textbox", name="Prompt").fill(text)
        began = page.evaluate("() => performance.now()")
        lens.get_by_role("button", name="Run").click()
        page.wait_for_function(
            "([e, word]) => [...e.querySelectorAll('[role=option]')].some(t => t.textContent.includes(word))",
            arg=[lens.element_handle(), text.split()[1]],
            polling=5,
        )
        runs.append(page.evaluate("() => performance.now()") - began)
        wait_for_panels(page)
    run_cell(page, "print(model_ms)")
    model_ms = json.loads(cell_output(page))
    # The best of twenty, and twice what it takes alone: another browser works beside it. docs/performance.md has the median.
    assert min(waits) < 300
    assert min(run - model for run, model in zip(runs, model_ms, strict=True)) < 300


def test_another_cell_runs_while_a_panel_works_and_cancel_keeps_what_is_done(url, page) -> None:
    jupyterlab.open_notebook(page, url, "slow.ipynb")
    jupyterlab.run_all(page)
    patching = panel(page, "Patching")
    patching.get_by_role("button", name="Cancel").wait_for()
    run_cell(page, "print(6 * 7, patching.status['state'])")
    assert cell_output(page, 5).strip() == "42 running"
    page.wait_for_function("() => document.querySelector('section.iw progress')?.value >= 1")
    patching.get_by_role("button", name="Cancel").click()
    wait_for_panels(page, 10)
    run_cell(page, "print(patching.status['state'], patching.frame.filter(method='exact')['site'].n_unique() >= 2)")
    assert cell_output(page).strip() == "cancelled True"


def test_the_stop_button_reaches_a_panel_that_works(url, page) -> None:
    jupyterlab.open_notebook(page, url, "slow.ipynb")
    jupyterlab.run_all(page)
    patching = panel(page, "Patching")
    patching.get_by_role("button", name="Cancel").wait_for()
    page.wait_for_timeout(1200)
    page.evaluate("() => window.jupyterapp.commands.execute('notebook:interrupt-kernel')")
    patching.get_by_role("alert").get_by_text("interrupted").wait_for(timeout=10_000)
    wait_for_panels(page, 10)
    run_cell(page, "print(patching.status['state'])")
    assert cell_output(page).strip() == "error"


def test_a_failing_click_shows_its_sentence_and_the_panel_goes_on(url, page) -> None:
    open_and_run(page, url, "all")
    lens = panel(page, "Lens")
    prompt, run = lens.get_by_role("textbox", name="Prompt"), lens.get_by_role("button", name="Run")
    run_cell(page, "whole = model.run\ndef fail(*a, **k): raise MemoryError()\nmodel.run = fail")
    cell_output(page)
    prompt.fill("the cat sleeps")
    run.click()
    lens.get_by_role("alert").get_by_text("not enough memory").wait_for()
    assert lens.get_by_role("option").count() == 15
    run_cell(page, "model.run = whole")
    cell_output(page)
    prompt.fill("the cat sleeps")
    run.click()
    page.wait_for_function("e => e.querySelectorAll('[role=option]').length === 4", arg=lens.element_handle())
    assert not lens.get_by_role("alert").is_visible()
    prompt.fill("word " * 100)
    run.click()
    lens.get_by_role("alert").get_by_text("reads at most 64").wait_for()


def test_linked_panels_follow_each_other(url, page) -> None:
    open_and_run(page, url, "linked")
    panel(page, "Lens").get_by_role("option").nth(3).click()
    follower = panel(page, "Atoms").get_by_role("option").nth(3)
    page.wait_for_function("e => e.ariaSelected === 'true'", arg=follower.element_handle())
    panel(page, "Atoms").get_by_role("option").nth(7).click()
    page.wait_for_function(
        "e => e.ariaSelected === 'true'", arg=panel(page, "Lens").get_by_role("option").nth(7).element_handle()
    )
    run_cell(page, "print(lens.positions, atoms.positions)")
    assert cell_output(page).strip() == "[7] [7]"


def test_charts_are_drawn_with_no_network_in_both_themes(url, page) -> None:
    jupyterlab.open_notebook(page, url, "chart.ipynb")
    jupyterlab.run_all(page)
    marks = page.locator(".iw-vega svg.marks")
    marks.nth(1).wait_for()
    jupyterlab.set_theme(page, dark=True)
    page.wait_for_timeout(500)
    assert marks.count() == 2
    run_cell(
        page,
        "import ipywidgets\nprint(sum(type(w).__name__ == 'ChartLibrary' for w in ipywidgets.widgets.widget._instances.values()))",
    )
    assert cell_output(page).strip() == "1"


def test_narrow_and_dark_have_no_sideways_scroll(url, lab_page) -> None:
    page = lab_page
    page.set_viewport_size({"width": 600, "height": 900})
    open_and_run(page, url, "all")
    for dark in (False, True):
        jupyterlab.set_theme(page, dark=dark)
        for name in ("Lens", "Atoms", "Attention", "Patching"):
            box = panel(page, name)
            assert box.evaluate("e => e.scrollWidth <= e.clientWidth + 1"), name
            assert box.evaluate("e => e.offsetWidth <= e.closest('.jp-OutputArea-output').clientWidth + 1"), name
    jupyterlab.set_theme(page, dark=False)
