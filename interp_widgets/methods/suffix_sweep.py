"""Many patched runs as one batch that grows: nothing below a patch and nothing before it is computed again.

A patch at layer l and position p changes no layer below l and no position before p. So a cell is the corrupt stream after layer
l from position p on, with one vector replaced, and it is continued from there: on the cached keys and values of the corrupt
prompt, next to the same patch at other positions (packed into one row), and in the batch of all layers (a row joins after its
layer). The arithmetic that is left is the floor of any exact sweep: for a cell, the layers above l on the positions from p on.

A site inside a layer (attention output, MLP output, heads, neurons) at p changes the layer's own result at p only, so one pass
with the site patched at every position gives the vectors of all its cells at once.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch

from ..errors import InterpError
from ..session import cache
from ..session.session import Session
from ..session.sites import Site
from .patching_run import PatchingRun, Prediction, Reading, predict
from .progress import Progress, silent

LOGIT_ROWS = 64
"""Cells whose logits are held at once."""


@dataclass(frozen=True)
class Change:
    """One site to patch: after `layer` the stream is `stream[p]` at a patched position p. [tokens, width]"""

    row: int
    """The site's row of the run's grid."""
    layer: int
    stream: torch.Tensor


def read_both(model: Session, clean: list[int], corrupt: list[int], sites: Sequence[Site]) -> Reading:
    """The activations of both prompts and what they predict, in two forward passes."""
    names = [str(site) for site in sites]
    streams = ["resid_pre.0", *(f"resid_post.{layer}" for layer in range(model.num_layers))]
    keeps = "past_key_values" in inspect.signature(model.torch_module.forward).parameters
    past = cache.empty()
    inputs = {"use_cache": True, "past_key_values": past} if keeps else {}
    seen = model.run([clean], dict.fromkeys([*names, "logits"]), logits_to_keep=1)
    seen_corrupt = model.run([corrupt], dict.fromkeys([*names, *streams, "logits"]), logits_to_keep=1, inputs=inputs)
    kept = cache.keys_values(past)
    return Reading(
        {name: value[0] for name, value in seen.items()},
        {name: value[0] for name, value in seen_corrupt.items()},
        kept if len(kept) == model.num_layers else [],
    )


def changes(model: Session, run: PatchingRun, reading: Reading, rows: Sequence[int], own: bool = False) -> list[Change]:
    """The patched streams of some sites, lowest layer first. `own`: patched with the corrupt run's own values, so not changed."""
    to, from_ = list(run.source), list(run.source.values())
    values = {}
    for row in rows:
        values[row] = reading.corrupt[str(run.sites[row])].clone()
        if not own:
            values[row][to] = reading.clean[str(run.sites[row])][from_]
    out = {row: Change(row, layer, values[row]) for row in rows if (layer := _stream_layer(run.sites[row])) is not None}
    inside: dict[int, list[int]] = {}
    for row in rows:
        if row not in out:
            inside.setdefault(int(run.sites[row].layer or 0), []).append(row)

    edit: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {}
    for layer, here in inside.items():
        edit |= {str(run.sites[row]): _put(at, values[row]) for at, row in enumerate(here)}

        def take(x: torch.Tensor, layer: int = layer, here: list[int] = here) -> torch.Tensor:
            out.update({row: Change(row, layer, x[at].clone()) for at, row in enumerate(here)})
            return reading.stream(layer).expand_as(x).clone()

        edit[f"resid_post.{layer}"] = take
    if inside:
        model.run([run.corrupt["token_id"].to_list()] * max(map(len, inside.values())), edit=edit)
    return sorted(out.values(), key=lambda change: change.layer)


def patch(
    model: Session,
    run: PatchingRun,
    reading: Reading,
    wanted: Sequence[Change],
    positions: Sequence[int],
    progress: Progress = silent,
) -> Prediction:
    """What each change (lowest layer first) predicts when patched at each position: rows change by change."""
    ids, length = run.corrupt["token_id"].to_list(), len(run.corrupt)
    at = cache.packed(positions, length)
    ends = torch.tensor([length - p for p in positions]).cumsum(0)
    first, last = [0, *ends[:-1].tolist()], (ends - 1).tolist()
    joining: dict[int, list[torch.Tensor]] = {}
    for change in wanted:
        stream = reading.stream(change.layer)[at].clone()
        stream[first] = change.stream[list(positions)]
        joining.setdefault(change.layer, []).append(stream)
    batch = {layer: torch.stack(streams) for layer, streams in joining.items()}
    lowest = min(batch)
    met = [sum(change.layer < layer for change in wanted) for layer in range(model.num_layers)]

    def grow(layer: int) -> Callable[[torch.Tensor], torch.Tensor]:
        def join(x: torch.Tensor) -> torch.Tensor:
            progress(layer, model.num_layers, f"layer {layer}")
            return torch.cat([x, batch[layer]])

        return join

    def then(values: dict[str, torch.Tensor]) -> Prediction:
        ended = values["final_norm"][:, last].flatten(0, 1)
        if len(ended) != len(wanted) * len(positions):
            raise InterpError(f"The sweep returned {len(ended)} cells instead of {len(wanted) * len(positions)}.")
        k = run.top_ids.shape[-1]
        return Prediction.cat(
            [predict(model.head(part).float(), run.answer, run.foil, k) for part in ended.split(LOGIT_ROWS)]
        )

    return model.run(
        [[ids[i] for i in at]],
        ["final_norm"],
        edit={f"resid_post.{layer}": grow(layer) for layer in batch if layer > lowest},
        then=then,
        start=(lowest + 1, batch[lowest]),
        inputs=cache.continuation(reading.kept, positions, length, met, model.window),
    )


def most_rows(model: Session, positions: Sequence[int], length: int, memory: int) -> int:
    """How many changes at these positions fit into so many bytes: attention scores, streams and MLP of one layer."""
    tokens = len(cache.packed(positions, length))
    scores = 3 * model.num_heads * tokens * (max(positions) + tokens)
    return max(1, memory // (4 * (scores + 16 * tokens * model.width)))


def packs(positions: Sequence[int], length: int, budget: int) -> list[list[int]]:
    """Positions in groups whose suffixes have at most `budget` tokens together, the last positions first: they cost least."""
    out: list[list[int]] = []
    for position in sorted(positions, reverse=True):
        if out and len(cache.packed([*out[-1], position], length)) <= budget:
            out[-1].append(position)
        else:
            out.append([position])
    return out


def _stream_layer(site: Site) -> int | None:
    """The layer after which a site of the stream stands; None for a site inside a layer."""
    return {"resid_post": site.layer, "resid_pre": (site.layer or 0) - 1}.get(site.kind)


def _put(at: int, value: torch.Tensor) -> Callable[[torch.Tensor], torch.Tensor]:
    def put(x: torch.Tensor) -> torch.Tensor:
        x = x.clone()
        x[at] = value
        return x

    return put
