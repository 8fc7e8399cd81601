"""GGUF to Hugging Face format: the same weights, the same logits, the same tokens."""

import numpy as np
import pytest
import torch
from transformers import AutoTokenizer, LlamaForCausalLM

from interp_widgets.errors import ModelUnavailable
from interp_widgets.session import gguf
from tests.session import tiny_gguf


def converted(tmp_path, source, **how):
    steps = []
    file = tiny_gguf.write(tmp_path / "tiny.gguf", source, **how)
    gguf.convert(file, tmp_path / "out", lambda done, total: steps.append((done, total)))
    assert steps[-1][0] == steps[-1][1] == len(steps)
    return LlamaForCausalLM.from_pretrained(tmp_path / "out", dtype="auto").eval()


@pytest.mark.parametrize("tied", [True, False])
def test_weights_and_logits_are_exactly_the_models(tmp_path, tied):
    source = tiny_gguf.model(tied)
    result = converted(tmp_path, source)

    expected, found = source.state_dict(), result.state_dict()
    assert expected.keys() == found.keys()
    assert all(torch.equal(expected[key], found[key]) for key in expected)
    assert {value.dtype for value in found.values()} == {torch.float32}
    ids = torch.arange(20)[None] + 5
    with torch.no_grad():
        # The one thing that GGUF rounds is the epsilon of the norms, to float32.
        torch.testing.assert_close(result(ids).logits, source(ids).logits, rtol=0, atol=1e-5)
    assert result.config.tie_word_embeddings is tied


def test_without_the_permutation_the_logits_would_differ(tmp_path, monkeypatch):
    """The test above can fail: the permutation matters and nothing else hides it."""
    monkeypatch.setattr(gguf, "unpermute", lambda weight, heads: weight)
    source = tiny_gguf.model()
    result = converted(tmp_path, source)
    ids = torch.arange(20)[None] + 5
    with torch.no_grad():
        assert (result(ids).logits - source(ids).logits).abs().max() > 1e-2


def test_quantised_tensors_are_within_half_a_step(tmp_path):
    source = tiny_gguf.model()
    expected = source.model.embed_tokens.weight.detach().numpy()
    found = converted(tmp_path, source, quantised=True).model.embed_tokens.weight.detach().numpy()
    step = np.abs(expected).max() / 127
    assert 0 < np.abs(found - expected).max() <= 0.51 * step


def test_the_tokenizer_comes_along(tmp_path):
    converted(tmp_path, tiny_gguf.model())
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "out")
    text = "the 日 <|im_end|>"
    ids = tokenizer(text)["input_ids"]
    assert tokenizer.convert_ids_to_tokens(ids)[0] == "th"
    assert ids[-1] == tokenizer.eos_token_id == 2
    assert tokenizer.decode(ids) == text


def test_another_architecture_is_refused_with_a_sentence(tmp_path):
    file = tiny_gguf.write(tmp_path / "other.gguf", tiny_gguf.model(), architecture="mamba")
    with pytest.raises(ModelUnavailable, match=r"'mamba'.*only 'llama'"):
        gguf.convert(file, tmp_path / "out")
    assert not (tmp_path / "out").exists()
