"""Which layers, heads and positions a call means: those it names, else all; each must exist."""

from __future__ import annotations

from collections.abc import Sequence

from ..errors import SiteError, TextError
from ..session.session import Session


def layers_of(model: Session, layers: Sequence[int] | None) -> list[int]:
    """Layers as a list, by default all.

    Raises:
        SiteError: none, or one that does not exist.
    """
    return _of("Layers", model.num_layers, layers, model.name)


def heads_of(model: Session, heads: Sequence[int] | None) -> list[int]:
    """Heads as a list, by default all.

    Raises:
        SiteError: none, or one that does not exist.
    """
    return _of("Heads", model.num_heads, heads, model.name)


def positions_of(length: int, positions: Sequence[int] | None) -> list[int]:
    """Positions of a text of so many tokens as a list, by default all.

    Raises:
        TextError: none, or one that does not exist.
    """
    at = list(range(length)) if positions is None else [int(p) for p in positions]
    if not at or any(not 0 <= p < length for p in at):
        raise TextError(f"Positions {at} are not all in 0..{length - 1}: the text has {length} tokens.")
    return at


def _of(what: str, count: int, wanted: Sequence[int] | None, name: str) -> list[int]:
    chosen = list(range(count)) if wanted is None else [int(one) for one in wanted]
    if not chosen or any(not 0 <= one < count for one in chosen):
        raise SiteError(f"{what} {chosen} are not all in 0..{count - 1} of {name}.")
    return chosen
