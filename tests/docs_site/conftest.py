"""Sites that are built once a run, and a browser that can reach nothing but them."""

from __future__ import annotations

import functools
import http.server
import os
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def run(*command: object, cwd: Path = ROOT) -> str:
    """Run a builder; its output is the failure's text. Warnings of its dependencies are not ours to turn into errors."""
    clean = {key: value for key, value in os.environ.items() if key != "PYTHONWARNINGS"}
    done = subprocess.run(
        [*map(str, command)],
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=600,
        env=clean | {"PYTHONPATH": str(ROOT)},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.fixture(scope="session")
def site() -> Path:
    """The documentation as `make docs` has built it; a build takes minutes, so tests do not start one."""
    html = ROOT / ".build" / "docs" / "html"
    if not (html / "index.html").exists():
        pytest.skip("the documentation has not been built; `make docs` does")
    return html


@pytest.fixture(scope="session")
def serve() -> Iterator[Callable[[Path], str]]:
    """Serves a folder over http; gives its address."""
    servers = []

    class Silent(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

    def start(folder: Path) -> str:
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Silent, directory=str(folder)))
        threading.Thread(target=server.serve_forever, daemon=True).start()
        servers.append(server)
        return f"http://127.0.0.1:{server.server_port}/"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.fixture
def visit(browser) -> Iterator[Callable]:
    """Opens an address; fails on an error in the console and on a request to anywhere else."""
    contexts, faults = [], []

    def open_(address: str, scheme: str = "light", width: int = 1280, height: int = 800, script: str = ""):
        home = address.partition("://")[0] + "://" + address.partition("://")[2].partition("/")[0]
        context = browser.new_context(viewport={"width": width, "height": height}, color_scheme=scheme)
        contexts.append(context)
        page = context.new_page()

        def refuse(route) -> None:
            faults.append(f"{address} asks for {route.request.url}")
            route.abort()

        context.route(lambda url: not url.startswith((home, "blob:", "data:")), refuse)
        page.on("pageerror", lambda error: faults.append(f"{address}: {error}"))
        page.on("console", lambda m: faults.append(f"{address}: {m.text}") if m.type in ("error", "warning") else None)
        page.add_init_script(script)
        page.goto(address)
        return page

    yield open_
    for context in contexts:
        context.close()
    assert faults == []


def ready(page) -> None:
    """Every panel of the page is drawn."""
    page.wait_for_function(
        "() => { const n = document.querySelectorAll('script[type=\"application/x-interp-widget+json\"]');"
        " const shown = [...n].filter((s) => JSON.parse(s.textContent).shown).length;"
        " return shown > 0 && document.querySelectorAll('[data-ready]').length === shown; }"
    )
