"""Tiny models beside equal ones that nnsight has never touched, and plain PyTorch hooks on those.

The table under test knows one module path per site. Here each site is found again by another way where there is one: the stream
is what the norms read, a contribution is what the last projection (or the norm after it) gives, the pattern is what
transformers itself returns with `output_attentions`, and fused projections are cut as transformers cuts them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch

import interp_widgets as iw
from interp_widgets.session.session import Session
from tests.session import tiny
from tests.session.tiny import HEADS, LAYERS

IDS = torch.randint(3, tiny.VOCABULARY, (3, 7), generator=torch.Generator().manual_seed(1)).tolist()
LAST = LAYERS - 1


class Known(NamedTuple):
    """Where a family keeps things, written down a second time. Paths are below a layer, except the first three."""

    layers: str
    embed: str
    norm: str
    reads: str
    """The norm whose input is the stream that the layer reads."""
    projection: str
    """Reads the heads' outputs."""
    attention: str
    """Gives what attention adds to the stream."""
    down: str
    """Reads the neurons."""
    mlp: str
    """Gives what the MLP adds to the stream."""
    between: str = ""
    """The norm whose input is the stream between attention and MLP."""
    qkv: str = "self_attn.{}_proj"
    """Makes queries, keys and values, or with q, k or v in the braces one of them."""
    normed: str = "post_attention_layernorm"
    """The norm whose output the MLP reads."""


LLAMA = Known("model.layers", "model.embed_tokens", "model.norm", "input_layernorm", "self_attn.o_proj", "self_attn.o_proj",
              "mlp.down_proj", "mlp.down_proj", "post_attention_layernorm")  # fmt: skip
GEMMA = LLAMA._replace(
    attention="post_attention_layernorm", mlp="post_feedforward_layernorm", between="pre_feedforward_layernorm",
    normed="pre_feedforward_layernorm",
)  # fmt: skip
NEOX = Known("gpt_neox.layers", "gpt_neox.embed_in", "gpt_neox.final_layer_norm", "input_layernorm", "attention.dense",
             "attention.dense", "mlp.dense_4h_to_h", "mlp.dense_4h_to_h", qkv="attention.query_key_value")  # fmt: skip
GPT2 = Known("transformer.h", "transformer.wte", "transformer.ln_f", "ln_1", "attn.c_proj", "attn.c_proj", "mlp.c_proj",
             "mlp.c_proj", "ln_2", "attn.c_attn", "ln_2")  # fmt: skip
FALCON = Known("transformer.h", "transformer.word_embeddings", "transformer.ln_f", "input_layernorm", "self_attention.dense",
               "self_attention.dense", "mlp.dense_4h_to_h", "mlp.dense_4h_to_h",
               qkv="self_attention.query_key_value", normed="input_layernorm")  # fmt: skip

KNOWN = {
    "gpt2": GPT2,
    "gpt_neox": NEOX,
    "gpt_neox-sequential": NEOX._replace(between="post_attention_layernorm"),
    "llama": LLAMA,
    "llama-grouped": LLAMA,
    "mistral": LLAMA,
    "qwen2": LLAMA,
    "qwen3": LLAMA,
    "gemma2": GEMMA,
    "gemma3_text": GEMMA,
    "opt": Known("model.decoder.layers", "model.decoder.embed_tokens", "model.decoder.final_layer_norm",
                 "self_attn_layer_norm", "self_attn.out_proj", "self_attn.out_proj", "fc2", "fc2", "final_layer_norm",
                 normed="final_layer_norm"),
    "phi": LLAMA._replace(norm="model.final_layernorm", projection="self_attn.dense", attention="self_attn.dense",
                          down="mlp.fc2", mlp="mlp.fc2", between="", normed="input_layernorm"),
    "gptj": GPT2._replace(projection="attn.out_proj", attention="attn.out_proj", down="mlp.fc_out", mlp="mlp.fc_out",
                          between="", qkv="attn.{}_proj", normed="ln_1"),
    "mpt": Known("transformer.blocks", "transformer.wte", "transformer.norm_f", "norm_1", "attn.out_proj", "attn.out_proj",
                 "ffn.down_proj", "ffn.down_proj", "norm_2", "attn.Wqkv", "norm_2"),
    "falcon": FALCON,
    "falcon-new": FALCON._replace(reads="ln_attn", normed="ln_mlp"),
    "falcon-new-one-norm": FALCON,
    "falcon-sequential": FALCON._replace(between="post_attention_layernorm", normed="post_attention_layernorm"),
}  # fmt: skip


