"""How much of what a model does is done by a circuit alone (Marks et al., arXiv:2403.19647).

Every node outside the circuit is held at its mean, position by position, over the corrupt prompts; nodes of the circuit have the
value that they come to in that run. With m the mean metric of the prompts,

    faithfulness(C) = (m(C) - m(nothing)) / (m(model) - m(nothing)),    completeness(C) = the same of all nodes but C

Nothing has faithfulness 0, and all nodes have 1, since then no activation is changed. Both may leave that range: a circuit can do
better than the model, and worse than nothing. Tokens that are no nodes, markers and attention sinks, are left alone.

Nodes come in by effect. A chain is as good as its weakest site, and the strongest nodes stand where they are last, so such a curve
is a cliff: nothing until the last site has its first node, then nearly all. With order "turns" each site gives its best node, then
each its second, and so on, which is the better ladder to climb and to draw.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
import torch

from ... import frames
from ...errors import TextError
from ...progress import Progress, silent
from ...session.session import Session, Text
from ..pair_statistics import bootstrap_share
from .dictionaries import Given, check_sites, dictionaries_of
from .kept import Kept, measure_kept
from .order import Order, checked_nodes, order_of, sizes_of
from .prompts import Tokens, prompts_of

ERRORS = ("nodes", "kept", "removed")
EQUAL = 1e-6
"""Below this much between the model and nothing there is no share of it."""


def circuit_faithfulness(
    model: Session,
    *,
    nodes: pl.DataFrame,
    clean: Text | Sequence[Text],
    corrupt: Text | Sequence[Text] | None = None,
    answer: Tokens | Sequence[Tokens] | None = None,
    foil: Tokens | Sequence[Tokens] | None = None,
    dictionaries: Given = None,
    sizes: Sequence[int] | None = None,
    thresholds: Sequence[float] | None = None,
    errors: str = "nodes",
    order: str = "effect",
    intact: int = 0,
    means: Sequence[Text] | None = None,
    progress: Progress = silent,
) -> pl.DataFrame:
    """Faithfulness and completeness of circuits of growing size (see `frames.CIRCUIT_FAITHFULNESS`), with intervals over prompts.

    The first row is the circuit of no node and the last that of all nodes that there are, listed or not. Rank nodes on other
    prompts than these: the same ones flatter the circuit.

    Args:
        model: a session.
        nodes: what `methods.circuit` returned, or part of it. Where nodes have positions, prompts have one length.
        clean, corrupt, answer, foil, dictionaries: as in `methods.circuit`. Without corrupt prompts nodes outside become 0.
        sizes: numbers of nodes; default about 20 of equal ratio.
        thresholds: in place of sizes: smallest |effect| of the nodes in a circuit.
        errors: "nodes" (default): an error is in the circuit like any node; "kept": all are; "removed": none is.
        order: "effect" (default): the largest |effect| first; "turns": each site's largest, then each site's second, ...
        intact: the sites of so many first layers are left alone, and embed with them if it is above 0; default 0.
        means: prompts that give the means, in lengths that the clean ones have; default the corrupt prompts.
        progress: called between runs with what is known so far, a frame.

    Raises:
        TextError, AlignmentError: as in `methods.circuit`; a size, order, kind of errors or number of layers that does not exist;
            prompts of several lengths where nodes have positions; or `means` without a prompt of a length.
        FrameError: no frame of nodes. DictionaryError: nodes of a site that has no dictionary here, or as in `methods.circuit`.
    """
    if errors not in ERRORS:
        raise TextError(f"errors are {', '.join(ERRORS)}, not {errors!r}.")
    prompts = prompts_of(model, clean, corrupt, answer, foil)
    asked = dictionaries_of(model, dictionaries)
    altered = asked.only(site for site in asked if _is_altered(model, site, intact))
    if not altered:
        raise TextError(
            f"No site is left to alter: {intact} layers are intact, and {model.name} has {model.num_layers}."
        )
    check_sites(checked_nodes(nodes)["site"], asked)
    ranked = order_of(nodes, altered, errors=errors == "nodes", order=order)
    if ranked.apart and prompts.length is None:
        raise TextError("The nodes have positions, but the prompts have several lengths. Give prompts of one length.")
    if order != "effect" and thresholds is not None:
        raise TextError('Thresholds go with order="effect". Give sizes.')
    counts = sizes_of(ranked, sizes, thresholds)
    specs = [(count, rest) for count in counts for rest in (False, True) if count or not rest or errors == "removed"]
    curve = _Curve(ranked, counts, specs, errors, int(prompts.batches[0].counted.any(0).sum()) if ranked.apart else 1)

    def report(done: int, total: int, message: str = "", partial: Any = None) -> None:
        progress(done, total, message, None if partial is None else curve.frame(*partial))

    measured = model.work(
        measure_kept,
        prompts.batches,
        None if means is None else prompts_of(model, means, answer=0).batches,
        dict(altered) if model.apart else altered,
        Kept(ranked.sites, specs, errors),
        progress=report,
    )
    return curve.frame(*measured)


def _is_altered(model: Session, site: str, intact: int) -> bool:
    layer = model.site(site).layer
    return intact == 0 or (layer is not None and layer >= intact)


@dataclass(frozen=True, eq=False)
class _Curve:
    """What turns metrics into rows of the frame."""

    order: Order
    counts: list[int]
    specs: list[tuple[int, bool]]
    errors: str
    positions: int
    """Positions that have nodes of their own."""

    def frame(self, model: torch.Tensor, found: torch.Tensor, nodes: int) -> pl.DataFrame:
        """From metrics of the model [n] and of altered runs [specs, n], those that are done; `nodes` of a position."""
        runs = {(0, True): model.numpy(), **dict(zip(self.specs, found.numpy(), strict=True))}
        everything = nodes * self.positions
        circuits = [(count, runs[count, False], runs[count, True]) for count in self.counts if count < everything]
        circuits.append((everything, runs[0, True], runs[0, False]))
        known = [row for row in circuits if not np.isnan([*row[1], *row[2]]).any()]
        sizes = [size for size, _, _ in known]
        nothing, own = runs[0, False], model.numpy()
        share, low, high = bootstrap_share([metric - nothing for _, metric, _ in known], own - nothing, EQUAL)
        rest, rest_low, rest_high = bootstrap_share([metric - nothing for *_, metric in known], own - nothing, EQUAL)
        columns: dict[str, Any] = {
            "nodes": sizes,
            "threshold": [self.order.threshold(size) for size in sizes],
            "error_nodes": [self.errors] * len(sizes),
            "metric": [metric.mean() for _, metric, _ in known],
            "without": [metric.mean() for *_, metric in known],
            "faithfulness": share,
            "low": low,
            "high": high,
            "completeness": rest,
            "completeness_low": rest_low,
            "completeness_high": rest_high,
        }
        return frames.build(frames.CIRCUIT_FAITHFULNESS, columns)
