"""Keys and values of a prompt, kept so that what differs only later need not read it again.

A continuation starts in the middle of a prompt and often in the middle of the model: several suffixes of one prompt stand
side by side in one row ("packed"), each sees the kept prefix and itself, and rows join as the layers go by (the batch of a
layer's output may grow: masks, positions, rotary tables and the prefix have one row and fit any number). So no layer and no
position is computed that a change cannot reach.
"""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import Any

import torch
from transformers import DynamicCache

KeysValues = list[tuple[torch.Tensor, torch.Tensor]]
"""Per layer the keys and values of one prompt, [1, heads, tokens, width] each."""


class Prefix(DynamicCache):
    """Keys and values of one prompt that every row of a run sees before its own. What a run adds is not kept."""

    def keep(self, keys: torch.Tensor, values: torch.Tensor, layer: int) -> None:
        DynamicCache.update(self, keys, values, layer)  # not super(): functions that travel have no class cell

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, layer_idx: int, *_args: Any, **_options: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        layer = self.layers[layer_idx]
        rows = (len(key_states), -1, -1, -1)
        keys = torch.cat([layer.keys.expand(rows), key_states], -2)
        return keys, torch.cat([layer.values.expand(rows), value_states], -2)


def kept_by(module: torch.nn.Module) -> bool:
    """Whether a model's forward pass takes a cache."""
    return "past_key_values" in inspect.signature(module.forward).parameters


def empty() -> DynamicCache:
    """A cache to hand to a run as `past_key_values`, with `use_cache`; made without a config, it keeps all tokens."""
    return DynamicCache()


def keys_values(cache: DynamicCache) -> KeysValues:
    """What a run has put into its cache."""
    return [(layer.keys, layer.values) for layer in cache.layers]


def packed(positions: Sequence[int], length: int) -> list[int]:
    """Positions of the suffixes that begin at `positions`, one suffix after the other."""
    return [position for first in positions for position in range(first, length)]


def continuation(kept: KeysValues, positions: Sequence[int], length: int, window: int | None = None) -> dict[str, Any]:
    """The arguments of a run on the packed suffixes that begin at `positions`.

    `window`: how many positions a token sees, itself included; None: all.
    """
    dtype, device = kept[0][0].dtype, kept[0][0].device
    at = torch.tensor(packed(positions, length), device=device)
    first, count = max(positions), len(at)
    lengths = torch.tensor([length - p for p in positions], device=device)
    start = torch.tensor(positions, device=device).repeat_interleave(lengths)
    suffix = torch.arange(len(positions), device=device).repeat_interleave(lengths)
    same = suffix[:, None] == suffix
    before = torch.arange(first, device=device)
    sees = torch.cat([before < start[:, None], same & (at[:, None] >= at)], 1)
    if window is not None:
        sees &= at[:, None] - torch.cat([before, at]) < window
    mask = torch.zeros(1, 1, count, first + count, dtype=dtype, device=device)
    arguments: dict[str, Any] = {
        "attention_mask": mask.masked_fill(~sees, torch.finfo(dtype).min),
        "position_ids": at[None],
    }
    if first:
        past = Prefix()
        for layer, (keys, values) in enumerate(kept):
            past.keep(keys[:, :, :first], values[:, :, :first], layer)
        arguments["past_key_values"] = past
    return arguments
