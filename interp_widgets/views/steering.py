"""Chart of steering: a dose-response curve."""

from __future__ import annotations

import altair as alt
import polars as pl

from ..errors import FrameError

METRICS = {
    "logit_difference": "logit(answer) − logit(foil)",
    "probability": "probability of the answer",
    "kl": "KL from the baseline, nats",
    "fluency": "log-probability a token, unsteered model",
}


def steering_chart(frame: pl.DataFrame, *, metric: str = "logit_difference") -> alt.Chart:
    """A metric over strengths: the given direction, the mean and range of the random ones, the baseline (see `frames.STEERING`).

    Raises:
        FrameError: no such metric.
    """
    if metric not in METRICS:
        raise FrameError(f"{metric!r} is no metric of steering; choose one of {', '.join(METRICS)}.")
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
    color = alt.Scale(domain=order, range=["#0072b2", "#7a828b", "#7a828b"])
    x = alt.X("strength:Q", title="strength, in units of the direction")
    y = alt.Y("value:Q", title=METRICS[metric], scale=alt.Scale(zero=False))
    band = alt.Chart(alt.InlineData(values=random.to_dicts())).mark_area(opacity=0.25, color="#7a828b").encode(
        x=x, y=alt.Y("low:Q", title=METRICS[metric]), y2="high:Q"
    )  # fmt: skip
    curve = alt.Chart(alt.InlineData(values=lines)).mark_line(point=True).encode(
        x=x,
        y=y,
        color=alt.Color("line:N", scale=color, title=None),
        strokeDash=alt.StrokeDash("line:N", scale=kind, title=None),
        tooltip=[alt.Tooltip("line:N"), *(alt.Tooltip(f"{name}:Q") for name in ("strength", "norm_ratio", "value"))],
    )  # fmt: skip
    count = frame.filter(direction="random")["seed"].n_unique()
    title = f"Steering beside {count} random directions of the same length (band: their range)"
    return (band + curve).properties(title=title, width=460, height=260, background="transparent")
