"""The bundled `modadd-59`: a one-layer transformer that adds modulo 59, as a model that transformers and the sites know.

Three tokens in, `a b =`; the logits over 0..58 at the last position are the answer to (a + b) mod 59. No layer norm and no
biases in attention or unembedding, as in Nanda et al. 2023 (https://arxiv.org/abs/2301.05217), so that every weight can be read.
How the weights were trained: assets/modadd-59/README.md.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from tokenizers import Tokenizer, models, pre_tokenizers
from torch import nn
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    GenerationMixin,
    PretrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerFast,
)
from transformers.modeling_outputs import CausalLMOutputWithPast

from ..errors import ModelError, TextError


class ModAddConfig(PretrainedConfig):
    """Sizes of the model. `modulus` is p; the input vocabulary has p + 1 words, the last of them is "="."""

    model_type = "modadd"

    def __init__(
        self,
        modulus: int = 59,
        hidden_size: int = 128,
        num_attention_heads: int = 4,
        intermediate_size: int = 512,
        **rest: Any,
    ) -> None:
        self.modulus = modulus
        self.vocab_size = modulus + 1
        self.hidden_size = hidden_size
        self.num_attention_heads = num_attention_heads
        self.intermediate_size = intermediate_size
        self.num_hidden_layers = 1
        self.max_position_embeddings = 3
        self.use_cache = False
        super().__init__(**(rest | {"tie_word_embeddings": False}))


class ModAddAttention(nn.Module):
    """Causal attention. Returns (output `[batch, tokens, width]`, pattern `[batch, heads, tokens, tokens]`)."""

    def __init__(self, config: ModAddConfig) -> None:
        super().__init__()
        width = config.hidden_size
        self.heads = config.num_attention_heads
        self.q_proj = nn.Linear(width, width, bias=False)
        self.k_proj = nn.Linear(width, width, bias=False)
        self.v_proj = nn.Linear(width, width, bias=False)
        self.o_proj = nn.Linear(width, width, bias=False)

    def forward(self, hidden: torch.Tensor, allowed: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        q, k, v = (self._split(project(hidden)) for project in (self.q_proj, self.k_proj, self.v_proj))
        scores = q @ k.transpose(-1, -2) / q.shape[-1] ** 0.5
        # The smallest number rather than -inf: a row of padding that may look at nothing stays finite.
        pattern = scores.masked_fill(~allowed, torch.finfo(scores.dtype).min).softmax(-1)
        return self.o_proj((pattern @ v).transpose(1, 2).flatten(2)), pattern

    def _split(self, x: torch.Tensor) -> torch.Tensor:
        return x.unflatten(-1, (self.heads, -1)).transpose(1, 2)


class ModAddMLP(nn.Module):
    def __init__(self, config: ModAddConfig) -> None:
        super().__init__()
        self.up = nn.Linear(config.hidden_size, config.intermediate_size)
        self.act = nn.ReLU()
        self.down = nn.Linear(config.intermediate_size, config.hidden_size)

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        return self.down(self.act(self.up(hidden)))


class ModAddLayer(nn.Module):
    """Attention, then the MLP, each added to the residual stream. Returns the bare stream, as Llama's layers do."""

    def __init__(self, config: ModAddConfig) -> None:
        super().__init__()
        self.self_attn = ModAddAttention(config)
        self.mlp = ModAddMLP(config)

    def forward(self, hidden: torch.Tensor, allowed: torch.Tensor) -> torch.Tensor:
        hidden = hidden + self.self_attn(hidden, allowed)[0]
        return hidden + self.mlp(hidden)


class ModAddModel(nn.Module):
    """Embeddings, the layer, and a norm that does nothing so that the site `final_norm` exists."""

    def __init__(self, config: ModAddConfig) -> None:
        super().__init__()
        self.embed_tokens = nn.Embedding(config.vocab_size, config.hidden_size)
        self.embed_positions = nn.Embedding(config.max_position_embeddings, config.hidden_size)
        self.layers = nn.ModuleList([ModAddLayer(config)])
        self.norm = nn.Identity()

    def forward(self, ids: torch.Tensor, positions: torch.Tensor, allowed: torch.Tensor) -> torch.Tensor:
        hidden = self.embed_tokens(ids) + self.embed_positions(positions)
        for layer in self.layers:
            hidden = layer(hidden, allowed)
        return self.norm(hidden)


