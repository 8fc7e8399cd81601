"""Everything that can go wrong between here and a server: one sentence with what to do, nothing hangs, a retry works."""

from __future__ import annotations

import inspect
import json
import shutil
import socket
import threading
import time
from pathlib import Path
from typing import Any

import nnsight
import pytest
import torch

import interp_widgets as iw
from interp_widgets.errors import KeyRefused, ModelNotServed, RemoteError, ServerUnavailable, SiteError
from interp_widgets.session.remote import request
from tests.remote import work
from tests.remote.proxy import Fault, Proxy, answer
from tests.remote.server import Server

pytestmark = pytest.mark.slow
TEXT = "the boys near the girl laugh"
KEY = "7f1c2d9e-0000-4000-8000-5ec2e7000000"


@pytest.fixture
def far(proxy: Proxy) -> Any:
    """A session whose server is reached through the proxy, with its model deployed."""
    session = iw.load("toy-grammar", remote=proxy.url)
    session.read(TEXT, ["embed"])
    proxy.heal()
    return session


def no_server() -> str:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{free.getsockname()[1]}"


def said_by(panel: Any) -> str:
    panel._job.wait(60)
    assert not panel._job.running
    assert panel.status["state"] == "error"
    return panel.error


def test_a_server_that_is_down_says_so_and_a_retry_works(server: Server, far: Any) -> None:
    panel = iw.Lens(far, TEXT)
    panel.run()
    before = panel.frame
    server.stop_api()
    try:
        panel._start()
        assert said_by(panel).startswith(f"There is no server at {far.host}") or "broke off" in panel.error
        assert panel.frame.equals(before), "the former result stays"
    finally:
        server.start_api()
    panel.run()
    assert not panel.error
    assert panel.frame.equals(before)


def test_a_wrong_address_is_no_server() -> None:
    session = iw.load("toy-grammar", remote=no_server())
    begin = time.monotonic()
    with pytest.raises(ServerUnavailable, match="There is no server at") as caught:
        iw.methods.logit_lens(session, TEXT)
    assert time.monotonic() - begin < 20
    assert "Traceback" not in str(caught.value)


def test_a_model_that_dies_while_a_job_runs(server: Server, far: Any) -> None:
    dead: list[BaseException] = []

    def run() -> None:
        try:
            far.work(work.wait, 30.0)
        except RemoteError as error:
            dead.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    until(lambda: far.jobs[-1].stage == "running")
    server.kill_model_actor()
    thread.join(60)
    assert not thread.is_alive()
    assert dead
    assert "try again" in str(dead[0]).lower() or "run it again" in str(dead[0])
    until(lambda: answers(far), 90)


def answers(session: Any) -> bool:
    try:
        return bool(session.read(TEXT, ["embed"]))
    except RemoteError:
        return False


def until(what: Any, seconds: float = 30) -> None:
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end
        time.sleep(0.05)


def test_a_connection_that_drops_after_the_submit(far: Any, proxy: Proxy) -> None:
    proxy.fail("POST /request", Fault.LOST, times=1)
    with pytest.raises(ServerUnavailable, match="broke off the connection"):
        far.read(TEXT, ["embed"])
    assert far.read(TEXT, ["embed"])["embed"].shape[-1] == far.width, "a retry works"


def test_a_link_that_fails_while_a_job_is_waited_for_is_asked_again(far: Any, proxy: Proxy) -> None:
    proxy.fail("GET /response", Fault.REFUSED, times=3)
    assert torch.equal(far.work(work.add_one, torch.ones(2)), 2 * torch.ones(2))


