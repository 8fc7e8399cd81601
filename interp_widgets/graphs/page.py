"""A graph laid out on a page: its nodes in rows of sites and columns of tokens, the strongest first, and sums over them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl

from ..frames.circuits import GRAPH_EDGES, GRAPH_NODES
from ..frames.schema import build
from .graph import Graph

Ints = npt.NDArray[np.int32]
Floats = npt.NDArray[np.float64]

FAITHFUL = 0.9
"""Faithfulness from which on a circuit carries most of what is measured."""
ANSWERS = "answer"
"""The row of what is measured, the last."""
_KINDS = {"embed": "embed", "resid_pre": "resid in", "attn_out": "attn", "resid_mid": "resid mid", "mlp_act": "neurons",
          "mlp_out": "mlp", "resid_post": "resid"}  # fmt: skip
"""Kinds of site in the order of the forward pass -> what a row is called."""


@dataclass(frozen=True, eq=False)
class Page:
    """Where everything stands. N nodes: the answers, then the largest |strength| first."""

    nodes: pl.DataFrame
    """Of the graph, N of them, with the columns `row`, `column` and `strength`: the effect, or the share of influence that a node
    holds by itself, or of a logit its probability."""
    rows: list[dict[str, object]]
    """`site`, `text` and `layer` of each row, in the order of the forward pass; the last is that of the answers."""
    columns: int
    strip: Floats
    """[rows - 1, columns]: sum of |strength| over all nodes of a place, also those left out; NaN in a row without any."""
    source: Ints
    """[E]: index of a node, upstream; the largest |weight| first."""
    target: Ints
    edges: pl.DataFrame
    """The same edges, E rows of the graph's."""
    total: int
    """Nodes of the graph but for the answers."""
    by_influence: bool
    """Whether strength is influence."""

    @property
    def answers(self) -> int:
        """How many of the nodes are what is measured; they are the first."""
        return int((self.nodes["kind"] == "logit").sum())

    def index(self) -> dict[str, int]:
        """Name of a node -> its index."""
        return {name: at for at, name in enumerate(self.nodes["node"])}

    def shown(self, size: int, pinned: Sequence[str], hidden: Sequence[str], *, errors: bool = True) -> pl.DataFrame:
        """The nodes that are drawn: the answers, the first `size` others (-1: all) and those pinned, but for those hidden; errors
        count only if they are wanted."""
        answer = pl.col("kind") == "logit"
        counts = ~answer if errors else ~answer & (pl.col("kind") != "error")
        first = counts & ((counts.cum_sum() <= size) if size >= 0 else True)
        wanted = answer | first | pl.col("node").is_in(list(pinned))
        return self.nodes.filter(wanted & ~pl.col("node").is_in(list(hidden)))


def page(graph: Graph, nodes: int, edges: int) -> Page:
    """Lay a graph out.

    Args:
        graph: any graph.
        nodes: at most so many, besides those that a person has labelled, pinned, hidden or put into a group.
        edges: at most so many.
    """
    by_influence = graph.nodes["effect"].is_null().all() and graph.nodes["influence"].is_not_null().any()
    every, rows = _placed(graph, bool(by_influence))
    columns = max(1, len(graph.tokens), 1 + _largest(every["column"]))
    answers = pl.col("kind") == "logit"
    every = every.with_columns(answers=answers).sort(
        "answers", pl.col("strength").abs(), descending=True, nulls_last=True, maintain_order=True
    )
    touched = {*graph.labels, *graph.pinned, *graph.hidden, *(node for each in graph.groups.values() for node in each)}
    first = answers | (pl.int_range(pl.len()) < int(every["answers"].sum()) + nodes)
    kept = every.filter(first | pl.col("node").is_in(sorted(touched))).drop("answers")
    index = {name: at for at, name in enumerate(kept["node"])}
    drawn = graph.edges.filter(pl.col("source").is_in(list(index)), pl.col("target").is_in(list(index)))
    drawn = drawn.sort(pl.col("weight").abs(), descending=True, maintain_order=True).head(edges)
    return Page(
        nodes=kept,
        rows=rows,
        columns=columns,
        strip=_strip(every.filter(~answers), len(rows) - 1, columns),
        source=np.array([index[name] for name in drawn["source"]], np.int32),
        target=np.array([index[name] for name in drawn["target"]], np.int32),
        edges=drawn,
        total=every.filter(~answers).height,
        by_influence=bool(by_influence),
    )


def _placed(graph: Graph, by_influence: bool) -> tuple[pl.DataFrame, list[dict[str, object]]]:
    """All nodes with row, column and strength; and the rows."""
    keys = [_key(row) for row in graph.nodes.select("kind", "site", "layer").iter_rows(named=True)]
    order = sorted(set(keys))
    rows: list[dict[str, object]] = [
        {"site": key[3], "text": key[4], "layer": None if key[1] < 0 else key[1]} for key in order
    ]
    if not order or order[-1][0] == 0:
        rows.append({"site": ANSWERS, "text": ANSWERS, "layer": None})
    last = max(0, len(graph.tokens) - 1)
    column = pl.col("position").fill_null(pl.when(pl.col("kind") == "logit").then(last).otherwise(0))
    strength = _own_influence(graph.nodes) if by_influence else graph.nodes["effect"]
    placed = graph.nodes.with_columns(
        pl.Series("row", [order.index(key) for key in keys], dtype=pl.Int32),
        column.cast(pl.Int32).alias("column"),
        pl.Series("strength", strength, dtype=pl.Float64),
    )
    strong = pl.when(pl.col("kind") == "logit").then(pl.col("probability")).otherwise(pl.col("strength"))
    return placed.with_columns(strong.alias("strength")), rows


