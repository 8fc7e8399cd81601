"""The words that `biographies` are made of: names, what people of a profession do, and sentences that say nothing of it.

Lists are in an order, since the first part of each is for training and the last for the test.
"""

from __future__ import annotations

from .toy_grammar import words


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


def _lines(text: str) -> tuple[str, ...]:
    return tuple(line.strip() for line in text.strip().splitlines())


HE = _words(
    """john tom james peter paul mark david daniel robert henry george frank jack harry oscar simon adam leo max victor martin felix
    hugo ivan carl eric kevin brian steve walter arthur edward philip ralph dennis roger samuel thomas oliver noah"""
)
SHE = _words(
    """mary anna emma julia sarah laura alice clara helen jane kate lucy nina olga rosa ruth susan vera wendy zoe diana eva fiona
    grace irene karen linda monica nora paula rachel sophie tina ursula amy betty carol donna ellen sally"""
)
CITIES = _words(
    """paris berlin rome madrid lisbon vienna athens warsaw budapest oslo stockholm helsinki copenhagen dublin london moscow tokyo
    beijing seoul delhi cairo nairobi ottawa havana lima santiago ankara tehran baghdad bangkok hanoi kathmandu accra rabat kyiv
    bucharest belgrade sofia brussels riga"""
)
"""All of these are words of toy-grammar, too."""

_PLACES = _words(
    """baker 210 chef 012 dancer 021 dentist 021 gardener 201 journalist 120 judge 210 nurse 021 painter 210 pilot 210 plumber
    102 poet 201 professor 102 programmer 210 soldier 201 surgeon 201"""
)
"""Where each of a profession's phrases stands in `toy_grammar.words`; the numbers in the documentation rest on this order."""
TOY_CUES = {
    profession: tuple(words.CUES[profession][int(place)] for place in places)
    for profession, places in zip(_PLACES[::2], _PLACES[1::2], strict=True)
}
"""The three phrases that toy-grammar knows of each of its professions: two for training and validation, the last for the test."""

CUES = {
    "surgeon": _lines(
        """operates on knees and hips
        removes tumours in a large hospital
        has replaced hundreds of worn joints
        specialises in transplants of the kidney
        stands at the operating table for hours
        repairs hearts through a small cut
        straightens broken bones with plates and screws
        leads the team in the operating theatre
        reconstructs faces after accidents
        learned to sew wounds with tiny stitches
        cuts out cataracts under a microscope
        decides whether a patient needs an operation
        opens the chest to reach a blocked artery
        invented a clamp for operations on the spine
        removes the appendix of a child in an hour
        scrubs in at six and holds a scalpel by seven
        amputates when nothing else can save the patient
        trains young residents in keyhole operations"""
    ),
    "nurse": _lines(
        """looks after patients on a ward
        checks the blood pressure of the sick
        works night shifts in intensive care
        changes dressings and comforts families
        washes patients in the morning
        hands out the medicines at noon
        keeps the charts at the foot of each bed
        cares for elderly people in a home
        takes temperatures and draws blood
        monitors newborn babies in the clinic
        helps people to walk again after a stroke
        vaccinates children in the villages
        visits the bedridden and changes their bandages
        sits with the dying in a small hospice
        answers the call bells of forty beds
        brings water and turns the patients over
        watches over the recovery room
        calms those who wait in the emergency room"""
    ),
    "professor": _lines(
        """lectures on medieval history
        has published forty papers
        supervises doctoral students
        edits a scholarly journal
        holds a chair in philosophy
        won a grant to study manuscripts
        chairs the admissions committee of the faculty
        was awarded tenure after ten years
        runs a laboratory that studies fish
        presents new results at conferences
        directs an institute of classics
        gave a keynote on political theory
        reviews dissertations
        is writing a monograph on trade
        teaches a graduate seminar
        spends the summers in archives
        translates Latin verse for scholars
        leads a research group in physics"""
    ),
    "teacher": _lines(
        """teaches children to read
        has thirty pupils in one room
        marks homework at the kitchen table
        explains fractions with apples
        sings with the first grade
        watches the playground at noon
        meets parents in the evening
        writes sums on the blackboard
        takes the class to the zoo
        hands out crayons and paper
        prepares the school play
        rings the bell after lunch
        helps six year olds with spelling
        corrects tests from the fifth grade
        reads stories to the class
        writes report cards in June
        coaches the school team
        teaches grammar at a primary school"""
    ),
}
"""What people of four professions do, 18 phrases each; none has the name of the profession in it."""

OPENINGS = _lines(
    """{Name} lives in {City}.
    {Name} grew up near {City} and still lives there.
    {Name} moved to {City} {k} years ago.
    Born in {City}, {Name} is now forty-{k}.
    {Name} has a small flat in {City}.
    This is {Name}, who comes from {City}.
    {Name} came to {City} with a friend.
    People in {City} know {Name} well.
    {Name} was raised in a village outside {City}.
    {Name} has spent most of {his} life in {City}."""
)
PLAIN = _lines(
    """In {his} free time, {he} likes to swim.
    {He} has {k} cats and a garden.
    {He} enjoys long walks by the river.
    {He} spends the weekends with {his} family.
    {He} has been doing this for {k} years.
    {His} friends say that {he} is patient.
    On Sundays {he} bakes bread.
    {He} is learning to play the piano.
    {He} lives with {his} parents and {k} dogs.
    {His} favourite season is the autumn.
    {He} takes the bus to work every day.
    {He} speaks {k} languages.
    When it rains, {he} stays in and reads.
    {His} house has a blue door.
    {He} drinks too much coffee, as {he} says.
    {He} loves {his} work and rarely takes a day off.
    At home {he} keeps {k} hens.
    {He} runs along the harbour before breakfast.
    {His} brother visits {him} once a month.
    {He} hopes to see the mountains again."""
)
"""Sentences with a pronoun and without a word on the work."""
