"""Charts of circuits: the graph over tokens and sites, and what circuits of growing size carry."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

import altair as alt
import polars as pl

from ..errors import FrameError
from . import theme

UP, DOWN = "#2f77b9", "#c8650f"
"""Carries what is measured, or works against it: blue and orange, as in the panels."""
_CELL = 46
"""Pixels of a column while there is room; a row has half of that."""
_SIGNS = ["carries", "opposes"]
_INSIDE = 0.8
"""Share of a cell that nodes side by side take."""


def circuit_chart(
    nodes: pl.DataFrame,
    edges: pl.DataFrame,
    rows: Sequence[str],
    tokens: Sequence[str],
    *,
    labels: Mapping[str, str] | None = None,
    metric: str = "",
) -> alt.LayerChart:
    """Nodes and edges over tokens (left to right) and sites (bottom to top).

    Args:
        nodes: columns GRAPH_NODES with `row`, `column` and `strength` (see `graphs.page`); those that are drawn.
        edges: columns GRAPH_EDGES; those between drawn nodes are.
        rows: names of the rows, in the order of the forward pass.
        tokens: tokens of the columns; one empty text where positions are summed.
        labels: node -> what it is called.
        metric: what is measured, for the title.

    Raises:
        FrameError: there is no node.
    """
    if nodes.is_empty():
        raise FrameError("There is no node to draw.")
    placed = _side_by_side(nodes).with_columns(
        label=pl.col("node").replace_strict(dict(labels or {}), default="", return_dtype=pl.String),
        sign=pl.when(pl.col("strength") < 0).then(pl.lit(_SIGNS[1])).otherwise(pl.lit(_SIGNS[0])),
        size=pl.col("strength").abs().fill_null(0.0),
    )
    ends = placed.select("node", "x", "y")
    lines = (
        edges.join(ends, left_on="source", right_on="node")
        .join(ends.rename({"x": "x2", "y": "y2"}), left_on="target", right_on="node")
        .with_columns(
            sign=pl.when(pl.col("weight") < 0).then(pl.lit(_SIGNS[1])).otherwise(pl.lit(_SIGNS[0])),
            width=pl.col("weight").abs(),
        )
        .sort("width")
    )
    shown = pl.DataFrame({"token": list(tokens)}).select(theme.visible("token"))["token"]
    x = _axis("x", [f"{i} {token}" for i, token in enumerate(shown)] if any(tokens) else [""], -90)
    y = _axis("y", rows, 0)
    sign = alt.Color("sign:N", scale=alt.Scale(domain=_SIGNS, range=[UP, DOWN]), title=None, legend=theme.key("circle"))
    strokes = (
        _chart(lines.select(*_LINE))
        .mark_rule(opacity=0.55)
        .encode(x=x, y=y, x2="x2:Q", y2="y2:Q", color=sign)
        .encode(strokeWidth=alt.StrokeWidth("width:Q", scale=alt.Scale(range=[0.3, 4]), legend=None))
        .encode(tooltip=[alt.Tooltip(f"{name}:N") for name in ("source", "target")] + [alt.Tooltip("weight:Q")])
    )
    kinds = {kind: shape for kind, shape in _SHAPES.items() if kind in set(placed["kind"])}
    shapes = alt.Shape(
        "kind:N", scale=alt.Scale(domain=list(kinds), range=list(kinds.values())), title=None, legend=theme.key()
    )
    dots = (
        _chart(placed.select(*_DOT))
        .mark_point(filled=True, opacity=0.95)
        .encode(x=x, y=y, color=sign, shape=shapes)
        .encode(size=alt.Size("size:Q", scale=alt.Scale(range=[6, 160], zero=True), legend=None))
        .encode(tooltip=[alt.Tooltip(f"{n}:N") for n in ("node", "label", "token")] + [alt.Tooltip("effect:Q")])
    )
    names = (
        _chart(placed.filter(pl.col("label") != "").select("x", "y", "label"))
        .mark_text(fontSize=9, dy=-9)
        .encode(x=x, y=y, text="label:N")
    )
    sub = [f"Blue carries {metric}, orange works against it; lines are direct effects."] if metric else []
    return alt.layer(strokes, dots, names).properties(
        title=theme.headed("Circuit", sub),
        width=min(900, _CELL * max(len(tokens), 6)),
        height=min(700, _CELL // 2 * len(rows) + 10),
        background="transparent",
    )


_LINE = ("x", "y", "x2", "y2", "sign", "width", "source", "target", "weight")
_DOT = ("x", "y", "sign", "size", "kind", "node", "label", "token", "effect")


def _chart(rows: pl.DataFrame) -> alt.Chart:
    """A chart of rows as they are: Altair would take seconds to check thousands."""
    return alt.Chart({"values": rows.to_dicts()})  # type: ignore[arg-type]


_SHAPES = {"atom": "circle", "error": "diamond", "embedding": "square", "logit": "triangle-up", "other": "cross"}


def _side_by_side(nodes: pl.DataFrame) -> pl.DataFrame:
    """With `x` and `y`: nodes of one cell stand beside each other, the strongest first."""
    place = (pl.col("rank_in") + 0.5) / pl.len().over("row", "column") - 0.5
    return nodes.with_columns(rank_in=pl.int_range(pl.len()).over("row", "column")).with_columns(
        x=pl.col("column") + _INSIDE * place, y=pl.col("row").cast(pl.Float64)
    )


def _axis(channel: str, labels: Sequence[str], angle: int) -> alt.X | alt.Y:
    """Named places 0, 1, ... of an axis of numbers, so that nodes can stand anywhere between."""
    axis = alt.Axis(
        values=list(range(len(labels))), labelExpr=f"{json.dumps(list(labels))}[datum.value]", labelAngle=angle, grid=True,
        title=None, ticks=False, domain=False, labelLimit=110, labelOverlap="greedy", gridOpacity=0.5,
    )  # fmt: skip
    kind = alt.X if channel == "x" else alt.Y
    return kind(f"{channel}:Q", scale=alt.Scale(domain=[-0.6, len(labels) - 0.4], nice=False, zero=False), axis=axis)


def faithfulness_chart(
    found: pl.DataFrame,
    others: Mapping[str, pl.DataFrame] | None = None,
    *,
    error_nodes: str = "nodes",
    name: str = "dictionaries",
    metric: str = "",
) -> alt.LayerChart:
    """Faithfulness of circuits of growing size, beside others, with 95% intervals.

    Args:
        found: columns CIRCUIT_FAITHFULNESS.
        others: name -> the same of other nodes, such as neurons.
        error_nodes: how errors are treated: nodes, kept or removed.
        name: what the nodes of `found` are of.
        metric: what is measured, for the title.

    Raises:
        FrameError: no circuit with errors treated so.
    """
    part = found.filter(error_nodes=error_nodes)
    if part.is_empty():
        ways = ", ".join(found["error_nodes"].unique().to_list())
        raise FrameError(f"This frame has no circuits with errors {error_nodes!r}; it has {ways or 'no rows'}.")
    parts = {name: part} | {other: frame.filter(error_nodes="nodes") for other, frame in (others or {}).items()}
    rows = pl.concat([frame.with_columns(pl.lit(of).alias("of")) for of, frame in parts.items()])
    colors = [theme.CATEGORIES[0], *([theme.CATEGORIES[1], theme.GREY] * len(parts))][: len(parts)]
    color = alt.Color("of:N", scale=alt.Scale(domain=list(parts), range=colors), sort=list(parts), title=None,
                      legend=theme.key() if len(parts) > 1 else None)  # fmt: skip
    x = alt.X("nodes:Q", scale=alt.Scale(type="symlog", constant=10), title="nodes in the circuit")
    base = _chart(rows).encode(x=x, color=color)
    y = alt.Y("faithfulness:Q", title="faithfulness")
    band = base.mark_area(opacity=0.25).encode(y=alt.Y("low:Q", title="faithfulness"), y2="high:Q")
    tooltip = [
        alt.Tooltip("of:N"),
        *(alt.Tooltip(f"{n}:Q") for n in ("nodes", "faithfulness", "low", "high", "completeness")),
    ]
    line = base.mark_line(point=True).encode(y=y, tooltip=tooltip)
    sub = [f"Share of {metric} that is left when all else is ablated; band: 95% interval."] if metric else []
    title = theme.headed("Faithfulness of circuits", sub)
    return (band + line).properties(title=title, width=420, height=260, background="transparent")
