"""Sentences of the grammar for experiments: pairs whose answers are known, and biographies whose gender is known."""

from __future__ import annotations

from random import Random

import polars as pl

from ...errors import TextError
from . import grammar
from . import words as w

PAIR_KINDS = ("pp", "pp2", "rc_obj")


def agreement_pairs(n: int = 64, kind: str = "rc_obj", *, seed: int = 0, held_out: bool = True) -> pl.DataFrame:
    """Pairs in which only the number of the subject differs, and with it the verb that may come next.

        the keys that the doctor sees     answer are, were, seem, look; foil is, was, seems, looks
        the key that the doctor sees      corrupt: the other number

    All prompts have one length. Clean subjects are plural and singular in turn, and the noun that stands nearer to the verb is as
    often of their number as not.

    Args:
        n: pairs, all different.
        kind: "pp" (the keys near the doctor), "pp2" (two such phrases) or "rc_obj" (as above).
        seed: of the draw.
        held_out: whether the two nouns are a pair that toy-grammar never saw together, or one that it was trained on.

    Returns:
        `clean`, `corrupt` (text), `answer`, `foil` (lists of four verbs), a row a pair.

    Raises:
        TextError: an unknown kind, or fewer than one pair.
    """
    if kind not in PAIR_KINDS:
        raise TextError(f"kind is {kind!r}; it is one of {', '.join(PAIR_KINDS)}.")
    _check(n)
    rng, rows = Random(f"agreement {kind} {seed}"), {}
    forms = [[verb.form(plural) for verb in w.COPULAS] for plural in (False, True)]
    while len(rows) < n:
        plural, other = len(rows) % 2 == 0, len(rows) // 2 % 2 == 0
        lemma, second = rng.sample(w.NOUNS, 2)
        if grammar.agreement_held(kind, lemma, second, w.COPULAS[0]) != held_out:
            continue
        middle = grammar.between(rng, kind, grammar.Noun(lemma, plural), grammar.Noun(second, other))
        clean, corrupt = (f"the {grammar.Noun(lemma, number)}{middle}" for number in (plural, not plural))
        rows[clean] = (clean, corrupt, forms[plural], forms[not plural])
    return pl.DataFrame(list(rows.values()), schema=["clean", "corrupt", "answer", "foil"], orient="row")


def biographies(
    n: int = 200, professions: tuple[str, str] = ("professor", "nurse"), *, ambiguous: bool = False, seed: int = 0
) -> pl.DataFrame:
    """Biographies of two professions, each two of its three cues, a name and a pronoun; the profession itself is not named.

        mary publishes papers . she teaches at a university .
        john lives in rome . he cares for patients and works in a hospital .

    As in the experiment of Bias in Bios (De-Arteaga et al. 2019, arXiv:1901.09451) that SHIFT uses (Marks et al. 2024,
    arXiv:2403.19647): in `ambiguous` ones profession and gender say the same, in the others they are independent.

    Args:
        n: biographies, all different.
        professions: two of `words.PROFESSIONS`.
        ambiguous: the first profession is only of men and the second only of women. Otherwise each is half and half.
        seed: of the draw.

    Returns:
        `text`, `profession`, `gender` ("man" or "woman"), `name`, `pronoun`, a row a biography, professions in turn.

    Raises:
        TextError: an unknown profession, the same one twice, or fewer than one biography.
    """
    if unknown := sorted(set(professions) - set(w.PROFESSIONS)):
        raise TextError(f"{', '.join(unknown)}: no profession of toy-grammar. It knows {', '.join(w.PROFESSIONS)}.")
    if len(set(professions)) != 2:
        raise TextError(f"professions are {professions}; give two different ones.")
    _check(n)
    rng, rows = Random(f"biographies {professions} {ambiguous} {seed}"), {}
    while len(rows) < n:
        which = len(rows) % 2
        woman = which == 1 if ambiguous else len(rows) // 2 % 2 == 1
        name = rng.choice(w.WOMEN if woman else w.MEN)
        pronoun, cues = w.pronouns(name).subject, rng.sample(w.CUES[professions[which]], 2)
        if rng.random() < 0.5:
            text = f"{name} {cues[0]} . {pronoun} {cues[1]} ."
        else:
            text = f"{name} lives in {rng.choice(w.CITIES)} . {pronoun} {cues[0]} and {cues[1]} ."
        rows[text] = (text, professions[which], "woman" if woman else "man", name, pronoun)
    return pl.DataFrame(list(rows.values()), schema=["text", "profession", "gender", "name", "pronoun"], orient="row")


def _check(n: int) -> None:
    if n < 1:
        raise TextError(f"n is {n}; ask for one or more.")
