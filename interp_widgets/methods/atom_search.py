"""Finding atoms: those that fire here and not there, and those that point the same way."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl
import torch

from .. import frames
from ..errors import TextError
from ..sae.dictionary import Dictionary
from ..session.session import Session, Text
from .atom_activations import AtomsRun, run_several


def search_atoms(
    model: Session,
    text: Text,
    *,
    sae: Dictionary,
    positions: Sequence[int] | None = None,
    other: Text | None = None,
    count: int = 20,
) -> pl.DataFrame:
    """Atoms that fire on some tokens more than on others (see `frames.ATOM_SEARCH`), the largest difference first.

    The score of an atom is |d_i| (mean activation here - mean activation there): by how much more it writes into the stream.

    Args:
        model: a session.
        text: where to look.
        sae: a dictionary of this model.
        positions: which of its tokens; default all that are not masked.
        other: compare with this text. Default: with the text's other tokens; with nothing, if all were asked for.
        count: how many atoms, default 20; only such with a positive score are listed.

    Raises:
        TextError: an empty or too long text, or a position that does not exist.
        SiteError, DictionaryError: the dictionary does not fit the model.
    """
    runs = run_several(model, [text] if other is None else [text, other], sae=sae)
    return compare_runs(runs[0], sae, positions, None if other is None else runs[1], count=count)


def compare_runs(
    run: AtomsRun, sae: Dictionary, positions: Sequence[int] | None, other: AtomsRun | None, *, count: int = 20
) -> pl.DataFrame:
    """`search_atoms` on texts that have been read."""
    length = len(run.tokens)
    if positions is not None and (not positions or any(not 0 <= p < length for p in positions)):
        raise TextError(f"Positions {list(positions)} are not all in 0 to {length - 1}, the tokens of this text.")
    here = [p for p in range(length) if p not in run.masked] if positions is None else sorted(set(positions))
    rest = other or run
    kept = [p for p in range(len(rest.tokens)) if p not in rest.masked]
    there = kept if other is not None else [p for p in kept if p not in set(here)]
    means, fires = zip(*(_over(sae.width, *each) for each in ((run, here), (rest, there))), strict=True)
    score = (means[0] - means[1]) * sae.W_dec.norm(dim=1).cpu().double()
    best = score.topk(min(count, sae.width)).indices
    best = best[score[best] > 0]
    columns = {
        "atom": best.tolist(),
        "score": score[best].tolist(),
        "here": means[0][best].tolist(),
        "there": means[1][best].tolist(),
        "fires_here": fires[0][best].tolist(),
        "fires_there": fires[1][best].tolist(),
    }
    return frames.build(frames.ATOM_SEARCH, columns)


def _over(width: int, run: AtomsRun, positions: Sequence[int]) -> tuple[torch.Tensor, torch.Tensor]:
    """Mean activation of every atom over some tokens, and the share of them on which it is active: both [atoms]."""
    among = torch.isin(run.position, torch.tensor(list(positions), dtype=run.position.dtype))
    atom, total = run.atom[among], max(1, len(positions))
    sums = torch.zeros(width, dtype=torch.float64).index_add_(0, atom, run.activation[among].double())
    return sums / total, torch.bincount(atom, minlength=width).double() / total


def similar_atoms(sae: Dictionary, to: int | torch.Tensor, *, count: int = 10) -> pl.DataFrame:
    """Atoms whose decoder directions have the largest cosine with a given one (see `frames.SIMILAR_ATOMS`).

    Args:
        sae: a dictionary.
        to: an atom, which is left out of the list, or a direction [width of what it writes].
        count: how many, default 10.

    Raises:
        DictionaryError: an atom that does not exist.
        TextError: a direction of another size.
    """
    direction = sae.direction(to) if isinstance(to, int) else to.detach().to(sae.W_dec)
    if direction.shape != sae.W_dec.shape[1:]:
        raise TextError(f"The directions of {sae.name} have size {sae.W_dec.shape[1]}, not {tuple(direction.shape)}.")
    cosine = torch.nn.functional.cosine_similarity(sae.W_dec, direction[None], dim=1)
    if isinstance(to, int):
        cosine[to] = -torch.inf
    values, atoms = cosine.topk(min(count, sae.width - isinstance(to, int)))
    columns = {"atom": atoms.tolist(), "rank": range(1, len(atoms) + 1), "cosine": values.tolist()}
    return frames.build(frames.SIMILAR_ATOMS, columns)
