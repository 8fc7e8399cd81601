"""The prompt that is patched, read once, and what is put into it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch

from ..session import cache
from ..session.runner import Runner
from ..session.sites import Site
from .alignment import Pairs

Row = tuple[Site, ...]
"""Sites that are patched together: one row of a grid."""
Span = Sequence[int]
"""Positions that are patched together: one column of a grid."""
Values = dict[Site, torch.Tensor]
"""Per site an activation for every position of the prompt, [tokens, ...]."""


@dataclass(frozen=True)
class Output:
    """What one prompt predicts."""

    logits: torch.Tensor
    """[vocabulary] at the last position, float32"""
    normed: torch.Tensor
    """[width]: the normalised stream there"""


@dataclass(frozen=True)
class Reading:
    """Everything that patched runs of one prompt start from."""

    ids: list[int]
    streams: list[torch.Tensor]
    """[tokens, width] before each layer, and after the last one."""
    kept: cache.KeysValues
    """Keys and values of the prompt; empty if the model keeps none."""
    own: Values
    """The prompt's own activations at the sites of the grid."""
    put: list[Values]
    """Per row of the grid what is put at each position."""
    output: Output

    def unchanged(self, row: int) -> Values:
        """A row that puts in what is there: it must change nothing."""
        return {site: self.own[site] for site in self.put[row]}


Read = Callable[[Runner], tuple[Reading, Output]]
"""Reads the prompts where the model is: what patched runs start from, and what the source predicts."""


def read_prompt(model: Runner, ids: list[int], sites: Sequence[Site]) -> Reading:
    """One forward pass of the prompt that is to be patched, with nothing to put in yet."""
    return _read_prompt(model, [ids], sites)[1]


def read_source(model: Runner, ids: list[int], sites: Sequence[Site]) -> tuple[Values, Output]:
    """One forward pass of the prompt whose activations are put in."""
    seen = _read(model, [ids], list(map(str, sites)), {})
    return _source(seen, sites)


def read_both(
    model: Runner, source: list[int], prompt: list[int], sites: Sequence[Site]
) -> tuple[tuple[Values, Output], Reading]:
    """`read_source` and `read_prompt`; prompts of one length share a pass, since a short one costs what its weights cost."""
    if len(source) != len(prompt):
        return read_source(model, source, sites), read_prompt(model, prompt, sites)
    seen, reading = _read_prompt(model, [source, prompt], sites)
    return _source(seen, sites), reading


def _read_prompt(model: Runner, ids: list[list[int]], sites: Sequence[Site]) -> tuple[dict[str, torch.Tensor], Reading]:
    """What was read of all rows, and the reading of the last one."""
    stream_names = ["resid_pre.0", *(f"resid_post.{layer}" for layer in range(model.num_layers))]
    past = cache.empty()
    inputs = {"use_cache": True, "past_key_values": past} if model.takes_cache else {}
    seen = _read(model, ids, [*map(str, sites), *stream_names], inputs)
    kept = [(keys[-1:], values[-1:]) for keys, values in cache.keys_values(past)]
    reading = Reading(
        ids[-1],
        [seen[name][-1] for name in stream_names],
        kept if len(kept) == model.num_layers else [],
        {site: seen[str(site)][-1] for site in sites},
        [],
        _output(seen, -1),
    )
    return seen, reading


def _source(seen: dict[str, torch.Tensor], sites: Sequence[Site]) -> tuple[Values, Output]:
    return {site: seen[str(site)][0] for site in sites}, _output(seen, 0)


def aligned(own: Values, source: Values, pairs: Pairs) -> Values:
    """The source's activations at the positions they go to, the prompt's own where it has no partner.

    `pairs` are (position in the source, position in the prompt).
    """
    if all(i == j for i, j in pairs) and all(len(pairs) == len(source[site]) == len(own[site]) for site in own):
        return source
    from_, to = [i for i, _ in pairs], [j for _, j in pairs]
    out = {site: value.clone() for site, value in own.items()}
    for site, value in out.items():
        value[to] = source[site][from_]
    return out


def sites_of(rows: Sequence[Row]) -> list[Site]:
    """Every site of a grid, once."""
    return list(dict.fromkeys(site for row in rows for site in row))


def rows_of(rows: Sequence[Row], values: Mapping[Site, torch.Tensor]) -> list[Values]:
    """What each row puts in, given what is put at each site."""
    return [{site: values[site] for site in row} for row in rows]


def _read(model: Runner, ids: list[list[int]], names: list[str], inputs: dict[str, object]) -> dict[str, torch.Tensor]:
    return model.run(ids, dict.fromkeys([*names, "final_norm", "logits"]), logits_to_keep=1, inputs=inputs)


def _output(seen: dict[str, torch.Tensor], row: int) -> Output:
    return Output(seen["logits"][row, -1].float(), seen["final_norm"][row, -1].clone())
