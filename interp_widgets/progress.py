"""How a method says how far it is, and how it is stopped.

A method takes `progress`, a function called between pieces of work. Raising from it stops the method: panels raise
`Cancelled`. A plain call needs none.
"""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar
from typing import Any, Protocol


class Progress(Protocol):
    """Called as `progress(done, total, message)`; `partial` is what is known so far, where a method can say."""

    def __call__(self, done: int, total: int, message: str = "", partial: Any = None) -> None: ...


def silent(done: int, total: int, message: str = "", partial: Any = None) -> None:
    """The progress of nobody looking."""


def nobody() -> Progress:
    """What a progress becomes that travels with work to a server: there nobody looks."""
    return silent


Listener = Callable[[Any], None]
"""Told how a request to a server is doing (`session.remote.state.JobState`), often. Raising from it stops the waiting."""

asking: ContextVar[dict[str, Any] | None] = ContextVar("asking", default=None)
"""What a panel is made of, in the job that computes its result; None elsewhere. A request leaves it in its ticket."""

heard: ContextVar[Listener | None] = ContextVar("heard", default=None)
"""Who hears of every request to a server that is made here, whether or not a method takes `progress`: the job of a panel."""
