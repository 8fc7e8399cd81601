"""Attribution patching against what it estimates: exact where the model is linear, finite differences, and completeness."""

from __future__ import annotations

import polars as pl
import pytest
import torch

from interp_widgets import frames, methods
from interp_widgets.errors import AlignmentError, Cancelled, TextError
from interp_widgets.session.load import load

from ..session import tiny
from .conftest import IOI, IOI_CORRUPT, tiny_session

CLEAN, CORRUPT = [3, 14, 15, 9, 26, 7], [5, 35, 8, 9, 79, 7]
FAMILIES = ["llama", "gpt2", "gpt_neox", "gemma2", "opt", "phi", "gptj", "falcon", "mistral", "mpt"]


def on_toy(toy, **more) -> pl.DataFrame:
    return methods.attribution_patching(toy, clean=IOI, corrupt=IOI_CORRUPT, answer="mary", foil="john", **more)


@pytest.mark.parametrize("family", ["llama", "gpt2"])
def test_it_is_exact_where_the_model_is_linear(family: str) -> None:
    """Without the final norm the logits are linear in everything that the last layer adds."""
    module = tiny.model(family)
    norm = tiny_session(family).architecture.final_norm
    module.set_submodule(norm, torch.nn.Identity())
    model = load(module, tokenizer=tiny.tokenizer())
    last = model.num_layers - 1
    sites = [f"resid_post.{last}", f"mlp_out.{last}"]
    asked = {"clean": CLEAN, "corrupt": CORRUPT, "answer": 11, "foil": 12, "sites": sites}
    exact = methods.activation_patching(model, **asked).sort("site", "position")
    for steps in (0, 1, 3):
        found = methods.attribution_patching(model, **asked, steps=steps).sort("site", "position")
        assert exact["effect"].abs().max() > 1e-3
        assert (found["effect"] - exact["effect"]).abs().max() < 1e-5


@pytest.mark.parametrize("family", FAMILIES)
def test_the_gradient_is_that_of_a_small_patch(family: str) -> None:
    """Moving an activation a little towards the clean one changes the metric by that part of the estimate."""
    model = tiny_session(family)
    model.torch_module.double()  # in float32 the difference drowns in rounding; the norms are float32 still
    sites = [s for s in ("resid_post.0", "attn_out.1", "mlp_out.0", "resid_pre.1", "head_out.1") if _has(model, s)]
    frame = methods.attribution_patching(model, clean=CLEAN, corrupt=CORRUPT, answer=11, foil=12, sites=sites)
    frames.check(frame, frames.ATTRIBUTION)
    part = 5e-3
    for site in sites:
        clean, corrupt = model.read(CLEAN, [site])[site], model.read(CORRUPT, [site])[site]
        for position in (0, 4, 5):

            def metric(sign: float, site=site, position=position, step=part * (clean - corrupt)) -> float:
                def put(x: torch.Tensor) -> torch.Tensor:
                    x = x.clone()
                    x[:, position] += sign * step[position]
                    return x

                logits = model.run([CORRUPT], ["logits"], edit={site: put})["logits"][0, -1].double()
                return float(logits[11] - logits[12])

            slope = (metric(1) - metric(-1)) / (2 * part)
            row = frame.filter((pl.col("site") == site) & (pl.col("position") == position))
            assert row["effect"].item() == pytest.approx(slope, rel=5e-3, abs=3e-4)


def _has(model, site: str) -> bool:
    return site.split(".")[0] in model.architecture.taps


GROUPS = ["head_out.0.1+head_out.0.2", "attn_out.0+mlp_out.1", "k.0.1+v.1.0", "mlp_act.1.5", "q.1"]


@pytest.mark.parametrize("direction", ["denoise", "noise"])
@pytest.mark.parametrize("family", ["llama-grouped", "gpt2", "gpt_neox", "opt"])
def test_groups_spans_and_both_directions_are_small_patches_too(family: str, direction: str) -> None:
    """All that is patched together moves a little together: what one site of a group does to another one is cut, as in a patch."""
    model = tiny_session(family)
    model.torch_module.double()
    source, prompt = (CLEAN, CORRUPT) if direction == "denoise" else (CORRUPT, CLEAN)
    asked = {"clean": CLEAN, "corrupt": CORRUPT, "answer": 11, "foil": 12, "sites": GROUPS, "positions": [(2, 4), -1]}
    frame = methods.attribution_patching(model, **asked, direction=direction)
    part = 5e-3
    for row in frame.iter_rows(named=True):
        span = list(range(row["position"], row["last_position"] + 1))
        sites = row["site"].split("+")
        base = {site: model.read(prompt, [site])[site] for site in sites}
        step = {site: part * (model.read(source, [site])[site] - base[site]) for site in sites}

        def metric(sign: float, span=span, base=base, step=step) -> float:
            def put(site: str):
                def edit(x: torch.Tensor) -> torch.Tensor:
                    x = x.clone()
                    x[:, span] = (base[site] + sign * step[site])[span]
                    return x

                return edit

            logits = model.run([prompt], ["logits"], edit={site: put(site) for site in base})["logits"][0, -1].double()
            return float(logits[11] - logits[12])

        slope = (metric(1) - metric(-1)) / (2 * part)
        assert row["effect"] == pytest.approx(slope, rel=2e-2, abs=3e-4)
    assert frame["effect"].abs().max() > 1e-3