def test_a_link_that_stays_away_is_given_up(far: Any, proxy: Proxy, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(request, "PATIENCE", 1.0)
    proxy.fail("GET /response", Fault.REFUSED)
    with pytest.raises(ServerUnavailable, match="broke off the connection"):
        far.read(TEXT, ["embed"])


@pytest.mark.parametrize("route", ["POST /request", "GET /response"])
def test_an_answer_of_garbage(far: Any, proxy: Proxy, route: str) -> None:
    proxy.fail(route, answer(b"<html>the wifi of a hotel</html>"), times=1)
    with pytest.raises(ServerUnavailable, match="answered what no NDIF server says"):
        far.read(TEXT, ["embed"])
    assert far.read(TEXT, ["embed"])


def test_a_result_that_is_garbage_is_never_executed(far: Any, results: Proxy, tmp_path: Path) -> None:
    import pickle

    class Bomb:
        def __reduce__(self) -> Any:
            return Path.touch, (tmp_path / "executed",)

    results.fail("GET /", answer(pickle.dumps(Bomb())), times=1)
    with pytest.raises(ServerUnavailable, match="answered what no NDIF server says"):
        far.read(TEXT, ["embed"])
    assert not (tmp_path / "executed").exists()


def test_a_model_that_the_server_cannot_load(server: Server, models: dict[str, Path], tmp_path: Path) -> None:
    for file in models["tiny"].iterdir():
        if file.suffix != ".safetensors":
            shutil.copy(file, tmp_path)
    session = iw.load(tmp_path, remote=server.host)
    with pytest.raises(ModelNotServed, match=r"iw\.models"):
        session.read("w3 w4", ["embed"])


@pytest.mark.parametrize(
    ("status", "detail", "said"),
    [
        ("401 Unauthorized", "Missing API key", "wants an API key"),
        ("403 Forbidden", "Invalid API key", "does not accept the API key"),
    ],
)
def test_a_bad_key(
    far: Any, proxy: Proxy, monkeypatch: pytest.MonkeyPatch, status: str, detail: str, said: str
) -> None:
    monkeypatch.setattr(nnsight.CONFIG.API, "APIKEY", KEY)
    proxy.fail("POST /request", answer(json.dumps({"detail": detail}).encode(), status), times=1)
    with pytest.raises(KeyRefused, match=said) as caught:
        far.read(TEXT, ["embed"])
    assert "NDIF_API_KEY" in str(caught.value)
    assert KEY not in str(caught.value)


def test_an_error_in_the_work_names_the_line_of_the_caller(far: Any) -> None:
    with pytest.raises(RemoteError) as caught:
        far.work(work.divide_by_nothing)
    said = str(caught.value)
    assert "ZeroDivisionError: division by zero" in said
    line = inspect.getsourcelines(work._share)[1] + 1
    assert f"in _share, work.py line {line}" in said
    assert "Traceback" not in said
    assert "site-packages" not in said


def test_an_error_of_this_package_comes_back_as_itself(far: Any) -> None:
    with pytest.raises(SiteError, match="fits only a site of the same size"):
        iw.methods.single_patch(far, clean=TEXT, corrupt=TEXT, source=("resid_post.1", 2), target=("mlp_act.1", 2))


def test_a_server_that_takes_too_long(far: Any, proxy: Proxy, monkeypatch: pytest.MonkeyPatch) -> None:
    import httpx

    monkeypatch.setattr(request, "TIMEOUT", httpx.Timeout(0.5))
    monkeypatch.setattr(request, "PATIENCE", 1.0)
    far.work(work.add_one, torch.ones(1))
    proxy.delay = 2.0
    with pytest.raises(ServerUnavailable, match="did not"):
        far.work(work.add_one, torch.ones(1))


def test_a_job_can_be_cancelled_twice(far: Any) -> None:
    panel = iw.Lens(far, TEXT)
    panel.run()
    before = panel.frame
    blocker = threading.Thread(target=far.work, args=(work.wait, 4.0))
    blocker.start()
    until(lambda: far.jobs[-1].stage == "running")
    panel._start()
    until(lambda: len(far.jobs) >= 3 and far.jobs[-1].id)
    begin = time.monotonic()
    panel.cancel()
    panel.cancel()
    panel._job.wait(10)
    assert time.monotonic() - begin < 2
    assert panel.status["state"] == "cancelled"
    assert not panel.error
    assert panel.frame.equals(before)
    blocker.join()
    panel.run()
    assert panel.status["state"] == "done"


def test_a_key_goes_to_the_server_and_nowhere_else(
    far: Any, proxy: Proxy, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(nnsight.CONFIG.API, "APIKEY", KEY)
    monkeypatch.setenv("IW_CACHE", str(tmp_path / "cache"))
    panel = iw.Lens(far, TEXT)
    panel.run()
    panel.to_html(tmp_path / "panel.html")
    (tmp_path / "panel.py").write_text(panel.code())
    (tmp_path / "provenance.json").write_text(json.dumps(panel.provenance))
    (tmp_path / "state.txt").write_text(repr(panel.get_state()) + repr(far) + repr(far.jobs) + repr(vars(far)))
    proxy.fail("POST /request", answer(b"{}", "500 Internal Server Error"), times=1)
    with pytest.raises(RemoteError) as caught:
        far.read(TEXT, ["embed"])
    (tmp_path / "error.txt").write_text(repr(caught.value))
    for file in tmp_path.rglob("*"):
        assert file.is_dir() or KEY.encode() not in file.read_bytes(), file
    assert KEY not in "".join(capfd.readouterr())
