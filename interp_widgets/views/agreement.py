"""Charts of the agreement of two sessions."""

from __future__ import annotations

import altair as alt
import polars as pl

from ..errors import FrameError
from ..frames.agreement import SCALES
from . import theme

TITLES = {
    "total_variation": "total variation",
    "logit_difference": "largest logit difference",
    "residual_difference": "relative residual difference",
}


def agreement_chart(frame: pl.DataFrame, *, color: str = "total_variation") -> alt.LayerChart:
    """Layers x positions (see `frames.AGREEMENT`), coloured by "total_variation", "logit_difference" or "residual_difference".

    The scale is logarithmic and always the same. The sign ≠ stands in a cell whose likeliest tokens differ, ≈ where that is a
    near tie. Masked positions are grey.

    Raises:
        FrameError: no such colour, or one that these sessions have no number for.
    """
    if color not in TITLES:
        raise FrameError(f"{color!r} is no colour of the agreement; choose one of {', '.join(TITLES)}.")
    title, (low, high) = TITLES[color], SCALES[color]
    cells = theme.columns(frame, token="prompt_token").with_columns(
        theme.visible("token").alias("shown"),
        theme.visible("other_token").alias("other_shown"),
        pl.col(color).clip(low, high).alias("value"),
    )
    if cells[color].null_count() == len(cells):
        raise FrameError(f"No cell of this frame has a {title}; choose another colour.")
    scale = alt.Scale(scheme=theme.SEQUENTIAL, domain=[low, high], clamp=True, type="log")
    tooltip = [
        "layer",
        "position",
        "prompt_token",
        alt.Tooltip("shown:N", title="top token"),
        "probability",
        alt.Tooltip("other_shown:N", title="top token of the other"),
        "other_probability",
        *TITLES,
    ]
    differing = cells.filter(~pl.col("agrees"))
    signed = ["≠: other likeliest token; ≈: a near tie"] if len(differing) else []
    hidden = cells.filter("masked")["position"].unique().sort().to_list()
    shade = theme.shade("value:Q", f"{title}, log scale", scale, mask=True)
    shaded = theme.grid(cells, shade, tooltip, "Agreement", lines=[*signed, *theme.masked_note(hidden)])
    sign = pl.when(pl.col("near_tie")).then(pl.lit("≈")).otherwise(pl.lit("≠")).alias("sign")
    differing = differing.with_columns(sign).select("column", "layer", "value", "masked", "sign")
    signs = (
        alt.Chart(alt.InlineData(values=differing.to_dicts()))
        .mark_text(fontSize=alt.expr("max(5, min(12, 1.5 * bandwidth('x')))"), fontWeight="bold")
        .encode(x=shaded.encoding.x, y=shaded.encoding.y, text="sign:N", color=theme.ink("value"))
    )
    return theme.layered(shaded, signs)
