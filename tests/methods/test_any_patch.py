"""What the engine can patch beyond single sites at single positions, each against full runs edited by hand."""

from __future__ import annotations

import importlib

import polars as pl
import pytest
import torch

from interp_widgets import frames, methods
from interp_widgets.errors import AlignmentError, DictionaryError, SiteError, TextError

from . import brute
from .conftest import IOI, IOI_CORRUPT, tiny_session

CLEAN, CORRUPT = [3, 14, 15, 9, 26, 7, 31], [5, 35, 8, 9, 79, 7, 31]
ASKED = {"clean": CLEAN, "corrupt": CORRUPT, "answer": 11, "foil": 12}
FAMILIES = ["llama", "llama-grouped", "gpt2", "gpt_neox", "gemma2", "gemma3_text", "opt", "mistral", "falcon", "mpt"]


def only(frame: pl.DataFrame, **where) -> dict:
    return frame.filter(*(pl.col(name) == value for name, value in where.items())).row(0, named=True)


@pytest.mark.parametrize("family", FAMILIES)
def test_groups_of_sites_over_layers_and_spans_of_positions(family: str) -> None:
    model = tiny_session(family)
    last = model.num_heads - 1
    group = f"head_out.0.1+head_out.1.{last}+v.1.0"
    frame = methods.activation_patching(
        model, **ASKED, sites=[group, "attn_out.0+mlp_out.1", "attn_out.1"], positions=[(1, 3), 4, -1]
    )
    assert frame.select("position", "last_position").unique(maintain_order=True).rows() == [(1, 3), (4, 4), (6, 6)]
    for row in frame.iter_rows(named=True):
        span = range(row["position"], row["last_position"] + 1)
        puts = {site: {p: brute.activations(model, CLEAN, site)[p] for p in span} for site in row["site"].split("+")}
        assert row["metric"] == pytest.approx(brute.difference(model, CORRUPT, puts), abs=1e-4)
    assert frame["effect"].abs().max() > 1e-3


def test_one_layers_heads_together_are_its_attention(toy) -> None:
    group = "+".join(f"head_out.1.{head}" for head in range(toy.num_heads))
    frame = methods.activation_patching(
        toy, clean=IOI, corrupt=IOI_CORRUPT, answer="mary", foil="john", sites=[group, "attn_out.1", "head_out.1"]
    )
    effects = [part["effect"] for _, part in frame.sort("position").group_by("site", maintain_order=True)]
    assert effects[0].abs().max() > 0.1
    for other in effects[1:]:
        assert (effects[0] - other).abs().max() < 1e-4


def test_star_stands_for_every_layer_and_unit(toy) -> None:
    rows = importlib.import_module("interp_widgets.methods.activation_patching").expand_sites
    assert len(rows(toy, ["head_out.*.*"])) == toy.num_layers * toy.num_heads
    assert [str(site) for (site,) in rows(toy, ["q.2.*"])] == [f"q.2.{head}" for head in range(toy.num_heads)]
    assert rows(toy, ["attn_out.*"]) == rows(toy, ["attn_out"])
    assert len(rows(toy, ["mlp_act.0.*"])) == toy.layout.neurons
    with pytest.raises(SiteError, match="attn_out has no units"):
        rows(toy, ["attn_out.0.*"])
    with pytest.raises(SiteError, match="no site to patch"):
        rows(toy, [])


@pytest.mark.parametrize("family", ["llama-grouped", "gpt2", "gemma2"])
def test_to_noise_is_to_patch_the_other_way_round(family: str) -> None:
    model = tiny_session(family)
    frame = methods.activation_patching(model, **ASKED, sites=["resid_post", "v"], direction="noise")
    base, other = brute.difference(model, CLEAN), brute.difference(model, CORRUPT)
    for row in frame.filter(pl.col("position") > 2).iter_rows(named=True):
        put = {row["site"]: {row["position"]: brute.activations(model, CORRUPT, row["site"])[row["position"]]}}
        expected = brute.difference(model, CLEAN, put)
        assert row["metric"] == pytest.approx(expected, abs=1e-4)
        assert row["effect"] == pytest.approx(expected - base, abs=1e-4)
        assert row["recovery"] == pytest.approx((expected - base) / (other - base), abs=1e-3)
    assert only(frame, site="resid_post.1", position=6)["recovery"] == pytest.approx(1, abs=1e-4)
    assert frame.row(0, named=True)["token_id"] == CLEAN[0]


def test_noise_pairs_are_given_as_clean_and_corrupt(toy) -> None:
    frame = methods.activation_patching(
        toy, clean=IOI, corrupt=IOI_CORRUPT, answer="mary", foil="john", sites=["resid_post.0"], alignment=[(2, 11)],
        direction="noise",
    )  # fmt: skip
    assert frame.select("position", "source_position").rows() == [(2, 11)]


