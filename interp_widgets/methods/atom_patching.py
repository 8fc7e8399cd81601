"""Patching of single atoms of a dictionary: one feature of the clean run, put into the corrupt run.

With x the activation at the dictionary's site and a its atoms, x = sum_i a_i d_i + bias + error. Patching atom i at a position
replaces a_i alone and keeps every other atom and the error as they are (Marks et al. arXiv:2403.19647):

    x' = x + (a_i(clean) - a_i(corrupt)) d_i

Of a transcoder, a is read at one site and x is the activation that it writes. Where a dictionary norms its inputs, d_i is scaled
back as at the corrupt run's own activation.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import polars as pl
import torch

from .. import frames
from ..progress import Progress, silent
from ..sae.dictionary import Dictionary
from ..sae.fits import check_fits
from ..session.runner import Runner
from ..session.session import Session, Text
from ..session.sites import Site
from .activation_patching import prepare
from .patching_run import PatchingRun, patching_frame
from .prediction import check_metric
from .reading import Output, Reading
from .sweep import MEMORY, sweep


def atom_patching(
    model: Session,
    sae: Dictionary,
    *,
    clean: Text,
    corrupt: Text,
    answer: str | int | None = None,
    foil: str | int | None = None,
    atoms: Sequence[int] | None = None,
    top: int = 20,
    positions: Sequence[int | Sequence[int]] | None = None,
    alignment: Sequence[Sequence[int]] | None = None,
    metric: str = "logit_difference",
    direction: str = "denoise",
    memory: int = MEMORY,
    progress: Progress = silent,
) -> pl.DataFrame:
    """The exact effect of patching each atom at each position (see `frames.ATOM_PATCHING`).

    Args:
        model, clean, corrupt, answer, foil, positions, alignment, metric, direction, memory, progress: as in `activation_patching`.
        sae: a dictionary of this model, from `iw.load_sae`.
        atoms: which atoms; default the `top` (20) whose |change of activation| x |direction| is largest at one of the positions.

    Raises:
        DictionaryError: an atom that does not exist, or a dictionary without a site of this model.
        TextError, AlignmentError: as in `activation_patching`.
    """
    check_metric(metric)
    check_fits(model, sae)
    both = [f"{sae.site}+{sae.site_out}"]
    run = prepare(model, clean, corrupt, answer, foil, both, alignment, positions=positions, direction=direction)
    site, out = model.site(sae.site), model.site(sae.site_out)
    for atom in atoms or []:
        sae.check_atom(atom)
    chosen, source, own = model.work(_activations, run.bare(model), sae, site, atoms, top)

    def with_atoms(reading: Reading) -> Reading:
        read, other, x = reading.own[site], reading.put[0][site], reading.own[out]
        change = (sae.encode(other.float()) - sae.encode(read.float()))[:, chosen] * sae.scale(sae.flat(read))
        steps = torch.stack([change[:, [i]] * sae.direction(atom) for i, atom in enumerate(chosen)])
        return replace(reading, put=[{out: x + step.reshape(x.shape).to(x)} for step in steps])

    read_both, first = run.read, run.reading

    def read(model: Runner) -> tuple[Reading, Output]:
        reading, ended = read_both(model)
        return with_atoms(reading), ended

    run = run.regrid([(out,)] * len(chosen), read)
    run.reading = first and with_atoms(first)
    sweep(model, run, memory=memory, progress=progress)
    rows, columns = run.done.nonzero(as_tuple=True)
    positions_ = [run.columns[c][0] for c in columns.tolist()]
    named = [chosen[row] for row in rows.tolist()]
    frame = patching_frame(run, metric).with_columns(
        pl.Series("atom", named),
        pl.Series("source_activation", source[positions_, rows].tolist()),
        pl.Series("activation", own[positions_, rows].tolist()),
    )
    return frames.build(frames.ATOM_PATCHING, {name: frame[name] for name in frames.ATOM_PATCHING})


def _activations(
    model: Runner, run: PatchingRun, sae: Dictionary, site: Site, atoms: Sequence[int] | None, top: int
) -> tuple[list[int], torch.Tensor, torch.Tensor]:
    """The atoms to patch, and their activations in the source and in the prompt, [tokens, atoms]."""
    run.reading = run.reading or run.read(model)[0]
    read = run.reading.own[site]
    own, source = (sae.encode(x.float()) for x in (read, run.reading.put[0][site]))
    if atoms is not None:
        chosen = list(dict.fromkeys(int(atom) for atom in atoms))
    else:
        change = (source - own) * sae.scale(sae.flat(read))
        at = sorted({p for c in run.patchable for p in run.columns[c]} - set(run.unaffected))
        size = change[at].abs().amax(0) if at else change.abs().amax(0)
        chosen = (size * sae.W_dec.norm(dim=1)).topk(min(top, sae.width)).indices.tolist()
    return chosen, source[:, chosen].cpu(), own[:, chosen].cpu()
