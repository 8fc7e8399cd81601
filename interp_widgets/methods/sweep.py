"""Filling a grid of patched runs: in which order, in what pieces, which way, and the checks on the way.

Three ways give the same numbers. Grids of local sites go packed (`suffix_sweep`); keys, values and groups over layers go run by
run (`patched_runs`), both continued from the middle of the prompt; a model that cannot be continued runs all positions again.
Before a kind of site is swept, patches that must change nothing go the same way: where they change something, the next way is
taken, and the last one is told to the reader.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from ..errors import Cancelled
from ..progress import Progress, silent
from ..session.runner import Runner
from ..session.session import Session
from . import patched_runs, suffix_sweep
from .patched_runs import Patch, patch_of
from .patching_run import PatchingRun
from .prediction import Prediction
from .reading import Reading, Values

BUDGET = 64
"""Tokens of the suffixes that share a row; more cost attention that is thrown away, fewer leave the products thin."""
MEMORY = 2**29
"""Bytes that a batch may take beside the model and what was read."""

REQUEST, REQUESTS = 100_000, 8
"""Layers times tokens that a request to a server is worth, and requests at most."""

Group = tuple[str, bool]
"""Rows that go the same way: their kind of site, and whether they are local."""

PACKED, CONTINUED, WHOLE = "packed", "continued", "whole"


def sweep(
    model: Session,
    run: PatchingRun,
    *,
    first: str | None = None,
    budget: int = BUDGET,
    memory: int = MEMORY,
    progress: Progress = silent,
    like: PatchingRun | None = None,
) -> None:
    """Fill the grid: all cells that are not filled, the kind `first` before the others, the last positions first.

    `like`: a run of the same rows on prompts of the same length whose checks also hold for this one.
    """
    run.fill_causal()
    work = packs_of(run, first, budget)
    progress(0, len(work), "", run)
    if not work:
        run.reading = None
        return
    begin = 0
    for piece in _requests(model, run, work) if model.remote else [work]:
        ways = like.ways if like is not None else run.ways if begin else None
        run.work(model, fill, piece, memory, ways, progress=_from(progress, begin, len(work), run))
        begin += len(piece)
    run.reading = None
    progress(len(work), len(work), "", run)


def fill(
    model: Runner,
    run: PatchingRun,
    work: Sequence[Pack],
    memory: int,
    ways: Mapping[Group, str] | None = None,
    *,
    progress: Progress = silent,
) -> None:
    """Fill some packs of a grid. `ways`: how groups are run, where that is known and checked."""
    reading = run.reading or run.read(model)[0]
    run.reading = None  # however this ends, a result that is kept does not keep both prompts' activations
    if ways is None:
        _check_whole(model, run, reading)
    ready: dict[Group, _Way] = {}
    for done, pack in enumerate(work):
        columns = [run.columns[c] for c in pack.columns]
        report = _within(progress, done, len(work), pack.group[0], run)
        report(0, 0, f"positions {columns[-1][0]} to {columns[0][-1]}")
        if pack.group not in ready:
            known = (ways or {}).get(pack.group)
            ready[pack.group] = _Way(model, run, reading, pack.rows, pack.missing, memory, known)
            run.ways[pack.group] = ready[pack.group].way
        ready[pack.group].fill(pack.columns, report)


class Pack(NamedTuple):
    """Cells that are run together: rows that go one way, at some columns."""

    group: Group
    rows: list[int]
    columns: list[int]
    missing: list[int]
    """All columns of the group that have no value yet."""


def packs_of(run: PatchingRun, first: str | None = None, budget: int = BUDGET) -> list[Pack]:
    """What is to be done, in order."""
    out = []
    for group, rows in sorted(_groups(run).items(), key=lambda item: item[0][0] != first):
        missing = _missing(run, rows)
        spans = {column: run.columns[column] for column in missing}
        out += [Pack(group, rows, pack, missing) for pack in suffix_sweep.packs(spans, len(run.ids[1]), budget)]
    return out


def _requests(model: Runner, run: PatchingRun, work: Sequence[Pack]) -> list[list[Pack]]:
    """Packs in as many requests to a server as their work asks for: few, and yet something to see on the way."""

    def cost(pack: Pack) -> int:
        """Layers times tokens."""
        tokens = sum(len(run.ids[1]) - min(run.columns[c]) for c in pack.columns)
        return tokens * sum(model.num_layers - min(int(s.layer or 0) for s in run.rows[row]) for row in pack.rows)

    share = max(REQUEST, -(-sum(map(cost, work)) // REQUESTS))
    out: list[list[Pack]] = [[]]
    size = 0
    for pack in work:
        if out[-1] and size + cost(pack) > share:
            out.append([])
            size = 0
        out[-1].append(pack)
        size += cost(pack)
    return out


def _groups(run: PatchingRun) -> dict[Group, list[int]]:
    """Rows that go the same way, by kind of site."""
    out: dict[Group, list[int]] = {}
    for row, sites in enumerate(run.rows):
        kinds = {site.kind for site in sites}
        name = kinds.pop() if len(kinds) == 1 else "groups"
        out.setdefault((name, suffix_sweep.is_local(sites)), []).append(row)
    return out


def _missing(run: PatchingRun, rows: Sequence[int]) -> list[int]:
    """Columns where one of the rows has no value yet."""
    left = ~run.done[list(rows)].all(0)
    return [c for c in run.patchable if left[c]]


def _from(progress: Progress, begin: int, of_all: int, run: PatchingRun) -> Progress:
    """The progress of packs that others came before."""

    def inner(done: int, total: int, message: str = "", partial: object = None) -> None:
        progress(begin + done, of_all, message, run)

    return inner


def _within(progress: Progress, piece: int, pieces: int, kind: str, run: PatchingRun) -> Progress:
    """The progress inside one piece of the work: its own count is told in words."""

    def inner(done: int, total: int, message: str = "", partial: object = None) -> None:
        progress(piece, pieces, f"{kind}, {message}", run)

    return inner


class _Way:
    """How some rows are run: the fastest way on which patches that must change nothing have changed nothing.

    The check patches the lowest, a middle and the highest row at the first, a middle and the last column: a wrong mask, window or
    cache shows there. A model that cannot be continued at all raises there.
    """

    def __init__(
        self,
        model: Runner,
        run: PatchingRun,
        reading: Reading,
        rows: list[int],
        columns: list[int],
        memory: int,
        way: str | None = None,
    ) -> None:
        self.model, self.run, self.reading, self.rows, self.memory = model, run, reading, rows, memory
        self.measure = run.measure(model)
        self.way = way or self._checked(rows, columns)
        put = {row: reading.put[row] for row in rows}
        self.changes = suffix_sweep.changes(model, reading, put) if self.way == PACKED else []

    def _checked(self, rows: list[int], columns: list[int]) -> str:
        """The fastest way that passes, else the last one."""
        at = few(columns)
        own = {row: self.reading.unchanged(row) for row in few(rows)}
        for way in (PACKED if suffix_sweep.is_local(self.run.rows[rows[0]]) else CONTINUED, WHOLE):
            self.way, seen = way, list(self.run.identity)
            if self._passes(own, at) or self.way == WHOLE:
                break
            self.run.identity[:] = seen  # the next way will be checked by itself
        return self.way

    def _passes(self, own: dict[int, Values], at: list[int]) -> bool:
        if self.way == WHOLE:
            return self.run.check(self._runs(own, at, silent))
        if not self.reading.kept:
            return False
        try:
            if self.way == CONTINUED:
                return self.run.check(self._runs(own, at, silent))
            changes = suffix_sweep.changes(self.model, self.reading, own)
            spans = [self.run.columns[c] for c in at]
            return self.run.check(suffix_sweep.patch(self.model, self.reading, changes, spans, self.measure))
        except (Cancelled, MemoryError):
            raise
        except Exception:  # whatever a model says that takes no cache, mask or positions: it is run whole
            return False

    def fill(self, columns: list[int], progress: Progress) -> None:
        """Run all rows at some columns."""
        if self.way != PACKED:
            for column in columns:
                found = self._runs({row: self.reading.put[row] for row in self.rows}, [column], progress)
                self.run.fill(self.rows, [column], found)
            return
        spans = [self.run.columns[c] for c in columns]
        starts = [min(span) for span in spans]
        step = suffix_sweep.most_rows(self.model, starts, len(self.reading.ids), self.memory)
        for begin in range(0, len(self.changes), step):
            part = self.changes[begin : begin + step]
            found = suffix_sweep.patch(self.model, self.reading, part, spans, self.measure, progress)
            self.run.fill([change.row for change in part], columns, found)

    def _runs(self, rows: dict[int, Values], columns: list[int], progress: Progress) -> Prediction:
        """Each row at each column, row by row, as runs of their own."""
        patches = [patch_of(values, self.run.columns[c]) for values in rows.values() for c in columns]
        return in_batches(self.model, self.run, self.reading, patches, self.memory, self.way != WHOLE, progress)


def few(items: Sequence[int]) -> list[int]:
    """The first, a middle and the last: where a check looks."""
    return [items[i] for i in sorted({0, len(items) // 2, len(items) - 1})]


def in_batches(
    model: Runner,
    run: PatchingRun,
    reading: Reading,
    patches: Sequence[Patch],
    memory: int = MEMORY,
    continued: bool = True,
    progress: Progress = silent,
) -> Prediction:
    """Patched runs in as many batches as the memory asks for."""
    first = min(p for patch in patches for put in patch for p in put.positions) if continued else 0
    step = suffix_sweep.most_rows(model, [first], len(reading.ids), memory)
    measure = run.measure(model)
    parts = [patches[begin : begin + step] for begin in range(0, len(patches), step)]
    return Prediction.cat([patched_runs.run(model, reading, part, measure, continued, progress) for part in parts])


def _check_whole(model: Runner, run: PatchingRun, reading: Reading) -> None:
    """Patch a whole stream in the middle of the model: with every token paired, that is the source's run."""
    whole = [row for row, sites in enumerate(run.rows) if len(sites) == 1 and sites[0].kind == "resid_post"]
    everything = [j for _, j in run.pairs if j not in run.unaffected]
    if run.method != "exact" or not whole or not everything or not run.paired_throughout:
        return
    row = whole[len(whole) // 2]
    [change] = suffix_sweep.changes(model, reading, {row: reading.put[row]})
    patch = patch_of(dict.fromkeys(run.rows[row], change.stream), everything)
    run.whole = patched_runs.run(model, reading, [patch], run.measure(model), continued=False)
