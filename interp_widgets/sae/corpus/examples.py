"""Choosing examples of an atom among its events, and showing them in context.

Every choice is exact: the strongest are the strongest, and a draw is uniform over the events (of the interval). A draw orders
events by a pseudo-random number of their place in the text, so the first three of ten are the draw of three, and a draw from a
corpus that has grown keeps what it can. Of an atom with more events than are kept, the strongest half of what is kept is exact,
and what is drawn comes from the uniform half.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import polars as pl

from ... import frames
from ...errors import CorpusError
from .folder import bounded, shuffled
from .tables import KINDS
from .view import View

_PIECE = 4096
"""Contexts compared at a time, which bounds memory."""


class Example(NamedTuple):
    """An event that was chosen."""

    kind: str
    interval: int | None
    low: float | None
    high: float | None
    rank: int
    row: int
    repeats: int


@dataclass(frozen=True, eq=False)
class Pool:
    """The events of one atom that choices are made from."""

    view: View
    atom: int
    row: np.ndarray
    activation: np.ndarray
    key: np.ndarray
    fired: int
    maximum: float
    strongest: np.ndarray
    """Indices of events of which no stronger one is missing."""
    sample: np.ndarray
    """Indices of a uniform sample of all events: all of them, unless there are more than are kept."""

    @property
    def whole(self) -> bool:
        """Whether there are no more events than are kept."""
        return self.fired <= self.view.about["most"]

    def weights(self) -> tuple[np.ndarray, np.ndarray]:
        """Indices of events, and how many events each of them stands for."""
        if self.whole:
            return self.sample, np.ones(len(self.sample))
        rest = np.setdiff1d(self.sample, self.strongest)
        each = (self.fired - len(self.strongest)) / max(len(rest), 1)
        return np.concatenate([self.strongest, rest]), np.repeat([1.0, each], [len(self.strongest), len(rest)])


def pool(view: View, atom: int) -> Pool:
    """The events of an atom, ready to choose from. Raises as `View.events`."""
    row, activation = view.events(atom)
    key = view.keys[row]
    fired, maximum = view.atoms.select("fired", "maximum").row(atom)
    everything = np.arange(len(row))
    chosen = bounded(activation, key, view.about["most"]) if fired > view.about["most"] else (everything, everything)
    return Pool(view, atom, row, activation, key, fired, maximum, *chosen)


def choose(
    pool: Pool,
    kind: str,
    count: int,
    context: tuple[int, int],
    intervals: int = 10,
    interval: int | None = None,
    seed: int = 0,
) -> list[Example]:
    """At most `count` events a list, no two of a list with the same context.

    Raises:
        CorpusError: a kind that does not exist, or a number that makes no sense.
    """
    check(kind, count, context, intervals, interval)
    chosen = []
    for number, low, high, members in _lists(pool, kind, intervals, seed):
        if interval in (None, number):
            first, repeats = _different(pool, members, context)
            for rank, (event, more) in enumerate(zip(first[:count], repeats[:count], strict=True), 1):
                chosen.append(Example(kind, number, low, high, rank, int(pool.row[event]), int(more)))
    return chosen


def check(kind: str, count: int, context: tuple[int, int], intervals: int, interval: int | None) -> None:
    """Raises CorpusError unless examples can be chosen so."""
    if kind not in KINDS:
        raise CorpusError(f"There are no examples of kind {kind!r}; the kinds are {', '.join(KINDS)}.")
    if count < 1 or intervals < 1 or min(context) < 0:
        raise CorpusError(
            f"count and intervals must be above 0 and a context not negative, not {count}, {intervals} and {context}."
        )
    if interval is not None and not (kind in KINDS[2:] and 0 <= interval < intervals):
        raise CorpusError(
            f"interval is 0 to {intervals - 1}, for the kinds interval and quantile alone, not {interval}."
        )


def _lists(
    pool: Pool, kind: str, intervals: int, seed: int
) -> Iterator[tuple[int | None, float | None, float | None, np.ndarray]]:
    """Each list: its number, its bounds, and the indices of its events, best first."""
    drawn = pool.sample[np.argsort(shuffled(pool.key[pool.sample], (seed + 1) * 0x10001 + pool.atom), kind="stable")]
    if kind == "top":
        order = np.lexsort((pool.key[pool.strongest], -pool.activation[pool.strongest]))
        yield None, None, None, pool.strongest[order]
    elif kind == "random":
        yield None, None, None, drawn
    elif kind == "quantile":
        ascending = drawn[np.lexsort((pool.key[drawn], pool.activation[drawn]))]
        for number, part in enumerate(np.array_split(ascending, intervals)):
            if len(part):
                low, high = pool.activation[part[[0, -1]]].tolist()
                yield number, low, high, drawn[np.isin(drawn, part)]
    else:
        edges = edges_of(pool.maximum, intervals)
        # Where nothing is missing every event can be drawn, not only the sample.
        exact = pool.strongest[np.argsort(shuffled(pool.key[pool.strongest], (seed + 1) * 0x10001 + pool.atom))]
        weakest = float(pool.activation[pool.strongest].min()) if len(pool.strongest) and not pool.whole else 0.0
        for number in range(intervals if len(pool.row) else 0):
            low, high = float(edges[number]), float(edges[number + 1])
            among = exact if low >= weakest else drawn
            value = pool.activation[among].astype(np.float64)  # as exact as the bounds
            yield number, low, high, among[(value > low) & (value <= high)]


def edges_of(maximum: float, bins: int) -> np.ndarray:
    """Ends of equal bins from 0 to `maximum`."""
    edges = maximum * np.arange(bins + 1) / bins
    edges[-1] = maximum
    return edges


def _different(pool: Pool, members: np.ndarray, context: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """The first of `members` with each context, in order, and how many others had the same."""
    _, first, size = np.unique(
        _fingerprints(pool.view, pool.row[members], context), return_index=True, return_counts=True
    )
    order = np.argsort(first)
    return members[first[order]], size[order] - 1


def _fingerprints(view: View, rows: np.ndarray, context: tuple[int, int]) -> np.ndarray:
    """A uint64 for the tokens in each context; that two differ and have the same is less likely than 1 in 10^18."""
    before, after = context
    offsets = np.arange(-before, after + 1)
    with np.errstate(over="ignore"):
        odd = shuffled(np.arange(len(offsets), dtype=np.int64)) | np.uint64(1)
        found = [np.zeros(0, np.uint64)]
        for at in range(0, len(rows), _PIECE):
            part = rows[at : at + _PIECE]
            low, high = view.around(part, before, after)
            place = part[:, None] + offsets
            inside = (place >= low[:, None]) & (place < high[:, None])
            ids = np.where(inside, view.ids[np.where(inside, place, 0)], -1)
            found.append((shuffled(ids.astype(np.int64)) * odd).sum(1))
        return np.concatenate(found)


def render(pool: Pool, chosen: Sequence[Example], context: tuple[int, int]) -> pl.DataFrame:
    """Chosen events with their contexts (see `frames.ATOM_EXAMPLES`)."""
    view = pool.view
    rows = np.array([example.row for example in chosen], np.int64)
    low, high = view.around(rows, *context)
    words = [view.ids[a:b].tolist() for a, b in zip(low, high, strict=True)]
    columns = {
        "atom": [pool.atom] * len(chosen),
        **{
            name: [getattr(example, name) for example in chosen] for name in ("kind", "interval", "low", "high", "rank")
        },
        "activation": pool.activation[np.searchsorted(pool.row, rows)],
        **places_of(view, rows),
        "repeats": [example.repeats for example in chosen],
        "tokens": [[view.vocabulary[i] for i in ids] for ids in words],
        "token_ids": words,
        "activations": [_activations(pool, a, b) for a, b in zip(low.tolist(), high.tolist(), strict=True)],
        "at": rows - low,
    }
    return frames.build(frames.ATOM_EXAMPLES, columns)


def places_of(view: View, rows: np.ndarray) -> dict[str, list[object] | np.ndarray]:
    """The columns that say which token each of `rows` is."""
    text, ids = view.text[rows], view.ids[rows]
    return {
        "text": text,
        "source": [view.source[i] for i in text.tolist()],
        "position": view.position[rows],
        "token_id": ids,
        "token": [view.vocabulary[i] for i in ids.tolist()],
    }


def _activations(pool: Pool, low: int, high: int) -> list[float | None]:
    """The atom's activations on the rows low to high; None where it is not known."""
    values: list[float | None] = [
        0.0 if pool.whole and counts else None for counts in pool.view.counts[low:high].tolist()
    ]
    first, last = np.searchsorted(pool.row, (low, high))
    for row, value in zip(pool.row[first:last].tolist(), pool.activation[first:last].tolist(), strict=True):
        values[row - low] = value
    return values
