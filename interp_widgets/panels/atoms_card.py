"""What the card of one atom says, as the browser gets it: plain numbers and texts out of checked frames."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import polars as pl

from .atoms_examples import examples, short

if TYPE_CHECKING:
    from ..methods.atom_effects import AblationRun, EffectsRun
    from ..sae.corpus.reader import Corpus
    from ..sae.dictionary import Dictionary
    from ..session.session import Session

KINDS = {"interval": 4, "top": 15, "random": 15}
"""Kinds of examples on a card, and how many of each; of intervals, in each."""
CONTEXT = (40, 20)
"""Tokens before and after an example that are sent; the card shows all, or fewer."""
NO_CORPUS = (
    "No examples: no corpus has been read with this dictionary. Give one, Atoms(..., corpus=iw.corpus(model, texts, sae=sae)), "
    "or read one here with .read_corpus(texts)."
)

EMPTY: dict[str, Any] = {"corpus": "", "stats": None, "histogram": None, "examples": None, "neighbours": [], "removed": None,
                         "link": ""}  # fmt: skip
"""A card of which nothing is known; see `Card` in front/atoms_card.js."""


def card(atom: int, sae: Dictionary, corpus: Corpus | None) -> dict[str, Any]:
    """All that is known of an atom without running the model; see `Card` in front/atoms_card.js."""
    from ..methods.atom_search import similar_atoms
    from ..sae.neuronpedia import page

    out: dict[str, Any] = EMPTY | {
        "atom": atom,
        "corpus": NO_CORPUS if corpus is None else "",
        "neighbours": [[a, c] for a, _, c in similar_atoms(sae, atom, count=8).iter_rows()],
        "link": page(sae, atom),
    }
    if corpus is None:
        return out
    [row] = corpus.atoms.filter(pl.col("atom") == atom).iter_rows(named=True)
    if not corpus.tokens:
        return out | {"corpus": "The corpus has no tokens yet."}
    out["stats"] = {"tokens": corpus.tokens, **{name: row[name] for name in ("fired", "density", "mean", "maximum")}}
    if not row["fired"]:
        return out | {"corpus": "The atom never fired in the corpus, so there are no examples."}
    bins = corpus.histogram(atom)
    out["histogram"] = {"low": bins["low"][0], "high": bins["high"][-1], "counts": bins["count"].to_list()}
    out["examples"] = corpus_examples(atom, corpus, row)
    return out


def corpus_examples(atom: int, corpus: Corpus, row: dict[str, Any]) -> dict[str, Any]:
    """Examples of every kind that the corpus has."""
    from ..sae.corpus.several import several

    found, sizes = several(corpus, atom, KINDS, CONTEXT)
    notes = ["Of examples with the same context one is shown."]
    if row["kept"] < 1:
        notes.append(
            f"Chosen among the {row['kept']:.0%} of its activations that are stored: the strongest, and a random part."
        )
    return examples(found, row["maximum"], sizes, notes)


def removed(
    model: Session, run: AblationRun, direct: pl.DataFrame | None, effects: EffectsRun | None
) -> dict[str, Any]:
    """The model without the atom; see `Removed` in front/atoms_card.js."""
    estimate, share = (None, None) if effects is None or effects.answer != run.answer else effects.of_atom(run.atom)
    ends = [] if direct is None else direct.select("token", "weight").rows()
    positions = zip(run.top_ids.tolist(), run.before.tolist(), run.after.tolist(), strict=True)
    return {
        "active": bool(run.activation.max() > 0),
        "answer": model.text_of(run.answer),
        "effect": run.effect,
        "estimate": estimate,
        "share": share,
        "kl": [short(each) for each in run.kl.tolist()],
        "changes": [_changes(model, *listed) for listed in positions],
        "agreement": run.agreement,
        "up": ends[: len(ends) // 2],
        "down": ends[len(ends) // 2 :][::-1],
    }


def _changes(model: Session, ids: Sequence[int], before: Sequence[float], after: Sequence[float]) -> list[list[Any]]:
    return [[model.text_of(i), short(b), short(a)] for i, b, a in zip(ids, before, after, strict=True)]
