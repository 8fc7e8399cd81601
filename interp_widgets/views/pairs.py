"""Charts of patching over many pairs."""

from __future__ import annotations

from collections.abc import Mapping

import altair as alt
import polars as pl

from ..errors import FrameError
from . import theme
from .patching import METRICS, SITES


def pairs_chart(
    summary: pl.DataFrame,
    *,
    site: str = "resid_post",
    metric: str = "recovery",
    tokens: Mapping[int, str] | None = None,
    least: float = 0.05,
) -> alt.Chart:
    """Mean over pairs by layer with its 95% interval, one line per position (see `frames.PAIR_SUMMARY`).

    Args:
        summary: what `pair_summary` returned.
        site: the kind of site. metric: what the summary is of, for the title of the axis.
        tokens: names of positions.
        least: positions whose mean stays below this share of the largest one share a grey, as there is nothing to tell apart.

    Raises:
        FrameError: no cell of that kind of site, or no such metric.
    """
    if metric not in METRICS:
        raise FrameError(f"{metric!r} is no metric of patching; choose one of {', '.join(METRICS)}.")
    cells = summary.filter(pl.col("site").str.starts_with(f"{site}."))
    if cells.is_empty():
        kinds = summary["site"].str.split(".").list.first().unique().to_list()
        raise FrameError(f"This frame has no cells of {site}; it has {kinds}.")
    names = [(tokens or {}).get(p, "") for p in cells["position"]]
    where = pl.concat_str(
        pl.col("position").cast(pl.String), theme.visible("where"), separator=" "
    ).str.strip_chars_end()
    cells = cells.with_columns(pl.Series("where", names, dtype=pl.String)).with_columns(where.alias("where"))
    top = float(cells["mean"].abs().max() or 0.0)  # type: ignore[arg-type]
    cells = cells.with_columns(
        pl.when(pl.col("mean").abs().max().over("position") > least * top)
        .then(pl.col("where"))
        .otherwise(pl.lit("others"))
        .alias("line")
    )
    title = "mean recovery" if metric == "recovery" else f"mean effect on the {metric.replace('_', ' ')}"
    named = list(dict.fromkeys(name for name in cells["line"] if name != "others"))
    order = [*named, *(["others"] if len(named) < cells["where"].n_unique() else [])]
    colors = theme.CATEGORIES
    palette = [*(colors[i % len(colors)] for i in range(len(named))), theme.GREY][: len(order)]
    dashes = [*([6, 2] if i // len(colors) % 2 else [1, 0] for i in range(len(named))), [1, 0]][: len(order)]
    line = alt.Color(
        "line:N", scale=alt.Scale(domain=order, range=palette), sort=order, title="position", legend=theme.key()
    )
    dash = alt.StrokeDash(
        "line:N", scale=alt.Scale(domain=order, range=dashes), sort=order, title="position", legend=theme.key()
    )
    x = alt.X("layer:Q", title="layer", axis=alt.Axis(tickMinStep=1))
    base = alt.Chart(alt.InlineData(values=cells.to_dicts())).encode(x=x, color=line, detail="position:N")
    band = base.mark_area(opacity=0.25).encode(y=alt.Y("low:Q", title=title), y2="high:Q")
    numbers = ("layer", "mean", "low", "high", "p", "q", "pairs")
    tooltip = [alt.Tooltip("where:N"), *(alt.Tooltip(f"{name}:Q") for name in numbers)]
    mean = base.mark_line(point=True).encode(y="mean:Q", strokeDash=dash, tooltip=tooltip)
    most = int(cells["pairs"].max() or 0)  # type: ignore[arg-type]
    name = theme.headed(f"Patching the {SITES.get(site, site)}", [f"Mean over {most} pairs; band: 95% interval."])
    return (band + mean).properties(title=name, width=480, height=260, background="transparent")
