"""What a circuit is made of, read once: some prompts at all sites, in one pass over the clean ones and one over the corrupt.

Only tokens that count are kept, those of all prompts in one list. Dictionaries are not needed here, so where the model is on a
server none travels.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import torch

from ...session.runner import Runner
from ...session.session import Session
from ..splicing import TOKENS_AT_ONCE, resume
from .passes import Values, gradients
from .prompts import Batch, Prompts

GRAPH = 1 << 30
"""Bytes that a pass may keep for its gradients: 1 GB."""
KEPT = 1 << 28
"""Bytes of activations kept at a time: 256 MB."""


@dataclass(frozen=True, eq=False)
class Piece:
    """As many prompts of one length as a pass takes at once."""

    batch: Batch
    at: torch.Tensor
    """[n, T]: which tokens are read; `C` in all"""
    reached: torch.Tensor
    """[C]: those that a difference between clean and corrupt can reach: its first token and all after it"""

    @property
    def prompt(self) -> torch.Tensor:
        """[C]: which prompt of the set each token is of."""
        return self.batch.rows[self.row]

    @property
    def row(self) -> torch.Tensor:
        """[C]: which prompt of this piece each token is of."""
        return self.at.nonzero()[:, 0]

    @property
    def position(self) -> torch.Tensor:
        """[C]"""
        return self.at.nonzero()[:, 1]


@dataclass(frozen=True, eq=False)
class Reading:
    """A piece at all sites, float32."""

    metric: torch.Tensor
    """[n], float64: of the clean prompts"""
    corrupt_metric: torch.Tensor | None
    clean: Values
    """[n, T, d]"""
    corrupt: Values | None
    """[C, d]; equal to the clean ones where no difference reaches"""
    gradient: Values
    """[C, d]: of the metric, at the clean prompts; empty where it was not asked for"""
    streams: Values
    """[n, T, width]: what runs with other values at the sites go on from (`splicing.resume`); empty beside gradients"""


def parts_of(
    model: Session, prompts: Prompts, sites: Sequence[str], *, apart: bool, batch: int | None = None
) -> Iterator[list[Piece]]:
    """The prompts in pieces, as many pieces at a time as can be kept at all sites.

    Args:
        apart: whether positions are nodes of their own. Then those that no difference reaches in any prompt are left out; summed
            they are read, for the activations.
        batch: prompts of a piece; default as many as `tokens_at_once` allows.
    """
    size = 3 * 4 * sum(model.size(site) for site in sites)
    part: list[Piece] = []
    held = 0
    for whole in prompts.batches:
        at, reached = whole.counted, _reached(whole)
        if apart:
            at = at & (at & reached).any(0)
        step = batch or max(1, tokens_at_once(model) // whole.clean.shape[1])
        for begin in range(0, len(whole), step):
            here = at[begin : begin + step]
            piece = Piece(whole.take(begin, begin + step), here, reached[begin : begin + step][here])
            cost = int(here.sum()) * size
            if part and held + cost > KEPT:
                yield part
                part, held = [], 0
            part.append(piece)
            held += cost
    yield part


def tokens_at_once(model: Runner) -> int:
    """Prompts x tokens of a pass that keeps what its gradients need: about 20 numbers a layer for each of the stream's."""
    return max(1, min(TOKENS_AT_ONCE, GRAPH // (model.num_layers * model.width * 20 * 4)))


def read_piece(model: Runner, piece: Piece, sites: Sequence[str], slope: bool) -> Reading:
    """One pass over the clean prompts, with `slope` forwards and backwards, and one over the corrupt."""
    batch = piece.batch
    gradient: Values = {}
    streams: Values = {}
    if slope:
        metric, clean, whole = gradients(model, batch, sites)
        gradient = {site: _at(value, piece) for site, value in whole.items()}
    else:
        bases = dict.fromkeys(resume(model, site).base for site in sites)
        metric, clean, streams = _measured(model, batch, batch.clean, sites, bases)
    if batch.corrupt is None:
        return Reading(metric, None, clean, None, gradient, streams)
    corrupt_metric, corrupt, _ = _measured(model, batch, batch.corrupt, sites)
    for site, value in corrupt.items():
        same = ~piece.reached.to(value.device)
        corrupt[site] = _at(value, piece)
        corrupt[site][same] = _at(clean[site], piece)[same]
    return Reading(metric, corrupt_metric, clean, corrupt, gradient, streams)


def _reached(batch: Batch) -> torch.Tensor:
    """[n, T]: tokens that a difference reaches, by causality; all where there is nothing to compare with."""
    if batch.corrupt is None:
        return torch.ones_like(batch.counted)
    return (batch.clean != batch.corrupt).cumsum(1) > 0


def _at(value: torch.Tensor, piece: Piece) -> torch.Tensor:
    """[n, T, d] -> [C, d]"""
    return value[piece.at.to(value.device)]


def _measured(
    model: Runner, batch: Batch, ids: torch.Tensor, sites: Sequence[str], streams: Iterable[str] = ()
) -> tuple[torch.Tensor, Values, Values]:
    """The metric [n] of the batch run as `ids`, and of that run the activations and streams."""
    metric = batch.metric

    def then(values: Values) -> tuple[torch.Tensor, Values, Values]:
        found = metric.measure(model, values[metric.reads], torch.arange(len(batch))).double().cpu()
        return found, {site: values[site].float() for site in sites}, {name: values[name].clone() for name in streams}

    out: tuple[torch.Tensor, Values, Values] = model.run(
        ids.tolist(), dict.fromkeys([*sites, *streams, metric.reads]), then=then
    )
    return out
