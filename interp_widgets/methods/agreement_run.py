"""What two sessions say of one text, compared cell by cell: the arithmetic behind `agreement`.

Each session reads the text once for each block of positions. What the first one says (its residual streams, and logits of some
or all tokens) goes to the second one, which compares where it runs; only numbers per cell and short lists come back.

The total variation of p and q is the sum of max(0, p - q). Over the tokens listed it is summed as it stands. What is left of
the vocabulary, of mass r under p, adds r times the mean of max(0, 1 - q / p) over tokens that p draws there: an unbiased
estimate whose standard error is known. With the whole vocabulary listed nothing is left, and the value is exact.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl
import torch

from ..progress import Progress
from ..session.session import Session
from .ranking import top_k as largest

NUMBERS = 64_000_000
"""Logits of the first session that are kept at once, as float32: 256 MB."""

Reduce = Callable[[dict[str, torch.Tensor]], Any]
"""What runs where a model is, on what was read of it."""

Said = dict[str, torch.Tensor]
"""What a session says of the cells of one layer: see `_said`."""


@dataclass(frozen=True)
class Asked:
    """What is compared: which rows, how many listed tokens, and how the vocabulary is covered."""

    ids: list[int]
    layers: tuple[list[int], list[int]]
    """Layers of the first and of the second session, row by row."""
    top_k: int
    listed: int | None
    """Likeliest tokens of the first session that are compared one by one; None for the whole vocabulary."""
    drawn: int
    """Further tokens that the first session draws from its own distribution."""
    seed: int


@dataclass(frozen=True)
class AgreementRun:
    """All that was measured; `L` rows, `P` positions, `K` listed tokens. Float32 or int64 on the CPU.

    What is [2, ...] is of `model`, then of `other`.
    """

    tokens: pl.DataFrame
    layers: list[int]
    """Layer of `model` for each row; the last row is the output of both."""
    positions: list[int]
    top_ids: torch.Tensor
    """[2, L, P, K]"""
    top_probabilities: torch.Tensor
    """[2, L, P, K]"""
    there: torch.Tensor
    """[2, L, P, K]: probability of the same token in the other session, NaN where it was not compared"""
    total_variation: torch.Tensor
    """[L, P]"""
    error: torch.Tensor
    """[L, P]: standard error of the total variation, 0 where it is exact"""
    logit_difference: torch.Tensor
    """[L, P]"""
    residual_difference: torch.Tensor
    """[L, P], NaN where the widths differ"""
    masked: list[int]
    compared: int | None
    """Tokens compared in each cell; None for the whole vocabulary."""


def run_pair(
    first: Session, second: Session, asked: Asked, positions: list[int], progress: Progress
) -> dict[str, torch.Tensor]:
    """Both sessions, block by block of positions: `_compared` of every cell, [L, P, ...], and `norms` [L, T] of the first."""
    step = len(positions)
    if asked.listed is None:
        step = max(1, NUMBERS // (len(asked.layers[0]) * first.vocabulary_size))
    blocks = [positions[i : i + step] for i in range(0, len(positions), step)]
    done: list[dict[str, torch.Tensor]] = []
    for i, at in enumerate(blocks):
        progress(2 * i, 2 * len(blocks), f"reading with {first.name}")
        said = first.run([asked.ids], _sites(asked.layers[0]), then=telling(first, asked, at))
        progress(2 * i + 1, 2 * len(blocks), f"comparing with {second.name}")
        done.append(second.run([asked.ids], _sites(asked.layers[1]), then=comparing(second, asked, at, said)))
        norms = said["norms"].cpu()
    progress(2 * len(blocks), 2 * len(blocks), "compared")
    return {name: torch.cat([part[name] for part in done], dim=1) for name in done[0]} | {"norms": norms}


def telling(model: Session, asked: Asked, at: list[int]) -> Reduce:
    """Reduces a run to what the other session needs: `norms` [L, T], `streams` [L, P, width], `cells`: `_said` of each row."""
    sites = _sites(asked.layers[0])
    top_k, listed, drawn, seed = asked.top_k, asked.listed, asked.drawn, asked.seed

    def reduce(values: dict[str, torch.Tensor]) -> dict[str, Any]:
        streams = torch.stack([values[site][0] for site in sites])
        generator = torch.Generator(streams.device).manual_seed(seed)
        cells = []
        for stream in streams[:, at]:
            logits = model.unembed(stream).float()
            cells.append(_said(logits, top_k, listed, drawn, generator))
        return {"norms": streams.float().norm(dim=-1), "streams": streams[:, at], "cells": tuple(cells)}

    return reduce


def comparing(model: Session, asked: Asked, at: list[int], said: dict[str, Any]) -> Reduce:
    """Reduces a run to `_compared` of every cell, [L, P, ...], with what the first session `said`."""
    sites = _sites(asked.layers[1])
    top_k, listed = asked.top_k, asked.listed

    def reduce(values: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        rows = []
        for site, stream, cell in zip(sites, said["streams"], said["cells"], strict=True):
            own = values[site][0][at]
            there = {name: x.to(own.device, torch.long if name == "ids" else x.dtype) for name, x in cell.items()}
            row = _compared(model.unembed(own).float(), there, top_k, listed)
            row["residual_difference"], row["residual_difference_back"] = _streams_differ(stream.to(own.device), own)
            rows.append({name: x.cpu() for name, x in row.items()})
        return {name: torch.stack([row[name] for row in rows]) for name in rows[0]}

    return reduce


def _sites(layers: Sequence[int]) -> list[str]:
    return [f"resid_post.{layer}" for layer in layers]


def _said(logits: torch.Tensor, top_k: int, listed: int | None, drawn: int, generator: torch.Generator) -> Said:
    """The `logits` [P, vocabulary] of one row of cells, or of some tokens, and what makes probabilities of them.

    exp(logit - best) / total is the probability of a token. With `listed`, `ids` are the likeliest tokens, and then those
    drawn from the rest.
    """
    best = logits.amax(-1, keepdim=True)
    weights = (logits - best).exp_()
    out = {"best": best, "total": weights.sum(-1, keepdim=True), "top_ids": largest(logits, top_k)[1]}
    if listed is None:
        return out | {"logits": logits}
    ids = largest(logits, listed)[1]
    rest = weights.scatter_(-1, ids, 0.0).nan_to_num_(0.0, 0.0, 0.0)
    rest[rest.sum(-1) <= 0] = 1.0  # nothing is left to draw from: any token will do, it counts for nothing
    ids = torch.cat([ids, torch.multinomial(rest, drawn, replacement=True, generator=generator)], dim=-1)
    return out | {"ids": ids.int(), "logits": logits.gather(-1, ids)}  # half the bytes to travel


def _compared(own: torch.Tensor, said: Said, top_k: int, listed: int | None) -> dict[str, torch.Tensor]:
    """One row of cells: `own` logits [P, vocabulary] of the second session against what the first one `said` of its own.

    A token that a vocabulary does not have counts as one of probability 0.
    """
    best = own.amax(-1, keepdim=True)
    total = (own - best).exp_().sum(-1, keepdim=True)
    here = _at(own, said.get("ids"), said["logits"].shape[-1])
    up, down = said["logits"] - said["best"], here - best
    p, q = up.exp() / said["total"], down.exp() / total
    count = p.shape[-1] if listed is None else listed
    tv = (p - q)[:, :count].clamp_(min=0).sum(-1)
    error = torch.zeros_like(tv)
    if count < p.shape[-1]:
        rest = (1 - p[:, :count].sum(-1)).clamp(min=0)
        ratio = (down - up)[:, count:].exp() * said["total"] / total
        lost = (1 - ratio).clamp_(min=0)
        tv = tv + rest * lost.mean(-1)
        error = rest * lost.std(-1) / lost.shape[-1] ** 0.5
    top_ids = largest(own, top_k)[1]
    both = torch.stack([said["top_ids"], top_ids])
    return {
        "top_ids": both.transpose(0, 1),
        "top_first": _probabilities(both, said["logits"], said.get("ids"), said["best"], said["total"]).transpose(0, 1),
        "top_second": _probabilities(both, own, None, best, total).transpose(0, 1),
        "total_variation": tv,
        "error": error,
        "logit_difference": (said["logits"] - here).abs().masked_fill(here == -torch.inf, 0).amax(-1),
    }


def _at(logits: torch.Tensor, ids: torch.Tensor | None, count: int) -> torch.Tensor:
    """The logits [P, m] of some tokens, or of the first `count`; -inf for those that this vocabulary does not have."""
    if ids is not None:
        there = ids < logits.shape[-1]
        return logits.gather(-1, ids.where(there, 0)).masked_fill(~there, -torch.inf)
    if logits.shape[-1] >= count:
        return logits[:, :count]
    return torch.nn.functional.pad(logits, (0, count - logits.shape[-1]), value=-torch.inf)


def _probabilities(
    wanted: torch.Tensor, logits: torch.Tensor, ids: torch.Tensor | None, best: torch.Tensor, total: torch.Tensor
) -> torch.Tensor:
    """Probabilities of tokens `wanted` [2, P, K] from logits of all tokens, or of `ids` [P, m]; NaN for one not among these."""
    if ids is None:
        return torch.stack([(_at(logits, one, 0) - best).exp() / total for one in wanted])
    same = ids[None, :, None, :] == wanted[..., None]
    found = logits.expand(len(wanted), -1, -1).gather(-1, same.int().argmax(-1))
    return ((found - best).exp() / total).masked_fill(~same.any(-1), torch.nan)


def _streams_differ(first: torch.Tensor, second: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """|h - h'| / |h| and / |h'| of streams [P, width]; NaN where the widths differ."""
    if first.shape != second.shape:
        nothing = torch.full(first.shape[:1], torch.nan)
        return nothing, nothing
    first, second = first.float(), second.float()
    difference = (first - second).norm(dim=-1)
    return difference / first.norm(dim=-1), difference / second.norm(dim=-1)
