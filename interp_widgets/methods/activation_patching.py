"""Activation patching: put one activation of the clean run into the corrupt run and see how much of the answer comes back.

For a cell (site, position) the corrupt prompt is run with the clean run's activation in that one place (Vig et al.
arXiv:2004.12265; Meng et al. arXiv:2202.05262; the metric and its normalisation follow Zhang & Nanda arXiv:2309.16042):

    effect   = metric(patched) - metric(corrupt)
    recovery = effect / (metric(clean) - metric(corrupt))

Exact: every cell is a run of all that a patch there can reach, and of nothing else (`suffix_sweep`; models that cannot be
continued from the middle are swept by `row_sweep`). Where the two prompts agree from the start, a causal model has equal
activations, so those cells are zero without being run (method "causal"). Patches with the corrupt run's own activations go the
same way: they must change nothing, and how far they do is reported.
"""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl
import torch

from ..errors import Cancelled, SiteError, TextError
from ..session.session import Session, Text
from ..session.sites import LAYER_KINDS, Site
from . import row_sweep, suffix_sweep
from .alignment import align, check_pairs, shared_prefix
from .patching_run import PatchingRun, Reading, check_metric, patching_frame, predict
from .progress import Progress, silent

BUDGET = 64
"""Tokens of the suffixes that share a row; more cost attention that is thrown away, fewer leave the products thin."""
MEMORY = 2**29
"""Bytes that a batch may take beside the model and what was read."""
# A change of a key or a value reaches later positions of its own layer, which the sweep takes no account of.
PATCHABLE = tuple(kind for kind in LAYER_KINDS if kind not in ("q", "k", "v", "pattern"))


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
    memory: int = MEMORY,
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
        memory: bytes that a batch may take beside the model and what was read, default 512 MB; less means more batches.
        progress: called between pieces of work, and between layers, with the `PatchingRun` so far as `partial`.

    Raises:
        TextError: a bad prompt, answer or foil, or a metric that does not exist.
        AlignmentError: pairs or positions that do not exist.
        SiteError: a site that does not exist or cannot be patched.
    """
    check_metric(metric)
    run = prepare(model, clean, corrupt, answer, foil, sites, alignment)
    sweep(model, run, positions=positions, memory=memory, progress=progress)
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
    reading = suffix_sweep.read_both(model, ids[0], ids[1], wanted)
    logits = [values["logits"].float() for values in (reading.clean, reading.corrupt)]
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
        clean_prediction=predict(logits[0], answer, foil, top_k),
        corrupt_prediction=predict(logits[1], answer, foil, top_k),
        unaffected=[] if same else [j for i, j in pairs if i == j and j < shared_prefix(*ids)],
        tolerance=1e-3 if precise else 0.25,
        logit_difference=torch.full(grid, torch.nan, dtype=torch.float64),
        probability=torch.full(grid, torch.nan, dtype=torch.float64),
        top_ids=torch.full((*grid, top_k), -1),
        top_probabilities=torch.full((*grid, top_k), torch.nan, dtype=torch.float64),
        reading=reading,
    )


def sweep(
    model: Session,
    run: PatchingRun,
    *,
    positions: Sequence[int] | None = None,
    first: str | None = None,
    budget: int = BUDGET,
    memory: int = MEMORY,
    progress: Progress = silent,
) -> None:
    """Fill the grid: all cells that are not filled, the kind `first` before the others, the last positions first."""
    wanted = run.patchable(positions)
    for row in range(len(run.sites)):
        run.fill(row, [p for p in wanted if p in run.unaffected], run.corrupt_prediction)
    kinds = sorted(dict.fromkeys(site.kind for site in run.sites), key=lambda kind: kind != first)
    missing = {kind: _missing(run, kind, wanted) for kind in kinds}
    work = [(kind, at) for kind, todo in missing.items() for at in suffix_sweep.packs(todo, len(run.corrupt), budget)]
    progress(0, len(work), "", run)
    if not work:
        run.reading = None
        return
    clean, corrupt = (prompt["token_id"].to_list() for prompt in (run.clean, run.corrupt))
    reading = run.reading or suffix_sweep.read_both(model, clean, corrupt, run.sites)
    run.reading = None  # however this ends, a result that is kept does not keep both prompts' activations
    ready: dict[str, list[suffix_sweep.Change] | None] = {}
    for done, (kind, at) in enumerate(work):
        report = _within(progress, done, len(work), kind, run)
        report(0, 0, f"positions {at[-1]} to {at[0]}")
        if kind not in ready:
            ready[kind] = _prepare_kind(model, run, reading, kind, missing[kind])
        _patch(model, run, reading, kind, at, ready[kind], memory, report)
    progress(len(work), len(work), "", run)


def _within(progress: Progress, piece: int, pieces: int, kind: str, run: PatchingRun) -> Progress:
    """The progress inside one piece of the work: its own count is told in words."""

    def inner(done: int, total: int, message: str = "", partial: object = None) -> None:
        progress(piece, pieces, f"{kind}, {message}", run)

    return inner


def _missing(run: PatchingRun, kind: str, wanted: Sequence[int]) -> list[int]:
    """Positions where a site of that kind has no value yet."""
    rows = _rows(run, kind)
    return [p for p in wanted if run.logit_difference[rows, p].isnan().any()]


def _rows(run: PatchingRun, kind: str) -> list[int]:
    return [row for row, site in enumerate(run.sites) if site.kind == kind]


def _prepare_kind(
    model: Session,
    run: PatchingRun,
    reading: Reading,
    kind: str,
    positions: list[int],
) -> list[suffix_sweep.Change] | None:
    """The patched streams of a kind of site, once patches that must change nothing have changed nothing; else None.

    The check runs the lowest, a middle and the highest layer at the first, a middle and the last position: a wrong mask, window or
    cache shows there. A model that cannot be continued at all raises there.
    """
    rows = _rows(run, kind)
    if not reading.kept:
        return None
    few = [rows[i] for i in sorted({0, len(rows) // 2, len(rows) - 1})]
    at = [positions[i] for i in sorted({0, len(positions) // 2, len(positions) - 1})]
    try:
        own = suffix_sweep.changes(model, run, reading, few, own=True)
        unchanged = suffix_sweep.patch(model, run, reading, own, at)
    except (Cancelled, MemoryError):
        raise
    except Exception:  # whatever a model says that takes no cache, mask or positions: it is swept row by row
        return None
    seen = list(run.identity)
    if not run.check(unchanged):
        run.identity[:] = seen  # the rows will be checked in their own way
        return None
    return suffix_sweep.changes(model, run, reading, rows)


def _patch(
    model: Session,
    run: PatchingRun,
    reading: Reading,
    kind: str,
    at: list[int],
    ready: list[suffix_sweep.Change] | None,
    memory: int,
    progress: Progress,
) -> None:
    """All sites of a kind at some positions."""
    if ready is not None:
        step = suffix_sweep.most_rows(model, at, len(run.corrupt), memory)
        for begin in range(0, len(ready), step):
            part = ready[begin : begin + step]
            cells = suffix_sweep.patch(model, run, reading, part, at, progress)
            for i, change in enumerate(part):
                run.fill(change.row, at, cells[i * len(at) : (i + 1) * len(at)])
        return
    step = row_sweep.most_rows(len(run.corrupt))
    for row in _rows(run, kind):
        progress(0, 0, str(run.sites[row]))
        for begin in range(0, len(at), step):
            some = at[begin : begin + step]
            cells = row_sweep.patch(model, run, reading, row, some)
            run.fill(row, some, cells[:-1])
            run.check(cells[-1:])


def _token(model: Session, token: str | int | None, role: str, logits: torch.Tensor) -> int:
    return int(logits[-1].argmax()) if token is None or token == "" else model.single_token(token, role)
