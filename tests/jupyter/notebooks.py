"""Notebooks for the JupyterLab tests, and what the tests read off the page."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import nbformat
from nbformat.v4 import new_code_cell, new_notebook

from tests import jupyterlab

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page

SET_UP = """import os
os.environ["OMP_NUM_THREADS"] = "1"
import interp_widgets as iw
import torch
torch.set_num_threads(1)
"""

TOY = (
    SET_UP
    + """model = iw.load("toy-grammar")
sae = iw.load_sae("toy-grammar/resid_post.2")
IOI = "when mary and john went to the store , john gave a drink to"
CORRUPT = "when mary and john went to the store , mary gave a drink to"
"""
)


def write(folder: Path, name: str, *cells: str) -> None:
    """A notebook of code cells."""
    notebook = new_notebook(cells=[new_code_cell(cell) for cell in cells])
    notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    nbformat.write(notebook, folder / f"{name}.ipynb")


def open_and_run(page: Page, url: str, name: str) -> None:
    """Open a notebook, run it, and wait until every panel has finished."""
    jupyterlab.open_notebook(page, url, f"{name}.ipynb")
    jupyterlab.run_all(page)
    wait_for_panels(page)


def wait_for_panels(page: Page, seconds: float = 180) -> None:
    """Wait until no panel works any more."""
    page.wait_for_function(
        "() => { const p = [...document.querySelectorAll('section.iw')]; return p.length && p.every(e => e.ariaBusy !== 'true'); }",
        timeout=seconds * 1000,
    )


def panel(page: Page, name: str) -> Locator:
    """The first panel of that name ("Lens", "Atoms", "Patching")."""
    return page.locator(f'section.iw[data-panel="{name.lower()}"]').first


def run_cell(page: Page, code: str) -> None:
    """Run code in the notebook's kernel, as another cell would; does not wait for its end."""
    let_through(page)
    page.evaluate(
        """code => {
            const kernel = window.jupyterapp.shell.currentWidget.sessionContext.session.kernel;
            window.lastCell = { done: false, text: "" };
            const future = kernel.requestExecute({ code });
            future.onIOPub = message => {
                if (message.content.text) window.lastCell.text += message.content.text;
                if (message.content.evalue) window.lastCell.text += message.content.evalue;
            };
            future.done.then(() => { window.lastCell.done = true; });
        }""",
        code,
    )


def let_through(page: Page) -> None:
    """Wait until the kernel has taken what was pressed and its answer is here.

    A widget keeps a change to itself until the kernel has taken its last one, so this asks twice.
    """
    page.evaluate(
        """async () => {
            const kernel = window.jupyterapp.shell.currentWidget.sessionContext.session.kernel;
            for (let i = 0; i < 2; i++) await kernel.requestExecute({ code: "", silent: true }).done;
        }"""
    )


def cell_output(page: Page, seconds: float = 60) -> str:
    """What the code of `run_cell` printed, once it has ended."""
    page.wait_for_function("() => window.lastCell.done", timeout=seconds * 1000)
    return page.evaluate("() => window.lastCell.text")
