"""Prompt sets whose answers are known: pairs for patching, built so that clean and corrupt differ in one token.

Each function returns a frame with the columns that `methods.patching_pairs` takes: `clean`, `corrupt`, `answer`, `foil`. All
prompts of a set have one length, and the differing token stands at one place, counted from the end. Every word that changes from
pair to pair is one token of SmolLM2's tokenizer with a space in front; that also holds for other tokenizers of English, and
`patching_pairs` checks it. No two pairs of a set are of the same two words.

That the right answer is known does not mean that a model gives it: `logit_differences` says on which pairs it does. Leave out the
others, and say how many they are.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import polars as pl

from ..errors import TextError

if TYPE_CHECKING:
    from ..session.session import Session


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


NAMES = _words(
    "Mary John James Sarah Anna Kate Mark Paul Emma Jack Amy David Alice Laura Peter Tom George Susan Robert Helen"
)
TEMPLATES = (
    "When {} and {} went to the store, {} gave a drink to",
    "After {} and {} went to the park, {} gave a ball to",
    "While {} and {} were at the school, {} gave a book to",
)
NOUNS = _words(
    """author boy car teacher picture doctor key driver boat student bottle lawyer letter singer horse farmer lamp girl tree guard
    table friend book senator door minister bird king cat neighbour clock manager dog computer basket cabinet garden bridge
    painting nurse report visitor ticket actor cup artist card officer"""
)
PHRASES = ("near the school", "behind the houses", "by the station", "beside the towers")
CAPITALS: dict[str, str] = dict(
    pair.split("/")
    for pair in _words(
        """France/Paris Japan/Tokyo Germany/Berlin Egypt/Cairo Italy/Rome China/Beijing Spain/Madrid Iran/Tehran
        Greece/Athens Cuba/Havana Russia/Moscow Kenya/Nairobi Portugal/Lisbon Poland/Warsaw Austria/Vienna
        Chile/Santiago Hungary/Budapest Canada/Ottawa Ireland/Dublin Norway/Oslo Sweden/Stockholm Denmark/Copenhagen
        Finland/Helsinki England/London"""
    )
)


def ioi(n: int = 40) -> pl.DataFrame:
    """Indirect objects (Wang et al. arXiv:2211.00593): who is given something is the one who does not give.

        When Mary and John went to the store, John gave a drink to     answer " Mary", foil " John"
        When Mary and John went to the store, Mary gave a drink to     corrupt: the other giver

    The giver (position -5) is all that differs. Three templates of one shape; in each round of 20 pairs every one of 20 names is
    the answer once and the foil once, and from pair to pair the answer is named first or second.

    Raises:
        TextError: fewer than one pair, or more than there are.
    """
    rows = []
    for i, (answer, foil) in enumerate(_paired(NAMES, n)):
        template = TEMPLATES[i % len(TEMPLATES)]
        named = (answer, foil) if (i + i // len(NAMES)) % 2 == 0 else (foil, answer)
        rows.append((template.format(*named, foil), template.format(*named, answer), f" {answer}", f" {foil}"))
    return _frame(rows)


def agreement(n: int = 48) -> pl.DataFrame:
    """The verb agrees with its subject, not with the noun beside it.

        The authors near the school     answer " are", foil " is"
        The author near the school      corrupt: the other number

    The subject (position -4) is all that differs. Each of 48 nouns is in one pair. Half of the pairs are clean in the plural and
    half in the singular, and in both halves the noun beside the verb is as often plural as singular.

    Raises:
        TextError: fewer than one pair, or more than there are nouns.
    """
    _check(n, len(NOUNS))
    rows = []
    for i, noun in enumerate(NOUNS[:n]):
        phrase = PHRASES[i // 2 % len(PHRASES)]
        forms = [(f"The {noun}s {phrase}", " are"), (f"The {noun} {phrase}", " is")]
        (clean, answer), (corrupt, foil) = forms if i % 2 == 0 else forms[::-1]
        rows.append((clean, corrupt, answer, foil))
    return _frame(rows)


def capitals(n: int = 48) -> pl.DataFrame:
    """Capitals: a fact about one token, recalled.

        The capital of France is     answer " Paris", foil " Tokyo"
        The capital of Japan is      corrupt: another country

    The country (position -2) is all that differs. In each round of 24 pairs every one of 24 countries is clean once and corrupt
    once.

    Raises:
        TextError: fewer than one pair, or more than there are.
    """
    prompt = "The capital of {} is"
    rows = [
        (prompt.format(a), prompt.format(b), f" {CAPITALS[a]}", f" {CAPITALS[b]}")
        for a, b in _paired(tuple(CAPITALS), n)
    ]
    return _frame(rows)


def logit_differences(model: Session, pairs: pl.DataFrame) -> pl.DataFrame:
    """The pairs with two more columns, `clean_difference` and `corrupt_difference`: logit(answer) - logit(foil) of each prompt.

    The model is right on both prompts of a pair where the first is above zero and the second below.

    Raises:
        TextError: a bad prompt, answer or foil.
    """
    tokens = [[model.single_token(text, role) for text in pairs[role]] for role in ("answer", "foil")]
    columns = {f"{side}_difference": _differences(model, pairs[side], *tokens) for side in ("clean", "corrupt")}
    return pairs.with_columns(**{name: pl.Series(values, dtype=pl.Float64) for name, values in columns.items()})


def _differences(model: Session, texts: Iterable[str], answers: list[int], foils: list[int]) -> list[float]:
    rows = [model.encode(text) for text in texts]
    out = [0.0] * len(rows)
    for length in {len(row) for row in rows}:
        here = [i for i, row in enumerate(rows) if len(row) == length]
        logits = model.run([rows[i] for i in here], ["logits"], logits_to_keep=1)["logits"][:, -1]
        for i, row in zip(here, logits, strict=True):
            out[i] = float(row[answers[i]] - row[foils[i]])
    return out


def _paired(words: Sequence[str], n: int) -> list[tuple[str, str]]:
    """Round by round each word with the one that is one, two, ... places on: never the same two twice."""
    size = len(words)
    _check(n, size * ((size - 1) // 2))
    return [(words[i % size], words[(i % size + i // size + 1) % size]) for i in range(n)]


def _check(n: int, most: int) -> None:
    if not 1 <= n <= most:
        raise TextError(f"There are 1 to {most} pairs of this kind, not {n}.")


def _frame(rows: list[tuple[str, str, str, str]]) -> pl.DataFrame:
    return pl.DataFrame(rows, schema=["clean", "corrupt", "answer", "foil"], orient="row")