class Family(NamedTuple):
    """A session, and an equal module that nnsight has never touched."""

    variant: str
    session: Session
    plain: torch.nn.Module

    @property
    def known(self) -> Known:
        return KNOWN[self.variant]

    def heads(self, value: torch.Tensor) -> torch.Tensor:
        return value.unflatten(-1, (HEADS, -1))

    def attention(self, layer: int) -> Any:
        """The plain model's attention, the parent of its projections."""
        return self.plain.get_submodule(f"{self.known.layers}.{layer}.{self.known.qkv}".rpartition(".")[0])

    def split(self, kind: str, made: torch.Tensor) -> torch.Tensor:
        """What a projection made, cut as the family's own code in transformers cuts it: [batch, tokens, heads, head width]."""
        attention, which = self.attention(0), "qkv".index(kind)
        stem = tiny.CONFIGS[self.variant][0]
        if stem == "GPT2":
            return made.split(attention.split_size, dim=2)[which].unflatten(-1, (-1, attention.head_dim))
        if stem == "Mpt":
            return made.chunk(3, dim=2)[which].unflatten(-1, (attention.n_heads, attention.head_dim))
        if stem == "GPTNeoX":
            return made.unflatten(-1, (-1, 3 * attention.head_size)).chunk(3, dim=-1)[which]
        if stem == "Falcon":
            heads = attention._split_heads(made)[which]
            repeats = HEADS // attention.num_kv_heads if attention.new_decoder_architecture and kind != "q" else 1
            return heads[:, :, ::repeats]  # the new architecture hands each key out to all the queries that use it
        return made.unflatten(-1, (-1, attention.head_dim))


def make(variant: str) -> Family:
    session = iw.load(tiny.model(variant), tokenizer=tiny.tokenizer(), name=variant)
    return Family(variant, session, tiny.model(variant))


# plain PyTorch


@contextmanager
def hooked(
    module: torch.nn.Module, path: str, end: str, do: Callable[[torch.Tensor], torch.Tensor | None]
) -> Iterator[None]:
    """While open, `do` sees the first input or output of a module; a tensor that it returns takes its place."""

    def before(_: torch.nn.Module, arguments: tuple[Any, ...], named: dict[str, Any]) -> Any:
        if not arguments:  # transformers passes some streams by name
            new = do(named["hidden_states"])
            return None if new is None else (arguments, named | {"hidden_states": new})
        new = do(arguments[0])
        return None if new is None else ((new, *arguments[1:]), named)

    def after(_: torch.nn.Module, arguments: tuple[Any, ...], output: Any) -> Any:
        new = do(output[0] if isinstance(output, tuple) else output)
        return (new, *output[1:]) if isinstance(output, tuple) and new is not None else new

    target = module.get_submodule(path)
    handle = (
        target.register_forward_pre_hook(before, with_kwargs=True)
        if end == "input"
        else target.register_forward_hook(after)
    )
    try:
        yield
    finally:
        handle.remove()


def places(family: Family) -> dict[str, tuple[str, str]]:
    """Site -> (module, end), for all but the pattern and the logits."""
    known = family.known
    found = {"embed": (known.embed, "output"), "final_norm": ("lm_head", "input")}
    for layer in range(LAYERS):
        at = f"{known.layers}.{layer}"
        after = f"{known.layers}.{layer + 1}.{known.reads}" if layer < LAST else known.norm
        found[f"resid_pre.{layer}"] = (f"{at}.{known.reads}", "input")
        for kind in "qkv":
            found[f"{kind}.{layer}"] = (f"{at}.{known.qkv.format(kind)}", "output")
        found[f"head_out.{layer}"] = (f"{at}.{known.projection}", "input")
        found[f"attn_out.{layer}"] = (f"{at}.{known.attention}", "output")
        if known.between:
            found[f"resid_mid.{layer}"] = (f"{at}.{known.between}", "input")
        found[f"mlp_in.{layer}"] = (f"{at}.{known.normed}", "output")
        found[f"mlp_act.{layer}"] = (f"{at}.{known.down}", "input")
        found[f"mlp_out.{layer}"] = (f"{at}.{known.mlp}", "output")
        found[f"resid_post.{layer}"] = (after, "input")
    return found


@torch.no_grad()
def plainly(family: Family, ids: list[list[int]]) -> dict[str, torch.Tensor]:
    """All sites, by hooks alone, as [batch, tokens, ...]."""
    seen: dict[str, torch.Tensor] = {}
    for site, (path, end) in places(family).items():
        with hooked(family.plain, path, end, lambda value, site=site: seen.update({site: value.clone()})):
            output = family.plain(torch.tensor(ids), use_cache=False, output_attentions=True)
    seen = {site: value.unflatten(0, (len(ids), -1)) if value.dim() == 2 else value for site, value in seen.items()}
    for layer in range(LAYERS):
        seen |= {f"{kind}.{layer}": family.split(kind, seen[f"{kind}.{layer}"]) for kind in "qkv"}
        seen[f"head_out.{layer}"] = family.heads(seen[f"head_out.{layer}"])
        seen[f"pattern.{layer}"] = output.attentions[layer]
    return seen | {"logits": output.logits}


def change(value: torch.Tensor) -> torch.Tensor:
    """A change that no norm undoes."""
    return value * 0.5 + torch.linspace(-1, 1, value.shape[-1])
