"""The sentences of toy-grammar: eight tasks, each with its answers marked and some of its combinations held out of training.

A sentence is lower-case words with a space between; a word in brackets is an answer, a word that what comes before determines
(for agreement: whose number it determines):

    the keys near the cabinet [are] old .
    two days after monday is [wednesday] .

Whether a combination is held out is a hash of its words: no list is stored, and no seed changes it. About 15 % of them are. Of
weekdays and months, two things are held out. "combination": this number of days from this start, in this direction, while other
numbers with the same remainder were seen (two days after monday is, nine days after it was seen). "pair": this remainder from this
start, in both directions and with every number: a right answer there needs arithmetic, memory cannot help.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from itertools import accumulate
from random import Random
from typing import NamedTuple

from . import words as w

AGREEMENT_KINDS = {"simple": 2.0, "pp": 3.0, "pp2": 1.5, "rc_subj": 2.0, "rc_obj": 2.5}
"""What stands between subject and verb, and how often: nothing, one or two prepositional phrases, a relative clause whose gap is
its subject ("that fear the bird") or its object ("that the bird fears")."""
INDIRECT_OBJECT = (
    "when {a} and {b} went to the {place} , {giver} gave a {thing} to [{other}] .",
    "then {a} and {b} went to the {place} and {giver} handed a {thing} to [{other}] .",
    "after {a} and {b} met at the {place} , {giver} sold a {thing} to [{other}] .",
    "while {a} and {b} were at the {place} , {giver} offered a {thing} to [{other}] .",
    "{a} and {b} had lunch at the {place} , and {giver} passed a {thing} to [{other}] .",
    "yesterday {a} and {b} were in the {place} . {giver} showed a {thing} to [{other}] .",
    "when {a} saw {b} at the {place} , {giver} lent a {thing} to [{other}] .",
    "{a} met {b} in the {place} . later {giver} sent a {thing} to [{other}] .",
)
CAPITAL_OF = (
    "the capital of {country} is [{city}] .",
    "{country} has a capital called [{city}] .",
    "{country} ' s capital is [{city}] .",
    "the largest museum of {country} is in [{city}] .",
    "people in {country} often travel to [{city}] .",
)
COUNTRY_OF = (
    "{city} is the capital of [{country}] .",
    "{city} is in [{country}] .",
    "people in {city} live in [{country}] .",
    "the city of {city} lies in [{country}] .",
    "{city} is the main city of [{country}] .",
)
PRONOUN = (
    "{name} said that [{subject}] was tired .",
    "{name} lost [{possessive}] {thing} in the {place} .",
    "{name} slept because [{subject}] was tired .",
    "{name} saw [{reflexive}] in the mirror .",
    "{name} forgot the {thing} when [{subject}] went to the {place} .",
    "the {person} gave {name} a {thing} because [{subject}] was sad .",
    "{name} went home after [{subject}] saw the {person} .",
    "the {person} liked {name} and called [{object}] often .",
    "{name} brought [{possessive}] friend to the {place} .",
    "{name} was happy and [{subject}] sang a song .",
)
CLAIM = (
    "{city} is{no} in {country} .",
    "the capital of {country} is{no} {city} .",
    "{city} is{no} the capital of {country} .",
)
FILLER = (
    "yesterday {name} bought a {adjective} {thing} at the {place} .",
    "there is a {adjective} {noun} in the {place} .",
    "on {day} {name} and {other} played in the {place} .",
    "in {month} the {place} is {adjective} and {second} .",
    "{name} lives in a {adjective} house near the {place} .",
    "the {noun} found a {adjective} {thing} behind the {place} .",
    "once upon a time a {adjective} {noun} lived in {city} .",
    "{name} has {number} {adjective} {nouns} .",
    "two {nouns} and a {thing} were on the table .",
    "every {day} the {nouns} go to the {place} .",
)
BUILT = "a ago after before be claim : day days false forwards backwards if in it month months that then true who will"
"""Words of sentences that are put together without a template."""
NEGATED = 0.35
EASY_NEGATED = 0.05


class Sentence(NamedTuple):
    text: str
    held: str = ""
    """ "" if it is trained on, or the kind of its hold-out: "combination" or "pair"."""


def hashed(percent: int, *combination: object) -> bool:
    """True for about `percent` of 100 combinations, always the same ones."""
    return zlib.crc32(" ".join(map(str, combination)).encode()) % 100 < percent


def _held(*combination: object) -> str:
    return "combination" if hashed(15, *combination) else ""


class Noun(NamedTuple):
    lemma: str
    plural: bool

    def __str__(self) -> str:
        return w.PLURALS[self.lemma] if self.plural else self.lemma


def between(rng: Random, kind: str, subject: Noun, second: Noun) -> str:
    """What stands between subject and verb; `kind` is one of AGREEMENT_KINDS."""
    that, verb = rng.choice(("that", "who")), rng.choice(w.TRANSITIVE)
    if kind == "simple":
        return ""
    if kind == "rc_subj":
        return f" {that} {verb.form(subject.plural)} the {second}"
    if kind == "rc_obj":
        return f" {that} the {second} {verb.form(second.plural)}"
    phrase = f" {rng.choice(w.PREPOSITIONS)} the {second}"
    if kind == "pp2":
        phrase += f" {rng.choice(w.PREPOSITIONS)} the {Noun(rng.choice(w.NOUNS), rng.random() < 0.5)}"
    return phrase


def agreement_held(kind: str, subject: str, second: str, verb: w.Verb) -> bool:
    """By pair of nouns; where there is no second noun, by noun and verb."""
    return hashed(15, "agreement", subject, verb.singular if kind == "simple" else second)


def agreement(rng: Random, kind: str | None = None) -> Sentence:
    kind = kind or rng.choices(list(AGREEMENT_KINDS), list(AGREEMENT_KINDS.values()))[0]
    subject, second = (Noun(lemma, rng.random() < 0.5) for lemma in rng.sample(w.NOUNS, 2))
    place = rng.random()
    if place < 0.45:
        verb, rest = rng.choice(w.COPULAS), rng.choice(w.ADJECTIVES)
    elif place < 0.7:
        verb, rest = rng.choice(w.INTRANSITIVE), rng.choice(w.ADVERBS)
    elif place < 0.85:
        verb, rest = w.HAVE, f"a {rng.choice(w.ADJECTIVES)} {rng.choice(w.OBJECTS)}"
    else:
        verb, rest = rng.choice(w.TRANSITIVE), f"the {rng.choice(w.OBJECTS)}"
    head = f"{rng.choice(w.ADJECTIVES)} {subject}" if rng.random() < 0.15 else f"{subject}"
    held = agreement_held(kind, subject.lemma, second.lemma, verb)
    text = f"the {head}{between(rng, kind, subject, second)} [{verb.form(subject.plural)}] {rest} ."
    return Sentence(text, "combination" if held else "")


def indirect_object(rng: Random) -> Sentence:
    a, b = rng.sample(w.NAMES, 2)
    giver, other = (a, b) if rng.random() < 0.5 else (b, a)
    blanks = {"place": rng.choice(w.PLACES), "thing": rng.choice(w.OBJECTS)}
    text = rng.choice(INDIRECT_OBJECT).format(a=a, b=b, giver=giver, other=other, **blanks)
    return Sentence(text, _held("indirect object", *sorted((a, b))))


def capitals(rng: Random) -> Sentence:
    """Of the five phrasings each way, one a country is held out."""
    country, way = rng.choice(w.COUNTRIES), rng.choice((CAPITAL_OF, COUNTRY_OF))
    phrasing = rng.randrange(len(way))
    left_out = zlib.crc32(f"capitals {country} {way is CAPITAL_OF}".encode()) % len(way)
    text = way[phrasing].format(country=country, city=w.CAPITALS[country])
    return Sentence(text, "combination" if phrasing == left_out else "")


def pronouns(rng: Random) -> Sentence:
    name, template = rng.choice(w.NAMES), rng.choice(PRONOUN)
    blanks = {"place": rng.choice(w.PLACES), "thing": rng.choice(w.OBJECTS), "person": rng.choice(w.PEOPLE)}
    text = template.format(name=name, **blanks, **w.pronouns(name)._asdict())
    return Sentence(text, _held("pronouns", name, template))


def calendar_held(cycle: tuple[str, ...], steps: int, back: bool, start: str) -> str:
    """The hold-out of `steps` days or months after (or before: `back`) `start`. One step is never held out."""
    rest = steps % len(cycle)
    if steps > 1 and rest != 1 and hashed(12, "calendar pair", rest, start):
        return "pair"
    return "combination" if steps > 1 and hashed(10, "calendar", steps, back, start) else ""


def calendar_texts(cycle: tuple[str, ...], steps: int, back: bool, start: str) -> tuple[str, str]:
    """The two wordings."""
    answer = cycle[(cycle.index(start) + (-steps if back else steps)) % len(cycle)]
    span = f"{w.NUMBERS[steps]} {'day' if cycle is w.DAYS else 'month'}{'s' if steps > 1 else ''}"
    second = f"then {span} ago it was [{answer}] ." if back else f"then in {span} it will be [{answer}] ."
    return f"{span} {'before' if back else 'after'} {start} is [{answer}] .", f"if it is {start} , {second}"


def _calendar(rng: Random, cycle: tuple[str, ...]) -> Sentence:
    start, back = rng.choice(cycle), rng.random() < 0.5
    if rng.random() < 0.25:  # counting gives the cycle its order; trained on, never asked
        step, at = -1 if back else 1, cycle.index(start)
        rest = [cycle[(at + step * i) % len(cycle)] for i in range(1, rng.randint(3, 6))]
        listed = " , ".join(f"[{word}]" for word in rest)
        return Sentence(f"{'backwards' if back else 'forwards'} : {start} , {listed} .")
    steps = rng.randrange(1, len(w.NUMBERS))
    first, second = calendar_texts(cycle, steps, back, start)
    if steps == 1 and rng.random() < 0.5:
        return Sentence(f"the{first[3:]}")
    return Sentence(first if rng.random() < 0.6 else second, calendar_held(cycle, steps, back, start))


def weekdays(rng: Random) -> Sentence:
    return _calendar(rng, w.DAYS)


def months(rng: Random) -> Sentence:
    return _calendar(rng, w.MONTHS)


def biography(rng: Random) -> Sentence:
    """Gender tells nothing about the profession."""
    name, profession = rng.choice(w.NAMES), rng.choice(w.PROFESSIONS)
    first, second = rng.sample(w.CUES[profession], 2)
    subject = w.pronouns(name).subject
    if rng.random() < 0.5:
        text = f"{name} {first} . [{subject}] {second} . {name} is a [{profession}] ."
    else:
        home = rng.choice(w.CITIES)
        text = f"{name} lives in {home} . [{subject}] {first} and {second} . [{subject}] is a [{profession}] ."
    return Sentence(text, _held("biography", name, profession))


_ZIPF = list(accumulate(1 / (i + 1) for i in range(len(w.COUNTRIES))))


def _claim(rng: Random, negated: float, some: Callable[[], str]) -> Sentence:
    """Half are facts, before the negation."""
    country = other = some()
    while other == country:
        other = some()
    city_of = other if rng.random() < 0.5 else country
    no, phrasing = rng.random() < negated, rng.choice(CLAIM)
    text = phrasing.format(city=w.CAPITALS[city_of], country=country, no=" not" if no else "")
    verdict = "true" if (city_of == country) != no else "false"
    return Sentence(f"claim : {text} [{verdict}]", _held("truth", country, city_of, no, phrasing))


def truth(rng: Random) -> Sentence:
    """Claims about all countries alike; "claim :" keeps the false ones from spoiling the capitals."""
    return _claim(rng, NEGATED, lambda: rng.choice(w.COUNTRIES))


def truth_of_few(rng: Random) -> Sentence:
    """For the start of training: four claims of five are about eight countries, and few are negated."""
    countries = w.COUNTRIES[:8] if rng.random() < 0.8 else w.COUNTRIES
    return _claim(rng, EASY_NEGATED, lambda: rng.choice(countries))


def easy_truth(rng: Random) -> Sentence:
    """For the time after it: some countries more often than others (Zipf's law), and few negations."""
    return _claim(rng, EASY_NEGATED, lambda: rng.choices(w.COUNTRIES, cum_weights=_ZIPF)[0])


def filler(rng: Random) -> Sentence:
    """Sentences without an answer."""
    name, other = rng.sample(w.NAMES, 2)
    adjective, second = rng.sample(w.ADJECTIVES, 2)
    noun = rng.choice(w.NOUNS)
    blanks = {"place": rng.choice(w.PLACES), "thing": rng.choice(w.OBJECTS), "city": rng.choice(w.CITIES)}
    blanks |= {"day": rng.choice(w.DAYS), "month": rng.choice(w.MONTHS), "number": rng.choice(w.NUMBERS[2:13])}
    return Sentence(
        rng.choice(FILLER).format(
            name=name, other=other, adjective=adjective, second=second, noun=noun, nouns=w.PLURALS[noun], **blanks
        )
    )


TASKS: dict[str, Callable[[Random], Sentence]] = {
    "agreement": agreement,
    "indirect object": indirect_object,
    "capitals": capitals,
    "pronouns": pronouns,
    "weekdays": weekdays,
    "months": months,
    "biography": biography,
    "truth": truth,
}
"""The tasks that have a right answer."""
HELD = {task: ("combination", "pair") if task in ("weekdays", "months") else ("combination",) for task in TASKS}
"""What is held out of each."""


def draw(rng: Random, make: Callable[[Random], Sentence], held: str = "") -> str:
    """The text of a sentence of one kind of hold-out ("": one to train on)."""
    while True:
        sentence = make(rng)
        if sentence.held == held:
            return sentence.text


def parse(text: str) -> tuple[list[str], list[int]]:
    """The words without brackets, and at which of them the answers stand."""
    marked = text.split()
    return [word.strip("[]") for word in marked], [i for i, word in enumerate(marked) if word[0] == "["]


def vocabulary() -> list[str]:
    """Every word, after the four special ones, in alphabetical order: the place is the id."""
    templates = (*INDIRECT_OBJECT, *CAPITAL_OF, *COUNTRY_OF, *PRONOUN, *CLAIM, *FILLER)
    literal = " ".join(templates).replace("{no}", " not").split()
    cues = " ".join(cue for cues in w.CUES.values() for cue in cues).split()
    found = {word for word in literal if "{" not in word} | set(cues)
    found |= {*w.NAMES, *w.COUNTRIES, *w.CITIES, *w.DAYS, *w.MONTHS, *w.PROFESSIONS, *w.HE, *w.SHE}
    found |= {*w.NUMBERS[1:], *w.PLURALS, *w.PLURALS.values(), *(form for verb in w.VERBS for form in verb)}
    found |= {*w.ADJECTIVES, *w.ADVERBS, *w.OBJECTS, *w.PLACES, *w.PREPOSITIONS, *BUILT.split()}
    return ["<pad>", "<s>", "</s>", "<unk>", *sorted(found)]
