"""Patching over many pairs of prompts, and how sure one can be of a cell.

One pair is an example. Over pairs of one template a cell has a mean effect with a bootstrap interval, a sign-flip test of a mean of
zero (see `pair_statistics`), and beside it what patching from a *random* other pair does: an effect that a wrong source has as well
says nothing about the content.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
import torch

from .. import frames
from ..errors import AlignmentError, TextError
from ..progress import Progress, silent
from ..session.runner import Runner
from ..session.session import Session
from .activation_patching import expand_sites, plan_pair
from .choices import columns_of
from .pair_statistics import SAMPLES, summarise
from .patching_plan import Plan, begin
from .patching_run import UNDEFINED, label_of
from .prediction import METRICS, check_metric
from .reading import Row, Span
from .sweep import MEMORY, Group, fill, packs_of

COLUMNS = ("clean", "corrupt", "answer", "foil")
PAIRS = 8
"""Pairs in one request to a server."""
KEY = ("site", "layer", "position", "last_position")


@dataclass
class PairsRun:
    """Patching of `N` pairs, filled pair by pair: `R` rows x `C` columns each, NaN where not computed."""

    pairs: list[dict[str, str]]
    rows: list[Row]
    columns: list[Span]
    direction: str
    cells: dict[str, np.ndarray]
    """Per metric [N, R, C]: the patched runs."""
    wrong: dict[str, np.ndarray]
    """Per metric [N, R, C]: patched from a random other pair; NaN if not asked for."""
    prompt: dict[str, np.ndarray]
    """Per metric [N]: the unpatched prompt."""
    source: dict[str, np.ndarray]
    """Per metric [N]: the prompt whose activations are put in."""
    others: list[int] | None
    """Which pair the random source of each is; None without a baseline."""
    identity: float = 0.0
    """Largest change of the logit difference by an identity patch."""
    tolerance: float = 1e-3

    def shown(self, value: str, wrong: bool = False) -> np.ndarray:
        """[N, R, C]: the effect on a metric, patched minus unpatched, or with "recovery" that over what there is to bring over of
        the logit difference (NaN where that is rounding). `wrong`: patched from the random other pair.
        """
        metric = "logit_difference" if value == "recovery" else value
        effect = (self.wrong if wrong else self.cells)[metric] - self.prompt[metric][:, None, None]
        return effect / self.gap(metric)[:, None, None] if value == "recovery" else effect

    def gap(self, metric: str) -> np.ndarray:
        """[N]: source minus prompt, NaN where it is rounding."""
        gap = self.source[metric] - self.prompt[metric]
        return np.where(np.abs(gap) > UNDEFINED[metric], gap, np.nan)

    def take(self, i: int, found: Swept, wrong: Swept | None) -> None:
        """Put a pair's results in."""
        for at, metric in enumerate(METRICS):
            self.cells[metric][i] = found.cells[at].numpy()
            self.source[metric][i], self.prompt[metric][i] = found.source[at], found.prompt[at]
            if wrong is not None:
                self.wrong[metric][i] = wrong.cells[at].numpy()
        self.identity, self.tolerance = max(self.identity, found.identity), found.tolerance

    @property
    def done(self) -> int:
        """Pairs that are computed."""
        return int((~np.isnan(self.prompt["logit_difference"])).sum())


def patching_pairs(
    model: Session,
    pairs: pl.DataFrame,
    *,
    sites: Sequence[str] = ("resid_post",),
    positions: Sequence[int | Sequence[int]] | None = None,
    metric: str = "logit_difference",
    direction: str = "denoise",
    baseline: bool = False,
    seed: int = 0,
    memory: int = MEMORY,
    progress: Progress = silent,
) -> pl.DataFrame:
    """The exact effect of every cell on every pair (see `frames.PAIR_EFFECTS`); `pair_summary` sums it up.

    Args:
        model, sites, positions, metric, direction, memory: as in `activation_patching`.
        pairs: one pair a row, columns `clean`, `corrupt`, `answer`, `foil`; all prompts have the same number of tokens, so that a
            position means the same in each.
        baseline: also patch each pair from the source of a random other pair, one with another source (twice the work). Where
            the corrupt prompt swaps words of the clean one, any other source takes the wrong word away too, so expect some effect.
        seed: of that choice.
        progress: called after each pair, with the `PairsRun` so far as `partial`.

    Raises:
        TextError: a column is missing, fewer than two pairs, or a bad prompt, answer or foil; says which pair. Also a
            baseline where all pairs have one source.
        AlignmentError: prompts of different length. SiteError: as in `activation_patching`.
    """
    check_metric(metric)
    run = prepare_pairs(model, pairs, sites, positions, direction, baseline, seed)
    sweep_pairs(model, run, memory, progress)
    return pairs_frame(run, metric)


