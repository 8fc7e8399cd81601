"""Work off the kernel's main thread: one job at a time for each panel, the newest wins, and every ending is told.

A job never touches the panel but through `report`, and `report` is deaf to a job that a newer one has replaced.
"""

from __future__ import annotations

import atexit
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any
from weakref import WeakSet

from .. import importing
from ..errors import Cancelled, InterpError
from ..progress import asking, heard, nobody

if TYPE_CHECKING:
    from ..session.remote.state import JobState

QUIET = 0.15
"""Seconds between two progress reports; more often would flood the browser."""
TICK = 1.0
"""Seconds between two reports of a request to a server on which nothing but time has changed."""


_STARTED: WeakSet[Job] = WeakSet()
"""Jobs that may still run when Python ends."""


@atexit.register
def _stop_all(seconds: float = 10) -> None:
    """Torch aborts the process if Python ends under a thread that computes, so what still runs is stopped and waited for."""
    jobs = [job for job in _STARTED if job.running]
    for job in jobs:
        job.cancel()
    end = time.monotonic() + seconds
    for job in jobs:
        job.wait(max(0.0, end - time.monotonic()))


class Job:
    """One piece of work in its own thread. Calling the job reports progress, and stops the work once it was cancelled.

    It hears of every request to a server that the work makes, and stops waiting for one in the same way.
    """

    def __init__(
        self,
        work: Callable[[Job], None],
        report: Callable[[Job, dict[str, Any], str], None],
        asks: dict[str, Any] | None = None,
    ) -> None:
        """`asks`: what the panel is made of, if this is its result (see `recipe`)."""
        self._asks = asks
        self.error: BaseException | None = None
        self._work, self._report = work, report
        self._stop: BaseException | None = None
        self._began = self._told = time.monotonic()
        self._status: dict[str, Any] = {"state": "running", "message": "", "done": 0, "total": 0, "remote": None}
        self._requests: list[JobState] = []
        self._words = ""
        self._over = False
        self._thread = threading.Thread(target=self._run, name="interp_widgets job", daemon=True)

    def start(self) -> Job:
        self._tell()
        _STARTED.add(self)
        self._thread.start()
        return self

    def cancel(self, because: BaseException | None = None) -> None:
        """Ask the work to stop at its next report of progress; it then raises `because`, by default `Cancelled`."""
        self._stop = because or Cancelled("Stopped; what was there is kept.")

    @property
    def running(self) -> bool:
        return self._thread.is_alive() and not self._is_over()

    def _is_over(self) -> bool:
        """Whether this is the job's own thread, with nothing left to do but to tell its end: nobody waits for himself."""
        return self._over and threading.current_thread() is self._thread

    def wait(self, timeout: float | None = None) -> bool:
        """Wait for the end; False if it did not come in time. In short steps, so that Ctrl-C gets through."""
        end = None if timeout is None else time.monotonic() + timeout
        while self.running and (end is None or time.monotonic() < end):
            self._thread.join(0.1)
        return not self.running

    def __call__(self, done: int, total: int, message: str = "", partial: Any = None) -> None:
        """The `Progress` of the work."""
        if self._stop is not None:
            raise self._stop
        self._status |= {"done": done, "total": total, "message": message}
        if time.monotonic() - self._told > QUIET:
            self._tell(partial)

    def __reduce__(self) -> Any:
        """Work that travels to a server may hold on to its progress; nobody looks at it there."""
        return nobody, ()

    def hear(self, request: JobState) -> None:
        """How a request to a server is doing."""
        if self._stop is not None:
            raise self._stop
        if request not in self._requests:
            self._requests.append(request)
        self._status["remote"] = self._told_of_requests()
        news, self._words = request.words != self._words, request.words
        if time.monotonic() - self._told > (QUIET if news or request.stage in ("sending", "fetching") else TICK):
            self._tell()

    def _told_of_requests(self) -> dict[str, Any] | None:
        """The newest request, with the bytes of all."""
        if not self._requests:
            return None
        totals = {"up": sum(each.up for each in self._requests), "down": sum(each.down for each in self._requests)}
        return {**self._requests[-1].told(), **totals, "requests": len(self._requests)}

    def _leave_request(self) -> str:
        """What becomes of the request that is no longer waited for, in words."""
        last = self._requests[-1] if self._requests else None
        if last is None or last.stage != "left" or not last.id:
            return ""
        return f" The server cannot be told and ends what it has begun; iw.resume({last.id[:8]!r}) asks for it."

    def _run(self) -> None:
        heard.set(self.hear)
        asking.set(self._asks)
        try:
            importing.torch_world()
            self._work(self)
            self._status |= {"state": "done", "message": ""}
        except Cancelled as error:
            self.error = error
            self._status |= {"state": "cancelled", "message": f"{error}{self._leave_request()}"}
        except BaseException as error:  # a thread's exception reaches nobody else
            self.error = error
            self._status |= {"state": "error", "message": ""}
        self._status["remote"] = self._told_of_requests()
        self._over = True
        self._tell(error="" if self.error is None or isinstance(self.error, Cancelled) else sentence(self.error))

    def _tell(self, partial: Any = None, error: str = "") -> None:
        self._told = time.monotonic()
        self._report(self, {**self._status, "seconds": round(self._told - self._began, 2), "partial": partial}, error)


def sentence(error: BaseException) -> str:
    """What went wrong, for a person who did not write the code that raised it."""
    if isinstance(error, InterpError):
        return str(error)
    if isinstance(error, KeyboardInterrupt):
        return "The kernel was interrupted, so the work stopped. What was there is kept; run it again when you like."
    if (
        isinstance(error, MemoryError)
        or "out of memory" in str(error).lower()
        or "can't allocate memory" in str(error).lower()
    ):
        return "There was not enough memory. What was there is kept; try a shorter text, a smaller model, or dtype='bfloat16'."
    first = next(iter(str(error).strip().splitlines()), "")
    return f"The model raised {type(error).__name__}: {first} What was there is kept."
