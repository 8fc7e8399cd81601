"""Agreement against hooks and written-out formulas in float64, closed forms, and sessions that are the same."""

from __future__ import annotations

from copy import deepcopy
from importlib import import_module
from typing import Any

import polars as pl
import pytest
import torch

import interp_widgets as iw
from interp_widgets import frames, methods
from interp_widgets.errors import Cancelled, FrameError, SiteError, TextError
from interp_widgets.methods.agreement import TIE, differences, run_agreement, verdicts
from interp_widgets.methods.agreement_run import AgreementRun
from tests.session import tiny

from .conftest import IOI

IDS = [3, 14, 15, 9, 26, 5, 35]


class Away:
    """A session whose model is elsewhere: it answers as ever, but hands out no module, and counts what travels."""

    torch_module = None
    apart = True

    def __init__(self, session: iw.Session) -> None:
        self._session, self.sent = session, 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._session, name)

    def run(self, *args: Any, **options: Any) -> Any:
        out = self._session.run(*args, **options)
        self.sent += size(out)
        return out


def size(value: Any) -> int:
    """Bytes of all tensors in a value."""
    if isinstance(value, torch.Tensor):
        return value.numel() * value.element_size()
    return sum(map(size, value.values() if isinstance(value, dict) else value))


@pytest.fixture(scope="module")
def half() -> iw.Session:
    return iw.load("toy-grammar", dtype="bfloat16")


@pytest.fixture(scope="module")
def pair() -> tuple[iw.Session, iw.Session]:
    """A tiny random model with many likely tokens, and the same with noise in its weights."""
    return noisy("llama", 0.0), noisy("llama", 0.3)


def noisy(variant: str, noise: float, **changes: Any) -> iw.Session:
    torch.manual_seed(5)
    module = tiny.model(variant, vocab_size=3000, **changes)
    with torch.no_grad():
        for weight in module.parameters():
            weight += noise * weight.std(unbiased=False) * torch.randn_like(weight)
    return iw.load(module, tokenizer=tiny.tokenizer(), name=f"{variant} {noise}")


def by_hooks(session: iw.Session, ids: list[int]) -> tuple[torch.Tensor, torch.Tensor]:
    """Streams [L, P, width] and logits [L, P, vocabulary] of every layer, float64, by hooks on a Llama and its own head."""
    module, streams, handles = session.torch_module, [], []
    for layer in module.model.layers:
        handles.append(layer.register_forward_hook(lambda _, __, out: streams.append(out[0])))
    with torch.no_grad():
        module(torch.tensor([ids]))
        logits = torch.stack([module.lm_head(module.model.norm(stream)) for stream in streams])
    for handle in handles:
        handle.remove()
    return torch.stack(streams).double(), logits.double()


def column(frame: pl.DataFrame, name: str, layers: int) -> torch.Tensor:
    return torch.tensor(frame.sort("layer", "position")[name].to_list(), dtype=torch.float64).reshape(layers, -1)


def check_by_hooks(model: iw.Session, other: iw.Session, ids: list[int], frame: pl.DataFrame) -> None:
    """Every number of a frame, from the definitions."""
    (streams, logits), (their_streams, their_logits) = by_hooks(model, ids), by_hooks(other, ids)
    count = len(streams)
    p, q = logits.softmax(-1), their_logits.softmax(-1)
    expected = {
        "total_variation": (p - q).abs().sum(-1) / 2,
        "logit_difference": (logits - their_logits).abs().amax(-1),
        "residual_difference": (streams - their_streams).norm(dim=-1) / streams.norm(dim=-1),
        "probability": p.amax(-1),
        "other_probability": q.amax(-1),
        "margin": p.topk(2).values @ torch.tensor([1.0, -1.0], dtype=torch.float64),
        "other_margin": q.topk(2).values @ torch.tensor([1.0, -1.0], dtype=torch.float64),
    }
    for name, values in expected.items():
        torch.testing.assert_close(column(frame, name, count), values, atol=3e-6, rtol=1e-5, msg=name)
    mine, theirs = (column(frame, name, count).long() for name in ("token_id", "other_token_id"))
    for ids_, own in ((mine, p), (theirs, q)):  # bfloat16 has exact ties, of which any token may stand first
        assert torch.equal(own.gather(-1, ids_[..., None])[..., 0], own.amax(-1))
    same = column(frame, "agrees", count).bool()
    assert torch.equal(same, mine == theirs)
    shares = torch.minimum(
        p.gather(-1, theirs[..., None])[..., 0] / p.amax(-1), q.gather(-1, mine[..., None])[..., 0] / q.amax(-1)
    )
    assert torch.equal(column(frame, "near_tie", count).bool(), ~same & (shares >= TIE))
    assert frame["total_variation_error"].unique().to_list() == [0.0]


