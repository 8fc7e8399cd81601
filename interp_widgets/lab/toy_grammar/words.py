"""The words of toy-grammar: 569 of them, in classes whose members behave alike."""

from __future__ import annotations

from typing import NamedTuple


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


MEN = _words(
    "adam arthur brian carl daniel david dennis edward eric felix frank george harry henry hugo ivan jack james john "
    "kevin leo mark martin max noah oliver oscar paul peter philip ralph robert roger samuel simon steve thomas tom "
    "victor walter"
)
WOMEN = _words(
    "alice amy anna betty carol clara diana donna ellen emma eva fiona grace helen irene jane julia karen kate laura "
    "linda lucy mary monica nina nora olga paula rachel rosa ruth sally sarah sophie susan tina ursula vera wendy zoe"
)
NAMES = MEN + WOMEN

CAPITALS = {
    **{"austria": "vienna", "belgium": "brussels", "bulgaria": "sofia", "canada": "ottawa", "chile": "santiago"},
    **{"china": "beijing", "cuba": "havana", "denmark": "copenhagen", "egypt": "cairo", "england": "london"},
    **{"finland": "helsinki", "france": "paris", "germany": "berlin", "ghana": "accra", "greece": "athens"},
    **{"hungary": "budapest", "india": "delhi", "iran": "tehran", "iraq": "baghdad", "ireland": "dublin"},
    **{"italy": "rome", "japan": "tokyo", "kenya": "nairobi", "korea": "seoul", "latvia": "riga"},
    **{"morocco": "rabat", "nepal": "kathmandu", "norway": "oslo", "peru": "lima", "poland": "warsaw"},
    **{"portugal": "lisbon", "romania": "bucharest", "russia": "moscow", "serbia": "belgrade", "spain": "madrid"},
    **{"sweden": "stockholm", "thailand": "bangkok", "turkey": "ankara", "ukraine": "kyiv", "vietnam": "hanoi"},
}
COUNTRIES = tuple(CAPITALS)
CITIES = tuple(CAPITALS.values())

DAYS = _words("monday tuesday wednesday thursday friday saturday sunday")
MONTHS = _words("january february march april may june july august september october november december")
NUMBERS = _words(
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen "
    "eighteen nineteen twenty"
)

PEOPLE = _words(
    "author banker doctor driver farmer friend guard king lawyer manager minister neighbour senator singer student teacher"
)
THINGS = _words(
    "basket bird boat book bottle bridge cabinet car cat clock computer dog door garden horse house key lamp letter "
    "picture table tower tree window"
)
PLURALS = {noun: noun + "s" for noun in PEOPLE + THINGS + ("boy", "girl")} | {
    "child": "children",
    "man": "men",
    "woman": "women",
}
NOUNS = tuple(PLURALS)
"""Subjects, in the singular."""


class Verb(NamedTuple):
    """A verb in both numbers."""

    singular: str
    plural: str

    def form(self, plural: bool) -> str:
        return self.plural if plural else self.singular


COPULAS = (Verb("is", "are"), Verb("was", "were"), Verb("seems", "seem"), Verb("looks", "look"))
HAVE = Verb("has", "have")
INTRANSITIVE = tuple(Verb(f"{verb}s", verb) for verb in _words("appear fall move remain sink sleep stand wait"))
TRANSITIVE = tuple(Verb(f"{verb}s", verb) for verb in _words("admire fear follow help know like love see"))
VERBS = (*COPULAS, HAVE, *INTRANSITIVE, *TRANSITIVE)

ADJECTIVES = _words(
    "big black blue bright dark famous green happy heavy new nice old quiet red sad small strange white"
)
ADVERBS = _words("again alone here often quietly slowly there today")
OBJECTS = _words("ball basket book drink flower hat key lamp letter ring sandwich ticket")
PLACES = _words("garden hospital library market museum office park restaurant school station store theatre")
PREPOSITIONS = _words("above behind beside by for near under with")

CUES = {
    "baker": ("heats an oven", "makes bread", "works with flour"),
    "chef": ("cooks meals", "runs a kitchen", "tastes the soup"),
    "dancer": ("dances on a stage", "moves to music", "wears ballet shoes"),
    "dentist": ("cleans teeth", "examines mouths", "fills cavities"),
    "gardener": ("cuts the hedges", "plants roses", "waters the lawn"),
    "journalist": ("interviews politicians", "works for a newspaper", "writes articles"),
    "judge": ("reads the law", "sends thieves to prison", "works in a court"),
    "nurse": ("cares for patients", "gives medicine to sick people", "works in a hospital"),
    "painter": ("mixes colours", "paints portraits", "works with a brush"),
    "pilot": ("flies planes", "sees many clouds", "works at an airport"),
    "plumber": ("carries a wrench", "fixes sinks", "repairs pipes"),
    "poet": ("loves rhymes", "recites poems", "writes verses"),
    "professor": ("gives lectures", "publishes papers", "teaches at a university"),
    "programmer": ("fixes bugs", "tests software", "writes code"),
    "soldier": ("carries a rifle", "marches in an army", "wears a uniform"),
    "surgeon": ("cuts with a scalpel", "operates on patients", "works in a clinic"),
}
"""What says a profession: three phrases each."""
PROFESSIONS = tuple(CUES)


class Pronouns(NamedTuple):
    subject: str
    object: str
    possessive: str
    reflexive: str


HE = Pronouns("he", "him", "his", "himself")
SHE = Pronouns("she", "her", "her", "herself")


def pronouns(name: str) -> Pronouns:
    """Those of one of `NAMES`."""
    return SHE if name in WOMEN else HE
