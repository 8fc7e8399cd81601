"""Every kind of patch on the real model, a few cells each, against full runs edited by hand."""

from __future__ import annotations

import pytest
import torch

import interp_widgets as iw
from interp_widgets import methods
from tests.methods import brute
from tests.methods.test_path_patching import by_hand

pytestmark = [pytest.mark.smollm2, pytest.mark.slow]

CLEAN = "When Mary and John went to the store, John gave a drink to"
CORRUPT = "When Mary and John went to the store, Mary gave a drink to"
ASKED = {"clean": CLEAN, "corrupt": CORRUPT, "answer": " Mary", "foil": " John"}


@pytest.fixture(scope="module")
def model(smollm2) -> iw.Session:
    torch.set_num_threads(1)
    return iw.load("smollm2-135m")


@pytest.fixture(scope="module")
def ids(model) -> dict[str, list[int]]:
    return {"clean": model.encode(CLEAN), "corrupt": model.encode(CORRUPT)}


@pytest.fixture(scope="module")
def tokens(model) -> dict[str, int]:
    return {"answer": model.single_token(" Mary"), "foil": model.single_token(" John")}


@pytest.mark.parametrize("direction", ["denoise", "noise"])
def test_keys_values_queries_neurons_groups_and_spans(model, ids, tokens, direction: str) -> None:
    source, prompt = ("clean", "corrupt") if direction == "denoise" else ("corrupt", "clean")
    sites = ["v.23.1", "k.10.0", "q.20.0", "mlp_act.12.7", "head_out.23.3+head_out.20.0", "attn_out.19+mlp_out.20"]
    frame = methods.activation_patching(model, **ASKED, sites=sites, positions=[9, (10, 13)], direction=direction)
    for row in frame.iter_rows(named=True):
        span = range(row["position"], row["last_position"] + 1)
        values = {site: brute.activations(model, ids[source], site) for site in row["site"].split("+")}
        puts = {site: {p: value[p] for p in span} for site, value in values.items()}
        assert row["metric"] == pytest.approx(brute.difference(model, ids[prompt], puts, **tokens), abs=1e-4)
    assert frame["effect"].abs().max() > 1


def test_ablations(model, ids, tokens) -> None:
    frame = methods.ablation(
        model,
        CLEAN,
        answer=" Mary",
        foil=" John",
        sites=["head_out.23.3", "mlp_out.29"],
        positions=[13],
        reference=[CORRUPT],
    )
    for row in frame.iter_rows(named=True):
        seen = brute.activations(model, ids["corrupt"], row["site"])[1:]  # position 0 is a sink
        puts = {row["site"]: {13: seen.mean(0)}}
        assert row["metric"] == pytest.approx(brute.difference(model, ids["clean"], puts, **tokens), abs=1e-4)
    assert frame["effect"].abs().max() > 1


def test_atoms(model, ids, tokens) -> None:
    sae = iw.load_sae("smollm2-135m/15-resid-4096")
    frame = methods.atom_patching(model, sae, **ASKED, top=4, positions=[9])
    site = str(sae.site)
    clean, corrupt = (brute.activations(model, ids[side], site)[9] for side in ("clean", "corrupt"))
    for row in frame.iter_rows(named=True):
        change = (sae.encode(clean) - sae.encode(corrupt))[row["atom"]]
        put = {site: {9: corrupt + change * sae.direction(row["atom"])}}
        assert row["metric"] == pytest.approx(brute.difference(model, ids["corrupt"], put, **tokens), abs=1e-4)
    assert frame["effect"].abs().max() > 0.1


def test_paths(model, ids, tokens) -> None:
    """To a value that several heads share, and to the logits."""
    for sender, receivers in (("resid_pre.23", ["v.23.1"]), ("head_out.20.0", ["resid_post.29"])):
        frame = methods.path_patching(model, **ASKED, senders=[sender], receivers=receivers, positions=[9, 13])
        for row in frame.iter_rows(named=True):
            expected = by_hand(model, sender, receivers, row["position"], ids["clean"], ids["corrupt"], **tokens)
            assert row["metric"] == pytest.approx(expected, abs=1e-4)
        assert frame["effect"].abs().max() > 0.1


def test_one_patch_elsewhere_past_frozen_positions(model, ids, tokens) -> None:
    frame = methods.single_patch(
        model, **ASKED, source=("resid_post.12", 9), target=("resid_post.10", 9), frozen=[10, 11]
    )
    value = brute.activations(model, ids["clean"], "resid_post.12")[9]
    puts: dict[str, dict[int, torch.Tensor]] = {"resid_post.10": {9: value}}
    for layer in range(11, 30):
        own = brute.activations(model, ids["corrupt"], f"resid_post.{layer}")
        puts[f"resid_post.{layer}"] = {10: own[10], 11: own[11]}
    assert frame["metric"][0] == pytest.approx(brute.difference(model, ids["corrupt"], puts, **tokens), abs=1e-4)
    assert frame["recovery"][0] > 0.8


def test_what_is_said_next(model, ids) -> None:
    frame = methods.continuations(model, clean=CLEAN, corrupt=CORRUPT, source=("resid_post.12", 9), tokens=4)
    value = brute.activations(model, ids["clean"], "resid_post.12")[9]
    whole = list(ids["corrupt"])
    for row in frame.filter(run="patched").iter_rows(named=True):
        found = brute.logits(model, whole, {"resid_post.12": {9: value}}).softmax(-1)
        assert row["token_id"] == int(found.argmax())
        assert row["probability"] == pytest.approx(float(found.max()), abs=1e-4)
        whole.append(row["token_id"])
    assert frame.filter(run="patched")["token"][0] == " Mary"
