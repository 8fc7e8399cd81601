"""Examples of several kinds at once, as far as a corpus holds them: a slim copy may hold fewer."""

from __future__ import annotations

from collections.abc import Mapping

import polars as pl

from ... import frames
from .reader import INTERVALS, Corpus
from .slim import BINS


def several(
    corpus: Corpus, atom: int, kinds: Mapping[str, int], context: tuple[int, int]
) -> tuple[pl.DataFrame, list[int] | None]:
    """Examples of one atom, and how many of its activations are in each interval, the weakest first.

    Args:
        corpus: from `iw.corpus`.
        atom: its index.
        kinds: which kinds of examples, in this order, and how many a list; of intervals, in each. What a slim copy does not hold
            is left out.
        context: tokens before and after; of a slim copy, what it holds.

    Returns:
        (`frames.ATOM_EXAMPLES`, a count an interval). None for the counts where a slim copy has no histogram of these intervals.
    """
    limits = corpus.limits
    intervals = INTERVALS if limits is None else limits["intervals"]
    parts = [frames.build(frames.ATOM_EXAMPLES, {name: [] for name in frames.ATOM_EXAMPLES})]
    for kind, count in kinds.items():
        if limits is None:
            parts.append(corpus.examples(atom, kind, count, context=context))
        elif kind in limits["kinds"]:
            parts.append(corpus.examples(atom, kind, min(count, limits["count"])))
    if limits is not None and BINS % intervals:
        return pl.concat(parts), None
    return pl.concat(parts), corpus.histogram(atom, bins=intervals)["count"].to_list()
