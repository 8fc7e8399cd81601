"""A graph that was opened, beside a model: which of its nodes are nodes of the dictionaries there, so that they can be measured."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import polars as pl

from ..errors import GraphError
from ..frames.circuits import parse_node
from ..graphs.graph import Graph
from ..widgets.circuit import METHODS
from .circuit_question import Question
from .wording import counted

if TYPE_CHECKING:
    from ..methods.circuits.dictionaries import Dictionaries
    from ..methods.circuits.prompts import Prompts
    from ..session.session import Session


def question_of(graph: Graph, given: Question) -> Question:
    """What is asked of a graph: what a caller gives, else what its file says, else its prompt."""
    if given.asked:
        return given
    return Question(**graph.asked) if graph.asked else Question(graph.prompt)


def method_of(graph: Graph) -> str:
    """How the effects were found; empty where a file does not say."""
    methods = graph.nodes["method"].drop_nulls().unique().to_list()
    return methods[0] if len(methods) == 1 and methods[0] in METHODS else ""


SHOWN_ONLY = "so nothing can be switched or measured: the graph is shown as it is."


def misfit(graph: Graph, dictionaries: Dictionaries, question: Question) -> str:
    """Why nothing can be measured of a graph, as far as names and sites say; empty where it may be. No dictionary is loaded."""
    if not question.asked:
        return f"The graph does not say its prompt, and none was given, {SHOWN_ONLY}"
    if not _named_at(graph, dictionaries).is_empty():
        return ""
    first = graph.nodes.filter(pl.col("kind") != "logit")["node"].to_list()[:1]
    theirs = f", like {first[0]}," if first else ""
    return (
        f"No node of this graph{theirs} is an atom or error of the dictionaries given, like {next(iter(dictionaries))}/0, "
        f"{SHOWN_ONLY}"
    )


def _named_at(graph: Graph, dictionaries: Dictionaries) -> pl.DataFrame:
    """Its atoms and errors with an effect that are named as ours are, at sites that have a dictionary."""
    known = pl.col("effect").is_not_null() & pl.col("site").is_in([*dictionaries])
    rows = graph.nodes.filter(pl.col("kind").is_in(["atom", "error"]) & known)
    return rows.filter(pl.Series([_is_named(row) for row in rows.iter_rows(named=True)], dtype=pl.Boolean))


def _is_named(row: dict[str, Any]) -> bool:
    node = parse_node(row["node"])
    return node is not None and tuple(node) == (row["site"], row["atom"], row["position"])


def fitting(graph: Graph, dictionaries: Dictionaries, prompts: Prompts, tokens: tuple[str, ...]) -> pl.DataFrame:
    """The nodes that methods can take, the largest |effect| first, columns CIRCUIT_NODES. `tokens`: of the first prompt, none
    where positions are summed.

    Raises:
        GraphError: there is none.
    """
    if graph.tokens and graph.tokens != tokens:
        raise GraphError(
            f"The graph is of the tokens {' '.join(graph.tokens)!r}, but the prompts have {' '.join(tokens)!r}, {SHOWN_ONLY}"
        )
    rows, others = _named_at(graph, dictionaries), ""
    for site in rows["site"].unique(maintain_order=True):
        width, theirs = dictionaries[site].width, graph.sizes.get(site)
        largest: Any = rows.filter(pl.col("site") == site)["atom"].max()
        if theirs not in (None, width) or (largest or 0) >= width:
            rows = rows.filter(pl.col("site") != site)
            others = (
                f"The dictionary given for {site} has {counted(width, 'atom')}, that of the graph {theirs or 'more'}"
            )
    if graph.tokens:
        there = prompts.batches[0].counted.any(0).nonzero()[:, 0].tolist()
        rows = rows.filter(pl.col("position").is_in(there))
    if rows.is_empty():
        raise GraphError(f"{others or 'The nodes of the graph are at tokens that have none'}, {SHOWN_ONLY}")
    nodes = Graph(rows, graph.edges.clear()).circuit_nodes()
    return nodes.sort(pl.col("effect").abs(), descending=True, maintain_order=True)


def edged(nodes: pl.DataFrame, edges: pl.DataFrame) -> int:
    """Edges are known among the first so many nodes: to the last that has one."""
    ends = pl.concat([edges["source"], edges["target"]])
    there = nodes["node"].is_in(ends.implode()).arg_true()
    return int(there.max() or 0) + 1 if len(there) else 0  # type: ignore[arg-type]


def remarks(graph: Graph, nodes: pl.DataFrame, model: Session, question: Question, metric: str) -> tuple[str, ...]:
    """What belongs beside numbers that are measured now of a graph that was found elsewhere, a sentence each."""
    said = [*graph.notes]
    others = graph.nodes.filter(pl.col("kind") != "logit").height - nodes.height
    if others:
        said.append(
            f"{others:,} of {others + nodes.height:,} nodes are not of the dictionaries given: they are shown, but cannot be "
            "switched or measured."
        )
    if graph.metric and graph.metric != metric:
        said.append(f"The effects in the graph are on {graph.metric}; what is measured now is {metric}.")
    elif not graph.asked and question.answer in ("", None):
        said.append("The graph does not say what was asked: the answer is the token that the model finds likeliest.")
    if graph.model and graph.model != model.name:
        said.append(f"The graph is of the model {graph.model}; what is measured now is of {model.name}.")
    return tuple(said)
