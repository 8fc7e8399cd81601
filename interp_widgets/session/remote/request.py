"""One request to a server: sent, asked after until it is done, fetched.

nnsight's non-blocking backend does the talking. The server keeps the answer for a while, so a job outlives the kernel that sent it.
Anything that goes wrong becomes one sentence of `errors.RemoteError`.
"""

from __future__ import annotations

import io
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import httpx
import nnsight
import torch
import zstandard
from nnsight.intervention.backends.remote import RemoteBackend
from nnsight.schema.response import ResponseModel

from . import failures
from .arrival import arrive

FIRST, LONGEST, GROWS = 0.03, 2.0, 1.4
"""Seconds between two questions after a job: at first, at most, and by how much they grow."""
PATIENCE = 60.0
"""Seconds that a server may be out of reach while a job is waited for."""
TIMEOUT = httpx.Timeout(10.0, read=60.0)


@dataclass
class JobState:
    """How far a job is, as the server says."""

    work: str
    """Name of what it does."""
    id: str = ""
    stage: str = "sending"
    """sending, received, queued, provisioning, deploying, dispatched, running, completed, error"""
    said: str = ""
    """The server's own words."""
    up: int = 0
    """Bytes sent."""
    down: int = 0
    """Bytes of the answer."""
    began: float = field(default_factory=time.monotonic)
    server_seconds: float | None = None
    """How long it ran, as the server measured."""

    @property
    def seconds(self) -> float:
        return time.monotonic() - self.began


Tell = Callable[[JobState], None]
"""Told how a job is doing, often; raises to stop waiting for it."""


class Backend(RemoteBackend):
    """nnsight's, which keeps count of bytes, keeps its connection, and trusts an answer to be tensors and plain values only."""

    def __init__(self, model: Any, host: str | None, job_id: str | None = None) -> None:
        super().__init__(
            model.to_model_key(), host=host, env=model._remoteable_get_env(), blocking=False, job_id=job_id
        )
        self.display.enabled = False
        self.up = self.down = 0
        self.last: ResponseModel | None = None
        self.client = httpx.Client(timeout=TIMEOUT)

    def _serialize(self, tracer: Any) -> bytes:
        blob = super()._serialize(tracer)
        self.up = len(blob)
        return blob

    def note(self, response: ResponseModel) -> bool:
        self.last = response
        return super().note(response)

    def poll(self, tracer: Any = None) -> Any:
        headers = {"ndif-api-key": self.api_key} if self.api_key else None
        answer = self.client.get(f"{self.host}/response/{self.job_id}", headers=headers)
        if answer.status_code == 404:
            return None  # nothing is said of it yet
        answer.raise_for_status()
        response = ResponseModel.model_validate_json(answer.text)
        self.status = response.status
        return self.handle(response)

    def download_result(self, url: Any) -> Any:
        answer = self.client.get(url)
        answer.raise_for_status()
        return self.finalize(answer.content)

    def finalize(self, content: bytes) -> Any:
        self.down = len(content)
        if self.compress:
            content = zstandard.ZstdDecompressor().decompress(content)
        return torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)


def submit(model: Any, backend: Backend, work: bytes, tensors: dict[str, torch.Tensor]) -> None:
    """Send work to where `model` is. A short leaf function: nnsight rewrites the one that holds a `with` block."""
    with model.session(backend=backend):
        answer = nnsight.save(arrive(model, work, tensors))  # noqa: F841 nnsight brings it back by this name


def send(
    model: Any, host: str | None, state: JobState, work: bytes, tensors: dict[str, torch.Tensor], tell: Tell
) -> Any:
    """What the work gives back, made plain. Raises RemoteError, or what `tell` raises."""
    backend = Backend(model, host)
    with failures.in_words(backend.host), backend.client:
        tell(state)
        submit(model, backend, work, tensors)
        state.id, state.up = str(backend.job_id), backend.up
        note(state, backend)
        return wait(backend, state, tell)


def wait(backend: Backend, state: JobState, tell: Tell) -> Any:
    """Ask after a job until it is done."""
    pause, lost = FIRST, None
    while True:
        tell(state)
        try:
            answer = backend.poll()
            lost = None
        except httpx.TransportError as error:  # a link that fails now and then is a link
            lost = lost or time.monotonic()
            if time.monotonic() - lost > PATIENCE:
                raise
            answer, state.said = None, f"out of reach since {time.monotonic() - lost:.0f} s: {type(error).__name__}"
        else:
            note(state, backend)
        if answer is not None:
            state.down = backend.down
            return answer["answer"]
        _rest(pause, state, tell)
        pause = min(pause * GROWS, LONGEST)


def _rest(seconds: float, state: JobState, tell: Tell) -> None:
    """Sleep, and hear soon that nobody waits any more."""
    end = time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0:
        time.sleep(min(left, 0.1))
        tell(state)


def note(state: JobState, backend: Backend) -> None:
    if backend.last is not None:
        state.stage, state.said = backend.last.status.value.lower(), backend.last.description
    if backend.meta:
        state.server_seconds = backend.meta.get("runtime")
