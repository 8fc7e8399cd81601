"""Patching over many pairs of prompts, and how sure one can be of a cell.

One pair is an example. Over pairs of one template a cell has a mean effect with a bootstrap interval (percentiles of means of
pairs drawn with replacement; Efron, 1979), a sign-flip test of a mean of zero (the effects of independent pairs may each have had
the other sign; Fisher, 1935), and beside it what patching from a *random* other pair does: an effect that a wrong source has as
well says nothing about the content.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import polars as pl

from .. import frames
from ..errors import AlignmentError, TextError
from ..session.session import Session
from .activation_patching import prepare
from .patching_run import patching_frame
from .prediction import check_metric
from .progress import Progress, silent
from .sweep import MEMORY, sweep

COLUMNS = ("clean", "corrupt", "answer", "foil")
KEY = ("site", "layer", "position", "last_position")
FLIPS = 10_000


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
        baseline: also patch each pair from the source of a random other pair, one with another source (twice the work).
        seed: of that choice.
        progress: called after each pair, with the frame so far as `partial`.

    Raises:
        TextError: a column is missing, fewer than two pairs, or a bad prompt, answer or foil; says which pair. Also a
            baseline where all pairs have one source.
        AlignmentError: prompts of different length.
    """
    check_metric(metric)
    rows = checked_pairs(model, pairs)
    others = _others([_source(row, direction) for row in rows], seed) if baseline else []

    def swept(row: dict[str, str]) -> pl.DataFrame:
        asked = row["clean"], row["corrupt"], row["answer"], row["foil"]
        run = prepare(model, *asked, sites, positions=positions, direction=direction)
        sweep(model, run, memory=memory)
        return patching_frame(run, metric)

    out: list[pl.DataFrame] = []
    for i, row in enumerate(rows):
        progress(i, len(rows), f"pair {i + 1} of {len(rows)}", pl.concat(out) if out else None)
        frame = swept(row).with_columns(pl.lit(i, pl.Int32).alias("pair"))
        frame = frame.with_columns(pl.lit(None, pl.Float64).alias("baseline"))
        if baseline:
            wrong = {**row, "clean" if direction == "denoise" else "corrupt": _source(rows[others[i]], direction)}
            found = swept(wrong).select(*KEY, pl.col("effect").alias("baseline"))
            frame = frame.drop("baseline").join(found, on=KEY, how="left", maintain_order="left")
        out.append(frames.build(frames.PAIR_EFFECTS, {name: frame[name] for name in frames.PAIR_EFFECTS}))
    progress(len(rows), len(rows), "", pl.concat(out))
    return pl.concat(out)


def pair_summary(effects: pl.DataFrame, *, value: str = "effect", samples: int = 2000, seed: int = 0) -> pl.DataFrame:
    """Mean, interval and test of every cell over pairs (see `frames.PAIR_SUMMARY`).

    Args:
        effects: what `patching_pairs` returned.
        value: "effect" (default), "recovery" or "metric"; pairs where it is null are left out.
        samples: bootstrap samples. seed: of the samples and of the sign flips, of which there are 10,000, or all if they are fewer.

    Raises:
        TextError: a value that the frame does not have.
    """
    if value not in ("effect", "recovery", "metric"):
        raise TextError(f"{value!r} cannot be summed up; choose effect, recovery or metric.")
    known = effects.filter(pl.col(value).is_not_null())
    table = known.pivot("pair", index=KEY, values=value, maintain_order=True)
    numbers = table.select(pl.exclude(KEY)).to_numpy().T  # [pairs, cells]
    baseline = known.group_by(KEY, maintain_order=True).agg(pl.col("baseline").mean())
    if not len(table):
        return frames.build(frames.PAIR_SUMMARY, {name: [] for name in frames.PAIR_SUMMARY})
    low, high = bootstrap(numbers, samples, seed)
    p = sign_flip(numbers, seed)
    columns = {
        **{name: table[name] for name in KEY},
        "pairs": (~np.isnan(numbers)).sum(0),
        "mean": np.nanmean(numbers, 0),
        "low": low,
        "high": high,
        "p": p,
        "q": benjamini_hochberg(p),
        "baseline": table.select(KEY).join(baseline, on=KEY, how="left", maintain_order="left")["baseline"],
    }
    return frames.build(frames.PAIR_SUMMARY, columns)


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


def bootstrap(numbers: np.ndarray, samples: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """95% percentile interval of the mean over rows [pairs, cells], NaN left out."""
    draws = np.random.default_rng(seed).multinomial(len(numbers), np.full(len(numbers), 1 / len(numbers)), samples)
    present = ~np.isnan(numbers)
    with np.errstate(invalid="ignore"):
        means = (draws @ np.where(present, numbers, 0)) / (draws @ present)
    low, high = np.nanpercentile(means, [2.5, 97.5], axis=0)
    return low, high


def sign_flip(numbers: np.ndarray, seed: int) -> np.ndarray:
    """Two-sided p for a mean of zero over rows [pairs, cells]: every flip of signs where they are few, else 10,000 of them."""
    pairs, numbers = len(numbers), np.nan_to_num(numbers)
    exact = 2**pairs <= FLIPS
    if exact:
        signs = 1 - 2 * ((np.arange(2**pairs)[:, None] >> np.arange(pairs)) & 1)
    else:
        signs = np.random.default_rng(seed).choice([-1, 1], (FLIPS, pairs))
    total = np.abs(numbers.sum(0))
    slack = 1e-9 * np.maximum(np.abs(numbers).sum(0), 1e-30)  # the same sum in another order
    count = (np.abs(signs @ numbers) >= total - slack).sum(0)
    return count / len(signs) if exact else (count + 1) / (FLIPS + 1)


def benjamini_hochberg(p: np.ndarray) -> np.ndarray:
    """The smallest false discovery rate at which each test passes (Benjamini & Hochberg, 1995)."""
    order = np.argsort(-p)
    ranks = np.arange(len(p), 0, -1)
    q = np.minimum.accumulate(np.minimum(p[order] * len(p) / ranks, 1))
    out = np.empty_like(q)
    out[order] = q
    return out


def _source(row: dict[str, str], direction: str) -> str:
    return row["clean" if direction == "denoise" else "corrupt"]


def _others(sources: Sequence[str], seed: int) -> list[int]:
    """A random other pair for each pair: a random order, each followed by the next one that has another source."""
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
