"""The gradient of a number that a run gives, at any activations on the way: one pass forward and one backward."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch

from ..session.runner import Runner

Values = dict[str, torch.Tensor]
"""Site -> [n, T, ...]."""


def slopes(
    model: Runner, ids: Sequence[Sequence[int]], sites: Sequence[str], reads: str, measure: Callable[[torch.Tensor], torch.Tensor],
    **more: Any,
) -> tuple[torch.Tensor, Values, Values]:  # fmt: skip
    """What is measured of each prompt [n], its activations at the sites, and the gradient of the sum there.

    Args:
        ids: [n][T], as in `Runner.run`, which also takes `more`.
        sites: their names as the model has them.
        reads, measure: the site whose activation it is made of, and what is made of it, [n].
    """
    used: Values = {}

    def keep(site: str) -> Callable[[torch.Tensor], torch.Tensor]:
        """What is read may be a view beside the way of the computation, so a copy is put into it."""

        def edit(x: torch.Tensor) -> torch.Tensor:
            used[site] = x.clone() if x.requires_grad else x.detach().clone().requires_grad_()
            return used[site]

        return edit

    def then(values: Values) -> tuple[torch.Tensor, Values, Values]:
        measured = measure(values[reads])
        found = torch.autograd.grad(measured.sum(), [used[site] for site in sites], materialize_grads=True)
        return measured.detach(), {site: used[site].detach() for site in sites}, dict(zip(sites, found, strict=True))

    edits = {site: keep(site) for site in dict.fromkeys(["embed", *sites])}
    out: tuple[torch.Tensor, Values, Values] = model.run(ids, [reads], edit=edits, then=then, grad=True, **more)
    return out
