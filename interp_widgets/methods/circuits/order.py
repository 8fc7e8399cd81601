"""Which nodes a circuit of N nodes has: a frame of nodes, ranked, and the numbers of nodes worth looking at."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
import torch

from ... import frames
from ...errors import TextError

ORDERS = ("effect", "turns")
POINTS = 20
"""Sizes of circuits that are looked at unless some are asked for, about."""


@dataclass(frozen=True, eq=False)
class Listed:
    """The ranked nodes of one site, `E` in all."""

    rank: torch.Tensor
    """[E]: a circuit of N nodes has those of rank below N"""
    atom: torch.Tensor
    """[E]; -1: the error"""
    position: torch.Tensor
    """[E]; -1: all"""

    def atoms(self, length: int, below: int) -> tuple[torch.Tensor, torch.Tensor]:
        """The atoms [u] of the circuit of `below` nodes, and their ranks at each of `length` positions [T, u], [1, u] where no
        position has a node of its own; `below` or more where there is none."""
        here = (self.rank < below) & (self.atom >= 0)
        atoms, column = self.atom[here].unique(return_inverse=True)
        return atoms, _table(self.rank[here], self.position[here], column, len(atoms), length, below)

    def error(self, length: int, below: int) -> torch.Tensor:
        """[T, 1] or [1, 1]: the rank of the error."""
        here = (self.rank < below) & (self.atom < 0)
        return _table(self.rank[here], self.position[here], torch.zeros_like(self.rank[here]), 1, length, below)


def _table(
    rank: torch.Tensor, position: torch.Tensor, column: torch.Tensor, columns: int, length: int, below: int
) -> torch.Tensor:
    """[T or 1, columns]: the smallest rank of each."""
    apart = bool((position >= 0).any())
    table = torch.full((length if apart else 1, columns), below)
    for at in range(len(table)):
        here = (position == at) | (position < 0)
        table[at].scatter_reduce_(0, column[here], rank[here], "amin")
    return table


@dataclass(frozen=True, eq=False)
class Order:
    """Nodes in the order in which they come into a circuit."""

    sites: dict[str, Listed]
    """Only sites that have a node."""
    effects: np.ndarray
    """[N]: |effect| of each, in that order"""
    apart: bool
    """Whether nodes have positions."""

    def __len__(self) -> int:
        return len(self.effects)

    def threshold(self, count: int) -> float | None:
        """The smallest |effect| in a circuit of `count` nodes; nodes that are not listed have none."""
        return 0.0 if count > len(self) else float(self.effects[:count].min()) if count else None


def order_of(nodes: pl.DataFrame, sites: Iterable[str], *, errors: bool, order: str) -> Order:
    """The nodes of a frame that are at `sites`, with the errors or without, in the order "effect" or "turns".

    Raises:
        FrameError: no frame of nodes. TextError: an order that nobody knows.
    """
    if order not in ORDERS:
        raise TextError(f"The order of nodes is {' or '.join(ORDERS)}, not {order!r}.")
    kept = checked_nodes(nodes).filter(
        pl.col("site").is_in(list(sites)) & (pl.lit(errors) | (pl.col("kind") == "atom"))
    )
    size = pl.col("effect").abs()
    turn = size.rank("ordinal", descending=True).over("site") if order == "turns" else pl.lit(0)
    kept = kept.with_columns(size=size, turn=turn).sort(["turn", "size"], descending=[False, True], maintain_order=True)
    found = kept.with_row_index("rank").select(
        "site", pl.col("rank", "atom", "position").cast(pl.Int64).fill_null(-1), "size"
    )
    listed = {
        str(site): Listed(*(torch.from_numpy(part[name].to_numpy().copy()) for name in ("rank", "atom", "position")))
        for (site,), part in found.group_by("site", maintain_order=True)
    }
    apart = bool((found["position"] >= 0).any())
    return Order(listed, found["size"].to_numpy(), apart)


def checked_nodes(nodes: pl.DataFrame) -> pl.DataFrame:
    """The columns of a frame of nodes; FrameError where it is none."""
    return frames.check(
        nodes.select(name for name in frames.CIRCUIT_NODES if name in nodes.columns), frames.CIRCUIT_NODES
    )


def sizes_of(order: Order, sizes: Sequence[int] | None, thresholds: Sequence[float] | None) -> list[int]:
    """Numbers of nodes, ascending, from 0: those asked for, those of the thresholds, or about `POINTS` of equal ratio.

    Raises:
        TextError: both were given, or a number that is below 0 or above that of the nodes.
    """
    if sizes is not None and thresholds is not None:
        raise TextError("Give sizes or thresholds, not both.")
    if thresholds is not None:
        return sorted({0, *(int((order.effects >= threshold).sum()) for threshold in thresholds)})
    if sizes is None:
        grid = np.geomspace(1, max(1, len(order)), POINTS).round().astype(int).tolist()
        return sorted({0, *(size for size in grid if size <= len(order))})
    if bad := [size for size in sizes if not 0 <= size <= len(order)]:
        raise TextError(f"There are {len(order)} nodes to keep, so a circuit of {bad[0]} cannot be made.")
    return sorted({0, *map(int, sizes)})
