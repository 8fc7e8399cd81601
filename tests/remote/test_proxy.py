"""The proxy before a small HTTP server: it passes on what it gets, counts it, delays it, and fails as it is told."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx
import pytest

from tests.remote.proxy import Fault, Proxy, answer


class Echo(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    seen: list[str]

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.seen.append(self.path)
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def seen() -> list[str]:
    """The paths that the server was asked for."""
    return []


@pytest.fixture
def proxy(seen: list[str]) -> Iterator[Proxy]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Seeing", (Echo,), {"seen": seen}))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    with contextlib.closing(Proxy(server.server_address[1])) as proxy:
        yield proxy
    server.shutdown()
    thread.join()
    server.server_close()


def post(proxy: Proxy, path: str, body: bytes = b"hello") -> bytes:
    with httpx.Client(trust_env=False) as client:
        return client.post(proxy.url + path, content=body).content


def test_bytes_pass_unchanged_and_are_counted(proxy: Proxy) -> None:
    body = bytes(range(256)) * 20_000
    assert post(proxy, "/a", body) == body
    assert len(body) < proxy.up < len(body) + 1000
    assert len(body) < proxy.down < len(body) + 1000


def test_each_request_of_a_connection_is_noted(proxy: Proxy) -> None:
    with httpx.Client(trust_env=False) as client:
        for path in ("/a", "/b"):
            client.post(proxy.url + path, content=b"x")
    assert [connection.requests for connection in proxy.connections] == [["POST /a", "POST /b"]]


def test_a_delay_costs_two_round_trips_with_a_new_connection_and_one_without(proxy: Proxy) -> None:
    proxy.delay = 0.1
    with httpx.Client(trust_env=False) as client:
        spent = []
        for _ in range(2):
            start = time.perf_counter()
            client.post(proxy.url + "/a", content=b"x" * 1_000_000)
            spent.append(time.perf_counter() - start)
    assert 0.4 <= spent[0] < 0.9
    assert 0.2 <= spent[1] < spent[0]


def test_a_refused_request_does_not_reach_the_server(proxy: Proxy, seen: list[str]) -> None:
    proxy.fail("POST /a", Fault.REFUSED)
    with pytest.raises(httpx.TransportError):
        post(proxy, "/a")
    assert seen == []
    assert post(proxy, "/b") == b"hello"


def test_a_lost_request_reaches_the_server(proxy: Proxy, seen: list[str]) -> None:
    proxy.fail("POST /a", Fault.LOST)
    with pytest.raises(httpx.TransportError):
        post(proxy, "/a")
    assert seen == ["/a"]
    assert proxy.down == 0


def test_an_answer_of_the_tests_own_comes_instead(proxy: Proxy, seen: list[str]) -> None:
    proxy.fail("POST /a", answer(b"garbage"))
    assert post(proxy, "/a", b"x" * 3_000_000) == b"garbage"
    proxy.heal()
    proxy.fail("POST", b"not HTTP at all\r\n\r\n")
    with pytest.raises(httpx.RemoteProtocolError):
        post(proxy, "/a")
    assert seen == []


def test_a_fault_ends_after_so_many_times_or_when_healed(proxy: Proxy) -> None:
    proxy.fail("POST", Fault.REFUSED, times=2)
    for _ in range(2):
        with pytest.raises(httpx.TransportError):
            post(proxy, "/a")
    assert post(proxy, "/a") == b"hello"
    proxy.fail("POST", Fault.REFUSED)
    proxy.heal()
    assert post(proxy, "/a") == b"hello"
    assert proxy.requests == ["POST /a"]


def test_nothing_behind_it_cuts_the_connection() -> None:
    with contextlib.closing(Proxy(1)) as proxy, pytest.raises(httpx.TransportError):
        post(proxy, "/a")
