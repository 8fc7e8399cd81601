"""A circuit's nodes as they stand: sums over prompts site by site, and what can be asked of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import polars as pl
import torch

from ... import frames
from ...session.session import Session
from ..pair_statistics import student
from .prompts import Prompts
from .reading import Piece, Reading


@dataclass(eq=False)
class Tally:
    """Nodes of one site, summed over prompts. `K` nodes; a node is a position (0 where positions are summed) and a unit.

    The unit after the last atom is the error.
    """

    width: int
    """Number of atoms."""
    key: torch.Tensor = field(default_factory=lambda: torch.empty(0, dtype=torch.long))
    """[K], ascending: position * (width + 1) + unit"""
    sums: torch.Tensor = field(default_factory=lambda: torch.empty(5, 0, dtype=torch.float64))
    """[5, K]: effect, its square, clean and corrupt activation, number of prompts in which the node differs"""

    def add(self, prompt: torch.Tensor, key: torch.Tensor, numbers: torch.Tensor) -> None:
        """More entries [E], `numbers` [4, E]: effect, clean, corrupt, differs. All entries of a prompt come in one call."""
        span = int(key.max()) + 1 if len(key) else 1
        both, numbers = _grouped(prompt * span + key, numbers)
        effect, clean, corrupt, differs = numbers
        own = torch.stack([effect, effect**2, clean, corrupt, (differs > 0).double()])
        self.key, self.sums = _grouped(torch.cat([self.key, both % span]), torch.cat([self.sums, own], 1))

    @property
    def position(self) -> torch.Tensor:
        return self.key // (self.width + 1)

    @property
    def unit(self) -> torch.Tensor:
        return self.key % (self.width + 1)


@dataclass(eq=False)
class CircuitRun:
    """Node effects; while it is computed, of the sites and prompts that are done."""

    prompts: Prompts
    method: str
    positions: str
    """apart or summed"""
    sites: list[str]
    """in the order of the forward pass"""
    layers: list[int | None]
    metric: torch.Tensor
    """[n], float64: of each clean prompt"""
    corrupt_metric: torch.Tensor | None
    found: dict[str, Tally] = field(default_factory=dict)
    residual: dict[str, float] = field(default_factory=dict)
    """Site -> the effect of changing all of it at once less the sum of its nodes' effects, mean over prompts. Integrated gradients
    only: the first order has no such sum, and single exact effects need not add up."""
    done: int = 0
    """Prompts that are in the sums of every site."""

    def note(self, piece: Piece, reading: Reading) -> None:
        """The metrics of some prompts."""
        self.metric[piece.batch.rows] = reading.metric
        if self.corrupt_metric is not None and reading.corrupt_metric is not None:
            self.corrupt_metric[piece.batch.rows] = reading.corrupt_metric

    @property
    def count(self) -> int:
        """Number of nodes."""
        return sum(int((tally.sums[4] > 0).sum()) for tally in self.found.values())

    def heat(self) -> torch.Tensor:
        """[T, sites], float64: sum of |effect| over all nodes of a token and site; [1, sites] where positions are summed."""
        rows = self.prompts.length if self.positions == "apart" else 1
        heat = torch.zeros(rows or 1, len(self.sites), dtype=torch.float64)
        for column, site in enumerate(self.sites):
            if site in self.found:
                tally = self.found[site]
                heat[:, column].index_add_(0, tally.position, tally.sums[0].abs() / self.prompts.count)
        return heat

    def frame(self, top: int | None = None) -> pl.DataFrame:
        """The nodes, or the `top` largest of them (see `frames.CIRCUIT_NODES`)."""
        count = self.prompts.count
        sites = [site for site in self.sites if site in self.found]
        tallies = [self.found[site] for site in sites]
        empty = torch.empty(0, dtype=torch.long)
        at = torch.cat([torch.full_like(tally.key, i) for i, tally in enumerate(tallies)] or [empty])
        position = torch.cat([tally.position for tally in tallies] or [empty])
        unit = torch.cat([torch.where(tally.unit == tally.width, -1, tally.unit) for tally in tallies] or [empty])
        sums = torch.cat([tally.sums for tally in tallies] or [torch.empty(5, 0, dtype=torch.float64)], 1)
        order = sums[0].abs().argsort(descending=True, stable=True)
        order = order[sums[4, order] > 0][:top]
        at, position, unit, sums = at[order], position[order], unit[order], sums[:, order]
        mean = sums / count
        half = half_width(sums[0], sums[1], count)
        apart, tokens = self.positions == "apart", self.prompts.tokens
        data = pl.DataFrame({"at": at.numpy(), "position": position.numpy(), "unit": unit.numpy()})
        site, where = _named(pl.col("at"), sites), pl.col("position")
        name = pl.when(pl.col("unit") < 0).then(pl.lit("error")).otherwise(pl.col("unit").cast(pl.String))
        layers = dict(zip(self.sites, self.layers, strict=True))
        frame = data.select(
            pl.concat_str([site, pl.lit("/"), name, *([pl.lit("@"), where] if apart else [])]).alias("node"),
            site.alias("site"),
            _named(pl.col("at"), [layers[site] for site in sites], pl.Int32).alias("layer"),
            (where if apart else pl.lit(None)).cast(pl.Int32).alias("position"),
            pl.lit(None, pl.String).alias("token") if not apart
            else _named(where, tokens).alias("token"),
            pl.when(pl.col("unit") < 0).then(pl.lit("error")).otherwise(pl.lit("atom")).alias("kind"),
            pl.when(pl.col("unit") >= 0).then(pl.col("unit")).cast(pl.Int32).alias("atom"),
            pl.Series("activation", mean[2].numpy()),
            pl.Series("corrupt_activation", mean[3].numpy()),
            pl.Series("effect", mean[0].numpy()),
            pl.Series("low", (mean[0] - half).numpy()) if half is not None else pl.lit(None, pl.Float64).alias("low"),
            pl.Series("high", (mean[0] + half).numpy()) if half is not None else pl.lit(None, pl.Float64).alias("high"),
            pl.lit(count, pl.Int32).alias("prompts"),
            pl.lit(self.method).alias("method"),
        )  # fmt: skip
        return frames.check(frame, frames.CIRCUIT_NODES)


def _named(index: pl.Expr, names: Sequence[Any], dtype: Any = pl.String) -> pl.Expr:
    return pl.lit(pl.Series(names, dtype=dtype)).gather(index)


def half_width(total: torch.Tensor, squares: torch.Tensor, count: int) -> torch.Tensor | None:
    """[K]: half the 95 % t interval of the mean over prompts; None for one prompt."""
    if count < 2:
        return None
    variance = (squares - total**2 / count).clamp(min=0) / (count - 1)
    return student(count - 1) * (variance / count).sqrt()


def _grouped(key: torch.Tensor, numbers: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Each key once, ascending, with the sums of its numbers [m, E]."""
    if len(key) < 2 or bool((key[1:] > key[:-1]).all()):
        return key, numbers
    unique, inverse = key.unique(return_inverse=True)
    return unique, numbers.new_zeros(len(numbers), len(unique)).index_add_(1, inverse, numbers)


def new_run(model: Session, prompts: Prompts, sites: Sequence[str], method: str, positions: str) -> CircuitRun:
    """A run before anything is computed."""
    layers = [model.site(site).layer for site in sites]
    nothing = torch.zeros(prompts.count, dtype=torch.float64)
    corrupt = None if prompts.batches[0].corrupt is None else nothing.clone()
    return CircuitRun(prompts, method, positions, list(sites), layers, nothing, corrupt)