def _key(node: Mapping[str, object]) -> tuple[int, int, int, str, str]:
    """What sorts rows, and the site and the text of the row: answers last, then by layer, then as in the forward pass."""
    site, layer = node["site"], node["layer"]
    at = layer if isinstance(layer, int) else -1
    if node["kind"] == "logit":
        return 1, -1, 0, ANSWERS, ANSWERS
    if node["kind"] == "embedding" or site == "embed":
        return 0, -1, 0, "embed", "embed"
    if not isinstance(site, str):
        return (0, at, 0, f"layer.{at}", f"layer {at}") if at >= 0 else (0, -1, 1, "other", "other")
    kind = site.partition(".")[0]
    step = list(_KINDS).index(kind) if kind in _KINDS else len(_KINDS)
    return 0, at, step, site, f"{_KINDS.get(kind, kind)} {at}" if at >= 0 else _KINDS.get(kind, site)


def _own_influence(nodes: pl.DataFrame) -> pl.Series:
    """What each node holds by itself, out of what it holds together with all that hold more. Nodes that hold more and are not in
    the file count for the next that is."""
    held = nodes["influence"].fill_nan(None)
    above = held.unique().drop_nulls().sort()
    own = {value: value - before for value, before in zip(above, [0.0, *above], strict=False)}
    return pl.Series([None if value is None else own[value] for value in held], dtype=pl.Float64)


def _largest(values: pl.Series) -> int:
    return max((value for value in values if value is not None), default=0)


def _strip(nodes: pl.DataFrame, rows: int, columns: int) -> Floats:
    total = np.zeros((rows, columns))
    known = nodes.filter(pl.col("strength").is_not_null())
    np.add.at(total, (known["row"].to_numpy(), known["column"].to_numpy()), known["strength"].abs().to_numpy())
    total[~np.isin(np.arange(rows), known["row"].to_numpy())] = np.nan
    return total


@dataclass(frozen=True, eq=False)
class Groups:
    """Groups as nodes of their own, and the edges that they make. N nodes of the page, G groups."""

    groups: list[dict[str, object]]
    """`name`, `nodes`, `row`, `column` (of the strongest member), `effect` (the sum), `low` and `high` (None: of a sum unknown)."""
    source: Ints
    """[F]: N + g for group g, else the index of a node; the largest |weight| first."""
    target: Ints
    weight: Floats
    """[F]: sum over all edges between the two; of edges within a group there is none."""


def grouped(page: Page, members: Mapping[str, Sequence[str]]) -> Groups:
    """Draw groups: members that the page does not have are left out, and groups without any."""
    index, strength = page.index(), page.nodes["strength"].fill_null(0.0).to_numpy()
    groups: list[dict[str, object]] = []
    of = np.arange(page.nodes.height)
    for name, nodes in members.items():
        there = [node for node in nodes if node in index]
        if not there:
            continue
        at = [index[node] for node in there]
        strongest = max(at, key=lambda i: abs(strength[i]))
        of[at] = page.nodes.height + len(groups)
        place = page.nodes.row(strongest, named=True)
        groups.append({"name": name, "nodes": there, "row": place["row"], "column": place["column"],
                       "effect": float(strength[at].sum()), "low": None, "high": None})  # fmt: skip
    ends = pl.DataFrame({"source": of[page.source], "target": of[page.target], "weight": page.edges["weight"]})
    outside = (pl.col("source") >= page.nodes.height) | (pl.col("target") >= page.nodes.height)
    sums = (
        ends.filter(outside, pl.col("source") != pl.col("target"))
        .group_by("source", "target", maintain_order=True)
        .agg(pl.col("weight").sum())
        .sort(pl.col("weight").abs(), descending=True, maintain_order=True)
    )
    source, target = (sums[end].to_numpy().astype(np.int32) for end in ("source", "target"))
    return Groups(groups, source, target, sums["weight"].to_numpy())


def error_share(nodes: pl.DataFrame) -> float:
    """Share of the summed |effect| that errors hold; 0 where there is no effect. `nodes`: columns CIRCUIT_NODES."""
    size = nodes["effect"].abs()
    total = float(size.sum())
    return float(size.filter(nodes["kind"] == "error").sum()) / total if total else 0.0


def at_least(edges: pl.DataFrame, count: int) -> float:
    """The |weight| that so many edges have; 0 where there are not more."""
    weights = edges["weight"].abs().sort(descending=True)
    return float(weights[count - 1]) if len(weights) > count else 0.0


def enough(curve: pl.DataFrame, fewest: int, most: int) -> int:
    """Nodes of the smallest circuit on a curve that carries most of what is measured, between two bounds. `curve`: columns
    CIRCUIT_FAITHFULNESS, of one way to treat errors."""
    found = curve.filter(pl.col("faithfulness") >= FAITHFUL)["nodes"].to_list()
    return max(fewest, min(min(found), most)) if found else most


NOTHING = page(
    Graph(
        build(GRAPH_NODES, {name: [] for name in GRAPH_NODES}), build(GRAPH_EDGES, {name: [] for name in GRAPH_EDGES})
    ),
    0,
    0,
)
"""A page before there is a graph."""
