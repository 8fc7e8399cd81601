"""What all charts share: labels of tokens, colours, and a background that fits both themes of a notebook."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import altair as alt
import polars as pl

SEQUENTIAL = "yellowgreenblue"
"""Light for little, dark for much, in every kind of colour vision and in grey."""
DIVERGING = {"scheme": "blueorange", "reverse": True}
"""Blue is up, orange is down, as in the panels."""
CATEGORIES = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#8f6d00"]
"""Told apart in every kind of colour vision (Okabe and Ito's, but for the last), and seen on white and on black."""
GREY = "#7a828b"
"""What others are compared with."""
MASKED = "#d5d8dc"
"""Cells that are left out of the scale."""
MASKED_TEXT = "#4a5058"
"""Words in them."""
WIDE = 54
"""Pixels of a column whose cells have words in them."""
FEW = 16
"""Columns up to which they have."""
SQUARE = "square"
"""Name of a chart whose cells stay as wide as high, whatever the width of the figure."""
CELL_TEXT = "cell text"
"""Name of the layer of words in cells; a figure leaves it out where the columns are too narrow for words."""


_SHOWN = {" ": "·", "\n": "⏎", "\t": "⇥", "\r": "␍", "\u00a0": "⍽"}
_SHOWN |= {chr(code): chr(0x2400 + code) for code in range(32) if chr(code) not in _SHOWN}


def visible(token: str) -> pl.Expr:
    """The column `token` on one line each: spaces, line breaks, tabs and control characters made visible."""
    expression = pl.col(token)
    for hidden, shown in _SHOWN.items():
        expression = expression.str.replace_all(hidden, shown, literal=True)
    return expression


def columns(frame: pl.DataFrame, position: str = "position", token: str = "token") -> pl.DataFrame:
    """The frame with `column`, a label that is unique for each position and reads as its token."""
    labels = pl.concat_str(pl.col(position).cast(pl.String), visible(token), separator=" ")
    return frame.with_columns(labels.alias("column"))


def token_axis() -> alt.Axis:
    """Upright labels, so that each stands under its own column; where they would overlap, some are left out."""
    return alt.Axis(labelAngle=-90, labelLimit=90, labelOverlap="greedy")


def position_axis(frame: pl.DataFrame, title: str) -> alt.X:
    """Positions from left to right, each under its token."""
    order = frame.sort("position")["column"].unique(maintain_order=True).to_list()
    # The domain, too: Vega-Lite sorts by name where the layers of a chart have different data.
    return alt.X("column:N", sort=order, scale=alt.Scale(domain=order), title=title, axis=token_axis())


def layer_axis() -> alt.Y:
    """Layers, 0 on top, as in the panels."""
    return alt.Y("layer:O", title="layer", axis=alt.Axis(labelOverlap="greedy"))


def shade(field: str, title: str, scale: alt.Scale, *, mask: bool = False) -> Any:
    """A colour with its legend above the chart. With `mask`, rows whose column `masked` is true have none."""
    color = alt.Color(
        field, scale=scale, title=title, legend=alt.Legend(orient="top", titleLimit=0, gradientLength=140)
    )
    return alt.condition("datum.masked", alt.value(MASKED), color) if mask else color


def key(symbol: str = "stroke") -> alt.Legend:
    """A legend of names above the chart, where it costs no width; of lines, or of another `symbol`."""
    return alt.Legend(orient="top", columns=3, symbolType=symbol, symbolOpacity=1, labelLimit=100)


def positions(which: Sequence[int]) -> str:
    """Positions as a sentence begins: "Position 0", "Positions 0, 3"."""
    return f"Position{'s' if len(which) > 1 else ''} {', '.join(str(p) for p in which)}"


def masked_note(masked: Sequence[int]) -> list[str]:
    """What the grey columns are; no line without any."""
    if not masked:
        return []
    return [f"Grey: {positions(masked).lower()} (attention sink or start marker), left out of the colour scale."]


def headed(title: str, lines: Sequence[str] = ()) -> str | alt.TitleParams:
    """A title with lines of small print below it."""
    return alt.TitleParams(title, subtitle=list(lines)) if lines else title


def cells(frame: pl.DataFrame, title: str, tooltip: list[str | alt.Tooltip], lines: Sequence[str] = ()) -> alt.Chart:
    """A chart of rectangles. The rows go in as they are: Altair refuses a frame of more than 5,000, which 30 layers soon have."""
    shown = [
        tip if isinstance(tip, alt.Tooltip) else alt.Tooltip(tip, type=_type(frame.schema[tip])) for tip in tooltip
    ]
    return (
        alt.Chart(alt.InlineData(values=frame.to_dicts()), title=headed(title, lines)).mark_rect().encode(tooltip=shown)
    )


def _type(dtype: Any) -> Any:
    return "nominal" if dtype == pl.String else "quantitative"


def grid(
    frame: pl.DataFrame,
    color: Any,
    tooltip: list[Any],
    title: str,
    x_title: str = "position",
    lines: Sequence[str] = (),
    step: int = 26,
) -> alt.Chart:
    """Layers x positions as coloured cells, `step` pixels wide while there is room."""
    layers, count = frame["layer"].n_unique(), frame["position"].n_unique()
    return (
        cells(frame, title, tooltip, lines)
        .encode(x=position_axis(frame, x_title), y=layer_axis(), color=color)
        .properties(width=min(900, step * count + 20), height=min(600, 14 * layers + 10), background="transparent")
    )


def worded(grid: alt.Chart, word: str, value: str) -> alt.LayerChart:
    """The same grid with the text of the column `word` in its cells, on the colour of the column `value`."""
    text = (
        alt.Chart(grid.data, name=CELL_TEXT)
        .mark_text(fontSize=9, limit=alt.expr("bandwidth('x') - 4"))
        .encode(x=grid.encoding.x, y=grid.encoding.y, text=f"{word}:N", color=ink(value))
    )
    return layered(grid, text)


def ink(value: str) -> Any:
    """Black or white, whichever reads on the colour of the column `value`; grey on masked cells."""
    dark = f"luminance(scale('color', datum.{value})) < 0.18"  # where both read equally well
    masked = alt.when("datum.masked").then(alt.value(MASKED_TEXT))
    return masked.when(dark).then(alt.value("white")).otherwise(alt.value("black"))


def layered(chart: alt.Chart, above: alt.Chart) -> alt.LayerChart:
    """Something drawn above a chart; title and background become those of the whole."""
    title, chart.title, chart.background = chart.title, alt.Undefined, alt.Undefined
    return alt.layer(chart, above).properties(title=title, background="transparent")
