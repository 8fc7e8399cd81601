"""A real JupyterLab, driven by playwright: a server that knows nothing of this machine, and the steps a person takes in it.

    with server(folder) as url:
        page = browser.new_page()
        outside = watch_requests(page)
        open_notebook(page, url, "start.ipynb")
        run_all(page)
        set_theme(page, dark=True)
        assert not outside

Each wait below stands for a failure that came without it.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import tomllib
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from playwright.sync_api import Page

START_SECONDS = 90

_SETTINGS = {
    # Without autoStartDefaultKernel a "Select Kernel" dialog opens and running the cells waits for it for ever. Without
    # windowing every cell is in the page, also those below the fold.
    "@jupyterlab/notebook-extension/tracker": {
        "windowingMode": "none",
        "recordTiming": False,
        "autoStartDefaultKernel": True,
    },
    "@jupyterlab/apputils-extension/notification": {
        "fetchNews": "false",
        "checkForUpdates": False,
        "doNotDisturbMode": True,
    },
    "@jupyterlab/docmanager-extension/plugin": {"autosave": False},
}

_PROMPTS = "[...document.querySelectorAll('.jp-CodeCell .jp-InputPrompt')].map(prompt => prompt.textContent)"
# From the notebook's model: in the page an error looks like anything else on standard error, such as a progress bar.
_ERRORS = """() => {
    const cells = window.jupyterapp.shell.currentWidget.content.model.cells;
    return Array.from({ length: cells.length }, (_, index) => cells.get(index))
        .flatMap(cell => cell.outputs?.toJSON() ?? [])
        .filter(output => output.output_type === "error")
        .map(output => `${output.ename}: ${output.evalue}`);
}"""


REPOSITORY = Path(__file__).parents[1]


@contextmanager
def server(
    root: Path,
    *,
    save_state: bool = False,
    extension: bool = True,
    app: str = "jupyterlab",
    environment: dict[str, str] | None = None,
) -> Iterator[str]:
    """Serve JupyterLab, or another `app` such as "notebook", on `root` and give its address.

    Args:
        save_state: whether widgets are kept in saved notebooks.
        extension: whether our extension is there, that of this repository.
    """
    with tempfile.TemporaryDirectory(prefix="iw-lab-", ignore_cleanup_errors=True) as scratch:
        home = Path(scratch)
        _write_settings(home / "settings", save_state)
        _put_extension(home, extension)
        port = _free_port()
        url, log = f"http://127.0.0.1:{port}", home / "server.log"
        with log.open("w") as stream:
            process = subprocess.Popen(
                _command(root.resolve(), port, app),
                env=os.environ | _isolated(home) | (environment or {}),
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=subprocess.STDOUT,
            )
            try:
                _wait_until_up(url, process, log)
                yield url
            finally:
                _stop(process)


def watch_requests(page: Page) -> set[str]:
    """A set that fills with every address outside this machine that the page asks for."""
    outside: set[str] = set()

    def note(request) -> None:
        if not request.url.startswith(("http://127.0.0.1:", "ws://127.0.0.1:", "blob:", "data:")):
            outside.add(request.url)

    page.on("request", note)
    return outside


def open_notebook(page: Page, url: str, name: str) -> None:
    """Open `name` (a path below the server's root) and wait for its cells and an idle kernel."""
    page.goto(f"{url}/lab/tree/{name}?reset")
    page.wait_for_function("() => window.jupyterapp?.restored !== undefined", timeout=60_000)
    page.evaluate("() => window.jupyterapp.restored")
    page.locator(".jp-Notebook .jp-Cell").first.wait_for(timeout=60_000)
    wait_idle(page)


def wait_idle(page: Page, seconds: float = 60) -> None:
    """Wait until the kernel of the open notebook has nothing to do."""
    idle = page.locator('.jp-Notebook-ExecutionIndicator[data-status="idle"]').first
    idle.wait_for(timeout=seconds * 1000, state="attached")


def wait_ready(page: Page) -> None:
    """Wait until the kernel of the open notebook has answered."""
    page.evaluate(
        """async () => {
            const panel = window.jupyterapp.shell.currentWidget;
            await panel.context.ready;
            await panel.sessionContext.ready;
            const kernel = panel.sessionContext.session?.kernel;
            if (kernel) { await kernel.info; await kernel.requestKernelInfo(); }
        }"""
    )


def run_all(page: Page, seconds: float = 180) -> None:
    """Run every cell; returns when each has an execution count. Raises AssertionError with any cell's error."""
    wait_ready(page)
    page.evaluate("() => window.jupyterapp.commands.execute('notebook:clear-all-cell-outputs')")
    for _ in range(4):  # the first websocket may be dropped and opened again; a run sent into it is lost without a word
        page.evaluate("() => { window.jupyterapp.commands.execute('notebook:run-all-cells'); }")
        if _becomes_true(page, f"() => {_PROMPTS}.some(text => /\\[[*\\d]/.test(text))", 4):
            break
    page.wait_for_function(
        f"() => ({_ERRORS})().length || {_PROMPTS}.every(text => /\\[\\d+\\]/.test(text))", timeout=seconds * 1000
    )
    wait_idle(page, seconds)
    errors = page.evaluate(_ERRORS)
    assert not errors, "\n".join(errors)


def set_theme(page: Page, *, dark: bool) -> None:
    """Switch JupyterLab to its dark or light theme."""
    theme = "JupyterLab Dark" if dark else "JupyterLab Light"
    page.evaluate("theme => window.jupyterapp.commands.execute('apputils:change-theme', { theme })", theme)
    light = "false" if dark else "true"
    page.wait_for_selector(f'body[data-jp-theme-light="{light}"]', state="attached")


def save(page: Page) -> None:
    """Save the open notebook and wait until it is written."""
    page.evaluate("() => window.jupyterapp.commands.execute('docmanager:save')")


def _becomes_true(page: Page, script: str, seconds: float) -> bool:
    from playwright.sync_api import TimeoutError as NotInTime

    try:
        page.wait_for_function(script, timeout=seconds * 1000)
    except NotInTime:
        return False
    return True


def _put_extension(home: Path, wanted: bool) -> None:
    """Our extension as the wheel would install it, or none, whatever is installed on this machine."""
    if not wanted:
        config = home / "config" / "labconfig" / "page_config.json"
        config.parent.mkdir(parents=True)
        config.write_text(json.dumps({"disabledExtensions": {"interp_widgets": True}}), encoding="utf-8")
        return
    wheel = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]["wheel"]
    for source, target in wheel["shared-data"].items():
        place = home / "data" / Path(target).relative_to("share/jupyter")
        place.parent.mkdir(parents=True, exist_ok=True)
        copy = shutil.copytree if (REPOSITORY / source).is_dir() else shutil.copy
        copy(REPOSITORY / source, place, **({"dirs_exist_ok": True} if copy is shutil.copytree else {}))


