"""What every widget of the package has: one stylesheet, strict names, and a visible state.

An exception in a callback that a click started reaches nobody in JupyterLab, so failure is a trait:
whoever works for a widget reports into `status` and `error`, and the front end always shows them.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import anywidget
import traitlets as t

from . import front


class Widget(anywidget.AnyWidget):
    """A widget of this package. Abstract: subclasses set `_esm = front.module("name.js")`."""

    _css = front.stylesheet()

    status = t.Dict({"state": "idle", "message": "", "done": 0, "total": 0, "seconds": 0.0, "remote": None}).tag(
        sync=True
    )
    """What the kernel is doing: `state` (idle, running, done, cancelled, error), a `message` to show,
    `done` of `total` steps (total 0: unknown), `seconds` since it started.

    `remote` is the newest request to a server, None without one: its `stage` and that in `words`, `position` in the queue or None,
    `id`, `host`, `seconds`, `size` of what is sent and an `estimate` in words where it is large; and of all requests of this work
    the bytes `up` and `down` and how many there were (`requests`)."""

    error = t.Unicode("").tag(sync=True)
    """One sentence on what went wrong with the last request; empty when nothing did."""

    notes = t.List(t.Unicode()).tag(sync=True)
    """Sentences that belong beside the result: what is masked, cut off or cannot be said."""

    summary = t.Unicode("").tag(sync=True)
    """One sentence that says what the result is, for a reader who cannot see it: a screen reader, the text of a picture. Changes
    with the result; empty without one."""

    model_name = t.Unicode("").tag(sync=True)
    """Name of the model, for the panel's head line."""

    model_source = t.Unicode("").tag(sync=True)
    """What the server calls the model; empty for one that is here, and where the panel cannot be given another one."""

    host = t.Unicode("").tag(sync=True)
    """Address of the server that the model is on; empty for one that is here."""

    served = t.Dict().tag(sync=True)
    """What the server has: `state` ("asking", "there"), `models` as dicts of `id`, `about` and `fits`; or an `error`."""

    recorded = t.Unicode("").tag(sync=True)
    """When the recording was made (ISO 8601) that answers in place of a model; empty where a model answers."""

    live = t.Bool(True).tag(sync=True)
    """Whether a kernel answers. Exported pages set it to False; controls that need Python are then disabled."""

    def __init__(self, **traits: Any) -> None:
        if unknown := sorted(set(traits) - set(self.trait_names())):
            known = ", ".join(n for n in self.trait_names() if not n.startswith("_"))
            raise TypeError(f"{type(self).__name__} has no trait named {', '.join(unknown)}; it has: {known}.")
        self._sync = threading.RLock()
        self._holders = 0
        super().__init__(**traits)

    # A job shows its result while the kernel may be answering a click. ipywidgets keeps what waits to be sent in one set and
    # empties it when any thread has done, so what another had just put there was never sent. Here the last one to leave sends.
    # Nothing that could wait for another thread runs under the lock: observers do not.

    @contextmanager
    def hold_sync(self) -> Iterator[None]:
        """Send what changes in this block in one message, at its end; with several threads in such blocks, at the last one's."""
        with self._sync:
            self._holders += 1
            self._holding_sync = True
        try:
            yield
        finally:
            with self._sync:
                self._holders -= 1
                if not self._holders:
                    self._holding_sync = False
                    self.send_state(self._states_to_send)
                    self._states_to_send.clear()

    def _should_send_property(self, key: str, value: Any) -> bool:
        with self._sync:
            return bool(super()._should_send_property(key, value))

    def send_state(self, key: Any = None) -> None:
        """Send traits (a name, several, by default all) to the browser, as they are now."""
        with self._sync:
            super().send_state(key)

    def set_traits(self, values: dict[str, Any]) -> None:
        """Set several traits."""
        for name, value in values.items():
            setattr(self, name, value)
