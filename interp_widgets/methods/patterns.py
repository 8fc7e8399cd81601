"""Attention patterns layer by layer, each reduced inside the trace before the next ones are held.

A text of n tokens has n x n weights in every head of every layer; what is held at once is bounded by `memory`. The forward pass is
cut into pieces, each goes on from the stream that the former ended with, so every layer still runs once.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch

from ..errors import SiteError
from ..session import cache
from ..session.session import Session
from .progress import Progress, silent

MEMORY = 256_000_000
"""Bytes of patterns that are held at once."""


class LayerPattern(NamedTuple):
    """What one layer attends to."""

    layer: int
    pattern: torch.Tensor
    """[heads, tokens, tokens]: weight of query (row) and key (column)"""
    value_norm: torch.Tensor | None
    """[heads, tokens]: length of each key's value after the output projection, |v W_O|; None unless asked for"""


def each_layer(
    model: Session,
    ids: Sequence[int],
    layers: Sequence[int],
    reduce: Callable[[LayerPattern], Any],
    *,
    values: bool = False,
    memory: int = MEMORY,
    progress: Progress = silent,
) -> list[Any]:
    """`reduce` of each layer, called inside the trace, in the order of `layers`; `values` reads the values' norms as well.

    Raises:
        SiteError: a model whose attention, or whose values, cannot be read.
    """
    if values and "past_key_values" not in inspect.signature(model.torch_module.forward).parameters:
        raise _no_values(model)
    wanted = sorted(set(layers))
    size = max(1, memory // (4 * model.num_heads * len(ids) ** 2))
    found: dict[int, Any] = {}
    start: tuple[int, torch.Tensor] | None = None
    for begin in range(0, len(wanted), size):
        progress(begin, len(wanted), "layers")
        some = wanted[begin : begin + size]
        results, stream = _piece(model, ids, some, reduce, values, start)
        found |= dict(zip(some, results, strict=True))
        start = (some[-1] + 1, stream)
    progress(len(wanted), len(wanted), "layers")
    return [found[layer] for layer in layers]


def _piece(
    model: Session,
    ids: Sequence[int],
    layers: list[int],
    reduce: Callable[[LayerPattern], Any],
    values: bool,
    start: tuple[int, torch.Tensor] | None,
) -> tuple[list[Any], torch.Tensor]:
    """The reduced layers, and the stream after the last of them."""
    past = cache.empty()
    end = f"resid_post.{layers[-1]}"

    def then(seen: dict[str, torch.Tensor]) -> tuple[list[Any], torch.Tensor]:
        return [
            reduce(LayerPattern(i, seen[f"pattern.{i}"][0], _value_norms(model, past, i) if values else None))
            for i in layers
        ], seen[end]

    inputs = {"use_cache": True, "past_key_values": past} if values else {}
    return model.run([list(ids)], [*(f"pattern.{i}" for i in layers), end], then=then, start=start, inputs=inputs)


def _value_norms(model: Session, past: Any, layer: int) -> torch.Tensor:
    """|v W_O| for each head and key, [heads, tokens], from the values that the run has put into its cache."""
    kept = cache.keys_values(past)
    if len(kept) <= layer or kept[layer][1] is None:
        raise _no_values(model)
    values = kept[layer][1][0]  # [heads or groups of heads, tokens, head width]
    arch = model.architecture
    projection: Any = model.torch_module.get_submodule(f"{arch.layers}.{layer}.{arch.heads_in}")
    weight = projection.weight.T if isinstance(projection, torch.nn.Linear) else projection.weight  # Conv1D: [in, out]
    group = model.num_heads // len(values)
    slices = weight.unflatten(0, (model.num_heads, -1))  # [heads, head width, width]
    return torch.stack([(values[h // group] @ slices[h]).float().norm(dim=-1) for h in range(model.num_heads)])


def _no_values(model: Session) -> SiteError:
    return SiteError(
        f"{model.name} keeps no values that can be read, so its attention cannot be weighted by them. "
        "The plain weights can still be shown."
    )
