"""A proxy between a client and one port of a server: slower or worse when a test says so, and it counts the bytes."""

from __future__ import annotations

import asyncio
import contextlib
import re
import threading
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

_REQUEST = re.compile(rb"(?:GET|POST|HEAD|PUT|DELETE) \S+(?= HTTP/1\.1\r\n)")


class Fault(Enum):
    """What can go wrong with a request, beside an answer of the test's own."""

    REFUSED = "the connection is cut before the server has seen anything"
    LOST = "the server gets the request, and the connection is cut when it answers"


def answer(body: bytes, status: str = "200 OK") -> bytes:
    """An HTTP answer, for `Proxy.fail`."""
    head = f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    return head.encode() + body


@dataclass
class Connection:
    """One connection of a client: the requests made over it, and the bytes that passed each way."""

    requests: list[str] = field(default_factory=list)
    up: int = 0
    down: int = 0
    lost: bool = False


class Proxy:
    """Listens on a free port of 127.0.0.1 and passes bytes on to `target`, another port there.

    delay: seconds that each piece of data travels, in either direction, like the one-way latency of a network; a new
    connection costs one round trip more. Pieces in flight do not hold each other up. There is no TLS here, which would
    cost further round trips.
    """

    def __init__(self, target: int = 0) -> None:
        self.target = target
        self.delay = 0.0
        self.connections: list[Connection] = []
        self._faults: list[tuple[str, Fault | bytes, int]] = []
        self._tasks: set[asyncio.Task[None] | None] = set()  # asyncio itself forgets the task of a client that has gone
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="proxy", daemon=True)
        self._thread.start()
        self._server: asyncio.Server = self._call(asyncio.start_server(self._serve, "127.0.0.1", 0))
        self.port: int = self._server.sockets[0].getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"

    def fail(self, request: str, how: Fault | bytes, times: int = 10**9) -> None:
        """Let the next requests that begin so ("POST /request", "GET /response") fail. Bytes are the answer they get."""
        self._faults.append((request, how, times))

    def heal(self) -> None:
        """Pass everything on again at once, and count from nought."""
        self._faults.clear()
        self.connections.clear()
        self.delay = 0.0

    @property
    def up(self) -> int:
        """Bytes from clients to the server."""
        return sum(connection.up for connection in self.connections)

    @property
    def down(self) -> int:
        """Bytes from the server to clients."""
        return sum(connection.down for connection in self.connections)

    @property
    def requests(self) -> list[str]:
        """Every request so far, as "GET /path"."""
        return [request for connection in self.connections for request in connection.requests]

    def close(self) -> None:
        """Cut all connections and listen no more."""
        self._call(self._finish())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _call(self, coroutine: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(timeout=10)

    async def _finish(self) -> None:
        self._server.close()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
        await asyncio.sleep(0.05)  # transports that were just told to close do so in the loop's next rounds

    async def _serve(self, client: asyncio.StreamReader, to_client: asyncio.StreamWriter) -> None:
        self._tasks.add(task := asyncio.current_task())
        self.connections.append(connection := Connection())
        try:
            server, to_server = await asyncio.open_connection("127.0.0.1", self.target)
        except OSError:
            to_client.transport.abort()
            self._tasks.discard(task)
            return
        up = asyncio.create_task(self._up(connection, client, to_server, to_client))
        down = asyncio.create_task(self._down(connection, server, to_client))
        try:
            await asyncio.gather(up, down)
            for writer in (to_server, to_client):
                writer.close()
                await writer.wait_closed()  # until the last bytes have been taken
        except ConnectionError:
            pass  # a fault, or one end has gone
        finally:
            for ended in (up, down):
                ended.cancel()
            for writer in (to_server, to_client):
                writer.transport.abort()
            self._tasks.discard(task)

    async def _up(
        self,
        connection: Connection,
        client: asyncio.StreamReader,
        to_server: asyncio.StreamWriter,
        to_client: asyncio.StreamWriter,
    ) -> None:
        async with _Line(to_server) as line:
            while data := await client.read(1 << 16):
                opening = 0.0 if connection.up else 2 * self.delay
                connection.up += len(data)
                if request := _REQUEST.match(data):
                    connection.requests.append(request.group().decode())
                    match self._fault(connection.requests[-1]):
                        case Fault.REFUSED:
                            to_client.transport.abort()
                            raise ConnectionAbortedError
                        case Fault.LOST:
                            connection.lost = True
                        case bytes(answer):
                            connection.down += len(answer)
                            to_client.write(answer)
                            while await client.read(
                                1 << 16
                            ):  # a cut in the middle of an upload would destroy the answer
                                pass
                            raise ConnectionAbortedError
                line.send(data, self.delay + opening)

    async def _down(
        self, connection: Connection, server: asyncio.StreamReader, to_client: asyncio.StreamWriter
    ) -> None:
        async with _Line(to_client) as line:
            while data := await server.read(1 << 16):
                if connection.lost:
                    to_client.transport.abort()
                    raise ConnectionAbortedError
                connection.down += len(data)
                line.send(data, self.delay)

    def _fault(self, request: str) -> Fault | bytes | None:
        for place, (start, how, times) in enumerate(self._faults):
            if request.startswith(start):
                self._faults[place : place + 1] = [(start, how, times - 1)] if times > 1 else []
                return how
        return None


class _Line:
    """Pieces of data under way: each arrives so long after it was sent, in order, and the end after the last of them."""

    def __init__(self, writer: asyncio.StreamWriter) -> None:
        self._writer = writer
        self._pieces: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue()

    def send(self, data: bytes, delay: float) -> None:
        self._pieces.put_nowait((asyncio.get_running_loop().time() + delay, data))

    async def __aenter__(self) -> _Line:
        self._task = asyncio.create_task(self._carry())
        return self

    async def __aexit__(self, failed: object, *_: object) -> None:
        if failed is None:
            self.send(b"", 0.0)
            await self._task
        self._task.cancel()

    async def _carry(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            due, data = await self._pieces.get()
            await asyncio.sleep(max(0.0, due - loop.time()))
            if not data:
                self._writer.write_eof()
                return
            self._writer.write(data)
            with contextlib.suppress(ConnectionError):  # the other end has gone; the task that reads from it notices
                await self._writer.drain()
