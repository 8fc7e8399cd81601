"""Generated biographies in which a profession and a gender coincide, or do not: what SHIFT is tried on.

As in Marks et al. (arXiv:2403.19647), who used Bias in Bios (De-Arteaga et al., arXiv:1901.09451): of two professions, the people
of the first are all men and those of the second all women in the ambiguous split, so a probe cannot know which of the two it is
asked for. In all other splits each of the four groups is equally large.

No text names the profession: a probe would need no more than that word. In English the sentence that does so is left out, as it
is in Bias in Bios; in the words of toy-grammar the text ends just before it. What is left says what the person does. A sentence
of work says nothing of gender but by its pronoun; names are of one gender each.

Training, validation and test share no name and no city. In English they share no phrase and no sentence frame either. toy-grammar
knows three phrases a profession: two are for training and validation, the third for the test, so a probe that has learned the
phrases themselves knows nothing there.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

import polars as pl

from .. import frames
from ..errors import TextError
from .biography_words import CITIES, CUES, HE, OPENINGS, PLAIN, SHE, TOY_CUES

T = TypeVar("T")

GENDERS = ("he", "she")
PRONOUNS = ({"he": "he", "his": "his", "him": "him"}, {"he": "she", "his": "her", "him": "her"})
PARTS = {"train": (0.0, 0.6), "validation": (0.6, 0.8), "test": (0.8, 1.0)}
"""Which share of each list of words is whose."""
SPLITS = {"ambiguous": "train", "balanced": "train", "validation": "validation", "test": "test"}

Draw = Callable[[random.Random, str, str, int], str]
"""A text, from random numbers, the part of the lists that is used, a profession, and 0 for he or 1 for she."""


def biographies(
    professions: tuple[str, str] = ("professor", "nurse"), *, train: int = 200, test: int = 200, seed: int = 0
) -> pl.DataFrame:
    """Short English biographies of three to five sentences, one of which is on the work (see `frames.SHIFT_TEXTS`).

    `label` is the profession, `spurious` the pronoun. The splits: `ambiguous`, where they coincide; `balanced`, from the same
    words; `validation` and `test`, from words of their own.

    Args:
        professions: two of surgeon, nurse, professor, teacher; in the ambiguous split the first are men.
        train: texts of the ambiguous split, and of the balanced one. test: of each of the others. Multiples of 4; default 200.
        seed: of the draw.

    Raises:
        TextError: other professions, or numbers that do not make groups of one size.
    """
    return _all(_english, professions, CUES, train, test, seed)


def toy_biographies(
    professions: tuple[str, str] = ("dentist", "professor"), *, train: int = 200, test: int = 200, seed: int = 0
) -> pl.DataFrame:
    """The same in the words of toy-grammar, two of its sixteen professions; arguments and columns as of `biographies`.

    mary lives in paris . she works in a hospital . she is a
    """
    return _all(_toy, professions, TOY_CUES, train, test, seed)


def _all(draw: Draw, professions: Sequence[str], known: Iterable[str], train: int, test: int,
         seed: int) -> pl.DataFrame:  # fmt: skip
    if len(set(professions)) != 2 or not set(professions) <= set(known):
        raise TextError(f"Biographies need two different professions of {', '.join(known)}; these are {professions}.")
    if min(train, test) < 4 or train % 4 or test % 4:
        raise TextError(
            f"Numbers of texts must be multiples of 4, so that groups are equally large; not {train}, {test}."
        )
    rows = []
    for split, part in SPLITS.items():
        rng, seen = random.Random(f"{seed} {split}"), set[str]()
        groups = [(0, 0), (1, 1)] if split == "ambiguous" else [(0, 0), (0, 1), (1, 0), (1, 1)]
        count = train if part == "train" else test
        made = []
        for label, gender in groups * (count // len(groups)):
            text = _new(lambda: draw(rng, part, professions[label], gender), seen)  # noqa: B023
            made.append((split, text, professions[label], GENDERS[gender]))
        rng.shuffle(made)
        rows += made
    return frames.build(frames.SHIFT_TEXTS, dict(zip(frames.SHIFT_TEXTS, zip(*rows, strict=True), strict=True)))


def _new(draw: Callable[[], str], seen: set[str]) -> str:
    """A text that this split does not have yet."""
    for _ in range(200):
        text = draw()
        if text not in seen:
            seen.add(text)
            return text
    raise TextError("There are not so many different biographies. Ask for fewer.")


def _part(items: Sequence[T], part: str) -> Sequence[T]:
    begin, end = PARTS[part]
    return items[round(begin * len(items)) : round(end * len(items))]


def _english(rng: random.Random, part: str, profession: str, gender: int) -> str:
    forms = PRONOUNS[gender]
    words = {
        **forms,
        **{key.capitalize(): form.capitalize() for key, form in forms.items()},
        "Name": rng.choice(_part((HE, SHE)[gender], part)).capitalize(),
        "City": rng.choice(_part(CITIES, part)).capitalize(),
        "k": rng.choice(("two", "three", "four", "five", "six", "seven", "eight", "nine")),
    }
    work = "{He} " + rng.choice(_part(CUES[profession], part)) + "."
    rest = [work, *rng.sample(_part(PLAIN, part), rng.choice((1, 2, 3)))]
    rng.shuffle(rest)
    return " ".join([rng.choice(_part(OPENINGS, part)), *rest]).format(**words)


def _toy(rng: random.Random, part: str, profession: str, gender: int) -> str:
    name, he = rng.choice(_part((HE, SHE)[gender], part)), GENDERS[gender]
    *cues, last = TOY_CUES[profession]
    cue = last if part == "test" else rng.choice(cues)
    return f"{name} lives in {rng.choice(_part(CITIES, part))} . {he} {cue} . {he} is a"
