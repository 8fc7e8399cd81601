"""What is left of a request when the kernel is gone: a small file with its id, and what it takes to ask for its answer again.

One JSON file a job in `jobs/` of the package's cache. No key is in it, and no result.
"""

from __future__ import annotations

import json
import re
from contextlib import suppress
from dataclasses import asdict, dataclass, field, fields
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import polars as pl

from ... import frames
from ...errors import AnswerGone
from ...writing import replacing
from .. import known

MOST, OLDEST = 200, 7 * 24 * 3600
"""Tickets kept at most, and for how many seconds: longer than any server keeps an answer."""
_ID = re.compile(r"[\w-]{1,80}")
PROMPT = 60


@dataclass
class Ticket:
    """A request that was sent."""

    job: str
    host: str
    model: str
    """Where the model is found: a hub id, or a directory."""
    name: str
    """What panels call it."""
    work: str
    call: str | None
    """`fingerprint` of it."""
    panel: dict[str, Any] | None = None
    """Class and arguments of the panel that asked, and an id that its requests for one result share; None: a plain call."""
    state: str = "received"
    seconds: float | None = None
    up: int = 0
    down: int = 0
    version: str = field(default_factory=lambda: version("interp_widgets"))
    time: str = field(default_factory=lambda: datetime.now(UTC).isoformat(timespec="microseconds"))

    def write(self) -> None:
        """Keep it, or its new state. A folder that cannot be written costs the ticket and nothing else."""
        if not _ID.fullmatch(self.job):
            return
        with suppress(OSError):
            folder().mkdir(parents=True, exist_ok=True)
            path = folder() / f"{self.job}.json"
            new = not path.exists()
            with replacing(path) as beside:
                beside.write_text(json.dumps(asdict(self)), encoding="utf-8")
            if new:
                _prune()


def folder() -> Path:
    return known.cache_dir() / "jobs"


def tickets() -> list[Ticket]:
    """All that are kept, the newest first; files that are none are passed over."""
    found = []
    names = {each.name for each in fields(Ticket)}
    for path in folder().glob("*.json"):
        with suppress(OSError, ValueError, TypeError):
            said = dict(json.loads(path.read_text(encoding="utf-8")))
            ticket = Ticket(**{name: value for name, value in said.items() if name in names})
            datetime.fromisoformat(ticket.time)
            found.append(ticket)
    return sorted(found, key=lambda ticket: ticket.time, reverse=True)


def find(job: str) -> Ticket:
    """The ticket of a job, by its id or the beginning of it.

    Raises:
        AnswerGone: there is none, or several begin so, or another version of this package made it.
    """
    found = [ticket for ticket in tickets() if ticket.job.startswith(job)] if job else []
    exact = [ticket for ticket in found if ticket.job == job] or found
    if len(exact) != 1:
        what = "No job is known" if not exact else f"{len(exact)} jobs are known"
        raise AnswerGone(
            f"{what} whose id begins with {job!r}. iw.jobs() lists those that were sent from this machine."
        )
    [ticket] = exact
    if ticket.version != version("interp_widgets"):
        raise AnswerGone(
            f"Job {ticket.job} was sent by interp_widgets {ticket.version} and this is {version('interp_widgets')}, which may "
            "read its answer wrongly. Run it again."
        )
    return ticket


def jobs() -> pl.DataFrame:
    """Requests to servers that were sent from this machine, the newest first (see `frames.REMOTE_JOBS`). Asks no server.

    `iw.resume(job)` brings the result of one, as long as the server keeps it.
    """
    found = tickets()
    rows = [
        {
            **{name: getattr(ticket, name) for name in ("job", "host", "work", "state", "seconds", "up", "down")},
            "model": ticket.name,
            "time": datetime.fromisoformat(ticket.time),
            "panel": ticket.panel and ticket.panel["class"],
            "prompt": ticket.panel and _prompt(ticket.panel["arguments"]),
        }
        for ticket in found
    ]
    columns = {
        name: pl.Series([row[name] for row in rows], dtype=column.dtype) for name, column in frames.REMOTE_JOBS.items()
    }
    return frames.build(frames.REMOTE_JOBS, columns)


def _prompt(arguments: dict[str, Any]) -> str:
    text = next((arguments[name] for name in ("text", "clean", "prompt") if isinstance(arguments.get(name), str)), "")
    return text if len(text) <= PROMPT else f"{text[: PROMPT - 1]}…"


def _prune() -> None:
    """Files are read only where one must go: this runs before every request is sent."""
    now = datetime.now(UTC)
    written = [path.stat().st_mtime for path in folder().glob("*.json")]
    if len(written) <= MOST and now.timestamp() - min(written) <= OLDEST:
        return
    for i, ticket in enumerate(tickets()):
        if i >= MOST or (now - datetime.fromisoformat(ticket.time)).total_seconds() > OLDEST:
            (folder() / f"{ticket.job}.json").unlink(missing_ok=True)
