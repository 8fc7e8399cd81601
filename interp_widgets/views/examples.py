"""Charts of examples of where an atom fires."""

from __future__ import annotations

import altair as alt
import polars as pl

from ..errors import FrameError
from . import theme


def examples_chart(frame: pl.DataFrame) -> alt.Chart:
    """A tick for each example at its activation; a row for each list: the strongest, those drawn, and every interval.

    Args:
        frame: see `frames.ATOM_EXAMPLES`; of one atom.

    Raises:
        FrameError: no examples, or those of several atoms.
    """
    atoms = frame["atom"].unique().to_list()
    if len(atoms) != 1:
        raise FrameError(f"A chart is of the examples of one atom; this table has those of {len(atoms)}.")
    bounds = pl.format(
        "{} {}: {} to {}", "kind", "interval", pl.col("low").round_sig_figs(3), pl.col("high").round_sig_figs(3)
    )
    shown = frame.sort("kind", "interval", "rank", descending=[True, True, False]).select(
        pl.coalesce(bounds, "kind").alias("list"),
        "activation",
        "rank",
        theme.visible("token").alias("token"),
        "source",
        "text",
        "position",
    )
    return (
        alt.Chart(shown, title=f"Examples of atom {atoms[0]}")
        .mark_tick(thickness=2, color="#0072b2")
        .encode(
            x=alt.X("activation:Q", title="activation, in the dictionary's units", scale=alt.Scale(zero=True)),
            y=alt.Y(
                "list:N",
                sort=shown["list"].unique(maintain_order=True).to_list(),
                title=None,
                axis=alt.Axis(labelLimit=220),
            ),
            tooltip=["token", "activation", "list", "rank", "source", "text", "position"],
        )
        .properties(width=420, background="transparent")
    )
