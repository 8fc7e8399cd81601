"""Which tokens two texts do not share."""

from __future__ import annotations

from collections.abc import Sequence
from difflib import SequenceMatcher


def differing(one: Sequence[int], other: Sequence[int]) -> tuple[list[bool], list[bool]]:
    """For each token of each text whether it lies outside the runs of tokens that both have, in order (Ratcliff and Obershelp)."""
    out = [True] * len(one), [True] * len(other)
    for i, j, size in SequenceMatcher(None, one, other, autojunk=False).get_matching_blocks():
        out[0][i : i + size] = out[1][j : j + size] = [False] * size
    return out
