"""Three behaviours of SmolLM2-135M over many pairs: how often it is right, and where the answer stands.

`docs/behaviours.md` has the numbers; here are the claims, with room for another machine's rounding.
"""

from __future__ import annotations

import polars as pl
import pytest
import torch

import interp_widgets as iw
from interp_widgets.lab import prompts

pytestmark = [pytest.mark.slow, pytest.mark.smollm2]

SETS = {  # where the prompts differ, and how many pairs the model must answer right
    "ioi": (-5, 40),
    "agreement": (-4, 43),
    "capitals": (-2, 48),
}
EARLY, LATE = 15, 27


@pytest.fixture(scope="module")
def model(smollm2) -> iw.Session:
    torch.set_num_threads(1)
    return iw.load("smollm2-135m")


@pytest.fixture(scope="module", params=SETS)
def behaviour(model, request) -> tuple[pl.DataFrame, int, int]:
    """The pairs that are answered right on both sides, where they differ, and how many they must be."""
    position, expected = SETS[request.param]
    found = prompts.logit_differences(model, getattr(prompts, request.param)())
    right = found.filter(pl.col("clean_difference") > 0, pl.col("corrupt_difference") < 0)
    return right, position, expected


def test_the_model_is_right(behaviour) -> None:
    right, _, expected = behaviour
    assert len(right) >= expected >= 40
    assert right["clean_difference"].mean() > 1.5
    assert right["corrupt_difference"].mean() < -1.5


def test_the_answer_is_at_the_differing_token_first_and_at_the_end_at_last(model, behaviour) -> None:
    right, position, _ = behaviour
    sites = [f"resid_post.{EARLY}", f"resid_post.{LATE}"]
    effects = iw.methods.patching_pairs(model, right, sites=sites, positions=[position, -1])
    summary = iw.methods.pair_summary(effects, value="recovery")
    length = len(model.encode(right["clean"][0]))
    cell = {(row["layer"], row["position"] - length): row for row in summary.iter_rows(named=True)}
    for here, elsewhere in (((EARLY, position), (EARLY, -1)), ((LATE, -1), (LATE, position))):
        assert cell[here]["mean"] > 0.85
        assert cell[here]["low"] > 0.8
        assert cell[here]["q"] < 0.001
        assert cell[here]["pairs"] == len(right)
        assert abs(cell[elsewhere]["mean"]) < 0.1
        assert cell[elsewhere]["high"] < 0.1


def test_a_random_pair_brings_back_about_half(model, behaviour) -> None:
    right, position, _ = behaviour
    few = right[:12]
    effects = iw.methods.patching_pairs(model, few, sites=[f"resid_post.{EARLY}"], positions=[position], baseline=True)
    above = effects.with_columns(recovery=pl.col("recovery") - pl.col("baseline_recovery"))
    [row] = iw.methods.pair_summary(above, value="recovery").iter_rows(named=True)
    assert row["mean"] > 0.25
    assert row["low"] > 0.1
    assert row["p"] < 0.02


def test_the_head_that_brings_the_indirect_object_works_against_the_giver(model) -> None:
    """Zeroed at the last token, head 23.3 lets the giver's name come back and leaves the answer's where it was."""

    def without(x: torch.Tensor) -> torch.Tensor:
        x = x.clone()
        x[:, -1] = 0
        return x

    pairs = prompts.ioi(20)
    ids = [model.encode(text) for text in pairs["clean"]]
    names = torch.tensor([[model.single_token(row[r]) for r in ("answer", "foil")] for row in pairs.to_dicts()])
    logits = [
        model.run(ids, ["logits"], edit=edit, logits_to_keep=1)["logits"][:, -1].gather(1, names)
        for edit in ({}, {"head_out.23.3": without})
    ]
    answer, giver = (logits[1] - logits[0]).mean(0).tolist()
    assert giver > 1.5
    assert abs(answer) < giver / 3
