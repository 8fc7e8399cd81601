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
from ..session.session import Session, Text
from .activation_patching import prepare
from .patching_run import PatchingRun, patching_frame
from .prediction import check_metric
from .reading import Reading
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
    assert run.reading is not None
    own, source = (sae.encode(x.float()) for x in (run.reading.own[site], run.reading.put[0][site]))
    scale = sae.scale(sae.flat(run.reading.own[site]))
    chosen = _chosen(sae, atoms, top, (source - own) * scale, run)
    activations = {atom: (source[:, atom].tolist(), own[:, atom].tolist()) for atom in chosen}

    def with_atoms(reading: Reading) -> Reading:
        read, other, x = reading.own[site], reading.put[0][site], reading.own[out]
        change = (sae.encode(other.float()) - sae.encode(read.float()))[:, chosen] * sae.scale(sae.flat(read))
        steps = torch.stack([change[:, [i]] * sae.direction(atom) for i, atom in enumerate(chosen)])
        return replace(reading, put=[{out: x + step.reshape(x.shape).to(x)} for step in steps])

    read, first = run.read, run.reading
    run = run.regrid([(out,)] * len(chosen), lambda: with_atoms(read()))
    run.reading = with_atoms(first)
    sweep(model, run, memory=memory, progress=progress)
    rows, columns = run.done.nonzero(as_tuple=True)
    positions_ = [run.columns[c][0] for c in columns.tolist()]
    named = [chosen[row] for row in rows.tolist()]
    frame = patching_frame(run, metric).with_columns(
        pl.Series("atom", named),
        pl.Series("source_activation", [activations[a][0][p] for a, p in zip(named, positions_, strict=True)]),
        pl.Series("activation", [activations[a][1][p] for a, p in zip(named, positions_, strict=True)]),
    )
    return frames.build(frames.ATOM_PATCHING, {name: frame[name] for name in frames.ATOM_PATCHING})


def _chosen(
    sae: Dictionary, atoms: Sequence[int] | None, top: int, change: torch.Tensor, run: PatchingRun
) -> list[int]:
    if atoms is not None:
        for atom in atoms:
            sae.check_atom(atom)
        return list(dict.fromkeys(int(atom) for atom in atoms))
    at = sorted({p for c in run.patchable for p in run.columns[c]} - set(run.unaffected))
    size = change[at].abs().amax(0) if at else change.abs().amax(0)
    size = size * sae.W_dec.norm(dim=1)
    return size.topk(min(top, sae.width)).indices.tolist()
