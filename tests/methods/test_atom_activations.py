"""Atoms against the dictionary's own arithmetic."""

from __future__ import annotations

import dataclasses

import polars as pl
import pytest
import torch

import interp_widgets as iw
from interp_widgets import methods
from interp_widgets.errors import DictionaryError, TextError
from interp_widgets.methods.atom_activations import run_atoms
from interp_widgets.session import scripts

TEXT = "the keys to the cabinet are on the table ."


def dense(frame: pl.DataFrame, positions: int, width: int) -> torch.Tensor:
    out = torch.zeros(positions, width, dtype=torch.float64)
    out[frame["position"].to_list(), frame["atom"].to_list()] = torch.tensor(
        frame["activation"].to_list(), dtype=torch.float64
    )
    return out


def test_activations_equal_encode(toy, toy_sae) -> None:
    frame = methods.atom_activations(toy, TEXT, sae=toy_sae)
    x = toy.read(TEXT, ["resid_post.2"])["resid_post.2"]
    torch.testing.assert_close(dense(frame, len(x), toy_sae.width), toy_sae.encode(x).double(), atol=1e-6, rtol=0)


def test_activations_and_error_give_back_the_hidden_state(toy, toy_sae) -> None:
    run = run_atoms(toy, TEXT, sae=toy_sae)
    x = toy.read(TEXT, ["resid_post.2"])["resid_post.2"]
    rebuilt = toy_sae.decode(dense(methods.atom_activations(toy, TEXT, sae=toy_sae), len(x), toy_sae.width))
    error = x - rebuilt
    torch.testing.assert_close(error.norm(dim=-1) / x.norm(dim=-1), run.error_norm, atol=1e-5, rtol=0)
    torch.testing.assert_close((error * x).sum(-1) / x.pow(2).sum(-1), run.error_share, atol=1e-5, rtol=0)


def test_shares_of_atoms_bias_and_error_add_to_one(toy, toy_sae) -> None:
    shares = (
        methods.atom_activations(toy, TEXT, sae=toy_sae)
        .group_by("position")
        .agg(pl.col("share").sum())
        .sort("position")
    )
    rest = methods.reconstruction(toy, TEXT, sae=toy_sae)
    total = shares["share"] + rest["bias_share"] + rest["error_share"]
    assert total.to_list() == pytest.approx([1.0] * len(rest), abs=1e-4)


def test_strongest_first_within_a_position(toy, toy_sae) -> None:
    frame = methods.atom_activations(toy, TEXT, sae=toy_sae)
    assert frame["position"].is_sorted()
    for _, rows in frame.group_by("position"):
        assert rows["activation"].is_sorted(descending=True)


def test_reconstruction_reports_norms_and_counts(toy, toy_sae) -> None:
    frame = methods.reconstruction(toy, TEXT, sae=toy_sae)
    x = toy.read(TEXT, ["resid_post.2"])["resid_post.2"]
    error = x - toy_sae.decode(toy_sae.encode(x))
    assert frame["norm"].to_list() == pytest.approx(x.norm(dim=-1).tolist(), rel=1e-5)
    assert frame["error_norm"].to_list() == pytest.approx((error.norm(dim=-1) / x.norm(dim=-1)).tolist(), abs=1e-5)
    assert frame["active"].to_list() == (toy_sae.encode(x) > 0).sum(-1).tolist()
    assert frame["masked"].to_list() == [True] + [False] * (len(x) - 1)


def test_explained_variance_is_that_of_the_formula(toy, toy_sae) -> None:
    x = toy.read(TEXT, ["resid_post.2"])["resid_post.2"][1:].double()
    error = x - toy_sae.decode(toy_sae.encode(x.float())).double()
    expected = 1 - error.pow(2).sum() / (x - x.mean(0)).pow(2).sum()
    assert run_atoms(toy, TEXT, sae=toy_sae).explained_variance == pytest.approx(float(expected))
    assert run_atoms(toy, "the", sae=toy_sae).explained_variance is None


def test_a_planted_atom_is_found(toy, toy_sae) -> None:
    """toy-grammar's resid_post.2 atom 122 fires where "she" or "her" comes next."""
    frame = methods.atom_activations(toy, "the doctor gave mary a book because", sae=toy_sae)
    assert 122 in frame.filter(pl.col("position") == frame["position"].max())["atom"].to_list()


def test_a_dictionary_of_another_model_is_refused_with_both_sizes(toy) -> None:
    with pytest.raises(DictionaryError, match=r"size 576.* has size 128") as raised:
        methods.atom_activations(toy, TEXT, sae=wide(iw.load_sae("smollm2-135m/15-resid-4096"), "resid_post.3"))
    assert "trained on this model" in str(raised.value)


def wide(sae, site: str):
    from dataclasses import replace

    return replace(sae, site=site)


def test_an_empty_text_is_refused(toy, toy_sae) -> None:
    with pytest.raises(TextError, match="empty"):
        methods.atom_activations(toy, "", sae=toy_sae)


@pytest.mark.smollm2
def test_on_smollm2_the_identity_holds_and_position_0_is_masked(smollm2) -> None:
    model, sae = iw.load("smollm2-135m"), iw.load_sae("smollm2-135m/15-resid-4096")
    text = "The keys to the cabinet are on the table. She said that the house was right."
    run = run_atoms(model, text, sae=sae)
    assert run.masked == [0]
    x = model.read(text, [sae.site])[sae.site]
    a = torch.zeros(len(x), sae.width).index_put_((run.position, run.atom), run.activation)
    error = x - sae.decode(a)
    torch.testing.assert_close(error.norm(dim=-1) / x.norm(dim=-1), run.error_norm, atol=1e-4, rtol=0)
    assert 0.6 < run.explained_variance < 0.9
    assert run.norm[0] > 50 * run.norm[1:].median()


def test_no_script_for_a_dictionary_that_is_in_no_file(toy, toy_sae) -> None:
    made = dataclasses.replace(toy_sae, reading=())
    with pytest.raises(DictionaryError, match=r"was made in memory, so no script can read it. Use a dictionary that"):
        scripts.atoms(toy, toy.encode(TEXT), made)
