"""What every test shares: one torch thread, the real model where it is, and the promise that browser tests really ran."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.browser import browser as browser  # here and nowhere else: two playwrights in one process refuse each other

REQUIRE_BROWSER = os.environ.get("IW_REQUIRE_BROWSER") == "1"
_browser_tests: dict[str, str] = {}


def pytest_configure(config: pytest.Config) -> None:
    # Two threads on two busy cores are forty times slower than one. Set before torch is first imported, here and in children.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    os.environ.setdefault("HF_HUB_OFFLINE", "1")


@pytest.fixture(scope="session")
def smollm2() -> Path:
    """The folder of SmolLM2-135M in the cache. Tests never fetch it: `make model` does."""
    from interp_widgets.session import known

    folder = known.cached("smollm2-135m")
    if folder is None:
        pytest.skip("SmolLM2-135M is not in the cache; `make model` fetches it")
    return folder


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    if "browser" in report.keywords and (report.outcome == "skipped" or report.when == "call"):
        _browser_tests[report.nodeid] = report.outcome


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """With IW_REQUIRE_BROWSER=1 a skipped browser test, or none at all, fails the run."""
    if hasattr(session.config, "workerinput"):
        return  # one of several processes, which sees a part of the tests
    if REQUIRE_BROWSER and exitstatus == pytest.ExitCode.OK and (_skipped() or not _browser_tests):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if skipped := _skipped():
        terminalreporter.write_line(f"browser tests skipped: {len(skipped)}", yellow=True)
    if REQUIRE_BROWSER and (skipped or not _browser_tests):
        terminalreporter.write_line("IW_REQUIRE_BROWSER=1: every browser test must run, so this is a failure", red=True)


def _skipped() -> list[str]:
    return [name for name, outcome in _browser_tests.items() if outcome == "skipped"]
