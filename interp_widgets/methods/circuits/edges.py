"""Edges of a circuit: how much of the answer goes from one node straight into another.

The effect of a node u on the metric m through a later node d (Marks et al., arXiv:2403.19647), at the clean prompt:

    W(u, d) = dm/dd . dd/du . (u_clean - u_corrupt)

dm/dd is the whole effect of d, whatever comes after. dd/du counts the direct path alone: gradients through every site with a
dictionary that lies between are stopped, kept nodes or not. So what reaches a node is shared among the nodes that it comes from:
the weights into d from all nodes, errors too, add up to dm/dd times the change of d, to first order. The answer is a node as well,
whose weights add up to the effects of the nodes that nothing stands behind.

`direct` finds all edges of some prompts in one forward pass.
"""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl
import torch

from ... import frames
from ...progress import Progress, silent
from ...session.session import Session, Text
from .dictionaries import Dictionaries, Given, dictionaries_of
from .direct import ANSWER, Sums, direct_effects
from .kept_nodes import Kept, Part, kept_nodes, part_of
from .prompts import Prompts, Tokens, prompts_of
from .reading import TOKENS_AT_ONCE, Piece, parts_of, read_piece
from .run import half_width

PAIRS_AT_ONCE = 1 << 24
"""Prompts x pairs of nodes at two sites whose weights are held at a time, before they are summed: 64 MB."""


def circuit_edges(
    model: Session,
    *,
    clean: Text | Sequence[Text],
    corrupt: Text | Sequence[Text] | None = None,
    answer: Tokens | Sequence[Tokens] | None = None,
    foil: Tokens | Sequence[Tokens] | None = None,
    dictionaries: Given = None,
    nodes: pl.DataFrame,
    progress: Progress = silent,
) -> pl.DataFrame:
    """The weight of every edge between some nodes, and into the answer, mean over prompts (see `frames.CIRCUIT_EDGES`).

    Args:
        model, clean, corrupt, answer, foil, dictionaries: as in `circuit`, whose nodes these are.
        nodes: what `circuit` found, or some rows of it. Memory grows with the pairs of nodes that have a direct path, so keep those
            that matter: `nodes.filter(pl.col("effect").abs() > 0.01)`.
        progress: called after each part of the prompts.

    Raises:
        TextError, AlignmentError, DictionaryError, SiteError: as in `circuit`; also where the nodes do not fit the prompts or the
            dictionaries. FrameError: `nodes` is no frame of nodes.
    """
    found, prompts = dictionaries_of(model, dictionaries), prompts_of(model, clean, corrupt, answer, foil)
    return run_edges(model, prompts, found, nodes, progress)


def circuit_edge_kinds(edges: pl.DataFrame) -> pl.DataFrame:
    """How many edges join which kinds of site (see `frames.CIRCUIT_EDGE_KINDS`).

    Args:
        edges: what `circuit_edges` found, or some rows of it.

    Raises:
        FrameError: it is no frame of edges.
    """
    frames.check(edges, frames.CIRCUIT_EDGES)
    kinds = [pl.col(end).str.extract(r"^([^./]+)").alias(f"{end}_kind") for end in ("source", "target")]
    counts = edges.group_by(*kinds).agg(pl.len().alias("edges"), pl.col("weight").abs().sum())
    counts = counts.sort("weight", "source_kind", "target_kind", descending=[True, False, False])
    return frames.build(frames.CIRCUIT_EDGE_KINDS, counts.to_dict())


def run_edges(
    model: Session, prompts: Prompts, dictionaries: Dictionaries, nodes: pl.DataFrame, progress: Progress = silent
) -> pl.DataFrame:
    """The measurement behind `circuit_edges`."""
    kept = kept_nodes(nodes, dictionaries, prompts)
    sites, counts = list(dictionaries), {site: len(here.rows) for site, here in kept.items()}
    apart = any(len(here.number) > 1 for here in kept.values())
    pairs = max((size * other for size in counts.values() for other in counts.values()), default=1)
    longest = max(batch.clean.shape[1] for batch in prompts.batches)
    size = max(1, min(TOKENS_AT_ONCE // longest, PAIRS_AT_ONCE // pairs))
    total: Sums = {}
    done = 0
    for pieces in parts_of(model, prompts, sites, apart=apart, batch=size) if kept else ():
        progress(done, prompts.count, "reading the prompts")
        parts = _parts(model, pieces, sites, kept, dictionaries)
        for piece, here in zip(pieces, parts, strict=True):
            progress(done, prompts.count, "edges")
            for pair, sums in model.work(direct_effects, piece, sites, here, counts).items():
                total[pair] = total[pair] + sums if pair in total else sums
            done += len(piece.batch)
    progress(1, 1)
    return _frame(nodes, kept, total, prompts.count)


def _parts(
    model: Session, pieces: Sequence[Piece], sites: list[str], kept: dict[str, Kept], dictionaries: Dictionaries
) -> list[dict[str, Part]]:
    """The nodes of each piece, by site: each dictionary is loaded once and dropped."""
    readings = [model.work(read_piece, piece, sites, True) for piece in pieces]
    out: list[dict[str, Part]] = [{} for _ in pieces]
    for site, here in kept.items():
        sae = dictionaries[site]
        for part, piece, reading in zip(out, pieces, readings, strict=True):
            whole = reading.clean.pop(site)
            x = whole[piece.at.to(whole.device)]
            y = None if reading.corrupt is None else reading.corrupt.pop(site)
            sae = sae if sae.W_enc.device == x.device else sae.to(x.device)
            part[site] = part_of(sae, here, piece, x, y, reading.gradient.pop(site))
    return out


def _frame(nodes: pl.DataFrame, kept: dict[str, Kept], total: Sums, count: int) -> pl.DataFrame:
    sources, targets, sums = [], [], []
    for (source, target), both in total.items():
        there, here = both[1].nonzero(as_tuple=True)
        sources.append(kept[source].rows[here])
        targets.append(torch.full_like(there, len(nodes)) if target == ANSWER else kept[target].rows[there])
        sums.append(both[:, there, here])
    empty = torch.empty(0, dtype=torch.long)
    of, to = torch.cat([empty, *sources]), torch.cat([empty, *targets])
    numbers = torch.cat([torch.empty(2, 0, dtype=torch.float64), *sums], 1)
    order = numbers[0].abs().argsort(descending=True, stable=True)
    of, to, numbers = of[order], to[order], numbers[:, order]
    mean = numbers[0] / count
    names = pl.concat([nodes["node"], pl.Series([frames.circuits.ANSWER])])
    columns = {"source": names.gather(of.numpy()), "target": names.gather(to.numpy()), "weight": mean.numpy()}
    half = half_width(numbers[0], numbers[1], count)
    ends = {"low": [None] * len(mean), "high": [None] * len(mean)}
    columns |= ends if half is None else {"low": (mean - half).numpy(), "high": (mean + half).numpy()}
    return frames.build(frames.CIRCUIT_EDGES, columns)
