"""What SHIFT goes on from: the texts as the model reads them, a probe, and the effects of atoms on it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import polars as pl
import torch

from .. import frames
from ..errors import DictionaryError, SiteError, TextError
from ..frames.circuits import Node
from ..progress import Progress, silent
from ..sae.dictionary import Dictionary
from ..sae.fits import check_reconstructs
from ..session.session import Session
from .probes import L2, Z, fit_probe
from .shift_data import ShiftData, read_data
from .shift_passes import Effects, ShiftReading, effects, read, some_texts

STEPS = 10
TEXTS = 100
"""Texts that effects are measured on, unless asked for otherwise."""


@dataclass(frozen=True, eq=False)
class Probe:
    """Logistic regression on the mean activation of a site."""

    site: str
    labels: tuple[str, str]
    """Of a logit below zero, and above."""
    weights: torch.Tensor
    """[d]"""
    bias: torch.Tensor

    def says(self, pooled: torch.Tensor) -> torch.Tensor:
        """[N, d] -> [N], bool: whether it says the second label."""
        return pooled @ self.weights + self.bias > 0


@dataclass(frozen=True, eq=False)
class ShiftRun:
    """Texts of some splits, read, and the probe that was fitted on one of them."""

    data: ShiftData
    dictionaries: list[Dictionary]
    """In the order of the forward pass."""
    readings: dict[str, ShiftReading]
    probe: Probe
    l2: float


def prepare_shift(
    model: Session,
    data: pl.DataFrame,
    *,
    site: str,
    dictionaries: Sequence[Dictionary],
    splits: Sequence[str],
    l2: float = L2,
    progress: Progress = silent,
) -> ShiftRun:
    """Reads the texts of `splits`, and fits the probe on the first of them. Raises as `shift_probe` and `shift_effects`."""
    where = model.site(site)
    if where.kind in ("q", "k", "v", "head_out", "pattern", "logits") or where.unit is not None:
        raise SiteError(f"{where} is no vector at each token; use a site such as resid_post.{model.num_layers // 2}.")
    ordered = sorted(dictionaries, key=lambda sae: model.site(sae.site).order)
    for sae in ordered:
        check_reconstructs(model, sae)
        if model.site(sae.site).order > where.order:
            raise SiteError(
                f"{sae.name} is for {sae.site}, which comes after the probe's {where}. Leave it out, or probe a later site."
            )
    sites = [model.site(sae.site) for sae in ordered]
    if len(set(sites)) < len(sites):
        raise DictionaryError(
            f"There are two dictionaries of one site: {', '.join(map(str, sites))}. Give one for each."
        )
    checked = read_data(model, data, tuple(splits))
    first = (sites or [where])[0]
    begin = -1 if first.kind == "embed" else first.layer or 0
    readings = {}
    for split in dict.fromkeys(splits):
        reading = model.work(read, checked.splits[split].ids, str(where), begin, progress=progress)
        if bare := [
            t for batch in reading.batches for t, n in zip(batch.texts, batch.counts.sum(1), strict=True) if n == 0
        ]:
            raise TextError(f"Text {bare[0]} of the split {split!r} has no token that counts. Leave it out.")
        readings[split] = reading
    fit = splits[0]
    weights, bias = fit_probe(readings[fit].pooled, checked.splits[fit].label, l2)
    return ShiftRun(checked, ordered, readings, Probe(str(where), checked.labels, weights, bias), l2)


def run_effects(
    model: Session,
    run: ShiftRun,
    split: str,
    by: str,
    *,
    texts: int,
    steps: int,
    dictionaries: Sequence[Dictionary] | None = None,
    progress: Progress = silent,
) -> list[Effects]:
    """Of each dictionary; default those of the run. Raises as `shift_effects`."""
    if by not in ("label", "spurious"):
        raise TextError(f"Effects are by label or by spurious, not by {by!r}.")
    if min(texts, steps) < 1:
        raise TextError(f"Effects need one text and one step or more, not {texts} and {steps}.")
    right = getattr(run.data.splits[split], by)
    metric = torch.where(right, 1.0, -1.0)[:, None] * run.probe.weights
    reading = some_texts(run.readings[split], texts)
    mine = run.dictionaries if dictionaries is None else dictionaries
    return [model.work(effects, reading, sae, metric, steps, progress=progress) for sae in mine]


def effects_frame(found: Sequence[Effects], dictionaries: Sequence[Dictionary]) -> pl.DataFrame:
    """Every node that is active in some text, the largest effect first (see `frames.SHIFT_EFFECTS`)."""
    parts = []
    for sae, of in zip(dictionaries, found, strict=True):
        atoms = of.active.nonzero().flatten().tolist()
        each = torch.cat([of.atoms[:, atoms], of.error[:, None]], 1).double()
        mean, n = each.mean(0), len(each)
        half = Z * each.std(0) / n**0.5 if n > 1 else torch.zeros_like(mean)
        columns = {
            "node": [str(Node(sae.site, atom, None)) for atom in [*atoms, None]],
            "site": [sae.site] * len(mean),
            "atom": [*atoms, None],
            "effect": mean.tolist(),
            "low": (mean - half).tolist(),
            "high": (mean + half).tolist(),
            "active_share": [*of.active[atoms].tolist(), 1.0],
            "texts": [n] * len(mean),
        }
        parts.append(frames.build(frames.SHIFT_EFFECTS, columns))
    if not parts:
        return frames.build(frames.SHIFT_EFFECTS, {name: [] for name in frames.SHIFT_EFFECTS})
    return pl.concat(parts).sort("effect", descending=True, maintain_order=True)
