"""The explorer as the browser sees it: one text, one selection, and the panels that it shows."""

from __future__ import annotations

import anywidget
import traitlets as t

from . import front
from .base import Widget

VIEWS = ("lens", "atoms", "attention", "patching")


class ExplorerWidget(Widget):
    """Panels on one text. Each is a widget of its own, which the browser draws inside this one."""

    _esm = front.module("explorer.js")

    text = t.Unicode("").tag(sync=True)
    """The text as typed; the clean prompt of `patching`."""

    tokens = t.List(t.Unicode()).tag(sync=True)
    """Exact text of every token."""

    token_ids = t.List(t.Int()).tag(sync=True)
    """Vocabulary id of every token. A panel with other ids shows another text: its result is not shown."""

    masked = t.List(t.Int()).tag(sync=True)
    """Positions left out of colour scales, as far as a panel has said so; marked in the strip."""

    positions = t.List(t.Int()).tag(sync=True)
    """Selected token positions, ascending. Every panel that shows this text follows it, and it follows them."""

    view = t.Enum(VIEWS, "lens").tag(sync=True)
    """The panel that is shown."""

    beside = t.Enum(("", *VIEWS), "").tag(sync=True)
    """The panel that is shown beside it, or empty."""

    sae_name = t.Unicode("").tag(sync=True)
    """The dictionary of `atoms`, for the head line."""

    lens = anywidget.WidgetTrait().tag(sync=True)
    """The `LensWidget`."""

    atoms = anywidget.WidgetTrait().tag(sync=True)
    """The `AtomsWidget`; None without a dictionary."""

    attention = anywidget.WidgetTrait().tag(sync=True)
    """The `AttentionWidget`."""

    patching = anywidget.WidgetTrait().tag(sync=True)
    """The `PatchingWidget`."""
