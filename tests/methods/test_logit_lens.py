"""The lens against hooks and written-out formulas in float64."""

from __future__ import annotations

from importlib import import_module

import polars as pl
import pytest
import torch

from interp_widgets import frames, methods
from interp_widgets.errors import Cancelled, SiteError, TextError
from interp_widgets.methods.logit_lens import ROWS, lens_frame, masked_positions, run_lens

from .conftest import IOI, tiny_session


@pytest.fixture(scope="module")
def expected(toy):
    """Logits of every layer by plain hooks: [layers, positions, vocabulary], float64."""
    streams, handles = [], []
    for layer in toy.torch_module.model.layers:
        handles.append(layer.register_forward_hook(lambda module, args, out: streams.append(out)))
    with torch.no_grad():
        output = toy.torch_module(torch.tensor([toy.encode(IOI)])).logits[0]
        logits = torch.stack([toy.torch_module.lm_head(toy.torch_module.model.norm(s))[0] for s in streams])
    for handle in handles:
        handle.remove()
    assert torch.equal(logits[-1], output)
    return logits.double()


@pytest.fixture(scope="module")
def frame(toy) -> pl.DataFrame:
    return methods.logit_lens(toy, IOI, track="mary")


def column(frame: pl.DataFrame, name: str, shape: tuple[int, ...]) -> torch.Tensor:
    return torch.tensor(frame.sort("layer", "position", "rank")[name].to_list(), dtype=torch.float64).reshape(shape)


def test_every_cell_equals_the_hooks(frame, expected) -> None:
    layers, positions, _ = expected.shape
    log_p = expected.log_softmax(-1)
    top = expected.topk(5)
    ids = column(frame, "token_id", (layers, positions, 5)).long()
    assert torch.equal(ids, top.indices)
    torch.testing.assert_close(column(frame, "logit", ids.shape), top.values, atol=1e-5, rtol=0)
    torch.testing.assert_close(column(frame, "probability", ids.shape), log_p.gather(-1, ids).exp(), atol=1e-6, rtol=0)
    entropy = -(log_p.exp() * log_p).sum(-1)
    kl = (log_p[-1].exp() * (log_p[-1] - log_p)).sum(-1)
    torch.testing.assert_close(column(frame, "entropy", ids.shape)[..., 0], entropy, atol=1e-5, rtol=0)
    torch.testing.assert_close(column(frame, "kl", ids.shape)[..., 0], kl, atol=2e-5, rtol=0)


def test_the_tracked_rank_counts_the_tokens_above(toy, frame, expected) -> None:
    mary = toy.single_token("mary")
    rank = (expected > expected[..., mary, None]).sum(-1) + 1
    assert torch.equal(column(frame, "tracked_rank", (*rank.shape, 5))[..., 0].long(), rank)


def test_the_last_row_is_the_models_output(toy, frame) -> None:
    last = frame.filter(pl.col("layer") == toy.num_layers - 1)
    logits = toy.read(IOI, ["logits"])["logits"]
    assert last.filter(pl.col("rank") == 1).sort("position")["token_id"].to_list() == logits.argmax(-1).tolist()
    assert last["kl"].max() < 1e-6


def test_without_a_tracked_token_its_rank_is_null(toy) -> None:
    assert methods.logit_lens(toy, "the cat", top_k=2)["tracked_rank"].is_null().all()


def test_chosen_layers_and_positions_are_the_same_rows(toy, frame) -> None:
    part = methods.logit_lens(toy, IOI, layers=[2, 0], positions=[3, 1], track="mary")
    whole = frame.filter(pl.col("layer").is_in([0, 2]) & pl.col("position").is_in([1, 3]))
    key = ["layer", "position", "rank"]
    for name in ("logit", "kl", "entropy"):
        difference = part.sort(key)[name] - whole.sort(key)[name]
        assert difference.abs().max() < 1e-5
    assert part["layer"].unique(maintain_order=True).to_list() == [2, 0]


def test_lines_are_the_probabilities_of_listed_tokens(toy, expected) -> None:
    run = run_lens(toy, IOI, lines=8)
    p = expected.softmax(-1)
    for position in range(p.shape[1]):
        for column_, token in enumerate(run.line_ids[position].tolist()):
            if token >= 0:
                torch.testing.assert_close(
                    run.line_probabilities[:, position, column_].double(), p[:, position, token], atol=2e-5, rtol=0
                )
    assert run.line_ids.shape[1] == 8


