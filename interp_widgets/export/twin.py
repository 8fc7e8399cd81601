"""The twin of a panel in a notebook's output: what stands there when no kernel answers.

A picture and a table for hosts that run no scripts, and the fragment of a page, which takes their place where scripts run.
"""

from __future__ import annotations

import base64
import html
import json
import subprocess
import sys
from functools import lru_cache
from typing import Any

import polars as pl

from ..errors import InterpError
from ..widgets.chart import VEGA_LITE
from .html import fragment

ROWS = 8
"""Rows of the table."""
_CELL = 60
"""Characters of one cell of it."""
_PATIENCE = 60
"""Seconds for a picture."""


def twin(panel: Any) -> str:
    """The HTML of a panel as it is now. Waits for nothing, and asks no server."""
    return fragment(panel, packed=True, still=still(panel))


def still(panel: Any) -> str:
    """A picture and the first rows of the result, or why there is none."""
    name = f"{type(panel).__name__}: {panel.model_name}"
    head = f"<p><b>{html.escape(name)}</b> {html.escape(panel.summary)}</p>"
    try:
        frame = _frame(panel)
        picture = _picture(panel, panel.summary or name) if frame is not None else ""
    except InterpError as error:
        return f"{head}<p>{html.escape(str(error))}</p>"
    if frame is None:
        return f"{head}<p>{html.escape(panel.error or panel.status['message'] or 'There is no result yet.')}</p>"
    return head + picture + _table(frame)


def _frame(panel: Any) -> pl.DataFrame | None:
    shown = panel._part(panel.view) if hasattr(panel, "parts") else panel
    asks_server = getattr(shown, "host", "") and getattr(shown, "asks_for_frame", False)
    found: pl.DataFrame | None = None if asks_server or panel.status["state"] == "running" else panel.frame
    return found


def _picture(panel: Any, says: str) -> str:
    data = _png(json.dumps(panel.chart.to_dict()))
    return f'<p><img alt="{html.escape(says)}" src="data:image/png;base64,{data}"></p>' if data else ""


_DRAW = """
import sys, vl_convert
sys.stdout.buffer.write(vl_convert.vegalite_to_png(sys.stdin.buffer.read().decode(), vl_version=sys.argv[1]))
"""


@lru_cache(maxsize=16)
def _png(spec: str) -> str:
    """A chart as PNG in base64; empty if it cannot be drawn. In a process of its own: vl_convert holds Python's lock while it
    draws, and a kernel that cannot answer for half a second after each press is one that hangs."""
    try:
        done = subprocess.run(
            [sys.executable, "-c", _DRAW, VEGA_LITE],
            input=spec.encode(),
            capture_output=True,
            timeout=_PATIENCE,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    return base64.b64encode(done.stdout).decode()


def _table(frame: pl.DataFrame) -> str:
    head = "".join(f"<th>{html.escape(name)}</th>" for name in frame.columns)
    rows = ["".join(f"<td>{html.escape(_text(value))}</td>" for value in row) for row in frame.head(ROWS).iter_rows()]
    count = f"{frame.height:,} rows" if frame.height <= ROWS else f"The first {ROWS} of {frame.height:,} rows"
    return f"<table><tr>{head}</tr>{''.join(f'<tr>{row}</tr>' for row in rows)}</table><p>{count}.</p>"


def _text(value: Any) -> str:
    text = "" if value is None else f"{value:.4g}" if isinstance(value, float) else str(value)
    return text if len(text) <= _CELL else f"{text[: _CELL - 1]}…"
