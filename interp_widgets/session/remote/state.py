"""How far a request is: what the server said of it, and what went over the wire."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

LARGE = 5_000_000
"""Bytes from which on a request's size is said."""
LONG = 10.0
"""Expected seconds from which on they are said."""
_POSITION = re.compile(r"position (\d+)", re.IGNORECASE)
_WORDS = {
    "received": "received",
    "asking": "asking for an earlier job",
    "queued": "in the queue",
    "provisioning": "waiting for a machine",
    "deploying": "the server is loading the model",
    "dispatched": "handed to the model",
    "running": "running on the server",
    "completed": "done",
    "error": "failed",
    "unreachable": "the server is out of reach, asking again",
    "left": "left to the server",
}


@dataclass(eq=False)
class JobState:
    """How far a job is, as the server says."""

    work: str
    """Name of what it does."""
    host: str = ""
    id: str = ""
    stage: str = "sending"
    """sending, received, queued, provisioning, deploying, dispatched, running, fetching, completed, error; asking: for a job
    that was sent before; left: nobody waits
    any more."""
    said: str = ""
    """The server's own words."""
    size: int = 0
    """Bytes to send; known before the first of them goes."""
    dictionary: int = 0
    """How many bytes of tensors of dictionaries are among what is sent, before compression."""
    up: int = 0
    """Bytes sent."""
    down: int = 0
    """Bytes of the answer."""
    expected: float | None = None
    """Seconds that the last requests for the same work took on this server; None before the first."""
    began: float = field(default_factory=time.monotonic)
    ended: float | None = None
    server_seconds: float | None = None
    """How long it ran, as the server measured."""

    @property
    def seconds(self) -> float:
        return (self.ended or time.monotonic()) - self.began

    @property
    def position(self) -> int | None:
        """Place in the server's queue, from 1; None where it is in none, or nothing is said."""
        found = _POSITION.search(self.said) if self.stage == "queued" else None
        return int(found[1]) if found else None

    @property
    def words(self) -> str:
        """The stage, without anything that changes by the second."""
        if self.stage == "sending":
            return f"sending {megabytes(self.size)}" if self.size >= LARGE else "sending"
        if self.stage == "fetching":
            return "fetching the answer"
        if self.position is not None:
            return f"{ordinal(self.position)} in the queue"
        return _WORDS.get(self.stage, self.stage)

    @property
    def estimate(self) -> str:
        """What a large request will cost, in words; empty for a small one, and where nothing was measured."""
        parts = []
        if self.size >= LARGE:
            of_it = f" (a dictionary of {megabytes(self.dictionary)})" if self.dictionary else ""
            parts.append(f"sends {megabytes(self.size)}{of_it}")
        if self.expected is not None and self.expected >= LONG:
            parts.append(f"about {self.expected:.0f} s, as before")
        return "; ".join(parts)

    def told(self) -> dict[str, Any]:
        """What a panel shows of it (see `widgets.base.Widget.status`)."""
        return {
            "stage": self.stage,
            "words": self.words,
            "position": self.position,
            "id": self.id,
            "host": self.host,
            "size": self.size,
            "up": self.up,
            "down": self.down,
            "seconds": round(self.seconds, 1),
            "estimate": self.estimate,
        }


Tell = Callable[[JobState], None]
"""Told how a job is doing, often; raises to stop waiting for it."""


def in_line(state: JobState) -> str:
    """How a job is doing, for a terminal or a bar."""
    return ", ".join(filter(None, (state.work, state.words, state.estimate, f"{state.seconds:.0f} s")))


def megabytes(count: int) -> str:
    return f"{count / 1e6:.1f} MB"


def ordinal(number: int) -> str:
    last = {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number}{'th' if 10 < number % 100 < 14 else last}"