def pair_summary(
    effects: pl.DataFrame, *, value: str = "effect", samples: int = SAMPLES, seed: int = 0
) -> pl.DataFrame:
    """Mean, interval and test of every cell over pairs (see `frames.PAIR_SUMMARY`).

    Args:
        effects: what `patching_pairs` returned.
        value: "effect" (default), "recovery" or "metric"; pairs where it is null are left out.
        samples: bootstrap samples, default 2,000.
        seed: of the samples and of the sign flips, of which there are 10,000, or all if they are fewer.

    Raises:
        TextError: a value that the frame does not have.
    """
    if value not in ("effect", "recovery", "metric"):
        raise TextError(f"{value!r} cannot be summed up; choose effect, recovery or metric.")
    if effects.is_empty():
        return frames.build(frames.PAIR_SUMMARY, {name: [] for name in frames.PAIR_SUMMARY})
    table = effects.pivot("pair", index=KEY, values=value, maintain_order=True)
    numbers = table.select(pl.exclude(KEY)).cast(pl.Float64).fill_null(float("nan")).to_numpy().T
    beside = {"effect": "baseline", "recovery": "baseline_recovery"}.get(value)
    wrong = pl.col(beside).mean() if beside else pl.lit(None, pl.Float64)
    baseline = effects.group_by(KEY, maintain_order=True).agg(wrong.alias("baseline"))
    columns = {
        **{name: table[name] for name in KEY},
        **summarise(numbers, samples, seed),
        "baseline": baseline["baseline"],
    }
    return frames.build(frames.PAIR_SUMMARY, columns)


def prepare_pairs(
    model: Session,
    pairs: pl.DataFrame,
    sites: Sequence[str],
    positions: Sequence[int | Sequence[int]] | None,
    direction: str,
    baseline: bool,
    seed: int,
) -> PairsRun:
    """The pairs, checked, and an empty grid for each."""
    checked = checked_pairs(model, pairs)
    rows = expand_sites(model, sites)
    columns = columns_of(positions, len(model.encode(checked[0]["clean"])))
    shape = (len(checked), len(rows), len(columns))

    def grids() -> dict[str, np.ndarray]:
        return {metric: np.full(shape, np.nan) for metric in METRICS}

    def ends() -> dict[str, np.ndarray]:
        return {metric: np.full(len(checked), np.nan) for metric in METRICS}

    others = other_pairs([pair[_source_side(direction)] for pair in checked], seed) if baseline else None
    return PairsRun(checked, rows, columns, direction, grids(), grids(), ends(), ends(), others)


def sweep_pairs(model: Session, run: PairsRun, memory: int = MEMORY, progress: Progress = silent) -> None:
    """Patch the pairs that are not patched yet, one after the other."""
    todo = [i for i in range(len(run.pairs)) if np.isnan(run.prompt["logit_difference"][i])]
    many = PAIRS if model.remote else 1
    for first in range(0, len(todo), many):
        some = todo[first : first + many]
        progress(some[0], len(run.pairs), f"pair {some[0] + 1} of {len(run.pairs)}", run)
        plans = [(_plan(model, run, run.pairs[i]), _wrong_plan(model, run, i)) for i in some]
        report = _from(progress, some[0], len(run.pairs), run)
        for i, found in zip(some, model.work(_sweep_some, plans, memory, progress=report), strict=True):
            run.take(i, *found)
    progress(len(run.pairs), len(run.pairs), "", run)


def _plan(model: Session, run: PairsRun, pair: dict[str, str]) -> Plan:
    sites = [label_of(row) for row in run.rows]
    positions = [(span[0], span[-1]) for span in run.columns]
    asked = pair["clean"], pair["corrupt"], pair["answer"], pair["foil"]
    return plan_pair(model, *asked, sites, positions=positions, direction=run.direction)


def _wrong_plan(model: Session, run: PairsRun, i: int) -> Plan | None:
    """The same prompt, patched from a random other pair's source."""
    if run.others is None:
        return None
    side = _source_side(run.direction)
    return _plan(model, run, {**run.pairs[i], side: run.pairs[run.others[i]][side]})


@dataclass(frozen=True)
class Swept:
    """What patching one pair gave; metrics in the order of `METRICS`."""

    cells: list[torch.Tensor]
    """[R, C] each"""
    source: list[float]
    prompt: list[float]
    identity: float
    tolerance: float