def test_every_number_equals_the_hooks_in_two_dtypes(toy, half) -> None:
    frame = methods.agreement(toy, half, IOI)
    frames.check(frame, frames.AGREEMENT)
    check_by_hooks(toy, half, toy.encode(IOI), frame)
    assert 1e-4 < frame["total_variation"].max() < 0.1
    assert frame["masked"].to_list() == [p == 0 for p in frame["position"]]


def test_every_number_equals_the_hooks_where_much_differs(pair) -> None:
    frame = methods.agreement(*pair, IDS)
    check_by_hooks(*pair, IDS, frame)
    assert frame["total_variation"].max() > 0.1
    assert not frame["agrees"].all()


def test_the_same_module_twice_agrees_to_the_bit(toy) -> None:
    again = iw.load(toy.torch_module, tokenizer=toy.tokenizer)
    frame = methods.agreement(toy, again, IOI)
    for name in ("total_variation", "logit_difference", "residual_difference"):
        assert frame[name].unique().to_list() == [0.0], name
    assert frame["agrees"].all()
    assert not frame["near_tie"].any()
    assert methods.agreement_summary(frame)["share"].to_list() == [1.0, 1.0]


@pytest.mark.parametrize("factor", [1.0, 1.5, -1.0])
def test_two_tokens_have_a_closed_form(factor: float) -> None:
    """With logits (a, b), p is sigmoid(a - b); scaling the head by c makes it sigmoid(c (a - b))."""
    module = tiny.model("llama", vocab_size=2, tie_word_embeddings=False)
    scaled = deepcopy(module)
    with torch.no_grad():
        module.lm_head.weight *= 20
        scaled.lm_head.weight.copy_(factor * module.lm_head.weight)
    model, other = (iw.load(m, tokenizer=tiny.tokenizer()) for m in (module, scaled))
    _, logits = by_hooks(model, [0, 1, 1, 0])
    z = logits[..., 0] - logits[..., 1]
    frame = methods.agreement(model, other, [0, 1, 1, 0])
    expected = (torch.sigmoid(z) - torch.sigmoid(factor * z)).abs()
    torch.testing.assert_close(column(frame, "total_variation", 2), expected, atol=1e-6, rtol=1e-5)
    assert frame["residual_difference"].unique().to_list() == [0.0]
    assert frame["agrees"].unique().to_list() == [factor > 0]
    if factor == -1.0:
        assert expected.max() > 0.2
        torch.testing.assert_close(column(frame, "margin", 2), column(frame, "other_margin", 2))


def test_the_order_of_the_sessions_does_not_matter(pair) -> None:
    one, two = methods.agreement(*pair, IDS), methods.agreement(*reversed(pair), IDS)
    for name in ("total_variation", "logit_difference"):
        assert (one[name] - two[name]).abs().max() < 2e-6
    assert one["other_token_id"].equals(two["token_id"].rename("other_token_id"))
    assert one["margin"].equals(two["other_margin"].rename("margin"))


def test_a_sample_estimates_it_without_bias_and_says_how_well(pair) -> None:
    exact = methods.agreement(*pair, IDS)
    estimates = [methods.agreement(*pair, IDS, sampled=True, seed=seed) for seed in range(200)]
    values = torch.tensor([frame["total_variation"].to_list() for frame in estimates], dtype=torch.float64)
    errors = torch.tensor([frame["total_variation_error"].to_list() for frame in estimates], dtype=torch.float64)
    truth = torch.tensor(exact["total_variation"].to_list(), dtype=torch.float64)
    off = (values.mean(0) - truth) / (values.std(0) / len(values) ** 0.5)
    assert off.abs().max() < 4, "the mean of 200 samples is the exact value"
    torch.testing.assert_close(errors.mean(0), values.std(0), rtol=0.2, atol=0)
    assert errors.min() > 0
    assert errors.max() < 0.05
    for name in ("token_id", "other_token_id", "agrees", "probability", "residual_difference"):
        assert estimates[0][name].equals(exact[name]), name
    assert (estimates[0]["logit_difference"] <= exact["logit_difference"] + 1e-6).all()
    assert estimates[0].equals(methods.agreement(*pair, IDS, sampled=True))
    assert not estimates[0].equals(estimates[1])


