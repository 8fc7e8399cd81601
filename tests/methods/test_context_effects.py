"""One direction in many contexts: exact where the model is linear, and atoms whose job is known."""

from __future__ import annotations

import polars as pl
import pytest
import torch

from interp_widgets import frames, methods
from interp_widgets.errors import DictionaryError, TextError
from interp_widgets.sae import ReLU
from interp_widgets.sae.load import load_sae

from .test_error_effect import linear

NAMES = ["mary", "john", "anna", "tom", "emma", "paul", "lucy", "peter"]
CONTEXTS = [f"when {a} and {b} went to the store , {b} gave a drink to" for a in NAMES[:4] for b in NAMES[4:]]
CONTEXTS += [f"the doctor gave {n} a book because" for n in NAMES]


@pytest.mark.parametrize("family", ["llama", "gpt2"])
def test_where_the_model_is_linear_the_effect_is_the_product_in_every_context(family: str) -> None:
    model = linear(family)
    site = f"resid_post.{model.num_layers - 1}"
    d = torch.randn(3, model.width, generator=torch.Generator().manual_seed(1))
    sae = ReLU("planted", site, d.T.contiguous(), torch.zeros(3), d, torch.zeros(model.width))
    contexts = [[3, 14, 15, 9], [5, 35, 8, 9, 79], [9, 8, 7, 11], [20, 21, 22], [30, 31, 32, 33, 34]]
    found = methods.effect_over_contexts(model, contexts, sae=sae, atom=1, answer=11, foil=12, strength=2.5, random=2)
    frames.check(found, frames.CONTEXT_EFFECTS)
    weight = model.torch_module.get_submodule(model.architecture.head).weight.detach()
    expected = float(2.5 * d[1] @ (weight[11] - weight[12]))
    atom = found.filter(direction="atom")
    assert atom["context"].to_list() == [0, 1, 2, 3, 4]
    assert atom["effect"].to_list() == pytest.approx([expected] * 5, abs=1e-4)
    summary = methods.context_summary(found)
    frames.check(summary, frames.CONTEXT_SUMMARY)
    assert summary["direction"].to_list() == ["atom", "random 0", "random 1"]
    assert summary["flips"].to_list() == [0, 0, 0]
    assert summary["sd"].max() < 1e-3


def test_its_effect_is_that_of_a_plain_hook(toy, toy_sae) -> None:
    she, he = toy.single_token("she"), toy.single_token("he")
    for how in ("add", "remove"):
        found = methods.effect_over_contexts(
            toy, CONTEXTS, sae=toy_sae, atom=122, answer="she", foil="he", strength=4.0, how=how, random=1
        ).filter(direction="atom")
        layer = toy.torch_module.get_submodule("model.layers.2")
        assert len(found) >= 4
        for row in found.iter_rows(named=True):
            ids = torch.tensor([toy.encode(CONTEXTS[row["context"]])])
            amount = 4.0 if how == "add" else -row["activation"]

            def hook(_, __, output, amount=amount):
                stream = (output[0] if isinstance(output, tuple) else output).clone()
                stream[:, -1] += amount * toy_sae.W_dec[122]
                return (stream, *output[1:]) if isinstance(output, tuple) else stream

            with torch.no_grad():
                before = toy.torch_module(ids).logits[0, -1]
                handle = layer.register_forward_hook(hook)
                after = toy.torch_module(ids).logits[0, -1]
                handle.remove()
            change = (after[she] - after[he]) - (before[she] - before[he])
            assert row["effect"] == pytest.approx(float(change), abs=1e-3)
        if how == "remove":
            assert (found["activation"] > 0).all()


def test_the_atom_for_she_says_so_by_itself_and_everywhere(toy) -> None:
    """toy-grammar's README: resid_post.3 atom 122 is "next is she or her"."""
    toy_sae = load_sae("toy-grammar/resid_post.3")
    found = methods.effect_over_contexts(toy, CONTEXTS, sae=toy_sae, atom=122)
    atom = found.filter(direction="atom")
    assert atom["token"].unique().to_list() == ["her"]
    assert len(atom) == len(CONTEXTS) // 2
    summary = methods.context_summary(found)
    assert summary.filter(direction="atom")["flips"].item() == 0
    others = summary.filter(pl.col("direction") != "atom")
    assert summary["mean"][0] > 1.5 * others["mean"].max()
    fixed = methods.effect_over_contexts(toy, CONTEXTS, sae=toy_sae, atom=122, answer="she", foil="he")
    assert methods.context_summary(fixed).filter(direction="atom")["flips"].item() == 0


def test_flips_are_counted_against_the_sign_of_the_mean() -> None:
    effects = [3.0, 2.0, -1.0, 4.0, -0.5]
    columns = {
        "context": range(5), "direction": ["atom"] * 5, "token_id": [1] * 5, "token": ["a"] * 5,
        "activation": [0.0] * 5, "metric": [0.0] * 5, "effect": effects,
    }  # fmt: skip
    row = methods.context_summary(frames.build(frames.CONTEXT_EFFECTS, columns)).row(0, named=True)
    assert row["mean"] == pytest.approx(1.5)
    assert row["flips"] == pytest.approx(0.4)
    assert (row["low"], row["high"]) == pytest.approx((0.1176, 0.7693), abs=1e-3)
    assert row["sd"] == pytest.approx(2.1794, abs=1e-3)


def test_what_cannot_be_measured_gets_a_sentence(toy, toy_sae) -> None:
    with pytest.raises(DictionaryError, match="fires at the last token of none"):
        methods.effect_over_contexts(toy, CONTEXTS[:16], sae=toy_sae, atom=122)
    with pytest.raises(TextError, match="4 contexts or more"):
        methods.effect_over_contexts(toy, CONTEXTS[:3], sae=toy_sae, atom=122, strength=1.0)
    with pytest.raises(TextError, match="Put it in a list"):
        methods.effect_over_contexts(toy, CONTEXTS[0], sae=toy_sae, atom=122)
    with pytest.raises(DictionaryError, match="atoms 0 to 383"):
        methods.effect_over_contexts(toy, CONTEXTS, sae=toy_sae, atom=384)
    with pytest.raises(TextError, match="choose one of add, remove"):
        methods.effect_over_contexts(toy, CONTEXTS, sae=toy_sae, atom=1, how="zero")
