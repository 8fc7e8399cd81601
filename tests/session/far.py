"""A server in this process: work is packed and unpacked as ever, and runs on a model that is here. What is left out is the wire."""

from __future__ import annotations

import io
import linecache
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cloudpickle
import pytest
import torch
from nnsight.tracing.globals import BLOCKS, SOURCES

import interp_widgets as iw
from interp_widgets.session.remote import session as remote
from interp_widgets.session.remote import tickets
from interp_widgets.session.remote.arrival import arrive
from interp_widgets.session.remote.state import JobState, Tell

HOST = "http://far.test"
SEEN = (
    ("received", ""),
    ("queued", "Moved to position 3 in Queue."),
    ("deploying", ""),
    ("dispatched", ""),
    ("running", ""),
)
"""Stages of a request on a server that has to load the model first."""


@dataclass
class Far:
    """What the server does. `hold` keeps requests at a stage until `go` is set."""

    model: Any
    stages: Sequence[tuple[str, str]] = (("received", ""), ("running", ""))
    hold: str = ""
    go: threading.Event = field(default_factory=threading.Event)
    reached: threading.Event = field(default_factory=threading.Event)
    sent: list[dict[str, Any]] = field(default_factory=list)
    """Of each request: its `id`, `names` of tensors that came and that were `absent`, and its `answer` once there is one."""
    asked: list[str] = field(default_factory=list)
    """Ids of jobs whose answer was fetched without sending."""
    fail: Callable[[], Exception] | None = None
    _lock: Any = field(default_factory=threading.Lock)
    others: list[Any] = field(default_factory=list)
    """Further models of the server, each of another number of layers."""
    before: Callable[[], None] = lambda: None
    """Done before each request, for a server that loses what it kept."""

    def send(
        self, asked: Any, _: Any, state: JobState, work: bytes, tensors: dict, absent: list[str], tell: Tell
    ) -> Any:
        state.size = len(work) + sum(tensor.nbytes for tensor in tensors.values())
        tell(state)
        entry: dict[str, Any] = {
            "id": f"job-{len(self.sent)}-{'0' * 24}",
            "names": set(tensors),
            "absent": list(absent),
        }
        self.sent.append(entry)
        state.id, state.up = entry["id"], state.size
        if self.fail is not None:
            raise self.fail()
        self.before()
        with self._lock, as_another_python():
            entry["answer"] = over_the_wire(arrive(self._model(asked), work, dict(tensors), absent))
        return self.wait(state, entry, tell)

    def fetch(self, _: Any, __: Any, state: JobState, tell: Tell) -> Any:
        self.asked.append(state.id)
        entry = next((each for each in self.sent if each["id"] == state.id), None)
        if entry is None:
            raise iw.errors.AnswerGone(f"There is no job {state.id}.")
        return self.wait(state, entry, tell)

    def _model(self, asked: Any) -> Any:
        """The model here that is meant by one without weights."""
        layers = asked._module.config.num_hidden_layers
        return next(each for each in (self.model, *self.others) if each._module.config.num_hidden_layers == layers)

    def wait(self, state: JobState, entry: dict[str, Any], tell: Tell) -> Any:
        for stage, said in self.stages:
            state.stage, state.said = stage, said
            tell(state)
            if stage == self.hold:
                self.reached.set()
                while not self.go.wait(0.01):
                    tell(state)
        state.server_seconds, state.down, state.stage = 0.25, 1234, "completed"
        state.ended = state.began + 0.5
        tell(state)
        return entry["answer"]


@contextmanager
def as_another_python() -> Iterator[None]:
    """Classes and sources that arrive stay strangers: cloudpickle would find the sender's own classes in this process."""
    kept = [(table, dict(table)) for table in (linecache.cache, SOURCES, BLOCKS)]
    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(cloudpickle.cloudpickle, "_lookup_class_or_track", lambda _, cls: cls)
            yield
    finally:
        for table, before in kept:
            table.clear()
            table.update(before)


def over_the_wire(answer: Any) -> Any:
    """As it comes back: tensors and plain values, nothing else."""
    file = io.BytesIO()
    torch.save(answer, file)
    return torch.load(io.BytesIO(file.getvalue()), weights_only=True)


@pytest.fixture
def far(monkeypatch: pytest.MonkeyPatch, toy: iw.Session, tmp_path: Path) -> Iterator[Far]:
    """The toy model's server; `far_toy` is the session."""
    server = Far(toy._model)
    monkeypatch.setattr(remote, "send", server.send)
    monkeypatch.setattr(remote, "fetch", server.fetch)
    monkeypatch.setattr(tickets, "folder", lambda: tmp_path / "jobs")
    yield server
    server.go.set()


@pytest.fixture
def far_toy(far: Far) -> iw.Session:
    return iw.load("toy-grammar", remote=HOST)
