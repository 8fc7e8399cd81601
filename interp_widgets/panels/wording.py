"""Tokens, names and numbers inside a sentence that is read aloud: exact, short, and with nothing invisible in them."""

from __future__ import annotations

import json
import math
import re
import unicodedata

NAME = 32
"""Characters of a name that a sentence has room for."""
TOKEN = 18
"""Characters of a token, as written, that a sentence has room for."""

_BLANKS = {" ": ("a space", "spaces"), "\n": ("a line break", "line breaks"), "\t": ("a tab", "tabs")}
_INVISIBLE = re.compile("[\x00-\x1f\x7f-\x9f\xad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u2028-\u202e"
                        "\u2060-\u206f\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff9-\ufffb]")  # fmt: skip
"""What shows nothing, or turns the text around it. front/numbers.js has the same list."""
_RIGHT_TO_LEFT = ("R", "AL", "AN")


def quoted(token: str) -> str:
    """A token in quotes: what is invisible is written by its code, blanks alone are named, what is long is cut (…)."""
    if not token.strip(" \n\t"):
        return _blanks(token)
    written, cut = "", False
    for cluster in clusters(token):
        piece = _visible(json.dumps(cluster, ensure_ascii=False)[1:-1])
        if cut := len(written) + len(piece) > TOKEN:
            written = written or piece[:TOKEN]
            break
        written += piece
    if unicodedata.category(token[0]).startswith("M"):  # it needs something to stand on
        written = f"◌{written}"
    text = f'"{written}"' + ("…" if cut else "")
    return isolated(text)


def name(text: str) -> str:
    """A name on one line, cut where it is too long for a sentence."""
    written = "".join(map(_visible, clusters(" ".join(text.split()))))
    return isolated(written if len(written) <= NAME else f"{written[: NAME - 1].rstrip()}…")


def isolated(text: str) -> str:
    """Text that cannot reorder what stands beside it: within isolating marks if any of it runs from right to left."""
    turns = any(unicodedata.bidirectional(c) in _RIGHT_TO_LEFT for c in text)
    return f"\u2068{text}\u2069" if turns else text


def clusters(text: str) -> list[str]:
    """Text in pieces that a cut must not take apart: a character with what combines with it, and what a joiner joins."""
    pieces: list[str] = []
    for character in text:
        joins = unicodedata.category(character).startswith("M") or 0x1F3FB <= ord(character) <= 0x1F3FF
        if pieces and (joins or character == "\u200d" or pieces[-1].endswith("\u200d")):
            pieces[-1] += character
        else:
            pieces.append(character)
    return pieces


def percent(share: float) -> str:
    """A share of a whole; never 0% or 100% of what is not. Halves go up, as in the browser."""
    if not math.isfinite(share):
        return "an undefined share"
    if 0 < share < 0.001:
        return "under 0.1%"
    if 0.9995 < share < 1:
        return "over 99.9%"
    if abs(share) < 0.0995 or 0.99 < share < 1:
        return f"{round(100 * share, 1):g}%".replace("-", "−")
    return f"{math.floor(100 * share + 0.5)}%".replace("-", "−")


def number(value: float, sign: bool = False) -> str:
    """Three digits that count."""
    if not math.isfinite(value):
        return "undefined"
    text = f"{value:+.3g}" if sign and value else f"{value:.3g}"
    return text.replace("e-0", "e-").replace("e+0", "e").replace("-", "−")


def counted(count: int, one: str, many: str = "") -> str:
    """A count with its noun."""
    return f"{count:,} {one if count == 1 else many or one + 's'}"


def _blanks(token: str) -> str:
    if not token:
        return "an empty token"
    runs = [(run[0], len(run)) for run in re.findall(r" +|\n+|\t+", token)]
    said = [_BLANKS[blank][0] if count == 1 else f"{count:,} {_BLANKS[blank][1]}" for blank, count in runs]
    return " and ".join(said) if len(said) <= 2 else f"{len(token):,} blanks"


def _visible(cluster: str) -> str:
    """With codes for what is invisible, but for a joiner or selector inside an emoji or a word, which belongs there."""
    inside = len(cluster) > 1 and not _INVISIBLE.match(cluster)
    return cluster if inside else _INVISIBLE.sub(_code, cluster)


def _code(found: re.Match[str]) -> str:
    return f"\\u{ord(found[0]):04x}"