def test_a_small_vocabulary_is_always_compared_whole(toy, half) -> None:
    model, other = (iw.load(tiny.model("llama"), tokenizer=tiny.tokenizer()) for _ in range(2))
    assert run_agreement(model, other, IDS, sampled=True).compared is None
    assert run_agreement(toy, half, IOI, sampled=True).compared == 256


@pytest.mark.parametrize("where", ["model", "other", "both"])
def test_with_a_model_elsewhere_only_results_travel(pair, where: str) -> None:
    here, there = pair
    model = Away(here) if where != "other" else here
    other = Away(there) if where != "model" else there
    frame = methods.agreement(model, other, IDS, seed=3)
    run = methods.agreement(*pair, IDS, sampled=True, seed=3)
    exact = methods.agreement(*pair, IDS)
    assert (frame["total_variation_error"] > 0).all()
    if where != "model":  # the first session draws, and that is `other` if only `model` is elsewhere
        assert frame.equals(run)
    assert ((frame["total_variation"] - exact["total_variation"]).abs() < 5 * frame["total_variation_error"]).all()
    same = ["token_id", "probability", "other_token_id", "other_margin", "agrees", "near_tie", "residual_difference"]
    for name in same:
        if frame.schema[name] == pl.Float64:
            assert (frame[name] - exact[name]).abs().max() < 1e-6, name
        else:
            assert frame[name].equals(exact[name]), name
    cells = here.num_layers * len(IDS)
    second = other if where != "model" else model
    assert second.sent < cells * 400, "a few numbers and short lists a cell"
    if where == "both":
        assert model.sent < cells * (256 * 8 + 4 * here.width + 200), "listed tokens and the streams"


def test_lists_of_a_model_elsewhere_stand_on_their_side(pair) -> None:
    exact = methods.agreement_tokens(*pair, IDS)
    frame = methods.agreement_tokens(Away(pair[0]), pair[1], IDS)
    assert frame["token_id"].equals(exact["token_id"])
    known = frame.filter(pl.col("probability_there").is_not_null())
    assert known["session"].n_unique() == 2
    both = known.join(exact, on=["layer", "position", "session", "rank"])
    for name in ("probability", "probability_there"):
        assert (both[name] - both[f"{name}_right"]).abs().max() < 1e-6


def test_a_near_tie_is_one_in_both_sessions() -> None:
    """What a session gives the other's token, as a share of what it gives its own: 0.6, 0.98; 0.8, 0.9; 0.9, 0.7."""
    tops = torch.tensor([[[[0.5], [0.5], [0.5]]], [[[0.40], [0.40], [0.40]]]])
    there = torch.tensor([[[[0.392], [0.36], [0.28]]], [[[0.30], [0.40], [0.45]]]])
    zeros = torch.zeros(1, 3)
    run = AgreementRun(
        pl.DataFrame(), [0], [0, 1, 2], torch.tensor([[[[1], [1], [1]]], [[[2], [2], [2]]]]), tops, there,
        zeros, zeros, zeros, zeros, [], None,
    )  # fmt: skip
    same, near = verdicts(run)
    assert same.tolist() == [[False] * 3]
    assert near.tolist() == [[False, True, False]]


def test_what_is_not_among_the_compared_tokens_is_null_and_no_tie(pair) -> None:
    exact = methods.agreement_tokens(*pair, IDS, top_k=20)
    frame = methods.agreement_tokens(*pair, IDS, top_k=20, sampled=True)
    frames.check(frame, frames.AGREEMENT_TOKENS)
    assert frame["probability_there"].null_count() > 0
    assert frame.filter(session="model")["probability_there"].null_count() == 0
    known = frame["probability_there"].is_not_null()
    assert (frame["probability_there"] - exact["probability_there"]).filter(known).abs().max() < 1e-6
    assert frame.drop("probability_there").equals(exact.drop("probability_there"))


def test_the_lists_are_those_of_the_lens(toy, half) -> None:
    lists = methods.agreement_tokens(toy, half, IOI, top_k=3)
    for name, session in (("model", toy), ("other", half)):
        lens = methods.logit_lens(session, IOI, top_k=3).sort("layer", "position", "rank")
        mine = lists.filter(session=name)
        assert mine["probability"].to_list() == pytest.approx(lens["probability"].to_list(), abs=2e-6)
        if name == "model":
            assert mine["token_id"].equals(lens["token_id"])
    wide = lists.pivot("session", index=["layer", "position", "token_id"], values=["probability", "probability_there"])
    both = wide.drop_nulls()
    assert len(both) > 50
    assert both["probability_model"].to_list() == both["probability_there_other"].to_list()


