"""What every widget of the package has: one stylesheet, strict names, and a visible state.

An exception in a callback that a click started reaches nobody in JupyterLab, so failure is a trait:
whoever works for a widget reports into `status` and `error`, and the front end always shows them.
"""

from __future__ import annotations

from typing import Any

import anywidget
import traitlets as t

from . import front


class Widget(anywidget.AnyWidget):
    """A widget of this package. Abstract: subclasses set `_esm = front.module("name.js")`."""

    _css = front.stylesheet()

    status = t.Dict({"state": "idle", "message": "", "done": 0, "total": 0, "seconds": 0.0}).tag(sync=True)
    """What the kernel is doing: `state` (idle, running, done, cancelled, error), a `message` to show,
    `done` of `total` steps (total 0: unknown), `seconds` since it started."""

    error = t.Unicode("").tag(sync=True)
    """One sentence on what went wrong with the last request; empty when nothing did."""

    notes = t.List(t.Unicode()).tag(sync=True)
    """Sentences that belong beside the result: what is masked, cut off or cannot be said."""

    model_name = t.Unicode("").tag(sync=True)
    """Name of the model, for the panel's head line."""

    live = t.Bool(True).tag(sync=True)
    """Whether a kernel answers. Exported pages set it to False; controls that need Python are then disabled."""

    def __init__(self, **traits: Any) -> None:
        if unknown := sorted(set(traits) - set(self.trait_names())):
            known = ", ".join(n for n in self.trait_names() if not n.startswith("_"))
            raise TypeError(f"{type(self).__name__} has no trait named {', '.join(unknown)}; it has: {known}.")
        super().__init__(**traits)

    def set_traits(self, values: dict[str, Any]) -> None:
        """Set several traits."""
        for name, value in values.items():
            setattr(self, name, value)
