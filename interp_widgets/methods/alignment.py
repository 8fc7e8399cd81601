"""Which token of the clean prompt belongs to which token of the corrupt one."""

from __future__ import annotations

from collections.abc import Sequence
from difflib import SequenceMatcher
from itertools import pairwise

from ..errors import AlignmentError

Pairs = list[tuple[int, int]]
"""Pairs (clean position, corrupt position), both ascending."""


def align(clean: Sequence[int], corrupt: Sequence[int]) -> Pairs:
    """Positions that belong together: one to one for equally long prompts, else equal runs and, between them, gaps of equal size.

    What stays unpaired (a name of two tokens against one of three) is for the reader to decide.
    """
    if len(clean) == len(corrupt):
        return [(i, i) for i in range(len(clean))]
    pairs: Pairs = []
    for _, i1, i2, j1, j2 in SequenceMatcher(None, clean, corrupt, autojunk=False).get_opcodes():
        if i2 - i1 == j2 - j1:
            pairs += zip(range(i1, i2), range(j1, j2), strict=True)
    return pairs


def check_pairs(pairs: Sequence[Sequence[int]], clean: int, corrupt: int) -> Pairs:
    """The pairs, if they are positions of prompts of these lengths and rise together.

    Raises:
        AlignmentError: a position that does not exist, is used twice, or crosses another pair.
    """
    checked = sorted((int(i), int(j)) for i, j in pairs)
    for i, j in checked:
        if not (0 <= i < clean and 0 <= j < corrupt):
            raise AlignmentError(
                f"The pair ({i}, {j}) does not exist: the clean prompt has {clean} tokens, the corrupt one {corrupt}."
            )
    for (i, j), (k, m) in pairwise(checked):
        if i == k or j >= m:
            raise AlignmentError(
                f"The pairs ({i}, {j}) and ({k}, {m}) cross or share a token. Pairs must rise in both prompts; unpair one first."
            )
    return checked


def pair(pairs: Pairs, clean: int, corrupt: int) -> Pairs:
    """The pairs with (clean, corrupt) added; pairs that cross or share a token with it give way."""
    kept = [(i, j) for i, j in pairs if (i < clean and j < corrupt) or (i > clean and j > corrupt)]
    return sorted([*kept, (clean, corrupt)])


def explain(clean: Sequence[str], corrupt: Sequence[str], pairs: Pairs) -> str:
    """One or two sentences on what is not paired; empty when every token is."""
    lone_clean = [t for i, t in enumerate(clean) if i not in {i for i, _ in pairs}]
    lone_corrupt = [t for j, t in enumerate(corrupt) if j not in {j for _, j in pairs}]
    if not lone_clean and not lone_corrupt:
        return ""
    parts = [f"The clean prompt has {len(clean)} tokens and the corrupt one {len(corrupt)}."]
    for name, tokens in (("clean", lone_clean), ("corrupt", lone_corrupt)):
        if tokens:
            shown = ", ".join(repr(t) for t in tokens[:4]) + (" and more" if len(tokens) > 4 else "")
            parts.append(f"Without a partner in the {name} prompt: {shown}.")
    parts.append("Unpaired columns are not patched; press a clean token and then a corrupt one to pair them by hand.")
    return " ".join(parts)


def shared_prefix(clean: Sequence[int], corrupt: Sequence[int]) -> int:
    """How many tokens from the start are the same: a causal model has the same activations there."""
    same = 0
    for a, b in zip(clean, corrupt, strict=False):
        if a != b:
            break
        same += 1
    return same
