"""Charts of activation patching."""

from __future__ import annotations

import altair as alt
import polars as pl

from ..errors import FrameError
from . import theme

METRICS = ("logit_difference", "probability", "recovery")
SITES = {"resid_post": "residual stream", "attn_out": "attention output", "mlp_out": "MLP output"}
ROUNDING = 1e-3
"""The colour scale ends no lower, so that the rounding of float32 does not look like an effect."""


def patching_chart(frame: pl.DataFrame, *, site: str = "resid_post", metric: str = "logit_difference") -> alt.Chart:
    """Layers x positions of one kind of site (see `frames.PATCHING`): the effect, or with metric "recovery" the recovery.

    The colour scale is that of all kinds of site in the frame, as in the panel, so that their charts can stand side by side.

    Raises:
        FrameError: the frame holds no cell of that kind of site, or no such metric.
    """
    if metric not in METRICS:
        raise FrameError(f"{metric!r} is no metric of patching; choose one of {', '.join(METRICS)}.")
    cells = theme.columns(frame.filter(pl.col("site").str.starts_with(f"{site}.")))
    if cells.is_empty():
        raise FrameError(
            f"This frame has no cells of {site}; it has {frame['site'].str.split('.').list.first().unique().to_list()}."
        )
    column = "recovery" if metric == "recovery" else "effect"
    top = max(float(frame[column].abs().max() or 0.0), ROUNDING)  # type: ignore[arg-type]
    title = f"Patching the {SITES.get(site, site)}"
    named, said = {
        "recovery": ("recovery", "1: the patch makes up for the whole difference between the prompts."),
        "logit_difference": ("effect on the logit difference", "Effect: patched minus unpatched."),
        "probability": ("effect on the probability of the answer", "Effect: patched minus unpatched."),
    }[metric]
    color = theme.shade(f"{column}:Q", named, alt.Scale(**theme.DIVERGING, domain=[-top, 0, top]))
    tooltip = ["site", "position", "token", "method", "effect", "recovery", "logit_difference", "probability"]
    same = cells.filter(method="causal")["position"].unique().sort().to_list()
    where = theme.positions(same) if len(same) < 3 else f"Positions {same[0]} to {same[-1]}"
    lines = [f"{where}: 0, as both prompts agree up to there and the model is causal."] if same else []
    return theme.grid(cells, color, tooltip, title, "position in the patched prompt", [said, *lines])
