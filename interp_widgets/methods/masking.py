"""Which positions to leave out of scales, sums and probes.

Models without a BOS token often use the first position as an attention sink, with a residual norm far above all others (in
SmolLM2-135M 140 times the median). Left in, it would be the only thing that a colour scale shows.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from ..session.session import Session

OUTLIER = 5.0
"""Norm above the median at which a position counts as a sink; the bundled SmolLM2 SAE dropped the same tokens."""


def sinks(model: Session, token_ids: Sequence[int], norms: torch.Tensor) -> list[int]:
    """Positions to mask: norm outliers, leading markers such as <s>, and position 0 of a model known to need it.

    `norms` is [positions] or [layers, positions]; over layers, half of them must agree. A text of fewer than three tokens
    has no meaningful median, so only what is known beforehand is masked there.
    """
    masked = {0} if model.sink or model.is_special(token_ids[0]) else set()
    norms = norms.reshape(-1, norms.shape[-1]).float()
    if norms.shape[-1] >= 3:
        ratio = norms / norms.median(-1, keepdim=True).values.clamp(min=1e-30)
        masked |= set(((ratio > OUTLIER).float().mean(0) >= 0.5).nonzero().flatten().tolist())
    return sorted(masked)
