"""How sure one can be of a mean over pairs: a bootstrap interval, a sign-flip test, and what many tests at once ask for."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache

import numpy as np

FLIPS = 10_000
SAMPLES = 2000
BLOCK = 512
"""Cells taken at once, so that 10,000 flips of many cells fit into memory."""


Optionals = list[float | None]


def summarise(numbers: np.ndarray, samples: int = SAMPLES, seed: int = 0) -> dict[str, np.ndarray]:
    """`pairs`, `mean`, `low`, `high`, `p` and `q` of every cell [cells]; `numbers` [pairs, cells], NaN where a pair has none."""
    blocks = [numbers[:, begin : begin + BLOCK] for begin in range(0, numbers.shape[1], BLOCK)] or [numbers]
    low, high = (
        np.concatenate(ends) for ends in zip(*(bootstrap(block, samples, seed) for block in blocks), strict=True)
    )
    p = np.concatenate([sign_flip(block, seed) for block in blocks])
    known = (~np.isnan(numbers)).sum(0)
    return {
        "pairs": known,
        "mean": mean_over_pairs(numbers),
        "low": low,
        "high": high,
        "p": p,
        "q": benjamini_hochberg(p),
    }


def mean_over_pairs(numbers: np.ndarray) -> np.ndarray:
    """Mean over the first axis, NaN where no pair has a value."""
    with np.errstate(invalid="ignore"):
        return np.nansum(numbers, 0) / (~np.isnan(numbers)).sum(0)


def bootstrap(numbers: np.ndarray, samples: int = SAMPLES, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """95% percentile interval of the mean over rows [pairs, cells], NaN left out (Efron, 1979)."""
    draws = np.random.default_rng(seed).multinomial(len(numbers), np.full(len(numbers), 1 / len(numbers)), samples)
    present = ~np.isnan(numbers)
    with np.errstate(invalid="ignore"):
        means = (draws @ np.where(present, numbers, 0)) / (draws @ present)
    out = np.full((2, numbers.shape[1]), np.nan)
    some = present.any(0)
    if some.any():  # a sample may hold none of the pairs that have a value, so NaN is left out here too
        out[:, some] = np.nanquantile(means[:, some], [0.025, 0.975], axis=0)
    return out[0], out[1]


def bootstrap_share(
    parts: Sequence[np.ndarray], whole: np.ndarray, least: float, samples: int = SAMPLES, seed: int = 0
) -> tuple[Optionals, Optionals, Optionals]:
    """The mean of each of `parts` [pairs] over that of `whole` [pairs], and its 95% percentile interval over pairs.

    None where the whole is at most `least` in size, and for the interval of a single pair.
    """
    if abs(whole.mean()) <= least:
        return [None] * len(parts), [None] * len(parts), [None] * len(parts)
    shares: Optionals = [float(part.mean() / whole.mean()) for part in parts]
    if len(whole) < 2:
        return shares, [None] * len(parts), [None] * len(parts)
    draws = np.random.default_rng(seed).multinomial(len(whole), np.full(len(whole), 1 / len(whole)), samples)
    below = (draws * whole).sum(1)  # row by row the same sums in the same order: a part that is the whole has exactly 1
    drawn = np.stack([(draws * part).sum(1) for part in parts], 1)
    usable = np.abs(below) > least * len(whole)
    low, high = np.quantile(drawn[usable] / below[usable, None], [0.025, 0.975], axis=0)
    return shares, low.tolist(), high.tolist()


def sign_flip(numbers: np.ndarray, seed: int = 0) -> np.ndarray:
    """Two-sided p for a mean of zero over rows [pairs, cells] (Fisher, 1935): every flip of signs if they are few, else 10,000."""
    pairs, numbers = len(numbers), np.nan_to_num(numbers)
    exact = 2**pairs <= FLIPS
    if exact:
        signs = 1 - 2 * ((np.arange(2**pairs)[:, None] >> np.arange(pairs)) & 1)
    else:
        signs = np.random.default_rng(seed).choice([-1, 1], (FLIPS, pairs))
    total = np.abs(numbers.sum(0))
    slack = 1e-9 * np.maximum(np.abs(numbers).sum(0), 1e-30)  # the same sum in another order
    count = (np.abs(signs.astype(float) @ numbers) >= total - slack).sum(0)
    return count / len(signs) if exact else (count + 1) / (FLIPS + 1)


def benjamini_hochberg(p: np.ndarray) -> np.ndarray:
    """The smallest false discovery rate at which each test passes (Benjamini & Hochberg, 1995)."""
    order = np.argsort(-p)
    ranks = np.arange(len(p), 0, -1)
    q = np.minimum.accumulate(np.minimum(p[order] * len(p) / ranks, 1))
    out = np.empty_like(q)
    out[order] = q
    return out


@lru_cache
def student(freedom: int) -> float:
    """The 97.5 % quantile of Student's t distribution (Abramowitz & Stegun 26.7.3 and 26.7.4, solved by halving)."""

    def inside(t: float) -> float:
        """How probable |T| < t is."""
        angle = math.atan(t / math.sqrt(freedom))
        odd = freedom % 2
        term, total = (math.cos(angle), 0.0) if odd else (1.0, 0.0)
        for i in range(1 + odd, freedom, 2):
            total += term
            term *= math.cos(angle) ** 2 * i / (i + 1)
        total *= math.sin(angle)
        return 2 / math.pi * (angle + total) if odd else total

    low, high = 0.0, 20.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if inside(middle) < 0.95 else (low, middle)
    return high
