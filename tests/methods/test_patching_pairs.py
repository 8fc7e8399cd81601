"""Patching over many pairs: cells equal those of each pair alone, and the statistics equal closed forms and another library."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from interp_widgets import frames, methods
from interp_widgets.errors import AlignmentError, Cancelled, TextError
from interp_widgets.methods.pair_statistics import benjamini_hochberg, bootstrap, sign_flip, summarise
from interp_widgets.methods.patching_pairs import other_pairs, pairs_frame

from .conftest import some_pairs


@pytest.fixture(scope="module")
def pairs() -> pl.DataFrame:
    return some_pairs()


def effects_of(numbers: np.ndarray, value: str = "effect") -> pl.DataFrame:
    """A frame of effects [pairs, cells]."""
    n, cells = numbers.shape
    base = {
        "pair": np.repeat(np.arange(n), cells),
        "site": [f"resid_post.{c}" for _ in range(n) for c in range(cells)],
        "layer": [c for _ in range(n) for c in range(cells)],
        "position": [3] * (n * cells),
        "last_position": [3] * (n * cells),
        "metric": numbers.ravel(),
        "effect": numbers.ravel(),
        "recovery": [None if x != x else x for x in numbers.ravel()],
        "baseline": [None] * (n * cells),
        "baseline_recovery": [None] * (n * cells),
    }
    return frames.build(frames.PAIR_EFFECTS, base)


def test_each_pair_is_patched_as_alone(toy, pairs) -> None:
    frame = methods.patching_pairs(toy, pairs, sites=["resid_post", "head_out.1.*"], positions=[11, -1])
    frames.check(frame, frames.PAIR_EFFECTS)
    assert frame["pair"].unique().to_list() == list(range(len(pairs)))
    assert frame["baseline"].is_null().all()
    for i in (0, 4):
        alone = methods.activation_patching(
            toy, **pairs.row(i, named=True), sites=["resid_post", "head_out.1.*"], positions=[11, -1]
        )
        mine = frame.filter(pair=i)
        assert mine.select("site", "position").equals(alone.select("site", "position"))
        assert (mine["effect"] - alone["effect"]).abs().max() < 1e-9


def test_the_baseline_patches_from_another_pair(toy, pairs) -> None:
    frame = methods.patching_pairs(toy, pairs, sites=["resid_post.0"], positions=[10], baseline=True, seed=3)
    for row in frame.iter_rows(named=True):
        pair = pairs.row(row["pair"], named=True)
        others = []
        for j in range(len(pairs)):
            source = {**pair, "clean": pairs["clean"][j]}
            others.append(
                methods.activation_patching(toy, **source, sites=["resid_post.0"], positions=[10])["effect"][0]
            )
        near = [j for j, effect in enumerate(others) if abs(effect - row["baseline"]) < 1e-6]
        assert near
        assert near != [row["pair"]]
    summary = methods.pair_summary(frame)
    assert summary["mean"][0] > summary["baseline"][0] + 1
    share = methods.pair_summary(frame, value="recovery")
    gaps = frame["effect"] / frame["recovery"]
    assert share["baseline"][0] == pytest.approx((frame["baseline"] / gaps).mean(), abs=1e-6), "in the unit of the mean"


def test_the_other_pair_has_another_source() -> None:
    sources = ["a", "b", "a", "c", "b", "a"]
    for seed in range(50):
        for here, there in enumerate(other_pairs(sources, seed)):
            assert sources[here] != sources[there]
    distinct = list("abcdef")
    assert sorted(other_pairs(distinct, 0)) == list(range(6))
    assert other_pairs(distinct, 0) != other_pairs(distinct, 1)


def test_a_baseline_needs_a_second_source(toy, pairs) -> None:
    same = pairs[:2].with_columns(clean=pl.lit(pairs["clean"][0]))
    with pytest.raises(TextError, match="All pairs have one source prompt"):
        methods.patching_pairs(toy, same, baseline=True)


def test_a_known_mechanism_stands_out(toy, pairs) -> None:
    summary = methods.pair_summary(methods.patching_pairs(toy, pairs), value="recovery")
    frames.check(summary, frames.PAIR_SUMMARY)
    end = summary.filter(site="resid_post.3", position=14).row(0, named=True)
    assert end["mean"] == pytest.approx(1, abs=1e-4)
    assert end["low"] == pytest.approx(1, abs=1e-4)
    assert end["p"] == pytest.approx(2 / 2 ** len(pairs))
    nothing = summary.filter(site="resid_post.0", position=0).row(0, named=True)
    assert (nothing["mean"], nothing["low"], nothing["high"], nothing["p"]) == (0, 0, 0, 1)


def test_sign_flips_are_counted_exactly_where_they_are_few() -> None:
    numbers = np.array([[1.0, 1, 0], [2, -2, 0], [3, 3, 0]])
    # 1+2+3 is reached by two of eight flips; 1-2+3 = 2 by the flips with |sum| 2 (four of them) or 4, 6
    sums = [abs(a + 2 * b + 3 * c) for a in (-1, 1) for b in (-1, 1) for c in (-1, 1)]
    expected = [2 / 8, sum(x >= 2 for x in sums) / 8, 1.0]
    assert sign_flip(numbers, 0).tolist() == pytest.approx(expected)


def test_sign_flips_agree_with_the_t_test_on_many_normal_pairs() -> None:
    rng = np.random.default_rng(1)
    numbers = rng.normal([0.0, 0.3, 1.0], 1.0, (60, 3))
    found = sign_flip(numbers, 0)
    from math import erfc, sqrt

    z = numbers.mean(0) / (numbers.std(0, ddof=1) / np.sqrt(60))
    normal = [erfc(abs(x) / sqrt(2)) for x in z]
    assert found == pytest.approx(normal, abs=0.02)


def test_under_the_null_p_is_uniform() -> None:
    numbers = np.random.default_rng(2).normal(0, 1, (30, 400))
    p = sign_flip(numbers, 0)
    assert (p < 0.05).mean() == pytest.approx(0.05, abs=0.03)
    assert np.median(p) == pytest.approx(0.5, abs=0.06)
    assert (benjamini_hochberg(p) < 0.05).sum() <= 1


def test_the_interval_covers_the_mean_as_often_as_it_says() -> None:
    rng = np.random.default_rng(3)
    numbers = rng.normal(0.5, 1, (40, 500))
    low, high = bootstrap(numbers, 1000, 0)
    assert ((low < 0.5) & (high > 0.5)).mean() == pytest.approx(0.94, abs=0.03)
    width = (high - low).mean() / (2 * 1.96 / np.sqrt(40))
    assert width == pytest.approx(1, abs=0.06)


def test_benjamini_hochberg_by_hand() -> None:
    p = np.array([0.01, 0.04, 0.03, 0.5])
    assert benjamini_hochberg(p).tolist() == pytest.approx([0.04, 0.04 * 4 / 3, 0.04 * 4 / 3, 0.5])


def test_pairs_without_a_recovery_are_left_out_of_its_mean() -> None:
    numbers = np.array([[1.0, 2.0], [np.nan, 4.0], [3.0, 6.0]])
    frame = effects_of(numbers).with_columns(pl.col("effect").fill_nan(0))
    summary = methods.pair_summary(frame, value="recovery")
    assert summary["mean"].to_list() == [2.0, 4.0]
    assert summary["pairs"].to_list() == [2, 3]
    with pytest.raises(TextError, match="cannot be summed up"):
        methods.pair_summary(frame, value="rank")


def test_bad_pairs_get_a_sentence_that_names_them(toy, pairs) -> None:
    def changed(**columns) -> pl.DataFrame:
        return pl.concat([pairs[:2], pairs[2:3].with_columns(**{k: pl.lit(v) for k, v in columns.items()})])

    with pytest.raises(AlignmentError, match="Pair 2 has a corrupt prompt of 3 tokens and pair 0 a clean one of 15"):
        methods.patching_pairs(toy, changed(corrupt="the keys"))
    with pytest.raises(TextError, match="Pair 2: The answer 'mary john' must be exactly one token"):
        methods.patching_pairs(toy, changed(answer="mary john"))
    with pytest.raises(TextError, match="Pair 2 has 'mary' as answer and as foil"):
        methods.patching_pairs(toy, changed(answer="mary", foil="mary"))
    with pytest.raises(TextError, match="no column 'foil'"):
        methods.patching_pairs(toy, pairs.drop("foil"))
    with pytest.raises(TextError, match="at least two pairs"):
        methods.patching_pairs(toy, pairs[:1])


def test_it_can_be_stopped_and_says_how_far_it_is(toy, pairs) -> None:
    seen = []

    def stop(done: int, total: int, message: str = "", partial: object = None) -> None:
        seen.append((done, total, partial))
        if done == 2:
            raise Cancelled("Stopped.")

    with pytest.raises(Cancelled):
        methods.patching_pairs(toy, pairs, sites=["resid_post.0"], progress=stop)
    assert [(done, total) for done, total, _ in seen] == [(0, 6), (1, 6), (2, 6)]
    assert seen[2][2].done == 2
    assert pairs_frame(seen[2][2])["pair"].unique().to_list() == [0, 1]


def test_a_cell_that_no_pair_has_and_many_cells_at_once() -> None:
    numbers = np.random.default_rng(0).normal(1, 1, (20, 1100))
    numbers[:, 7] = np.nan
    numbers[3:, 9] = np.nan
    found = summarise(numbers)
    assert np.isnan([found["mean"][7], found["low"][7], found["high"][7]]).all()
    assert found["pairs"][[7, 9, 0]].tolist() == [0, 3, 20]
    assert found["low"][9] <= found["mean"][9] <= found["high"][9]
    assert found["p"][7] == 1
    nothing = summarise(np.full((5, 3), np.nan))
    assert np.isnan(nothing["mean"]).all()
    assert np.isnan(nothing["low"]).all()
    some = summarise(numbers[:, 600:601])
    assert found["p"][600] == some["p"][0], "cells do not depend on how they are cut"
