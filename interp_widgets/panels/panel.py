"""What all instruments share: work in the background, and one result in many forms."""

from __future__ import annotations

import threading
from abc import abstractmethod
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import polars as pl

from ..errors import InterpError, TextError
from ..widgets.base import Widget
from . import interrupt
from .jobs import Job, sentence
from .models import Moves, Report, names
from .recipe import recipe, remembering
from .recording import Watch
from .sharing import Shared

if TYPE_CHECKING:
    import altair as alt

    from ..session.session import Session


class Instrument(Shared, Widget):
    """What every instrument owes: one result in many forms, and an answer to requests from the browser. Abstract."""

    movable = False
    """Whether it can be given another model of the same server."""
    asks_for_frame = False
    """Whether `frame` and `chart` ask the model once more."""
    charts_more = False
    """Whether `chart` rests on more than `frame`."""
    framed: tuple[str, ...] = ()
    """Traits that decide, after a result is there, what `frame` and `code()` say."""
    session: Session

    def __init__(self, model: Session, **traits: Any) -> None:
        self.session = model
        traits |= names(model, self.movable)
        if self.comm is None:
            super().__init__(**traits)
            self.on_msg(self._on_message)
        else:  # it is shown already, from what was kept of it (see `asleep.py`)
            self.set_traits(traits)

    @property
    @abstractmethod
    def frame(self) -> pl.DataFrame:
        """The result as a polars frame; waits for one that is still being computed.

        Raises:
            InterpError: there is no result, because the only attempt failed or was stopped; says why.
        """

    @property
    @abstractmethod
    def selection(self) -> pl.DataFrame:
        """The selected part of `frame`; no rows if nothing is selected."""

    @property
    @abstractmethod
    def chart(self) -> alt.Chart:
        """The Altair chart of what is shown."""

    @abstractmethod
    def code(self) -> str:
        """A script that produces `frame`, as text."""

    @property
    @abstractmethod
    def provenance(self) -> dict[str, Any]:
        """What the result rests on: model, weights, versions, arguments, seconds and time."""

    @abstractmethod
    def run(self) -> None:
        """Compute in the foreground: waits for the work, and raises what it raised. May be called again."""

    @abstractmethod
    def cancel(self) -> None:
        """Stop what is running; the former result and what is done so far stay."""

    def _to_keep(self) -> dict[str, Any]:
        """What is kept of this panel beside its traits (see `iw.reopen`)."""
        from .kept import describe

        return describe(self)

    def _on_message(self, _: Any, content: dict[str, Any], buffers: Any) -> None:
        """A request from the browser: `{"type": name, ...}` calls `_on_<name>(**rest)`; what it raises is shown."""
        request = dict(content)
        handler = getattr(self, f"_on_{request.pop('type', 'nothing')}", None)
        if handler is not None:
            with self._showing_errors():
                handler(**request)

    def _on_cancel(self) -> None:
        self.cancel()

    def _showing_errors(self) -> _ShowingErrors:
        return _ShowingErrors(self)


