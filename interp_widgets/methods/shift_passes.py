"""Runs of a model up to a probe: what the probe reads, without some atoms, and what each atom does to it.

A probe reads the mean of an activation over the tokens that count: no markers, no attention sinks, no other outliers of the norm
(see `session.masking`), all of it decided by the run as it is. Only these tokens are changed.

Texts are padded on the right; a token sees none that come later, so padding changes nothing. Each run goes on from the stream
below the first site that may be changed, which is kept.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from ..progress import Progress, silent
from ..sae.dictionary import Dictionary
from ..session.masking import sink_mask
from ..session.runner import Runner
from .splicing import TOKENS_AT_ONCE, go_on, resume

Change = Callable[[torch.Tensor], torch.Tensor]


@dataclass(frozen=True, eq=False)
class Batch:
    """Some texts as the model reads them. `W` texts, `T` positions."""

    texts: list[int]
    """Which of the texts."""
    ids: torch.Tensor
    """[W, T]"""
    counts: torch.Tensor
    """[W, T]: which tokens count"""
    stream: torch.Tensor
    """[W, T, width]: what the layer `ShiftReading.layer` reads; empty where runs start at the beginning"""


@dataclass(frozen=True, eq=False)
class ShiftReading:
    """Texts read up to the probe's site."""

    site: str
    """What the probe reads."""
    layer: int
    """Runs start here."""
    batches: list[Batch]
    pooled: torch.Tensor
    """[N, d], float32 on the CPU: what the probe reads of each text"""


@dataclass(frozen=True, eq=False)
class Effects:
    """What the nodes of one dictionary do to the metric, of N texts."""

    atoms: torch.Tensor
    """[N, atoms], float32: summed over the tokens that count"""
    error: torch.Tensor
    """[N]"""
    active: torch.Tensor
    """[atoms]: share of the texts in which the atom is above zero at a token that counts"""
    whole: torch.Tensor
    """[N]: what removing atoms and errors all together changes"""


