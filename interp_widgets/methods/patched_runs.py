"""Patched runs of any kind: several sites, several positions, queries, keys and values, each run a row of one batch.

A run joins the batch at the first layer that its patch changes, and begins at the first position that any of the patches
changes: what lies below and before is known from the reading. `suffix_sweep` does the same for whole grids of single
activations, faster.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

import torch

from ..progress import Progress, silent
from ..session import cache
from ..session.runner import Runner
from ..session.sites import Site
from .prediction import Prediction
from .reading import Reading, Values

Edit = Callable[[torch.Tensor], torch.Tensor]
Measure = Callable[[torch.Tensor], Prediction]
"""From the normalised streams at the last position, [rows, width], to what they predict."""


class Put(NamedTuple):
    """What is put at some positions of a site, [positions, ...]."""

    site: Site
    positions: Sequence[int]
    values: torch.Tensor


Patch = list[Put]
"""All that is put into one run."""


def patch_of(values: Values, positions: Sequence[int]) -> Patch:
    """A row of a grid at some positions."""
    return [Put(site, positions, value[list(positions)]) for site, value in values.items()]


def run(
    model: Runner,
    reading: Reading,
    patches: Sequence[Patch],
    measure: Measure,
    continued: bool = True,
    progress: Progress = silent,
) -> Prediction:
    """What each patched run predicts. `continued`: on the kept keys and values, else all positions are run again."""
    ids = reading.ids
    first = min(p for patch in patches for put in patch for p in put.positions) if continued else 0
    puts = [[_on_stream(put) for put in patch] for patch in patches]
    joins = [min(_entry(put) for put in patch) for patch in puts]
    order = sorted(range(len(patches)), key=lambda i: joins[i])
    lowest = joins[order[0]]
    joining: dict[int, list[torch.Tensor]] = {}
    inside: list[tuple[int, Put]] = []
    for row, i in enumerate(order):
        stream = reading.streams[joins[i]][first:].clone()
        for put in puts[i]:
            if put.site == _stream_into(joins[i]):
                stream[[p - first for p in put.positions]] = put.values.to(stream)
            else:
                inside.append((row, put))
        joining.setdefault(joins[i], []).append(stream)
    batch = {layer: torch.stack(streams) for layer, streams in joining.items()}
    edits = edits_of(inside, first)
    for layer in sorted(set(batch) - {lowest}):
        site = _stream_into(layer)
        edits[site] = _join(batch[layer], edits.get(site), layer, model.num_layers, progress)
    found = model.run(
        [ids[first:]],
        ["final_norm"],
        edit={str(site): edit for site, edit in edits.items()},
        then=lambda values: measure(values["final_norm"][:, -1]),
        start=(lowest, batch[lowest]),
        inputs=cache.continuation(reading.kept, [first], len(ids), model.window) if continued else None,
    )
    return found[torch.tensor(order).argsort()]


def edits_of(puts: Iterable[tuple[int, Put]], first: int = 0) -> dict[Site, Edit]:
    """What puts are as edits of a batch: each with its row; the batch begins at position `first`."""
    by_site: dict[Site, list[tuple[int, Put]]] = {}
    for row, put in puts:
        by_site.setdefault(put.site, []).append((row, put))
    return {site: _put_all(here, first) for site, here in by_site.items()}


def constant(value: torch.Tensor) -> Edit:
    """An edit that puts a value in, whatever was there."""
    return lambda _: value


def _on_stream(put: Put) -> Put:
    """The stream into a layer is the stream out of the one below; only the first layer has no other name for it."""
    if put.site.kind == "resid_pre" and put.site.layer:
        return put._replace(site=Site("resid_post", put.site.layer - 1))
    return put


def _entry(put: Put) -> int:
    """The first layer that reads what is put in."""
    return int(put.site.layer or 0) + (put.site.kind == "resid_post")


def _stream_into(layer: int) -> Site:
    return Site("resid_post", layer - 1) if layer else Site("resid_pre", 0)


def _put_all(here: Sequence[tuple[int, Put]], first: int) -> Edit:
    rows = [row for row, put in here for _ in put.positions]
    columns = [position - first for _, put in here for position in put.positions]
    values = torch.cat([put.values for _, put in here])

    def edit(x: torch.Tensor) -> torch.Tensor:
        x = x.clone()
        x[rows, columns] = values.to(x)
        return x

    return edit


def _join(
    rows: torch.Tensor,
    before: Callable[[torch.Tensor], torch.Tensor] | None,
    layer: int,
    layers: int,
    progress: Progress,
) -> Callable[[torch.Tensor], torch.Tensor]:
    def edit(x: torch.Tensor) -> torch.Tensor:
        progress(layer, layers, f"layer {layer}")
        return torch.cat([x if before is None else before(x), rows])

    return edit
