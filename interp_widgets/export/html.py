"""Panels as one HTML file: their state, their modules and a small host, with no network and no kernel.

The state travels as JSON inside `<script>` elements, so whatever a token says stays text; arrays travel as
compressed bytes. A module and the stylesheet are written once per page, however many panels use them.
"""

from __future__ import annotations

import base64
import hashlib
import html
import json
import math
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import anywidget

from interp_widgets.widgets import front
from interp_widgets.widgets.chart import ChartWidget

HERE = Path(__file__).parent

_NOT_OURS = {"layout", "tabbable", "tooltip", "comm", "log", "keys"}

_REFERENCE = "anywidget:"
"""How the state of a widget refers to another one (see `anywidget.WidgetTrait`)."""

_LONG = 10_000
"""Characters from which on a string is compressed."""


def to_html(path: str | Path, *widgets: Any, title: str = "interp_widgets") -> Path:
    """Write one page that shows `widgets` as they are now; it works from `file://`. Returns its path.

    Args:
        path: of the file; one that exists is written over.
        *widgets: panels, and Altair charts such as `panel.chart`.
        title: of the page.
    """
    path = Path(path)
    page_css = (HERE / "page.css").read_text(encoding="utf-8")
    name = html.escape(title)
    path.write_text(
        f'<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">\n<title>{name}</title>\n'
        f"<style>\n{page_css}</style>\n</head>\n<body>\n"
        f'<header><h1>{name}</h1><button type="button" data-iw-theme>Theme</button></header>\n'
        f"<main>\n{fragment(*widgets)}\n</main>\n</body>\n</html>\n",
        encoding="utf-8",
    )
    return path


def fragment(*shown: Any, packed: bool = False, still: str = "") -> str:
    """The same without the page around it, to put into a page of documentation. A page may hold several.

    Args:
        *shown: panels, and Altair charts such as `panel.chart`.
        packed: compress modules and stylesheet; a third of the bytes, and no longer to be read by people.
        still: HTML that stands for the widgets where scripts do not run; it goes once they are drawn.
    """
    widgets = [each if isinstance(each, anywidget.AnyWidget) else ChartWidget(each) for each in shown]
    referred = {each.model_id: each for widget in widgets for each in _referred(widget)}
    modules = {_hash(str(widget._esm)): str(widget._esm) for widget in [*referred.values(), *widgets]}
    specs = [
        *(spec(each, shown=False) for each in referred.values()),
        *(spec(widget, shown=True) for widget in widgets),
    ]
    css, host = front.stylesheet(), front.link(HERE, "page.js")
    kind, write = ("application/zlib", _packed_text) if packed else ("application/json", script_text)
    style = _hash(css)
    scripts = [
        *([(kind, f' data-iw-style="{style}"', write(css))] if packed else []),
        *((kind, f' data-iw-module="{key}"', write(text)) for key, text in modules.items()),
        *(("application/x-interp-widget+json", "", script_text(each)) for each in specs),
        ("module", f' data-iw-host="{_hash(host)}"', f"\n{host}"),
    ]
    # Within an element: a page that has written no <body> yet would put bare scripts, and so the panels, into its head.
    return "\n".join(
        [
            "<div>",
            *([f"<div data-iw-still>{still}</div>"] if still else []),
            *([] if packed else [f'<style data-iw-style="{style}">\n{css}</style>']),
            *(f'<script type="{kind}"{more}>{text}</script>' for kind, more, text in scripts),
            "</div>",
        ]
    )


def _hash(text: str) -> str:
    """A name for a text, so that equal texts are one."""
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def _referred(widget: anywidget.AnyWidget) -> list[anywidget.AnyWidget]:
    """The widgets that `widget` refers to: the library of a chart, the parts of an explorer."""
    return [
        getattr(widget, name)
        for name, value in widget.get_state().items()
        if isinstance(value, str) and value.startswith(_REFERENCE) and not name.startswith("_")
    ]


def spec(widget: anywidget.AnyWidget, *, shown: bool) -> dict[str, Any]:
    """What the host needs to draw a widget; one that is not `shown` is drawn by those that refer to it. No kernel answers
    there, so nothing is live or running."""
    state = {
        name: value for name, value in widget.get_state().items() if name not in _NOT_OURS and not name.startswith("_")
    }
    buffers = {name: bytes(value) for name, value in state.items() if isinstance(value, bytes | bytearray | memoryview)}
    texts = {name: value.encode() for name, value in state.items() if isinstance(value, str) and len(value) > _LONG}
    plain = {name: value for name, value in state.items() if name not in buffers and name not in texts}
    if "status" in plain:
        plain |= {"live": False, "status": _settled(plain["status"])}
    return {
        "id": widget.model_id,
        "module": _hash(str(widget._esm)),
        "entry": front.entry(str(widget._esm)),
        "shown": shown,
        "kept": widget._to_keep() if hasattr(widget, "_to_keep") else None,
        "state": plain,
        "texts": {name: _packed(value) for name, value in texts.items()},
        "buffers": {name: _packed(value) for name, value in buffers.items()},
    }


def _packed(value: bytes) -> str:
    return base64.b64encode(zlib.compress(value, 9)).decode()


def _packed_text(text: str) -> str:
    return _packed(text.encode())


def _settled(status: dict[str, Any]) -> dict[str, Any]:
    """A page saved in the middle of a run does not run for ever."""
    return (
        {**status, "state": "idle", "message": "saved before it was finished"}
        if status.get("state") == "running"
        else status
    )


def script_text(value: Any) -> str:
    """JSON that is safe inside a script element: it can neither end it nor break a line."""
    text = json.dumps(_finite(value), ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    for character in "<>\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text


def _finite(value: Any) -> Any:
    """JSON has no NaN; null says the same to our front end."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {name: _finite(each) for name, each in value.items()}
    if isinstance(value, Iterable) and not isinstance(value, str):
        return [_finite(each) for each in value]
    return value
