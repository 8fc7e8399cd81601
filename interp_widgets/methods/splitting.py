"""What becomes of an atom in a wider dictionary: one atom much like it, several that share its work, or nothing.

Candidates are the atoms of the wider dictionary whose directions are nearest. With texts, the set is built greedily: each step
takes the candidate that best explains the atom's activation together with those before it (orthogonal matching pursuit: Pati et
al. 1993), by least squares with an intercept over all counted tokens. Feature splitting: Bricken et al. 2023; Leask et al.,
arXiv:2502.04878.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import polars as pl
import torch

from .. import frames
from ..errors import DictionaryError, TextError
from ..progress import Progress, silent
from ..sae.dictionary import Dictionary
from ..sae.fits import check_fits
from ..session.harvest import Batch, Texts, Values, batches, each_batch, read_batch
from ..session.runner import Runner
from ..session.session import Session

CANDIDATES = 32
ATOMS = 16


def splitting(
    sae: Dictionary,
    wider: Dictionary,
    *,
    atoms: Sequence[int] | None = None,
    top: int = 5,
    model: Session | None = None,
    texts: Texts | None = None,
    context: int | None = None,
    progress: Progress = silent,
) -> pl.DataFrame:
    """For some atoms, their set in a wider dictionary of the same site (see `frames.SPLITTING`).

    Args:
        sae, wider: two dictionaries of one site.
        atoms: which; default 16, evenly over the numbers of the atoms.
        top: how many atoms a set has, default 5; by cosine, or with texts the best set among the 32 of largest cosine.
        model, texts: where to measure activations; both or neither.
        context: tokens of a window, see `audit`.

    Raises:
        DictionaryError: two sites, an atom that does not exist, or a dictionary that does not fit the model. TextError: texts
            without a model, or the other way round.
    """
    if (sae.site, sae.d_in) != (wider.site, wider.d_in):
        raise DictionaryError(
            f"{sae.name} is for {sae.site} (size {sae.d_in}) and {wider.name} for {wider.site} (size {wider.d_in}). Give two "
            "dictionaries of one site."
        )
    if (model is None) != (texts is None):
        raise TextError("Activations need a model and texts. Give both, or neither for cosines alone.")
    step = max(1, sae.width // ATOMS)
    chosen = list(dict.fromkeys(range(0, sae.width, step) if atoms is None else (int(a) for a in atoms)))
    if atoms is None:
        chosen = chosen[:ATOMS]
    for atom in chosen:
        sae.check_atom(atom)
    count = min(wider.width, max(top, CANDIDATES if texts is not None else top))
    normed = [torch.nn.functional.normalize(d.W_dec.cpu().float(), dim=1) for d in (sae, wider)]
    cosines, candidates = (normed[0][chosen] @ normed[1].T).topk(count, dim=1)
    rows: list[dict[str, Any]] = []
    sums = (
        None
        if model is None or texts is None
        else _Sums(model, texts, sae, wider, chosen, candidates, context, progress)
    )
    for at, atom in enumerate(chosen):
        order, explained = (list(range(top)), None) if sums is None else _greedy(sums.moments[at], sums.tokens, top)
        for rank, which in enumerate(order[:count]):
            row: dict[str, Any] = {
                "atom": atom,
                "rank": rank + 1,
                "wider_atom": int(candidates[at, which]),
                "cosine": float(cosines[at, which]),
            }
            if sums is not None and explained is not None:
                both, mine, theirs = (float(x) for x in (sums.both[at, which], sums.mine[at], sums.theirs[at, which]))
                row |= {
                    "together": both / mine if mine else None,
                    "back": both / theirs if theirs else None,
                    "explained": explained[rank],
                    "n": int(mine),
                }
            rows.append(row)
    return frames.build(frames.SPLITTING, {name: [row.get(name) for row in rows] for name in frames.SPLITTING})


class _Sums:
    """Second moments of each atom with its candidates, and how often they fire, over the counted tokens of texts."""

    def __init__(
        self, model: Session, texts: Texts, sae: Dictionary, wider: Dictionary, chosen: list[int], candidates: torch.Tensor,
        context: int | None, progress: Progress,
    ) -> None:  # fmt: skip
        for each in (sae, wider):
            check_fits(model, each)
        atoms, count = candidates.shape
        self.tokens = 0
        self.moments = torch.zeros(atoms, count + 2, count + 2, dtype=torch.float64)
        """[atoms, 2 + candidates, ...]: sums of products of (1, the atom, its candidates)"""
        self.mine = torch.zeros(atoms)
        self.theirs, self.both = torch.zeros(atoms, count), torch.zeros(atoms, count)

        cut = batches(model, texts, context=context)
        stream = each_batch(model, cut, _moments, sae, wider, chosen, candidates, progress=progress)
        for done, (_, found) in enumerate(stream):
            tokens, moments, mine, theirs, both = found
            self.tokens += tokens
            self.moments += moments
            self.mine += mine
            self.theirs += theirs
            self.both += both
            progress(done + 1, 0, "reading the texts")
        if not self.tokens:
            raise TextError("There are no texts. Give some to measure activations on.")


def _moments(
    model: Runner, batch: Batch, sae: Dictionary, wider: Dictionary, chosen: list[int], candidates: torch.Tensor
) -> tuple[int, torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """The sums of one batch: its tokens, and `_Sums.moments`, `mine`, `theirs` and `both`."""

    def take(
        values: Values, counts: torch.Tensor
    ) -> tuple[int, torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
        x = values[sae.site][counts].float()
        a = sae.encode(x)[:, chosen].cpu()
        others = wider.encode(x)[:, candidates.to(x.device)].cpu()
        table = torch.cat([torch.ones(*a.shape, 1), a[..., None], others], 2).double()
        fires, theirs = a > 0, others > 0
        together = (fires[..., None] & theirs).sum(0)
        return len(x), torch.einsum("tai,taj->aij", table, table), fires.sum(0), theirs.sum(0), together

    return read_batch(model, batch, [sae.site], take)


def _greedy(moments: torch.Tensor, tokens: int, top: int) -> tuple[list[int], list[float | None]]:
    """Candidates in the order taken, and R^2 of the atom's activation with those up to each; None for an atom that never fires."""
    mean = moments[0, 1:] / tokens
    covariance = moments[1:, 1:] / tokens - torch.outer(mean, mean)
    total = float(covariance[0, 0])
    chosen: list[int] = []
    explained: list[float | None] = []
    for _ in range(min(top, len(covariance) - 1)):
        left = [c for c in range(len(covariance) - 1) if c not in chosen]
        best = max(left, key=lambda c: _explained(covariance, [*chosen, c]))
        chosen.append(best)
        explained.append(_explained(covariance, chosen) / total if total > 1e-30 else None)
    return chosen, explained


def _explained(covariance: torch.Tensor, members: list[int]) -> float:
    """Variance of the atom's activation that is explained by candidates, by least squares."""
    at = [c + 1 for c in members]
    across = covariance[at, 0]
    return float(across @ torch.linalg.pinv(covariance[at][:, at], hermitian=True) @ across)
