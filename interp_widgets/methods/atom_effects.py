"""What the active atoms of a dictionary do to one prediction: all of them to first order, and one of them measured.

With x = sum_i a_i d_i + bias + e at the dictionary's site and m the log-probability of an answer at the last token, removing
atom i at a position changes m by about -a_i d_i . dm/dx, and removing the error by -e . dm/dx (attribution patching towards
zero: Nanda 2023; with errors as nodes: Marks et al., arXiv:2403.19647). One forward and one backward pass give all of them.

`ablate_atom` runs the model without the atom instead: x' = x - a_i d_i wherever it is active, everything else as it was.
"""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl
import torch

from .. import frames
from ..sae.dictionary import Dictionary
from ..sae.fits import check_fits
from ..session.masking import sinks
from ..session.runner import Runner
from ..session.session import Session, Text
from .atom_activations import by_strength
from .direct_weights import direct_weights, writes_stream
from .ranking import top_k

LISTED = 8
"""Tokens listed at each position by `ablate_atom`."""

_ROWS = 64
"""Positions whose logits are held at once."""


@dataclass(frozen=True, eq=False)
class EffectsRun:
    """First-order effects of removing each active atom, strongest first within a position, as in `AtomsRun`."""

    tokens: pl.DataFrame
    answer: int
    probability: float
    """of the answer at the last token, with nothing removed"""
    position: torch.Tensor
    """[N]"""
    atom: torch.Tensor
    """[N]"""
    effect: torch.Tensor
    """[N] change of the answer's log-probability, nats"""
    error: torch.Tensor
    """[T] the same for the dictionary's error"""
    masked: list[int]

    @property
    def total(self) -> float:
        """Sum of |effect| over all atoms and errors at unmasked positions."""
        kept = ~torch.isin(self.position, torch.tensor(self.masked, dtype=self.position.dtype))
        errors = [p for p in range(len(self.error)) if p not in self.masked]
        return float(self.effect[kept].abs().sum() + self.error[errors].abs().sum())

    def of_atom(self, atom: int) -> tuple[float, float]:
        """Sum of an atom's effects over unmasked tokens, and the share of `total` that their sizes are."""
        mine = self.effect[(self.atom == atom) & ~torch.isin(self.position, torch.tensor(self.masked))]
        return float(mine.sum()), float(mine.abs().sum()) / (self.total or 1.0)


def atom_effects(model: Session, text: Text, *, sae: Dictionary, answer: str | int | None = None) -> pl.DataFrame:
    """What removing each active atom would do to the prediction, to first order (see `frames.ATOM_EFFECTS`).

    Args:
        model: a session.
        text: a text, or token ids; the answer is predicted after its last token.
        sae: a dictionary of this model.
        answer: a text of one token, or an id; default what the model finds likeliest.

    Raises:
        TextError: an empty or too long text, or an answer of several tokens.
        SiteError, DictionaryError: the dictionary does not fit the model.
    """
    return effects_frame(run_effects(model, text, sae=sae, answer=answer), sae)


def run_effects(model: Session, text: Text, *, sae: Dictionary, answer: str | int | None = None) -> EffectsRun:
    """`atom_effects` as tensors."""
    check_fits(model, sae)
    ids = model.encode(text)
    chosen = None if answer in (None, "") else model.single_token(answer, "answer")
    out = model.work(_atom_effects, ids, sae, chosen)
    norms, answered, probability = out.pop("norms"), int(out.pop("answer")), float(out.pop("probability"))
    return EffectsRun(model.tokens(ids), answered, probability, masked=sinks(model, ids, norms), **out)