class Panel(Moves, Instrument):
    """An instrument that computes: a session, methods and a widget, composed. Abstract.

    `_start()` computes the present inputs; `_launch(work)` starts other work, where `work(progress)` computes and then calls
    `_publish`. Handlers of clicks must not wait for either: they run on the kernel's main thread.
    """

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        if "__init__" in vars(cls):
            cls.__init__ = remembering(cls.__init__)  # type: ignore[method-assign]

    def __init__(self, model: Session, **traits: Any) -> None:
        self._set_up()
        super().__init__(model, **traits)
        if model.book is not None:
            self._watch = Watch(self, model.book)
        interrupt.install()

    _watch: Watch | None = None
    """Who keeps what is shown, where the session records."""

    def _set_up(self) -> None:
        """The state of a panel that has computed nothing."""
        self._lock = threading.RLock()
        self._job: Job | None = None
        self._beside: dict[str, Job] = {}
        self._started_with: tuple[Any, ...] | None = None
        self._finished: dict[str, Any] = {}
        self._frame: pl.DataFrame | None = None

    # the contract

    @property
    def frame(self) -> pl.DataFrame:
        """The result as a polars frame; waits for one that is still being computed.

        Raises:
            InterpError: there is no result, because the only attempt failed or was stopped; says why.
        """
        if self._job is not None:
            self._job.wait()
        if self._frame is None:
            raise InterpError(self.error or "There is no result yet. Give the panel a text and call .run().")
        return self._frame

    @abstractmethod
    def _compute(self, progress: Job) -> None:
        """The work of `run`."""

    @abstractmethod
    def _inputs(self) -> tuple[Any, ...]:
        """What `_compute` depends on, to know whether what is running is what is asked for."""

    @property
    def provenance(self) -> dict[str, Any]:
        """What the result rests on: model, weights, versions, arguments, seconds and time."""
        return {
            **self.session.provenance(),
            "seed": None,
            **self._finished,
        }

    def run(self) -> None:
        """Compute in the foreground: waits for the work, and raises what it raised. May be called again.

        A computation of the present inputs that is already running is waited for, not repeated.
        """
        job = self._begin()
        try:
            job.wait()
        except KeyboardInterrupt:
            self._interrupt()
            raise
        if job.error is not None:
            raise job.error

    def cancel(self) -> None:
        """Stop what is running; the former result and what is done so far stay."""
        if self._job is not None:
            self._job.cancel()

    # for subclasses

    def _start(self) -> Job:
        """Compute the result of the present inputs in the background."""
        inputs = self._inputs()
        job = self._launch(self._compute, recipe(self) if self._session.host else None)
        self._started_with = inputs
        return job

    def _begin(self) -> Job:
        """The job that computes the present inputs: the one that is doing so already, or a new one."""
        job = self._job
        if job is None or not job.running or self._started_with != self._inputs():
            job = self._start()
        return job

    def _launch(self, work: Callable[[Job], None], asks: dict[str, Any] | None = None) -> Job:
        """Start work in the background; what was running is cancelled and no longer heard. `asks`: see `Job`."""
        with self._lock:
            if self._job is not None:
                self._job.cancel()
            self._job = Job(work, self._report, asks)
            self._started_with = None
            self.error = ""
            interrupt.watch(self)
            self._tell_watch(self._job)
        return self._job.start()

    def _aside(self, work: Callable[[Job], None], name: str = "", report: Report | None = None) -> Job:
        """Do something small beside the main work, which goes on. Only what goes wrong is told, or what `report` tells.

        A newer request of the same `name` replaces it.
        """
        with self._lock:
            if name in self._beside:
                self._beside[name].cancel()
            job = self._beside[name] = Job(work, report or self._report_aside)
            if report is None:
                self._tell_watch(job)
        return job.start()

    def _report_aside(self, job: Job, status: dict[str, Any], error: str) -> None:
        with self._lock:
            if job in self._beside.values() and error:
                self.error = error
            self._tell_watch(job, status["state"])

    def _report(self, job: Job, status: dict[str, Any], error: str) -> None:
        with self._lock:
            if job is not self._job:
                self._tell_watch(job, "cancelled" if status["state"] != "running" else "running")
                return
            partial = status.pop("partial", None)
            if partial is not None and status["state"] == "running":
                self._show_partial(partial)
            if status["state"] == "done":
                self._finished = {"seconds": status["seconds"], "time": datetime.now(UTC).isoformat(timespec="seconds")}
            with self.hold_sync():
                self.status, self.error = status, error
            self._tell_watch(job, status["state"])

    def _tell_watch(self, job: Job, state: str = "") -> None:
        """A job begins, or says in which state it is."""
        if self._watch is not None and not state:
            self._watch.began(job)
        elif self._watch is not None and state != "running":
            self._watch.ended(job, state)

    def _on_message(self, widget: Any, content: dict[str, Any], buffers: Any) -> None:
        if self._watch is not None:
            self._watch.asked(dict(content))
        super()._on_message(widget, content, buffers)
        if self._watch is not None:
            self._watch.answered()

    def _show_partial(self, partial: Any) -> None:
        """Show what is known so far; only for panels whose methods say."""

    def _publish(self, job: Job, show: Callable[[], None]) -> None:
        """Show a result, unless a newer request has replaced the job meanwhile."""
        with self._lock:
            if job in (self._job, *self._beside.values()):
                with self.hold_sync():
                    self._arrive()
                    show()

    def _interrupt(self) -> None:
        """Stop what is running because the kernel was told to, and say so at once."""
        if self._job is None or not self._job.running:
            return
        self._job.cancel(KeyboardInterrupt())
        with self._lock, self.hold_sync():
            self.error = sentence(KeyboardInterrupt())
            self.status = {**self.status, "state": "error", "message": ""}


class _ShowingErrors:
    """Turns an exception in a click's handler into the panel's `error`: raised there it would reach nobody."""

    def __init__(self, panel: Instrument) -> None:
        self.panel = panel

    def __enter__(self) -> None:
        self.panel.error = ""

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> bool:
        if error is None:
            return False
        self.panel.error = sentence(error)
        return isinstance(error, Exception)


def positions_of(position: int | tuple[int, int] | None, length: int) -> list[int]:
    """The positions that `select(position=...)` means: one, a span (first, last), or none.

    Raises:
        TextError: a position that does not exist.
    """
    if position is None:
        return []
    first, last = position if isinstance(position, tuple) else (position, position)
    if not 0 <= first <= last < length:
        raise TextError(f"Position {position} does not exist: the text has positions 0 to {length - 1}.")
    return list(range(first, last + 1))
