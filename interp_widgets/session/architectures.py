"""Where each family of models keeps its activations: the one table that knows module names.

A row is an `Architecture`; `of(module)` finds the row for a loaded module. `Tap` says where inside a layer a kind of site is
read and written. All activations are what the layer *adds to the residual stream*: where a family normalises the output of
attention before adding it (Gemma 2 and 3), `attn_out` is the normalised one.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, Literal

from ..errors import UnknownArchitecture


@dataclass(frozen=True)
class Tap:
    """A place in a layer: the module's path below it ("" for the layer itself), `input` or `output`, and an index into a tuple."""

    module: str
    end: str = "output"
    index: int | str | None = None
    copied: bool = False
    """The model changes this tensor in place afterwards, so a reader must copy it, and a writer give it away."""
    shared: bool = False
    """The layer adds this tensor to its output as well, so a change must be made in place to reach both uses."""


@dataclass(frozen=True)
class Architecture:
    """Module paths of one family, and the taps of one of its layers."""

    layers: str
    embed: str
    final_norm: str
    head: str
    heads_in: str
    """Module below a layer whose input is the heads' outputs side by side: the attention's output projection."""
    attn: str
    mlp: str
    neurons_in: str
    """Module below a layer whose input is the MLP's neurons after the nonlinearity: the down projection."""
    qkv: str | tuple[str, str, str] | None = None
    """Modules below a layer that make queries, keys and values: three, or the one that makes all; None: they are no sites."""
    fused: Literal["by kind", "by head"] | None = None
    """How the output of the one module is laid out: all queries, then all keys, then all values; or one key-value head after
    the other, each with its queries, its key and its value. None where there are three modules."""
    mid: Tap | None = None
    """Residual stream between attention and MLP; None where the two run side by side."""
    attn_out: Tap | None = None
    mlp_in: Tap | None = None
    """What the MLP reads, behind its norm; left out it is the input of `mlp`, where that is the whole MLP."""
    mlp_out: Tap | None = None
    tuple_layer: bool = False
    """The layer returns a tuple whose first item is the residual stream."""
    taps: dict[str, Tap] = field(init=False, compare=False)

    def __post_init__(self) -> None:
        if self.fused not in (("by kind", "by head") if isinstance(self.qkv, str) else (None,)):
            raise UnknownArchitecture(
                f"qkv={self.qkv!r} and fused={self.fused!r} do not go together. Name three modules in qkv and leave fused out, "
                "or name the one module that makes queries, keys and values and say how they stand in its output: "
                "fused='by kind' (all queries, all keys, all values) or 'by head'."
            )
        projections = self.qkv if isinstance(self.qkv, tuple) else (self.qkv,) * 3
        taps = {
            "resid_pre": Tap("", "input"),
            **{kind: Tap(path) if path else None for kind, path in zip("qkv", projections, strict=True)},
            "head_out": Tap(self.heads_in, "input"),
            "pattern": Tap(self.attn, "output", 1),
            "attn_out": self.attn_out or Tap(self.attn, "output", 0),
            "resid_mid": self.mid and replace(self.mid, shared=True),
            "mlp_in": self.mlp_in or (Tap(self.mlp, "input") if self.mlp != self.neurons_in else None),
            "mlp_act": Tap(self.neurons_in, "input"),
            "mlp_out": self.mlp_out or Tap(self.mlp),
            "resid_post": Tap("", "output", 0 if self.tuple_layer else None),
        }
        object.__setattr__(self, "taps", {kind: tap for kind, tap in taps.items() if tap is not None})


_LLAMA = Architecture(
    layers="model.layers",
    embed="model.embed_tokens",
    final_norm="model.norm",
    head="lm_head",
    attn="self_attn",
    heads_in="self_attn.o_proj",
    mlp="mlp",
    neurons_in="mlp.down_proj",
    qkv=("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"),
    mid=Tap("post_attention_layernorm", "input"),
)

_GEMMA = replace(
    _LLAMA,
    attn_out=Tap("post_attention_layernorm"),
    mid=Tap("pre_feedforward_layernorm", "input"),
    mlp_out=Tap("post_feedforward_layernorm"),
)

_GPT2 = Architecture(
    layers="transformer.h",
    embed="transformer.wte",
    final_norm="transformer.ln_f",
    head="lm_head",
    attn="attn",
    heads_in="attn.c_proj",
    mlp="mlp",
    neurons_in="mlp.c_proj",
    qkv="attn.c_attn",
    fused="by kind",
    mid=Tap("ln_2", "input"),
)

