"""Exact effects: a run for each node that differs."""

from __future__ import annotations

from collections.abc import Callable

import torch

from ...progress import Progress, silent
from ...sae.dictionary import Dictionary
from ...session.session import Session
from .changed import Changes, changed_metrics
from .reading import Piece
from .values import SiteValues

Wanted = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
"""Tokens and units of entries [E] -> which of them to run [E]. The unit of the error is the number of atoms."""


def exact_effects(
    model: Session,
    piece: Piece,
    site: str,
    sae: Dictionary,
    values: SiteValues,
    metric: torch.Tensor,
    whole: torch.Tensor,
    base: torch.Tensor,
    *,
    apart: bool,
    wanted: Wanted | None = None,
    progress: Progress = silent,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Effects of atoms [E] and of errors [C], float64; where positions are summed, the effect of a node is split evenly over its
    entries, so that their sum is it.

    Args:
        metric: [n], of the clean prompts.
        whole, base: of them, as in `changed.slope_along`.
        wanted: which entries to run, others having no effect; default all that differ.
    """
    tokens, device = len(values.error), values.error.device
    token = torch.cat([values.token, torch.arange(tokens, device=device)])
    unit = torch.cat([values.atom, torch.full((tokens,), sae.width, device=device)])
    differs = torch.cat([values.change != 0, (values.error != 0).any(-1)])
    if wanted is not None:
        differs &= wanted(token, unit)
    effects = torch.zeros(len(token), dtype=torch.float64)
    at = differs.nonzero()[:, 0]
    row = piece.row.to(device)[token[at]]
    key = torch.arange(len(at), device=device) if apart else row * (sae.width + 1) + unit[at]
    runs, run = key.unique(return_inverse=True)
    order = run.argsort(stable=True)
    at, run = at[order], run[order]
    atoms = unit[at] < sae.width
    used, index = unit[at][atoms].unique(return_inverse=True)
    direction, amount = len(used) + token[at], -torch.ones(len(at), device=device)
    direction[atoms], amount[atoms] = index, -values.change[at[atoms]]
    rows = torch.empty(len(runs), dtype=torch.long, device=device)
    rows[run] = row[order]
    changes = Changes(rows, run, token[at], direction, amount, torch.cat([sae.W_dec[used], values.error]))
    found = metric[rows.cpu()] - model.work(changed_metrics, piece, site, whole, base, changes, progress=progress)
    share = run.bincount(minlength=len(runs)).cpu()
    effects[at.cpu()] = (found / share)[run.cpu()]
    return effects[: len(values.token)], effects[len(values.token) :]
