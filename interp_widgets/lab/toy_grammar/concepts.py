"""Concepts that the grammar plants, and how well an atom tells each.

An atom tells a concept as a detector: it says yes where it is above a fifth of its largest activation. F1 is the harmonic mean of
how much of what it says is right and how much of what there is it says.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from random import Random
from typing import Any, NamedTuple

import torch

from ...sae.dictionary import Dictionary
from . import grammar
from . import words as w
from .tokens import encode

ON = 0.2


class Place(NamedTuple):
    """A word of a sentence."""

    word: str
    next: str
    """The word after it where that is an answer, else empty."""


def _word(*classes: Iterable[str]) -> Callable[[Place], bool]:
    words = {word for each in classes for word in each}
    return lambda place: place.word in words


def _next(*classes: Iterable[str]) -> Callable[[Place], bool]:
    words = {word for each in classes for word in each}
    return lambda place: place.next in words


CONCEPTS: dict[str, Callable[[Place], bool]] = {
    "true claim": _next(["true"]),
    "false claim": _next(["false"]),
    "next is a pronoun": _next(w.SHE, w.HE),
    "next is she or her": _next(w.SHE),
    "next is he or his": _next(w.HE),
    "next is a singular verb": _next(verb.singular for verb in w.VERBS),
    "next is a plural verb": _next(verb.plural for verb in w.VERBS),
    "next is a weekday": _next(w.DAYS),
    "next is a month": _next(w.MONTHS),
    "next is a capital": _next(w.CITIES),
    "next is a country": _next(w.COUNTRIES),
    "next is a profession": _next(w.PROFESSIONS),
    "singular noun": _word(w.NOUNS),
    "plural noun": _word(w.PLURALS.values()),
    "place": _word(w.PLACES),
    "profession": _word(w.PROFESSIONS),
    "number": _word(w.NUMBERS[1:]),
    "negation": _word(["not"]),
    "weekday": _word(w.DAYS),
    "month": _word(w.MONTHS),
    "capital": _word(w.CITIES),
    "country": _word(w.COUNTRIES),
    "man's name": _word(w.MEN),
    "woman's name": _word(w.WOMEN),
}


def mixed(n: int, seed: str, held: bool = False) -> list[tuple[str, str]]:
    """`n` times (task, sentence), each task as often as the others; `held`: with its combination held out."""
    rng, tasks, out = Random(f"mixed {seed}"), dict(grammar.TASKS), []
    if not held:
        tasks["filler"] = grammar.filler
    for task in rng.choices(list(tasks), k=n):
        out.append((task, grammar.draw(rng, tasks[task], rng.choice(grammar.HELD[task]) if held else "")))
    return out


class Reading(NamedTuple):
    """Activations at the words of sentences; `<s>` is left out."""

    places: list[Place]
    values: dict[str, torch.Tensor]
    """A site: [words, width]."""

    def labels(self) -> torch.Tensor:
        """[words, concepts]: whether each holds."""
        return torch.tensor([[holds(place) for holds in CONCEPTS.values()] for place in self.places])


def read(model: Any, texts: Iterable[str], sites: Iterable[str]) -> Reading:
    """What `model`, a session, computes for marked texts."""
    sites, places = list(sites), []
    found: dict[str, list[torch.Tensor]] = {site: [] for site in sites}
    by_length: dict[int, list[tuple[list[str], list[int], list[int]]]] = {}
    for text in texts:
        words, answers = grammar.parse(text)
        by_length.setdefault(len(words), []).append((words, answers, encode(text)[0][:-1]))
    for rows in by_length.values():
        for first in range(0, len(rows), 128):
            some = rows[first : first + 128]
            values = model.run([ids for _, _, ids in some], sites)
            for site in sites:
                found[site].append(values[site][:, 1:].flatten(0, 1))
            for words, answers, _ in some:
                following = [*(word if i in answers else "" for i, word in enumerate(words) if i), ""]
                places += [Place(*pair) for pair in zip(words, following, strict=True)]
    return Reading(places, {site: torch.cat(pieces) for site, pieces in found.items()})


def scores(activations: torch.Tensor, labels: torch.Tensor, largest: torch.Tensor | None = None) -> torch.Tensor:
    """F1 [atoms, concepts] of activations [words, atoms]; `largest` [atoms]: by default over these words."""
    limit = ON * (activations.amax(0) if largest is None else largest)
    on = ((activations > limit) & (activations > 0)).float()
    both, said, there = on.T @ labels.float(), on.sum(0)[:, None], labels.float().sum(0)
    return 2 * both / (said + there).clamp(min=1)


def best_atoms(dictionary: Dictionary, values: torch.Tensor, labels: torch.Tensor, names: Iterable[str]) -> list[int]:
    """The atom that tells each named concept best, none of them twice."""
    table = scores(dictionary.encode(values), labels)
    chosen: list[int] = []
    for name in names:
        column = table[:, list(CONCEPTS).index(name)].clone()
        column[chosen] = -1
        chosen.append(int(column.argmax()))
    return chosen
