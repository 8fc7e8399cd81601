"""Activation patching: put one activation of the clean run into the corrupt run and see how much of the answer comes back.

For a cell (site, position) the corrupt prompt is run with the clean run's activation in that one place (Vig et al.
arXiv:2004.12265; Meng et al. arXiv:2202.05262; the metric and its normalisation follow Zhang & Nanda arXiv:2309.16042):

    effect   = metric(patched) - metric(corrupt)
    recovery = effect / (metric(clean) - metric(corrupt))

That is to *denoise*, and shows what is enough to bring the answer back. To *noise* is the other way round: the clean prompt is run
with the corrupt run's activation, and clean and corrupt change places in both formulas; it shows what the answer needs.

Exact: every cell is a run of all that a patch there can reach, and of nothing else (`sweep`). Where the two prompts agree from the
start, a causal model has equal activations, so those cells are zero without being run (method "causal"). Patches with the prompt's
own activations go the same way: they must change nothing, and how far they do is reported.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import polars as pl

from ..errors import SiteError
from ..progress import Progress, silent
from ..session.runner import Runner
from ..session.session import Session, Text
from ..session.sites import LAYER_KINDS, UNIT_KINDS, Site
from .alignment import align, check_pairs, shared_prefix
from .choices import columns_of, encode_both
from .patching_plan import Plan, open_run, plan_run
from .patching_run import PatchingRun, patching_frame
from .prediction import check_metric
from .reading import Output, Reading, Row, aligned, read_both, rows_of, sites_of
from .sweep import MEMORY, sweep

PATCHABLE = tuple(kind for kind in LAYER_KINDS if kind != "pattern")


def activation_patching(
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
    memory: int = MEMORY,
    progress: Progress = silent,
) -> pl.DataFrame:
    """The exact effect of every cell, one row per site and position (see `frames.PATCHING`).

    Args:
        model: a session.
        clean, corrupt: the two prompts.
        answer, foil: one token each; default: what the clean and the corrupt run predict.
        sites: kinds ("resid_post": all layers), sites ("attn_out.9", "head_out.9.6"), all of a layer's units ("head_out.9.*"), of
            all layers ("head_out.*.*"), or groups that are patched together ("head_out.9.6+head_out.9.9").
        positions: positions of the patched prompt, or spans (first, last) patched together; negative ones count from the end;
            default each one that has a partner in the other prompt.
        alignment: pairs (clean position, corrupt position) where the proposed ones are wrong.
        metric: "logit_difference" (default) or "probability" of the answer.
        direction: "denoise" (default): clean activations into the corrupt run; "noise": corrupt ones into the clean run.
        memory: bytes that a batch may take beside the model and what was read, default 512 MB; less means more batches.
        progress: called between pieces of work, and between layers, with the `PatchingRun` so far as `partial`.

    Raises:
        TextError: a bad prompt, answer or foil, or a metric or direction that does not exist.
        AlignmentError: pairs or positions that do not exist or have no partner.
        SiteError: a site that does not exist or cannot be patched.
    """
    check_metric(metric)
    run = prepare(model, clean, corrupt, answer, foil, sites, alignment, positions=positions, direction=direction)
    sweep(model, run, memory=memory, progress=progress)
    return patching_frame(run, metric)


def prepare(
    model: Session,
    clean: Text,
    corrupt: Text,
    answer: str | int | None,
    foil: str | int | None,
    sites: Sequence[str],
    alignment: Sequence[Sequence[int]] | None = None,
    *,
    positions: Sequence[int | Sequence[int]] | None = None,
    direction: str = "denoise",
) -> PatchingRun:
    """The two baseline runs and an empty grid."""
    plan = plan_pair(model, clean, corrupt, answer, foil, sites, alignment, positions=positions, direction=direction)
    run = open_run(model, plan)
    if positions is not None:
        run.check_partners()
    return run


def plan_pair(
    model: Session,
    clean: Text,
    corrupt: Text,
    answer: str | int | None,
    foil: str | int | None,
    sites: Sequence[str],
    alignment: Sequence[Sequence[int]] | None = None,
    *,
    positions: Sequence[int | Sequence[int]] | None = None,
    direction: str = "denoise",
) -> Plan:
    """What patching two prompts will run."""
    rows = expand_sites(model, sites)
    source, prompt = encode_both(model, clean, corrupt, direction)
    if alignment is None:
        pairs = align(source, prompt)
    else:
        given = [(j, i) if direction == "noise" else (i, j) for i, j in alignment]
        pairs = check_pairs(given, len(source), len(prompt))
    wanted = sites_of(rows)

    def read(model: Runner) -> tuple[Reading, Output]:
        (values, ended), reading = read_both(model, source, prompt, wanted)
        return replace(reading, put=rows_of(rows, aligned(reading.own, values, pairs))), ended

    clean_side, corrupt_side = ("prompt", "source") if direction == "noise" else ("source", "prompt")
    same = source == prompt
    return plan_run(
        model,
        read,
        (source, prompt),
        pairs,
        rows,
        columns_of(positions, len(prompt)),
        (answer, foil),
        ((clean_side, 0), (corrupt_side, 0)),
        [] if same else [j for i, j in pairs if i == j and j < shared_prefix(source, prompt)],
        direction,
    )


def check_patchable(site: Site) -> None:
    """Raises SiteError for a site that has no position."""
    if site.kind not in PATCHABLE:
        raise SiteError(f"{site} cannot be patched at a position; use one of {', '.join(PATCHABLE)}.")


def expand_sites(model: Session, sites: Sequence[str]) -> list[Row]:
    """Rows of a grid for a list of kinds, sites, `*` for each layer or unit, and groups joined by `+`.

    Raises:
        SiteError: a site that does not exist or cannot be patched, or an empty list.
    """
    rows: list[Row] = []
    for name in sites:
        if "+" in str(name):
            rows.append(tuple(dict.fromkeys(model.site(part) for part in str(name).split("+"))))
        else:
            rows += [(site,) for site in _each(model, str(name))]
    for site in sites_of(rows):
        check_patchable(site)
    if not rows:
        raise SiteError(f"There is no site to patch; name kinds or sites out of {', '.join(PATCHABLE)}.")
    return list(dict.fromkeys(rows))


def _each(model: Session, name: str) -> list[Site]:
    """All sites that a name with `*`, or a kind alone, stands for."""
    kind, *numbers = name.split(".")
    if kind in LAYER_KINDS and not numbers:
        numbers = ["*"]
    if not numbers or "*" not in numbers:
        return [model.site(name)]
    layers = range(model.num_layers) if numbers[0] == "*" else [numbers[0]]
    if len(numbers) == 1:
        return [model.site(f"{kind}.{layer}") for layer in layers]
    if numbers[1] == "*" and kind not in UNIT_KINDS:
        raise SiteError(f"{kind} has no units below the layer; {', '.join(UNIT_KINDS)} have.")
    units = range(model.layout.units(kind)[0]) if numbers[1] == "*" else [numbers[1]]
    return [model.site(f"{kind}.{layer}.{unit}") for layer in layers for unit in units]