def test_integrated_gradients_of_a_group_add_up() -> None:
    model = tiny_session("llama-grouped")
    asked = {"clean": CLEAN, "corrupt": CORRUPT, "answer": 11, "foil": 12, "sites": GROUPS}
    frame = methods.attribution_patching(model, **asked, steps=32)
    whole = methods.activation_patching(model, **asked, positions=[(0, -1)])
    for row in whole.iter_rows(named=True):
        cells = frame.filter(site=row["site"])
        assert cells["effect"].sum() + cells["residual"][0] == pytest.approx(row["effect"], abs=1e-4)
        assert abs(cells["residual"][0]) < 0.02 * max(1e-2, cells["effect"].abs().sum())


def test_integrated_gradients_add_up_and_the_residual_falls_with_the_square_of_the_steps(toy) -> None:
    residual = {n: abs(on_toy(toy, sites=["resid_post.1"], steps=n)["residual"][0]) for n in (8, 16, 32, 64)}
    assert residual[64] < residual[8] / 20
    assert 3 < residual[32] / residual[64] < 5, residual
    probability = on_toy(toy, sites=["resid_post.1"], steps=64, metric="probability")
    assert abs(probability["residual"][0]) < 1e-4 < probability["effect"].abs().max()


def test_the_residual_is_what_patching_the_whole_site_leaves(toy) -> None:
    frame = on_toy(toy, sites=["attn_out.1"], steps=5)
    value = toy.read(IOI, ["attn_out.1"])["attn_out.1"]
    runs = {
        name: toy.run([toy.encode(IOI_CORRUPT)], ["logits"], edit=edit)["logits"][0, -1].double()
        for name, edit in (("corrupt", {}), ("patched", {"attn_out.1": lambda x: value.expand_as(x)}))
    }
    mary, john = toy.single_token("mary"), toy.single_token("john")
    whole = float((runs["patched"] - runs["corrupt"])[[mary, john]] @ torch.tensor([1.0, -1.0]).double())
    assert frame["effect"].sum() + frame["residual"][0] == pytest.approx(whole, abs=1e-4)


def test_it_finds_the_place_that_exact_patching_finds(toy) -> None:
    exact = methods.activation_patching(toy, clean=IOI, corrupt=IOI_CORRUPT, answer="mary", foil="john")
    both = exact.join(on_toy(toy, steps=16), on=["site", "position"], suffix="_estimated").filter(method="exact")
    rank = both.select(pl.corr("effect", "effect_estimated", method="spearman")).item()
    assert rank > 0.5
    top = both.sort(pl.col("effect").abs(), descending=True)["position"][:4].to_list()
    assert set(both.sort(pl.col("effect_estimated").abs(), descending=True)["position"][:4]) & set(top)


def test_columns_that_causality_spares_are_zero(toy) -> None:
    frame = on_toy(toy, sites=["resid_post", "mlp_out"])
    causal = frame.filter(method="causal")
    assert causal["position"].unique().sort().to_list() == list(range(10))
    assert (causal["effect"] == 0).all()
    assert frame["residual"].is_null().all()
    assert on_toy(toy, positions=[11, 14])["position"].unique().sort().to_list() == [11, 14]


def test_the_same_prompt_gives_zero(toy) -> None:
    frame = methods.attribution_patching(toy, clean=IOI, corrupt=IOI, answer="mary", foil="john")
    assert (frame["effect"] == 0).all()
    assert frame["recovery"].is_null().all()


def test_nothing_keeps_a_graph_and_the_session_works_on(toy) -> None:
    on_toy(toy, sites=["resid_post.1"], steps=2)
    assert not toy.read(IOI, ["resid_post.3"])["resid_post.3"].requires_grad
    assert all(parameter.grad is None for parameter in toy.torch_module.parameters())


def test_bad_requests_get_a_sentence_and_it_can_be_stopped(toy) -> None:
    with pytest.raises(TextError, match="steps must be 0"):
        on_toy(toy, steps=-1)
    with pytest.raises(TextError, match="not a metric"):
        on_toy(toy, metric="loss")
    with pytest.raises(AlignmentError, match="is no position"):
        on_toy(toy, positions=[99])

    def stop(done: int, total: int, message: str = "", partial: object = None) -> None:
        if done == 2:
            raise Cancelled("Stopped.")

    with pytest.raises(Cancelled):
        on_toy(toy, steps=2, progress=stop)
