"""A real NDIF server for the tests of this folder, and ways to disturb it. `make test-remote` runs them."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

import interp_widgets
from tests.remote import processes
from tests.remote import server as ndif
from tests.remote.proxy import Proxy
from tests.session import tiny

WANTED = os.environ.get("IW_REMOTE") == "1"
WITHOUT_SERVER = ("test_proxy.py", "test_processes.py")
_skipped: list[str] = []


def pytest_ignore_collect(collection_path: Path) -> bool | None:
    """Tests that need the server are not collected unless IW_REMOTE=1."""
    left_out = collection_path.name.startswith("test_") and collection_path.name not in WITHOUT_SERVER
    return True if left_out and not WANTED and collection_path.parent == Path(__file__).parent else None


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    if report.skipped and report.nodeid.startswith("tests/remote/"):
        _skipped.append(report.nodeid)


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """With IW_REMOTE=1 a skipped test of this folder fails the run."""
    if WANTED and _skipped and exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if not WANTED:
        terminalreporter.write_line(
            "tests/remote: tests on a real NDIF server are left out; `make test-remote` runs them"
        )
    elif _skipped:
        terminalreporter.write_line(
            f"IW_REMOTE=1: these must run, so this is a failure: {', '.join(_skipped)}", red=True
        )


@pytest.fixture(autouse=True)
def own_tickets(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """What was sent is noted in the test's own folder, not in the user's cache."""
    monkeypatch.setenv("IW_CACHE", str(tmp_path / "cache"))


@pytest.fixture(scope="session")
def results_proxy() -> Iterator[Proxy]:
    """Stands before the store: the addresses of results that the server gives to clients name its port."""
    with contextlib.closing(Proxy()) as proxy:
        yield proxy


@pytest.fixture(scope="session")
def server(results_proxy: Proxy) -> Iterator[ndif.Server]:
    """The server of this test run: `host` for clients, `logs`, and `kill_model_actor`, `stop_api`, `start_api`."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NO_PROXY", "127.0.0.1")
        started = ndif.start(results_port=results_proxy.port, guarded=True)
        results_proxy.target = started.ports["store"]
        try:
            yield started
        finally:
            started.stop()
            assert not processes.carrying(**{ndif.MARK: started.mark}), "the server left processes behind"
            assert not any(ndif.listens(port) for port in started.ports.values()), "the server still listens"


@pytest.fixture
def proxy(server: ndif.Server) -> Iterator[Proxy]:
    """Another way to the server's API: `proxy.url` as host, and faults, a delay and counts on request."""
    with contextlib.closing(Proxy(server.ports["api"])) as proxy:
        yield proxy


@pytest.fixture
def results(server: ndif.Server, results_proxy: Proxy) -> Iterator[Proxy]:
    """The way that results take, with the same faults, delay and counts. Healed after the test."""
    results_proxy.heal()
    yield results_proxy
    results_proxy.heal()


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory, smollm2: Path) -> dict[str, Path]:
    """Folders that server and client both read: "tiny" (a random Llama, vocabulary w3 to w99), "toy-grammar", "smollm2"."""
    random = tmp_path_factory.mktemp("tiny-llama")
    tiny.model("llama").save_pretrained(random)
    tiny.tokenizer().save_pretrained(random)
    return {
        "tiny": random,
        "toy-grammar": Path(interp_widgets.__file__).parent / "assets" / "toy-grammar",
        "smollm2": smollm2,
    }
