"""Where a site is inside a wrapped model: reading and writing one activation as a forward pass goes by."""

from __future__ import annotations

from copy import copy
from dataclasses import dataclass
from typing import Any

import torch

from ..errors import SiteError
from .architectures import Architecture, Tap
from .sites import Site


@dataclass(frozen=True)
class Place:
    """One activation of one model in one batch. `get` and `set` work inside a trace only."""

    envoy: Any
    tap: Tap
    batch: int
    heads: int = 0
    """Number of heads to unfold the last axis into; 0: leave it."""
    head: int | None = None

    def get(self) -> torch.Tensor:
        """The activation, [batch, tokens, ...] (a pattern: [batch, heads, tokens, tokens])."""
        value = self._unfold(self._raw())
        return value.clone() if self.tap.copied else value

    def set(self, value: torch.Tensor) -> None:
        """Replace the activation by one of the same shape as `get` gives; a layer's output may have more rows, see `cache`."""
        old = self._raw()
        if self.head is not None:
            whole = old.unflatten(-1, (self.heads, -1)).clone()
            whole[..., self.head, :] = value
            value = whole
        value = value.reshape(-1, *old.shape[1:]).to(old.dtype)
        if self.tap.shared:
            old.copy_(value)
            return
        if self.tap.copied:
            value = value.clone()
        if isinstance(self.tap.index, str):
            items = copy(getattr(self.envoy, self.tap.end))
            items[self.tap.index] = value
            value = items
        elif self.tap.index is not None:
            items = getattr(self.envoy, self.tap.end)
            value = (*items[: self.tap.index], value, *items[self.tap.index + 1 :])
        setattr(self.envoy, self.tap.end, value)

    def _raw(self) -> torch.Tensor:
        value = getattr(self.envoy, self.tap.end)
        value = value if self.tap.index is None else value[self.tap.index]
        if value is None:
            raise SiteError(
                "This model does not return attention patterns. Load it with attn_implementation='eager', as iw.load does."
            )
        return value

    def _unfold(self, value: torch.Tensor) -> torch.Tensor:
        if value.dim() == 2:  # OPT runs its MLP on all tokens of the batch in one row
            value = value.unflatten(0, (self.batch, -1))
        if self.heads:
            value = value.unflatten(-1, (self.heads, -1))
        return value if self.head is None else value[..., self.head, :]


def place(model: Any, arch: Architecture, site: Site, heads: int, batch: int) -> Place:
    """The place of a site that is known to exist in this architecture."""
    if site.kind == "logits":
        return Place(model, Tap("", "output", "logits"), batch)
    if site.kind == "embed":
        return Place(envoy(model, arch.embed), Tap(""), batch)
    if site.kind == "final_norm":
        return Place(envoy(model, arch.final_norm), Tap(""), batch)
    tap = arch.taps[site.kind]
    path = f"{arch.layers}.{site.layer}" + (f".{tap.module}" if tap.module else "")
    return Place(envoy(model, path), tap, batch, heads if site.kind == "head_out" else 0, site.head)


def envoy(model: Any, path: str) -> Any:
    """nnsight's stand-in for the module at a dotted path."""
    node = model
    for part in path.split("."):
        node = node[int(part)] if part.isdigit() else getattr(node, part)
    return node
