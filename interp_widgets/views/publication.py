"""A chart as a figure for a page: fonts and sizes that are read in print, on white or on black.

Lengths are CSS pixels, 96 to the inch: a font of 10 is 7.5 points.
"""

from __future__ import annotations

import copy
import textwrap
from typing import Any

from . import theme

FONT = "Liberation Sans, Arial, Helvetica, sans-serif"
"""The three have equal widths, so that a layout made with one holds with the others; vl-convert brings the first along."""
THEMES = ("light", "dark")
INCH = 96
LABEL, AXIS, TITLE = 10, 11, 12
"""Sizes of the text: 7.5, 8.25 and 9 points."""

_PAGE = {"light": "#ffffff", "dark": "#111317"}
_INK = {"light": "#1a1c1f", "dark": "#e8eaed"}
_MUTED = {"light": "#5a6068", "dark": "#a7adb5"}
_RULE = {"light": "#dfe2e6", "dark": "#33383f"}

SEQUENTIAL = {
    "light": ["#fbfbf3", "#e6f2c4", "#b5dfbb", "#6fc3bf", "#3597bd", "#2a66a5", "#1f3a7d", "#13234f"],
    "dark": ["#20242b", "#24344f", "#28506f", "#2a6f85", "#35918a", "#66b57c", "#b3d363", "#f4ec7d"],
}
"""From nothing to much; those of front/color.js, as a figure has the colours of its panel."""
DIVERGING = {
    "light": ["#8a3a04", "#c8650f", "#eca55b", "#f8dcbb", "#f7f7f6", "#c6ddf2", "#74aedb", "#2f77b9", "#16467f"],
    "dark": ["#ffc48a", "#f0923a", "#b0611c", "#5e3b21", "#22262c", "#1f3f61", "#2a6cab", "#59a2e6", "#a9d4ff"],
}
"""From negative (orange) over zero to positive (blue); the same."""
_INSTEAD = {
    "light": {},
    "dark": {theme.MASKED: "#3d424a", theme.MASKED_TEXT: "#b8bec6", "#0072b2": "#3d9bd6", theme.GREY: "#9aa1aa"},
}
"""Colours of the views that a page needs otherwise."""

_CLOSE = 6
"""Pixels of a column up to which cells touch: lines between them would make pale what is dark."""
_LEAST = 30
"""Pixels of a column below which words in its cells cannot be read."""


def figure(
    spec: dict[str, Any], look: str = "light", *, plot: float | None = None, across: float | None = None
) -> dict[str, Any]:
    """The Vega-Lite specification of a chart, dressed for print.

    Args:
        spec: what `chart.to_dict()` gives.
        look: "light" or "dark".
        plot: width of what lies between the axes; default that of the chart.
        across: room for the title; default a little more than that.
    """
    dressed = {name: copy.deepcopy(value) for name, value in spec.items() if name not in ("data", "datasets")}
    dressed = _recoloured(dressed, look)
    if plot is not None:
        dressed["width"] = plot
        _leave_out_small_words(dressed, plot)
        if dressed.get("name") == theme.SQUARE:
            dressed["height"] = plot * spec["height"] / spec["width"]
    if "title" in dressed:
        dressed["title"] = _wrapped(dressed["title"], across or dressed["width"] + 40)
    dressed |= {name: spec[name] for name in ("data", "datasets") if name in spec}
    dressed.pop("background", None)
    return dressed | {"config": _config(look, gap=dressed.get("width", 0) / _columns(dressed) > _CLOSE)}


def _config(look: str, gap: bool) -> dict[str, Any]:
    ink, muted, rule = _INK[look], _MUTED[look], _RULE[look]
    text = {
        "labelFontSize": LABEL,
        "titleFontSize": AXIS,
        "titleFontWeight": "normal",
        "labelColor": ink,
        "titleColor": ink,
    }
    return {
        "aria": False,  # the figure as a whole has a title and a description
        "background": _PAGE[look],
        "font": FONT,
        "padding": 6,
        "title": {
            "anchor": "start", "frame": "bounds", "fontSize": TITLE, "color": ink, "offset": 8,
            "subtitleFontSize": LABEL, "subtitleColor": muted, "subtitlePadding": 3,
        },
        "axis": {**text, "domainColor": muted, "tickColor": muted, "tickSize": 4, "gridColor": rule, "titlePadding": 6},
        "axisBand": {"domain": False, "ticks": False},
        "legend": {**text, "titleLimit": 0, "labelLimit": 140, "offset": 10},
        "view": {"stroke": None},
        "rect": {"stroke": _PAGE[look], "strokeWidth": 0.6 if gap else 0},
    }  # fmt: skip


def _recoloured(part: Any, look: str) -> Any:
    """The same with the colours of the page: scales by their scheme, others by what stands for them."""
    if isinstance(part, list):
        return [_recoloured(each, look) for each in part]
    if isinstance(part, str):
        return _INSTEAD[look].get(part, part)
    if not isinstance(part, dict):
        return part
    made = {name: _recoloured(value, look) for name, value in part.items()}
    if made.get("scheme") == theme.SEQUENTIAL:
        made |= {"scheme": SEQUENTIAL[look], "interpolate": "rgb"}
    elif made.get("scheme") == theme.DIVERGING["scheme"]:
        made |= {"scheme": DIVERGING[look], "interpolate": "rgb"}
        made.pop("reverse")
    return made


def _leave_out_small_words(spec: dict[str, Any], plot: float) -> None:
    layers = spec.get("layer", [])
    for layer in [layer for layer in layers if layer.get("name") == theme.CELL_TEXT]:
        if plot / _columns(spec) < _LEAST:
            layers.remove(layer)


def _columns(spec: dict[str, Any]) -> int:
    """How many columns of cells a chart has; 1 where its x is no list of tokens."""
    order = spec.get("layer", [spec])[0].get("encoding", {}).get("x", {}).get("sort")
    return max(len(order), 1) if isinstance(order, list) else 1


def _wrapped(title: str | dict[str, Any], across: float) -> dict[str, Any]:
    """Lines no longer than the figure; a letter is taken for 0.56 of its size wide."""
    title = {"text": title} if isinstance(title, str) else dict(title)
    for name, size in (("text", TITLE), ("subtitle", LABEL)):
        lines = title.get(name, [])
        lines = [lines] if isinstance(lines, str) else lines
        room = max(12, int(across / (0.56 * size)))
        if lines:
            title[name] = [
                short for line in lines for short in textwrap.wrap(line, room, break_on_hyphens=False) or [""]
            ]
    return title
