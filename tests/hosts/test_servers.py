"""Every panel in hosts that the project does not ship: Notebook 7, marimo and Voila, as servers, in a real browser.

They are in an environment of their own: `make test-hosts` installs it and runs these. Elsewhere they are skipped.
"""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests import jupyterlab
from tests.hosts import cells, environment

# Not marked as browser tests: those must run in CI, and these run only where they are asked for.
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not os.environ.get("IW_TEST_HOSTS"), reason="other hosts: `make test-hosts` installs and runs them"),
]  # fmt: skip

COUNT = len(cells.PANELS) - 1  # all but the chart
SECONDS = 180


@contextmanager
def serve(folder: Path, *command: str, ready: str) -> Iterator[str]:
    """Start a host's server with `{port}` filled in; its address once `ready` answers."""
    port = jupyterlab._free_port()
    log = folder / "server.log"
    home = folder / "home"
    home.mkdir()
    mine = {"HOME": str(home), "JUPYTER_PLATFORM_DIRS": "1", "XDG_CONFIG_HOME": str(home / "config")}
    keep = {"IW_CACHE": os.environ.get("IW_CACHE", str(Path.home() / ".cache" / "interp_widgets"))}
    with log.open("w") as stream:
        process = subprocess.Popen(
            [str(environment.python()), "-m", *(part.format(port=port) for part in command)],
            env=environment.variables() | mine | keep, cwd=folder, stdout=stream, stderr=subprocess.STDOUT,
        )  # fmt: skip
        try:
            address = f"http://127.0.0.1:{port}"
            jupyterlab._wait_until_up(address, process, log, ready)
            yield address
        finally:
            jupyterlab._stop(process)


@pytest.fixture
def page(browser, request) -> Iterator:
    """A page that notes what it asks of other machines; our modules, which are loaded from blobs, must meet no error in it."""
    page = browser.new_page(viewport={"width": 1200, "height": 1000})
    page.set_default_timeout(SECONDS * 1000)
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(error.stack or str(error)))
    page.host = request.node.name.removeprefix("test_")
    page.outside = jupyterlab.watch_requests(page)
    yield page
    if folder := os.environ.get("IW_PICTURES"):
        page.screenshot(
            path=Path(folder)
            / f"host-{page.evaluate('location.pathname').strip('/').replace('/', '-') or 'marimo'}.png"
        )
    page.close()
    assert [each for each in errors if "blob:" in each] == []


def picture(page) -> None:
    """A screenshot in IW_PICTURES, to look at."""
    if folder := os.environ.get("IW_PICTURES"):
        page.screenshot(path=Path(folder) / f"host-{page.host}.png")


def check_panels(page, count: int = COUNT) -> None:
    """Every panel is there with a result and no error; a press is seen in the panel."""
    panels = page.locator("section.iw")  # a locator looks into shadow roots too: marimo draws in one
    busy = "all => all.filter((each) => each.ariaBusy === 'true').length"
    deadline = time.monotonic() + SECONDS
    while (panels.count() < count or panels.evaluate_all(busy)) and time.monotonic() < deadline:
        page.wait_for_timeout(500)
    picture(page)
    assert panels.count() >= count, panels.evaluate_all("all => all.map((each) => each.dataset.panel)")
    assert panels.evaluate_all(busy) == 0
    page.wait_for_timeout(500)
    for panel in page.locator("section.iw").all():
        name = panel.get_attribute("data-panel")
        assert [e.inner_text() for e in panel.locator(".iw-error:visible").all()] == [], name
        assert len(panel.text_content() or "") > 60, f"{name} is empty"
    explorer = page.locator('section.iw[data-panel="explorer"]')
    assert explorer.locator("section.iw").count() >= 1, "the explorer holds no panel"
    lens = page.locator('section.iw[data-panel="lens"]').first
    lens.get_by_role("option").nth(3).click()
    lens.locator('[role=option][aria-selected="true"]').first.wait_for()


def test_notebook_7(page, tmp_path) -> None:
    cells.notebook(tmp_path)
    command = ("notebook", "--no-browser", "--allow-root", "--ServerApp.ip=127.0.0.1", "--ServerApp.port={port}",
               "--IdentityProvider.token=", "--ServerApp.password=", f"--ServerApp.root_dir={tmp_path}",
               "--JupyterNotebookApp.expose_app_in_browser=True")  # fmt: skip
    with serve(tmp_path, *command, ready="/api/status") as url:
        page.goto(f"{url}/notebooks/panels.ipynb")
        page.locator(".jp-Notebook .jp-Cell").first.wait_for()
        jupyterlab.wait_idle(page)
        jupyterlab.run_all(page, SECONDS)
        check_panels(page)
        page.locator(".iw-vega svg").first.wait_for()
        run = "lens.positions"
        assert jupyterlab_answer(page, run) == "[3]", "the kernel hears of the press"
        assert page.outside == set()


def jupyterlab_answer(page, expression: str) -> str:
    from tests.jupyter.notebooks import cell_output, run_cell

    run_cell(page, f"print({expression})")
    return cell_output(page).strip()


def test_marimo(page, tmp_path) -> None:
    cells.marimo(tmp_path)
    command = ("marimo", "run", "panels.py", "--headless", "--no-token", "--host=127.0.0.1", "--port={port}")
    with serve(tmp_path, *command, ready="/health") as url:
        page.goto(url)
        check_panels(page)
        page.get_by_text("positions heard: [3]").wait_for()
        assert page.outside == set()


def test_voila(page, tmp_path) -> None:
    """A notebook as a page: it runs at each visit, without its code."""
    cells.notebook(tmp_path)
    command = ("voila", "panels.ipynb", "--no-browser", "--Voila.ip=127.0.0.1", "--port={port}")
    with serve(tmp_path, *command, ready="/voila/static/voila.js") as url:
        page.goto(url, wait_until="commit")  # the page is long in coming: Voila runs the notebook first
        check_panels(page)
        page.locator(".iw-vega svg").first.wait_for()
        theirs = {address for address in page.outside if "fontawesome" in address}  # icons of Voila's own template
        assert page.outside - theirs == set()


def test_the_server_of_a_host_is_not_this_environment() -> None:
    assert environment.installed(), "`make test-hosts` installs the hosts"
    code = "import marimo, notebook, voila; print(marimo.__version__, notebook.__version__, voila.__version__)"
    said = subprocess.run([environment.python(), "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert [f"{n}=={v}" for n, v in zip(("marimo", "notebook", "voila"), said, strict=True)] == [
        line for line in environment.REQUIREMENTS.read_text().split() if "==" in line
    ]
