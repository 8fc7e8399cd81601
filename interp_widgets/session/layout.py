"""How a layer divides into heads and neurons: how many there are, and which entries of an activation each of them is.

The sizes are read off the modules themselves: each family has its own names for them in its configuration, or none.
"""

from __future__ import annotations

from typing import Any

import torch

from ..errors import SiteError
from .architectures import Architecture
from .sites import Site


class Layout:
    """Sizes of the layers of one module; all layers are alike.

    A size that cannot be read off its module raises SiteError when it is asked for, not before.
    """

    def __init__(self, module: torch.nn.Module, arch: Architecture, heads: int) -> None:
        self._module = module
        self._arch = arch
        self.heads = heads

    @property
    def head_width(self) -> int:
        return self._size(self._arch.heads_in, "in_features", "nx") // self.heads

    @property
    def kv_heads(self) -> int:
        """Heads that have a key and a value of their own; fewer than `heads` where several heads share one."""
        made = self._size(self._arch.taps["k"].module, "out_features", "nf") // self.head_width
        return (made - self.heads) // 2 if self._arch.fused else made

    @property
    def neurons(self) -> int:
        return self._size(self._arch.neurons_in, "in_features", "nx")

    @property
    def output_is_linear(self) -> bool:
        """Whether the attention's output projection is torch's Linear, whose weight is [out, in], not GPT-2's Conv1D."""
        return isinstance(self._module.get_submodule(f"{self._arch.layers}.0.{self._arch.heads_in}"), torch.nn.Linear)

    def units(self, kind: str) -> tuple[int, str]:
        """How many units a layer has at a kind of site, and what they are called."""
        if kind == "mlp_act":
            return self.neurons, "neurons"
        return (self.kv_heads, "key-value heads") if kind in ("k", "v") else (self.heads, "heads")

    def columns(self, site: Site) -> torch.Tensor | None:
        """Which entries of the tensor's last axis the site is, in the shape in which it is given; None: all, as they are.

        [heads, head width]; [head width] for one head; one number for a neuron.
        """
        if site.kind in ("q", "k", "v"):
            units = self._projected(site.kind)
        elif site.kind == "head_out":
            units = torch.arange(self.heads * self.head_width).unflatten(0, (self.heads, -1))
        elif site.unit is not None:
            units = torch.arange(self.neurons)
        else:
            return None
        return units if site.unit is None else units[site.unit]

    def _projected(self, kind: str) -> torch.Tensor:
        """The columns of a projection that hold the queries, keys or values. [heads, head width]"""
        if not self._arch.fused:
            count = self.units(kind)[0]
            return torch.arange(count * self.head_width).unflatten(0, (count, -1))
        # The axis is a row of equal groups, each of so many queries, then keys, then values: one group for the whole
        # layer, or one for each key-value head with the queries that use it.
        groups = self.kv_heads if self._arch.fused == "by head" else 1
        queries, keys = self.heads // groups, self.kv_heads // groups
        parts = torch.arange((self.heads + 2 * self.kv_heads) * self.head_width)
        parts = parts.unflatten(0, (groups, queries + 2 * keys, -1))
        first, last = {
            "q": (0, queries),
            "k": (queries, queries + keys),
            "v": (queries + keys, queries + 2 * keys),
        }[kind]
        return parts[:, first:last].flatten(0, 1)

    def _size(self, path: str, *names: str) -> int:
        """A size of a module of the first layer: torch's Linear and GPT-2's Conv1D call it by different names."""
        module: Any = self._module.get_submodule(f"{self._arch.layers}.0.{path}")
        for name in names:
            if hasattr(module, name):
                return int(getattr(module, name))
        raise SiteError(
            f"Heads and neurons cannot be told apart here: {path} is a {type(module).__name__}, which does not say its "
            f"size ({names[0]}). The architecture must name a linear module there."
        )
