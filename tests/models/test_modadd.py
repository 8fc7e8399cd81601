"""modadd-59 as a causal language model: the same function as the class it was trained with."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from interp_widgets.errors import ModelError, TextError
from interp_widgets.lab import modadd

ASSET = Path(modadd.__file__).parents[1] / "assets" / "modadd-59"


@pytest.fixture(scope="module")
def loaded():
    torch.set_num_threads(1)
    return modadd.load(ASSET)


@pytest.fixture(scope="module")
def pairs():
    every = torch.cartesian_prod(torch.arange(59), torch.arange(59))
    return torch.cat([every, torch.full((len(every), 1), 59)], dim=1)


def as_trained(ids):
    """The forward pass of the training script, written with the original keys and only the last position."""
    w = load_file(ASSET / "model.safetensors")
    z = w["E"][ids] + w["P"]
    b, t, d = z.shape
    q, k, v = (z @ w["qkv.weight"].T).view(b, t, 3, 4, d // 4).permute(2, 0, 3, 1, 4)
    pattern = ((q[:, :, -1:] @ k.transpose(-1, -2)) / (d // 4) ** 0.5).softmax(-1)
    y = z[:, -1] + (pattern @ v).transpose(1, 2).reshape(b, d) @ w["o.weight"].T
    hidden = torch.relu(y @ w["u.weight"].T + w["u.bias"])
    return (y + hidden @ w["w.weight"].T + w["w.bias"]) @ w["out.weight"].T, pattern


@torch.no_grad()
def test_logits_of_all_pairs_equal_the_original_and_are_right(loaded, pairs):
    model, _ = loaded
    expected, _ = as_trained(pairs)
    logits = model(pairs).logits
    assert logits.shape == (3481, 3, 59)
    assert (logits[:, -1] - expected).abs().max() <= 1e-5 * expected.abs().max()
    right = logits[:, -1].argmax(-1) == pairs[:, :2].sum(1) % 59
    assert right.float().mean().item() == pytest.approx(0.9989, abs=5e-5)


@torch.no_grad()
def test_attention_returns_its_pattern(loaded, pairs):
    model, _ = loaded
    seen = {}
    hook = model.model.layers[0].self_attn.register_forward_hook(lambda *call: seen.update(pattern=call[-1][1]))
    model(pairs[:5])
    hook.remove()
    torch.testing.assert_close(seen["pattern"][:, :, -1:], as_trained(pairs[:5])[1])
    assert not seen["pattern"].triu(1).any()


@torch.no_grad()
def test_a_layer_returns_the_bare_stream_and_the_norm_does_nothing(loaded, pairs):
    model, _ = loaded
    seen = {}
    model.model.layers[0].register_forward_hook(lambda m, i, out: seen.update(layer=out))
    logits = model(pairs[:2]).logits
    model.model.layers[0]._forward_hooks.clear()
    assert isinstance(model.model.norm, nn.Identity)
    assert torch.equal(model.lm_head(seen["layer"]), logits)


def test_three_words_are_three_tokens_with_their_places(loaded):
    _, tokenizer = loaded
    encoded = tokenizer("12 30 =", return_offsets_mapping=True)
    assert encoded["input_ids"] == [12, 30, 59]
    assert encoded["offset_mapping"] == [(0, 2), (3, 5), (6, 7)]
    assert tokenizer.decode([42]) == "42"


@pytest.mark.parametrize("text", ["12 + 30 =", "59 1 =", "hello"])
def test_an_unknown_word_is_refused_with_a_sentence(loaded, text):
    with pytest.raises(TextError, match="numbers 0 to 58"):
        loaded[1](text)


def test_more_than_three_tokens_are_refused_with_a_sentence(loaded):
    with pytest.raises(TextError, match=r"reads 3 tokens.*given 4"):
        loaded[0](torch.tensor([[1, 2, 3, 59]]))


@torch.no_grad()
def test_padding_changes_nothing_for_what_comes_before_it(loaded):
    model, _ = loaded
    padded = model(torch.tensor([[3, 4, 59]]), attention_mask=torch.tensor([[1, 1, 0]])).logits
    torch.testing.assert_close(padded[:, :2], model(torch.tensor([[3, 4]])).logits)
    assert model(torch.tensor([[3, 4, 59]]), attention_mask=torch.tensor([[0, 1, 1]])).logits.isfinite().all()


@torch.no_grad()
def test_only_the_last_logits_can_be_asked_for(loaded):
    ids = torch.tensor([[3, 4, 59]])
    torch.testing.assert_close(loaded[0](ids, logits_to_keep=1).logits, loaded[0](ids).logits[:, -1:])


def test_generate_gives_the_sum(loaded):
    model, tokenizer = loaded
    answer = model.generate(**tokenizer("12 30 =", return_tensors="pt"), max_new_tokens=1, do_sample=False)
    assert tokenizer.decode(answer[0, -1:]) == "42"


def test_a_folder_without_the_files_is_refused(tmp_path):
    with pytest.raises(ModelError, match=r"config\.json and model\.safetensors"):
        modadd.load(tmp_path)
