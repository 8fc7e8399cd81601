"""What all charts share: labels of tokens, colour scales, and a background that fits both themes."""

from __future__ import annotations

from typing import Any

import altair as alt
import polars as pl

SEQUENTIAL = "yellowgreenblue"
"""Light for little, dark for much, in every kind of colour vision and in grey; the panels draw with the same."""
DIVERGING = {"scheme": "blueorange", "reverse": True}
"""Blue is up, orange is down, as in the panels."""


def visible(token: str) -> pl.Expr:
    """The column `token` on one line each: spaces, line breaks and tabs made visible."""
    expression = pl.col(token)
    for hidden, shown in ((" ", "·"), ("\n", "⏎"), ("\t", "⇥"), ("\r", "␍"), ("\u00a0", "⍽")):
        expression = expression.str.replace_all(hidden, shown, literal=True)
    return expression


def columns(frame: pl.DataFrame, position: str = "position", token: str = "token") -> pl.DataFrame:
    """The frame with `column`, a label that is unique for each position and reads as its token."""
    labels = pl.concat_str(pl.col(position).cast(pl.String), visible(token), separator=" ")
    return frame.with_columns(labels.alias("column"))


def position_axis(frame: pl.DataFrame, title: str) -> alt.X:
    """Positions from left to right, each under its token."""
    order = frame.sort("position")["column"].unique(maintain_order=True).to_list()
    return alt.X("column:N", sort=order, title=title, axis=alt.Axis(labelAngle=-45, labelLimit=90))


def cells(frame: pl.DataFrame, title: str, tooltip: list[str | alt.Tooltip]) -> alt.Chart:
    """A chart of rectangles. The rows go in as they are: Altair refuses a frame of more than 5,000, which 30 layers soon have."""
    shown = [
        tip if isinstance(tip, alt.Tooltip) else alt.Tooltip(tip, type=_type(frame.schema[tip])) for tip in tooltip
    ]
    return alt.Chart(alt.InlineData(values=frame.to_dicts()), title=title).mark_rect().encode(tooltip=shown)


def _type(dtype: Any) -> Any:
    return "nominal" if dtype == pl.String else "quantitative"


def grid(frame: pl.DataFrame, color: alt.Color, tooltip: list[Any], title: str, x_title: str = "position") -> alt.Chart:
    """Layers x positions as coloured cells; layer 0 on top, as in the panels."""
    layers, positions = frame["layer"].n_unique(), frame["position"].n_unique()
    return (
        cells(frame, title, tooltip)
        .encode(x=position_axis(frame, x_title), y=alt.Y("layer:O", title="layer"), color=color)
        .properties(width=min(900, 26 * positions + 20), height=min(600, 14 * layers + 10), background="transparent")
    )
