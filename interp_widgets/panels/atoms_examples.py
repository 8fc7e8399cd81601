"""A table of examples as front/atoms_examples.js draws it: plain numbers, and tokens as indices into one list of words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import polars as pl

KINDS = ("interval", "quantile", "top", "random")
"""In the order in which they are offered."""
_TITLES = {"top": "Strongest", "random": "Drawn at random from all"}


def examples(
    found: pl.DataFrame, maximum: float, sizes: Sequence[float] | None = None, notes: Sequence[str] = ()
) -> dict[str, Any]:
    """See `Examples` in front/atoms_examples.js.

    Args:
        found: examples of one atom (see `frames.ATOM_EXAMPLES`).
        maximum: where the colour scale ends.
        sizes: how many of the atom's activations are in each interval; None: not known.
        notes: said below.
    """
    words: dict[str, int] = {}
    kinds = {}
    for kind in KINDS:
        groups = found.filter(kind=kind).sort("interval", "rank", descending=[True, False], maintain_order=True)
        if len(groups):  # the strongest interval first
            lists = groups.partition_by("interval", maintain_order=True)
            kinds[kind] = [_group(kind, each, sizes, words) for each in lists]
    return {"words": list(words), "maximum": maximum, "kinds": kinds, "notes": list(notes)}


def _group(kind: str, found: pl.DataFrame, sizes: Sequence[float] | None, words: dict[str, int]) -> dict[str, Any]:
    title, about = _TITLES.get(kind, ""), ""
    if not title:
        title = f"{found['low'][0]:.3g} to {found['high'][0]:.3g}"
    if kind == "interval" and sizes is not None:
        size = sizes[found["interval"][0]]
        about = f"{size:,.0f} activation{'s' * (size != 1)}, {size / sum(sizes):.1%} of all"
    return {"title": title, "about": about, "examples": [_example(row, words) for row in found.iter_rows(named=True)]}


def _example(row: dict[str, Any], words: dict[str, int]) -> dict[str, Any]:
    return {
        "tokens": [words.setdefault(token, len(words)) for token in row["tokens"]],
        "at": row["at"],
        "active": [[i, short(a)] for i, a in enumerate(row["activations"]) if a],
        **{name: row[name] for name in ("source", "text", "position", "repeats")},
        "activation": short(row["activation"]),
    }


def short(value: float) -> float:
    """As many digits as anyone reads."""
    return float(f"{value:.4g}")
