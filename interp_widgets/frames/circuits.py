"""Feature circuits: their nodes, their edges, and how much of the model's behaviour they carry.

A node is an atom of the dictionary at a site, or what that dictionary misses there (its error), at one position or summed over
all. Its name says which: `resid_post.2/122@5`, `resid_post.2/122`, `resid_post.2/error@5`.
"""

from __future__ import annotations

import re
from typing import NamedTuple

import polars as pl

from .schema import LOGIT, PROBABILITY, SITE, TOKEN, TOKEN_ID, Column, Schema

ANSWER = "answer"
"""Name of the node that stands for what is measured."""

CIRCUIT_NODES: Schema = {
    "node": Column(
        pl.String, "name of the node: site/atom@position, site/error@position; without @ where positions are summed"
    ),
    "site": SITE,
    "layer": Column(pl.Int32, "layer, from 0; null for embed", nullable=True),
    "position": Column(
        pl.Int32, "index of the token in the prompts, from 0; null where positions are summed", nullable=True
    ),
    "token": Column(
        pl.String, "exact text of the token in the clean prompt; null where prompts differ in it", nullable=True
    ),
    "kind": Column(pl.String, "atom or error"),
    "atom": Column(pl.Int32, "index in the dictionary; null for an error", nullable=True),
    "activation": Column(pl.Float64, "in the clean prompts, mean; of an error its norm"),
    "corrupt_activation": Column(
        pl.Float64, "in the corrupt prompts, mean; 0 where there are none; of an error its norm"
    ),
    "effect": Column(
        pl.Float64, "how much of the metric goes when the node gets its corrupt value: clean minus patched, mean"
    ),
    "low": Column(
        pl.Float64, "lower end of the 95 % interval of the mean over prompts; null for one prompt", nullable=True
    ),
    "high": Column(pl.Float64, "upper end of it", nullable=True),
    "prompts": Column(pl.Int32, "number of prompts"),
    "method": Column(pl.String, "attribution, integrated_gradients or exact"),
}
"""Node effects: one row per node whose value differs between clean and corrupt, the largest effect first."""

CIRCUIT_CHECK: Schema = {
    "node": Column(pl.String, "name of the node"),
    "method": Column(pl.String, "what the estimate is: attribution, integrated_gradients or exact"),
    "effect": Column(pl.Float64, "the estimate, mean over prompts"),
    "exact": Column(pl.Float64, "of a run with the node changed, mean over prompts"),
    "exact_low": Column(pl.Float64, "lower end of the 95 % interval of that mean; null for one prompt", nullable=True),
    "exact_high": Column(pl.Float64, "upper end of it", nullable=True),
}
"""Estimated effects beside exact ones: one row per node, in the order of the estimates."""

CIRCUIT_EDGES: Schema = {
    "source": Column(pl.String, "name of the upstream node"),
    "target": Column(pl.String, "name of the downstream node, or answer"),
    "weight": Column(
        pl.Float64, "effect of the source on the metric through the target, by the direct path alone; mean"
    ),
    "low": Column(
        pl.Float64, "lower end of the 95 % interval of the mean over prompts; null for one prompt", nullable=True
    ),
    "high": Column(pl.Float64, "upper end of it", nullable=True),
}
"""Edge effects: one row per pair of kept nodes with a direct path that carries something, the largest first."""

CIRCUIT_EDGE_KINDS: Schema = {
    "source_kind": Column(pl.String, "kind of site of the upstream nodes, such as attn_out"),
    "target_kind": Column(pl.String, "kind of site of the downstream nodes, or answer"),
    "edges": Column(pl.Int32, "number of edges"),
    "weight": Column(pl.Float64, "sum of their |weight|"),
}
"""How many edges join which kinds of site: one row per pair of kinds, the heaviest first."""

CIRCUIT_FAITHFULNESS: Schema = {
    "nodes": Column(pl.Int32, "number of nodes in the circuit"),
    "threshold": Column(pl.Float64, "smallest |effect| among them; null for none", nullable=True),
    "error_nodes": Column(
        pl.String, "nodes (an error is in the circuit like any node), kept (all are) or removed (none is)"
    ),
    "metric": Column(pl.Float64, "with everything outside the circuit ablated, mean over prompts"),
    "without": Column(pl.Float64, "with the circuit ablated and all else kept, mean over prompts"),
    "faithfulness": Column(pl.Float64, "(metric - nothing) / (model - nothing); null where that is 0", nullable=True),
    "low": Column(
        pl.Float64, "lower end of its 95 % bootstrap interval over prompts; null for one prompt", nullable=True
    ),
    "high": Column(pl.Float64, "upper end of it", nullable=True),
    "completeness": Column(
        pl.Float64, "the same of `without`; near 0 where the circuit holds all that matters", nullable=True
    ),
    "completeness_low": Column(pl.Float64, "lower end of its 95 % bootstrap interval", nullable=True),
    "completeness_high": Column(pl.Float64, "upper end of it", nullable=True),
}
"""What circuits of growing size carry: one row per circuit, the smallest first."""