def test_many_positions_go_in_blocks(pair, monkeypatch) -> None:
    whole = methods.agreement(*pair, IDS)
    monkeypatch.setattr(import_module("interp_widgets.methods.agreement_run"), "NUMBERS", 2 * 2 * 3000)
    calls: list[tuple[int, int]] = []
    blocks = methods.agreement(*pair, IDS, progress=lambda done, total, *_, **__: calls.append((done, total)))
    assert calls == [(i, 8) for i in (0, 1, 2, 3, 4, 5, 6, 7, 8)]
    assert blocks.select("layer", "position", "token_id").equals(whole.select("layer", "position", "token_id"))
    assert (blocks["total_variation"] - whole["total_variation"]).abs().max() < 1e-6


def test_chosen_layers_and_positions_are_the_same_rows(toy, half) -> None:
    part = methods.agreement(toy, half, IOI, layers=[3, 1], positions=[5, 2])
    whole = methods.agreement(toy, half, IOI)
    assert part.select("layer", "position").rows() == [(3, 5), (3, 2), (1, 5), (1, 2)]
    joined = part.join(whole, on=["layer", "position"])
    assert (joined["total_variation"] - joined["total_variation_right"]).abs().max() < 1e-6
    assert joined["token_id"].equals(joined["token_id_right"].rename("token_id"))


def test_of_models_with_other_depth_and_width_only_the_outputs_are_compared(pair) -> None:
    model = pair[0]
    other = noisy("llama", 0.0, num_hidden_layers=3, hidden_size=16)
    said = differences(model, other)
    assert "has 2 layers and llama 0.0 3, so only the outputs are compared" in said[0]
    assert "widths 32 and 16" in said[1]
    assert len(said) == 2
    frame = methods.agreement(model, other, IDS)
    assert frame["layer"].unique().to_list() == [1]
    assert frame["residual_difference"].null_count() == len(IDS)
    p, q = (by_hooks(session, IDS)[1][-1].softmax(-1) for session in (model, other))
    expected = (p - q).abs().sum(-1) / 2
    torch.testing.assert_close(column(frame, "total_variation", 1)[0], expected, atol=1e-6, rtol=1e-5)
    away = methods.agreement(Away(model), other, IDS)
    assert away.select("layer", "token_id", "other_token_id").equals(
        frame.select("layer", "token_id", "other_token_id")
    )
    with pytest.raises(SiteError, match=r"only the outputs can be compared: layers=\[1\]"):
        methods.agreement(model, other, IDS, layers=[0])
    assert differences(model, model) == []


@pytest.mark.parametrize("sampled", [False, True])
@pytest.mark.parametrize("wider_first", [False, True])
def test_a_token_that_one_vocabulary_lacks_has_probability_0_there(sampled: bool, wider_first: bool) -> None:
    torch.manual_seed(1)
    wide = tiny.model("llama", vocab_size=3100, tie_word_embeddings=False)
    torch.manual_seed(1)
    narrow = tiny.model("llama", vocab_size=3000, tie_word_embeddings=False)
    narrow.load_state_dict({name: x[:3000] if x.shape[0] == 3100 else x for name, x in wide.state_dict().items()})
    model, other = (iw.load(module, tokenizer=tiny.tokenizer()) for module in (wide, narrow))
    _, logits = by_hooks(model, IDS)
    lost = logits.softmax(-1)[..., 3000:].sum(-1)  # what the narrow one shares among the rest
    frame = methods.agreement(*((model, other) if wider_first else (other, model)), IDS, sampled=sampled)
    tolerance = 1e-6 + 5 * column(frame, "total_variation_error", 2)
    assert ((column(frame, "total_variation", 2) - lost).abs() < tolerance).all()
    assert frame["logit_difference"].max() < 1e-5
    assert "3000" in differences(model, other)[0]


def test_other_tokens_are_refused(toy) -> None:
    with pytest.raises(
        TextError, match=r"as different tokens: at position 0 one has '<s>' \(id 1\), the other '<unk>'"
    ):
        methods.agreement(toy, iw.load(tiny.model("llama"), tokenizer=tiny.tokenizer()), "when mary")
    shorter = iw.load(toy.torch_module, tokenizer=toy.tokenizer, name="same")
    shorter.encode = lambda text: toy.encode(text)[:2]  # type: ignore[method-assign]
    with pytest.raises(TextError, match=r"at position 2 one has 'mary' \(id \d+\), the other nothing"):
        methods.agreement(toy, shorter, "when mary")


