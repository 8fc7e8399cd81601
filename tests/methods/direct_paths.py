"""Edges the plain way: hooks on a module that nnsight never touched, and one backward pass for each pair of sites and each target.

Written from the definition alone. For an edge from site u to site t the activation of u is made a leaf, that of every other site
with a dictionary is detached, and the target's own value is differentiated.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from typing import Any

import polars as pl
import torch

from interp_widgets import frames
from interp_widgets.sae.dictionary import Dictionary, GroupMax, JumpReLU, ReLU, TopK
from interp_widgets.session.session import Session
from tests.session import families, tiny

NUMBERS = torch.Generator().manual_seed


def dictionary(
    session: Session, site: str, kind: type = ReLU, width: int = 24, seed: int = 0, **more: Any
) -> Dictionary:
    """Random directions, about half of the atoms on."""
    made = NUMBERS(seed + sum(map(ord, site)))
    size = session.size(site)
    weights = {
        "W_enc": torch.randn(size, width, generator=made) / size**0.5,
        "b_enc": torch.randn(width, generator=made) * 0.1,
        "W_dec": torch.randn(width, size, generator=made) / size**0.5,
        "b_dec": torch.randn(size, generator=made) * 0.1,
    }
    if kind in (TopK, GroupMax):
        more = {"k": 6, **more}
    if kind is JumpReLU:
        more = {"threshold": torch.rand(width, generator=made) * 0.3, **more}
    return kind(name=f"random {site}", site=site, **weights, **more)


def node_frame(names: Sequence[str]) -> pl.DataFrame:
    """Nodes of these names, as `circuit` would list them; numbers that edges do not depend on are 0."""
    parsed = [frames.circuits.parse_node(name) for name in names]
    assert all(parsed)
    return frames.build(
        frames.CIRCUIT_NODES,
        {
            "node": list(names),
            "site": [node.site for node in parsed],
            "layer": [int(node.site.split(".")[1]) if "." in node.site else None for node in parsed],
            "position": [node.position for node in parsed],
            "token": [None] * len(parsed),
            "kind": ["error" if node.atom is None else "atom" for node in parsed],
            "atom": [node.atom for node in parsed],
            **{name: [0.0] * len(parsed) for name in ("activation", "corrupt_activation", "effect")},
            "low": [None] * len(parsed),
            "high": [None] * len(parsed),
            "prompts": [1] * len(parsed),
            "method": ["attribution"] * len(parsed),
        },
    )


def names(
    session: Session, dictionaries: dict[str, Dictionary], positions: Sequence[int] | None, atoms: int = 6
) -> list[str]:
    """Some atoms and the error of every dictionary, at each of some positions or summed."""
    out = []
    for site, sae in dictionaries.items():
        step = max(1, sae.width // atoms)
        units = [*map(str, range(0, sae.width, step)), "error"]
        out += [f"{site}/{unit}" + ("" if p is None else f"@{p}") for unit in units for p in (positions or [None])]
    return out


class Brute:
    """One model and its dictionaries, asked for single edges."""

    def __init__(self, family: families.Family, dictionaries: dict[str, Dictionary]) -> None:
        self.module, self.dictionaries = family.plain, dictionaries
        known = family.known
        self.places = {"embed": known.embed}
        for layer in range(tiny.LAYERS):
            at = f"{known.layers}.{layer}"
            self.places |= {
                f"attn_out.{layer}": f"{at}.{known.attention}",
                f"mlp_out.{layer}": f"{at}.{known.mlp}",
                f"mlp_in.{layer}": f"{at}.{known.down.rpartition('.')[0]}",  # its norm may be that of attention, too
                f"mlp_act.{layer}": f"{at}.{known.down}",
                f"resid_post.{layer}": at,
            }

    def run(self, ids: Sequence[int], do: dict[str, Any]) -> torch.Tensor:
        """The last logits [vocabulary], `do[site]` having seen or replaced the activation [T, d]."""
        with ExitStack() as stack:
            for site, function in do.items():

                def hook(x: torch.Tensor, function: Any = function) -> torch.Tensor:
                    return function(x.reshape(len(ids), -1).clone()).reshape(x.shape).clone()

                end = "input" if site.startswith(("mlp_act", "mlp_in")) else "output"
                stack.enter_context(families.hooked(self.module, self.places[site], end, hook))
            return self.module(torch.tensor([list(ids)]), use_cache=False).logits[0, -1]

    def values(self, ids: Sequence[int]) -> dict[str, torch.Tensor]:
        seen: dict[str, torch.Tensor] = {}
        with torch.no_grad():
            self.run(ids, {site: lambda x, site=site: seen.setdefault(site, x) for site in self.dictionaries})
        return seen

    def slopes(self, ids: Sequence[int], answer: int, foil: int) -> dict[str, torch.Tensor]:
        """The gradient of the metric at every site, nothing held still."""
        used: dict[str, torch.Tensor] = {}

        def keep(site: str):
            def function(x: torch.Tensor) -> torch.Tensor:
                x = x if x.requires_grad else x.requires_grad_()
                used[site] = x * 1
                return used[site]

            return function

        logits = self.run(ids, {site: keep(site) for site in self.dictionaries})
        found = torch.autograd.grad(logits[answer] - logits[foil], list(used.values()))
        return dict(zip(used, found, strict=True))

    def units(self, site: str, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Atoms [T, width], in lengths of their directions, and the error [T, d]."""
        sae = self.dictionaries[site]
        f = sae.encode(x) * sae.scale(x)
        return f, x - f @ sae.W_dec - (0 if sae.norm else sae.b_dec)

    def direct(self, ids: Sequence[int], source: str, target: str | None) -> tuple[torch.Tensor, torch.Tensor]:
        """The leaf at the source, and what the target is with everything else held still: an activation [T, d], or the logits."""
        got: dict[str, torch.Tensor] = {}

        def leaf(x: torch.Tensor) -> torch.Tensor:
            got["leaf"] = x.detach().clone().requires_grad_()
            return got["leaf"] * 1

        def note(x: torch.Tensor) -> torch.Tensor:
            got["target"] = x
            return x.detach()

        do = {site: (lambda x: x.detach()) for site in self.dictionaries}
        logits = self.run(ids, do | {source: leaf} | ({target: note} if target else {}))
        return got["leaf"], got["target"] if target else logits

    def edges(
        self,
        clean: Sequence[int],
        corrupt: Sequence[int] | None,
        answer: int,
        foil: int,
        counted: torch.Tensor,
        kept: Sequence[str],
    ) -> Iterator[tuple[str, str, float]]:
        """(source, target, weight) of every pair of nodes with positions, and of every node and the answer."""
        nodes = [frames.circuits.parse_node(name) for name in kept]
        x = self.values(clean)
        y = None if corrupt is None else self.values(corrupt)
        slopes = self.slopes(clean, answer, foil)
        change = {}
        for site, value in x.items():
            f, e = self.units(site, value)
            if y is None:
                change[site] = f, value - self.dictionaries[site].bias(value) - f @ self.dictionaries[site].W_dec
            else:
                g, h = self.units(site, y[site])
                change[site] = f - g, e - h
        sites = list(self.dictionaries)

        def through(slope: torch.Tensor, site: str) -> Iterator[tuple[str, float]]:
            """What each node of a site adds with this gradient [T, d]."""
            df, de = change[site]
            for node in nodes:
                if node.site == site and counted[node.position]:
                    p = node.position
                    amount = de[p] if node.atom is None else df[p, node.atom] * self.dictionaries[site].W_dec[node.atom]
                    yield str(node), float(slope[p] @ amount)

        for source in sites:
            leaf, logits = self.direct(clean, source, None)
            slope = torch.autograd.grad(logits[answer] - logits[foil], leaf, allow_unused=True)[0]
            if slope is not None:
                yield from ((name, "answer", weight) for name, weight in through(slope, source))
            for target in sites[sites.index(source) + 1 :]:
                leaf, value = self.direct(clean, source, target)
                if not value.requires_grad:
                    continue
                f, e = self.units(target, value)
                for node in nodes:
                    if node.site != target or not counted[node.position]:
                        continue
                    p, g = node.position, slopes[target][node.position]
                    directions = self.dictionaries[target].W_dec
                    scalar = e[p] @ g if node.atom is None else f[p, node.atom] * (directions[node.atom] @ g)
                    if not scalar.requires_grad:
                        continue
                    slope = torch.autograd.grad(scalar, leaf, retain_graph=True, allow_unused=True)[0]
                    if slope is not None:
                        yield from ((name, str(node), weight) for name, weight in through(slope, source))
