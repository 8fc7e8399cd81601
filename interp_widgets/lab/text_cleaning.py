"""What makes good documents of raw text: cleaners that take and give text, or titles and texts."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from zlib import crc32

SHORTEST, USUAL, LONGEST = 2000, 4000, 8000
"""Characters of a document: at least, aimed at, and at most."""

Unit = tuple[str, str]
"""A title and a text."""


def without_gutenberg(text: str) -> str:
    """The text without Project Gutenberg's licence and notices at either end; what is left does not name it."""
    start = re.search(r"^.*(\*\*\* ?START OF (THE|THIS) PROJECT GUTENBERG|\*END\*? ?THE SMALL PRINT).*$", text, re.M)
    text = text[start.end() :] if start else text
    end = re.search(
        r"^.*(\*\*\* ?END OF (THE|THIS) PROJECT GUTENBERG|End of (The |the |this )?Project Gutenberg).*$", text, re.M
    )
    text = text[: end.start()] if end else text
    return "\n\n".join(part for part in re.split(r"\n\s*\n", text) if not re.search(r"gutenberg", part, re.I))


def without_contents(text: str) -> str:
    """The text without tables of contents: paragraphs that are mostly lines of chapter numbers or dot leaders."""
    entry = re.compile(
        r"^\s*((chapter|book|part|section|act|scene|letter)\s+[\divxlc]+\b.{0,60}|.{0,80}\.{4,}\s*\w+|contents)\W*$",
        re.I,
    )
    kept = []
    for part in re.split(r"\n\s*\n", text):
        lines = part.splitlines()
        if len(lines) < 4 or sum(bool(entry.match(line)) for line in lines) < 0.6 * len(lines):
            kept.append(part)
    return "\n\n".join(kept)


def unwrap(text: str) -> str:
    """Each paragraph on one line, without its indent."""
    parts = (re.sub(r"\s*\n\s*", " ", part).strip() for part in re.split(r"\n\s*\n", text))
    return "\n\n".join(part for part in parts if part)


_COMMON = {
    "the", "of", "and", "to", "a", "in", "is", "that", "it", "for", "as", "was", "with", "be", "by", "on", "not",
    "he", "his", "at", "this", "are", "or", "an", "from", "which", "you", "if", "can",
}  # fmt: skip


def is_english(text: str) -> bool:
    """Whether common English words and Latin letters make up what running English has: > 15 % of words, > 60 % of characters."""
    words = re.findall(r"[^\W\d_]+", text.lower())
    letters = sum(char.isascii() and (char.isalpha() or char == " ") for char in text)
    return bool(words) and sum(word in _COMMON for word in words) > 0.15 * len(words) and letters > 0.6 * len(text)


def without_boilerplate(units: Iterable[Unit]) -> Iterator[Unit]:
    """The units without paragraphs that stand in at least ten of them and in 2 %: headings, notices, labels of a site."""
    units = list(units)
    found = Counter(paragraph for _, text in units for paragraph in set(text.split("\n\n")))
    often = {paragraph for paragraph, number in found.items() if number >= max(10, 0.02 * len(units))}
    for title, text in units:
        yield title, "\n\n".join(paragraph for paragraph in text.split("\n\n") if paragraph not in often)


def cut(units: Iterable[Unit]) -> Iterator[Unit]:
    """Documents of SHORTEST to LONGEST characters, cut between paragraphs (in a longer paragraph, between sentences or lines).

    A unit that is too short is joined with those that follow; a last rest that stays too short is left out.
    """
    waiting, size = [], 0
    for title, text in units:
        waiting.append((title, text.strip("\n")))
        size += len(text) + 2
        if size >= SHORTEST:
            yield from _pieces(waiting)
            waiting, size = [], 0


def _pieces(units: list[Unit]) -> Iterator[Unit]:
    """Equal shares: each part goes where its middle falls, so a document is at most half a part off its share at either end."""
    parts = list(_parts("\n\n".join(text for _, text in units if text)))
    size = sum(len(separator) + len(part) for separator, part in parts)
    count = max(1, round(size / USUAL))
    documents, at = [""] * count, 0
    for separator, part in parts:
        i = int((at + len(part) / 2) * count / size)
        documents[i] += (separator if documents[i] else "") + part
        at += len(separator) + len(part)
    yield from ((units[0][0], document) for document in documents if len(document) >= SHORTEST)


def _parts(text: str) -> Iterator[tuple[str, str]]:
    """Paragraphs, each with what stands before it; those over LONGEST / 8 characters by lines or sentences."""
    most = LONGEST // 8
    for paragraph in filter(str.strip, re.split(r"\n{2,}", text)):
        separator, rest = "\n\n", paragraph
        while len(rest) > most:
            ends = list(re.finditer(r"\n|(?<=[.!?])[”’\"']? |$", rest[:most]))
            end = ends[-2].end() if len(ends) > 1 else most
            yield separator, rest[:end].rstrip(" \n")
            separator, rest = rest[len(rest[:end].rstrip(" \n")) : end], rest[end:]
        yield separator, rest


def without_repeats(documents: Iterable[Unit], share: float = 0.3) -> Iterator[Unit]:
    """Leave out a document when more than `share` of its runs of eight words stood in documents before it."""
    seen: set[int] = set()
    for title, text in documents:
        words = re.findall(r"\w+", text.lower())
        runs = {crc32(" ".join(words[i : i + 8]).encode()) for i in range(0, max(1, len(words) - 7))}
        sample = {run for run in runs if run % 4 == 0}
        if len(sample & seen) <= share * len(sample):
            yield title, text
        seen |= sample


def one_line(reason: object) -> str:
    """What a program said, on one line of at most 160 characters, without a full stop."""
    text = " ".join(str(reason).split()).removeprefix("ERROR: ").rstrip(".")
    return text if len(text) <= 160 else text[:159] + "…"
