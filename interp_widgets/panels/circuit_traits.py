"""A circuit as its traits: a page of nodes and edges to bytes, the curve, the prompts and what is measured in words."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from ..graphs.graph import KINDS, Graph
from ..graphs.page import Page, grouped
from ..widgets import wire
from ..widgets.circuit import CURVE, WAYS
from .wording import counted

if TYPE_CHECKING:
    from ..methods.circuits.dictionaries import Dictionaries
    from ..methods.circuits.prompts import Prompts
    from ..session.session import Session
    from .circuit_question import Question

NODES = 2000
EDGES = 10_000
"""How many are sent, the strongest ones."""
VARIANTS = 6
"""Different tokens of a column that are listed."""
_EXACT_ANSWERS = 3
"""Answers up to which each is named."""


def page_traits(page: Page, graph: Graph) -> dict[str, Any]:
    """Nodes, edges and the strip."""
    nodes = page.nodes
    prompts = nodes["prompts"].drop_nulls()
    return {
        "rows": page.rows,
        "tokens": list(graph.tokens) or [""] * page.columns,
        "summed": not graph.tokens,
        "strip": wire.float32(page.strip),
        "names": nodes["node"].to_list(),
        "kind": wire.uint8([KINDS.index(kind) for kind in nodes["kind"]]),
        "row": wire.int32(nodes["row"]),
        "column": wire.int32(nodes["column"]),
        "atom": wire.int32(nodes["atom"].fill_null(-1)),
        "effect": _floats(nodes["strength"]),
        **{name: _known(nodes[name]) for name in ("low", "high", "corrupt_activation")},
        "activation": _floats(nodes["activation"]),
        "total": page.total,
        "source": wire.int32(page.source),
        "target": wire.int32(page.target),
        "weight": _floats(page.edges["weight"]),
        "weight_low": _known(page.edges["low"]),
        "weight_high": _known(page.edges["high"]),
        "total_edges": graph.edges.height,
        "measure": "influence" if page.by_influence else "effect",
        "prompts": int(prompts.max() or 0),  # type: ignore[arg-type]
    }


def group_traits(page: Page, members: Mapping[str, Sequence[str]]) -> dict[str, Any]:
    """Groups, and the edges that they make."""
    found = grouped(page, members)
    return {
        "groups": found.groups,
        "group_source": wire.int32(found.source),
        "group_target": wire.int32(found.target),
        "group_weight": wire.float32(found.weight),
    }


def no_curve() -> dict[str, Any]:
    """The curve is not known yet."""
    return {"ways": [], "curve_nodes": b"", "curve_prefix": b"", "curve": b"", "ends": {}, "baselines": []}


def curve_traits(found: pl.DataFrame, page: Page, ranked: pl.DataFrame) -> dict[str, Any]:
    """Faithfulness (see `frames.CIRCUIT_FAITHFULNESS`) of circuits of the nodes of a page; `ranked`: those a circuit can have."""
    parts = {way: found.filter(error_nodes=way).sort("nodes") for way in WAYS}
    parts = {way: part for way, part in parts.items() if part.height}
    if not parts:
        return no_curve()
    most = max(part.height for part in parts.values())
    shape = (len(parts), most)
    nodes, prefix = np.full(shape, -1), np.full(shape, -1)
    curve = np.full((len(CURVE), *shape), np.nan)
    for row, (way, part) in enumerate(parts.items()):
        sizes = part["nodes"].to_numpy()
        nodes[row, : len(sizes)] = sizes
        prefix[row, : len(sizes)] = _prefixes(page, ranked, sizes, way)
        for at, name in enumerate(_CURVE_COLUMNS):
            curve[at, row, : len(sizes)] = part[name].fill_null(np.nan).to_numpy()
    starts = next(iter(parts.values())).filter(nodes=0).rows(named=True)
    ends = {"model": starts[0]["without"], "nothing": starts[0]["metric"]} if starts else {}
    return {
        "ways": list(parts),
        "curve_nodes": wire.int32(nodes),
        "curve_prefix": wire.int32(prefix),
        "curve": wire.float32(curve),
        "ends": ends if "nodes" in parts else {},
    }


_CURVE_COLUMNS = (
    "threshold",
    "faithfulness",
    "low",
    "high",
    "completeness",
    "completeness_low",
    "completeness_high",
)
"""Columns of the frame in the order of `CURVE`."""


def baseline_traits(name: str, found: pl.DataFrame) -> dict[str, Any]:
    """A curve to compare with."""
    part = found.filter(error_nodes="nodes").sort("nodes")
    columns = ("nodes", "faithfulness", "low", "high")
    return {"name": name, **{column: part[column].to_list() for column in columns}}


def _prefixes(page: Page, ranked: pl.DataFrame, sizes: np.ndarray[Any, Any], way: str) -> list[int]:
    """For each number of nodes, how far into the nodes of the page they reach."""
    kinds = page.nodes["kind"]
    answers = int((kinds == "logit").sum())
    counts = page.nodes["node"].is_in(ranked["node"].implode()) & ((kinds != "error") if way != "nodes" else True)
    until = np.flatnonzero(counts.to_numpy()) + 1
    return [answers if not size else int(until[min(size, len(until)) - 1]) if len(until) else answers for size in sizes]


def prompt_traits(model: Session, prompts: Prompts, summed: bool) -> dict[str, Any]:
    """The tokens of the first pair, and where prompts differ."""
    if summed or not prompts.length:
        return {"token_ids": [], "corrupt_tokens": [], "variants": {}}
    [batch] = prompts.batches
    clean = batch.clean.tolist()
    variants = {}
    for column, ids in enumerate(zip(*clean, strict=True)):
        texts = [model.text_of(i) for i in dict.fromkeys(ids)]
        if len(texts) > 1:
            variants[str(column)] = texts[:VARIANTS]
    corrupt = [] if batch.corrupt is None else [model.text_of(i) for i in batch.corrupt[0].tolist()]
    return {"token_ids": clean[0], "corrupt_tokens": corrupt, "variants": variants}


def tokens_of(model: Session, prompts: Prompts, summed: bool) -> tuple[str, ...]:
    """The tokens over the columns: of the first clean prompt, none where positions are summed."""
    if summed or not prompts.length:
        return ()
    return tuple(model.text_of(i) for i in prompts.batches[0].clean[0].tolist())


def metric_words(model: Session, prompts: Prompts) -> str:
    """What is measured, such as `logit( is) − logit( are)`."""
    sides = [_side(model, prompts.answers, "answer"), _side(model, prompts.foils, "foil")]
    return f"{sides[0]} − {sides[1] or 'mean logit'}"


def _side(model: Session, tokens: Sequence[Sequence[int]], role: str) -> str:
    several = {tuple(each) for each in tokens}
    if several == {()}:
        return ""
    if len(several) > 1:
        return f"logit({role})" if max(map(len, tokens)) == 1 else f"mean logit({role}s)"
    [one] = several
    if len(one) == 1:
        return f"logit({model.text_of(one[0])})"
    named = ", ".join(model.text_of(i) for i in one[:_EXACT_ANSWERS])
    more = f" and {len(one) - _EXACT_ANSWERS} more" if len(one) > _EXACT_ANSWERS else ""
    return f"mean logit({named}{more})"


def dictionaries_words(names: Collection[str]) -> str:
    """What the nodes are of; nothing where that is not known."""
    return counted(len(names), "dictionary", "dictionaries") if names else ""


def rests_on(dictionaries: Dictionaries, question: Question) -> dict[str, Any]:
    """What is asked, and the dictionaries by their sites: for provenance."""
    own = {site: {"name": sae.name, "sha256": sae.origin.get("sha256")} for site, sae in dictionaries.items()}
    return {**question.arguments(), "dictionaries": own}


def _floats(values: pl.Series) -> bytes:
    return wire.float32(values.fill_null(np.nan))


def _known(values: pl.Series) -> bytes:
    """Nothing where nothing is known."""
    return b"" if values.is_null().all() else _floats(values)
