"""Charts of the atoms of a dictionary."""

from __future__ import annotations

from collections.abc import Sequence

import altair as alt
import polars as pl

from ..errors import FrameError
from . import theme


def atoms_chart(
    frame: pl.DataFrame, reconstruction: pl.DataFrame, position: int | None = None, *, most: int = 15
) -> alt.Chart:
    """The strongest atoms at a position with their share of the norm; beside them bias and error, always, and a skip connection.

    Args:
        frame: see `frames.ATOMS`.
        reconstruction: see `frames.RECONSTRUCTION`.
        position: which token; default the last.
        most: how many atoms are drawn.

    Raises:
        FrameError: the frame has no such position.
    """
    if position is None:
        position = max(reconstruction["position"], default=0)
    here = reconstruction.filter(pl.col("position") == position)
    if here.is_empty():
        raise FrameError(f"This frame has no position {position}; it has {reconstruction['position'].to_list()}.")
    token = here.select(theme.visible("token")).item()
    atoms = frame.filter(pl.col("position") == position).sort("activation", descending=True).head(most)
    bars = atoms.select(
        pl.format("#{}", pl.col("atom")).alias("part"), "share", pl.lit("atom").alias("kind"), "activation"
    )
    others = [("bias", "bias_share", "bias"), ("reconstruction error", "error_share", "error")]
    if here["skip_share"].item():
        others.insert(1, ("skip connection", "skip_share", "bias"))
    rest = pl.DataFrame(
        [(part, here[column].item(), kind, None) for part, column, kind in others], schema=bars.schema, orient="row"
    )
    shown = pl.concat([bars, rest])
    count = here["active"][0]
    drawn = f"the strongest {len(atoms)} of {count}" if len(atoms) < count else f"{count}"
    title = theme.headed(
        f"Position {position} {token}: active atoms",
        [
            f"Drawn: {drawn}. |error| / |x| = {here['error_norm'][0]:.3f}."
            + (" An attention sink or a start marker." if here["masked"][0] else "")
        ],
    )
    return (
        alt.Chart(shown, title=title)
        .mark_bar()
        .encode(
            x=alt.X("share:Q", title="share of the squared norm", axis=alt.Axis(format="%", tickCount=5)),
            y=alt.Y("part:N", sort=shown["part"].to_list(), title=None),
            color=alt.Color(
                "kind:N",
                scale=alt.Scale(domain=["atom", "bias", "error"], range=["#0072b2", theme.GREY, "#d55e00"]),
                legend=None,  # each bar says what it is
            ),
            tooltip=["part", "activation", "share"],
        )
        .properties(width=420, background="transparent")
    )


def text_chart(activations: pl.DataFrame, *, masked: Sequence[int] = ()) -> alt.Chart:
    """Activations of some atoms over the text: columns `position`, `token`, `atom`, `activation`; one row of cells an atom.

    `masked` positions are grey, and left out of the colour scale's domain.
    """
    shown = theme.columns(activations).with_columns(masked=pl.col("position").is_in(list(masked)))
    order = activations["atom"].unique(maintain_order=True).to_list()
    counted = shown.filter(~pl.col("masked"))["activation"]
    top = float((counted if len(counted) else shown["activation"]).max() or 1.0)  # type: ignore[arg-type]
    scale = alt.Scale(scheme=theme.SEQUENTIAL, domain=[0.0, top], clamp=True)
    tooltip: list[str | alt.Tooltip] = ["atom", "position", "token", "token_id", "activation"]
    hidden = sorted(set(masked) & set(shown["position"]))
    return (
        theme.cells(shown, "Activation over the text", tooltip, theme.masked_note(hidden))
        .encode(
            x=theme.position_axis(shown, "position"),
            y=alt.Y("atom:N", sort=order, title="atom"),
            color=theme.shade("activation:Q", "activation, in the dictionary's units", scale, mask=True),
        )
        .properties(
            width=min(900, 26 * shown["position"].n_unique() + 20), height=26 * len(order), background="transparent"
        )
    )
