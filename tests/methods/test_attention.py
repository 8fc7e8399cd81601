"""Attention: the frame equals what the model computed, and value weights equal numbers computed by hand."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
import torch

import interp_widgets as iw
from interp_widgets import frames
from interp_widgets.errors import SiteError, TextError
from interp_widgets.methods import attention, attention_run
from interp_widgets.methods.patterns import _norms_by_module, _value_norms, each_layer
from interp_widgets.session.places import envoy
from tests.methods.conftest import IOI, tiny_session, without_values
from tests.session import tiny

TEXT = "w3 w4 w5 w6 w3 w4 w5"


def pattern(frame: pl.DataFrame, layer: int, head: int, tokens: int, column: str = "weight") -> np.ndarray:
    """A head's weights as a square, zeros after the query."""
    rows = frame.filter(pl.col("layer") == layer, pl.col("head") == head)
    square = np.zeros((tokens, tokens))
    square[rows["position"].to_numpy(), rows["key_position"].to_numpy()] = rows[column].to_numpy()
    return square


def test_rows_sum_to_one_and_only_earlier_keys_are_listed(toy) -> None:
    frame = attention(toy, IOI)
    tokens = len(toy.encode(IOI))
    frames.check(frame, frames.ATTENTION)
    assert frame.height == toy.num_layers * toy.num_heads * tokens * (tokens + 1) // 2
    sums = frame.group_by("layer", "head", "position").agg(pl.col("weight").sum())
    assert (sums["weight"] - 1).abs().max() < 1e-6
    assert (frame["key_position"] <= frame["position"]).all()


@pytest.mark.parametrize("variant", tiny.VARIANTS)
def test_the_frame_equals_the_pattern_of_every_family(variant) -> None:
    model = tiny_session(variant)
    frame = attention(model, TEXT)
    for layer in range(model.num_layers):
        read = model.read(TEXT, [f"pattern.{layer}"])[f"pattern.{layer}"]
        for head in range(model.num_heads):
            assert pattern(frame, layer, head, 7) == pytest.approx(read[head].numpy(), abs=1e-7)


def test_tokens_stand_beside_their_positions(toy) -> None:
    frame = attention(toy, IOI, layers=[1], heads=[2], queries=[3, 10], keys=[0, 3, 9])
    tokens = toy.tokens(IOI)["token"]
    assert frame.select("position", "key_position").rows() == [(3, 0), (3, 3), (10, 0), (10, 3), (10, 9)]
    assert frame["token"].to_list() == [tokens[q] for q in frame["position"]]
    assert frame["key_token"].to_list() == [tokens[k] for k in frame["key_position"]]
    assert frame["key_token_id"].to_list() == [toy.encode(IOI)[k] for k in frame["key_position"]]
    whole = attention(toy, IOI)
    assert frame.equals(whole.join(frame.select("layer", "head", "position", "key_position"),
                                   on=["layer", "head", "position", "key_position"], how="semi"))  # fmt: skip


def test_no_key_before_a_query_gives_an_empty_frame_that_fits(toy) -> None:
    assert attention(toy, IOI, queries=[2], keys=[5]).is_empty()


@pytest.mark.parametrize(
    "variant", ["gpt2", "llama", "llama-grouped", "qwen3", "gemma2", "falcon", "falcon-new", "opt"]
)
def test_value_weights_are_the_lengths_of_what_each_key_adds(variant) -> None:
    """From the heads' own outputs: |weight v W_O| where the weight of one key is put to 1 by hand."""
    model = tiny_session(variant)
    frame = attention(model, TEXT, layers=[1], value_weighted=True)
    arch = model.architecture
    projection = model.torch_module.get_submodule(f"{arch.layers}.1.{arch.heads_in}")
    out = model.read(TEXT, ["head_out.1"])["head_out.1"]  # [tokens, heads, width]
    weights = torch.tensor(np.stack([pattern(frame, 1, h, 7) for h in range(model.num_heads)]))
    # The output is pattern @ values, and a causal pattern with a positive diagonal can be inverted.
    values = torch.linalg.solve_triangular(weights, out.double().transpose(0, 1), upper=False)
    for head in range(model.num_heads):
        alone = torch.zeros(7, model.num_heads, out.shape[-1])
        alone[:, head] = values[head].float()
        with torch.no_grad():
            added = projection(alone.flatten(1)) - projection(torch.zeros_like(alone.flatten(1)))
        expected = weights[head] * added.double().norm(dim=-1)
        assert pattern(frame, 1, head, 7, "value_weight") == pytest.approx(expected.numpy(), rel=2e-3, abs=1e-4)


