"""Scores of heads: planted patterns by hand, effects against a plain hook that zeroes one head."""

from __future__ import annotations

import math

import polars as pl
import pytest
import torch

import interp_widgets as iw
from interp_widgets import frames
from interp_widgets.errors import Cancelled, SiteError, TextError
from interp_widgets.methods import head_scores
from interp_widgets.methods.head_scores import SCORES, measure_effects, measure_heads, repeats
from tests.methods.conftest import IOI, tiny_session
from tests.session import tiny

TEXT = "w3 w4 w5 w6 w3 w4 w5"


def scores(pattern: list[list[float]], ids: list[int]) -> dict[str, float]:
    """Scores of one head by name."""
    return dict(zip(SCORES, measure_heads(torch.tensor([pattern]), ids)[:, 0].tolist(), strict=True))


def test_a_head_that_looks_at_the_token_before() -> None:
    found = scores([[1, 0, 0, 0], [1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0]], [5, 6, 7, 8])
    assert found["previous_token"] == 1
    assert found["first_token"] == pytest.approx(1 / 3)
    assert found["entropy"] == 0
    assert math.isnan(found["induction"])
    assert math.isnan(found["duplicate_token"])


def test_induction_and_duplicates_by_hand() -> None:
    """a b c a b: query 3 (a) has the copy 0 and after it 1; query 4 (b) the copy 1 and after it 2."""
    pattern = [
        [1.0, 0.0, 0.0, 0.0, 0.0],
        [0.5, 0.5, 0.0, 0.0, 0.0],
        [0.2, 0.3, 0.5, 0.0, 0.0],
        [0.1, 0.6, 0.1, 0.2, 0.0],
        [0.1, 0.2, 0.4, 0.2, 0.1],
    ]
    found = scores(pattern, [1, 2, 3, 1, 2])
    assert found["induction"] == pytest.approx((0.6 + 0.4) / 2)
    assert found["duplicate_token"] == pytest.approx((0.1 + 0.2) / 2)
    assert found["previous_token"] == pytest.approx((0.5 + 0.3 + 0.1 + 0.2) / 4)
    assert found["first_token"] == pytest.approx((0.5 + 0.2 + 0.1 + 0.1) / 4)
    entropies = [-sum(w * math.log(w) for w in row if w) for row in pattern[1:]]
    assert found["entropy"] == pytest.approx(sum(entropies) / 4)


def test_several_copies_add_up_and_the_query_itself_never_counts() -> None:
    """a a a: query 1 has the copy 0, whose follower is the query; query 2 has the copies 0 and 1, and the follower 1."""
    found = scores([[1, 0, 0], [0.5, 0.5, 0], [0.2, 0.3, 0.5]], [4, 4, 4])
    assert found["duplicate_token"] == pytest.approx((0.5 + 0.5) / 2)
    assert found["induction"] == pytest.approx(0.3)
    assert repeats([4, 4, 4]) == 1
    assert repeats([1, 2, 3, 1, 2]) == 2
    assert repeats([1, 1]) == 0


def test_one_token_has_no_scores(toy) -> None:
    frame = head_scores(toy, [7])
    assert frame.height == toy.num_layers * toy.num_heads
    assert frame.drop("layer", "head").null_count().row(0) == (frame.height,) * 6


def test_the_frame_holds_the_scores_of_the_patterns(toy) -> None:
    frame = frames.check(head_scores(toy, IOI, layers=[2, 0]), frames.HEADS)
    assert frame["layer"].unique(maintain_order=True).to_list() == [2, 0]
    pattern = toy.read(IOI, ["pattern.2"])["pattern.2"]
    expected = [float(pattern[h].diagonal(-1).mean()) for h in range(toy.num_heads)]
    assert frame.filter(pl.col("layer") == 2)["previous_token"].to_list() == pytest.approx(expected)
    assert frame["effect"].null_count() == frame.height


