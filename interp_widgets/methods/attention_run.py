"""All heads of a text at once, small enough to be shown: scores, thumbnails, and weights in eight bits.

A weight w is kept as round(255 sqrt(w)): to 0.4% where it is near 1, to 0.02% where it is near 0.002, so that a head which looks at
hundreds of tokens alike does not vanish. A pattern is causal, so its lower triangle is all of it. Exact weights are
`attention`'s.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import polars as pl
import torch

from ..progress import Progress, silent
from ..session.session import Session, Text
from .head_scores import measure_heads
from .patterns import LayerPattern, each_layer

THUMBNAIL = 24
"""Rows of a thumbnail at most: a longer pattern is pooled to as many, each cell the largest weight under it."""

KEEP = 128_000_000
"""Bytes of triangles that a run keeps; of a text with more, a layer is read again when it is asked for."""
FETCH = 2_000_000
"""The same where they come from a server."""


class Triangles(NamedTuple):
    """The patterns of one layer in eight bits, and the numbers that give the bytes their meaning."""

    bytes: torch.Tensor
    """[heads, n (n + 1) / 2] uint8: 255 sqrt(weight / top); row by row, query q has q + 1 keys"""
    top: torch.Tensor
    """[heads]: what 255 stands for; 1 for plain weights"""
    peak: torch.Tensor
    """[heads]: the largest weight beside query 0 and key 0, where the colour scale ends"""


@dataclass(frozen=True)
class AttentionRun:
    """What one pass over a text measured; `L` layers, `H` heads, `n` tokens, `s` rows of a thumbnail."""

    tokens: pl.DataFrame
    layers: list[int]
    scores: torch.Tensor
    """[L, scores, H] float32, see `head_scores.SCORES`; NaN where undefined"""
    thumbnails: torch.Tensor
    """[L, H, s (s + 1) / 2] uint8: 255 sqrt(weight) without key 0, pooled"""
    triangles: dict[int, Triangles]
    """Layers that are kept: all, or none where they would take more than `KEEP`, or `FETCH` for a model on a server."""

    @property
    def ids(self) -> list[int]:
        return self.tokens["token_id"].to_list()

    @property
    def thumbnail(self) -> int:
        """`s`"""
        return min(THUMBNAIL, len(self.tokens))


def run_attention(model: Session, text: Text, *, progress: Progress = silent) -> AttentionRun:
    """Every head of every layer in one pass.

    Raises:
        TextError, SiteError: as `attention.attention`.
    """
    ids = model.encode(text)
    layers = list(range(model.num_layers))
    size = len(layers) * model.num_heads * len(ids) * (len(ids) + 1) // 2
    keep = size <= (FETCH if model.apart else KEEP)

    def reduce(layer: LayerPattern) -> tuple[torch.Tensor, torch.Tensor, Triangles | None]:
        small = thumbnails(layer.pattern, min(THUMBNAIL, len(ids)))
        return measure_heads(layer.pattern, ids), small, _triangles(layer) if keep else None

    found = model.work(each_layer, ids, layers, reduce, progress=progress)
    return AttentionRun(
        model.tokens(ids),
        layers,
        torch.stack([scores for scores, _, _ in found]),
        torch.stack([small for _, small, _ in found]),
        {layer: kept for layer, (_, _, kept) in zip(layers, found, strict=True) if kept is not None},
    )


def layer_triangles(model: Session, ids: Sequence[int], layer: int, *, value_weighted: bool = False) -> Triangles:
    """The patterns of one layer, or its value-weighted patterns, read by one more pass up to that layer.

    Raises:
        SiteError: a model whose attention or values cannot be read.
    """
    return model.work(each_layer, list(ids), [layer], _triangles, values=value_weighted)[0]


def thumbnails(pattern: torch.Tensor, size: int) -> torch.Tensor:
    """Pooled triangles [heads, size (size + 1) / 2] of a layer's pattern; key 0 is left out, unless it is all there is."""
    weight = pattern.float()
    if weight.shape[-1] > 1:
        weight = weight.index_fill(-1, torch.zeros(1, dtype=torch.long, device=weight.device), 0)
    return _lower(_eight_bits(torch.nn.functional.adaptive_max_pool2d(weight, size))).cpu()


def _triangles(layer: LayerPattern) -> Triangles:
    weight = layer.pattern.float()
    top = torch.ones(len(weight), device=weight.device)
    if layer.value_norm is not None:
        weight = weight * layer.value_norm[:, None]
        top = weight.amax((1, 2)).clamp(min=1e-30)
    peak = weight[:, 1:, 1:].amax((1, 2)) if weight.shape[-1] > 1 else weight.amax((1, 2))
    return Triangles(_lower(_eight_bits(weight / top[:, None, None])).cpu(), top.cpu(), peak.cpu())


def _eight_bits(weight: torch.Tensor) -> torch.Tensor:
    return (weight.clamp(0, 1).sqrt() * 255).round().to(torch.uint8)


def _lower(square: torch.Tensor) -> torch.Tensor:
    """The lower triangles of [heads, n, n], row by row."""
    rows, columns = torch.tril_indices(square.shape[-1], square.shape[-1], device=square.device)
    return square[:, rows, columns]
