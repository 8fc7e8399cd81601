"""Exact text of single tokens.

`tokenizer.decode([id])` loses things: leading spaces of SentencePiece pieces, the bytes of a character that is split over
several tokens, clean-up of spaces. Here each id has one text that never depends on its neighbours: the bytes it stands for,
with `\\xe2` for each byte that is only part of a character.
"""

from __future__ import annotations

import json
import re
from functools import lru_cache
from typing import Any


class TokenTexts:
    """Texts of the tokens of one tokenizer: `texts[id]`."""

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer
        self._added = {int(i): str(t) for i, t in getattr(tokenizer, "added_tokens_decoder", {}).items()}
        self.style = _style(tokenizer)
        self._cache: dict[int, str] = {}

    def __getitem__(self, token_id: int) -> str:
        if token_id not in self._cache:
            self._cache[token_id] = self._text(token_id)
        return self._cache[token_id]

    def _text(self, token_id: int) -> str:
        if token_id in self._added:
            return self._added[token_id]
        piece = self._tokenizer.convert_ids_to_tokens(token_id)
        if piece is None:  # models pad their vocabulary beyond the tokenizer's
            return f"<id {token_id}>"
        if self.style == "bytes":
            table = _byte_of_character()
            if all(c in table for c in piece):
                return bytes(table[c] for c in piece).decode(errors="backslashreplace")
            return piece
        if self.style != "metaspace":
            return piece
        if byte := re.fullmatch(r"<0x([0-9A-F]{2})>", piece):  # byte fallback: a character that the vocabulary lacks
            return bytes.fromhex(byte[1]).decode(errors="backslashreplace")
        return piece.replace("▁", " ")


def _style(tokenizer: Any) -> str:
    """How the vocabulary writes spaces and bytes: "bytes" (GPT-2's alphabet), "metaspace" (SentencePiece) or "words"."""
    backend = getattr(tokenizer, "backend_tokenizer", None) or getattr(tokenizer, "_tokenizer", None)
    if backend is None or not hasattr(backend, "to_str"):
        return "metaspace"
    spec = json.loads(backend.to_str())
    parts = json.dumps([spec.get("decoder"), spec.get("pre_tokenizer"), spec.get("normalizer")], ensure_ascii=False)
    if "ByteLevel" in parts:
        return "bytes"
    return "metaspace" if "Metaspace" in parts or "▁" in parts else "words"


@lru_cache(1)
def _byte_of_character() -> dict[str, int]:
    """GPT-2's printable alphabet for bytes, inverted: printable Latin-1 stands for itself, the rest for U+0100 onwards."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    table = {chr(b): b for b in printable}
    table |= {chr(0x100 + i): b for i, b in enumerate(b for b in range(256) if b not in printable)}
    return table