def test_value_weights_of_grouped_heads_by_hand() -> None:
    """With `v_proj` and `o_proj` of a Llama whose four heads share two values."""
    model = tiny_session("llama-grouped")
    attn = model.torch_module.model.layers[0].self_attn
    embedded = model.read(TEXT, ["resid_pre.0"])["resid_pre.0"]
    with torch.no_grad():
        values = attn.v_proj(model.torch_module.model.layers[0].input_layernorm(embedded)).unflatten(-1, (2, 8))
    frame = attention(model, TEXT, layers=[0], value_weighted=True)
    for head in range(4):
        columns = attn.o_proj.weight[:, 8 * head : 8 * head + 8]  # what this head writes with
        length = (values[:, head // 2] @ columns.T).norm(dim=-1).detach().numpy()
        expected = pattern(frame, 0, head, 7) * length
        assert pattern(frame, 0, head, 7, "value_weight") == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("variant", tiny.VARIANTS)
def test_values_have_the_same_norms_by_modules_alone(variant) -> None:
    """As on a server that runs work apart from its weights."""
    model = tiny_session(variant)
    path = f"{model.architecture.layers}.1.{model.architecture.heads_in}"

    def both(seen):
        values = seen["v.1"][0]
        return _value_norms(model, 1, values), _norms_by_module(model, envoy(model._model, path), values)

    by_weights, by_module = model.run([model.encode(TEXT)], ["v.1"], then=both)
    assert torch.allclose(by_weights, by_module, atol=1e-5)
    assert by_weights.min() > 0


def test_a_model_whose_values_are_not_known_says_so_and_still_shows_its_weights() -> None:
    model = without_values()
    with pytest.raises(SiteError, match="which modules make queries, keys and values"):
        attention(model, TEXT, value_weighted=True)
    frame = attention(model, TEXT)
    assert frame["value_weight"].null_count() == frame.height


def test_a_model_whose_attention_cannot_be_read_says_how_to_load_it() -> None:
    model = iw.load(tiny.model("llama", attention="sdpa"), tokenizer=tiny.tokenizer())
    with pytest.raises(SiteError, match="attn_implementation='eager'"):
        attention(model, TEXT)


def test_bad_choices_get_a_sentence(toy) -> None:
    with pytest.raises(SiteError, match="Layers \\[4\\]"):
        attention(toy, IOI, layers=[4])
    with pytest.raises(SiteError, match="Heads \\[99\\]"):
        attention(toy, IOI, heads=[99])
    with pytest.raises(TextError, match="Positions \\[15\\]"):
        attention(toy, IOI, queries=[15])
    with pytest.raises(TextError, match="Positions \\[-1\\]"):
        attention(toy, IOI, keys=[-1])
    with pytest.raises(TextError, match="empty"):
        attention(toy, "")


@pytest.mark.parametrize("values", [False, True])
def test_a_pass_in_pieces_reads_the_same(values) -> None:
    """One layer at a time, in another order, and not from the first on."""
    model = tiny_session("llama-grouped")
    ids = model.encode(TEXT)
    seen: list[tuple[int, int, str]] = []

    def read(layers, memory):
        return each_layer(
            model, ids, layers, lambda layer: layer.value_norm if values else layer.pattern, values=values,
            memory=memory, progress=lambda done, total, message="", partial=None: seen.append((done, total, message)),
        )  # fmt: skip

    whole, pieces = read([0, 1], 10**9), read([1, 0], 1)
    assert torch.allclose(whole[0], pieces[1], atol=1e-6)
    assert torch.allclose(whole[1], pieces[0], atol=1e-6)
    assert torch.allclose(whole[1], read([1], 1)[0], atol=1e-6)
    assert [done for done, _, _ in seen] == [0, 2, 0, 1, 2, 0, 1]


def test_eight_bits_keep_small_weights_too() -> None:
    weight = torch.tensor([1.0, 0.5, 1 / 512, 1e-5, 0.0])
    back = (attention_run._eight_bits(weight).double() / 255) ** 2
    assert back.tolist() == pytest.approx(weight.tolist(), rel=0.1, abs=6e-6)
    assert (back - weight).abs()[:2].max() < 4e-3


def test_a_run_holds_the_triangles_of_the_pattern(toy) -> None:
    run = attention_run.run_attention(toy, IOI)
    whole = toy.read(IOI, ["pattern.2"])["pattern.2"]
    triangles = run.triangles[2]
    rows, columns = np.tril_indices(15)
    assert (triangles.bytes.double() / 255) ** 2 == pytest.approx(whole[:, rows, columns].double().numpy(), abs=4e-3)
    assert triangles.peak.tolist() == pytest.approx(whole[:, 1:, 1:].amax((1, 2)).tolist())
    weighted = attention_run.layer_triangles(toy, run.ids, 2, value_weighted=True)
    frame = attention(toy, IOI, layers=[2], heads=[1], value_weighted=True)
    assert (weighted.bytes[1].double() / 255) ** 2 * weighted.top[1] == pytest.approx(
        frame["value_weight"].to_numpy(), abs=4e-3 * float(weighted.top[1])
    )


def test_a_thumbnail_keeps_the_largest_weight_under_each_cell_and_leaves_key_0_out() -> None:
    pattern = torch.zeros(1, 48, 48)
    pattern[0, :, 0] = 1.0
    pattern[0, 40, 11] = 0.25
    small = attention_run.thumbnails(pattern, 24)[0]
    assert small.max() == round(255 * 0.25**0.5)
    assert small[20 * 21 // 2 + 5] == small.max()
    assert small.count_nonzero() == 1
    assert attention_run.thumbnails(torch.ones(3, 1, 1), 1).tolist() == [[255]] * 3  # one token: all there is


def test_what_does_not_fit_is_not_kept(monkeypatch, toy) -> None:
    monkeypatch.setattr(attention_run, "KEEP", 100)
    run = attention_run.run_attention(toy, IOI)
    assert run.triangles == {}
    assert run.thumbnails.shape == (toy.num_layers, toy.num_heads, 15 * 16 // 2)
