"""Forward and backward passes of a batch of prompts: activations at sites, the metric, and its gradient.

With x = x_hat + e in the place of an activation x, and gradients passed on to x, the model computes what it did before, so the
gradients at x_hat, at e and at x are one. A single backward pass of the unchanged model therefore serves every dictionary.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from ...session.runner import Runner
from ..slopes import slopes
from .prompts import Batch

Values = dict[str, torch.Tensor]
"""Site -> [n, T, d], float32."""


def read(model: Runner, ids: torch.Tensor, sites: Sequence[str]) -> Values:
    """Activations of prompts [n, T] at sites, in one pass."""

    def then(values: Values) -> Values:
        return {site: values[site].float() for site in sites}

    return dict(model.run(ids.tolist(), sites, then=then))


def gradients(model: Runner, batch: Batch, sites: Sequence[str]) -> tuple[torch.Tensor, Values, Values]:
    """The metric of the clean prompts [n], and their activations and its gradient at the sites: one pass each way."""

    def measure(value: torch.Tensor) -> torch.Tensor:
        return batch.metric.measure(model, value, torch.arange(len(batch)))

    metric, own, found = slopes(model, batch.clean.tolist(), sites, batch.metric.reads, measure)
    floats = [{site: value.float() for site, value in each.items()} for each in (own, found)]
    return metric.double().cpu(), floats[0], floats[1]
