"""Nodes scaled: against plain hooks that do the same."""

from __future__ import annotations

import polars as pl
import pytest
import torch

import interp_widgets as iw
from interp_widgets import frames
from interp_widgets.errors import DictionaryError, TextError

from .circuit_hooks import (
    CLEAN,
    FAMILIES,
    Change,
    hooked,
    parts,
    some_dictionaries,
)  # fmt: skip
from .conftest import tiny_session


@pytest.mark.parametrize("family", list(FAMILIES))
def test_scaled_nodes_are_what_plain_hooks_make_of_them(family) -> None:
    model = tiny_session(family)
    saes = some_dictionaries(model, FAMILIES[family])
    scales = {"attn_out.0/2": 0.0, "attn_out.0/1@3": 3.0, "resid_post.0/error@2": 0.5, "resid_post.0/4": 2.0,
              "resid_post.1/error": 0.0, "resid_post.1/0@4": 1.5}  # fmt: skip
    found = iw.methods.circuit_prediction(
        model, text=CLEAN[0], scales=scales, dictionaries=saes, answer=20, foil=[30, 31], top=100
    )
    frames.check(found, frames.CIRCUIT_PREDICTION)

    def factor(site: str, unit: str, position: int) -> float:
        return scales.get(f"{site}/{unit}@{position}", scales.get(f"{site}/{unit}", 1.0))

    def scaled(site: str) -> Change:
        sae = saes[site]

        def change(x: torch.Tensor) -> torch.Tensor:
            y = x.clone()
            for position in range(1, len(x)):
                adds, _ = parts(sae, x[position])
                error = x[position] - sae.decode(sae.encode(x[position][None]), x[position][None])[0]
                for atom in range(len(adds)):
                    y[position] += (factor(site, str(atom), position) - 1) * adds[atom]
                y[position] += (factor(site, "error", position) - 1) * error
            return y

        return change

    before = hooked(model, CLEAN[0], family, {})
    after = hooked(model, CLEAN[0], family, {site: scaled(site) for site in saes})
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
