"""Attribution patching: every cell of a patching grid at once, to first order.

With a the activation of a cell and m the metric, patching is estimated by its linear part at the corrupt run (Nanda,
"Attribution patching", 2023; Syed, Rager & Conmy, arXiv:2310.10348):

    effect ~ (a_clean - a_corrupt) . dm/da        (dm/da in the corrupt run; to noise, clean and corrupt change places)

for two forward passes and one backward pass, whatever the size of the grid. With `steps` the gradient is averaged along the
straight way from corrupt to clean, all positions of a site moving together (integrated gradients: Sundararajan et al.,
arXiv:1703.01365; for activations Marks et al., arXiv:2403.19647). Then the effects of a site add up to the effect of patching it
whole, up to a residual that falls with the square of the steps (midpoint rule) and is reported.

An estimate finds where something happens rather than how much: use it to choose what to patch exactly.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import polars as pl
import torch

from .. import frames
from ..errors import TextError
from ..progress import Progress, silent
from ..session.runner import Runner
from ..session.session import Session, Text
from ..session.sites import Site
from .activation_patching import prepare
from .patched_runs import constant
from .patching_run import PatchingRun
from .prediction import check_metric
from .reading import Reading, Row, sites_of
from .slopes import slopes


def attribution_patching(
    model: Session,
    *,
    clean: Text,
    corrupt: Text,
    answer: str | int | None = None,
    foil: str | int | None = None,
    sites: Sequence[str] = ("resid_post",),
    positions: Sequence[int | Sequence[int]] | None = None,
    alignment: Sequence[Sequence[int]] | None = None,
    metric: str = "logit_difference",
    direction: str = "denoise",
    steps: int = 0,
    progress: Progress = silent,
) -> pl.DataFrame:
    """The estimated effect of every cell, one row per site and position (see `frames.ATTRIBUTION`).

    Args:
        model, clean, corrupt, answer, foil, sites, positions, alignment, metric, direction: as in `activation_patching`.
        steps: 0 (default): the gradient at the patched prompt's own run. From 1 on: midpoints of integrated gradients, which costs
            so many forward and backward passes from each site on.
        progress: called after each site when there are steps.

    Raises:
        TextError, AlignmentError, SiteError: as in `activation_patching`; TextError also for negative steps.
    """
    check_metric(metric)
    if steps < 0:
        raise TextError(f"steps must be 0 (the gradient where the patch starts) or more, not {steps}.")
    run = prepare(model, clean, corrupt, answer, foil, sites, alignment, positions=positions, direction=direction)
    residuals: list[float | None] = [None] * len(run.rows)
    if steps == 0:
        effects = model.work(_first_order, run.bare(model), metric)
    else:
        effects, residuals = model.work(_integrated, run.bare(model), metric, steps, progress=progress)
    return _frame(run, effects, residuals, metric, "attribution" if steps == 0 else "integrated_gradients")


def estimate(model: Session, run: PatchingRun) -> torch.Tensor:
    """What a sweep will find, to first order: effects on the logit difference [R, C], NaN where there is nothing to patch."""
    return model.work(_first_order, run.bare(model), "logit_difference")


def _first_order(model: Runner, run: PatchingRun, metric: str) -> torch.Tensor:
    """[R, C]: gradients where the patch starts, times what it changes."""
    reading = _reading(model, run)
    apart = [row for row in run.rows if _apart(row)]
    gradients = _gradients(model, run, reading, metric, sites_of(apart)) if apart else {}
    out = []
    for row, sites in enumerate(run.rows):
        change = _changes(run, reading, row)
        found = _effects(run, change, gradients) if _apart(sites) else _together(model, run, reading, change, metric)
        out.append(found)
    return torch.stack(out)


def _apart(sites: Row) -> bool:
    """Whether no site of a row lies on the way of another one, so that their effects add up to first order."""
    kinds = {site.kind for site in sites}
    return len({site.layer for site in sites}) == 1 and (len(kinds) == 1 or kinds <= {"q", "k", "v"})


def _together(
    model: Runner, run: PatchingRun, reading: Reading, change: dict[Site, torch.Tensor], metric: str
) -> torch.Tensor:
    """[C]: a group's effects to first order, each column a row of one pass in which its patch alone is cut loose and moved."""
    spans = [(row, position) for row, span in enumerate(run.columns) for position in span]
    at = tuple(zip(*spans, strict=True))
    leaves = {site: reading.own[site][list(at[1])].clone().requires_grad_() for site in change}

    def put(site: Site) -> Callable[[torch.Tensor], torch.Tensor]:
        def edit(x: torch.Tensor) -> torch.Tensor:
            return x.index_put((torch.tensor(at[0]), torch.tensor(at[1])), leaves[site].to(x))

        return edit

    def then(values: dict[str, torch.Tensor]) -> list[torch.Tensor]:
        total = _measure(values["logits"][:, -1], run, metric).sum()
        return [g.detach() for g in torch.autograd.grad(total, list(leaves.values()))]

    layer = min(int(site.layer or 0) for site in change)
    stream = reading.streams[layer].expand(len(run.columns), -1, -1).clone()
    found = model.run(
        [reading.ids] * len(run.columns),
        ["logits"],
        edit={str(site): put(site) for site in change},
        then=then,
        start=(layer, stream),
        logits_to_keep=1,
        grad=True,
    )
    out = torch.full((len(run.columns),), torch.nan, dtype=torch.float64)
    out[run.patchable] = 0
    for x, gradient in zip(change.values(), found, strict=True):
        moved = (gradient * x[list(at[1])]).cpu().double().reshape(len(spans), -1).sum(1)
        out.index_add_(0, torch.tensor(at[0]), moved)
    return out


