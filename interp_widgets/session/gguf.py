"""A Llama-family GGUF file to a folder in Hugging Face format, dequantised to float32.

GGUF is the file format of llama.cpp: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md. Two things differ from what
`transformers` wants. The weights are quantised, and the rows of the query and key matrices are reordered, because llama.cpp
rotates neighbouring pairs of coordinates where transformers rotates the two halves of a head.

`transformers` can read GGUF too, but needs `accelerate` for it and then refuses to save what it has read. The tests hold this
file to the same numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import ModelUnavailable

if TYPE_CHECKING:
    from gguf import GGUFReader
    from transformers import LlamaConfig

    Step = Callable[[int, int], None]

_TOP = {
    "token_embd.weight": "model.embed_tokens.weight",
    "output_norm.weight": "model.norm.weight",
    "output.weight": "lm_head.weight",
}
_IN_LAYER = {
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
    "attn_norm": "input_layernorm",
    "ffn_norm": "post_attention_layernorm",
}


def convert(file: Path, folder: Path, step: Step = lambda done, total: None) -> None:
    """Write config.json, generation_config.json, model.safetensors (float32) and the tokenizer of `file` into `folder`.

    `step(done, total)` is called after each tensor. Raises ModelUnavailable for an architecture or tensor that is not Llama's.
    """
    from gguf import GGUFReader
    from safetensors.numpy import save_file
    from transformers import AutoTokenizer

    reader = GGUFReader(file)
    config = llama_config(reader)
    weights = {}
    for done, (key, weight) in enumerate(tensors(reader, config), start=1):
        weights[key] = weight
        step(done, len(reader.tensors))
    config.tie_word_embeddings = "lm_head.weight" not in weights

    folder.mkdir(parents=True, exist_ok=True)
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    (folder / "model.safetensors").chmod(0o644)  # safetensors makes it readable by its owner only
    config.save_pretrained(folder)
    _generation_config(config).save_pretrained(folder)
    AutoTokenizer.from_pretrained(str(file.parent), gguf_file=file.name).save_pretrained(folder)


def llama_config(reader: GGUFReader) -> LlamaConfig:
    """The `LlamaConfig` that a GGUF file's own fields describe."""
    from transformers import LlamaConfig

    architecture = _field(reader, "general.architecture")
    if architecture != "llama":
        raise ModelUnavailable(f"This GGUF file holds a '{architecture}' model; only 'llama' is converted here. Load the "
                               "model from a folder in Hugging Face format instead.")  # fmt: skip
    heads = _field(reader, "llama.attention.head_count")
    width = _field(reader, "llama.embedding_length")
    return LlamaConfig(
        architectures=["LlamaForCausalLM"],
        dtype="float32",
        vocab_size=_field(reader, "llama.vocab_size", len(_field(reader, "tokenizer.ggml.tokens", []))),
        hidden_size=width,
        intermediate_size=_field(reader, "llama.feed_forward_length"),
        num_hidden_layers=_field(reader, "llama.block_count"),
        num_attention_heads=heads,
        num_key_value_heads=_field(reader, "llama.attention.head_count_kv", heads),
        head_dim=_field(reader, "llama.rope.dimension_count", width // heads),
        max_position_embeddings=_field(reader, "llama.context_length"),
        rms_norm_eps=_field(reader, "llama.attention.layer_norm_rms_epsilon"),
        rope_parameters={"rope_type": "default", "rope_theta": _field(reader, "llama.rope.freq_base", 10_000.0)},
        bos_token_id=_field(reader, "tokenizer.ggml.bos_token_id", None),
        eos_token_id=_field(reader, "tokenizer.ggml.eos_token_id", None),
        pad_token_id=_field(reader, "tokenizer.ggml.padding_token_id", None),
    )


def tensors(reader: GGUFReader, config: LlamaConfig) -> Iterator[tuple[str, np.ndarray]]:
    """Name and float32 array, as `LlamaForCausalLM.state_dict()` has them, one tensor at a time."""
    from gguf import dequantize

    heads = {"attn_q": config.num_attention_heads, "attn_k": config.num_key_value_heads}
    for tensor in reader.tensors:
        weight = np.asarray(dequantize(tensor.data, tensor.tensor_type), dtype=np.float32)
        if tensor.name in _TOP:
            yield _TOP[tensor.name], weight.copy()
            continue
        _, layer, part = [*tensor.name.split("."), "", ""][:3]  # blk.7.attn_q.weight
        if part not in _IN_LAYER:
            raise ModelUnavailable(
                f"The GGUF file has a tensor '{tensor.name}' that a plain Llama model does not have."
            )
        if part in heads:
            weight = unpermute(weight, heads[part])
        yield f"model.layers.{layer}.{_IN_LAYER[part]}.weight", np.array(weight, order="C")


def unpermute(weight: np.ndarray, heads: int) -> np.ndarray:
    """Query or key rows `[heads * head_dim, ...]` from pairs (0, 1), (2, 3), ... to halves, the order of transformers."""
    rows = weight.shape[0]
    return weight.reshape(heads, rows // heads // 2, 2, *weight.shape[1:]).swapaxes(1, 2).reshape(weight.shape)


def _generation_config(config: LlamaConfig) -> Any:
    from transformers import GenerationConfig

    return GenerationConfig(
        bos_token_id=config.bos_token_id, eos_token_id=config.eos_token_id, pad_token_id=config.pad_token_id
    )


_REQUIRED = object()


def _field(reader: GGUFReader, name: str, default: Any = _REQUIRED) -> Any:
    field = reader.get_field(name)
    if field is not None:
        return field.contents()
    if default is _REQUIRED:
        raise ModelUnavailable(f"The GGUF file does not say '{name}': it is incomplete, or not a language model.")
    return default
