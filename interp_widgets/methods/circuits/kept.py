"""Runs in which some nodes keep the value that they have in that run, and all others get their mean.

With A = a * (scale of a norm that is undone), an activation is x = A @ W_dec + e, where e is what the atoms do not give: the error,
the bias, and what a norm puts back. So with means M of A, and m of x,

    a circuit:     m + (A - M of its atoms) @ W_dec + (e - mean of e, if it has the error)
    all but it:    x - the same

Both are exact where they do nothing: x itself where all is kept, m where nothing is. Runs are rows of a batch, so a site's
dictionary is used once for all circuits, and only for the atoms that one of them has.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import torch

from ...errors import AlignmentError
from ...progress import Progress, silent
from ...sae.dictionary import Dictionary, JumpReLU, Linear, ReLU
from ...session.runner import Runner
from .order import Listed
from .passes import read
from .prompts import Batch

ENTRIES = 1 << 24
"""Tokens x atoms of a pass: 64 MB of activations of one dictionary."""
TOKENS_AT_ONCE = 4096
"""Tokens of a pass at most."""
READ = 1 << 26
"""Numbers that are read at a time for the means: 256 MB."""

Edit = Callable[[torch.Tensor], torch.Tensor]
Spec = tuple[int, bool]
"""How many nodes, and whether all but these are kept."""


@dataclass(frozen=True, eq=False)
class Means:
    """What nodes get that are not kept, at the positions of prompts of one length."""

    atoms: dict[str, torch.Tensor]
    """Site -> [T, width]: A"""
    whole: dict[str, torch.Tensor]
    """Site -> [T, d]: x"""


@dataclass(frozen=True, eq=False)
class Kept:
    """What is done in altered runs, besides the prompts."""

    nodes: dict[str, Listed]
    """Site -> its ranked nodes; sites without any may be missing."""
    specs: list[Spec]
    errors: str
    """nodes, kept or removed"""


def measure_kept(
    model: Runner,
    batches: Sequence[Batch],
    sources: Sequence[Batch] | None,
    dictionaries: Mapping[str, Dictionary],
    kept: Kept,
    *,
    progress: Progress = silent,
) -> tuple[torch.Tensor, torch.Tensor, int]:
    """The metric of each prompt as it is [n], and in each altered run [specs, n], float64; and how many nodes a position has.

    Args:
        sources: prompts whose clean side gives the means; None: the corrupt side of `batches`, zero where there is none.
        progress: called with the same as `partial`; NaN where a run is not done yet.
    """
    count = sum(map(len, batches))
    model_metric = torch.zeros(count, dtype=torch.float64)
    found = torch.full((len(kept.specs), count), torch.nan, dtype=torch.float64)
    means: dict[int, Means] = {}
    for number, batch in enumerate(batches):
        progress(number, len(batches), "the means of all nodes")
        means[batch.clean.shape[1]] = _means(model, batch, sources, dictionaries)
        model_metric[batch.rows] = _measured(model, batch, torch.arange(len(batch)))
    widths = {site: mean.shape[1] for site, mean in next(iter(means.values())).atoms.items()}
    nodes = sum(widths.values())
    if kept.errors == "nodes":
        nodes += sum(not _is_exact(dictionaries[site]) for site in widths)
    tokens = min(TOKENS_AT_ONCE, ENTRIES // max(widths.values(), default=1))
    step = max(1, tokens // max(batch.clean.numel() for batch in batches))
    for begin in range(0, len(kept.specs), step):
        so_far = (model_metric, found, nodes) if begin else None
        progress(begin, len(kept.specs), f"{begin} of {len(kept.specs)} altered runs", so_far)
        specs = kept.specs[begin : begin + step]
        for batch in batches:
            run = _altered(model, batch, means[batch.clean.shape[1]], dictionaries, kept, specs, tokens)
            found[begin : begin + len(specs), batch.rows] = run
    return model_metric, found, nodes


def _measured(
    model: Runner,
    batch: Batch,
    which: torch.Tensor,
    edit: Callable[[torch.Tensor], Mapping[str, Edit]] | None = None,
    tokens: int = TOKENS_AT_ONCE,
) -> torch.Tensor:
    """[R], float64: the metric of prompts `which` [R] of a batch, a few rows at a time; `edit` gives what is done to some rows."""
    metric, step = batch.metric, max(1, tokens // batch.clean.shape[1])
    out = []
    for begin in range(0, len(which), step):
        rows = torch.arange(begin, min(begin + step, len(which)))

        def then(values: dict[str, torch.Tensor], prompts: torch.Tensor = which[rows]) -> torch.Tensor:
            return metric.measure(model, values[metric.reads], prompts).double().cpu()

        edits = None if edit is None else edit(rows)
        out.append(model.run(batch.clean[which[rows]].tolist(), [metric.reads], edit=edits, then=then))
    return torch.cat(out)


def _altered(
    model: Runner,
    batch: Batch,
    means: Means,
    dictionaries: Mapping[str, Dictionary],
    kept: Kept,
    specs: Sequence[Spec],
    tokens: int,
) -> torch.Tensor:
    """[specs, n]: altered runs of a batch."""
    counts, rest = (torch.tensor(each).repeat_interleave(len(batch)) for each in zip(*specs, strict=True))
    which = torch.arange(len(batch)).repeat(len(specs))

    def edit(rows: torch.Tensor) -> dict[str, Edit]:
        asked = Rows(counts[rows], rest[rows], batch.counted[which[rows]], kept.errors)
        return {site: _edit(site, dictionaries, kept.nodes.get(site), means, asked) for site in dictionaries}

    return _measured(model, batch, which, edit, tokens).view(len(specs), len(batch))


@dataclass(frozen=True, eq=False)
class Rows:
    """`R` altered runs of one batch."""

    counts: torch.Tensor
    """[R]: nodes"""
    without: torch.Tensor
    """[R]: whether these nodes are what is not kept"""
    counted: torch.Tensor
    """[R, T]: positions that are altered"""
    errors: str

    def weight(self, rank: torch.Tensor) -> torch.Tensor:
        """[R, T or 1, u]: 1 for nodes [T or 1, u] that are put back, -1 for those that are taken out, else 0."""
        sign = torch.where(self.without, -1.0, 1.0)[:, None, None]
        return (rank < self.counts[:, None, None]) * sign

    def of_errors(self, rank: torch.Tensor) -> torch.Tensor:
        """The same of errors."""
        if self.errors == "nodes":
            return self.weight(rank)
        everywhere = self.without.logical_not() if self.errors == "kept" else -self.without.float()
        return everywhere.float()[:, None, None]


def _edit(site: str, dictionaries: Mapping[str, Dictionary], listed: Listed | None, means: Means, rows: Rows) -> Edit:
    """From the activation of a site [R, T, d] to what is put there."""
    length, below = rows.counted.shape[1], int(rows.counts.max())
    empty = torch.full((1, 1), below)
    atoms, rank = (torch.empty(0, dtype=torch.long), empty[:, :0]) if listed is None else listed.atoms(length, below)
    weight = rows.weight(rank)
    of_error = rows.of_errors(empty if listed is None else listed.error(length, below))

    def edit(x: torch.Tensor) -> torch.Tensor:
        def here(tensor: torch.Tensor) -> torch.Tensor:
            return tensor.to(x.device)

        mean = here(means.whole[site])
        given = x.float()
        y = torch.where(here(rows.without)[:, None, None], given, mean)
        touched = (weight != 0).flatten(1).any(1) | (of_error != 0).flatten(1).any(1)
        if touched.any():
            sae = dictionaries[site]
            sae = sae if sae.W_enc.device == x.device else sae.to(x.device)
            with_errors = bool((of_error != 0).any()) and not _is_exact(sae)
            y[here(touched)] += _moved(
                sae, given[here(touched)], mean, here(means.atoms[site]), here(atoms), here(weight[touched]),
                here(of_error[touched]) if with_errors else None,
            )  # fmt: skip
        return torch.where(here(rows.counted)[..., None], y, given).to(x)

    return edit


def _moved(
    sae: Dictionary,
    x: torch.Tensor,
    mean: torch.Tensor,
    mean_atoms: torch.Tensor,
    atoms: torch.Tensor,
    weight: torch.Tensor,
    of_error: torch.Tensor | None,
) -> torch.Tensor:
    """[R, T, d]: what nodes differ by from their means in x [R, T, d], times their weights [R, T or 1, u] and [R, T or 1, 1]."""
    if of_error is None:
        some, all_amounts = amounts_of(sae, x, atoms), None
    else:
        all_amounts = amounts(sae, x)
        some = all_amounts[..., atoms]
    moved = ((some - mean_atoms[:, atoms]) * weight) @ sae.W_dec[atoms]
    if all_amounts is not None and of_error is not None:
        moved += of_error * ((x - mean) - (all_amounts - mean_atoms) @ sae.W_dec)
    return moved


def amounts(sae: Dictionary, x: torch.Tensor) -> torch.Tensor:
    """How far each atom's direction goes in x [..., d]: its activation, scaled where a norm is undone, [..., width]."""
    return sae.encode(x) * sae.scale(x)


