"""Where a site is inside a wrapped model: reading and writing one activation as a forward pass goes by."""

from __future__ import annotations

from copy import copy
from dataclasses import dataclass
from typing import Any

import torch

from ..errors import SiteError
from .architectures import Architecture, Tap
from .layout import Layout
from .sites import Site


@dataclass(frozen=True)
class Place:
    """One activation of one model in one batch. `get` and `set` work inside a trace only."""

    envoy: Any
    tap: Tap
    tokens: int
    """Number of tokens in a row of the batch. The number of rows may change on the way, see `cache`."""
    columns: torch.Tensor | None = None
    """Which entries of the last axis to give, in which shape, see `Layout.columns`; None: all, as they are."""

    def get(self) -> torch.Tensor:
        """The activation, [batch, tokens, ...] (a pattern: [batch, heads, tokens, tokens])."""
        value = self._unfold(self._raw())
        if self.columns is not None:
            return value[..., self.columns]
        return value.clone() if self.tap.copied else value

    def set(self, value: torch.Tensor) -> None:
        """Replace the activation by one of the same shape as `get` gives; a layer's output may have more rows, see `cache`."""
        old = self._raw()
        whole = self._unfold(old)
        shape = whole.shape[1:] if self.columns is None else (*whole.shape[1:-1], *self.columns.shape)
        if value.shape[1:] != shape:  # torch would stretch it or fold it to what fits
            raise SiteError(
                f"An edit gave a tensor of shape {list(value.shape)} in the place of one of shape {[len(whole), *shape]}. "
                "Return the shape that the edit was called with."
            )
        value = value.to(old.dtype)
        if self.columns is not None:
            whole = whole.clone()
            whole[..., self.columns] = value
            value = whole
        value = value.reshape(-1, *old.shape[1:])
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
            value = value.unflatten(0, (-1, self.tokens))
        return value


def place(model: Any, arch: Architecture, layout: Layout, site: Site, tokens: int) -> Place:
    """The place of a site that is known to exist in this architecture."""
    if site.kind == "logits":
        return Place(model, Tap("", "output", "logits"), tokens)
    if site.kind == "embed":
        return Place(envoy(model, arch.embed), Tap(""), tokens)
    if site.kind == "final_norm":
        return Place(envoy(model, arch.final_norm), Tap(""), tokens)
    tap = arch.taps[site.kind]
    path = f"{arch.layers}.{site.layer}" + (f".{tap.module}" if tap.module else "")
    return Place(envoy(model, path), tap, tokens, layout.columns(site))


def envoy(model: Any, path: str) -> Any:
    """nnsight's stand-in for the module at a dotted path."""
    node = model
    for part in path.split("."):
        node = node[int(part)] if part.isdigit() else getattr(node, part)
    return node
