"""Which atoms of a dictionary are active at each token, and how much of the activation they explain.

With x the activation, a = encode(x) and e = x - decode(a), the identity x = sum_i a_i d_i + b_dec + e holds exactly, so
|x|^2 = sum_i a_i d_i.x + b_dec.x + e.x: each atom's `share` is its term divided by |x|^2, and atoms, bias and error add to 1.
Shares are signed: an atom can point against x. Reconstruction errors are part of the result, not a footnote (Marks et al.,
arXiv:2403.19647, section 3).

A transcoder reads u at `site` and explains x at `site_out`: a = encode(u), e = x - decode(a, u), all else as above. A skip
connection adds a term of its own, u @ W_skip, with a share of its own. Where a dictionary norms its inputs, d_i is its direction
scaled back at each token, and the bias holds the mean that was taken away.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl
import torch

from .. import frames
from ..progress import Progress, silent
from ..sae.dictionary import Dictionary
from ..sae.fits import check_fits
from ..session.masking import sinks
from ..session.runner import Runner
from ..session.session import Session, Text


@dataclass(frozen=True)
class AtomsRun:
    """All that one pass measured. `T` tokens, `N` active atoms over all of them; tensors on the CPU.

    x is the activation at `site_out`, as the model has it, heads side by side; e = x - decode(a).
    """

    tokens: pl.DataFrame
    site: str
    """What the dictionary reads."""
    site_out: str
    """What it explains; `site`, but for a transcoder."""
    position: torch.Tensor
    """[N], ascending; within a position the strongest atom comes first"""
    atom: torch.Tensor
    """[N]"""
    activation: torch.Tensor
    """[N]"""
    share: torch.Tensor
    """[N]"""
    norm: torch.Tensor
    """[T]: |x|"""
    error_norm: torch.Tensor
    """[T]: |e| / |x|"""
    error_share: torch.Tensor
    """[T]: e.x / |x|^2"""
    bias_share: torch.Tensor
    """[T]"""
    skip_share: torch.Tensor
    """[T]: of the skip connection; 0 without one"""
    masked: list[int]
    explained_variance: float | None
    """1 - sum |e|^2 / sum |x - mean|^2 over unmasked tokens; None for fewer than two of them."""

    @property
    def active(self) -> torch.Tensor:
        """[T]: number of active atoms"""
        return torch.bincount(self.position, minlength=len(self.tokens))

    def of_atom(self, atom: int) -> torch.Tensor:
        """[T]: the activations of one atom over the text."""
        hits = self.atom == atom
        return torch.zeros(len(self.tokens)).index_put_((self.position[hits],), self.activation[hits])


def atom_activations(model: Session, text: Text, *, sae: Dictionary, progress: Progress = silent) -> pl.DataFrame:
    """The active atoms of every token of a text, strongest first (see `frames.ATOMS`).

    Args:
        model: a session.
        text: a text, or token ids.
        sae: a dictionary that was trained on this model, at `sae.site`.
        progress: see `progress.Progress`.

    Raises:
        TextError: an empty or too long text.
        SiteError, DictionaryError: the dictionary's site or width does not exist in this model.
    """
    return atoms_frame(run_atoms(model, text, sae=sae, progress=progress))


def reconstruction(model: Session, text: Text, *, sae: Dictionary, progress: Progress = silent) -> pl.DataFrame:
    """How well the dictionary explains each token (see `frames.RECONSTRUCTION`). Arguments as `atom_activations`."""
    return reconstruction_frame(run_atoms(model, text, sae=sae, progress=progress))


def run_atoms(model: Session, text: Text, *, sae: Dictionary, progress: Progress = silent) -> AtomsRun:
    """One forward pass up to the dictionary's site; what comes back is the active atoms, and how much they explain."""
    return run_several(model, [text], sae=sae, progress=progress)[0]


def run_several(
    model: Session, texts: Sequence[Text], *, sae: Dictionary, progress: Progress = silent
) -> list[AtomsRun]:
    """`run_atoms` of several texts, one after the other."""
    check_fits(model, sae)
    all_ids = [model.encode(text) for text in texts]
    found = model.work(_read_each, all_ids, sae, progress=progress)
    return [AtomsRun(model.tokens(ids), sae.site, sae.site_out, **out) for ids, out in zip(all_ids, found, strict=True)]


