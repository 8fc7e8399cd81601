"""The audit against plain PyTorch hooks, closed forms and planted dictionaries."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch

import interp_widgets as iw
from interp_widgets import frames, methods
from interp_widgets.errors import Cancelled, DictionaryError, TextError
from interp_widgets.methods import splicing
from interp_widgets.methods.audit import DEFINITIONS
from interp_widgets.sae import ReLU, TopK, baselines
from interp_widgets.session import harvest

from .conftest import tiny_session

NAMES = ["mary", "john", "anna", "tom", "emma", "paul", "lucy", "peter"]
IOIS = [f"when {a} and {b} went to the store , {b} gave a drink to {a} ." for a in NAMES for b in NAMES if a < b]
KEYS = [f"the keys to the {n} are on the table ." for n in ["cabinet", "house", "garden", "car", "box"]]
TEXT = "the keys to the cabinet are on the table ."
SITES = ["embed", "resid_pre.1", "attn_out.1", "resid_mid.1", "mlp_out.0", "resid_post.0", "resid_post.1"]


def value(frame: pl.DataFrame, dictionary: str, quantity: str, source: str = "all") -> float:
    return frame.filter(dictionary=dictionary, quantity=quantity, source=source)["value"].item()


def basis(width: int, site: str, seed: int = 0) -> ReLU:
    """An orthogonal basis in pairs of opposite directions, turned at random: nothing is lost."""
    q = torch.linalg.qr(torch.randn(width, width, generator=torch.Generator().manual_seed(seed)))[0]
    both = torch.cat([q, -q])
    return ReLU("planted", site, both.T.contiguous(), torch.zeros(2 * width), both, torch.zeros(width))


@pytest.fixture(scope="module")
def audited(toy, toy_sae) -> pl.DataFrame:
    return methods.audit(toy, {"ioi": IOIS, "keys": KEYS}, sae=toy_sae, text=TEXT)


def test_its_frame_is_checked_and_every_quantity_is_there_once(audited, toy_sae) -> None:
    frames.check(audited, frames.AUDIT)
    assert audited.select("dictionary", "source", "quantity").is_duplicated().sum() == 0
    assert set(audited["quantity"]) == set(DEFINITIONS)
    assert audited["source"].unique(maintain_order=True).to_list() == ["all", "ioi", "keys", "this text"]
    assert set(audited["dictionary"]) == {toy_sae.name, "pca", "random", "identity", "model", "mean", "zero"}
    within = audited.drop_nulls("low")
    assert len(within) > 50
    assert (within["low"] <= within["value"] + 1e-9).all()
    assert (within["value"] <= within["high"] + 1e-9).all()


@pytest.mark.parametrize("site", ["resid_post.2", "mlp_out.1"])
def test_an_orthogonal_basis_in_pairs_loses_nothing(toy, site: str) -> None:
    found = methods.audit(toy, IOIS, sae=basis(toy.width, site), text=TEXT, baselines=False)
    for source in ("all", "this text"):
        assert value(found, "planted", "explained_variance", source) == pytest.approx(1, abs=1e-9)
        assert value(found, "planted", "cosine", source) == pytest.approx(1, abs=1e-5)
        assert value(found, "planted", "active", source) == pytest.approx(toy.width, abs=1e-3)
        if site == "resid_post.2":
            assert value(found, "planted", "loss_recovered", source) == pytest.approx(1, abs=1e-5)
            assert value(found, "planted", "loss_recovered_mean", source) == pytest.approx(1, abs=1e-5)
    assert value(found, "planted", "error_share", "this text") == pytest.approx(0, abs=1e-5)
    assert value(found, "planted", "atoms_alone", "this text") == pytest.approx(1, abs=1e-4)
    assert value(found, "planted", "errors_alone", "this text") == pytest.approx(0, abs=1e-4)


def test_a_dictionary_whose_decoder_knows_nothing_recovers_nothing(toy) -> None:
    """Random atoms that are read along one set of directions and written along another."""
    made = baselines.random(toy, "resid_post.2", width=384, k=8)
    blind = replace(made, name="blind", W_dec=baselines.random(toy, "resid_post.2", width=384, k=8, seed=1).W_dec)
    found = methods.audit(toy, IOIS, sae=blind, baselines=False)
    assert value(found, "blind", "explained_variance") < 0
    assert value(found, "blind", "loss_recovered") < 0.35  # zeros are far worse than noise
    assert value(found, "blind", "loss_recovered_mean") < 0.1


def test_its_numbers_are_those_of_a_plain_hook(toy, toy_sae) -> None:
    texts = [IOIS[0], IOIS[3], KEYS[1], KEYS[2], TEXT]
    found = methods.audit(toy, texts, sae=toy_sae, baselines=False, outliers=True)
    fitted, measured = [texts[1]], [texts[0], *texts[2:]]  # the second of five windows is fitted on
    module, layer = toy.torch_module, toy.torch_module.get_submodule("model.layers.2")
    seen: list[torch.Tensor] = []

    def nats(ids: torch.Tensor, put) -> torch.Tensor:
        def hook(_, __, output):
            stream = (output[0] if isinstance(output, tuple) else output).clone()
            seen.append(stream[0, 1:].clone())
            if put is not None:
                stream[:, 1:] = put(stream[:, 1:])
            return (stream, *output[1:]) if isinstance(output, tuple) else stream

        handle = layer.register_forward_hook(hook)
        with torch.no_grad():
            logits = module(ids).logits[0, :-1].float()
        handle.remove()
        return torch.nn.functional.cross_entropy(logits, ids[0, 1:], reduction="sum")

    rows = {text: torch.tensor([toy.encode(text)]) for text in texts}
    for text in fitted:
        nats(rows[text], None)
    mean = torch.cat(seen).mean(0)
    seen.clear()
    count = sum(rows[text].shape[1] - 1 for text in measured)
    loss = {
        name: float(sum(nats(rows[text], put) for text in measured)) / count
        for name, put in {
            "model": None,
            toy_sae.name: lambda x: toy_sae.decode(toy_sae.encode(x)),
            "mean": lambda x: mean.expand_as(x),
            "zero": torch.zeros_like,
        }.items()
    }
    for name, expected in loss.items():
        assert value(found, name, "loss") == pytest.approx(expected, abs=1e-4)
    share = (loss["zero"] - loss[toy_sae.name]) / (loss["zero"] - loss["model"])
    assert value(found, toy_sae.name, "loss_recovered") == pytest.approx(share, abs=1e-4)
    x = torch.cat(seen[: len(measured)]).double()
    a = toy_sae.encode(x)
    x_hat = toy_sae.decode(a).double()
    expected = {
        "explained_variance": 1 - (x - x_hat).pow(2).sum() / (x - x.mean(0)).pow(2).sum(),
        "active": (a > 0).double().sum(1).mean(),
        "cosine": torch.nn.functional.cosine_similarity(x - mean, x_hat - mean).mean(),
        "norm_ratio": (x_hat.norm(dim=1) / x.norm(dim=1)).mean(),
        "dead_share": ((a > 0).sum(0) == 0).double().mean(),
        "density_high": (a > 0).double().mean(0).quantile(0.99),
        "dense_share": ((a > 0).double().mean(0) > 0.1).double().mean(),
        "left_out": torch.tensor(0.0),
    }
    for quantity, number in expected.items():
        assert value(found, toy_sae.name, quantity) == pytest.approx(float(number), abs=1e-5), quantity
    assert found.filter(quantity="active")["n"].item() == len(x) == count


@pytest.mark.parametrize("family", ["llama", "gpt2", "gpt_neox", "gemma2", "opt", "phi", "gptj", "falcon", "mpt"])
def test_a_run_that_goes_on_equals_one_from_the_start(family: str) -> None:
    model = tiny_session(family)
    texts = [[3, 14, 15, 9, 26, 7], [5, 35, 8, 9, 79, 7, 11, 12], [9, 8, 7]]
    batch = next(harvest.batches(model, texts, size=3))
    known = model.sites()
    for site in [site for site in SITES if site in known]:
        reading = splicing.read_clean(model, batch, site)
        put = torch.randn(reading.x.shape, generator=torch.Generator().manual_seed(0))
        found = splicing.spliced_loss(model, reading, site, [reading.x, put, -put])
        torch.testing.assert_close(found[0], reading.loss, atol=1e-4, rtol=1e-5)
        for row, window in enumerate(batch.windows):
            length, at = len(window.ids), reading.counts[row]

            def edit(x, row=row, length=length, at=at, put=put):
                return torch.where(at[:length, None], put[row, :length].to(x), x[0])[None]

            logits = model.run([window.ids], ["logits"], edit={site: edit})["logits"][0, :-1].float()
            nats = torch.nn.functional.cross_entropy(logits, torch.tensor(window.ids[1:]), reduction="none")
            inside = batch.inside[row, 1:length]
            assert float(found[1, row]) == pytest.approx(float(nats[inside].sum()), abs=1e-3), (site, row)
        assert not torch.allclose(found[1], found[2])


def test_sources_are_measured_by_themselves_and_together(toy, toy_sae, audited) -> None:
    name = toy_sae.name
    n = {s: audited.filter(dictionary=name, quantity="active", source=s)["n"].item() for s in ("all", "ioi", "keys")}
    assert n["all"] == n["ioi"] + n["keys"]
    loss = sum(value(audited, name, "loss", s) * n[s] for s in ("ioi", "keys"))
    total = {s: audited.filter(dictionary=name, quantity="loss", source=s)["n"].item() for s in n}
    loss = sum(value(audited, name, "loss", s) * total[s] for s in ("ioi", "keys"))
    assert value(audited, name, "loss") == pytest.approx(loss / total["all"])
    alone = methods.audit(toy, IOIS, sae=toy_sae, baselines=False)
    assert value(audited, name, "explained_variance", "ioi") == pytest.approx(
        value(alone, name, "explained_variance"), abs=0.01
    )
    assert audited.filter(source="this text")["low"].null_count() == len(audited.filter(source="this text"))


def test_the_baselines_have_the_size_of_the_dictionary(toy, toy_sae, audited) -> None:
    for name in ("pca", "random", "identity"):
        assert value(audited, name, "active") == pytest.approx(8)
    assert value(audited, toy_sae.name, "explained_variance") > value(audited, "pca", "explained_variance")
    assert value(audited, "pca", "explained_variance") > value(audited, "random", "explained_variance") > 0


def test_the_interval_is_that_of_many_draws(toy, toy_sae) -> None:
    """Against a bootstrap written out, and it narrows with more windows."""
    made = basis(toy.width, "resid_post.2")
    sae = TopK("half", made.site, made.W_enc, made.b_enc, made.W_dec, made.b_dec, k=20)
    found = {
        count: methods.audit(toy, IOIS[:count], sae=sae, baselines=False).filter(quantity="cosine")
        for count in (10, 28)
    }
    width = {count: float((f["high"] - f["low"]).item()) for count, f in found.items()}
    assert 0 < width[28] < width[10]
    sums, counts, fitted = [], [], []
    for window in [w for i, w in enumerate(harvest.windows(toy, IOIS)) if i % 5 == 1]:
        batch = next(harvest.batched(toy, [window]))
        fitted.append(harvest.read_batch(toy, batch, [sae.site], lambda v, c: v[sae.site][c]))
    mean = torch.cat(fitted).mean(0)
    for window in [w for i, w in enumerate(harvest.windows(toy, IOIS)) if i % 5 != 1]:
        batch = next(harvest.batched(toy, [window]))
        x = harvest.read_batch(toy, batch, [sae.site], lambda v, c: v[sae.site][c])
        sums.append(float(torch.nn.functional.cosine_similarity(x - mean, sae.decode(sae.encode(x)) - mean).sum()))
        counts.append(len(x))
    rng = np.random.default_rng(5)
    draws = rng.integers(0, len(sums), (4000, len(sums)))
    expected = np.quantile(np.array(sums)[draws].sum(1) / np.array(counts)[draws].sum(1), [0.025, 0.975])
    assert [found[28]["low"].item(), found[28]["high"].item()] == pytest.approx(expected, abs=0.15 * width[28])


def test_without_a_cost_there_is_no_share_of_it(toy) -> None:
    """A site that does nothing: with or without it the loss is the same, so what is recovered is undefined."""
    site = "mlp_out.1"
    module = toy.torch_module.get_submodule("model.layers.1.mlp.down_proj")
    kept = module.weight.detach().clone()
    with torch.no_grad():
        module.weight.mul_(1e-6)
    try:
        found = methods.audit(toy, IOIS[:6], sae=basis(toy.width, site), baselines=False)
    finally:
        with torch.no_grad():
            module.weight.copy_(kept)
    assert found.filter(pl.col("quantity").str.starts_with("loss_recovered"))["value"].null_count() == 2


def test_the_loss_is_measured_on_a_part_spread_evenly(toy, toy_sae) -> None:
    found = methods.audit(toy, IOIS, sae=toy_sae, baselines=False, loss_tokens=120)
    some, every = (found.filter(quantity=q, dictionary=toy_sae.name)["n"].item() for q in ("loss", "active"))
    assert 60 <= some <= 150
    assert every > 300
    none = methods.audit(toy, IOIS, sae=toy_sae, baselines=False, loss_tokens=0)
    assert "loss" not in none["quantity"].to_list()
    few = methods.audit(toy, IOIS, sae=toy_sae, baselines=False, tokens=50)
    assert 30 <= few.filter(quantity="active")["n"].item() <= 80


def test_several_dictionaries_are_told_apart_by_site(toy) -> None:
    both = [iw.load_sae(f"toy-grammar/resid_post.{layer}") for layer in (1, 2)]
    found = methods.audit(toy, iter(IOIS[:5]), sae=both, baselines=False)
    assert found["site"].unique(maintain_order=True).to_list() == ["resid_post.1", "resid_post.2"]


def test_what_cannot_be_audited_gets_a_sentence(toy, toy_sae) -> None:
    with pytest.raises(TextError, match="two windows of text or more"):
        methods.audit(toy, [TEXT], sae=toy_sae)
    with pytest.raises(TextError, match="Put it in a list"):
        methods.audit(toy, TEXT, sae=toy_sae)
    with pytest.raises(TextError, match="cannot be called 'all'"):
        methods.audit(toy, {"all": IOIS}, sae=toy_sae)
    with pytest.raises(DictionaryError, match="no dictionary to audit"):
        methods.audit(toy, IOIS, sae=[])
    with pytest.raises(DictionaryError, match="size 128"):
        methods.audit(toy, IOIS, sae=replace(iw.load_sae("smollm2-135m/15-resid-4096"), site="resid_post.2"))


def test_it_reports_and_can_be_stopped(toy, toy_sae) -> None:
    seen = []

    def stop(done: int, total: int, message: str = "", partial=None) -> None:
        seen.append((done, total, message))
        if partial is not None:
            assert value(methods_frame(partial), toy_sae.name, "active", "this text") == 8
            raise Cancelled("enough")

    from interp_widgets.methods.audit import audit_frame as methods_frame

    with pytest.raises(Cancelled):
        methods.audit(toy, IOIS, sae=toy_sae, text=TEXT, progress=stop)
    assert seen[-1][0] < seen[-1][1]


def test_on_toy_grammar_the_figures_of_the_readme(toy, toy_sae) -> None:
    """Its README, on 1000 held-out sentences: 0.930, -0.006 nats of 5.324, 3.1 % silent. These are 300 others, which are easier."""
    texts = (Path(__file__).parent / "toy_grammar_held_out.txt").read_text(encoding="utf-8").splitlines()
    found = methods.audit(toy, texts, sae=toy_sae, outliers=True, batch=64)
    name = toy_sae.name
    assert value(found, name, "explained_variance") == pytest.approx(0.938, abs=0.003)
    assert value(found, name, "loss") - value(found, "model", "loss") == pytest.approx(0.003, abs=0.02)
    assert value(found, "mean", "loss") - value(found, "model", "loss") == pytest.approx(5.34, abs=0.4)
    assert value(found, name, "loss_recovered_mean") == pytest.approx(0.999, abs=0.0015)
    assert value(found, name, "active") == pytest.approx(8, abs=0.01)
    assert 0.01 <= value(found, name, "dead_share") < 0.15
    assert value(found, name, "left_out") == 0


SPEECH = [
    "Mr. Speaker, Mr. President, members of the Congress and my fellow citizens: the state of our union is strong, and it is the "
    "duty of this government to preserve peace with all nations, to reduce the debt, and to protect the rights of every citizen.",
    "During the last fiscal year the receipts of the Treasury exceeded its expenditures, and the surplus has been applied to the "
    "payment of the public debt. Commerce with foreign nations has increased, and our farmers have had an abundant harvest.",
    "The war has ended, and our soldiers are returning to their homes and families. Congress should provide for the widows and "
    "orphans of those who fell, and for the education of those who come back and want to begin a new life.",
    "I recommend that laws be passed to improve the navigation of our rivers and harbors, to extend the postal service to the new "
    "territories, and to establish a national university. The report of the Secretary of the Navy is submitted with this message.",
]


@pytest.mark.smollm2
@pytest.mark.slow
def test_on_smollm2_near_the_figures_of_the_readme(smollm2) -> None:
    """Its README, on 32,500 held-out tokens: 0.780, 32 active, cosine 0.891, 96.0 % and 97.8 % recovered; PCA 0.436."""
    model, sae = iw.load("smollm2-135m"), iw.load_sae("smollm2-135m/15-resid-4096")
    found = methods.audit(model, SPEECH, sae=sae, text=SPEECH[0])
    assert 0.7 < value(found, sae.name, "explained_variance") < 0.85
    assert value(found, sae.name, "active") == pytest.approx(32, abs=0.1)
    assert 0.85 < value(found, sae.name, "cosine") < 0.93
    assert 0.92 < value(found, sae.name, "loss_recovered_mean") < 0.99
    assert 0.92 < value(found, sae.name, "loss_recovered") < 0.995
    assert value(found, "random", "loss_recovered_mean") < value(found, sae.name, "loss_recovered_mean") - 0.1
    assert value(found, sae.name, "explained_variance") > value(found, "identity", "explained_variance") + 0.1
    assert 0 < value(found, sae.name, "left_out") < 0.1
    assert 0 < value(found, sae.name, "error_share", "this text") < 1
