"""What an audit sums up over one batch of windows, where the model is: nothing that is as large as an activation comes back."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch

from ..sae.dictionary import Dictionary
from ..session.harvest import Batch, Values, read_batch
from ..session.runner import Runner
from .splicing import read_clean, spliced_loss


@dataclass(frozen=True)
class Sums:
    """The sums of one batch, by the fields of `AuditRun`."""

    tokens: list[int]
    predicted: list[int]
    sum: torch.Tensor
    square: list[float]
    sums: dict[tuple[str, str], list[float]]
    loss: dict[str, list[float]]
    fired: dict[tuple[str, str], torch.Tensor]
    activation: torch.Tensor


def measure_batch(
    model: Runner,
    batch: Batch,
    site: str,
    dictionaries: dict[str, Dictionary],
    mean: torch.Tensor,
    loss: bool,
    outliers: bool,
) -> Sums:
    """The sums of a batch; the dictionary that is audited comes first."""
    names = [window.source for window in batch.windows]
    rows = len(names)
    if loss:
        reading = read_clean(model, batch, site, outliers=outliers)
        x, counts = reading.x, reading.counts
    else:

        def keep(values: Values, counts: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            return values[site].float(), counts

        x, counts = read_batch(model, batch, [site], keep, outliers=outliers)
    window = torch.arange(rows, device=counts.device)[:, None].expand_as(counts)[counts]
    first = next(iter(dictionaries.values()))
    flat = x[counts].to(first.W_enc)
    mean = mean.to(flat)
    rebuilt: dict[str, torch.Tensor] = {}
    sums: dict[tuple[str, str], list[float]] = {}
    fired: dict[tuple[str, str], torch.Tensor] = {}
    activation = torch.zeros(0)

    def by_window(values: torch.Tensor) -> torch.Tensor:
        """Sums [rows, ...] over the counted tokens of each window."""
        zeros = torch.zeros(rows, *values.shape[1:], dtype=torch.float64, device=values.device)
        return zeros.index_add_(0, window.to(values.device), values.double()).cpu()

    for name, dictionary in dictionaries.items():
        a = dictionary.encode(flat)
        rebuilt[name] = dictionary.decode(a, flat)
        for quantity, values in _quantities(flat, a, rebuilt[name], mean).items():
            sums[name, quantity] = by_window(values).tolist()
        on = a > 0
        for one in dict.fromkeys(names):
            mine = torch.tensor([each == one for each in names], device=window.device)[window].to(on.device)
            fired[name, one] = on[mine].sum(0).cpu()
        if dictionary is first:
            activation = a.double().sum(0).cpu()
    losses = {name: [math.nan] * rows for name in ("model", *rebuilt, "mean", "zero")}
    if loss:
        put = [
            x.clone().index_put_(counts.nonzero(as_tuple=True), value.to(x))
            for value in (*rebuilt.values(), mean.expand_as(flat), torch.zeros_like(flat))
        ]
        found = [reading.loss, *spliced_loss(model, reading, site, put)]
        losses = {name: nats.cpu().tolist() for name, nats in zip(losses, found, strict=True)}
    return Sums(
        tokens=counts.sum(1).tolist(),
        predicted=reading.predicted.tolist() if loss else [0] * rows,
        sum=by_window(flat),
        square=by_window(flat.pow(2).sum(1)).tolist(),
        sums=sums,
        loss=losses,
        fired=fired,
        activation=activation,
    )


def _quantities(x: torch.Tensor, a: torch.Tensor, x_hat: torch.Tensor, mean: torch.Tensor) -> dict[str, torch.Tensor]:
    """What is summed over the tokens of a window, of a dictionary with activations `a`: [tokens] each."""
    return {
        "error": (x - x_hat).double().pow(2).sum(1),
        "cosine": torch.nn.functional.cosine_similarity(x - mean, x_hat - mean, dim=1),
        "norm_ratio": x_hat.norm(dim=1) / x.norm(dim=1).clamp(min=1e-30),
        "active": (a > 0).sum(1),
    }
