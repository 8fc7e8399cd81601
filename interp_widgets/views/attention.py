"""Charts of attention: the pattern of a head, and a score of all heads."""

from __future__ import annotations

import altair as alt
import polars as pl

from ..errors import FrameError
from . import theme

TITLES = {
    "induction": "induction score",
    "previous_token": "previous-token score",
    "duplicate_token": "duplicate-token score",
    "first_token": "weight on the first token",
    "entropy": "entropy, nats",
    "effect": "effect on the answer without the head",
}
SCORES = tuple(TITLES)


def attention_chart(frame: pl.DataFrame, *, leave_first: bool = True) -> alt.Chart:
    """Queries x keys of one head (see `frames.ATTENTION`), by value-weighted weight where the frame has it.

    `leave_first` leaves key 0 and query 0 out of the colour scale's domain; their cells are drawn.

    Raises:
        FrameError: the frame holds several heads, or none.
    """
    held = frame.select("layer", "head").unique()
    if held.height != 1:
        raise FrameError(f"This chart is of one head, and the frame holds {held.height}; filter it by layer and head.")
    layer, head = held.row(0)
    column = "weight" if frame["value_weight"].null_count() else "value_weight"
    cells = theme.columns(frame, "key_position", "key_token").with_columns(
        pl.concat_str(pl.col("position").cast(pl.String), theme.visible("token"), separator=" ").alias("row")
    )
    counted = (
        cells.filter((pl.col("key_position") > 0) & (pl.col("position") > 0))[column] if leave_first else cells[column]
    )
    top = float((counted if len(counted) else cells[column]).max() or 1.0)  # type: ignore[arg-type]
    title = "attention weight" if column == "weight" else "weight times |v W_O|"
    color = theme.shade(f"{column}:Q", title, alt.Scale(scheme=theme.SEQUENTIAL, domain=[0, top], clamp=True))
    over = leave_first and len(counted) > 0 and float(cells[column].max()) > top  # type: ignore[arg-type]
    lines = (
        [f"Key 0 and query 0 do not set the colour scale: what is over {top:.2g} is drawn as {top:.2g}."]
        if over
        else []
    )
    tooltip = ["position", "token", "key_position", "key_token", "weight", *([column] if column != "weight" else [])]
    rows, columns = (cells.sort(by)[name].unique(maintain_order=True).to_list() for by, name in
                     (("position", "row"), ("key_position", "column")))  # fmt: skip
    return (
        theme.cells(cells, f"Attention of layer {layer}, head {head}", tooltip, lines)
        .encode(
            x=alt.X("column:N", sort=columns, title="key (attended to)", axis=theme.token_axis()),
            y=alt.Y("row:N", sort=rows, title="query", axis=alt.Axis(labelLimit=90, labelOverlap="greedy")),
            color=color,
        )
        .properties(
            name=theme.SQUARE,
            width=min(700, 22 * len(columns) + 20),
            height=min(700, 22 * len(rows) + 10),
            background="transparent",
        )
    )


def heads_chart(frame: pl.DataFrame, score: str = "induction") -> alt.Chart:
    """Layers x heads (see `frames.HEADS`), coloured by a score; heads where it is undefined are left blank.

    Raises:
        FrameError: no such score, or none of these heads has it.
    """
    if score not in SCORES:
        raise FrameError(f"{score!r} is no score of a head; choose one of {', '.join(SCORES)}.")
    cells = frame.drop_nulls(score)
    if cells.is_empty():
        raise FrameError(
            f"No head of this frame has the score {score}; see iw.methods.head_scores for when it is defined."
        )
    top = float(cells[score].abs().max() or 1.0)  # type: ignore[arg-type]
    scale = (
        alt.Scale(**theme.DIVERGING, domain=[-top, 0, top])
        if score == "effect"
        else alt.Scale(scheme=theme.SEQUENTIAL, domain=[0, top])
    )
    tooltip = ["layer", "head", *(name for name in SCORES if cells[name].null_count() < cells.height)]
    return (
        theme.cells(cells, f"Heads by {score.replace('_', ' ')}", tooltip)
        .encode(
            x=alt.X("head:O", title="head", axis=alt.Axis(labelAngle=0, labelOverlap="greedy")),
            y=theme.layer_axis(),
            color=theme.shade(f"{score}:Q", TITLES[score], scale),
        )
        .properties(
            width=min(900, 24 * frame["head"].n_unique() + 20),
            height=min(600, 14 * frame["layer"].n_unique() + 10),
            background="transparent",
        )
    )
