"""A server that is stopped, fails at its start, or loses the process that started it leaves nothing behind.

Each test has a folder of its own for its server, beside the one that the other tests ask.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.remote import environment, processes
from tests.remote import server as ndif

pytestmark = pytest.mark.slow


@pytest.fixture
def own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    venv = environment.folder() / "venv"
    monkeypatch.setenv("IW_NDIF", str(tmp_path))
    (tmp_path / "venv").symlink_to(venv)
    return tmp_path


def test_a_start_that_fails_says_why_and_leaves_nothing(own_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    begun: list[ndif.Server] = []
    original = ndif.Server._start
    monkeypatch.setattr(ndif.Server, "_start", lambda server: (begun.append(server), original(server)))
    monkeypatch.setattr(ndif, "_RESOURCES", "none")
    with pytest.raises(ndif.ServerError, match=r"ray ended with code 1. The last lines of .*ray.log:\n(.|\n)*JSON"):
        ndif.start()
    (server,) = begun
    assert processes.carrying(**{ndif.MARK: server.mark}) == set()
    assert not any(ndif.listens(port) for port in server.ports.values())
    assert not Path(server.ray).exists()
    assert not (own_folder / "run.json").exists()


def test_a_port_that_is_taken_is_refused(own_folder: Path) -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as taken,
        pytest.raises(ndif.ServerError, match="cannot be had: Address"),
    ):
        ndif.start(port=taken.getsockname()[1])


def test_no_server_without_its_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IW_NDIF", str(tmp_path))
    with pytest.raises(ndif.ServerError, match=r"not installed: `python -m tests.remote.server install`"):
        ndif.start()


# A test run that dies at once after its server has started; redis alone stands for the server.
KILLED = """
import os, signal
from tests.remote import server as ndif
def only_redis(server):
    spawned = server._spawn("redis", "redis-server", "--port", str(server.ports["redis"]), "--set-proc-title", "no")
    server._wait("redis", lambda: ndif.listens(server.ports["redis"]), spawned, 20)
ndif.Server._start = only_redis
ndif.start(guarded=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_killed_test_run_leaves_no_server(own_folder: Path) -> None:
    root = Path(__file__).parents[2]
    dead = subprocess.Popen([sys.executable, "-c", KILLED], cwd=root, env=dict(os.environ))
    note = own_folder / "run.json"
    while dead.poll() is None:
        if note.exists() and note.stat().st_size:
            mark = json.loads(note.read_text())["mark"]
        time.sleep(0.05)
    assert dead.returncode == -signal.SIGKILL
    deadline = time.monotonic() + 20
    while note.exists():  # the guard removes it last
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert processes.carrying(**{ndif.MARK: mark}) == set()
