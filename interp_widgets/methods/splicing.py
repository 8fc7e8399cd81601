"""The model with an activation replaced: what the rest of it makes of a text then, measured as cross-entropy.

Nothing below the site is computed again: a run goes on from the stream that was kept. Only tokens that count are replaced. Markers
and attention sinks keep their activation: a sink is needed by every head after it, and a dictionary that was made without sinks
would destroy the model there, which says nothing about the text.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from ..session.harvest import Batch, Values, read_batch
from ..session.runner import Runner

LOGITS_AT_ONCE = 1 << 24
"""Logits held at a time while cross-entropy is computed: 64 MB of float32."""
TOKENS_AT_ONCE = 2048
"""Rows x tokens of a run with replacements."""


@dataclass(frozen=True, eq=False)
class Reading:
    """A batch as the model reads it, and what a run with a replacement goes on from. `W` windows, `T` positions."""

    ids: torch.Tensor
    """[W, T]"""
    inside: torch.Tensor
    """[W, T]: text, not padding and not markers"""
    x: torch.Tensor
    """[W, T, d], float32: the activation at the site"""
    counts: torch.Tensor
    """[W, T]: which tokens count, and are replaced"""
    base: torch.Tensor
    """[W, T, width]: the stream that a run goes on from, at `Resume.base`"""
    loss: torch.Tensor
    """[W], float64: cross-entropy of the model as it is, nats, summed over the window's predictions"""

    @property
    def predicted(self) -> torch.Tensor:
        """[W]: number of predictions: tokens of text with a token before them."""
        return self.inside[:, 1:].sum(1)


@dataclass(frozen=True)
class Resume:
    """How a run goes on with another value at a site."""

    base: str
    """Site whose stream is kept: where a run starts, unless the replaced value is that stream itself."""
    layer: int | None
    """Layer that a run starts at; None: at the beginning."""
    whole: bool
    """The site is the stream that `layer` reads, so there is nothing more to put in."""


def resume(model: Runner, name: str) -> Resume:
    """The shortest run that still feels a change at a site."""
    site = model.site(name)
    if site.layer is None:
        return Resume("embed", None, whole=False)
    if site.kind == "resid_pre":
        return Resume(str(site), site.layer, whole=True)
    if site.kind == "resid_post" and site.layer + 1 < model.num_layers:
        return Resume(str(site), site.layer + 1, whole=True)
    return Resume(f"resid_pre.{site.layer}", site.layer, whole=False)


def read_clean(model: Runner, batch: Batch, site: str, *, outliers: bool = False) -> Reading:
    """One pass over a batch, unchanged. `outliers`: whether tokens of outlying norm count too."""
    name, base = str(model.site(site)), resume(model, site).base

    def reduce(values: Values, counts: torch.Tensor) -> Reading:
        ids, inside = batch.ids.to(counts.device), batch.inside.to(counts.device)
        loss = _loss(model, values["final_norm"], ids, inside)
        return Reading(ids, inside, values[name].float(), counts, values[base].clone(), loss)

    return read_batch(model, batch, [name], reduce, also=dict.fromkeys([base, "final_norm"]), outliers=outliers)


def spliced_loss(model: Runner, reading: Reading, site: str, values: Sequence[torch.Tensor]) -> torch.Tensor:
    """[V, W], float64: cross-entropy summed over each window's predictions, with each of V values [W, T, d] put at the site."""
    rows, length = reading.ids.shape
    step = max(1, TOKENS_AT_ONCE // (rows * length))
    parts = [_run(model, reading, site, values[at : at + step]) for at in range(0, len(values), step)]
    return torch.cat(parts).unflatten(0, (len(values), rows))


def _run(model: Runner, reading: Reading, site: str, values: Sequence[torch.Tensor]) -> torch.Tensor:
    ids, inside = (each.repeat(len(values), 1) for each in (reading.ids, reading.inside))
    put = torch.cat([torch.where(reading.counts[..., None], value.to(reading.x), reading.x) for value in values])
    return go_on(model, ids, site, put, reading.base, lambda normed: _loss(model, normed, ids, inside))


def go_on(
    model: Runner,
    ids: torch.Tensor,
    site: str,
    put: torch.Tensor,
    base: torch.Tensor,
    then: Callable[[torch.Tensor], Any],
    *,
    reads: str = "final_norm",
    grad: bool = False,
) -> Any:
    """What `then` makes of the final norm [R, T, width], or of another site `reads`, with `put` [R, T, d] in the place of a site.

    `base` [W, T, width]: the stream at `resume(model, site).base`, with R a multiple of W.
    """
    how = resume(model, site)
    later = how.layer is not None and model.site(reads).order >= (
        how.layer,
        0,
    )  # else what is read lies before the start
    more: dict[str, Any] = {} if how.whole and later else {"edit": {site: lambda x: put.to(x)}}
    if how.layer is not None and later:
        more["start"] = (how.layer, put.to(base) if how.whole else base.repeat(len(put) // len(base), 1, 1))
    return model.run(ids.tolist(), [reads], then=lambda read: then(read[reads]), grad=grad, **more)


def _loss(model: Runner, normed: torch.Tensor, ids: torch.Tensor, inside: torch.Tensor) -> torch.Tensor:
    """[rows]: cross-entropy of the tokens inside, summed; logits of a few rows at a time. Inside a run only."""
    step = max(1, LOGITS_AT_ONCE // (ids.shape[1] * model.vocabulary_size))
    out = []
    for at in range(0, len(ids), step):
        logits = model.head(normed[at : at + step, :-1]).float()
        nats = torch.nn.functional.cross_entropy(
            logits.flatten(0, 1), ids[at : at + step, 1:].flatten(), reduction="none"
        )
        out.append((nats.view(len(logits), -1).double() * inside[at : at + step, 1:]).sum(1))
    return torch.cat(out)
