"""Which atoms of a dictionary are active at each token, and how much of the activation they explain.

With x the activation, a = encode(x) and e = x - decode(a), the identity x = sum_i a_i d_i + b_dec + e holds exactly, so
|x|^2 = sum_i a_i d_i.x + b_dec.x + e.x: each atom's `share` is its term divided by |x|^2, and atoms, bias and error add to 1.
Shares are signed: an atom can point against x. Reconstruction errors are part of the result, not a footnote (Marks et al.,
arXiv:2403.19647, section 3).
"""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl
import torch

from .. import frames
from ..errors import DictionaryError
from ..progress import Progress, silent
from ..sae.dictionary import Dictionary
from ..session.masking import sinks
from ..session.session import Session, Text


@dataclass(frozen=True)
class AtomsRun:
    """All that one pass measured. `T` tokens, `N` active atoms over all of them; tensors on the CPU."""

    tokens: pl.DataFrame
    site: str
    x: torch.Tensor
    """[T, d_in]: the activation, as the model has it"""
    position: torch.Tensor
    """[N], ascending; within a position the strongest atom comes first"""
    atom: torch.Tensor
    """[N]"""
    activation: torch.Tensor
    """[N]"""
    share: torch.Tensor
    """[N]"""
    error: torch.Tensor
    """[T, d_in]: x - decode(encode(x))"""
    bias_share: torch.Tensor
    """[T]"""
    masked: list[int]

    @property
    def norm(self) -> torch.Tensor:
        """[T]"""
        return self.x.norm(dim=-1)

    @property
    def error_share(self) -> torch.Tensor:
        """[T]: e.x / |x|^2"""
        return (self.error * self.x).sum(-1) / self.norm.clamp(min=1e-30) ** 2

    @property
    def error_norm(self) -> torch.Tensor:
        """[T]: |e| / |x|"""
        return self.error.norm(dim=-1) / self.norm.clamp(min=1e-30)

    @property
    def active(self) -> torch.Tensor:
        """[T]: number of active atoms"""
        return torch.bincount(self.position, minlength=len(self.x))

    def of_atom(self, atom: int) -> torch.Tensor:
        """[T]: the activations of one atom over the text."""
        hits = self.atom == atom
        return torch.zeros(len(self.x)).index_put_((self.position[hits],), self.activation[hits])

    def explained_variance(self) -> float | None:
        """1 - sum |e|^2 / sum |x - mean|^2 over unmasked tokens; None for fewer than two of them."""
        keep = [p for p in range(len(self.x)) if p not in self.masked]
        x, error = self.x[keep].double(), self.error[keep].double()
        total = (x - x.mean(0)).pow(2).sum() if keep else torch.zeros(())
        return float(1 - error.pow(2).sum() / total) if len(keep) > 1 and total > 0 else None


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


def check_fits(model: Session, sae: Dictionary) -> None:
    """Raises SiteError or DictionaryError unless the dictionary's site exists in the model and has its width."""
    site = model.site(sae.site)
    if site.kind in ("head_out", "pattern", "logits", "mlp_act"):
        raise DictionaryError(
            f"{sae.name} is for {site}; dictionaries of the residual stream, attn_out and mlp_out can be used."
        )
    if sae.d_in != model.width:
        raise DictionaryError(
            f"{sae.name} reads activations of size {sae.d_in}, but {site} of {model.name} has size {model.width}. "
            "Use a dictionary that was trained on this model."
        )


def run_atoms(model: Session, text: Text, *, sae: Dictionary, progress: Progress = silent) -> AtomsRun:
    """One forward pass up to the dictionary's site; what comes back is the activation and its active atoms."""
    check_fits(model, sae)
    ids = model.encode(text)
    progress(0, 1, f"reading {sae.site}")

    def reduce(values: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        x = values[str(model.site(sae.site))][0].to(sae.W_enc)
        a = sae.encode(x)
        size = x.pow(2).sum(-1).clamp(min=1e-30)
        position, atom = a.nonzero(as_tuple=True)
        activation = a[position, atom]
        along = (sae.W_dec[atom] * x[position]).sum(-1)
        order = torch.argsort(activation, descending=True, stable=True)
        order = order[torch.argsort(position[order], stable=True)]
        out = {
            "x": x,
            "position": position[order],
            "atom": atom[order],
            "activation": activation[order],
            "share": (activation * along / size[position])[order],
            "error": x - sae.decode(a),
            "bias_share": (x @ sae.b_dec) / size,
        }
        return {name: value.cpu() for name, value in out.items()}

    out = model.run([ids], [sae.site], then=reduce)
    progress(1, 1, f"reading {sae.site}")
    return AtomsRun(model.tokens(ids), sae.site, masked=sinks(model, ids, out["x"].norm(dim=-1)), **out)


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
        "site": [run.site] * len(run.x),
        "active": run.active.tolist(),
        "norm": run.norm.tolist(),
        "error_norm": run.error_norm.tolist(),
        "error_share": run.error_share.tolist(),
        "bias_share": run.bias_share.tolist(),
        "masked": [p in run.masked for p in range(len(run.x))],
    }
    return frames.build(frames.RECONSTRUCTION, columns)
