"""A panel on a server as a person uses it: in JupyterLab, in a queue, with a free kernel, cancelled, and asked again."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest

import interp_widgets as iw
from tests import jupyterlab
from tests.jupyter.conftest import lab_page as lab_page
from tests.jupyter.conftest import lab_url as lab_url
from tests.jupyter.conftest import pictures as pictures
from tests.jupyter.notebooks import SET_UP, cell_output, open_and_run, panel, run_cell, wait_for_panels, write
from tests.remote import work
from tests.remote.server import Server

pytestmark = [pytest.mark.browser, pytest.mark.slow]
TEXT = "when mary and john went to the store , john gave a drink to"
BUSY = 15.0
"""Seconds that the model has other work, so that a panel has to queue."""


@pytest.fixture
def busy(server: Server, models: dict[str, Path]) -> Any:
    """Give the model something else to do, for so long."""
    other, threads = iw.load(models["toy-grammar"], remote=server.host), []

    def begin() -> None:
        threads.append(threading.Thread(target=other.work, args=(work.wait, BUSY)))
        threads[-1].start()

    yield begin
    for thread in threads:
        thread.join(60)


def test_a_panel_queues_while_the_kernel_is_free(
    server: Server, models: dict[str, Path], busy: Any, lab_url: Any, lab_page: Any, tmp_path: Path, pictures: Path
) -> None:
    load = f"model = iw.load({str(models['toy-grammar'])!r}, remote={server.host!r})"
    write(tmp_path, "remote", f"{SET_UP}{load}", f"lens = iw.Lens(model, {TEXT!r})\nlens")
    page = lab_page
    open_and_run(page, lab_url(tmp_path), "remote")
    box = panel(page, "Lens")
    box.get_by_text(f"on {server.host.removeprefix('http://')}").wait_for()
    before = box.locator("[role=grid]").first.inner_text()

    busy()
    page.wait_for_timeout(1500)
    run_cell(page, "lens.text = 'the keys to the cabinet are'; lens._start()")
    cell_output(page)
    box.get_by_text("queue").first.wait_for(timeout=10_000)
    assert box.locator("[role=grid]").first.inner_text() == before, "the former result stays"
    run_cell(page, "print(6 * 7)")
    assert cell_output(page, 5).strip() == "42", "the kernel is free"
    for dark in (False, True):
        jupyterlab.set_theme(page, dark=dark)
        page.wait_for_timeout(500)
        box.screenshot(path=pictures / f"remote-{'dark' if dark else 'light'}.png")
    jupyterlab.set_theme(page, dark=False)

    box.get_by_role("button", name="Cancel").click()
    box.get_by_text("Stopped").first.wait_for(timeout=5000)
    run_cell(page, "lens._start()")
    page.wait_for_function(  # not whether it is busy: it may not have begun
        "before => document.querySelector('section.iw [role=grid]').innerText !== before", arg=before, timeout=60_000
    )
    wait_for_panels(page)
    run_cell(page, "print(iw.jobs()['state'].to_list()[0], lens.provenance['backend'])")
    assert cell_output(page).strip() == f"completed NDIF at {server.host}"
