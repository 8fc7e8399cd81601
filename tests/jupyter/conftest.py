"""JupyterLab servers, one for each folder and for the whole run: starting one takes seconds."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests import jupyterlab


@pytest.fixture(scope="session")
def lab_url() -> Iterator[Callable[[Path], str]]:
    """`lab_url(root)` is the address of a JupyterLab that serves the folder `root`."""
    started: dict[Path, str] = {}
    with ExitStack() as stack:

        def url(root: Path) -> str:
            if root not in started:
                started[root] = stack.enter_context(jupyterlab.server(root))
            return started[root]

        yield url


@pytest.fixture
def lab_page(browser) -> Iterator:
    """A page of ordinary size that must ask nothing of any other machine."""
    page = browser.new_page(viewport={"width": 1200, "height": 900})
    outside = jupyterlab.watch_requests(page)
    yield page
    page.close()
    assert outside == set()


@pytest.fixture(scope="session")
def pictures(tmp_path_factory) -> Path:
    """Where screenshots go: IW_PICTURES (docs/images, when they are to be renewed) or a scratch folder."""
    folder = Path(os.environ.get("IW_PICTURES") or tmp_path_factory.mktemp("pictures"))
    folder.mkdir(parents=True, exist_ok=True)
    return folder
