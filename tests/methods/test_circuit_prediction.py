"""Nodes scaled: against plain hooks that do the same."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
import torch

import interp_widgets as iw
from interp_widgets import frames
from interp_widgets.errors import Cancelled, DictionaryError, FrameError, TextError

from .circuit_hooks import (
    CLEAN,
    FAMILIES,
    PAIRS,
    Change,
    hooked,
    parts,
    some_dictionaries,
)  # fmt: skip
from .conftest import tiny_session

SCALES = {"attn_out.0/2": 0.0, "attn_out.0/1@3": 3.0, "resid_post.0/error@2": 0.5, "resid_post.0/4": 2.0,
          "resid_post.1/error": 0.0, "resid_post.1/0@4": 1.5}  # fmt: skip


def scaled(saes, site: str, scales: dict[str, float]) -> Change:
    """A hook that does at one site what the names ask, token by token and atom by atom."""
    sae = saes[site]

    def factor(unit: str, position: int) -> float:
        return scales.get(f"{site}/{unit}@{position}", scales.get(f"{site}/{unit}", 1.0))

    def change(x: torch.Tensor) -> torch.Tensor:
        y = x.clone()
        for position in range(1, len(x)):
            adds, _ = parts(sae, x[position])
            error = x[position] - sae.decode(sae.encode(x[position][None]), x[position][None])[0]
            for atom in range(len(adds)):
                y[position] += (factor(str(atom), position) - 1) * adds[atom]
            y[position] += (factor("error", position) - 1) * error
        return y

    return change


@pytest.mark.parametrize("family", list(FAMILIES))
def test_scaled_nodes_are_what_plain_hooks_make_of_them(family) -> None:
    model = tiny_session(family)
    saes = some_dictionaries(model, FAMILIES[family])
    found = iw.methods.circuit_prediction(
        model, text=CLEAN[0], scales=SCALES, dictionaries=saes, answer=20, foil=[30, 31], top=100
    )
    frames.check(found, frames.CIRCUIT_PREDICTION)

    before = hooked(model, CLEAN[0], family, {})
    after = hooked(model, CLEAN[0], family, {site: scaled(saes, site, SCALES) for site in saes})
    for prefix, logits in (("", before), ("changed_", after)):
        expected = logits[found["token_id"].to_list()]
        assert found[f"{prefix}logit"].to_list() == pytest.approx(expected.tolist(), abs=2e-5)
        assert found[f"{prefix}probability"].sum() == pytest.approx(1, abs=1e-6)
        assert found[f"{prefix}rank"].sort().to_list() == list(range(1, 101))
        assert found[f"{prefix}metric"][0] == pytest.approx(float(logits[20] - logits[[30, 31]].mean()), abs=2e-5)
    assert found.filter(pl.col("role") == "foil")["token_id"].sort().to_list() == [30, 31]
    assert found["token_id"].n_unique() == 100


def test_a_factor_of_one_changes_nothing_to_the_bit(toy) -> None:
    text = "the boy near the keys"
    found = iw.methods.circuit_prediction(toy, text=text, scales={"resid_post.2/122": 1, "mlp_out.1/error@3": 1})
    assert found["logit"].to_list() == found["changed_logit"].to_list()
    assert found["metric"].to_list() == found["changed_metric"].to_list()
    assert found["rank"].to_list() == list(range(1, 11))


@pytest.mark.parametrize(
    ("scales", "error", "says"),
    [
        ({"resid_post.2": 0}, TextError, "is no node"),
        ({"resid_post.2/5@0": 0}, TextError, "has no nodes"),
        ({"resid_post.2/5@99": 0}, TextError, "has no nodes"),
        ({"resid_post.2/9999": 0}, DictionaryError, "does not exist"),
        ({"resid_pre.2/3": 0}, DictionaryError, "nodes at resid_pre.2"),
    ],
)
def test_what_cannot_be_scaled_is_a_sentence(toy, scales, error, says) -> None:
    with pytest.raises(error, match=says):
        iw.methods.circuit_prediction(toy, text="the boy near the keys", scales=scales)


@pytest.mark.parametrize("batch", [None, 1, 2])
@pytest.mark.parametrize("family", list(FAMILIES))
def test_the_change_over_prompts_is_what_plain_hooks_make_of_each(family, batch) -> None:
    model = tiny_session(family)
    saes = some_dictionaries(model, FAMILIES[family])
    found = iw.methods.circuit_change(model, scales=SCALES, **PAIRS, dictionaries=saes, batch=batch)
    frames.check(found, frames.CIRCUIT_CHANGE)
    expected = []
    for ids, answers, foils in zip(CLEAN, PAIRS["answer"], PAIRS["foil"], strict=True):
        runs = [hooked(model, ids, family, {site: scaled(saes, site, each) for site in saes}) for each in ({}, SCALES)]
        expected.append([float(logits[answers].mean() - logits[foils].mean()) for logits in runs])
    assert found["pair"].to_list() == [0, 1, 2]
    assert found["metric"].to_list() == pytest.approx([before for before, _ in expected], abs=2e-5)
    assert found["changed_metric"].to_list() == pytest.approx([after for _, after in expected], abs=2e-5)
    assert found["change"].to_list() == pytest.approx([after - before for before, after in expected], abs=4e-5)


def test_the_mean_change_has_the_interval_of_its_prompts(toy) -> None:
    prompts = ["the boy near the keys", "the old dogs", "the boys that the king admires", "the dog"]
    scales = {"resid_post.2/error": 0.0, "resid_post.2/122": 2.0}
    found = iw.methods.circuit_change(toy, scales=scales, clean=prompts, answer="is", foil="are")
    single = [
        iw.methods.circuit_prediction(toy, text=text, scales=scales, answer="is", foil="are").row(0, named=True)
        for text in prompts
    ]
    for name in ("metric", "changed_metric"):
        assert found[name].to_list() == pytest.approx([row[name] for row in single], abs=1e-4)
    summary = iw.methods.change_summary(found)
    frames.check(summary, frames.CIRCUIT_CHANGE_SUMMARY)
    row = summary.row(0, named=True)
    assert row["prompts"] == 4
    for name in ("metric", "changed_metric", "change"):
        assert row[name] == pytest.approx(found[name].to_numpy().mean())
    draws = np.random.default_rng(7).integers(0, 4, (40_000, 4))
    low, high = np.quantile(found["change"].to_numpy()[draws].mean(1), [0.025, 0.975])
    wide = high - low
    assert wide > 1e-3
    assert row["low"] == pytest.approx(low, abs=0.05 * wide)
    assert row["high"] == pytest.approx(high, abs=0.05 * wide)
    alone = iw.methods.change_summary(found.head(1)).row(0, named=True)
    assert (alone["low"], alone["high"], alone["change"]) == (None, None, found["change"][0])
    with pytest.raises(TextError, match="no prompt"):
        iw.methods.change_summary(found.head(0))
    with pytest.raises(FrameError):
        iw.methods.change_summary(summary)


def test_it_stops_between_passes_and_says_what_is_known(toy) -> None:
    seen = []

    def stop(done: int, total: int, message: str = "", partial: pl.DataFrame | None = None) -> None:
        seen.append((done, total, None if partial is None else partial.height))
        if done == 2:
            raise Cancelled("enough")

    with pytest.raises(Cancelled):
        iw.methods.circuit_change(
            toy, scales={"resid_post.2/122": 0}, clean=["the keys", "the dogs", "the king"], batch=1, progress=stop
        )
    assert seen == [(0, 3, None), (1, 3, 1), (2, 3, 2)]


@pytest.mark.parametrize(
    ("scales", "clean", "error", "says"),
    [
        ({"resid_post.2/5@2": 0}, ["the keys", "the old dogs"], TextError, "several lengths"),
        ({"resid_post.2/5@0": 0}, ["the keys", "the dogs"], TextError, "has no nodes"),
        ({"resid_post.2/5@2": 0}, [], TextError, "no prompts"),
        ({"resid_pre.2/3": 0}, ["the keys"], DictionaryError, "nodes at resid_pre.2"),
    ],
)
def test_what_cannot_be_scaled_over_prompts_is_a_sentence(toy, scales, clean, error, says) -> None:
    with pytest.raises(error, match=says):
        iw.methods.circuit_change(toy, scales=scales, clean=clean, answer="is", foil="are")