_GPTJ = replace(
    _GPT2,
    heads_in="attn.out_proj",
    neurons_in="mlp.fc_out",
    qkv=("attn.q_proj", "attn.k_proj", "attn.v_proj"),
    fused=None,
    mid=None,
    tuple_layer=True,
)

_NEOX = Architecture(
    layers="gpt_neox.layers",
    embed="gpt_neox.embed_in",
    final_norm="gpt_neox.final_layer_norm",
    head="lm_head",
    attn="attention",
    heads_in="attention.dense",
    mlp="mlp",
    neurons_in="mlp.dense_4h_to_h",
    qkv="attention.query_key_value",
    fused="by head",
)

_OPT = Architecture(
    layers="model.decoder.layers",
    embed="model.decoder.embed_tokens",
    final_norm="model.decoder.final_layer_norm",
    head="lm_head",
    attn="self_attn",
    heads_in="self_attn.out_proj",
    mlp="fc2",
    neurons_in="fc2",
    qkv=("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"),
    mid=Tap("final_layer_norm", "input"),
    mlp_in=Tap("fc1", "input"),
)

_PHI = replace(_LLAMA, final_norm="model.final_layernorm", heads_in="self_attn.dense", neurons_in="mlp.fc2", mid=None)

_MPT = Architecture(
    layers="transformer.blocks",
    embed="transformer.wte",
    final_norm="transformer.norm_f",
    head="lm_head",
    attn="attn",
    heads_in="attn.out_proj",
    mlp="ffn.down_proj",  # `ffn` itself returns the residual stream already added
    neurons_in="ffn.down_proj",
    qkv="attn.Wqkv",
    fused="by kind",
    mid=Tap("norm_2", "input"),
    mlp_in=Tap("ffn", "input"),
    tuple_layer=True,
)

_FALCON = Architecture(
    layers="transformer.h",
    embed="transformer.word_embeddings",
    final_norm="transformer.ln_f",
    head="lm_head",
    attn="self_attention",
    heads_in="self_attention.dense",
    mlp="mlp",
    neurons_in="mlp.dense_4h_to_h",
    qkv="self_attention.query_key_value",
    fused="by head",
    mlp_out=Tap("mlp", copied=True),  # Falcon adds the attention's output into it in place
    tuple_layer=True,
)

TABLE: dict[str, Architecture] = {
    "gpt2": _GPT2,
    "gpt_neox": _NEOX,
    "llama": _LLAMA,
    "mistral": _LLAMA,
    "qwen2": _LLAMA,
    "qwen3": _LLAMA,
    "gemma2": _GEMMA,
    "gemma3_text": _GEMMA,
    "opt": _OPT,
    "phi": _PHI,
    "gptj": _GPTJ,
    "mpt": _MPT,
    "falcon": _FALCON,
    "modadd": replace(_LLAMA, mid=Tap("mlp", "input"), neurons_in="mlp.down"),
}
"""From `config.model_type` to its row."""


def of(module: Any) -> Architecture:
    """The row of the table for a loaded transformers module.

    Raises:
        UnknownArchitecture: no row fits; the sentence says what to pass by hand.
    """
    config: Any = getattr(module, "config", None)
    kind = getattr(config, "model_type", None)
    if kind not in TABLE:
        raise UnknownArchitecture(
            f"No module paths are known for model_type {kind!r} ({type(module).__name__}); known are {', '.join(sorted(TABLE))}. "
            "Pass them by hand: iw.load(module, tokenizer=..., architecture=iw.Architecture(layers='model.layers', ...))."
        )
    row = TABLE[kind]
    if kind == "gpt_neox":
        row = replace(row, head="embed_out") if hasattr(module, "embed_out") else row  # its name in older transformers
        return row if config.use_parallel_residual else replace(row, mid=Tap("post_attention_layernorm", "input"))
    if kind == "falcon" and config.multi_query and not config.new_decoder_architecture:
        row = replace(row, fused="by kind")
    if kind == "falcon" and not (config.new_decoder_architecture or config.parallel_attn):
        return replace(row, mid=Tap("post_attention_layernorm", "input"), mlp_out=None)
    if kind == "opt" and not config.do_layer_norm_before:
        raise UnknownArchitecture(
            "This OPT model normalises after attention (do_layer_norm_before is false), so its layers have no residual "
            "stream to read. Use another size of OPT: only 350m is built this way."
        )
    return row
