"""Attention patterns: how much each token takes from each earlier one, in every head.

A head's output at a query is the sum over keys of weight times value (Vaswani et al., arXiv:1706.03762). A large weight on a
short value adds little: the value-weighted pattern of Kobayashi et al., arXiv:2004.10102, is the length of what is added,
|weight v W_O|, before any norm that the model applies afterwards. Neither is an explanation by itself (Jain & Wallace,
arXiv:1902.10186): what a head does to the answer takes an intervention, see `head_scores` with an `answer`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import polars as pl
import torch

from .. import frames
from ..progress import Progress, silent
from ..session.session import Session, Text
from .choices import heads_of, layers_of, positions_of
from .patterns import LayerPattern, each_layer


def attention(
    model: Session,
    text: Text,
    *,
    layers: Sequence[int] | None = None,
    heads: Sequence[int] | None = None,
    queries: Sequence[int] | None = None,
    keys: Sequence[int] | None = None,
    value_weighted: bool = False,
    progress: Progress = silent,
) -> pl.DataFrame:
    """Attention weights of a text, one row per layer, head, query and key (see `frames.ATTENTION`).

    Weights are as the model computed them: over all keys of a query they add to 1, over a choice of keys to less. In float32 the
    sum is exact to 1e-6, in narrower types to about 1e-2.

    Args:
        model: a session.
        text: a text, or token ids.
        layers, heads: which, default all.
        queries, keys: positions that look, and positions that are looked at; default all. Keys after their query are not listed.
        value_weighted: fill the column `value_weight` as well.
        progress: see `progress.Progress`.

    Raises:
        TextError: an empty or too long text, or a position that does not exist.
        SiteError: a layer or head that does not exist, or a model whose attention or values cannot be read.
    """
    ids = model.encode(text)
    wanted, chosen = layers_of(model, layers), heads_of(model, heads)
    at, on = positions_of(len(ids), queries), positions_of(len(ids), keys)
    rows = _pairs(at, on)

    def reduce(layer: LayerPattern) -> tuple[torch.Tensor, torch.Tensor | None]:
        q, k = _pairs(at, on).to(layer.pattern.device).T
        norm = layer.value_norm
        return layer.pattern[chosen][:, q, k].cpu(), None if norm is None else norm[chosen].cpu()

    found = model.work(each_layer, ids, wanted, reduce, values=value_weighted, progress=progress)
    weights = torch.stack([weight for weight, _ in found]).double()
    shape = (len(wanted), len(chosen), len(rows))
    columns: dict[str, Any] = {
        "layer": _spread(torch.tensor(wanted)[:, None, None], shape),
        "head": _spread(torch.tensor(chosen)[:, None], shape),
        "weight": weights.flatten().numpy(),
    }
    tokens = pl.Series([model.text_of(i) for i in ids], dtype=pl.String)
    for name, positions in (("", rows[:, 0]), ("key_", rows[:, 1])):
        column = _spread(positions, shape)
        columns |= {
            f"{name}position": column,
            f"{name}token_id": np.asarray(ids)[column],
            f"{name}token": tokens.gather(column),
        }
    columns["value_weight"] = (
        (weights * torch.stack([norm for _, norm in found])[..., rows[:, 1]]).flatten().numpy()
        if value_weighted
        else [None] * columns["weight"].size
    )
    return frames.build(frames.ATTENTION, columns)


def _pairs(queries: Sequence[int], keys: Sequence[int]) -> torch.Tensor:
    """(query, key) for each key that a query sees, [pairs, 2]."""
    at, on = torch.tensor(queries, dtype=torch.long), torch.tensor(keys, dtype=torch.long)
    row, column = (on <= at[:, None]).nonzero(as_tuple=True)
    return torch.stack([at[row], on[column]], 1)


def _spread(index: torch.Tensor, shape: tuple[int, ...]) -> np.ndarray:
    """One entry a row, for rows in the order of `shape`."""
    return index.expand(shape).flatten().numpy()
