"""What the card of one atom says, as the browser gets it: plain numbers and texts out of checked frames."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import polars as pl

from ..methods.atom_effects import AblationRun, EffectsRun
from ..methods.atom_search import similar_atoms
from ..sae.corpus.reader import Corpus
from ..sae.dictionary import Dictionary
from ..session.session import Session

KINDS = {"interval": 4, "top": 15, "random": 15}
"""Kinds of examples on a card, and how many of each; of intervals, in each."""
INTERVALS = 10
CONTEXT = (40, 20)
"""Tokens before and after an example that are sent; the card shows all, or fewer."""
NO_CORPUS = (
    "No examples: no corpus has been read with this dictionary. Give one, Atoms(..., corpus=iw.corpus(model, texts, sae=sae)), "
    "or read one here with .read_corpus(texts)."
)


def card(atom: int, sae: Dictionary, corpus: Corpus | None) -> dict[str, Any]:
    """All that is known of an atom without running the model; see `Card` in front/atoms_card.js."""
    out: dict[str, Any] = {
        "atom": atom,
        "corpus": NO_CORPUS if corpus is None else "",
        "stats": None,
        "histogram": None,
        "examples": None,
        "neighbours": [[a, c] for a, _, c in similar_atoms(sae, atom, count=8).iter_rows()],
        "removed": None,
        "link": link(sae, atom),
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
    out["examples"] = examples(atom, corpus, row)
    return out


def link(sae: Dictionary, atom: int) -> str:
    """The page of an atom at Neuronpedia, where the dictionary says that it is there."""
    name = sae.origin.get("neuronpedia")
    return f"https://www.neuronpedia.org/{name}/{atom}" if name else ""


def examples(atom: int, corpus: Corpus, row: dict[str, Any]) -> dict[str, Any]:
    """Examples of every kind, their tokens as indices into one list of words."""
    words: dict[str, int] = {}
    sizes = corpus.histogram(atom, bins=INTERVALS)["count"].to_list()
    limits = corpus.limits or {
        "kinds": list(KINDS),
        "count": max(KINDS.values()),
        "context": CONTEXT,
        "intervals": INTERVALS,
    }
    kinds = {}
    for kind in (each for each in KINDS if each in limits["kinds"]):
        count = min(KINDS[kind], limits["count"])
        found = corpus.examples(atom, kind, count, context=tuple(limits["context"]), intervals=limits["intervals"])
        groups = found.partition_by("interval", maintain_order=True)[::-1]  # the strongest first
        kinds[kind] = [_group(kind, each, sizes, words) for each in groups]
    notes = ["Of examples with the same context one is shown."]
    if row["kept"] < 1:
        notes.append(
            f"Chosen among the {row['kept']:.0%} of its activations that are stored: the strongest, and a random part."
        )
    return {"words": list(words), "maximum": row["maximum"], "kinds": kinds, "notes": notes}


_TITLES = {"top": "Strongest", "random": "Drawn at random from all"}


def _group(kind: str, found: pl.DataFrame, sizes: list[float], words: dict[str, int]) -> dict[str, Any]:
    title, about = _TITLES.get(kind, ""), ""
    if kind == "interval":
        size = sizes[found["interval"][0]]
        title = f"{found['low'][0]:.3g} to {found['high'][0]:.3g}"
        about = f"{size:,.0f} activation{'s' * (size != 1)}, {size / sum(sizes):.1%} of all"
    return {"title": title, "about": about, "examples": [_example(row, words) for row in found.iter_rows(named=True)]}


def _example(row: dict[str, Any], words: dict[str, int]) -> dict[str, Any]:
    return {
        "tokens": [words.setdefault(token, len(words)) for token in row["tokens"]],
        "at": row["at"],
        "active": [[i, _short(a)] for i, a in enumerate(row["activations"]) if a],
        **{name: row[name] for name in ("source", "text", "position", "repeats")},
        "activation": _short(row["activation"]),
    }


def _short(value: float) -> float:
    return float(f"{value:.4g}")


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
        "kl": [_short(each) for each in run.kl.tolist()],
        "changes": [_changes(model, *listed) for listed in positions],
        "agreement": run.agreement,
        "up": ends[: len(ends) // 2],
        "down": ends[len(ends) // 2 :][::-1],
    }


def _changes(model: Session, ids: Sequence[int], before: Sequence[float], after: Sequence[float]) -> list[list[Any]]:
    return [[model.text_of(i), _short(b), _short(a)] for i, b, a in zip(ids, before, after, strict=True)]
