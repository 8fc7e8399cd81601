"""Sentences beside a circuit: what it rests on, and what it cannot tell."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from ..graphs.page import error_share
from .circuit_traits import NODES
from .wording import counted, number, percent

if TYPE_CHECKING:
    from ..session.session import Session
    from .circuit_found import Found

_METHODS = {
    "attribution": "Effects are first-order estimates (attribution): one gradient at the clean prompts.",
    "integrated_gradients": "Effects are estimates by integrated gradients, a site at a time.",
    "exact": "Effects are exact: a run for each node.",
    "": "The file does not say how its effects were found.",
}


def notes(model: Session, found: Found) -> list[str]:
    """What belongs beside the result, a sentence each."""
    nodes, said = found.nodes, [*found.remarks, _METHODS[found.method] + _checked(found)]
    if found.prompts.batches[0].corrupt is None:
        said.append("There are no corrupt prompts, so a node is set to zero, which the model may never have seen.")
    if found.prompts.count == 1:
        said.append("One prompt: there are no intervals, and the circuit may be of these words alone.")
    if nodes.is_empty():
        return [*said, "Every node has the same value in the clean and the corrupt prompts."]
    if share := error_share(nodes):
        said.append(f"What the dictionaries miss (errors) holds {percent(share)} of the summed |effect|.")
    if found.edges is not None:
        said.append(
            f"Edges are first-order estimates of the direct path, among the {counted(found.edged, 'strongest node')} "
            f"of {nodes.height:,}."
        )
    if nodes.height > NODES:
        said.append(f"The {NODES:,} strongest nodes are drawn; .frame has all {nodes.height:,}.")
    return said + _unknown(model, found)


def _checked(found: Found) -> str:
    if found.check is None:
        return ""
    count = counted(found.check.nodes.height, "strongest node")
    rank = "" if found.check.spearman is None else f", rank correlation {number(found.check.spearman)}"
    return f" Of the {count} they are off by {number(found.check.largest)} at most from exact effects{rank}."


def _unknown(model: Session, found: Found) -> list[str]:
    from .lens import unknown_words

    ids = pl.concat([pl.Series("token_id", batch.clean.flatten().tolist()) for batch in found.prompts.batches])
    return unknown_words(model, ids.to_frame())
