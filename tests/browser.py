"""The browser of the tests: the Chromium of the machine, driven by playwright.

Without one the tests that need it are skipped, and say so; with IW_REQUIRE_BROWSER=1 they fail instead, so that a
continuous-integration run cannot pass by skipping.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

import pytest

ARGUMENTS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
]  # fmt: skip


def skip_or_fail(reason: str) -> NoReturn:
    """Something a test needs is not on this machine."""
    if os.environ.get("IW_REQUIRE_BROWSER") == "1":
        pytest.fail(f"{reason} (and IW_REQUIRE_BROWSER=1 forbids to skip)", pytrace=False)
    pytest.skip(reason)


def chromium() -> str:
    """Path of the Chromium to use."""
    named = os.environ.get("IW_CHROMIUM")
    found = [named] if named else [shutil.which(name) for name in ("chromium", "chromium-browser", "google-chrome")]
    for path in [*found, "/usr/bin/chromium"]:
        if path and Path(path).exists():
            return path
    skip_or_fail("no Chromium found: install one, or give its path in IW_CHROMIUM")


@pytest.fixture(scope="session")
def browser() -> Iterator:
    """One browser for the whole run; every test opens its own page."""
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        skip_or_fail("playwright is not installed")
    path = chromium()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=ARGUMENTS)
        yield browser
        browser.close()