def _atom_effects(model: Runner, ids: list[int], sae: Dictionary, chosen: int | None) -> dict[str, torch.Tensor]:
    """The tensors of an `EffectsRun`, and the norms [T] of what is written; `chosen`: the answer, None for the likeliest."""
    read, written = (str(model.site(name)) for name in (sae.site, sae.site_out))
    used: dict[str, torch.Tensor] = {}

    def cut(y: torch.Tensor) -> torch.Tensor:
        used["y"] = y.detach().clone().requires_grad_()
        return used["y"]

    def then(values: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        log_p = values["logits"][0, -1].float().log_softmax(-1)
        answer = log_p.argmax() if chosen is None else torch.tensor(chosen, device=log_p.device)
        (gradient,) = torch.autograd.grad(log_p[answer], [used["y"]])
        x, y = (sae.flat(values[read][0].detach()), used["y"].detach()[0].flatten(1).to(sae.W_enc))
        slope = gradient[0].flatten(1).to(sae.W_enc)
        a = sae.encode(x)
        position, atom, activation = by_strength(a)
        effect = -activation * sae.scale(x)[position, 0] * (sae.W_dec[atom] * slope[position]).sum(-1)
        error = -((y - sae.decode(a, x)) * slope).sum(-1)
        out = {"answer": answer, "probability": log_p[answer].detach().exp(), "norms": y.norm(dim=-1)}
        out |= {"position": position, "atom": atom, "effect": effect, "error": error}
        return {name: value.cpu() for name, value in out.items()}

    return model.run([ids], [read, "logits"], edit={written: cut}, then=then, logits_to_keep=1, grad=True)


def effects_frame(run: EffectsRun, sae: Dictionary) -> pl.DataFrame:
    """The effects of a run, and those of the error at each token, whose atom is null (see `frames.ATOM_EFFECTS`)."""
    at = [*run.position.tolist(), *range(len(run.error))]
    effect = [*run.effect.tolist(), *run.error.tolist()]
    count = len(at)
    columns = {
        "position": at,
        "token_id": run.tokens["token_id"].gather(at),
        "token": run.tokens["token"].gather(at),
        "site": [sae.site] * count,
        "atom": [*run.atom.tolist(), *[None] * len(run.error)],
        "effect": effect,
        "share": [
            None if p in run.masked or not run.total else abs(e) / run.total for p, e in zip(at, effect, strict=True)
        ],
    }
    return frames.build(frames.ATOM_EFFECTS, columns)


def strongest_effects(run: EffectsRun, *, count: int = 20) -> pl.DataFrame:
    """Atoms by the size of their effect over all unmasked tokens together (see `frames.STRONGEST_EFFECTS`)."""
    parts = pl.DataFrame({"position": run.position.tolist(), "atom": run.atom.tolist(), "effect": run.effect.tolist()})
    kept = parts.filter(~pl.col("position").is_in(run.masked))
    whole = run.total or 1.0
    found = kept.group_by("atom").agg(pl.col("effect").sum(), (pl.col("effect").abs().sum() / whole).alias("share"))
    return frames.build(
        frames.STRONGEST_EFFECTS,
        found.sort(pl.col("effect").abs(), "atom", descending=[True, False]).head(count).to_dict(),
    )


@dataclass(frozen=True, eq=False)
class AblationRun:
    """The model without one atom. `T` tokens, `K` listed tokens at each."""

    atom: int
    tokens: pl.DataFrame
    activation: torch.Tensor
    """[T] of the atom, which was taken away"""
    kl: torch.Tensor
    """[T] KL(with the atom || without), nats, at each token's prediction"""
    top_ids: torch.Tensor
    """[T, K] tokens whose probability changed most, by |change|"""
    before: torch.Tensor
    """[T, K] probability with the atom"""
    after: torch.Tensor
    """[T, K] probability without it"""
    answer: int
    effect: float
    """Change of the answer's log-probability at the last token, nats"""
    agreement: float | None
    """Correlation over the vocabulary of the direct logit weights with the measured change, where the atom is strongest.

    None if it is silent, or has no direct weights."""


def ablate_atom(model: Session, text: Text, *, sae: Dictionary, atom: int) -> pl.DataFrame:
    """What every token predicts with the atom and without it (see `frames.ATOM_ABLATION`).

    Args:
        model, text, sae: as in `atom_effects`.
        atom: which; it is removed at every token at once, attention sinks left alone.

    Raises:
        as `atom_effects`; DictionaryError also for an atom that does not exist.
    """
    return ablation_frame(run_atom_ablation(model, text, sae=sae, atom=atom), model)


def run_atom_ablation(
    model: Session, text: Text, *, sae: Dictionary, atom: int, answer: str | int | None = None
) -> AblationRun:
    """`ablate_atom` as tensors: one pass of two rows, with the atom and without it. `answer` as in `atom_effects`."""
    check_fits(model, sae)
    sae.check_atom(atom)
    ids = model.encode(text)
    chosen = None if answer in (None, "") else model.single_token(answer, "answer")
    out = model.work(_atom_removed, ids, sae, atom, chosen)
    agreed, active = out.pop("agreement", None), float(out["activation"].max()) > 0
    agreement = float(agreed) if agreed is not None and active else None
    answered, effect = int(out.pop("answer")), float(out.pop("effect"))
    return AblationRun(atom, model.tokens(ids), answer=answered, effect=effect, agreement=agreement, **out)


def _atom_removed(
    model: Runner, ids: list[int], sae: Dictionary, atom: int, chosen: int | None
) -> dict[str, torch.Tensor]:
    """The tensors of an `AblationRun`; `chosen`: the answer, None for the likeliest."""
    seen: dict[str, torch.Tensor] = {}

    def look(x: torch.Tensor) -> torch.Tensor:
        seen["x"] = sae.flat(x[1])
        return x

    def remove(y: torch.Tensor) -> torch.Tensor:
        whole = y[1].flatten(1).to(sae.W_enc)
        x = seen.get("x", whole)
        a = sae.encode(x)[:, atom]
        a[sinks(model, ids, whole.norm(dim=-1))] = 0
        seen["activation"] = a
        return torch.stack([y[0], (whole - a[:, None] * sae.scale(x) * sae.W_dec[atom]).view_as(y[1]).to(y)])

    def then(values: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        normed, parts = values["final_norm"], []
        strongest = int(seen["activation"].argmax())
        for first in range(0, len(ids), _ROWS):
            logits = model.head(normed[:, first : first + _ROWS]).float()
            parts.append(_changes(logits))
        out = {name: torch.cat([part[name] for part in parts]) for name in parts[0]}
        there, last = (model.head(normed[:, at]).float() for at in (strongest, -1))
        log_p = last.log_softmax(-1)
        answer = log_p[0].argmax() if chosen is None else torch.tensor(chosen, device=log_p.device)
        out |= {"answer": answer, "effect": log_p[1, answer] - log_p[0, answer], "activation": seen["activation"]}
        if writes_stream(model, sae):
            pushed = -direct_weights(model, sae.W_dec[atom].to(normed))
            out["agreement"] = torch.corrcoef(torch.stack([there[1] - there[0], pushed]).double())[0, 1]
        return {name: value.cpu() for name, value in out.items()}

    edit = {str(model.site(sae.site)): look} if sae.transcodes else {}
    return model.run([ids, ids], ["final_norm"], edit={**edit, str(model.site(sae.site_out)): remove}, then=then)


def _changes(logits: torch.Tensor) -> dict[str, torch.Tensor]:
    """[2, rows, vocabulary] -> what changed from the first to the second, a row at a time."""
    log_before, log_after = logits.log_softmax(-1)
    before, after = log_before.exp(), log_after.exp()
    ids = top_k((after - before).abs(), min(LISTED, before.shape[-1]))[1]
    return {
        "kl": (before * (log_before - log_after)).sum(-1).clamp(min=0),
        "top_ids": ids,
        "before": before.gather(-1, ids),
        "after": after.gather(-1, ids),
    }


def ablation_frame(run: AblationRun, model: Session) -> pl.DataFrame:
    """A run as a frame: each token's most changed predictions (see `frames.ATOM_ABLATION`)."""
    count, listed = run.top_ids.shape
    at = [p for p in range(count) for _ in range(listed)]
    ids = run.top_ids.flatten().tolist()
    columns = {
        "atom": [run.atom] * len(at),
        "position": at,
        "prompt_token_id": run.tokens["token_id"].gather(at),
        "prompt_token": run.tokens["token"].gather(at),
        "activation": run.activation[at].tolist(),
        "kl": run.kl[at].tolist(),
        "token_id": ids,
        "token": [model.text_of(i) for i in ids],
        "probability": run.before.flatten().tolist(),
        "ablated_probability": run.after.flatten().tolist(),
    }
    return frames.build(frames.ATOM_ABLATION, columns)
