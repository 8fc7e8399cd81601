"""The prompt sets are what their docstrings say: one length, one difference, single tokens, balanced."""

from __future__ import annotations

from collections import Counter

import polars as pl
import pytest

import interp_widgets as iw
from interp_widgets.errors import TextError
from interp_widgets.lab import prompts

SETS = {"ioi": -5, "agreement": -4, "capitals": -2}
"""Each set and where its prompts differ."""


@pytest.fixture(scope="module")
def toy() -> iw.Session:
    return iw.load("toy-grammar")


@pytest.fixture(scope="module")
def tokenizer(smollm2):
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(smollm2)


@pytest.mark.parametrize("name", SETS)
def test_each_word_is_one_token_and_one_token_differs(name, tokenizer) -> None:
    pairs = getattr(prompts, name)()
    assert pairs.columns == ["clean", "corrupt", "answer", "foil"]
    assert len(pairs) >= 40
    assert len(pairs.unique(["clean", "corrupt"])) == len(pairs)

    def ids(text: str) -> list[int]:
        return tokenizer(text)["input_ids"]

    length = len(ids(pairs["clean"][0]))
    for row in pairs.iter_rows(named=True):
        clean, corrupt = ids(row["clean"]), ids(row["corrupt"])
        assert len(clean) == len(corrupt) == length, row
        assert [i - length for i in range(length) if clean[i] != corrupt[i]] == [SETS[name]], row
        assert len(ids(row["answer"])) == len(ids(row["foil"])) == 1, row
        assert row["answer"] != row["foil"]


def test_names_are_balanced() -> None:
    pairs = prompts.ioi()
    for role in ("answer", "foil"):
        assert set(Counter(pairs[role]).values()) == {2}
    first = [row["clean"].split()[1] == row["answer"].strip() for row in pairs.iter_rows(named=True)]
    assert sum(first) == 20
    for row in pairs.iter_rows(named=True):
        giver = {side: row[side].split(", ")[1].split()[0] for side in ("clean", "corrupt")}
        assert giver == {"clean": row["foil"].strip(), "corrupt": row["answer"].strip()}


def test_numbers_are_balanced_and_each_noun_is_in_one_pair() -> None:
    pairs = prompts.agreement()
    assert len({row.split()[1].removesuffix("s") for row in pairs["clean"]}) == len(pairs) == 48
    beside = pairs.select("answer", plural=pl.col("clean").str.ends_with("s"))
    assert set(beside.group_by("answer", "plural").len()["len"]) == {12}
    for row in pairs.iter_rows(named=True):
        assert row["clean"].split()[1].endswith("s") == (row["answer"] == " are")


def test_countries_are_balanced_and_their_capitals_are_right() -> None:
    pairs = prompts.capitals()
    assert set(Counter(pairs["answer"]).values()) == set(Counter(pairs["foil"]).values()) == {2}
    for row in pairs.iter_rows(named=True):
        assert prompts.CAPITALS[row["clean"].split()[3]] == row["answer"].strip()
        assert prompts.CAPITALS[row["corrupt"].split()[3]] == row["foil"].strip()


def test_no_two_words_are_paired_twice() -> None:
    pairs = prompts.ioi(180)
    assert len({frozenset(pair) for pair in pairs.select("answer", "foil").rows()}) == 180
    with pytest.raises(TextError, match="There are 1 to 180 pairs of this kind, not 181"):
        prompts.ioi(181)
    with pytest.raises(TextError, match="There are 1 to 48 pairs"):
        prompts.agreement(0)


def test_logit_differences_are_those_of_a_run(toy) -> None:
    pairs = pl.concat([prompts.ioi(3), prompts.capitals(2)])  # two lengths
    found = prompts.logit_differences(toy, pairs)
    assert found.columns == [*pairs.columns, "clean_difference", "corrupt_difference"]
    for row in found.iter_rows(named=True):
        answer, foil = toy.single_token(row["answer"]), toy.single_token(row["foil"])
        for side in ("clean", "corrupt"):
            logits = toy.read(row[side], ["logits"])["logits"][-1]
            assert row[f"{side}_difference"] == pytest.approx(float(logits[answer] - logits[foil]), abs=1e-4)
    assert (found["clean_difference"] > 0).all()
    assert (found["corrupt_difference"] < 0).all()