def _command(root: Path, port: int, app: str) -> list[str]:
    expose = "JupyterNotebookApp" if app == "notebook" else "LabApp"
    return [
        sys.executable, "-m", app, "--no-browser", "--allow-root",
        "--ServerApp.ip=127.0.0.1", f"--ServerApp.port={port}", "--ServerApp.port_retries=0",
        "--IdentityProvider.token=", "--ServerApp.password=",
        f"--ServerApp.root_dir={root}",
        f"--{expose}.expose_app_in_browser=True", "--LabApp.extension_manager=readonly",
        "--LabApp.news_url=None", "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate",
    ]  # fmt: skip


def _isolated(home: Path) -> dict[str, str]:
    """Nothing of this machine's user: no settings, extensions, workspaces or history."""
    names = {
        "JUPYTER_CONFIG_DIR": "config",
        "JUPYTER_RUNTIME_DIR": "runtime",
        "JUPYTER_DATA_DIR": "data",
        "JUPYTERLAB_SETTINGS_DIR": "settings",
        "JUPYTERLAB_WORKSPACES_DIR": "workspaces",
        "IPYTHONDIR": "ipython",
    }
    return {variable: str(home / folder) for variable, folder in names.items()}


def _write_settings(folder: Path, save_state: bool) -> None:
    settings = dict(_SETTINGS)
    if save_state:
        settings["@jupyter-widgets/jupyterlab-manager/plugin"] = {"saveState": True}
    for plugin, value in settings.items():
        file = folder / f"{plugin}.jupyterlab-settings"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(value), encoding="utf-8")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _wait_until_up(url: str, process: subprocess.Popen, log: Path, ready: str = "/api/status") -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        try:
            with urllib.request.urlopen(f"{url}{ready}", timeout=1):
                return
        except OSError:
            time.sleep(0.1)
    raise RuntimeError(f"The server did not start:\n{log.read_text()[-3000:]}")


def _stop(process: subprocess.Popen) -> None:
    process.terminate()  # the server stops its kernels
    try:
        process.wait(15)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