@pytest.mark.parametrize("value", ["zero", "mean", "position_mean"])
@pytest.mark.parametrize("family", ["llama", "gpt2", "mpt"])
def test_ablation(family: str, value: str) -> None:
    model = tiny_session(family)
    prompt, reference = CLEAN, [CORRUPT, [9, 9, 8, 7, 30, 40, 50]]
    frame = methods.ablation(
        model,
        prompt,
        answer=11,
        foil=12,
        sites=["head_out.1.2", "k.1", "resid_post.0"],
        value=value,
        reference=reference,
    )
    frames.check(frame, frames.PATCHING)
    assert frame["method"].unique().to_list() == [value]
    assert frame["recovery"].is_null().all()
    for row in frame.iter_rows(named=True):
        seen = torch.stack([brute.activations(model, ids, row["site"]) for ids in reference])
        puts = {
            "zero": torch.zeros_like(seen[0, 0]),
            "mean": seen.flatten(0, 1).mean(0),
            "position_mean": seen.mean(0)[row["position"]],
        }
        expected = brute.difference(model, prompt, {row["site"]: {row["position"]: puts[value]}})
        assert row["metric"] == pytest.approx(expected, abs=1e-4)
        assert row["effect"] == pytest.approx(expected - brute.difference(model, prompt), abs=1e-4)


def test_a_head_is_ablated_in_the_whole_prompt_at_once(toy) -> None:
    frame = methods.ablation(toy, IOI, sites=["head_out.0.*"], positions=[(0, -1)], value="zero")
    assert len(frame) == toy.num_heads
    ids = toy.encode(IOI)
    answer, foil = brute.logits(toy, ids).topk(2).indices.tolist()
    for row in frame.iter_rows(named=True):
        zero = torch.zeros(toy.head_width)
        puts = {row["site"]: dict.fromkeys(range(len(ids)), zero)}
        assert row["metric"] == pytest.approx(brute.difference(toy, ids, puts, answer, foil), abs=1e-4)


def test_means_leave_out_sinks() -> None:
    """A leading marker is no token of text; see `masking`."""
    model = tiny_session("llama")
    reference = [[1, 14, 15, 9]]
    frame = methods.ablation(model, CLEAN, answer=11, foil=12, sites=["attn_out.0"], positions=[2], reference=reference)
    mean = brute.activations(model, reference[0], "attn_out.0")[1:].mean(0)
    assert frame["metric"][0] == pytest.approx(brute.difference(model, CLEAN, {"attn_out.0": {2: mean}}), abs=1e-4)


def test_the_first_token_of_the_vocabulary_is_a_foil_like_any_other(toy) -> None:
    frame = methods.ablation(toy, IOI, answer="mary", foil=0, sites=["attn_out.0"], positions=[-1])
    assert frame["metric"][0] == pytest.approx(
        brute.difference(
            toy, toy.encode(IOI), {"attn_out.0": {14: _mean(toy, "attn_out.0")}}, toy.single_token("mary"), 0
        ),
        abs=1e-4,
    )


def _mean(toy, site: str) -> torch.Tensor:
    """Over the prompt without its leading marker."""
    return brute.activations(toy, toy.encode(IOI), site)[1:].mean(0)


def test_ablations_that_cannot_be(toy) -> None:
    with pytest.raises(TextError, match="'median' is not a value"):
        methods.ablation(toy, IOI, value="median")
    with pytest.raises(AlignmentError, match="of 15 tokens as the prompt has; one has 3"):
        methods.ablation(toy, IOI, value="position_mean", reference=["the keys"])


def test_atoms_are_patched_alone(toy, toy_sae) -> None:
    frame = methods.atom_patching(toy, toy_sae, clean=IOI, corrupt=IOI_CORRUPT, answer="mary", foil="john", top=5)
    frames.check(frame, frames.ATOM_PATCHING)
    ids = toy.encode(IOI), toy.encode(IOI_CORRUPT)
    site = str(toy_sae.site)
    clean, corrupt = (brute.activations(toy, each, site) for each in ids)
    answer, foil = toy.single_token("mary"), toy.single_token("john")
    assert frame["atom"].n_unique() == 5
    assert frame["effect"].abs().max() > 0.1
    for row in frame.filter(method="exact").iter_rows(named=True):
        p, atom = row["position"], row["atom"]
        a, b = toy_sae.encode(clean[p])[atom], toy_sae.encode(corrupt[p])[atom]
        assert (row["source_activation"], row["activation"]) == pytest.approx((float(a), float(b)), abs=1e-5)
        put = {site: {p: corrupt[p] + (a - b) * toy_sae.direction(atom)}}
        assert row["metric"] == pytest.approx(brute.difference(toy, ids[1], put, answer, foil), abs=1e-4)
    some = methods.atom_patching(
        toy, toy_sae, clean=IOI, corrupt=IOI_CORRUPT, answer="mary", foil="john", atoms=frame["atom"].unique().to_list()
    )
    assert sorted(some["effect"].to_list()) == pytest.approx(sorted(frame["effect"].to_list()), abs=1e-6)
    with pytest.raises(DictionaryError, match="atom"):
        methods.atom_patching(toy, toy_sae, clean=IOI, corrupt=IOI_CORRUPT, answer="mary", foil="john", atoms=[10**6])


