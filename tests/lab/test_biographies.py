"""Biographies are what their docstrings say: balanced, apart, without the word that would give them away."""

from __future__ import annotations

import polars as pl
import pytest

import interp_widgets as iw
from interp_widgets import frames
from interp_widgets.errors import TextError
from interp_widgets.lab.biographies import biographies, toy_biographies
from interp_widgets.lab.biography_words import CITIES, CUES, HE, OPENINGS, PLAIN, SHE, TOY_CUES
from interp_widgets.lab.toy_grammar import words as toy_words

MADE = {
    "english": lambda **more: biographies(train=80, test=40, **more),
    "toy": lambda **more: toy_biographies(train=80, test=40, **more),
}


@pytest.mark.parametrize("name", MADE)
def test_groups_are_of_one_size_and_coincide_in_the_ambiguous_split_alone(name: str) -> None:
    data = frames.check(MADE[name](), frames.SHIFT_TEXTS)
    counted = data.group_by("split", "label", "spurious").len()
    ambiguous = counted.filter(split="ambiguous")
    first, second = ("dentist", "professor") if name == "toy" else ("professor", "nurse")
    assert set(ambiguous.select("label", "spurious", "len").rows()) == {(first, "he", 40), (second, "she", 40)}
    for split, each in (("balanced", 20), ("validation", 10), ("test", 10)):
        assert counted.filter(split=split)["len"].to_list() == [each] * 4
    assert data.group_by("split").agg(pl.col("document").is_duplicated().any())["document"].any() is False


@pytest.mark.parametrize("name", MADE)
def test_splits_share_no_name_and_no_text_names_its_profession(name: str) -> None:
    data = MADE[name]()
    names = {word.lower() for word in (*HE, *SHE)}
    used = {
        part: {w for text in data.filter(pl.col("split").is_in(splits))["document"] for w in words(text) if w in names}
        for part, splits in (("train", ["ambiguous", "balanced"]), ("validation", ["validation"]), ("test", ["test"]))
    }
    assert all(used.values())
    assert not used["train"] & used["test"]
    assert not used["train"] & used["validation"]
    assert not used["validation"] & used["test"]
    assert not [text for text, label in data.select("document", "label").rows() if label in words(text)]


def test_the_test_asks_for_phrases_that_no_probe_was_fitted_on() -> None:
    for name, cues in (("english", CUES), ("toy", TOY_CUES)):
        made = MADE[name]()
        train, test = (
            {
                cue
                for p in made["label"].unique()
                for cue in cues[p]
                for text in made.filter(split=split)["document"]
                if cue in text
            }
            for split in ("ambiguous", "test")
        )
        assert train
        assert test
        assert not train & test


def test_a_name_and_a_pronoun_are_of_one_gender() -> None:
    for made in (MADE["english"](), MADE["toy"]()):
        for text, spurious in made.select("document", "spurious").rows():
            said = set(words(text))
            assert spurious in said
            assert ({"he": "she", "she": "he"}[spurious]) not in said
            assert said & set({"he": HE, "she": SHE}[spurious])
            assert not said & set({"he": SHE, "she": HE}[spurious])


def test_lists_hold_no_word_of_gender_and_no_profession() -> None:
    gendered = {"he", "she", "his", "her", "him", "hers", "himself", "herself", "man", "woman"}
    for phrases in (
        *CUES.values(),
        *TOY_CUES.values(),
        *(tuple(p.format_map(Anything()) for p in (*OPENINGS, *PLAIN)),),
    ):
        for phrase in phrases:
            assert not set(words(phrase)) & gendered, phrase
            assert not set(words(phrase)) & {*CUES, *TOY_CUES}, phrase
    assert all(len(set(cues)) == 18 for cues in CUES.values())
    assert len(set(CITIES)) == len(CITIES)


def test_every_word_of_the_toy_texts_is_one_that_the_model_knows() -> None:
    toy = iw.load("toy-grammar")
    unknown = toy.tokenizer.unk_token_id
    assert {profession: set(cues) for profession, cues in TOY_CUES.items()} == {
        profession: set(cues) for profession, cues in toy_words.CUES.items()
    }
    pairs = list(zip(TOY_CUES, [*TOY_CUES][1:] + [*TOY_CUES][:1], strict=True))
    assert not [t for p in pairs for t in toy_biographies(p, train=8, test=8)["document"] if unknown in toy.encode(t)]


def test_draws_are_those_of_their_seed() -> None:
    assert MADE["toy"]().equals(MADE["toy"]())
    assert not MADE["toy"]().equals(MADE["toy"](seed=1))


def test_what_cannot_be_made_is_refused_in_a_sentence() -> None:
    with pytest.raises(TextError, match="two different professions"):
        biographies(("nurse", "pilot"))
    with pytest.raises(TextError, match="multiples of 4"):
        toy_biographies(train=10)
    with pytest.raises(TextError, match="not so many different"):
        toy_biographies(test=4000)


def words(text: str) -> list[str]:
    return [word.strip(".,") for word in text.lower().split()]


class Anything(dict):
    """Every field of a template is a dot."""

    def __missing__(self, key: str) -> str:
        return "."
