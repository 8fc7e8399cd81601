"""A server on this machine that speaks NDIF's routes from a script: for what the client does with the wire."""

from __future__ import annotations

import io
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import torch
import zstandard

ANSWER = {"value": {"list": [1, 2]}, "kept": [], "dtype": "float32", "device": "cpu"}


@dataclass
class Wire:
    """`states` are what a job answers when it is asked after, the last one for ever; None is 404."""

    url: str = ""
    states: list[dict[str, Any] | None] = field(default_factory=list)
    status: Any = field(default_factory=lambda: {"deployments": {}})
    answer: Any = field(default_factory=lambda: ANSWER)
    refuse: int = 0
    breaks: int = 0
    """So many questions are answered by closing the connection."""
    received: list[int] = field(default_factory=list)
    keys: list[str] = field(default_factory=list)
    asked: int = 0

    def result(self) -> bytes:
        file = io.BytesIO()
        torch.save({"answer": self.answer}, file)
        return zstandard.ZstdCompressor().compress(file.getvalue())

    def state(self) -> dict[str, Any] | None:
        self.asked += 1
        done = {"status": "COMPLETED", "data": f"{self.url}/result", "meta": {"runtime": 3.5}}
        return [*self.states, done][min(self.asked - 1, len(self.states))]


@contextmanager
def serving() -> Iterator[Wire]:
    wire = Wire()

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_: Any) -> None:
            pass

        def say(self, code: int, body: bytes, kind: str = "application/json") -> None:
            self.send_response(code)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def do_POST(self) -> None:
            length = int(self.headers["Content-Length"])
            wire.received.append(len(self.rfile.read(length)))
            wire.keys.append(self.headers.get("ndif-api-key", ""))
            if wire.refuse:
                self.say(wire.refuse, b'{"detail": "no"}')
            else:
                self.say(200, json.dumps({"id": "abc123", "status": "RECEIVED", "description": "received"}).encode())

        def do_GET(self) -> None:
            if self.path == "/status":
                body = wire.status if isinstance(wire.status, bytes) else json.dumps(wire.status).encode()
                self.say(wire.refuse or 200, body)
            elif self.path == "/result":
                self.say(200, wire.result(), "application/octet-stream")
            elif wire.breaks:
                wire.breaks -= 1
                self.close_connection = True
                self.connection.close()
            elif (state := wire.state()) is None:
                self.say(404, b"{}")
            else:
                self.say(200, json.dumps({"id": "abc123", "description": "", **state}).encode())

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    wire.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield wire
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