def test_bad_requests_get_a_sentence(toy, half) -> None:
    with pytest.raises(TextError, match="the text has 15 tokens"):
        methods.agreement(toy, half, IOI, positions=[15])
    with pytest.raises(SiteError, match=r"Layers \[4\]"):
        methods.agreement(toy, half, IOI, layers=[4])
    with pytest.raises(TextError, match="text is empty"):
        methods.agreement(toy, half, "")
    with pytest.raises(TextError, match="top_k must lie between 1 and 64, not 65"):
        methods.agreement_tokens(toy, half, IOI, top_k=65)
    with pytest.raises(FrameError, match="margin is missing"):
        methods.agreement_summary(methods.logit_lens(toy, "the cat"))

    def stop(done: int, total: int, message: str = "", partial: object = None) -> None:
        raise Cancelled("Stopped.")

    with pytest.raises(Cancelled):
        methods.agreement(toy, half, IOI, progress=stop)


@pytest.mark.parametrize("sampled", [False, True])
def test_what_overflows_is_null_and_does_not_agree(pair, sampled: bool) -> None:
    broken = deepcopy(pair[0].torch_module)
    with torch.no_grad():
        broken.lm_head.weight[7] = torch.inf
    other = iw.load(broken, tokenizer=tiny.tokenizer())
    for sessions in ((pair[0], other), (other, pair[0]), (other, other)):
        frame = methods.agreement(*sessions, IDS, positions=[2, 3], layers=[1], sampled=sampled)
        assert frame["total_variation"].null_count() == 2
        assert not frame["agrees"].any()
        summary = methods.agreement_summary(frame)
        assert summary["worst_layer"].to_list() == [None, None]
        assert summary["share"].to_list() == [0.0, 0.0]


def test_the_summary_leaves_out_what_is_masked_and_counts_the_rest(toy, half) -> None:
    frame = methods.agreement(toy, half, IOI)
    frame = frame.with_columns(
        total_variation=pl.when((pl.col("layer") == 1) & (pl.col("position") == 4)).then(0.9)
        .when(pl.col("position") == 0).then(1.0).otherwise("total_variation"),
        agrees=~((pl.col("layer") == 1) & (pl.col("position") == 4)) & (pl.col("position") > 0),
    )  # fmt: skip
    every, output = methods.agreement_summary(frame).rows(named=True)
    assert (every["part"], every["cells"], every["agreeing"], every["share"]) == ("all", 56, 55, 55 / 56)
    assert (every["worst"], every["worst_layer"], every["worst_position"]) == (0.9, 1, 4)
    assert (output["part"], output["cells"], output["agreeing"], output["worst_layer"]) == ("output", 14, 14, 3)
    rest = frame.filter(pl.col("position") > 0)["total_variation"]
    assert every["median"] == rest.median()


def test_only_masked_cells_have_no_summary(toy, half) -> None:
    summary = methods.agreement_summary(methods.agreement(toy, half, IOI, positions=[0]))
    assert summary["cells"].to_list() == [0, 0]
    assert summary["share"].to_list() == [None, None]


@pytest.mark.smollm2
@pytest.mark.slow
def test_on_smollm2_bfloat16_differs_by_its_rounding(smollm2) -> None:
    model, other = iw.load("smollm2-135m"), iw.load("smollm2-135m", dtype="bfloat16")
    text = "The Eiffel Tower is in the city of Paris, and the Colosseum is in"
    frame = methods.agreement(model, other, text)
    check_by_hooks(model, other, model.encode(text), frame)
    every, output = methods.agreement_summary(frame).rows(named=True)
    assert every["share"] > 0.95
    assert every["agreeing"] + every["near_ties"] == every["cells"], "what disagrees is a near tie"
    assert 0.003 < every["median"] < 0.03
    assert every["worst"] < 0.15
    assert 0.003 < every["residual"] < 0.03
    sample = methods.agreement(model, other, text, sampled=True)
    assert (
        (sample["total_variation"] - frame["total_variation"]).abs() < 5 * sample["total_variation_error"] + 1e-5
    ).all()
    assert output["cells"] == len(model.encode(text)) - 1
