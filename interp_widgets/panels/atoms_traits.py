"""A run of the atoms panel as its traits: numbers to bytes, remarks to sentences."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..widgets import wire
from . import summaries
from .lens import unknown_words

if TYPE_CHECKING:
    import torch

    from ..methods.atom_activations import AtomsRun
    from ..methods.atom_effects import EffectsRun
    from ..sae.corpus.reader import Corpus
    from ..sae.dictionary import Dictionary
    from ..session.session import Session
    from .atoms_corpus import Reading

LISTED = 48
"""Active atoms sent for each token; a dictionary with more active ones is cut off, and the panel says so."""


def run_traits(run: AtomsRun, model: Session, sae: Dictionary) -> dict[str, Any]:
    """The tokens, the active atoms of each, and what they leave unexplained."""
    import torch

    active = run.active.tolist()
    column, keep = _columns(run)
    where = (run.position[keep], column[keep])
    most = max(1, max(active))
    shape = (len(run.tokens), min(most, LISTED))
    return {
        "tokens": run.tokens["token"].to_list(),
        "token_ids": run.tokens["token_id"].to_list(),
        "masked": run.masked,
        "active": active,
        "complete": most <= LISTED,
        "top_k": shape[1],
        "top_atom": wire.int32(torch.full(shape, -1).index_put_(where, run.atom[keep])),
        "top_activation": wire.float32(torch.zeros(shape).index_put_(where, run.activation[keep])),
        "top_share": wire.float32(torch.zeros(shape).index_put_(where, run.share[keep])),
        **{name: wire.float32(getattr(run, name)) for name in ("norm", "error_norm", "error_share")},
        "bias_share": wire.float32(run.bias_share + run.skip_share),
        "notes": _notes(run, model, sae),
        "summary": summaries.atoms(sae.name, run, None, model.text_of),
    }


def no_effects() -> dict[str, Any]:
    """The effects are not known yet."""
    return {"top_effect": b"", "error_effect": b"", "answered": ""}


def effect_traits(run: AtomsRun, effects: EffectsRun, model: Session, sae: Dictionary) -> dict[str, Any]:
    """What removing each listed atom would do to the answer."""
    import torch

    every = torch.zeros(len(run.tokens), 1 + int(torch.cat([effects.atom, run.atom]).max()))
    every[effects.position, effects.atom] = effects.effect
    column, keep = _columns(run)
    position = run.position[keep]
    listed = torch.full((len(run.tokens), min(max(1, int(run.active.max())), LISTED)), torch.nan)
    listed[position, column[keep]] = every[position, run.atom[keep]]
    return {
        "top_effect": wire.float32(listed),
        "error_effect": wire.float32(effects.error),
        "answered": model.text_of(effects.answer),
        "summary": summaries.atoms(sae.name, run, effects, model.text_of),
    }


def corpus_traits(
    found: Corpus | None, reading: Reading | None, status: dict[str, Any] | None = None
) -> dict[str, Any]:
    """How much of a corpus has been read, and whether it can be read on."""
    if found is None:
        return {"corpus_state": {}}
    state = {
        "name": _corpus_name(found),
        **{name: getattr(found, name) for name in ("tokens", "total", "complete")},
        "running": status is not None and status["state"] == "running",
        "more": reading is not None and not found.complete,
    }
    return {"corpus_state": state}


def _corpus_name(found: Corpus) -> str:
    from ..methods.corpus import TEMPORARY

    sources = [name for name in found.provenance["sources"] if name]
    more = f" and {len(sources) - 3} more" if len(sources) > 3 else ""
    folder = found.folder.name
    return ", ".join(sources[:3]) + more or ("" if folder.startswith(TEMPORARY) else folder)


def _columns(run: AtomsRun) -> tuple[torch.Tensor, torch.Tensor]:
    """The place of each active atom in the list of its token, and which of them are listed."""
    import torch

    starts = torch.cumsum(run.active, 0) - run.active
    column = torch.arange(len(run.position)) - starts[run.position]
    return column, column < LISTED


def sites(sae: Dictionary) -> str:
    """Where the dictionary reads, and where it writes if that is elsewhere."""
    return f"{sae.site} to {sae.site_out}" if sae.transcodes else sae.site


def _notes(run: AtomsRun, model: Session, sae: Dictionary) -> list[str]:
    notes = []
    if sae.transcodes:
        notes.append(
            f"A transcoder: its atoms are read from {sae.site}; shares, error and norm are of {sae.site_out}, which it writes."
        )
    if sae.W_skip is not None:
        notes.append("The share of the bias holds that of the skip connection; .reconstruction has them apart.")
    if run.masked:
        at = ", ".join(str(p) for p in run.masked)
        notes.append(
            f"Position {at} is left out of scales and of the summary: an attention sink or a start marker, which the "
            "dictionary was not made for."
        )
    if int(run.active.max()) > LISTED:
        notes.append(f"At most {LISTED} atoms of a token are listed; .frame has all of them.")
    return notes + unknown_words(model, run.tokens)