def _integrated(
    model: Runner, run: PatchingRun, metric: str, steps: int, progress: Progress = silent
) -> tuple[torch.Tensor, list[float | None]]:
    """[R, C] effects, and per row what their sum over all positions leaves of the effect of patching all at once."""
    reading = _reading(model, run)
    effects: list[torch.Tensor] = []
    residuals: list[float | None] = []
    midpoints = (torch.arange(steps) + 0.5) / steps
    for row, sites in enumerate(run.rows):
        progress(row, len(run.rows), run.labels[row])
        change = _changes(run, reading, row)
        gradients, whole = _on_the_way(model, run, reading, sites, change, metric, midpoints)
        effects.append(_effects(run, change, gradients))
        residuals.append(whole - sum(float((gradients[site] * x).cpu().double().sum()) for site, x in change.items()))
    progress(len(run.rows), len(run.rows))
    return torch.stack(effects), residuals


def _reading(model: Runner, run: PatchingRun) -> Reading:
    run.reading = run.reading or run.read(model)[0]
    return run.reading


def _changes(run: PatchingRun, reading: Reading, row: int) -> dict[Site, torch.Tensor]:
    """What patching a row at every position would add, [tokens, ...]; zero where there cannot be a difference."""
    out = {}
    for site, value in reading.put[row].items():
        out[site] = value - reading.own[site]
        out[site][run.unaffected] = 0
    return out


def _effects(run: PatchingRun, change: dict[Site, torch.Tensor], gradients: dict[Site, torch.Tensor]) -> torch.Tensor:
    """[C]: change times gradient at each column, NaN where it cannot be patched."""
    per_position = sum((gradients[site] * x).cpu().double().reshape(len(x), -1).sum(1) for site, x in change.items())
    out = torch.full((len(run.columns),), torch.nan, dtype=torch.float64)
    for column in run.patchable:
        out[column] = per_position[list(run.columns[column])].sum()
    return out


def _measure(logits: torch.Tensor, run: PatchingRun, metric: str) -> torch.Tensor:
    """[rows, vocabulary] -> [rows]"""
    logits = logits.float()
    if metric == "probability":
        return logits.softmax(-1)[:, run.answer]
    return logits[:, run.answer] - logits[:, run.foil]


def _gradients(
    model: Runner, run: PatchingRun, reading: Reading, metric: str, sites: Sequence[Site]
) -> dict[Site, torch.Tensor]:
    """dm/da at every site, [tokens, ...]: one forward and one backward pass."""

    def measure(logits: torch.Tensor) -> torch.Tensor:
        return _measure(logits[:, -1], run, metric)

    names = [str(site) for site in sites]
    _, _, found = slopes(model, [reading.ids], names, "logits", measure, logits_to_keep=1)
    return {site: found[name][0] for site, name in zip(sites, names, strict=True)}


def _on_the_way(
    model: Runner,
    run: PatchingRun,
    reading: Reading,
    sites: Row,
    change: dict[Site, torch.Tensor],
    metric: str,
    at: torch.Tensor,
) -> tuple[dict[Site, torch.Tensor], float]:
    """The mean of dm/da over points of the way to the patched activations [tokens, ...], and the whole effect of the row."""
    way = torch.cat([at, torch.tensor([0.0, 1.0])])
    leaves = {}
    for site in sites:
        start = reading.own[site]
        steps = way.to(start).reshape(-1, *[1] * start.dim())
        leaves[site] = (start + steps * change[site]).detach().requires_grad_()
    layer = min(int(site.layer or 0) for site in sites)
    stream = reading.streams[layer].expand(len(way), -1, -1).clone()

    def then(values: dict[str, torch.Tensor]) -> tuple[list[torch.Tensor], torch.Tensor]:
        measured = _measure(values["logits"][:, -1], run, metric)
        gradients = torch.autograd.grad(measured[: len(at)].sum(), list(leaves.values()))
        return [gradient[: len(at)].mean(0) for gradient in gradients], measured[len(at) :].detach()

    gradients, (unpatched, whole) = model.run(
        [reading.ids] * len(way),
        ["logits"],
        edit={str(site): constant(leaf) for site, leaf in leaves.items()},
        then=then,
        start=(layer, stream),
        logits_to_keep=1,
        grad=True,
    )
    return dict(zip(sites, gradients, strict=True)), float(whole - unpatched)


def _frame(
    run: PatchingRun, effects: torch.Tensor, residuals: Sequence[float | None], metric: str, method: str
) -> pl.DataFrame:
    base, gap = float(getattr(run.prompt_prediction, metric)[0]), run.gap(metric)
    where = (~effects.isnan()).nonzero(as_tuple=True)
    rows, columns = (index.tolist() for index in where)
    found, causal = effects[where].tolist(), set(run.causal)
    data = {
        **run.describe(rows, columns),
        "method": ["causal" if column in causal else method for column in columns],
        "metric": [base + effect for effect in found],
        "effect": found,
        "recovery": [None if gap != gap else effect / gap for effect in found],
        "residual": [residuals[row] for row in rows],
    }
    return frames.build(frames.ATTRIBUTION, data)
