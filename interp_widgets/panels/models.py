"""Another model of the same server for a panel: asked for, chosen, and taken only when it has given a result."""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

import polars as pl

from ..errors import ModelError
from .jobs import Job
from .recipe import recipe

if TYPE_CHECKING:
    from ..session.session import Session

_moving: ContextVar[tuple[Any, Session] | None] = ContextVar("moving", default=None)
"""In the job of a panel that tries another model: the panel and that model."""


class Moves:
    """A panel whose model can be changed for another one of the server. What was shown stays until the other has a result.

    `session` is the model of what is shown; in the job that computes with another one, and only there, it is that one.
    """

    movable = True
    """Whether its inputs make sense on another model."""
    _session: Session
    _run: Any

    @property
    def session(self) -> Session:
        """The model that the panel asks."""
        moving = _moving.get()
        return moving[1] if moving is not None and moving[0] is self else self._session

    @session.setter
    def session(self, model: Session) -> None:
        self._session = model

    @property
    def _away(self) -> bool:
        """Whether this is the job that tries another model, and what is shown is still that of the former."""
        return self.session is not self._session

    def _translate(self, former: Session) -> None:
        """Tokens that were named by their ids in the former model's vocabulary become texts."""

    def _forget(self) -> None:
        """Drop what was of the former model: the first result of the other is about to be shown."""
        self._run = None

    def _arrive(self: Any) -> None:
        """The other model has a first result: it is the panel's from now on."""
        if self._away:
            self._session = self.session
            self.set_traits(names(self._session))
            self._forget()

    # requests from the browser

    def _on_models(self: Any) -> None:
        from ..session.remote.served import models

        host = self.session.host

        def tell(state: str, error: str = "") -> None:
            self.set_trait("served", {"state": state, "models": [], "error": error})

        def work(job: Job) -> None:
            listed = served(models(host))
            self._publish(job, lambda: self.set_trait("served", {"state": "there", "models": listed, "error": ""}))

        def report(job: Job, status: dict[str, Any], error: str) -> None:
            if error and job in self._beside.values():
                tell("", error)

        tell("asking")
        self._aside(work, "models", report)

    def _on_model(self: Any, name: str) -> None:
        from ..session.load import load
        from ..session.remote.connect import name_of

        host = self.session.host
        if not (host and self.movable):
            raise ModelError("Only a panel whose model is on a server can be given another one. Make a new panel.")

        def work(job: Job) -> None:
            job(0, 0, f"{name}: its structure and tokenizer")
            former, other = self._session, load(name_of(name), remote=host)
            _moving.set((self, other))
            self._translate(former)
            if any(getattr(self, prompt, "") for prompt in ("text", "clean")):
                self._compute(job)
            else:
                self._publish(job, lambda: None)  # nothing to ask it yet

        self._launch(work, recipe(self))


def names(model: Session, movable: bool = True) -> dict[str, str]:
    """What a panel's head says of a model."""
    source = model.source if model.host and movable else None
    return {"model_name": model.name, "host": model.host, "model_source": source or "", "recorded": model.recorded}


def served(models: pl.DataFrame) -> list[dict[str, Any]]:
    """Rows of `frames.SERVED_MODELS` for the list in the browser."""
    return [{"id": row["model"], "about": _about(row), "fits": _fits(row)} for row in models.iter_rows(named=True)]


def _fits(row: dict[str, Any]) -> bool:
    return row["known"] and row["task"] in (None, "text-generation")


def _about(row: dict[str, Any]) -> str:
    if not row["known"]:
        return f"its layers are not known ({row['model_type'] or 'no configuration'})"
    if not _fits(row):
        return f"deployed for {row['task']}, not for text generation"
    state = {"RUNNING": "running", "DEPLOYING": "is being loaded", "UNHEALTHY": "not well"}.get(row["state"] or "", "")
    if row["level"] != "HOT":
        state = "loaded when asked"
    sizes = [f"{row['layers']} layers, width {row['width']}" if row["layers"] else "", row["dtype"] or "", state]
    return ", ".join(filter(None, sizes))


def as_text(token: str | int | None, former: Session) -> Any:
    """A token that may be named by its id, by its text."""
    return former.text_of(token) if isinstance(token, int) else token


Report = Callable[[Job, dict[str, Any], str], None]