def _read_each(
    model: Runner, texts: list[list[int]], sae: Dictionary, progress: Progress = silent
) -> list[dict[str, Any]]:
    found = []
    for done, ids in enumerate(texts):
        progress(done, len(texts), f"reading {sae.site}")
        found.append(_read(model, ids, sae))
    progress(len(texts), len(texts), f"reading {sae.site}")
    return found


def _read(model: Runner, ids: list[int], sae: Dictionary) -> dict[str, Any]:
    """What an `AtomsRun` holds of one text, by its fields."""

    def reduce(values: dict[str, torch.Tensor]) -> dict[str, Any]:
        read, x = (values[str(model.site(name))][0].flatten(1).to(sae.W_enc) for name in (sae.site, sae.site_out))
        a = sae.encode(read)
        size, norm = x.pow(2).sum(-1).clamp(min=1e-30), x.norm(dim=-1)
        error, masked = x - sae.decode(a, read), sinks(model, ids, norm)
        position, atom, activation = by_strength(a)
        along = (sae.W_dec[atom] * x[position]).sum(-1) * sae.scale(read)[position, 0]
        out = {
            "position": position,
            "atom": atom,
            "activation": activation,
            "share": activation * along / size[position],
            "norm": norm,
            "error_norm": error.norm(dim=-1) / norm.clamp(min=1e-30),
            "error_share": (error * x).sum(-1) / norm.clamp(min=1e-30) ** 2,
            "bias_share": (sae.bias(read) * x).sum(-1) / size,
            "skip_share": (sae.skip(read) * x).sum(-1) / size,
        }
        found = {name: value.cpu() for name, value in out.items()}
        return {**found, "masked": masked, "explained_variance": _explained(x, error, masked)}

    return model.run([ids], [sae.site, sae.site_out], then=reduce)


def _explained(x: torch.Tensor, error: torch.Tensor, masked: Sequence[int]) -> float | None:
    """1 - sum |e|^2 / sum |x - mean|^2 over unmasked tokens."""
    keep = [p for p in range(len(x)) if p not in masked]
    x, error = x[keep].double(), error[keep].double()
    total = (x - x.mean(0)).pow(2).sum() if keep else torch.zeros(())
    return float(1 - error.pow(2).sum() / total) if len(keep) > 1 and total > 0 else None


def by_strength(a: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Position, atom and activation of all that is active in (tokens, atoms), position by position, the strongest first."""
    position, atom = a.nonzero(as_tuple=True)
    activation = a[position, atom]
    order = torch.argsort(activation, descending=True, stable=True)
    order = order[torch.argsort(position[order], stable=True)]
    return position[order], atom[order], activation[order]


def atoms_frame(run: AtomsRun) -> pl.DataFrame:
    """The active atoms of a run (see `frames.ATOMS`)."""
    at = run.position.tolist()
    columns = {
        "position": at,
        "token_id": run.tokens["token_id"].gather(at),
        "token": run.tokens["token"].gather(at),
        "site": [run.site] * len(at),
        "atom": run.atom.tolist(),
        "activation": run.activation.tolist(),
        "share": run.share.tolist(),
    }
    return frames.build(frames.ATOMS, columns)


def reconstruction_frame(run: AtomsRun) -> pl.DataFrame:
    """Error and bias of each token of a run (see `frames.RECONSTRUCTION`)."""
    columns = run.tokens.to_dict(as_series=False) | {
        "site": [run.site_out] * len(run.tokens),
        "active": run.active.tolist(),
        "norm": run.norm.tolist(),
        "error_norm": run.error_norm.tolist(),
        "error_share": run.error_share.tolist(),
        "bias_share": run.bias_share.tolist(),
        "skip_share": run.skip_share.tolist(),
        "masked": [p in run.masked for p in range(len(run.tokens))],
    }
    return frames.build(frames.RECONSTRUCTION, columns)
