"""Activation patching: put one activation of the clean run into the corrupt run and see how much of the answer comes back.

For a cell (site, position) the corrupt prompt is run with the clean run's activation in that one place (Vig et al.
arXiv:2004.12265; Meng et al. arXiv:2202.05262; the metric and its normalisation follow Zhang & Nanda arXiv:2309.16042):

    effect   = metric(patched) - metric(corrupt)
    recovery = effect / (metric(clean) - metric(corrupt))

Exact: every cell is a forward pass. Three things make it cheap. Layers below the patch are not run, since the corrupt run's
stream into the patched layer is known; the positions of one site are rows of one batch; and where the two prompts agree from
the start, a causal model has equal activations, so those cells are zero without being run (method "causal"). Each batch holds
one more row, patched with the corrupt run's own activations: it must change nothing, and how far it does is reported.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import polars as pl
import torch

from ..errors import AlignmentError, SiteError, TextError
from ..session.session import Session, Text
from ..session.sites import LAYER_KINDS, Site
from .alignment import align, check_pairs, shared_prefix
from .patching_run import PatchingRun, Prediction, patching_frame
from .progress import Progress, silent
from .ranking import top_k as largest

METRICS = ("logit_difference", "probability")
TOKENS_AT_ONCE = 4096
"""Rows x tokens of one batch; more rows go into further batches."""
PATCHABLE = tuple(kind for kind in LAYER_KINDS if kind != "pattern")


def activation_patching(
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
    progress: Progress = silent,
) -> pl.DataFrame:
    """The exact effect of every cell, one row per site and position (see `frames.PATCHING`).

    Args:
        model: a session.
        clean, corrupt: the two prompts. Activations of the clean run are put into the corrupt run.
        answer, foil: one token each; default: what the clean and the corrupt run predict.
        sites: kinds ("resid_post": all layers) or sites ("attn_out.9", "head_out.9.6").
        positions: corrupt positions to patch, default all that have a partner in the clean prompt.
        alignment: pairs (clean position, corrupt position) where the proposed ones are wrong.
        metric: "logit_difference" (default) or "probability" of the answer.
        progress: called after each site with the `PatchingRun` so far as `partial`.

    Raises:
        TextError: a bad prompt, answer or foil, or a metric that does not exist.
        AlignmentError: pairs or positions that do not exist.
        SiteError: a site that does not exist or cannot be patched.
    """
    if metric not in METRICS:
        raise TextError(f"{metric!r} is not a metric; choose one of {', '.join(METRICS)}.")
    run = prepare(model, clean, corrupt, answer, foil, sites, alignment)
    sweep(model, run, positions=positions, progress=progress)
    return patching_frame(run, metric)


def expand_sites(model: Session, sites: Sequence[str]) -> list[Site]:
    """Sites for a list of kinds and sites; a kind stands for all layers."""
    out: list[Site] = []
    for name in sites:
        whole = str(name) in LAYER_KINDS
        found = [model.site(f"{name}.{layer}") for layer in range(model.num_layers)] if whole else [model.site(name)]
        for site in found:
            if site.kind not in PATCHABLE:
                raise SiteError(f"{site} cannot be patched at a position; use one of {', '.join(PATCHABLE)}.")
        out += found
    return list(dict.fromkeys(out))


@dataclass
class _Caches:
    """Activations of the two prompts at the sites of a sweep, and the corrupt stream into every layer. [tokens, ...] each."""

    clean: dict[str, torch.Tensor]
    corrupt: dict[str, torch.Tensor]


def prepare(
    model: Session,
    clean: Text,
    corrupt: Text,
    answer: str | int | None,
    foil: str | int | None,
    sites: Sequence[str],
    alignment: Sequence[Sequence[int]] | None = None,
    top_k: int = 5,
) -> PatchingRun:
    """The two baseline runs and an empty grid."""
    wanted = expand_sites(model, sites)
    ids = [model.encode(clean), model.encode(corrupt)]
    logits = [model.run([prompt], ["logits"], logits_to_keep=1)["logits"][0].float() for prompt in ids]
    answer = _token(model, answer, "answer", logits[0])
    foil = _token(model, foil, "foil", logits[1])
    if answer == foil:
        raise TextError(
            f"Answer and foil are both {model.text_of(answer)!r}; the logit difference needs two different tokens."
        )
    pairs = align(*ids) if alignment is None else check_pairs(alignment, len(ids[0]), len(ids[1]))
    same = ids[0] == ids[1]
    grid = (len(wanted), len(ids[1]))
    precise = next(model.torch_module.parameters()).dtype == torch.float32
    return PatchingRun(
        clean=model.tokens(ids[0]),
        corrupt=model.tokens(ids[1]),
        pairs=pairs,
        sites=wanted,
        answer=answer,
        foil=foil,
        clean_prediction=_predict(logits[0], answer, foil, top_k),
        corrupt_prediction=_predict(logits[1], answer, foil, top_k),
        unaffected=[] if same else [j for i, j in pairs if i == j and j < shared_prefix(*ids)],
        tolerance=1e-3 if precise else 0.25,
        logit_difference=torch.full(grid, torch.nan, dtype=torch.float64),
        probability=torch.full(grid, torch.nan, dtype=torch.float64),
        top_ids=torch.full((*grid, top_k), -1),
        top_probabilities=torch.full((*grid, top_k), torch.nan, dtype=torch.float64),
    )


def sweep(
    model: Session,
    run: PatchingRun,
    *,
    positions: Sequence[int] | None = None,
    first: str | None = None,
    progress: Progress = silent,
) -> None:
    """Fill the grid: all cells that are not filled, the kind `first` before the others, layers coarse to fine."""
    source = {j: i for i, j in run.pairs}
    wanted = sorted(source) if positions is None else [int(p) for p in positions]
    if lost := [p for p in wanted if p not in source]:
        raise AlignmentError(
            f"Position {lost[0]} of the corrupt prompt has no partner in the clean one, so nothing can be put there."
        )
    _fill_unaffected(run, [p for p in wanted if p in run.unaffected])
    at = [p for p in wanted if p not in run.unaffected]
    todo = [row for row in _coarse_to_fine(run.sites, first) if run.logit_difference[row, at].isnan().any()]
    progress(0, len(todo), "reading both prompts", run)
    caches = _read_both(model, run)
    batch = max(1, TOKENS_AT_ONCE // len(run.corrupt) - 1)
    for done, row in enumerate(todo):
        progress(done, len(todo), str(run.sites[row]), run)
        for begin in range(0, len(at), batch):
            _patch(model, run, caches, row, at[begin : begin + batch], source)
    progress(len(todo), len(todo), "", run)


def _read_both(model: Session, run: PatchingRun) -> _Caches:
    names = [str(site) for site in run.sites]
    streams = [f"resid_pre.{layer}" for layer in range(model.num_layers)]
    return _Caches(
        model.read(run.clean["token_id"].to_list(), names),
        model.read(run.corrupt["token_id"].to_list(), dict.fromkeys([*names, *streams])),
    )


def _patch(model: Session, run: PatchingRun, caches: _Caches, row: int, at: list[int], source: dict[int, int]) -> None:
    """One site, one batch: a row for each position of `at`, then the identity row."""
    if not at:
        return
    site = run.sites[row]
    clean, corrupt = caches.clean[str(site)], caches.corrupt[str(site)]
    patched = corrupt.expand(len(at) + 1, *corrupt.shape).clone()
    patched[range(len(at)), at] = clean[[source[p] for p in at]]
    assert site.layer is not None
    edit: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {}
    if site.kind == "resid_pre":
        start = (site.layer, patched)
    elif site.kind == "resid_post" and site.layer + 1 < model.num_layers:
        start = (site.layer + 1, patched)
    else:
        stream = caches.corrupt[f"resid_pre.{site.layer}"]
        start, edit = (site.layer, stream.expand(len(at) + 1, -1, -1).clone()), {str(site): lambda _: patched}
    ids = [run.corrupt["token_id"].to_list()] * (len(at) + 1)
    logits = model.run(ids, ["logits"], edit=edit, start=start, logits_to_keep=1)["logits"][:, -1].float()
    out = _predict(logits, run.answer, run.foil, run.top_ids.shape[-1])
    run.logit_difference[row, at] = out.logit_difference[:-1]
    run.probability[row, at] = out.probability[:-1]
    run.top_ids[row, at] = out.top_ids[:-1]
    run.top_probabilities[row, at] = out.top_probabilities[:-1]
    run.identity.append(float(out.logit_difference[-1] - run.corrupt_prediction.logit_difference[0]))


def _fill_unaffected(run: PatchingRun, at: list[int]) -> None:
    base = run.corrupt_prediction
    run.logit_difference[:, at] = base.logit_difference[0]
    run.probability[:, at] = base.probability[0]
    run.top_ids[:, at] = base.top_ids[0]
    run.top_probabilities[:, at] = base.top_probabilities[0]


def _predict(logits: torch.Tensor, answer: int, foil: int, k: int) -> Prediction:
    """`logits` [rows, vocabulary]"""
    values, indices = largest(logits, min(k, logits.shape[-1]))
    total = logits.double().logsumexp(-1)
    return Prediction(
        (logits[:, answer] - logits[:, foil]).double().cpu(),
        (logits[:, answer].double() - total).exp().cpu(),
        indices.cpu(),
        values.double().cpu(),
        (values.double() - total[:, None]).exp().cpu(),
    )


def _token(model: Session, token: str | int | None, role: str, logits: torch.Tensor) -> int:
    return int(logits[-1].argmax()) if token is None or token == "" else model.single_token(token, role)


def _coarse_to_fine(sites: Sequence[Site], first: str | None) -> list[int]:
    """Indices of the sites, kind by kind, each kind's layers so that the whole picture shows early: 0, middle, quarters, ..."""
    kinds = sorted(dict.fromkeys(site.kind for site in sites), key=lambda kind: kind != first)
    out = []
    for kind in kinds:
        rows = [i for i, site in enumerate(sites) if site.kind == kind]
        bits = len(rows).bit_length()
        out += sorted(rows, key=lambda i: int(f"{rows.index(i):0{bits}b}"[::-1], 2))
    return out
