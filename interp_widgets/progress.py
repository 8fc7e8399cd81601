"""How a method says how far it is, and how it is stopped.

A method takes `progress`, a function called between pieces of work. Raising from it stops the method: panels raise
`Cancelled`. A plain call needs none.
"""

from __future__ import annotations

from contextvars import ContextVar
from typing import Any, Protocol


class Progress(Protocol):
    """Called as `progress(done, total, message)`; `partial` is what is known so far, where a method can say."""

    def __call__(self, done: int, total: int, message: str = "", partial: Any = None) -> None: ...


def silent(done: int, total: int, message: str = "", partial: Any = None) -> None:
    """The progress of nobody looking."""


heard: ContextVar[Progress | None] = ContextVar("heard", default=None)
"""Who hears of work on a server that has no `progress` of its own: the panel's job that waits for it."""
