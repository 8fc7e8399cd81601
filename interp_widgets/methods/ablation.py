"""Ablation: take an activation away and see how much of the answer goes with it.

For a cell (site, position) the prompt is run with the activation there replaced by a value that carries nothing of this prompt:
zeros, or a mean over reference prompts (Wang et al. arXiv:2211.00593, section 2.2, prefer means, since zeros take a model out of
its data). Means are over all tokens, or position by position as in Marks et al. arXiv:2403.19647.

    effect = metric(ablated) - metric(prompt)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import polars as pl
import torch

from ..errors import AlignmentError, TextError
from ..progress import Progress, silent
from ..session.masking import sinks
from ..session.runner import Runner
from ..session.session import Session, Text
from ..session.sites import Site
from .activation_patching import expand_sites
from .choices import columns_of
from .patching_plan import open_run, plan_run
from .patching_run import PatchingRun, patching_frame
from .prediction import check_metric
from .reading import Output, Reading, Values, read_prompt, read_source, rows_of, sites_of
from .sweep import MEMORY, sweep

VALUES = ("zero", "mean", "position_mean")


def ablation(
    model: Session,
    prompt: Text,
    *,
    answer: str | int | None = None,
    foil: str | int | None = None,
    sites: Sequence[str] = ("head_out.*.*",),
    positions: Sequence[int | Sequence[int]] | None = None,
    value: str = "mean",
    reference: Sequence[Text] | None = None,
    metric: str = "logit_difference",
    memory: int = MEMORY,
    progress: Progress = silent,
) -> pl.DataFrame:
    """The exact effect of ablating every cell, one row per site and position (see `frames.PATCHING`; recovery is null).

    Args:
        model: a session.
        prompt: the prompt that is run.
        answer, foil: one token each; default: what the prompt predicts first and second.
        sites, positions, metric, memory, progress: as in `activation_patching`; `positions=[(0, -1)]` ablates a site in the whole
            prompt at once.
        value: "mean" (default) over the tokens of the reference prompts but for attention sinks, "position_mean" over the
            reference prompts at the same position (they must have as many tokens), or "zero".
        reference: prompts for the mean, default the prompt itself.

    Raises:
        TextError: a bad prompt, answer, foil, metric or value. AlignmentError: positions that do not exist, or reference prompts of
            another length with "position_mean". SiteError: as in `activation_patching`.
    """
    check_metric(metric)
    run = prepare_ablation(model, prompt, answer, foil, sites, positions, value, reference)
    sweep(model, run, memory=memory, progress=progress)
    return patching_frame(run, metric)


def prepare_ablation(
    model: Session,
    prompt: Text,
    answer: str | int | None,
    foil: str | int | None,
    sites: Sequence[str],
    positions: Sequence[int | Sequence[int]] | None = None,
    value: str = "mean",
    reference: Sequence[Text] | None = None,
) -> PatchingRun:
    """The unablated run and an empty grid."""
    if value not in VALUES:
        raise TextError(f"{value!r} is not a value to put in; choose one of {', '.join(VALUES)}.")
    rows, ids = expand_sites(model, sites), model.encode(prompt)
    others = [model.encode(text) for text in reference or [prompt]]
    if value == "position_mean" and (odd := [other for other in others if len(other) != len(ids)]):
        raise AlignmentError(
            f"A mean position by position needs reference prompts of {len(ids)} tokens as the prompt has; one has {len(odd[0])}. "
            "Use value='mean', or drop it."
        )
    wanted = sites_of(rows)

    def read(model: Runner) -> tuple[Reading, Output]:
        reading = read_prompt(model, ids, wanted)
        if value == "zero":
            values = {site: torch.zeros_like(own) for site, own in reading.own.items()}
        else:
            values = _means(model, reading.own, others, wanted, by_position=value == "position_mean")
        return replace(reading, put=rows_of(rows, values)), reading.output

    plan = plan_run(
        model,
        read,
        (ids, ids),
        [(p, p) for p in range(len(ids))],
        rows,
        columns_of(positions, len(ids)),
        (answer, foil),
        (("prompt", 0), ("prompt", 1)),
        [],
        method=value,
    )
    return open_run(model, plan)


def _means(
    model: Runner, own: Values, others: Sequence[list[int]], wanted: Sequence[Site], by_position: bool
) -> Values:
    """Per site the mean activation at each position of the prompt, [tokens, ...]."""
    stream = Site("resid_pre", model.num_layers // 2)
    sums = {site: torch.zeros_like(value if by_position else value[:1]) for site, value in own.items()}
    count = 0
    for ids in others:
        values, _ = read_source(model, ids, [*wanted, stream])
        masked = sinks(model, ids, values[stream].norm(dim=-1))
        kept = [p for p in range(len(ids)) if p not in masked] or list(range(len(ids)))
        for site, total in sums.items():
            total += values[site] if by_position else values[site][kept].sum(0, keepdim=True)
        count += 1 if by_position else len(kept)
    return {site: (total / count).expand_as(own[site]) for site, total in sums.items()}
