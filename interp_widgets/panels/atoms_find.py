"""Finding atoms for the panel: each way of looking is a method; here its result becomes a list with a sentence above."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import polars as pl

from ..errors import TextError

if TYPE_CHECKING:
    from ..methods.atom_activations import AtomsRun
    from ..methods.atom_effects import EffectsRun
    from ..sae.corpus.reader import Corpus
    from ..sae.dictionary import Dictionary
    from ..session.session import Session

WAYS = ("effect", "here", "contrast", "token", "similar")
COUNT = 20


def find(
    how: str,
    query: str,
    *,
    model: Session,
    sae: Dictionary,
    run: AtomsRun,
    effects: EffectsRun | None,
    positions: list[int],
    atom: int,
    corpus: Corpus | None,
) -> tuple[pl.DataFrame, str]:
    """The atoms found, as the method's own frame, and a sentence on what they are.

    Raises:
        TextError: a way that does not exist, or something that it needs and that is not there; says what to do.
    """
    from ..methods.atom_activations import run_atoms
    from ..methods.atom_effects import strongest_effects
    from ..methods.atom_search import compare_runs, similar_atoms

    if how == "effect":
        if effects is None:
            raise TextError("The effects on the answer are still being computed. Try again in a moment.")
        answer = model.text_of(effects.answer)
        about = f"By the size of their first-order effect on log p({answer!r}), summed over the text."
        return strongest_effects(effects, count=COUNT), about
    if how == "here":
        if not positions:
            raise TextError("No token is selected. Press one in the text, or several with Shift, and find again.")
        return compare_runs(run, sae, positions, None, count=COUNT), (
            f"By mean contribution on {len(positions)} selected token{'s' * (len(positions) > 1)}, less that on the other tokens."
        )
    if how == "contrast":
        if not query:
            raise TextError("There is no text to compare with. Type one, and find again.")
        other = run_atoms(model, query, sae=sae)
        return compare_runs(
            run, sae, None, other, count=COUNT
        ), "By mean contribution in this text, less that in the other."
    if how == "token":
        if corpus is None:
            raise TextError(
                "There is no corpus to look in. Give one: Atoms(..., corpus=iw.corpus(model, texts, sae=sae))."
            )
        token = model.single_token(query or " ", "token")
        where = "the corpus" if corpus.limits is None else "the stored examples alone: the whole corpus is not here"
        about = f"By the sum of their activations on {model.text_of(token)!r} in {where}."
        return corpus.top_atoms_for_token(token, count=COUNT), about
    if how == "similar":
        if atom < 0:
            raise TextError("No atom is chosen. Press one in a list, or type its number, and find again.")
        return similar_atoms(sae, atom, count=COUNT), f"By the cosine of their direction with that of #{atom}."
    raise TextError(f"{how!r} is no way to find atoms; choose one of {', '.join(WAYS)}.")


_VALUE = {"effect": "effect", "here": "score", "contrast": "score", "token": "total", "similar": "cosine"}


def rows(how: str, found: pl.DataFrame) -> list[dict[str, Any]]:
    """What was found, for the browser: the atom, the number that it is sorted by, and all other numbers as a text."""
    out = []
    for row in found.iter_rows(named=True):
        detail = ", ".join(
            f"{name.replace('_', ' ')} {value:.3g}" for name, value in row.items() if isinstance(value, float)
        )
        out.append({"atom": row["atom"], "value": row[_VALUE[how]], "detail": detail})
    return out