def amounts_of(sae: Dictionary, x: torch.Tensor, atoms: torch.Tensor) -> torch.Tensor:
    """`amounts` of some atoms [u], [..., u]; where they do not compete with others, only these are computed."""
    if not isinstance(sae, Linear | ReLU | JumpReLU):
        return amounts(sae, x)[..., atoms]
    more = {"threshold": sae.threshold.expand(sae.width)[atoms]} if isinstance(sae, JumpReLU) else {}
    return amounts(replace(sae, W_enc=sae.W_enc[:, atoms], b_enc=sae.b_enc[atoms], W_dec=sae.W_dec[atoms], **more), x)


def _is_exact(sae: Dictionary) -> bool:
    """Whether there is no error by construction."""
    return isinstance(sae, Linear) and sae.origin.get("format") == "coordinates"


def _means(
    model: Runner, batch: Batch, sources: Sequence[Batch] | None, dictionaries: Mapping[str, Dictionary]
) -> Means:
    """The means of prompts of a batch's length over those that count at a position, over all where none does."""
    length = batch.clean.shape[1]
    source = batch
    if sources is not None:
        fitting = [each for each in sources if each.clean.shape[1] == length]
        if not fitting:
            raise AlignmentError(
                f"The means have no prompt of {length} tokens, which some prompts have. Give one at least."
            )
        source = fitting[0]
    ids = source.clean if sources is not None or batch.corrupt is None else batch.corrupt
    zero = sources is None and batch.corrupt is None
    weight = source.counted.float()
    weight = torch.where(weight.sum(0) > 0, weight, 1.0)
    weight = (weight / weight.sum(0))[..., None]
    atoms: dict[str, torch.Tensor] = {}
    whole: dict[str, torch.Tensor] = {}
    step = max(1, READ // (length * sum(model.size(site) for site in dictionaries)))
    for begin in range(0, len(ids), step):
        values = read(model, ids[begin : begin + step], list(dictionaries))
        for site in dictionaries:
            x, sae = values.pop(site), dictionaries[site]
            sae = sae if sae.W_enc.device == x.device else sae.to(x.device)
            share = weight[begin : begin + step].to(x.device)
            a = torch.zeros(length, sae.width, device=x.device) if zero else (amounts(sae, x) * share).sum(0)
            m = ((sae.bias(x) if zero else x) * share).sum(0)
            atoms[site] = a + atoms[site] if site in atoms else a
            whole[site] = m + whole[site] if site in whole else m
    return Means(atoms, whole)
