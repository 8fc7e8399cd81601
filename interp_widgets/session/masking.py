"""Which positions to leave out of scales, sums and probes.

Models without a BOS token often use the first position as an attention sink, with a residual norm far above all others (in
SmolLM2-135M 140 times the median). Left in, it would be the only thing that a colour scale shows.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from .runner import Runner

OUTLIER = 5.0
"""Norm above the median at which a position counts as a sink; the bundled SmolLM2 SAE dropped the same tokens."""


def sinks(model: Runner, token_ids: Sequence[int], norms: torch.Tensor) -> list[int]:
    """Positions to mask: norm outliers, leading markers such as <s>, and position 0 of a model known to need it.

    `norms` is [positions] or [layers, positions]; over layers, half of them must agree. A text of fewer than three tokens
    has no meaningful median, so only what is known beforehand is masked there.
    """
    masked = sink_mask(model, torch.tensor([list(token_ids)]), norms.reshape(-1, 1, norms.shape[-1]))
    return masked[0].nonzero().flatten().tolist()


def sink_mask(
    model: Runner, ids: torch.Tensor, norms: torch.Tensor, lengths: torch.Tensor | None = None
) -> torch.Tensor:
    """`sinks` of many texts at once, as a boolean tensor [texts, positions].

    Args:
        ids: [texts, positions].
        norms: [layers, texts, positions].
        lengths: [texts], where texts are padded on the right; what is beyond is not masked. Default: all are full.
    """
    norms = norms.float()
    positions = torch.arange(ids.shape[1], device=norms.device)
    inside = (
        positions < (torch.full((len(ids),), ids.shape[1]) if lengths is None else lengths).to(norms.device)[:, None]
    )
    median = norms.masked_fill(~inside, torch.nan).nanmedian(-1, keepdim=True).values
    outliers = ((norms > OUTLIER * median.clamp(min=1e-30)).float().mean(0) >= 0.5) & (inside.sum(-1) >= 3)[:, None]
    marker = torch.tensor([model.sink or model.is_special(first) for first in ids[:, 0].tolist()], device=norms.device)
    return (outliers | (marker[:, None] & (positions == 0))) & inside
