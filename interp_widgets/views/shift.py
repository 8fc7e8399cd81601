"""Charts of SHIFT."""

from __future__ import annotations

from collections.abc import Mapping

import altair as alt
import polars as pl

from ..errors import FrameError
from . import theme

SHOWN = ("label", "spurious", "worst")
WORDS = {
    "original": "original probe",
    "struck": "struck out",
    "random": "random atoms",
    "by label": "atoms by labels",
    "neurons": "neurons by labels",
    "balanced": "balanced texts",
}


def shift_chart(frame: pl.DataFrame, *, names: Mapping[str, str] | None = None) -> alt.Chart:
    """Accuracy by condition with 95% intervals: of the label, of what coincides with it, and of the worst group.

    Args:
        frame: what `shift` returned (see `frames.SHIFT_ACCURACY`). names: what to call the groups; default their names.

    Raises:
        FrameError: a frame without rows.
    """
    rows = frame.filter(pl.col("group").is_in(SHOWN))
    if rows.is_empty():
        raise FrameError("This frame has no accuracies.")
    called = {group: (names or {}).get(group, group) for group in SHOWN}
    rows = rows.with_columns(
        pl.col("group").replace_strict(called),
        pl.concat_str(
            pl.col("condition").replace_strict(WORDS),
            pl.when(pl.col("retrained") & (pl.col("condition") != "balanced"))
            .then(pl.lit(", retrained"))
            .otherwise(pl.lit("")),
        ).alias("probe"),
    )
    last = rows.filter(condition="balanced")["probe"].unique().to_list()
    order = [probe for probe in rows["probe"].unique(maintain_order=True).to_list() if probe not in last] + last
    domain = list(called.values())
    color = alt.Color(
        "group:N", scale=alt.Scale(domain=domain, range=list(theme.CATEGORIES[: len(domain)])), title="accuracy of",
        legend=theme.key("circle"),
    )  # fmt: skip
    base = alt.Chart(alt.InlineData(values=rows.to_dicts())).encode(
        y=alt.Y("probe:N", sort=order, title=None, axis=alt.Axis(labelLimit=220)),
        yOffset=alt.YOffset("group:N", sort=domain),
        color=color,
        tooltip=[
            "probe:N",
            "group:N",
            *(alt.Tooltip(f"{n}:Q", format=".3f") for n in ("accuracy", "low", "high")),
            "n:Q",
        ],
    )
    half = alt.Chart(alt.InlineData(values=[{"x": 0.5}])).mark_rule(strokeDash=[3, 3], opacity=0.6).encode(x="x:Q")
    scale = alt.Scale(domain=[0, 1])
    intervals = base.mark_rule().encode(
        x=alt.X("low:Q", scale=scale, title="share of test texts said right"), x2="high:Q"
    )
    dots = base.mark_point(filled=True, size=45, opacity=1).encode(
        x=alt.X("accuracy:Q", scale=scale, title="share of test texts said right")
    )
    said = "Line: 95% interval (Wilson); one dot a draw of random atoms; dashed: one half."
    return (half + intervals + dots).properties(
        title=theme.headed("Accuracy of the probe", [said]), width=420, height=alt.Step(12), background="transparent"
    )