def read(model: Runner, ids: Sequence[list[int]], site: str, first: int, progress: Progress = silent) -> ShiftReading:
    """One pass over texts as they are. `first`: the layer of the first site that may be changed, -1 for the embedding."""
    name = str(model.site(site))
    kept = [f"resid_pre.{first}"] if first > 0 else []
    order = sorted(range(len(ids)), key=lambda text: -len(ids[text]))
    found: list[Batch] = []
    pooled: list[torch.Tensor] = []
    begin = 0
    while begin < len(order):
        progress(begin, len(order), "reading texts")
        texts = order[begin : begin + max(1, TOKENS_AT_ONCE // len(ids[order[begin]]))]
        begin += len(texts)
        lengths = torch.tensor([len(ids[text]) for text in texts])
        longest = int(lengths.max())
        rows = torch.tensor([ids[text] + ids[text][-1:] * (longest - len(ids[text])) for text in texts])

        def then(
            values: dict[str, torch.Tensor], rows: torch.Tensor = rows, lengths: torch.Tensor = lengths
        ) -> tuple[torch.Tensor, ...]:
            x = values[name].flatten(2)
            inside = torch.arange(rows.shape[1], device=x.device) < lengths[:, None].to(x.device)
            counts = inside & ~sink_mask(model, rows, x.norm(dim=-1)[None], lengths)
            stream = values[kept[0]].clone() if kept else x.new_zeros(0)
            return counts, stream, _mean(x, counts).cpu()

        counts, stream, mean = model.run(rows.tolist(), [*kept, name], then=then)
        found.append(Batch(texts, rows, counts, stream))
        pooled.append(mean)
    return ShiftReading(name, max(first, 0), found, _in_order(found, pooled))


def without(
    model: Runner,
    reading: ShiftReading,
    struck: Sequence[tuple[Dictionary, list[int]]],
    progress: Progress = silent,
) -> torch.Tensor:
    """[N, d]: what the probe reads with atoms at zero wherever they are active; what dictionaries miss stays as it is.

    Later activations follow from the changed ones, and atoms of later sites are those of what arrives there.
    """
    pooled = []
    for done, batch in enumerate(reading.batches):
        progress(done, len(reading.batches), "reading texts without the struck atoms")
        edits = {sae.site: _striking(sae, atoms, batch.counts) for sae, atoms in struck if atoms}
        values = _onward(model, reading.layer, batch, edits, [reading.site])
        pooled.append(_mean(values[reading.site].flatten(2), batch.counts).cpu())
    return _in_order(reading.batches, pooled)


def some_texts(reading: ShiftReading, count: int) -> ShiftReading:
    """The first `count` texts alone."""
    batches = []
    for batch in reading.batches:
        rows = [row for row, text in enumerate(batch.texts) if text < count]
        if rows:
            stream = batch.stream[rows] if batch.stream.numel() else batch.stream
            texts = [batch.texts[row] for row in rows]
            batches.append(Batch(texts, batch.ids[rows], batch.counts[rows], stream))
    return ShiftReading(reading.site, reading.layer, batches, reading.pooled[:count])


def atoms_at(
    model: Runner, reading: ShiftReading, sae: Dictionary, atoms: list[int], progress: Progress = silent
) -> list[torch.Tensor]:
    """Per text [atoms, tokens], float32 on the CPU: activations of some atoms, NaN at tokens that do not count."""
    found: dict[int, torch.Tensor] = {}
    name = str(model.site(sae.site))
    for done, batch in enumerate(reading.batches):
        progress(done, len(reading.batches), "reading activations")
        x = _onward(model, reading.layer, batch, {}, [name])[name]
        for row, text in enumerate(batch.texts):
            a = sae.encode(x[row])[:, atoms].T.masked_fill(~batch.counts[row], torch.nan)
            found[text] = a.float().cpu()
    return [found[text] for text in range(len(found))]


def mean_activation(model: Runner, reading: ShiftReading, site: str) -> torch.Tensor:
    """[d], float32 on the CPU: mean of a site over all tokens that count."""
    name = str(model.site(site))
    total, count = torch.zeros(model.size(name), dtype=torch.float64), 0
    for batch in reading.batches:
        x = _onward(model, reading.layer, batch, {}, [name])[name].flatten(2)
        total += x[batch.counts].double().sum(0).cpu()
        count += int(batch.counts.sum())
    return (total / count).float()


def effects(
    model: Runner,
    reading: ShiftReading,
    sae: Dictionary,
    metric: torch.Tensor,
    steps: int,
    progress: Progress = silent,
) -> Effects:
    """What each atom of a dictionary does to a metric that is linear in what the probe reads, by integrated gradients to zero.

    Args:
        metric: [N, d]: a text's metric is the product of its row with what the probe reads of it.
        steps: midpoints of the line from no atoms and no error to all of them. None are needed where the dictionary's site is
            the probe's.
    """
    name = str(model.site(sae.site))
    base = resume(model, name).base
    found: dict[int, tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]] = {}
    for done, batch in enumerate(reading.batches):
        progress(done, len(reading.batches), sae.site)
        values = _onward(model, reading.layer, batch, {}, list(dict.fromkeys([base, name])))
        x = sae.flat(values[name])
        removed = torch.where(batch.counts[..., None], sae.decode(x.new_zeros(*x.shape[:-1], sae.width), x), x)
        if name == reading.site:  # nothing bends on the way
            slope = metric[batch.texts].to(x)[:, None] * _weights(batch.counts)[..., None].to(x)
            whole = ((x - removed) * slope).sum((1, 2))
        else:
            slope, whole = _slope(model, reading.site, batch, name, values, removed, x, metric[batch.texts], steps)
        for row, text in enumerate(batch.texts):
            at = batch.counts[row]
            a = sae.encode(x[row, at])
            g = slope[row, at]
            atoms = (a * sae.scale(x[row, at]) * (g @ sae.W_dec.T)).sum(0)
            error = ((x[row, at] - sae.decode(a, x[row, at])) * g).sum()
            found[text] = (atoms.cpu(), error.cpu(), (a > 0).any(0).cpu(), whole[row].cpu())
    parts = [torch.stack(part) for part in zip(*(found[text] for text in range(len(found))), strict=True)]
    return Effects(parts[0], parts[1], parts[2].double().mean(0), parts[3])


def _slope(
    model: Runner, probe: str, batch: Batch, site: str, values: Mapping[str, torch.Tensor], removed: torch.Tensor, x: torch.Tensor,
    metric: torch.Tensor, steps: int,
) -> tuple[torch.Tensor, torch.Tensor]:  # fmt: skip
    """[W, T, d]: the metric's gradient at the site, mean over the way from `removed` to x; and [W] what the whole way changes.

    `values`: the site's activation as the model has it, and the stream that runs go on from (see `splicing.resume`).
    """
    base = values[resume(model, site).base]
    way = [*((k + 0.5) / steps for k in range(steps)), 0.0, 1.0]
    total, ends = torch.zeros_like(x), {}
    together = max(1, TOKENS_AT_ONCE // batch.ids.numel())
    for begin in range(0, len(way), together):
        some = torch.tensor(way[begin : begin + together], device=x.device)
        with torch.enable_grad():
            leaf = (removed + some[:, None, None, None] * (x - removed)).flatten(0, 1).requires_grad_()
            put = leaf.view(-1, *values[site].shape[1:])

        def then(
            read: torch.Tensor, leaf: torch.Tensor = leaf, rows: int = len(some)
        ) -> tuple[torch.Tensor, torch.Tensor]:
            pooled = _mean(read.flatten(2), batch.counts.repeat(rows, 1))
            measured = (pooled * metric.to(pooled).repeat(rows, 1)).sum(1)
            return torch.autograd.grad(measured.sum(), leaf)[0].detach(), measured.detach()

        ids = batch.ids.repeat(len(some), 1)
        slopes, measured = go_on(model, ids, site, put, base, then, reads=probe, grad=True)
        for place, k in enumerate(range(begin, begin + len(some))):
            rows = slice(place * len(x), (place + 1) * len(x))
            if k < steps:
                total += slopes[rows]
            else:
                ends[way[k]] = measured[rows]
    return total / steps, ends[1.0] - ends[0.0]


def _onward(
    model: Runner,
    layer: int,
    batch: Batch,
    edits: Mapping[str, Change],
    wanted: Sequence[str],
) -> dict[str, torch.Tensor]:
    more: dict[str, Any] = {"start": (layer, batch.stream)} if layer > 0 else {}
    named = {str(model.site(site)): edit for site, edit in edits.items()}
    return dict(model.run(batch.ids.tolist(), wanted, edit=named, **more))


def _striking(sae: Dictionary, atoms: list[int], counts: torch.Tensor) -> Change:
    """x less the parts of some atoms, at the tokens that count."""

    def edit(x: torch.Tensor) -> torch.Tensor:
        flat = sae.flat(x)
        part = (sae.encode(flat)[..., atoms] @ sae.W_dec[atoms]) * sae.scale(flat)
        return (x - torch.where(counts[..., None], part, 0).view(x.shape).to(x)).to(x)

    return edit


def _weights(counts: torch.Tensor) -> torch.Tensor:
    """[W, T], float32: of each token in the mean over those that count; zero where none does."""
    return counts.to(torch.float32) / counts.sum(1, keepdim=True).clamp(min=1)


def _mean(x: torch.Tensor, counts: torch.Tensor) -> torch.Tensor:
    """[W, T, d] -> [W, d]: over the tokens that count; zero where none does."""
    return torch.einsum("wtd,wt->wd", x.float(), _weights(counts))


def _in_order(batches: Sequence[Batch], parts: Sequence[torch.Tensor]) -> torch.Tensor:
    order = torch.tensor([text for batch in batches for text in batch.texts])
    return torch.cat(list(parts))[order.argsort()]
