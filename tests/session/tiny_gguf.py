"""A tiny Llama as a GGUF file, written the way llama.cpp's own converter writes one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from gguf import GGMLQuantizationType, GGUFWriter
from gguf.quants import quantize
from transformers import LlamaConfig, LlamaForCausalLM

NAMES = {
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
    "input_layernorm": "attn_norm",
    "post_attention_layernorm": "ffn_norm",
}
SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]


def model(tied: bool = True) -> LlamaForCausalLM:
    """A random Llama with grouped-query attention, so that queries and keys have different numbers of heads."""
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(tokens()),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=8,
        max_position_embeddings=64,
        rms_norm_eps=1e-5,
        rope_parameters={"rope_type": "default", "rope_theta": 5000.0},
        tie_word_embeddings=tied,
        initializer_range=0.3,
    )
    return LlamaForCausalLM(config).eval()


def tokens() -> list[str]:
    """Specials, GPT-2's byte alphabet, and one merge."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    rest = [0x100 + i for i in range(256 - len(printable))]
    return [*SPECIAL, *(chr(c) for c in printable + rest), "th"]


def write(path: Path, source: LlamaForCausalLM, architecture: str = "llama", quantised: bool = False) -> Path:
    """Write `source` to `path`; `quantised` stores the embedding as Q8_0."""
    config = source.config
    out = GGUFWriter(path, architecture)
    out.add_block_count(config.num_hidden_layers)
    out.add_context_length(config.max_position_embeddings)
    out.add_embedding_length(config.hidden_size)
    out.add_feed_forward_length(config.intermediate_size)
    out.add_head_count(config.num_attention_heads)
    out.add_head_count_kv(config.num_key_value_heads)
    out.add_layer_norm_rms_eps(config.rms_norm_eps)
    out.add_rope_freq_base(config.rope_parameters["rope_theta"])
    out.add_rope_dimension_count(config.head_dim)
    out.add_vocab_size(config.vocab_size)
    out.add_tokenizer_model("gpt2")
    out.add_tokenizer_pre("smollm")
    out.add_token_list(tokens())
    out.add_token_types([3] * len(SPECIAL) + [1] * (len(tokens()) - len(SPECIAL)))
    out.add_token_merges(["t h"])
    out.add_bos_token_id(1)
    out.add_eos_token_id(2)
    out.add_pad_token_id(2)
    _add_weights(out, source, quantised)
    out.write_header_to_file()
    out.write_kv_data_to_file()
    out.write_tensors_to_file()
    out.close()
    return path


def _add_weights(out: GGUFWriter, source: LlamaForCausalLM, quantised: bool) -> None:
    config, state = source.config, {key: value.numpy() for key, value in source.state_dict().items()}
    embedding = state["model.embed_tokens.weight"]
    if quantised:
        kind = GGMLQuantizationType.Q8_0
        out.add_tensor("token_embd.weight", quantize(embedding, kind), raw_dtype=kind)
    else:
        out.add_tensor("token_embd.weight", embedding)
    out.add_tensor("output_norm.weight", state["model.norm.weight"])
    if not config.tie_word_embeddings:
        out.add_tensor("output.weight", state["lm_head.weight"])
    for layer in range(config.num_hidden_layers):
        for ours, theirs in NAMES.items():
            weight = state[f"model.layers.{layer}.{ours}.weight"]
            if theirs in ("attn_q", "attn_k"):
                heads = config.num_attention_heads if theirs == "attn_q" else config.num_key_value_heads
                weight = permute(weight, heads)
            out.add_tensor(f"blk.{layer}.{theirs}.weight", weight)


def permute(weight: np.ndarray, heads: int) -> np.ndarray:
    """Halves to interleaved pairs, row by row: row 2i of a head was i, row 2i + 1 was i + half."""
    out = np.empty_like(weight)
    size = len(weight) // heads
    for head in range(heads):
        for i in range(size // 2):
            out[head * size + 2 * i] = weight[head * size + i]
            out[head * size + 2 * i + 1] = weight[head * size + i + size // 2]
    return out
