"""Words for tokens, names and numbers in a sentence: planted cases, one for each rule."""

from __future__ import annotations

import unicodedata

import pytest

from interp_widgets.panels.wording import NAME, TOKEN, clusters, counted, name, number, percent, quoted


@pytest.mark.parametrize(
    ("token", "said"),
    [
        (" Paris", '" Paris"'),
        ("", "an empty token"),
        (" ", "a space"),
        ("    ", "4 spaces"),
        ("\n", "a line break"),
        ("\n\n  ", "2 line breaks and 2 spaces"),
        ("\t", "a tab"),
        (" \n \n", "4 blanks"),
        (" a\n", '" a\\n"'),
        ('say "no"', '"say \\"no\\""'),
        ("a\u200bb", '"a\\u200bb"'),
        ("\u202eevil", '"\\u202eevil"'),
        ("\ufeff", '"\\ufeff"'),
        ("\xa0x", '"\xa0x"'),
        ("\\xe2\\x80", '"\\\\xe2\\\\x80"'),
        ("<script>", '"<script>"'),
        ("مدينة", '\u2068"مدينة"\u2069'),
        ("👩\u200d🔬", '"👩\u200d🔬"'),
        ("👍🏽", '"👍🏽"'),
        ("क्षि", '"क्षि"'),
        ("\u0301", '"◌\u0301"'),
        ("a" * 50, f'"{"a" * TOKEN}"…'),
        ("\u200b" * 9, '"\\u200b\\u200b\\u200b"…'),
    ],
)
def test_a_token_is_exact_short_and_hides_nothing(token, said):
    assert quoted(token) == said


def test_a_cut_takes_no_character_apart():
    flags = "e\u0301" * 40
    written = quoted(flags).split("…")[0].strip('"')
    assert flags.startswith(written)
    assert not unicodedata.combining(flags[len(written)])
    family = "👨\u200d👩\u200d👧\u200d👦"
    assert clusters(family * 2 + "x") == [family, family, "x"]
    assert clusters("ที่นี่") == ["ที่", "นี่"]


@pytest.mark.parametrize("token", ["\u202e" * 40, "\U0001f9d1\u200d" * 40, "a" * 1000, "\x00" * 30, "é" * 99, '"' * 60])
def test_no_token_takes_the_sentence(token):
    assert len(quoted(token)) <= TOKEN + 5


def test_names_are_cut_and_on_one_line():
    assert name("SmolLM2-135M") == "SmolLM2-135M"
    assert name("a\nb  c") == "a b c"
    assert len(name("/home/me/models/" + "x" * 200)) == NAME
    assert name("\u202egpj.exe") == "\\u202egpj.exe"
    assert name("نموذج") == "\u2068نموذج\u2069"


@pytest.mark.parametrize(
    ("share", "said"),
    [
        (0.0, "0%"), (0.0004, "under 0.1%"), (0.0312, "3.1%"), (0.407, "41%"), (0.725, "73%"), (0.925, "93%"),
        (0.996, "99.6%"), (0.99999, "over 99.9%"), (1.0, "100%"), (-0.5, "−50%"), (1.02, "102%"),
        (float("nan"), "an undefined share"),
    ],
)  # fmt: skip
def test_a_share_never_rounds_to_none_or_all(share, said):
    assert percent(share) == said


def test_numbers_and_counts():
    assert [number(x) for x in (0.93456, -2.31, 4e-06, 12345.0, float("inf"))] == [
        "0.935",
        "−2.31",
        "4e−6",
        "1.23e4",
        "undefined",
    ]
    assert [number(x, sign=True) for x in (1.5, -1.5, 0.0)] == ["+1.5", "−1.5", "0"]
    assert [counted(1, "token"), counted(1200, "token"), counted(2, "box", "boxes")] == [
        "1 token",
        "1,200 tokens",
        "2 boxes",
    ]