def test_a_line_asked_for_equals_the_hooks(toy, expected) -> None:
    token = toy.single_token("cabinet")
    lines = methods.lens_lines(toy, IOI, 14, [token, 5])
    assert lines["layer"].to_list() == [0, 1, 2, 3] * 2
    p = expected.softmax(-1)[:, 14]
    torch.testing.assert_close(
        torch.tensor(lines["probability"].to_list(), dtype=torch.float64),
        torch.cat([p[:, token], p[:, 5]]),
        atol=1e-6,
        rtol=0,
    )
    frames.check(lines, frames.LENS_LINES)


def test_many_positions_go_in_blocks(toy, monkeypatch, frame) -> None:
    monkeypatch.setattr(import_module("interp_widgets.methods.logit_lens"), "ROWS", 4)
    calls: list[tuple[int, int]] = []
    blocks = lens_frame(
        toy, run_lens(toy, IOI, track="mary", progress=lambda done, total, *_, **__: calls.append((done, total)))
    )
    assert blocks.select("token_id", "tracked_rank").equals(frame.select("token_id", "tracked_rank"))
    assert (blocks["kl"] - frame["kl"]).abs().max() < 1e-5
    assert calls == sorted(calls)
    assert calls[-1][0] == calls[-1][1]
    assert ROWS == 256


def test_progress_can_stop_it(toy) -> None:
    def stop(done: int, total: int, message: str = "", partial: object = None) -> None:
        raise Cancelled("Stopped.")

    with pytest.raises(Cancelled):
        methods.logit_lens(toy, IOI, progress=stop)
    assert len(methods.logit_lens(toy, "the cat"))


def test_bad_requests_get_a_sentence(toy) -> None:
    with pytest.raises(SiteError, match=r"Layers \[4\] are not all in 0\.\.3 of toy-grammar"):
        methods.logit_lens(toy, IOI, layers=[4])
    with pytest.raises(TextError, match=r"the text has 15 tokens"):
        methods.logit_lens(toy, IOI, positions=[15])
    with pytest.raises(TextError, match="top_k must lie between 1 and 573"):
        methods.logit_lens(toy, IOI, top_k=0)
    with pytest.raises(TextError, match="exactly one token"):
        methods.logit_lens(toy, IOI, track="mary john")


def test_the_start_marker_is_masked(toy) -> None:
    assert masked_positions(toy, run_lens(toy, IOI)) == [0]


def test_the_soft_cap_is_honoured() -> None:
    model = tiny_session("gemma2")
    assert model.softcap
    logits = model.read([3, 4, 5, 6], ["logits"])["logits"]
    last = methods.logit_lens(model, [3, 4, 5, 6], layers=[model.num_layers - 1], top_k=3)
    expected = logits.topk(3).values.flatten().tolist()
    assert last["logit"].to_list() == pytest.approx(expected, abs=1e-6)


@pytest.mark.smollm2
def test_on_smollm2_the_answer_is_paris_and_the_sink_is_masked(smollm2) -> None:
    import interp_widgets as iw

    model = iw.load("smollm2-135m")
    run = run_lens(model, "The Eiffel Tower is in the city of", track_output=True)
    assert model.text_of(run.tracked) == " Paris"
    assert run.top_probabilities[-1, -1, 0] == pytest.approx(0.656, abs=0.01)
    assert masked_positions(model, run) == [0]
    model.sink = False
    assert masked_positions(model, run) == [0]


@pytest.mark.parametrize("family", ["llama", "gemma2", "gptj"])
def test_tokens_have_the_same_logits_by_modules_alone(family) -> None:
    """As on a server that runs work apart from its weights; with a soft cap and with a bias, too."""
    model = tiny_session(family)
    ids = torch.tensor([[3, 4], [5, 6], [7, 3]])

    def both(seen):
        normed = torch.stack([model.final_norm(seen[f"resid_post.{layer}"][0]) for layer in range(model.num_layers)])
        return model.token_logits(normed, ids), model.gathered_logits(normed, ids)

    by_weights, by_module = model.run(
        [[3, 4, 5]], [f"resid_post.{layer}" for layer in range(model.num_layers)], then=both
    )
    assert by_weights.shape == (model.num_layers, 3, 2)
    assert torch.allclose(by_weights, by_module, atol=1e-5)
