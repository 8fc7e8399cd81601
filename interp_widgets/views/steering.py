"""Chart of steering: a dose-response curve."""

from __future__ import annotations

import altair as alt
import polars as pl

from ..errors import FrameError
from . import theme

METRICS = {
    "logit_difference": "logit(answer) − logit(foil)",
    "probability": "probability of the answer",
    "kl": "KL from the baseline, nats",
    "fluency": "log-probability a token, unsteered model",
}


def steering_chart(
    frame: pl.DataFrame, *, metric: str = "logit_difference", answer: str = "", foil: str = ""
) -> alt.LayerChart:
    """A metric over strengths: the given direction, the mean and range of the random ones, the baseline (see `frames.STEERING`).

    `answer` and `foil` are what the axis calls the two tokens.

    Raises:
        FrameError: no such metric.
    """
    if metric not in METRICS:
        raise FrameError(f"{metric!r} is no metric of steering; choose one of {', '.join(METRICS)}.")
    title = METRICS[metric]
    for role, token in (("answer", answer), ("foil", foil)):
        if token:
            title = title.replace(f"logit({role})", f"logit({token!r})").replace(f"the {role}", repr(token))
    shown = frame.select("direction", "strength", "norm_ratio", value=metric)
    random = shown.filter(direction="random").group_by("strength", "norm_ratio").agg(
        value=pl.col("value").mean(), low=pl.col("value").min(), high=pl.col("value").max()
    ).sort("strength")  # fmt: skip
    ends = [frame["strength"].min(), frame["strength"].max()]
    level = shown.filter(direction="baseline")["value"].to_list()
    lines = [
        {**row, "line": name}
        for name, rows in (
            ("given direction", shown.filter(direction="given").to_dicts()),
            ("random, mean", random.to_dicts()),
            ("baseline", [{"strength": end, "value": value} for end in ends for value in level]),
        )
        for row in rows
    ]
    order = ["given direction", "random, mean", "baseline"]
    kind = alt.Scale(domain=order, range=[[1, 0], [6, 3], [1, 3]])
    color = alt.Scale(domain=order, range=[theme.CATEGORIES[0], theme.GREY, theme.GREY])
    x = alt.X("strength:Q", title="strength, in units of the direction")
    y = alt.Y("value:Q", title=title, scale=alt.Scale(zero=False))
    band = alt.Chart(alt.InlineData(values=random.to_dicts())).mark_area(opacity=0.25, color=theme.GREY).encode(
        x=x, y=alt.Y("low:Q", title=title), y2="high:Q"
    )  # fmt: skip
    curve = alt.Chart(alt.InlineData(values=lines)).mark_line(point=True).encode(
        x=x,
        y=y,
        color=alt.Color("line:N", scale=color, title=None, sort=order, legend=theme.key()),
        strokeDash=alt.StrokeDash("line:N", scale=kind, title=None, sort=order, legend=theme.key()),
        tooltip=[alt.Tooltip("line:N"), *(alt.Tooltip(f"{name}:Q") for name in ("strength", "norm_ratio", "value"))],
    )  # fmt: skip
    count = frame.filter(direction="random")["seed"].n_unique()
    said = [f"{count} random directions of the same length; band: their range."] if count else []
    return (band + curve).properties(
        title=theme.headed("Steering", said), width=460, height=260, background="transparent"
    )