GRAPH_NODES: Schema = {
    "node": Column(pl.String, "name of the node, as its file has it; of a circuit site/atom@position"),
    "site": Column(pl.String, "site, such as resid_post.15; null where a file does not say", nullable=True),
    "layer": Column(pl.Int32, "layer, from 0; null for what belongs to none", nullable=True),
    "position": Column(pl.Int32, "index of the token, from 0; null where positions are summed", nullable=True),
    "token": Column(pl.String, "exact text of the token at that position; null where unknown", nullable=True),
    "kind": Column(pl.String, "atom, error, embedding (of a token), logit (what is measured) or other"),
    "atom": Column(pl.Int32, "index in the dictionary; null for all that is no atom, or unknown", nullable=True),
    "activation": Column(pl.Float64, "in the clean prompts, mean; of an error its norm", nullable=True),
    "corrupt_activation": Column(pl.Float64, "in the corrupt prompts, mean; of an error its norm", nullable=True),
    "effect": Column(pl.Float64, "how much of the metric goes when the node gets its corrupt value", nullable=True),
    "low": Column(pl.Float64, "lower end of the 95 % interval of the effect", nullable=True),
    "high": Column(pl.Float64, "upper end of it", nullable=True),
    "influence": Column(
        pl.Float64,
        "circuit-tracer: share of all influence on the logits held by this node and those with more; small means strong",
        nullable=True,
    ),
    "probability": Column(pl.Float64, "of a logit, the probability of its token", nullable=True),
    "prompts": Column(pl.Int32, "number of prompts", nullable=True),
    "method": Column(pl.String, "attribution, integrated_gradients or exact", nullable=True),
}
"""Nodes of a graph as shown or as a file has it: CIRCUIT_NODES with what a file may leave out, and what is measured as a node.
One row per node, in the order of the file."""

GRAPH_EDGES: Schema = {
    "source": Column(pl.String, "name of the upstream node"),
    "target": Column(pl.String, "name of the downstream node"),
    "weight": Column(
        pl.Float64, "of a circuit as in CIRCUIT_EDGES; of circuit-tracer the direct effect of the source on the target"
    ),
    "low": Column(pl.Float64, "lower end of the 95 % interval of the weight", nullable=True),
    "high": Column(pl.Float64, "upper end of it", nullable=True),
}
"""Edges of a graph, in the columns of CIRCUIT_EDGES."""


CIRCUIT_PREDICTION: Schema = {
    "token_id": TOKEN_ID,
    "token": TOKEN,
    "role": Column(pl.String, "answer, foil, or empty"),
    "rank": Column(pl.Int32, "of the token after the prompt, 1 is most likely"),
    "probability": PROBABILITY,
    "logit": LOGIT,
    "changed_rank": Column(pl.Int32, "the same with nodes scaled"),
    "changed_probability": Column(pl.Float64, "the same with nodes scaled"),
    "changed_logit": Column(pl.Float64, "the same with nodes scaled"),
    "metric": Column(pl.Float64, "of the prompt: mean logit of the answers less that of the foils; equal in all rows"),
    "changed_metric": Column(pl.Float64, "the same with nodes scaled"),
}
"""A prediction with nodes scaled: one row per likely token of either run, the likeliest first."""

CIRCUIT_CHANGE: Schema = {
    "pair": Column(pl.Int32, "index of the clean prompt and its pair, from 0"),
    "metric": Column(pl.Float64, "of the prompt: mean logit of its answers less that of its foils"),
    "changed_metric": Column(pl.Float64, "the same with nodes scaled"),
    "change": Column(pl.Float64, "changed_metric - metric"),
}
"""What becomes of the metric with nodes scaled: one row per clean prompt, in their order."""

CIRCUIT_CHANGE_SUMMARY: Schema = {
    "prompts": Column(pl.Int32, "number of prompts"),
    "metric": Column(pl.Float64, "mean over prompts"),
    "changed_metric": Column(pl.Float64, "the same with nodes scaled"),
    "change": Column(pl.Float64, "mean of changed_metric - metric"),
    "low": Column(
        pl.Float64,
        "lower end of the 95 % bootstrap interval of the mean change over prompts; null for one prompt",
        nullable=True,
    ),
    "high": Column(pl.Float64, "upper end of it", nullable=True),
}
"""The mean change over prompts: one row."""


class Node(NamedTuple):
    """The parts of a node's name."""

    site: str
    atom: int | None
    """None: the error."""
    position: int | None
    """None: summed over positions."""

    def __str__(self) -> str:
        unit = "error" if self.atom is None else self.atom
        return f"{self.site}/{unit}" if self.position is None else f"{self.site}/{unit}@{self.position}"


_NODE = re.compile(r"(?P<site>[^/@]+)/(?P<unit>\d+|error)(@(?P<position>\d+))?")


def parse_node(name: str) -> Node | None:
    """The parts of a node's name; None if it is none."""
    found = _NODE.fullmatch(name)
    if found is None:
        return None
    unit, position = found["unit"], found["position"]
    return Node(found["site"], None if unit == "error" else int(unit), None if position is None else int(position))
