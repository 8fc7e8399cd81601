"""Charts of the logit lens."""

from __future__ import annotations

from collections.abc import Sequence

import altair as alt
import polars as pl

from ..errors import FrameError
from . import theme

TITLES = {
    "probability": "probability of the top token",
    "entropy": "entropy, nats",
    "kl": "KL(output || layer), nats",
    "rank": "rank of the tracked token",
}


def lens_chart(
    frame: pl.DataFrame, *, color: str = "probability", masked: Sequence[int] = ()
) -> alt.Chart | alt.LayerChart:
    """Layers x positions (see `frames.LENS`), coloured by "probability", "entropy", "kl" or "rank".

    Cells say their likeliest token where there are few enough columns for words. `masked` positions are grey, and left out of the
    colour scale's domain.

    Raises:
        FrameError: no such colour, or "rank" without a tracked token in the frame.
    """
    if color not in TITLES:
        raise FrameError(f"{color!r} is no colour of the lens; choose one of {', '.join(TITLES)}.")
    column = "tracked_rank" if color == "rank" else color
    cells = theme.columns(frame.filter(pl.col("rank") == 1), token="prompt_token")
    if cells[column].null_count():
        raise FrameError("This frame has no tracked token; call logit_lens(..., track=token) to colour by its rank.")
    cells = cells.with_columns(theme.visible("token").alias("shown"), masked=pl.col("position").is_in(list(masked)))
    counted = cells.filter(~pl.col("masked"))[column]
    top = float((counted if len(counted) else cells[column]).max())  # type: ignore[arg-type]
    low, high = {"probability": (0.0, 1.0), "rank": (1.0, max(top, 2.0))}.get(color, (0.0, top or 1.0))
    scale = alt.Scale(
        scheme=theme.SEQUENTIAL,
        domain=[low, high],
        clamp=True,
        type="log" if color == "rank" else "linear",
        reverse=color == "rank",
    )
    tooltip = [
        "layer",
        "position",
        "prompt_token",
        alt.Tooltip("shown:N", title="top token"),
        "token_id",
        "probability",
        *([column] if column != "probability" else []),
    ]
    shade = theme.shade(f"{column}:Q", TITLES[color], scale, mask=True)
    hidden = sorted(set(masked) & set(cells["position"]))
    words = cells["position"].n_unique() <= theme.FEW
    step = theme.WIDE if words else 26
    grid = theme.grid(cells, shade, tooltip, "Logit lens", lines=theme.masked_note(hidden), step=step)
    return theme.worded(grid, "shown", column) if words else grid


def lines_chart(frame: pl.DataFrame) -> alt.Chart:
    """Probability of some tokens over the layers (see `frames.LENS_LINES`), one line per position and token."""
    shown = theme.columns(frame).with_columns(pl.format("{} ({})", pl.col("column"), pl.col("token_id")).alias("line"))
    return (
        alt.Chart(shown, title="Probability over the layers")
        .mark_line(point=True)
        .encode(
            x=alt.X("layer:Q", title="layer", axis=alt.Axis(tickMinStep=1)),
            y=alt.Y("probability:Q", scale=alt.Scale(domain=[0, 1])),
            color=alt.Color("line:N", scale=alt.Scale(range=theme.CATEGORIES), title="position, token (id)"),
            strokeDash="line:N",
            tooltip=["layer", "position", "token", "token_id", "probability", "logit"],
        )
        .properties(width=480, height=240, background="transparent")
    )
