"""What a recording keeps of a panel: how it looked whenever it came to rest, and which request of the browser led there.

Each panel made on a session that records has a `Watch`, which hears of its jobs and requests and writes into the session's book.
"""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

from ..session.recorded.places import portable
from .followed import FOLLOWED
from .recipe import recipe

if TYPE_CHECKING:
    from ..session.recorded.book import Book
    from .jobs import Job

SHOWN = 80
"""Characters of a text in the list of what a recording holds."""
TEXTS = ("text", "clean")
_LEFT_OUT = ("live", "error", "recorded", "host", "model_source", "served")
"""Traits that are not of the result."""


def canonical(kind: type, arguments: dict[str, Any]) -> dict[str, Any]:
    """Plain arguments of a panel (see `recipe`) without those that say what is the default anyway, and without places on a disk."""
    known = inspect.signature(kind.__init__).parameters  # type: ignore[misc]
    found = {name: _placeless(value) for name, value in arguments.items()}
    return {
        name: value
        for name, value in found.items()
        if name in known and value not in (known[name].default, "") and value != _listed(known[name].default)
    }


def _listed(value: Any) -> Any:
    return {"kind": "tuple", "items": list(value)} if isinstance(value, tuple) else value


def _placeless(value: Any) -> Any:
    if isinstance(value, list):
        return [_placeless(each) for each in value]
    if not isinstance(value, dict):
        return value
    if value.get("kind") == "sae":
        return {"kind": "sae", "name": value["name"]}
    if value.get("kind") in ("lost", "session"):
        return {"kind": "any"}
    return {key: _placeless(each) for key, each in value.items()}


class Watch:
    """Follows one panel. Told by it of jobs that begin and end, and of requests."""

    def __init__(self, panel: Any, book: Book) -> None:
        self._panel, self._book = panel, book
        self._busy: set[Job] = set()
        self._asked: dict[str, Any] | None = None
        panel.observe(self._changed)

    def began(self, job: Job) -> None:
        self._busy.add(job)

    def ended(self, job: Job, state: str) -> None:
        """A job has told its end; when none is left, the panel is at rest."""
        if job not in self._busy:
            return
        self._busy.discard(job)
        if state != "done":
            self._asked = None
        elif not self._busy:
            self._keep()

    def asked(self, message: dict[str, Any]) -> None:
        """A request of the browser is about to be answered."""
        self._asked = None if message.get("type") == "run" else message

    def answered(self) -> None:
        """It is, or its job has begun."""
        if self._asked is not None and not self._busy and not self._panel.error:
            self._keep()

    def _changed(self, change: Any) -> None:
        job, name = self._panel._job, type(self._panel).__name__
        answers = [answer for each in FOLLOWED.get(name, {}).values() for answer in each]
        chosen = change.name in self._panel.framed or any(change.name in answer.asked for answer in answers)
        if chosen and not self._busy and job is not None and not job.running:
            self._keep()

    def _keep(self) -> None:
        from ..export.html import spec

        panel, self_asked, self._asked = self._panel, self._asked, None
        if panel.error:
            return
        found = spec(panel, shown=True)
        state = {name: value for name, value in found["state"].items() if name not in _LEFT_OUT}
        kept = {name: portable(value) for name, value in found["kept"].items() if name not in ("class", "arguments")}
        arguments = canonical(type(panel), recipe(panel)["arguments"])
        about = next((str(getattr(panel, name)) for name in TEXTS if panel.has_trait(name)), "")[:SHOWN]
        parts = {"state": state, "texts": found["texts"], "buffers": found["buffers"], "kept": kept}
        self._book.keep(type(panel).__name__, arguments, about, self_asked, parts)
