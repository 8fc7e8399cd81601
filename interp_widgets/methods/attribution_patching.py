"""Attribution patching: every cell of a patching grid at once, to first order.

With a the activation of a cell and m the metric, patching is estimated by its linear part at the corrupt run (Nanda,
"Attribution patching", 2023; Syed, Rager & Conmy, arXiv:2310.10348):

    effect ~ (a_clean - a_corrupt) . dm/da

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
from ..session.session import Session, Text
from ..session.sites import Site
from .activation_patching import prepare
from .patching_run import PatchingRun, check_metric
from .progress import Progress, silent


def attribution_patching(
    model: Session,
    *,
    clean: Text,
    corrupt: Text,
    answer: str | int | None = None,
    foil: str | int | None = None,
    sites: Sequence[str] = ("resid_post",),
    positions: Sequence[int] | None = None,
    alignment: Sequence[Sequence[int]] | None = None,
    metric: str = "logit_difference",
    steps: int = 0,
    progress: Progress = silent,
) -> pl.DataFrame:
    """The estimated effect of every cell, one row per site and position (see `frames.ATTRIBUTION`).

    Args:
        model, clean, corrupt, answer, foil, sites, positions, alignment, metric: as in `activation_patching`.
        steps: 0 (default): the gradient at the corrupt run. From 1 on: midpoints of integrated gradients, which costs so many
            forward and backward passes from each site on.
        progress: called after each site when there are steps.

    Raises:
        TextError, AlignmentError, SiteError: as in `activation_patching`; TextError also for negative steps.
    """
    check_metric(metric)
    if steps < 0:
        raise TextError(f"steps must be 0 (the gradient at the corrupt run) or more, not {steps}.")
    run = prepare(model, clean, corrupt, answer, foil, sites, alignment)
    at = run.patchable(positions)
    change = {str(site): _change(run, site) for site in run.sites}
    residuals: dict[str, float | None] = dict.fromkeys(change)
    if steps == 0:
        gradients = _gradients_at_corrupt(model, run, metric)
    else:
        gradients = {}
        for done, site in enumerate(run.sites):
            progress(done, len(run.sites), str(site))
            gradients[str(site)], whole = _gradients_on_the_way(model, run, site, change[str(site)], metric, steps)
            residuals[str(site)] = whole - float((gradients[str(site)] * change[str(site)]).double().sum())
        progress(len(run.sites), len(run.sites))
    effects = {name: (gradients[name] * change[name]).double().flatten(1).sum(1).tolist() for name in change}
    method = "attribution" if steps == 0 else "integrated_gradients"
    return _frame(run, at, effects, residuals, metric, method)


def estimate(model: Session, run: PatchingRun) -> torch.Tensor:
    """What a sweep will find, to first order: effects on the logit difference [S, P], NaN where there is nothing to patch."""
    gradients = _gradients_at_corrupt(model, run, "logit_difference")
    out = torch.full(run.logit_difference.shape, torch.nan, dtype=torch.float64)
    at = [j for _, j in run.pairs]
    for row, site in enumerate(run.sites):
        product = gradients[str(site)] * _change(run, site)
        out[row, at] = product.double().flatten(1).sum(1).cpu()[at]
    return out


def _change(run: PatchingRun, site: Site) -> torch.Tensor:
    """Clean minus corrupt activations at each corrupt position, zero where there is no partner or cannot be a difference."""
    assert run.reading is not None
    clean, corrupt = run.reading.clean[str(site)], run.reading.corrupt[str(site)]
    out = torch.zeros_like(corrupt)
    pairs = [(i, j) for i, j in run.pairs if j not in run.unaffected]
    for i, j in pairs:
        out[j] = clean[i] - corrupt[j]
    return out


def _measure(logits: torch.Tensor, run: PatchingRun, metric: str) -> torch.Tensor:
    """[rows, vocabulary] -> [rows]"""
    logits = logits.float()
    if metric == "probability":
        return logits.softmax(-1)[:, run.answer]
    return logits[:, run.answer] - logits[:, run.foil]


def _gradients_at_corrupt(model: Session, run: PatchingRun, metric: str) -> dict[str, torch.Tensor]:
    """dm/da at every site, [tokens, ...]: one forward and one backward pass."""
    names = [str(site) for site in run.sites]
    used: dict[str, torch.Tensor] = {}

    def keep(name: str) -> Callable[[torch.Tensor], torch.Tensor]:
        """What is read may be a view beside the way of the computation, so a copy is put into it."""

        def edit(x: torch.Tensor) -> torch.Tensor:
            used[name] = x.clone()
            return used[name]

        return edit

    def then(values: dict[str, torch.Tensor]) -> list[torch.Tensor]:
        total = _measure(values["logits"][:, -1], run, metric).sum()
        return [g.detach() for g in torch.autograd.grad(total, [used[name] for name in names])]

    found = model.run(
        [run.corrupt["token_id"].to_list()],
        ["logits"],
        edit={"embed": lambda x: x.detach().requires_grad_(), **{name: keep(name) for name in names}},
        then=then,
        logits_to_keep=1,
        grad=True,
    )
    return {name: gradient[0] for name, gradient in zip(names, found, strict=True)}


def _gradients_on_the_way(
    model: Session, run: PatchingRun, site: Site, change: torch.Tensor, metric: str, steps: int
) -> tuple[torch.Tensor, float]:
    """The mean of dm/da over midpoints of the way to the clean activations [tokens, ...], and the whole effect of the site."""
    assert run.reading is not None
    way = torch.cat([(torch.arange(steps) + 0.5) / steps, torch.tensor([0.0, 1.0])]).to(change)
    start = run.reading.corrupt[str(site)]
    leaf = (start + way.reshape(-1, *[1] * start.dim()) * change).detach().requires_grad_()
    layer = int(site.layer or 0)
    stream = run.reading.stream(layer - 1).expand(len(way), -1, -1).clone()

    def then(values: dict[str, torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
        measured = _measure(values["logits"][:, -1], run, metric)
        [gradient] = torch.autograd.grad(measured[:steps].sum(), [leaf])
        return gradient[:steps].mean(0), measured[steps:].detach()

    gradient, (corrupt, whole) = model.run(
        [run.corrupt["token_id"].to_list()] * len(way),
        ["logits"],
        edit={str(site): lambda _: leaf},
        then=then,
        start=(layer, stream),
        logits_to_keep=1,
        grad=True,
    )
    return gradient, float(whole - corrupt)


def _frame(
    run: PatchingRun,
    at: Sequence[int],
    effects: dict[str, list[float]],
    residuals: dict[str, float | None],
    metric: str,
    method: str,
) -> pl.DataFrame:
    base, gap = float(getattr(run.corrupt_prediction, metric)[0]), run.gap(metric)
    rows = [row for row in range(len(run.sites)) for _ in at]
    positions = [position for _ in run.sites for position in at]
    found = [effects[str(run.sites[row])][position] for row, position in zip(rows, positions, strict=True)]
    columns = {
        **run.cells(rows, positions),
        "method": ["causal" if position in run.unaffected else method for position in positions],
        "metric": [base + effect for effect in found],
        "effect": found,
        "recovery": [None if gap != gap else effect / gap for effect in found],
        "residual": [residuals[str(run.sites[row])] for row in rows],
    }
    return frames.build(frames.ATTRIBUTION, columns)
