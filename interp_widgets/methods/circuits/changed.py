"""Runs with other values at one site, everything else at the clean prompts; nothing below the site is computed again."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from ...progress import Progress, silent
from ...session.runner import Runner
from ..splicing import TOKENS_AT_ONCE, go_on
from .reading import Piece, tokens_at_once


@dataclass(frozen=True, eq=False)
class Changes:
    """`R` runs; in each, the site of one prompt moves along directions at some tokens. `E` such moves, `U` directions."""

    row: torch.Tensor
    """[R]: prompt of the piece"""
    run: torch.Tensor
    """[E], ascending"""
    token: torch.Tensor
    """[E]: index among the tokens that are read"""
    direction: torch.Tensor
    """[E]: row of `directions`"""
    amount: torch.Tensor
    """[E]"""
    directions: torch.Tensor
    """[U, d]"""


def slope_along(
    model: Runner, piece: Piece, site: str, whole: torch.Tensor, base: torch.Tensor, start: torch.Tensor, steps: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """The gradient of the metric [C, d], mean over midpoints of the way from `start` [C, d] to the clean activation, all tokens of
    a prompt moving together; and the metric of each prompt at `start` [n], float64.

    `whole` [n, T, d], `base` [n, T, width]: of the clean prompts the activation, and the stream that a run goes on from.
    """
    at = piece.at.to(whole.device)
    end = whole[at]
    way = torch.cat([(torch.arange(steps, device=whole.device) + 0.5) / steps, torch.zeros(1, device=whole.device)])
    total, count = torch.zeros_like(end), len(piece.batch)
    last = torch.empty(0)
    step = max(1, tokens_at_once(model) // piece.at.numel())
    for begin in range(0, len(way), step):
        here = way[begin : begin + step]
        with torch.enable_grad():
            leaf = (start + here[:, None, None] * (end - start)).detach().requires_grad_()
            put = whole.repeat(len(here), 1, 1, 1)
            put[:, at] = leaf
            put = put.flatten(0, 1)
        inside = len(here) - (begin + step >= len(way))  # the last point is the start itself, and counts for nothing

        def slope(
            value: torch.Tensor, here: int = len(here), leaf: torch.Tensor = leaf, inside: int = inside
        ) -> tuple[torch.Tensor, torch.Tensor]:
            found = piece.batch.metric.measure(model, value, torch.arange(count).repeat(here))
            metric = found.unflatten(0, (here, count))
            slopes = torch.autograd.grad(metric[:inside].sum(), leaf, materialize_grads=True)[0].detach()
            return slopes.sum(0), metric[-1].detach().double().cpu()

        found, last = go_on(
            model,
            piece.batch.clean.repeat(len(here), 1),
            site,
            put,
            base,
            slope,
            reads=piece.batch.metric.reads,
            grad=True,
        )
        total += found
    return total / steps, last


def changed_metrics(
    model: Runner,
    piece: Piece,
    site: str,
    whole: torch.Tensor,
    base: torch.Tensor,
    changes: Changes,
    progress: Progress = silent,
) -> torch.Tensor:
    """[R], float64: the metric of each run. `whole`, `base`: as in `slope_along`."""
    position = piece.position.to(whole.device)
    ends = torch.searchsorted(changes.run, torch.arange(len(changes.row) + 1, device=changes.run.device)).tolist()
    found, ids = [], piece.batch.clean
    step = max(1, TOKENS_AT_ONCE // piece.at.shape[1])
    for begin in range(0, len(changes.row), step):
        progress(begin, len(changes.row), site)
        row = changes.row[begin : begin + step].to(whole.device)
        moves = slice(ends[begin], ends[begin + len(row)])
        put = whole[row]
        vectors = changes.directions[changes.direction[moves]] * changes.amount[moves, None]
        put.index_put_((changes.run[moves] - begin, position[changes.token[moves]]), vectors, accumulate=True)

        def measure(value: torch.Tensor, row: torch.Tensor = row) -> torch.Tensor:
            return piece.batch.metric.measure(model, value, row).double().cpu()

        found.append(go_on(model, ids[row.cpu()], site, put, base[row], measure, reads=piece.batch.metric.reads))
    return torch.cat(found) if found else torch.empty(0, dtype=torch.float64)