@pytest.mark.parametrize("variant", ["gpt2", "gpt_neox", "llama-grouped", "gemma2", "gptj", "falcon", "opt", "mpt"])
@pytest.mark.parametrize("foil", [None, "w8"])
def test_effects_equal_a_hook_that_zeroes_the_head(variant, foil) -> None:
    model = tiny_session(variant)
    module, arch = model.torch_module, model.architecture
    ids = torch.tensor([model.encode(TEXT)])

    def metric() -> float:
        with torch.no_grad():
            logits = module(ids, use_cache=False).logits[0, -1].double()
        return float(logits[7] - (logits.logsumexp(-1) if foil is None else logits[8]))

    frame = head_scores(model, TEXT, answer="w7", foil=foil)
    whole = metric()
    for layer in range(model.num_layers):
        projection = module.get_submodule(f"{arch.layers}.{layer}.{arch.heads_in}")
        for head in range(model.num_heads):

            def zero(_, inputs, head=head):
                x = inputs[0].clone()
                width = x.shape[-1] // model.num_heads
                x[..., head * width : (head + 1) * width] = 0
                return (x, *inputs[1:])

            handle = projection.register_forward_pre_hook(zero)
            expected = metric() - whole
            handle.remove()
            row = frame.row(by_predicate=(pl.col("layer") == layer) & (pl.col("head") == head), named=True)
            assert row["effect"] == pytest.approx(expected, abs=1e-4)


def test_effects_equal_those_of_ablation(toy) -> None:
    """The other way to the same numbers: the engine of patching, heads set to zero in the whole prompt."""
    frame = head_scores(toy, IOI, answer="mary", foil="john")
    other = iw.methods.ablation(toy, IOI, answer="mary", foil="john", positions=[(0, 14)], value="zero")
    for row in frame.iter_rows(named=True):
        same = other.filter(pl.col("site") == f"head_out.{row['layer']}.{row['head']}")
        assert same["effect"].item() == pytest.approx(row["effect"], abs=1e-4)


def test_small_batches_measure_the_same(toy) -> None:
    layers = list(range(toy.num_layers))
    whole = measure_effects(toy, IOI, layers, "mary", "john")
    pieces = measure_effects(toy, IOI, layers, "mary", "john", memory=1)
    assert torch.allclose(whole.effect, pieces.effect, atol=1e-4)
    assert whole.effect.isfinite().all()


def test_without_an_answer_the_models_own_prediction_is_taken(toy) -> None:
    predicted = int(toy.read(IOI, ["logits"])["logits"][-1].argmax())
    assert measure_effects(toy, IOI, [0], None).answer == predicted
    with pytest.raises(TextError, match="predicts the foil"):
        measure_effects(toy, IOI, [0], None, predicted)


def test_a_stop_between_layers_leaves_what_was_measured(toy) -> None:
    kept = []

    def stop(done, total, message="", partial=None):
        if partial is not None:
            kept[:] = [partial]
        if done >= toy.num_heads:
            raise Cancelled("enough")

    with pytest.raises(Cancelled):
        measure_effects(toy, IOI, list(range(toy.num_layers)), "mary", progress=stop)
    assert kept[0].effect[0].isfinite().all()
    assert kept[0].effect[1:].isnan().all()


def test_bad_questions_get_a_sentence(toy) -> None:
    with pytest.raises(TextError, match="foil needs an answer"):
        head_scores(toy, IOI, foil="john")
    with pytest.raises(TextError, match="both 'mary'"):
        head_scores(toy, IOI, answer="mary", foil="mary")
    with pytest.raises(TextError, match="exactly one token"):
        head_scores(toy, IOI, answer="mary john")
    with pytest.raises(SiteError, match="attn_implementation='eager'"):
        head_scores(iw.load(tiny.model("llama", attention="sdpa"), tokenizer=tiny.tokenizer()), TEXT)


@pytest.mark.smollm2
def test_smollm2_has_induction_heads_on_repeated_random_tokens(smollm2) -> None:
    """Fifty random tokens twice, as Olsson et al. measure it; and heads that look one back."""
    model = iw.load("smollm2-135m")
    generator = torch.Generator().manual_seed(0)
    once = torch.randint(1000, 40000, (50,), generator=generator).tolist()
    frame = head_scores(model, [*once, *once])
    assert frame["induction"].max() > 0.5
    assert frame["previous_token"].max() > 0.7
