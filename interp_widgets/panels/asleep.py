"""A panel that is shown from what was kept of it: no model is loaded and nothing is computed until something needs it.

What is kept is answered from there. All else needs attributes that only the constructor of the panel sets: the first time that one
is missed, the panel wakes. Its model is loaded, its constructor runs, its result is computed, and then what was asked is done.
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

import polars as pl

from .jobs import Job, sentence
from .kept import unpack, unpack_frame
from .recipe import again, typed

if TYPE_CHECKING:
    import altair as alt

    from .source import Source

_waking: ContextVar[bool] = ContextVar("waking", default=False)
"""In the job that wakes a panel, where it is built and what waited for it is done."""
_answering: ContextVar[bool] = ContextVar("answering", default=False)
"""While a click is answered on the kernel's main thread, which must not wait."""

LOOKS = ("color", "site", "metric", "sort", "value_weighted", "leave_first", "mode", "where", "quantity", "atoms", "atom",
         "positions", "labels", "pinned", "hidden", "groups", "switches", "prompt", "way", "struck")  # fmt: skip
"""Traits that say how a result is shown or what is asked, where a class has them: a panel that wakes has them at once."""
CHOSEN = ("positions", "cell", "pins", "head", "query_range", "key_range", "key_positions", "strength", "pair", "source",
          "dictionary", "bin", "frozen", "origin", "selected", "size", "edge_threshold", "node")  # fmt: skip
"""Traits that choose among what a result shows: a panel that wakes has them again once it has a result."""


class Asleep(BaseException):
    """A click needs what only a panel that is awake has. Not an `Exception`: nobody but the panel itself is to catch it."""


class Sleeper:
    """Goes before the class of an instrument, as in `class Lens(Sleeper, Lens)`: what needs more than was kept wakes it first."""

    _kept: dict[str, Any] | None = None
    """What was kept; None once the panel is awake."""
    _source: Source
    _constructed: frozenset[str]
    """Names of the attributes that the constructor of the panel's class sets."""
    _todo: list[tuple[bool, Callable[[], None]]]
    """What waits for the panel to wake: whether it starts a computation of its own, and what to do."""
    _quiet = True
    """Whether changes of traits reach nobody, while what was kept is set."""
    _job: Job | None = None
    _waker: Job | None = None
    """The work of waking, which ends when all is done that was asked meanwhile."""

    @property
    def asleep(self) -> bool:
        """Whether nothing has needed the model so far."""
        return self._kept is not None

    def _to_keep(self) -> dict[str, Any]:
        return dict(self._kept) if self._kept is not None else super()._to_keep()  # type: ignore[misc]

    def __getattr__(self, name: str) -> Any:
        """An attribute that is not there: one that the constructor of the panel sets, or none at all."""
        panel: Any = self
        if panel.__dict__.get("_kept") is None or _waking.get() or name not in type(panel)._constructed:
            raise AttributeError(f"{type(panel).__name__!r} object has no attribute {name!r}")
        self._awake()
        return getattr(self, name)

    # clicks

    def _on_message(self, widget: Any, content: dict[str, Any], buffers: Any) -> None:
        answer: Any = super()._on_message  # type: ignore[misc]
        if self._kept is None:
            answer(widget, content, buffers)
        elif content.get("type") == "cancel":
            if self._job is not None:
                self._job.cancel()
        else:
            self._try(lambda: answer(widget, content, buffers), content.get("type") == "run")

    def _notify_observers(self, event: Any) -> None:
        if self._quiet and event["name"] != "comm":
            return
        answer: Any = super()._notify_observers  # type: ignore[misc]
        if self._kept is None or _waking.get():
            answer(event)
        else:
            self._try(lambda: answer(event))

    def _showing_errors(self) -> AbstractContextManager[Any]:
        return nullcontext() if _answering.get() else super()._showing_errors()  # type: ignore[misc]

    def _try(self: Any, answer: Callable[[], None], starts: bool = False) -> None:
        """Do what a click asks, at once if it needs nothing that is not there."""
        token = _answering.set(True)
        try:
            answer()
        except Asleep:
            self._todo.append((starts, answer))
            self._begin_waking()
        except Exception as error:
            self.error = sentence(error)
        finally:
            _answering.reset(token)

    # waking

    def _awake(self) -> None:
        """Wake, and wait for the result; raises why it did not come."""
        if self._kept is None or _waking.get():
            return
        if _answering.get():
            raise Asleep
        waking = self._begin_waking()
        try:
            waking.wait()
        except KeyboardInterrupt:
            waking.cancel()
            raise
        for job in (waking, self._job):
            if job is not None and job.error is not None:
                raise job.error

    def _begin_waking(self: Any) -> Job:
        job: Job | None = self._waker
        if job is None or not job.running:
            self.error = ""
            self._waker = self._job = job = Job(self._wake, self._report)
            job.start()
        return job

    def _wake(self, progress: Job) -> None:
        """Become what the panel would be if it had been made here, then do what was asked. In a job."""
        raise NotImplementedError


