"""What a call means: which layers, heads, positions, prompts and tokens. Each must exist."""

from __future__ import annotations

from collections.abc import Sequence

from ..errors import AlignmentError, SiteError, TextError
from ..session.session import Session, Text
from .reading import Span


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


def columns_of(positions: Sequence[int | Sequence[int]] | None, length: int) -> list[Span]:
    """Positions to patch, alone or as spans (first, last); negative ones count from the end; None for each one.

    Raises:
        AlignmentError: a position that does not exist, or a span that ends before it begins.
    """
    if positions is None:
        return [(p,) for p in range(length)]
    out: list[Span] = []
    for wanted in positions:
        ends = [wanted] if isinstance(wanted, int) else list(wanted)
        ends = [p + length if p < 0 else p for p in ends]
        if len(ends) not in (1, 2) or not all(0 <= p < length for p in ends) or ends[0] > ends[-1]:
            raise AlignmentError(
                f"{wanted} is no position of the patched prompt: it has positions 0 to {length - 1}, "
                "and a span is (first, last)."
            )
        out.append(tuple(range(ends[0], ends[-1] + 1)))
    return out


def encode_both(model: Session, clean: Text, corrupt: Text, direction: str) -> tuple[list[int], list[int]]:
    """Token ids of the source and of the prompt that is patched.

    Raises:
        TextError: a prompt that the model cannot read, or a direction that does not exist.
    """
    if direction not in ("denoise", "noise"):
        raise TextError(
            f"{direction!r} is not a direction; choose 'denoise' (clean into corrupt) or 'noise' (corrupt into clean)."
        )
    ids = model.encode(clean), model.encode(corrupt)
    return ids if direction == "denoise" else (ids[1], ids[0])


def check_tokens(model: Session, answer: int, foil: int) -> None:
    """Raises TextError for an answer that is the foil."""
    if answer == foil:
        raise TextError(
            f"Answer and foil are both {model.text_of(answer)!r}; the logit difference needs two different tokens."
        )


def _of(what: str, count: int, wanted: Sequence[int] | None, name: str) -> list[int]:
    chosen = list(range(count)) if wanted is None else [int(one) for one in wanted]
    if not chosen or any(not 0 <= one < count for one in chosen):
        raise SiteError(f"{what} {chosen} are not all in 0..{count - 1} of {name}.")
    return chosen
