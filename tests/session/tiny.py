"""Tiny random models of every family in the architecture table, and a tokenizer for them: made in milliseconds, seeded."""

from __future__ import annotations

from typing import Any

import torch
import transformers
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

LAYERS, WIDTH, HEADS, VOCABULARY = 2, 32, 4, 100

_SIZES: dict[str, Any] = {
    "vocab_size": VOCABULARY,
    "hidden_size": WIDTH,
    "num_hidden_layers": LAYERS,
    "num_attention_heads": HEADS,
    "intermediate_size": 48,
    "max_position_embeddings": 32,
    "bos_token_id": 1,
    "eos_token_id": 1,
    "pad_token_id": 0,
}
_GROUPED: dict[str, Any] = {**_SIZES, "num_key_value_heads": 2}
_GEMMA: dict[str, Any] = {**_GROUPED, "head_dim": 12, "query_pre_attn_scalar": 12}
_GPT2: dict[str, Any] = {
    "vocab_size": VOCABULARY,
    "n_embd": WIDTH,
    "n_layer": LAYERS,
    "n_head": HEADS,
    "n_positions": 32,
    "bos_token_id": 1,
    "eos_token_id": 1,
}
_FALCON: dict[str, Any] = {**{key: _SIZES[key] for key in _SIZES if key != "intermediate_size"}, "ffn_hidden_size": 64}

CONFIGS: dict[str, tuple[str, dict[str, Any]]] = {
    "gpt2": ("GPT2", _GPT2),
    "gpt_neox": ("GPTNeoX", {**_SIZES, "use_parallel_residual": True}),
    "gpt_neox-sequential": ("GPTNeoX", {**_SIZES, "use_parallel_residual": False}),
    "llama": ("Llama", _SIZES),
    "llama-grouped": ("Llama", _GROUPED),
    "mistral": ("Mistral", {**_GROUPED, "sliding_window": 4}),
    "qwen2": ("Qwen2", _GROUPED),
    "qwen3": ("Qwen3", {**_GROUPED, "head_dim": 12}),
    "gemma2": (
        "Gemma2",
        {**_GEMMA, "final_logit_softcapping": 0.5, "attn_logit_softcapping": 2.0, "sliding_window": 4},
    ),
    "gemma3_text": (
        "Gemma3",
        {**_GEMMA, "sliding_window": 4, "layer_types": ["sliding_attention", "full_attention"]},
    ),
    "opt": ("OPT", {**_SIZES, "ffn_dim": 48, "word_embed_proj_dim": WIDTH}),
    "phi": ("Phi", {**_GROUPED, "tie_word_embeddings": False}),
    "gptj": ("GPTJ", {**_GPT2, "rotary_dim": 4, "tie_word_embeddings": False}),
    "mpt": (
        "Mpt",
        {"d_model": WIDTH, "n_heads": HEADS, "n_layers": LAYERS, "max_seq_len": 32, "vocab_size": VOCABULARY},
    ),
    "falcon": ("Falcon", {**_FALCON, "multi_query": True, "parallel_attn": True}),
    "falcon-new": ("Falcon", {**_FALCON, "new_decoder_architecture": True, "num_kv_heads": 2}),
    "falcon-new-one-norm": (
        "Falcon",
        {**_FALCON, "new_decoder_architecture": True, "num_kv_heads": 1, "num_ln_in_parallel_attn": 1},
    ),
    "falcon-sequential": ("Falcon", {**_FALCON, "multi_query": False, "parallel_attn": False, "alibi": True}),
}
"""Name of a variant -> the stem of its classes in transformers, and the arguments of its configuration."""

VARIANTS = tuple(CONFIGS)
PARALLEL = ("gpt_neox", "phi", "gptj", "falcon", "falcon-new", "falcon-new-one-norm")
"""Attention and MLP read the same stream, so there is no stream between them."""


def config(variant: str, **changes: Any) -> transformers.PretrainedConfig:
    """The configuration of a variant."""
    stem, arguments = CONFIGS[variant]
    name = "Gemma3TextConfig" if stem == "Gemma3" else f"{stem}Config"
    return getattr(transformers, name)(**(arguments | changes))


def model(variant: str, seed: int = 0, attention: str = "eager", **changes: Any) -> torch.nn.Module:
    """A model of a variant: float32, eval mode, every parameter random (norms and biases too, so that none is a no-op)."""
    made = config(variant, **changes)
    made._attn_implementation = attention
    stem = CONFIGS[variant][0]
    module = getattr(transformers, "GPT2LMHeadModel" if stem == "GPT2" else f"{stem}ForCausalLM")(made)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in module.named_parameters():
            noise = torch.randn(parameter.shape, generator=generator)
            parameter.copy_(noise * 0.2 + (1.0 if "norm" in name and name.endswith("weight") else 0.0))
    return module.eval()


def tokenizer() -> PreTrainedTokenizerFast:
    """Whole words only: <pad>, <s>, <unk>, then w3 to w99 for the ids 3 to 99."""
    words = {"<pad>": 0, "<s>": 1, "<unk>": 2} | {f"w{i}": i for i in range(3, VOCABULARY)}
    backend = Tokenizer(models.WordLevel(words, unk_token="<unk>"))
    backend.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return PreTrainedTokenizerFast(tokenizer_object=backend, pad_token="<pad>", bos_token="<s>", unk_token="<unk>")