# one patch, anywhere


@pytest.mark.parametrize("family", FAMILIES)
def test_an_activation_goes_to_another_layer_and_position_past_frozen_ones(family: str) -> None:
    model = tiny_session(family)
    source, target = ("resid_post.1", 2), ("resid_post.0", 4)
    value = brute.activations(model, CLEAN, source[0])[source[1]]
    free = methods.single_patch(model, **ASKED, source=source, target=target)
    frames.check(free, frames.PATCHING)
    assert free.select("site", "position", "source_position").row(0) == ("resid_post.0", 4, 2)
    expected = brute.difference(model, CORRUPT, {target[0]: {target[1]: value}})
    assert free["metric"][0] == pytest.approx(expected, abs=1e-4)
    held = methods.single_patch(model, **ASKED, source=source, target=target, frozen=[5])
    puts = {"resid_post.0": {4: value, 5: brute.activations(model, CORRUPT, "resid_post.0")[5]}}
    puts["resid_post.1"] = {5: brute.activations(model, CORRUPT, "resid_post.1")[5]}
    assert held["metric"][0] == pytest.approx(brute.difference(model, CORRUPT, puts), abs=1e-4)


def test_freezing_the_last_position_leaves_no_effect(toy) -> None:
    asked = {"clean": IOI, "corrupt": IOI_CORRUPT, "answer": "mary", "foil": "john"}
    free = methods.single_patch(toy, **asked, source=("resid_post.0", 10))
    held = methods.single_patch(toy, **asked, source=("resid_post.0", 10), frozen=[-1])
    assert free["recovery"][0] > 0.8
    assert abs(held["effect"][0]) < 1e-4


def test_single_patches_that_cannot_be(toy) -> None:
    asked = {"clean": IOI, "corrupt": IOI_CORRUPT, "answer": "mary", "foil": "john"}
    with pytest.raises(SiteError, match="an activation fits only a site of the same size"):
        methods.single_patch(toy, **asked, source=("resid_post.0", 3), target=("mlp_act.0", 3))
    with pytest.raises(AlignmentError, match="the prompt it comes from: that has positions 0 to 14"):
        methods.single_patch(toy, **asked, source=("resid_post.0", 40), target=("resid_post.0", 3))
    with pytest.raises(AlignmentError, match="is no position of the patched prompt"):
        methods.single_patch(toy, **asked, source=("resid_post.0", 3), target=("resid_post.0", 40))
    with pytest.raises(SiteError, match="cannot be patched at a position"):
        methods.single_patch(toy, **asked, source=("pattern.0", 3))
    with pytest.raises(TextError, match="'sideways' is not a direction"):
        methods.single_patch(toy, **asked, source=("resid_post.0", 3), direction="sideways")


@pytest.mark.parametrize("family", FAMILIES)
def test_what_a_patched_run_says_next(family: str) -> None:
    """Token by token, each from a full run of all that was said before, with the patch in it."""
    model = tiny_session(family)
    source = ("resid_post.0", 4)
    frame = methods.continuations(model, clean=CLEAN, corrupt=CORRUPT, source=source, frozen=[5], tokens=4)
    frames.check(frame, frames.CONTINUATIONS)
    puts = {"resid_post.0": {4: brute.activations(model, CLEAN, "resid_post.0")[4]}}
    for layer in range(model.num_layers):
        puts.setdefault(f"resid_post.{layer}", {})[5] = brute.activations(model, CORRUPT, f"resid_post.{layer}")[5]
    for name, ids, put in (("clean", CLEAN, {}), ("corrupt", CORRUPT, {}), ("patched", CORRUPT, puts)):
        whole = list(ids)
        for row in frame.filter(run=name).iter_rows(named=True):
            found = brute.logits(model, whole, put).softmax(-1)
            assert row["token_id"] == int(found.argmax())
            assert row["probability"] == pytest.approx(float(found.max()), abs=1e-5)
            whole.append(row["token_id"])
    with pytest.raises(TextError, match="at least one token"):
        methods.continuations(model, clean=CLEAN, corrupt=CORRUPT, source=source, tokens=0)
