"""Attention patterns layer by layer, each reduced inside the trace before the next ones are held.

A text of n tokens has n x n weights in every head of every layer; what is held at once is bounded by `memory`. The forward pass is
cut into pieces, each goes on from the stream that the former ended with, so every layer still runs once.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch

from ..progress import Progress, silent
from ..session.places import envoy
from ..session.runner import Runner

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
    model: Runner,
    ids: Sequence[int],
    layers: Sequence[int],
    reduce: Callable[[LayerPattern], Any],
    *,
    values: bool = False,
    memory: int = MEMORY,
    progress: Progress = silent,
) -> list[Any]:
    """`reduce` of each layer, called inside the trace, in the order of `layers`; `values` reads the values' norms as well.

    Called through `model.work`, so that no pattern leaves the place where the model is.

    Raises:
        SiteError: a model whose attention, or whose values, cannot be read.
    """
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
    model: Runner,
    ids: Sequence[int],
    layers: list[int],
    reduce: Callable[[LayerPattern], Any],
    values: bool,
    start: tuple[int, torch.Tensor] | None,
) -> tuple[list[Any], torch.Tensor]:
    """The reduced layers, and the stream after the last of them."""
    end = f"resid_post.{layers[-1]}"
    read = [f"{kind}.{i}" for i in layers for kind in (("v", "pattern") if values else ("pattern",))]

    def then(seen: dict[str, torch.Tensor]) -> tuple[list[Any], torch.Tensor]:
        norms = {i: _value_norms(model, i, seen[f"v.{i}"][0]) for i in layers} if values else {}
        return [reduce(LayerPattern(i, seen[f"pattern.{i}"][0], norms.get(i))) for i in layers], seen[end]

    return model.run([list(ids)], [*read, end], then=then, start=start)


def _value_norms(model: Runner, layer: int, values: torch.Tensor) -> torch.Tensor:
    """|v W_O| for each head and key, [heads, tokens], of the values [tokens, key-value heads, head width]."""
    path = f"{model.architecture.layers}.{layer}.{model.architecture.heads_in}"
    projection: Any = model._module.get_submodule(path)
    if projection.weight.is_meta:
        return _norms_by_module(model, envoy(model._model, path), values)
    weight = projection.weight.T if isinstance(projection, torch.nn.Linear) else projection.weight  # Conv1D: [in, out]
    slices = weight.unflatten(0, (model.num_heads, -1))  # [heads, head width, width]
    shared = model.num_heads // model.num_kv_heads
    return torch.stack([(values[:, h // shared] @ slices[h]).float().norm(dim=-1) for h in range(model.num_heads)])


def _norms_by_module(model: Runner, projection: Any, values: torch.Tensor) -> torch.Tensor:
    """`_value_norms` where modules can be called, but have no weights: each head's values alone go through the projection."""
    width, shared = values.shape[-1], model.num_heads // model.num_kv_heads
    empty = values.new_zeros(len(values), model.num_heads * width)
    bias, norms = projection(empty), []
    for head in range(model.num_heads):
        alone = empty.clone()
        alone[:, head * width : (head + 1) * width] = values[:, head // shared]
        norms.append((projection(alone) - bias).float().norm(dim=-1))
    return torch.stack(norms)
