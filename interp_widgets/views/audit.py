"""Charts of an audit."""

from __future__ import annotations

import altair as alt
import polars as pl

from ..errors import FrameError


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
    colors = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#6b5400"]  # Okabe and Ito's
    names = rows["source"].unique(maintain_order=True).to_list()
    color = alt.Color("source:N", scale=alt.Scale(domain=names, range=[colors[i % 7] for i in range(len(names))]))
    bars = base.mark_bar(opacity=0.75).encode(x=alt.X("value:Q", title=title), color=color)
    intervals = base.mark_bar(size=2, color="#8a8f98").encode(x="low:Q", x2="high:Q")
    site = ", ".join(rows["site"].unique(maintain_order=True))
    return (bars + intervals).properties(title=f"{title} at {site}", width=420, background="transparent")
