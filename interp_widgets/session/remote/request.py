"""One request to a server: sent, asked after until it is done, fetched.

nnsight's non-blocking backend does the talking. The server keeps the answer for a while, so a job outlives the kernel that sent it.
Anything that goes wrong becomes one sentence of `errors.RemoteError`.
"""

from __future__ import annotations

import io
import time
from typing import Any

import httpx
import nnsight
import torch
import zstandard
from nnsight.intervention.backends.remote import RemoteBackend
from nnsight.schema.response import ResponseModel

from ...errors import AnswerGone
from . import failures
from .arrival import arrive
from .state import JobState, Tell

FIRST, LONGEST, GROWS = 0.03, 2.0, 1.4
"""Seconds between two questions after a job: at first, at most, and by how much they grow."""
GRACE = 5.0
"""Seconds in which nothing need be said of a job that was sent before."""
PATIENCE = 60.0
"""Seconds that a server may be out of reach while a job is waited for."""
TIMEOUT = httpx.Timeout(10.0, read=60.0)


class Backend(RemoteBackend):
    """nnsight's, which keeps count of bytes, keeps its connection, and trusts an answer to be tensors and plain values only."""

    def __init__(self, model: Any, host: str | None, state: JobState, tell: Tell) -> None:
        super().__init__(
            model.to_model_key(), host=host, env=model._remoteable_get_env(), blocking=False, job_id=state.id or None
        )
        self.display.enabled = False
        self.state, self.tell = state, tell
        self.resumed = bool(state.id)
        self.client = httpx.Client(timeout=TIMEOUT)

    def _post(self, request: Any, blob: bytes) -> ResponseModel:
        self.state.size = len(blob)
        self.tell(self.state)
        response = super()._post(request, Upload(blob, self.state, self.tell))  # type: ignore[arg-type]
        self.state.id = response.id
        self._note(response)
        return response

    def poll(self, tracer: Any = None) -> Any:
        headers = {"ndif-api-key": self.api_key} if self.api_key else None
        answer = self.client.get(f"{self.host}/response/{self.job_id}", headers=headers)
        if answer.status_code == 404:
            if self.resumed and self.state.seconds > GRACE:
                raise AnswerGone(f"{self.host} knows nothing of job {self.job_id} any more. Run it again.")
            return None  # nothing is said of it yet
        answer.raise_for_status()
        response = ResponseModel.model_validate_json(answer.text)
        self.status = response.status
        self._note(response)
        return self.handle(response)

    def _note(self, response: ResponseModel) -> None:
        self.state.stage, self.state.said = response.status.value.lower(), response.description
        if response.meta:
            self.state.server_seconds = response.meta.get("runtime")

    def download_result(self, url: Any) -> Any:
        self.state.stage, content = "fetching", bytearray()
        with self.client.stream("GET", url) as answer:
            if answer.status_code in (403, 404, 410):
                raise AnswerGone(
                    f"{self.host} has done job {self.job_id}, but gives its answer out no longer (HTTP {answer.status_code}). "
                    "Run it again."
                )
            answer.raise_for_status()
            for chunk in answer.iter_bytes():
                content += chunk
                self.state.down = len(content)
                self.tell(self.state)
        return self.finalize(bytes(content))

    def finalize(self, content: bytes) -> Any:
        if self.compress:
            content = zstandard.ZstdDecompressor().decompress(content)
        return torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)


class Upload(io.BytesIO):
    """What is sent, which tells how much of it has gone."""

    def __init__(self, blob: bytes, state: JobState, tell: Tell) -> None:
        super().__init__(blob)
        self._state, self._told = state, tell

    def read(self, size: int | None = -1, /) -> bytes:
        chunk = super().read(size)
        self._state.up += len(chunk)
        self._told(self._state)
        return chunk


def submit(model: Any, backend: Backend, work: bytes, tensors: dict[str, torch.Tensor], absent: list[str]) -> None:
    """Send work to where `model` is. A short leaf function: nnsight rewrites the one that holds a `with` block."""
    with model.session(backend=backend):
        answer = nnsight.save(arrive(model, work, tensors, absent))  # noqa: F841 nnsight brings it back by this name


def send(
    model: Any,
    host: str | None,
    state: JobState,
    work: bytes,
    tensors: dict[str, torch.Tensor],
    absent: list[str],
    tell: Tell,
) -> Any:
    """The answer of `arrival.arrive`. Raises RemoteError, or what `tell` raises.

    Args:
        absent: names of tensors that are not sent, since the server is believed to have them.
    """
    backend = Backend(model, host, state, tell)
    with failures.in_words(backend.host), backend.client:
        submit(model, backend, work, tensors, absent)
        return wait(backend, tell)


def fetch(model: Any, host: str | None, state: JobState, tell: Tell) -> Any:
    """The answer of a job that was sent before, maybe by another kernel: `state.id`. Raises as `send` does."""
    backend = Backend(model, host, state, tell)
    with failures.in_words(backend.host), backend.client:
        return wait(backend, tell)


def wait(backend: Backend, tell: Tell) -> Any:
    """Ask after a job until it is done."""
    state, pause, lost = backend.state, FIRST, None
    while True:
        tell(state)
        try:
            answer = backend.poll()
            lost = None
        except httpx.TransportError:  # a link that fails now and then is a link
            lost = lost or time.monotonic()
            if time.monotonic() - lost > PATIENCE:
                raise
            answer, state.stage = None, "unreachable"
        if answer is not None:
            state.stage, state.ended = "completed", time.monotonic()
            tell(state)
            return answer["answer"]
        _rest(pause, state, tell)
        pause = min(pause * GROWS, LONGEST)


def _rest(seconds: float, state: JobState, tell: Tell) -> None:
    """Sleep, and hear soon that nobody waits any more."""
    end = time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0:
        time.sleep(min(left, 0.1))
        tell(state)
