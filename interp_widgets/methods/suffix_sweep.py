"""Many patched runs as one batch that grows: nothing below a patch and nothing before it is computed again.

A patch at layer l and position p changes no layer below l and no position before p. So a cell is the prompt's stream after layer
l from position p on, with one vector replaced, and it is continued from there: on the cached keys and values of the prompt, next
to the same patch at other positions (packed into one row), and in the batch of all layers (a row joins after its layer). The
arithmetic that is left is the floor of any exact sweep: for a cell, the layers above l on the positions from p on.

A site inside a layer (attention output, MLP output, heads, neurons, queries) at p changes the layer's own result at p only, so
one pass with the site patched at every position gives the vectors of all its cells at once. Keys and values are read by later
positions too; they go through `patched_runs`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch

from ..errors import InterpError
from ..progress import Progress, silent
from ..session import cache
from ..session.runner import Runner
from .patched_runs import Measure
from .prediction import Prediction
from .reading import Reading, Row, Span, Values

LOCAL = ("q", "head_out", "attn_out", "resid_mid", "mlp_in", "mlp_act", "mlp_out")
"""Kinds of site inside a layer that change the layer's result at their own position only."""
TOKENS_AT_ONCE = {"cpu": 1024}
"""Rows x tokens of a batch: on a CPU enough for products at full speed, and more only leave its cache."""
TOKENS_ELSEWHERE = 16_384
"""The same on other devices, which want larger batches (not measured)."""


@dataclass(frozen=True)
class Change:
    """One row of a grid as a change of the stream: after `layer` it is `stream[p]` at a patched position p. [tokens, width]"""

    row: int
    layer: int
    stream: torch.Tensor


def is_local(row: Row) -> bool:
    """Whether patching these sites at a position is a change of one layer's result at that position."""
    if len(row) == 1 and row[0].kind in ("resid_pre", "resid_post"):
        return True
    return len({site.layer for site in row}) == 1 and all(site.kind in LOCAL for site in row)


def changes(model: Runner, reading: Reading, rows: Mapping[int, Values]) -> list[Change]:
    """Rows of a grid, which must be local, as changes of the stream, lowest layer first."""
    out: list[Change] = []
    inside: dict[int, list[tuple[int, Values]]] = {}
    for row, values in rows.items():
        site, value = next(iter(values.items()))
        if site.kind in ("resid_pre", "resid_post"):
            out.append(Change(row, int(site.layer or 0) - (site.kind == "resid_pre"), value))
        else:
            inside.setdefault(int(site.layer or 0), []).append((row, values))
    step = most_tokens(model) // len(reading.ids) or 1
    for begin in range(0, max(map(len, inside.values()), default=0), step):
        some = {layer: here[begin : begin + step] for layer, here in inside.items() if len(here) > begin}
        out += _changed(model, reading, some)
    return sorted(out, key=lambda change: change.layer)


def _changed(model: Runner, reading: Reading, inside: Mapping[int, list[tuple[int, Values]]]) -> list[Change]:
    """One pass over the prompt: at each layer, each row of the batch has its sites patched at every position."""
    out: list[Change] = []
    edit: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {}
    for layer, here in inside.items():
        for site in dict.fromkeys(site for _, values in here for site in values):
            edit[str(site)] = _put([(at, values[site]) for at, (_, values) in enumerate(here) if site in values])

        def take(x: torch.Tensor, layer: int = layer, here: list[tuple[int, Values]] = here) -> torch.Tensor:
            out.extend(Change(row, layer, x[at].clone()) for at, (row, _) in enumerate(here))
            return reading.streams[layer + 1].expand_as(x).clone()

        edit[f"resid_post.{layer}"] = take
    rows = max(map(len, inside.values()))
    lowest = min(inside)
    start = (lowest, reading.streams[lowest].expand(rows, -1, -1).clone())
    model.run([reading.ids] * rows, edit=edit, start=start)
    return out


def _put(values: Sequence[tuple[int, torch.Tensor]]) -> Callable[[torch.Tensor], torch.Tensor]:
    def put(x: torch.Tensor) -> torch.Tensor:
        x = x.clone()
        for at, value in values:
            x[at] = value.to(x)
        return x

    return put


def patch(
    model: Runner,
    reading: Reading,
    wanted: Sequence[Change],
    columns: Sequence[Span],
    measure: Measure,
    progress: Progress = silent,
) -> Prediction:
    """What each change (lowest layer first) predicts when patched at each column: runs change by change."""
    ids, length = reading.ids, len(reading.ids)
    starts = [min(span) for span in columns]
    at = cache.packed(starts, length)
    ends = torch.tensor([length - p for p in starts]).cumsum(0)
    first, last = [0, *ends[:-1].tolist()], (ends - 1).tolist()
    to = [begin + p - start for begin, start, span in zip(first, starts, columns, strict=True) for p in span]
    from_ = [p for span in columns for p in span]
    joining: dict[int, list[torch.Tensor]] = {}
    for change in wanted:
        stream = reading.streams[change.layer + 1][at].clone()
        stream[to] = change.stream[from_].to(stream)
        joining.setdefault(change.layer, []).append(stream)
    batch = {layer: torch.stack(streams) for layer, streams in joining.items()}
    lowest = min(batch)

    def grow(layer: int) -> Callable[[torch.Tensor], torch.Tensor]:
        def join(x: torch.Tensor) -> torch.Tensor:
            progress(layer, model.num_layers, f"layer {layer}")
            return torch.cat([x, batch[layer]])

        return join

    def then(values: dict[str, torch.Tensor]) -> Prediction:
        ended = values["final_norm"][:, last].flatten(0, 1)
        if len(ended) != len(wanted) * len(columns):
            raise InterpError(f"The sweep returned {len(ended)} cells instead of {len(wanted) * len(columns)}.")
        return measure(ended)

    return model.run(
        [[ids[i] for i in at]],
        ["final_norm"],
        edit={f"resid_post.{layer}": grow(layer) for layer in batch if layer > lowest},
        then=then,
        start=(lowest + 1, batch[lowest]),
        inputs=cache.continuation(reading.kept, starts, length, model.window),
    )


def most_tokens(model: Runner) -> int:
    """Rows x tokens of a batch on the model's device."""
    return TOKENS_AT_ONCE.get(model.device.type, TOKENS_ELSEWHERE)


def most_rows(model: Runner, starts: Sequence[int], length: int, memory: int) -> int:
    """How many runs from these positions on share a batch of so many bytes: scores, keys, streams and MLP of one layer."""
    tokens = len(cache.packed(starts, length))
    seen = max(starts) + tokens
    row = 4 * (3 * model.num_heads * tokens * seen + (24 * tokens + 4 * seen) * model.width)
    return max(1, min(memory // row, most_tokens(model) // tokens))


def packs(columns: Mapping[int, Span], length: int, budget: int) -> list[list[int]]:
    """Columns in groups whose suffixes have at most `budget` tokens together, the last positions first: they cost least."""
    out: list[list[int]] = []
    size = 0
    for column in sorted(columns, key=lambda c: min(columns[c]), reverse=True):
        suffix = length - min(columns[column])
        if out and size + suffix <= budget:
            out[-1].append(column)
            size += suffix
        else:
            out.append([column])
            size = suffix
    return out
