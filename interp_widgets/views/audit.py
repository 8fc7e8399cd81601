"""Charts of an audit."""

from __future__ import annotations

import altair as alt
import polars as pl

from ..errors import FrameError
from . import theme


def audit_chart(frame: pl.DataFrame, *, quantity: str = "explained_variance", label: str | None = None) -> alt.Chart:
    """One quantity by dictionary and source, with 95% intervals (see `frames.AUDIT`).

    Args:
        frame: what `audit` returned. quantity: which. label: what to call it; default its name.

    Raises:
        FrameError: a quantity that the frame does not have.
    """
    rows = frame.filter(quantity=quantity).drop_nulls("value")
    if rows.is_empty():
        known = ", ".join(frame["quantity"].unique(maintain_order=True))
        raise FrameError(f"This frame has no values of {quantity!r}; it has {known}.")
    order = rows["dictionary"].unique(maintain_order=True).to_list()
    title = label or quantity.replace("_", " ")
    base = alt.Chart(alt.InlineData(values=rows.to_dicts())).encode(
        y=alt.Y("dictionary:N", sort=order, title=None, axis=alt.Axis(labelLimit=220)),
        yOffset=alt.YOffset("source:N", sort=None),
        tooltip=[
            "dictionary:N",
            "source:N",
            *(alt.Tooltip(f"{name}:Q", format=".4g") for name in ("value", "low", "high")),
            "n:Q",
            "definition:N",
        ],
    )
    names = rows["source"].unique(maintain_order=True).to_list()
    palette = [theme.CATEGORIES[i % len(theme.CATEGORIES)] for i in range(len(names))]
    color = alt.Color(
        "source:N", scale=alt.Scale(domain=names, range=palette), title="texts", legend=theme.key("square")
    )
    bars = base.mark_bar(opacity=0.4).encode(x=alt.X("value:Q", title=title), color=color)
    intervals = base.mark_bar(size=2.5).encode(x="low:Q", x2="high:Q", color=color)
    site = ", ".join(rows["site"].unique(maintain_order=True))
    said = "Bar: value; line: 95% interval by bootstrap over windows of text."
    lines = [said] if rows["low"].count() else []
    return (bars + intervals).properties(
        title=theme.headed(f"{title} at {site}", lines), width=420, background="transparent"
    )