class SleepingPanel(Sleeper):
    """A sleeper that computes: a `Panel`."""

    framed: tuple[str, ...]
    _as_kept: dict[str, Any]
    """Values of the traits that a chart may depend on, as they were kept."""
    _held = False
    """Whether `_start` does nothing: the constructor is run, and the choices are not made yet."""

    @property
    def frame(self) -> pl.DataFrame:
        if self._holds("frame", self.framed):
            return unpack_frame(self._kept["frame"])  # type: ignore[index]
        self._awake()
        return super().frame  # type: ignore[misc]

    @property
    def chart(self) -> alt.Chart:
        if self._holds("chart", tuple(self._as_kept)):
            import altair as alt

            from .charts import offline

            return offline(alt.Chart.from_dict(json.loads(unpack(self._kept["chart"]))))  # type: ignore[index]
        return super().chart  # type: ignore[misc]

    def code(self) -> str:
        if self._holds("code", self.framed):
            return str(self._kept["code"])  # type: ignore[index]
        self._awake()
        return str(super().code())  # type: ignore[misc]

    @property
    def provenance(self) -> dict[str, Any]:
        return dict(self._kept["provenance"]) if self._kept is not None else super().provenance  # type: ignore[misc]

    def _holds(self, what: str, traits: tuple[str, ...]) -> bool:
        """Whether something is kept, and is of what is shown now."""
        kept = self._kept is not None and self._kept.get(what)
        return bool(kept) and all(getattr(self, name) == self._as_kept.get(name) for name in traits)

    def run(self) -> None:
        if self._kept is None:
            super().run()  # type: ignore[misc]
        self._awake()

    def _begin(self) -> Job:
        if self._kept is None:
            return super()._begin()  # type: ignore[misc,no-any-return]
        self._awake()
        assert self._job is not None
        return self._job

    def _start(self) -> Any:
        return None if self._held else super()._start()  # type: ignore[misc]

    def _wake(self: Any, progress: Job) -> None:
        kept, before = self._kept, set(self.__dict__)
        progress(0, 0, f"loading {self.model_name}")
        session = self._source.session(kept["provenance"])
        arguments = {name: self._again(value) for name, value in kept["arguments"].items()}
        arguments |= typed(self, kept["arguments"])
        looks, chosen = self._values(LOOKS), self._values(CHOSEN)
        token, self._held = _waking.set(True), True
        try:
            self._awake_class.__init__(self, session, **arguments)
            self.set_traits(looks)
        except BaseException:
            for name in set(self.__dict__) - before:
                del self.__dict__[name]
            self._job = progress
            raise
        finally:
            self._held = False
            _waking.reset(token)
        self._kept = None
        self._finish(chosen)

    def _again(self, value: Any) -> Any:
        second = isinstance(value, dict) and value.get("kind") == "session"
        return self._source.other(value["provenance"]) if second else again(value)

    def _values(self: Any, names: tuple[str, ...]) -> dict[str, Any]:
        return {name: getattr(self, name) for name in names if self.has_trait(name)}

    def _finish(self: Any, chosen: dict[str, Any]) -> None:
        """The result of the present inputs, the selection in it, and what was asked meanwhile."""
        todo, self._todo = self._todo, []
        if not any(starts for starts, _ in todo):
            job = self._start()
            job.wait()
            if job.error is not None:
                return  # it is shown
            self.set_traits(chosen)
        for _, answer in todo:
            answer()


class SleepingExplorer(Sleeper):
    """A sleeper whose parts are panels: they wake one by one, with the same model."""

    def _report(self: Any, job: Job, status: dict[str, Any], error: str) -> None:
        status.pop("partial", None)
        if status["state"] == "running" or error:
            self.status, self.error = status, error
        else:
            self._tell()

    def _wake(self: Any, progress: Job) -> None:
        progress(0, 0, f"loading {self.model_name}")
        self.session = self._source.session(self._kept["provenance"])
        todo, self._todo, self._kept = self._todo, [], None
        for _, answer in todo:
            answer()


def constructed(cls: Any) -> frozenset[str]:
    """Names of the attributes that the constructor of a class sets."""
    return frozenset(inspect.unwrap(cls.__init__).__code__.co_names) | {"_session", "session"}
