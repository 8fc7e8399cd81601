"""Forward and backward passes of a batch of prompts: activations at sites, the metric, and its gradient.

With x = x_hat + e in the place of an activation x, and gradients passed on to x, the model computes what it did before, so the
gradients at x_hat, at e and at x are one. A single backward pass of the unchanged model therefore serves every dictionary.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch

from ...session.runner import Runner
from .prompts import Batch

Values = dict[str, torch.Tensor]
"""Site -> [n, T, d], float32."""


def read(model: Runner, ids: torch.Tensor, sites: Sequence[str]) -> Values:
    """Activations of prompts [n, T] at sites, in one pass."""

    def then(values: Values) -> Values:
        return {site: values[site].float() for site in sites}

    return dict(model.run(ids.tolist(), sites, then=then))


def metric_of(model: Runner, batch: Batch, ids: torch.Tensor) -> torch.Tensor:
    """[n], float64: the metric of each prompt of a batch, run as `ids` [n, T]."""

    def then(values: Values) -> torch.Tensor:
        return batch.metric.measure(model, values[batch.metric.reads], torch.arange(len(batch))).double().cpu()

    found: torch.Tensor = model.run(ids.tolist(), [batch.metric.reads], then=then)
    return found


def gradients(model: Runner, batch: Batch, sites: Sequence[str]) -> tuple[torch.Tensor, Values, Values]:
    """The metric of the clean prompts [n], and their activations and its gradient at the sites: one pass each way."""
    used: Values = {}

    def keep(site: str) -> Callable[[torch.Tensor], torch.Tensor]:
        """What is read may be a view beside the way of the computation, so a copy is put into it."""

        def edit(x: torch.Tensor) -> torch.Tensor:
            used[site] = x.clone() if x.requires_grad else x.detach().clone().requires_grad_()
            return used[site]

        return edit

    def then(values: Values) -> tuple[torch.Tensor, Values, Values]:
        metric = batch.metric.measure(model, values[batch.metric.reads], torch.arange(len(batch)))
        found = torch.autograd.grad(metric.sum(), [used[site] for site in sites], materialize_grads=True)
        own = {site: used[site].detach().float() for site in sites}
        return metric.detach().double().cpu(), own, {site: g.float() for site, g in zip(sites, found, strict=True)}

    edits = {site: keep(site) for site in dict.fromkeys(["embed", *sites])}
    out = model.run(batch.clean.tolist(), [batch.metric.reads], edit=edits, then=then, grad=True)
    return out[0], out[1], out[2]