def _sweep_some(
    model: Runner, plans: Sequence[tuple[Plan, Plan | None]], memory: int, *, progress: Progress = silent
) -> list[tuple[Swept, Swept | None]]:
    """Some pairs, each from its own source and, where it has a second plan, from a wrong one."""
    out = []
    for done, (plan, wrong) in enumerate(plans):
        if done:
            progress(done, len(plans))
        found, ways = _sweep_one(model, plan, memory)
        out.append((found, None if wrong is None else _sweep_one(model, wrong, memory, ways)[0]))
    return out


def _sweep_one(
    model: Runner, plan: Plan, memory: int, ways: dict[Group, str] | None = None
) -> tuple[Swept, dict[Group, str]]:
    run = plan.open(begin(model, plan), dtype=model.dtype)
    run.check_partners()
    run.fill_causal()
    fill(model, run, packs_of(run), memory, ways)
    cells = [getattr(run.cells, metric) for metric in METRICS]
    source, prompt = (
        [float(getattr(one, metric)[0]) for metric in METRICS] for one in (run.source_prediction, run.prompt_prediction)
    )
    return Swept(cells, source, prompt, run.largest_identity, run.tolerance), run.ways


def _from(progress: Progress, begin: int, pairs: int, run: PairsRun) -> Progress:
    """The progress of pairs that others came before."""

    def inner(done: int, total: int, message: str = "", partial: object = None) -> None:
        progress(begin + done, pairs, message or f"pair {begin + done + 1} of {pairs}", run)

    return inner


def pairs_frame(run: PairsRun, metric: str = "logit_difference") -> pl.DataFrame:
    """The pairs computed so far (see `frames.PAIR_EFFECTS`)."""
    where = np.nonzero(~np.isnan(run.cells[metric]))
    pair, row, column = (index.tolist() for index in where)

    def known(values: np.ndarray) -> list[float | None]:
        return [None if x != x else x for x in values[where].tolist()]

    columns = {
        "pair": pair,
        "site": [label_of(run.rows[r]) for r in row],
        "layer": [min(int(site.layer or 0) for site in run.rows[r]) for r in row],
        "position": [run.columns[c][0] for c in column],
        "last_position": [run.columns[c][-1] for c in column],
        "metric": run.cells[metric][where],
        "effect": run.shown(metric)[where],
        "recovery": known(run.shown(metric) / run.gap(metric)[:, None, None]),
        "baseline": known(run.shown(metric, wrong=True)),
        "baseline_recovery": known(run.shown(metric, wrong=True) / run.gap(metric)[:, None, None]),
    }
    return frames.build(frames.PAIR_EFFECTS, columns)


def checked_pairs(model: Session, pairs: pl.DataFrame) -> list[dict[str, str]]:
    """The pairs as dicts, if every one of them can be patched and they all have one length."""
    if missing := [name for name in COLUMNS if name not in pairs.columns]:
        raise TextError(
            f"The frame of pairs has no column {missing[0]!r}; it needs {', '.join(COLUMNS)}, one pair of prompts a row."
        )
    rows = [{name: row[name] for name in COLUMNS} for row in pairs.iter_rows(named=True)]
    if len(rows) < 2:
        raise TextError(
            f"Intervals need at least two pairs, and there are {len(rows)}. With one pair patch that alone."
        )
    length = len(model.encode(rows[0]["clean"]))
    for i, row in enumerate(rows):
        for side in ("clean", "corrupt"):
            if (found := len(model.encode(row[side]))) != length:
                raise AlignmentError(
                    f"Pair {i} has a {side} prompt of {found} tokens and pair 0 a clean one of {length}; positions mean the same "
                    "only in prompts of one length. Leave it out, or take words of as many tokens."
                )
        for role in ("answer", "foil"):
            try:
                model.single_token(row[role], role)
            except TextError as error:
                raise TextError(f"Pair {i}: {error}") from None
        if row["answer"] == row["foil"]:
            raise TextError(f"Pair {i} has {row['answer']!r} as answer and as foil; they must differ.")
    return rows


def other_pairs(sources: Sequence[str], seed: int) -> list[int]:
    """A random other pair for each pair: a random order, each followed by the next one that has another source.

    Raises:
        TextError: all pairs have one source.
    """
    order = np.random.default_rng(seed).permutation(len(sources)).tolist()
    out = [0] * len(sources)
    for place, here in enumerate(order):
        others = [there for there in order[place + 1 :] + order[:place] if sources[there] != sources[here]]
        if not others:
            raise TextError(
                "All pairs have one source prompt, so there is no other to patch from. Leave out baseline=True."
            )
        out[here] = others[0]
    return out


def _source_side(direction: str) -> str:
    return "clean" if direction == "denoise" else "corrupt"
