"""How far estimated effects are from exact ones: the largest nodes, each run by itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import polars as pl

from ... import frames
from ...errors import TextError
from ...frames.circuits import parse_node
from ...progress import Progress, silent
from ...session.session import Session, Text
from .dictionaries import Dictionaries, Given, dictionaries_of
from .nodes import run_circuit
from .prompts import Prompts, Tokens, prompts_of


@dataclass(frozen=True)
class CircuitCheck:
    """Exact effects of some nodes beside the estimates."""

    nodes: pl.DataFrame
    """One row a node, as `frames.CIRCUIT_CHECK`."""
    spearman: float | None
    """Rank correlation of estimate and exact effect over these nodes; None for fewer than three, or where one is constant."""
    largest: float
    """Largest |estimate - exact|; 0 for no nodes."""


def circuit_check(
    model: Session,
    nodes: pl.DataFrame,
    *,
    clean: Text | Sequence[Text],
    corrupt: Text | Sequence[Text] | None = None,
    answer: Tokens | Sequence[Tokens] | None = None,
    foil: Tokens | Sequence[Tokens] | None = None,
    dictionaries: Given = None,
    top: int = 100,
    batch: int | None = None,
    progress: Progress = silent,
) -> CircuitCheck:
    """Runs the largest nodes of a circuit one by one and compares.

    They are chosen by their estimates, so the correlation says how well these are ranked, and nothing of nodes that were
    underestimated.

    Args:
        model, clean, corrupt, answer, foil, dictionaries, batch, progress: as they were given to `circuit`.
        nodes: what `circuit` returned.
        top: how many nodes, from the first row.

    Raises:
        TextError: a name that is no node of these dictionaries, and what `circuit` raises.
    """
    prompts, found = prompts_of(model, clean, corrupt, answer, foil), dictionaries_of(model, dictionaries)
    return run_check(model, prompts, found, nodes, top=top, batch=batch, progress=progress)


def run_check(
    model: Session,
    prompts: Prompts,
    dictionaries: Dictionaries,
    nodes: pl.DataFrame,
    *,
    top: int = 100,
    batch: int | None = None,
    progress: Progress = silent,
) -> CircuitCheck:
    """The measurement behind `circuit_check`."""
    nodes = nodes.head(top)
    names = [parse_node(name) for name in nodes["node"]]
    only = [node for node in names if node is not None and node.site in dictionaries]
    if len(only) < len(names):
        wrong = next(
            name
            for name, node in zip(nodes["node"], names, strict=True)
            if node is None or node.site not in dictionaries
        )
        raise TextError(
            f"{wrong!r} is no node of these dictionaries. Give what circuit returned, and the same dictionaries."
        )
    positions = "apart" if any(node.position is not None for node in only) else "summed"
    run = run_circuit(
        model, prompts, dictionaries, method="exact", positions=positions, batch=batch, only=only, progress=progress
    )
    exact = run.frame().select("node", exact="effect", exact_low="low", exact_high="high")
    both = nodes.select("node", "method", "effect").join(exact, on="node", how="left", maintain_order="left")
    both = both.with_columns(pl.col("exact").fill_null(0.0))  # equal in clean and corrupt: nothing goes
    rank = both.select(pl.corr("effect", "exact", method="spearman")).item() if len(both) > 2 else None
    return CircuitCheck(
        frames.check(both, frames.CIRCUIT_CHECK),
        None if rank is None or rank != rank else float(rank),
        max((abs(estimate - value) for estimate, value in both.select("effect", "exact").iter_rows()), default=0.0),
    )
