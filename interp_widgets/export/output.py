"""Panels in the output of a notebook's cell: live while the kernel is, and their twin in what is saved.

A host shows one of the forms in a bundle. Ours, which the JupyterLab extension draws, says which live widget it is; `text/html`
is the twin. The form of ipywidgets, which says "Error displaying widget" once the kernel is gone, is only there until the
extension has told the kernel over a comm that it is at work.
"""

from __future__ import annotations

import json
import threading
import time
import uuid
from functools import cache
from typing import Any
from weakref import WeakKeyDictionary

from .. import __version__
from ..panels.reopen import from_specs
from ..panels.source import Source
from .twin import twin

MIME = "application/vnd.interp-widgets+json"
_WIDGET = "application/vnd.jupyter.widget-view+json"
_QUIET = ("status", "error", "live", "served")
SETTLED = 1.0
"""Seconds without a change after which the twin is written again."""

_outputs: WeakKeyDictionary[Any, Output] = WeakKeyDictionary()
_drawn_by_us = threading.Event()
"""Set once the extension has said that it draws panels of this kernel."""


def display(panel: Any) -> None:
    """Show a panel as the output of the present cell; where nobody can click, wait for its result first."""
    if panel not in _outputs:
        _outputs[panel] = Output(panel)
    _outputs[panel].show()


def live(kept: str) -> str:
    """What the extension asks of the kernel: the panel of a saved output, live. From now on its twin is written there.

    Args:
        kept: what the output holds of its panels, as JSON.

    Returns:
        The id of its model.
    """
    panel = from_specs(json.loads(kept), _source())[0]
    _outputs[panel] = Output(panel, [uuid.uuid4().hex])
    return str(panel.model_id)


@cache
def _source() -> Source:
    """Where all panels that are made live in this kernel have their model from."""
    return Source()


class Output:
    """Where one panel is shown, and what is saved of it there."""

    def __init__(self, panel: Any, ids: list[str] | None = None) -> None:
        from IPython.core.getipython import get_ipython

        self._panel, self._ids = panel, list(ids or [])
        self._last = ""
        self._timer: threading.Timer | None = None
        self._due = 0.0
        self._lock = threading.Lock()
        kernel = getattr(get_ipython(), "kernel", None)
        self._attended = kernel is None or bool(getattr(kernel, "_allow_stdin", True))
        if kernel is not None and self._attended:
            kernel.comm_manager.register_target("interp_widgets", _hear)
            for each in _parts(panel):
                each.observe(self._changed, [name for name in each.keys if not name.startswith("_")])

    def show(self) -> None:
        """One more output."""
        from IPython.display import display as publish

        if self._attended:
            self._later()
        else:
            _wait(self._panel)
            self._last = twin(self._panel)
        self._ids.append(uuid.uuid4().hex)
        data, metadata = self._bundle()
        publish(data, metadata=metadata, raw=True, display_id=self._ids[-1])

    def _bundle(self) -> tuple[dict[str, Any], dict[str, Any]]:
        panel = self._panel
        data, metadata = panel._repr_mimebundle_() or (dict[str, Any](), {})
        if not self._attended or _drawn_by_us.is_set():
            data.pop(_WIDGET, None)
            metadata = {}
        name = f"{type(panel).__name__}: {panel.model_name}"
        waiting = f"<p><b>{name}</b> was saved before there was a result.</p>"
        ours = {"model_id": panel.model_id, "class": type(panel).__name__, "version": __version__}
        return {**data, MIME: ours, "text/html": self._last or waiting, "text/plain": name}, metadata

    def _changed(self, change: Any) -> None:
        if change["name"] == "status" and change["new"]["state"] != "running":
            self._later(0.05)
        elif change["name"] not in _QUIET and _drawn_by_us.is_set():  # other hosts draw the widget again at each update
            self._later()

    def _later(self, seconds: float = SETTLED) -> None:
        """Write when nothing has changed for so long. Called for every trait that changes: mostly only the time is noted."""
        with self._lock:
            self._due = time.monotonic() + seconds
            if self._timer is None or seconds < SETTLED:
                self._arm(seconds)

    def _arm(self, seconds: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = threading.Timer(seconds, self._wake)
        self._timer.daemon = True
        self._timer.start()

    def _wake(self) -> None:
        with self._lock:
            left = self._due - time.monotonic()
            if left > 0:
                self._arm(left)
                return
            self._timer = None
        self._write()

    def _write(self) -> None:
        """Publish the twin; later, while the panel works."""
        from IPython.display import update_display

        if self._panel.comm is None:  # closed
            return
        if _working(self._panel):
            self._later()
            return
        html = twin(self._panel)
        if html == self._last:
            return
        self._last = html
        data, metadata = self._bundle()
        for each in self._ids:
            update_display(data, metadata=metadata, raw=True, display_id=each)


def _hear(comm: Any, message: Any) -> None:
    """The extension has drawn a panel of this kernel: outputs need the form of ipywidgets no longer."""
    _drawn_by_us.set()
    drawn = message["content"]["data"].get("model_id")
    for panel, output in list(_outputs.items()):
        if panel.comm is not None and panel.model_id == drawn:
            output._last = ""
            output._later(0.05)


def _parts(panel: Any) -> list[Any]:
    return [panel, *getattr(panel, "parts", {}).values()]


def _working(panel: Any) -> bool:
    jobs = [getattr(each, "_job", None) for each in _parts(panel)]
    return any(job is not None and job.running for job in jobs)


def _wait(panel: Any) -> None:
    """Until nothing works any more. What went wrong is in the panel's error, and in its twin."""
    for each in _parts(panel):
        if (job := getattr(each, "_job", None)) is not None:
            job.wait()