class ModAddForCausalLM(PreTrainedModel, GenerationMixin):
    """The whole model. Logits are `[batch, tokens, modulus]`: "=" can be read but never answered."""

    config_class = ModAddConfig
    base_model_prefix = "model"

    def __init__(self, config: ModAddConfig) -> None:
        super().__init__(config)
        self.model = ModAddModel(config)
        self.lm_head = nn.Linear(config.hidden_size, config.modulus, bias=False)
        self.post_init()

    def get_input_embeddings(self) -> nn.Module:
        return self.model.embed_tokens

    def get_output_embeddings(self) -> nn.Module:
        return self.lm_head

    def forward(
        self,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor | None = None,
        position_ids: torch.Tensor | None = None,
        past_key_values: Any = None,
        use_cache: bool | None = None,
        logits_to_keep: int = 0,
        **rest: Any,
    ) -> CausalLMOutputWithPast:
        """Logits for ids `[batch, tokens]` of at most three tokens. There is no cache: it would save nothing.

        Raises TextError for a longer sequence, which has no position embedding.
        """
        tokens, longest = input_ids.shape[1], self.config.max_position_embeddings
        if tokens > longest:
            raise TextError(f"This model reads {longest} tokens, as in '12 30 ='; it was given {tokens}.")
        if position_ids is None:
            position_ids = torch.arange(tokens, device=input_ids.device)[None]
        allowed = torch.ones(tokens, tokens, dtype=torch.bool, device=input_ids.device).tril()[None, None]
        if attention_mask is not None:
            allowed = allowed & attention_mask[:, None, None, :].bool()
        hidden = self.model(input_ids, position_ids, allowed)
        return CausalLMOutputWithPast(logits=self.lm_head(hidden[:, -logits_to_keep:]))


class ModAddTokenizer(PreTrainedTokenizerFast):
    """Words "0" to "58" and "=", split at white space."""

    def _encode_plus(self, *args: Any, **kwargs: Any) -> Any:
        try:
            return super()._encode_plus(*args, **kwargs)
        except Exception as error:  # the tokenizers library raises bare Exceptions
            raise TextError(
                f"This model knows the numbers 0 to {len(self) - 2} and '=', with spaces between, as in '12 30 ='."
            ) from error


def tokenizer(modulus: int = 59) -> ModAddTokenizer:
    """A fast tokenizer: "12 30 =" becomes the ids 12, 30, `modulus`."""
    words = {str(number): number for number in range(modulus)} | {"=": modulus}
    fast = Tokenizer(models.WordLevel(words))
    fast.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return ModAddTokenizer(tokenizer_object=fast, model_max_length=3)


def load(folder: str | Path) -> tuple[ModAddForCausalLM, ModAddTokenizer]:
    """The model (float32, in evaluation mode) and its tokenizer from a folder with config.json and model.safetensors."""
    folder = Path(folder)
    try:
        sizes = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        weights = load_file(folder / "model.safetensors")
    except OSError as error:
        raise ModelError(
            f"{folder} does not hold config.json and model.safetensors of a modular-addition model."
        ) from error
    config = ModAddConfig(
        modulus=sizes["p"],
        hidden_size=sizes["d_model"],
        num_attention_heads=sizes["heads"],
        intermediate_size=sizes["d_mlp"],
    )
    model = ModAddForCausalLM(config)
    model.load_state_dict(_renamed(weights))
    return model.eval(), tokenizer(config.modulus)


def _renamed(weights: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """From the short names of the training script to the names of the modules above."""
    q, k, v = weights["qkv.weight"].chunk(3)
    layer = "model.layers.0"
    return {
        "model.embed_tokens.weight": weights["E"],
        "model.embed_positions.weight": weights["P"],
        f"{layer}.self_attn.q_proj.weight": q,
        f"{layer}.self_attn.k_proj.weight": k,
        f"{layer}.self_attn.v_proj.weight": v,
        f"{layer}.self_attn.o_proj.weight": weights["o.weight"],
        f"{layer}.mlp.up.weight": weights["u.weight"],
        f"{layer}.mlp.up.bias": weights["u.bias"],
        f"{layer}.mlp.down.weight": weights["w.weight"],
        f"{layer}.mlp.down.bias": weights["w.bias"],
        "lm_head.weight": weights["out.weight"],
    }


# Known to transformers as a language model: without it every load prints the whole list of those that are.
AutoConfig.register(ModAddConfig.model_type, ModAddConfig, exist_ok=True)
AutoModelForCausalLM.register(ModAddConfig, ModAddForCausalLM, exist_ok=True)
