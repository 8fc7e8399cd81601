"""Saved notebooks with JupyterLab's defaults: what a reader sees later, in each place where notebooks are read."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import nbclient
import nbformat
import pytest

from tests import jupyterlab
from tests.jupyter.notebooks import TOY, cell_output, open_and_run, panel, run_cell, wait_for_panels, write

pytestmark = [pytest.mark.browser, pytest.mark.slow]

MIME = "application/vnd.interp-widgets+json"
WIDGET = "application/vnd.jupyter.widget-view+json"
CELLS = (TOY, "lens = iw.Lens(model, IOI)\nlens", "display(iw.Patching(model, IOI, CORRUPT, 'mary', 'john'))")

SAVED = f"""() => {{
    const cells = window.jupyterapp.shell.currentWidget.content.model.cells;
    return [1, 2].every(i => {{
        const data = cells.get(i).outputs.get(0)?.data ?? {{}};
        return data["text/html"]?.includes("data-iw-still><p><b>") && data["text/html"].includes("<img") && !data["{WIDGET}"];
    }});
}}"""


def outputs(file: Path) -> list[dict]:
    """The data of every output of a notebook."""
    cells = json.loads(file.read_text(encoding="utf-8"))["cells"]
    return [output["data"] for cell in cells for output in cell["outputs"] if "data" in output]


def open_saved(page, url: str, path: str) -> None:
    """Open a notebook without running anything."""
    page.goto(f"{url}/{path}")
    page.wait_for_function("() => window.jupyterapp?.restored !== undefined", timeout=60_000)


@pytest.fixture(scope="module")
def saved(browser, lab_url, tmp_path_factory) -> Path:
    """A notebook that was run and saved in JupyterLab; what had to hold there is asserted."""
    folder = tmp_path_factory.mktemp("saved")
    write(folder, "saved", *CELLS)
    page = browser.new_page(viewport={"width": 1200, "height": 900})
    open_and_run(page, lab_url(folder), "saved")
    page.wait_for_function(SAVED, timeout=90_000)
    page.evaluate("() => { window.before = document.querySelector('section.iw'); }")
    token = panel(page, "Lens").get_by_role("option").nth(4)
    token.click()
    page.wait_for_function(
        """() => window.jupyterapp.shell.currentWidget.content.model.cells.get(1).outputs.get(0)
                   .data["text/html"].includes('"positions":[4]')""",
        timeout=60_000,
    )
    assert page.evaluate("() => window.before.isConnected"), "the live view was drawn again when its twin was written"
    assert token.evaluate("e => e === document.activeElement"), "the focus was lost when the twin was written"
    assert page.locator(".iw-saved").count() == 0
    jupyterlab.save(page)
    page.wait_for_function("() => !window.jupyterapp.shell.currentWidget.context.model.dirty")
    page.close()
    return folder / "saved.ipynb"


@pytest.fixture(scope="module")
def executed(tmp_path_factory) -> Path:
    """The same notebook, executed by a program: nobody could click."""
    folder = tmp_path_factory.mktemp("executed")
    write(folder, "executed", *CELLS)
    notebook = nbformat.read(folder / "executed.ipynb", 4)
    nbclient.NotebookClient(notebook, timeout=240, store_widget_state=False).execute()
    nbformat.write(notebook, folder / "executed.ipynb")
    return folder / "executed.ipynb"


def test_what_is_saved_is_the_twin_and_no_widget(saved, executed) -> None:
    for file in (saved, executed):
        found = outputs(file)
        assert [data[MIME]["class"] for data in found] == ["Lens", "Patching"]
        assert not any(WIDGET in data for data in found)
        assert all("data:image/png;base64," in "".join(data["text/html"]) for data in found)
        assert "widgets" not in json.loads(file.read_text(encoding="utf-8"))["metadata"]


def test_untrusted_elsewhere_it_is_interactive_and_one_press_makes_it_live(saved, lab_url, lab_page, tmp_path) -> None:
    (tmp_path / "clone.ipynb").write_bytes(saved.read_bytes())
    page = lab_page
    open_saved(page, lab_url(tmp_path), "lab/tree/clone.ipynb?reset")
    page.locator(".iw-saved").nth(1).wait_for()
    wait_for_panels(page)
    assert not page.evaluate("() => window.jupyterapp.shell.currentWidget.content.model.cells.get(1).trusted")
    lens = panel(page, "Lens")
    assert lens.get_by_role("option", selected=True).text_content().strip() == "john"
    lens.get_by_role("gridcell").last.click()
    lens.get_by_role("list", name="Most likely tokens at the selected cell").get_by_role(
        "button", name="mary"
    ).first.wait_for()
    assert page.get_by_text("Error displaying widget").count() == 0
    page.get_by_role("button", name="Make live").first.click()
    page.wait_for_function("() => document.querySelectorAll('.iw-saved').length === 1", timeout=60_000)
    find = "import ipywidgets\n[lens] = [w for w in ipywidgets.widgets.widget._instances.values() if hasattr(w, 'asleep')]\n"
    run_cell(page, f"{find}print(lens.asleep, lens._job, len(lens.frame), 'nnsight' in lens.code())")
    assert cell_output(page).strip() == "True None 300 True"  # a result, and nothing ran
    lens.get_by_role("textbox", name="Prompt").fill("mary went home because")
    lens.get_by_role("button", name="Run").click()
    lens.get_by_role("option", name="because").wait_for()
    wait_for_panels(page)
    run_cell(page, "print(lens.asleep, lens.text, lens.error)")
    assert cell_output(page).strip() == "False mary went home because"
    page.wait_for_function(
        f"""() => {{ const data = window.jupyterapp.shell.currentWidget.content.model.cells.get(1).outputs.get(0).data;
                     return data["text/html"].includes("mary went home because") && data["{MIME}"].model_id; }}""",
        timeout=60_000,
    )
    jupyterlab.save(page)
    page.reload()  # the kernel lives on
    page.locator("section.iw").first.wait_for()
    page.wait_for_function("() => document.querySelectorAll('.iw-saved').length === 1", timeout=60_000)
    assert lens.get_by_role("textbox", name="Prompt").input_value() == "mary went home because"


def test_notebook_7_shows_it(saved, lab_page) -> None:
    pytest.importorskip("notebook")
    with jupyterlab.server(saved.parent, app="notebook") as url:
        open_saved(lab_page, url, "notebooks/saved.ipynb")
        lab_page.locator(".iw-saved").nth(1).wait_for(timeout=60_000)
        panel(lab_page, "Lens").get_by_role("gridcell").last.click()
        assert lab_page.get_by_text("Error displaying widget").count() == 0


def test_a_lab_without_the_extension(saved, lab_page) -> None:
    """Untrusted there is the picture and the table; trusted, the panel."""
    with jupyterlab.server(saved.parent, extension=False) as url:
        open_saved(lab_page, url, "lab/tree/saved.ipynb?reset")
        picture = lab_page.locator(".jp-OutputArea-output img").first
        picture.wait_for(timeout=60_000)
        assert picture.evaluate("e => e.naturalWidth") > 100
        assert lab_page.locator(".jp-OutputArea-output td").first.is_visible()
        assert lab_page.locator("section.iw").count() == 0
        assert lab_page.get_by_text("Error displaying widget").count() == 0
        lab_page.evaluate(
            """() => { const { model } = window.jupyterapp.shell.currentWidget.content;
                       for (let i = 0; i < model.cells.length; i++) model.cells.get(i).trusted = true; }"""
        )
        panel(lab_page, "Lens").get_by_role("gridcell").last.click(timeout=60_000)
        assert not picture.is_visible()


def test_nbconvert_gives_a_page_that_is_interactive_offline(executed, browser, tmp_path) -> None:
    command = [sys.executable, "-m", "nbconvert", "--to", "html", "--output-dir", str(tmp_path), str(executed)]
    subprocess.run(command, check=True, capture_output=True, timeout=120)
    context = browser.new_context(offline=True, viewport={"width": 1000, "height": 900})
    page = context.new_page()
    page.goto((tmp_path / "executed.html").as_uri(), wait_until="commit")
    panel(page, "Patching").get_by_role("gridcell").last.click(timeout=60_000)
    panel(page, "Lens").get_by_role("gridcell").last.click()
    assert page.locator("[data-iw-still]").count() == 0
    assert page.get_by_text("Error displaying widget").count() == 0
    context.close()


def test_a_viewer_without_scripts_shows_picture_and_table(saved, executed, browser, tmp_path) -> None:
    context = browser.new_context(offline=True, java_script_enabled=False)
    for file in (saved, executed):
        page = context.new_page()
        body = "".join("".join(data["text/html"]) for data in outputs(file))
        (tmp_path / "page.html").write_text(f"<!doctype html><meta charset=utf-8>{body}", encoding="utf-8")
        page.goto((tmp_path / "page.html").as_uri())
        assert page.get_by_role("img").count() == 2
        assert page.get_by_role("img").first.bounding_box()["width"] > 100
        assert page.get_by_text("The first 8 of 300 rows.").is_visible()
        assert page.locator("section.iw").count() == 0
    context.close()
