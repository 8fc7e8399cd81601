"""What atoms do to a prediction, against plain edits of the stream and finite differences."""

from __future__ import annotations

import pytest
import torch

import interp_widgets as iw
from interp_widgets.errors import DictionaryError, TextError
from interp_widgets.methods.atom_effects import run_atom_ablation, run_effects, strongest_effects
from interp_widgets.methods.direct_weights import direct_weights
from interp_widgets.sae.dictionary import Dictionary, ReLU
from interp_widgets.session.session import Session

TEXT = "the keys to the cabinet"


@pytest.fixture(scope="module")
def model() -> Session:
    return iw.load("toy-grammar")


@pytest.fixture(scope="module")
def sae() -> Dictionary:
    return iw.load_sae("toy-grammar/resid_post.2")


def log_p(model: Session, site: str, change: torch.Tensor) -> torch.Tensor:
    """[tokens, vocabulary] with `change` [tokens, width] added at a site."""
    logits = model.run([model.encode(TEXT)], ["logits"], edit={site: lambda x: x + change})["logits"][0]
    return logits.float().log_softmax(-1)


def test_effects_are_slopes_towards_removing_an_atom(model: Session, sae: Dictionary) -> None:
    frame = iw.methods.atom_effects(model, TEXT, sae=sae, answer="are")
    answer, x = model.single_token("are"), model.read(TEXT, [sae.site])[sae.site]
    a, step = sae.encode(x), 1e-2
    base = log_p(model, sae.site, torch.zeros_like(x))[-1, answer]
    for row in frame.sort(frame["effect"].abs(), descending=True).head(12).iter_rows(named=True):
        p, atom, change = row["position"], row["atom"], torch.zeros_like(x)
        part = x[p] - sae.decode(a[p]) if atom is None else a[p, atom] * sae.W_dec[atom]
        change[p] = -step * part
        slope = (log_p(model, sae.site, change)[-1, answer] - base) / step
        assert row["effect"] == pytest.approx(float(slope), rel=0.05, abs=2e-3)


def test_shares_add_to_one_and_leave_out_what_is_masked(model: Session, sae: Dictionary) -> None:
    frame = iw.methods.atom_effects(model, TEXT, sae=sae)
    assert frame["share"].sum() == pytest.approx(1)
    assert frame.filter(frame["position"] == 0)["share"].null_count() == len(frame.filter(frame["position"] == 0))


def test_the_strongest_are_sums_over_the_text(model: Session, sae: Dictionary) -> None:
    frame = iw.methods.atom_effects(model, TEXT, sae=sae, answer="are")
    found = strongest_effects(run_effects(model, TEXT, sae=sae, answer="are"), count=5)
    for atom, effect, share in found.iter_rows():
        mine = frame.filter((frame["atom"] == atom) & (frame["position"] > 0))
        assert effect == pytest.approx(mine["effect"].sum(), rel=1e-5)
        assert share == pytest.approx(mine["share"].sum(), rel=1e-5)
    sizes = found["effect"].abs().to_list()
    assert sizes == sorted(sizes, reverse=True)


def test_an_effect_asks_for_the_likeliest_token_by_default(model: Session, sae: Dictionary) -> None:
    likeliest = int(log_p(model, sae.site, torch.zeros(1))[-1].argmax())
    run = run_effects(model, TEXT, sae=sae)
    assert run.answer == likeliest
    assert run.probability == pytest.approx(float(log_p(model, sae.site, torch.zeros(1))[-1].exp().max()), rel=1e-5)


def test_an_ablated_atom_equals_a_stream_without_it(model: Session, sae: Dictionary) -> None:
    x = model.read(TEXT, [sae.site])[sae.site]
    a = sae.encode(x)
    a[0] = 0  # position 0 is <s>, which is left alone
    atom = int(a.sum(0).argmax())
    before, after = (log_p(model, sae.site, change) for change in (0 * x, -a[:, [atom]] * sae.W_dec[atom]))
    run = run_atom_ablation(model, TEXT, sae=sae, atom=atom, answer="are")
    kl = (before.exp() * (before - after)).sum(-1)
    assert torch.allclose(run.kl, kl, atol=1e-5)
    assert run.effect == pytest.approx(float((after - before)[-1, model.single_token("are")]), abs=1e-5)
    assert torch.allclose(run.activation, a[:, atom], atol=1e-5)
    for p, ids in enumerate(run.top_ids):
        assert torch.allclose(run.before[p], before[p, ids].exp(), atol=1e-5)
        assert torch.allclose(run.after[p], after[p, ids].exp(), atol=1e-5)
        listed, change = (run.after[p] - run.before[p]).abs(), (after[p].exp() - before[p].exp()).abs()
        assert torch.allclose(listed, change.topk(len(ids)).values, atol=1e-5)
    frame = iw.methods.ablate_atom(model, TEXT, sae=sae, atom=atom)
    assert frame["kl"].max() == pytest.approx(float(kl.max()), abs=1e-5)


def test_an_atom_that_is_silent_changes_nothing(model: Session, sae: Dictionary) -> None:
    a = sae.encode(model.read(TEXT, [sae.site])[sae.site])
    run = run_atom_ablation(model, TEXT, sae=sae, atom=int((a.sum(0) == 0).nonzero()[0]))
    assert run.agreement is None
    assert run.effect == 0
    assert float(run.kl.max()) == 0


def test_direct_weights_are_the_unembedding_of_the_gained_direction(model: Session, sae: Dictionary) -> None:
    module = model.torch_module
    by_hand = module.lm_head.weight @ (module.model.norm.weight * sae.W_dec[7])
    weights = model.run([[0]], ["embed"], then=lambda _: direct_weights(model, sae.W_dec[7]))
    assert torch.allclose(weights, (by_hand - by_hand.mean()).detach(), atol=1e-4)
    listed = iw.methods.direct_logits(model, sae, 7, count=3)
    assert listed["token_id"].head(3).to_list() == weights.topk(3).indices.tolist()
    assert listed["token_id"].tail(3).to_list() == weights.topk(3, largest=False).indices.tolist()[::-1]
    assert listed["rank"].to_list() == [1, 2, 3, len(weights) - 2, len(weights) - 1, len(weights)]


def test_after_the_last_layer_direct_weights_are_all_there_is(model: Session) -> None:
    """An atom at right angles to the stream does not move the norm, so its removal changes the logits by the weights alone."""
    x = model.read(TEXT, ["resid_post.3"])["resid_post.3"]
    direction = torch.nn.functional.normalize(
        torch.randn(model.width, generator=torch.Generator().manual_seed(0)), dim=0
    )
    direction -= torch.linalg.pinv(x) @ (x @ direction)
    shape = {"W_enc": torch.zeros(model.width, 1), "b_enc": torch.full((1,), 0.1), "W_dec": direction[None]}
    sae = ReLU("planted", "resid_post.3", **shape, b_dec=torch.zeros(model.width))
    agreement = run_atom_ablation(model, TEXT, sae=sae, atom=0).agreement
    assert agreement == pytest.approx(1, abs=1e-3)


def test_what_cannot_be_asked_is_refused(model: Session, sae: Dictionary) -> None:
    with pytest.raises(DictionaryError, match="does not exist"):
        iw.methods.ablate_atom(model, TEXT, sae=sae, atom=sae.width)
    with pytest.raises(DictionaryError, match="does not exist"):
        iw.methods.direct_logits(model, sae, -1)
    with pytest.raises(TextError, match="answer"):
        iw.methods.atom_effects(model, TEXT, sae=sae, answer="are is")
