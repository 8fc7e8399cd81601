"""Fields of a JSON object that may hold anything, each read as what it should be or refused with a sentence."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from ..errors import FrameError

LARGEST = 2**31 - 1


class Fields:
    """An object of a JSON file. Every method raises FrameError for a field that is not what it should be.

    A field that is null counts as missing.
    """

    def __init__(self, where: str, content: Any) -> None:
        if not isinstance(content, Mapping):
            raise FrameError(f"{where} is {_kind(content)}; expected is an object with the fields of a feature.")
        self.where, self.content = where, content

    def text(self, name: str, default: str | None = None) -> str:
        value = self._get(name, default)
        if isinstance(value, str):
            return _whole_characters(value)
        raise self._wrong(name, value, "a text")

    def number(self, name: str, default: float | None) -> float | None:
        value = self._get(name, default) if self.content.get(name) is not None else default
        return None if value is None else self._finite(name, value)

    def whole(self, name: str) -> int:
        """A number of an atom, which may be written as text."""
        value = self._get(name, None)
        if isinstance(value, str) and value.isascii() and value.isdecimal() and len(value) < 11:
            value = int(value)
        if type(value) is int and 0 <= value <= LARGEST:
            return value
        raise self._wrong(name, value, "the number of an atom")

    def numbers(self, name: str, most: int) -> list[float]:
        return [self._finite(name, value) for value in self._list(name, most)]

    def texts(self, name: str, most: int) -> list[str]:
        found = self._list(name, most)
        for value in found:
            if not isinstance(value, str):
                raise self._wrong(name, value, "a list of texts", within=True)
        return [_whole_characters(value) for value in found]

    def pair(self, first: str, second: str, most: int) -> tuple[list[float], list[float]]:
        """Two lists of numbers of one length."""
        found = self.numbers(first, most), self.numbers(second, most)
        if len(found[0]) != len(found[1]):
            raise FrameError(f"{self.where} has {len(found[0])} {first} and {len(found[1])} {second}.")
        return found

    def objects(self, name: str, most: int, *, needed: bool = False) -> list[Fields]:
        if needed and self.content.get(name) is None:
            has = ", ".join(list(map(str, self.content))[:8]) or "nothing"
            raise FrameError(
                f"{self.where} has no {name}; it has {has}. Expected is what Neuronpedia answers at /api/feature."
            )
        return [Fields(f"{self.where}, {name}[{i}]", each) for i, each in enumerate(self._list(name, most))]

    def _get(self, name: str, default: Any) -> Any:
        value = self.content.get(name)
        if value is None and default is None:
            raise FrameError(f"{self.where} has no {name}.")
        return default if value is None else value

    def _list(self, name: str, most: int) -> list[Any]:
        value = self.content.get(name)
        if value is None:
            return []
        if not isinstance(value, list):
            raise self._wrong(name, value, "a list")
        if len(value) > most:
            raise FrameError(f"{self.where} has {len(value):,} {name}; at most {most:,} are read.")
        return value

    def _finite(self, name: str, value: Any) -> float:
        if type(value) in (int, float):
            try:
                if math.isfinite(found := float(value)):
                    return found
            except OverflowError:
                pass
            raise FrameError(f"{self.where}: {name} has a number that is not finite.")
        raise self._wrong(name, value, "numbers", within=True)

    def _wrong(self, name: str, value: Any, expected: str, *, within: bool = False) -> FrameError:
        return FrameError(f"{self.where}: {name} {'has' if within else 'is'} {_kind(value)}, but must be {expected}.")


def _whole_characters(text: str) -> str:
    """JSON can hold half a character, which no frame can: it becomes U+FFFD."""
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def _kind(value: Any) -> str:
    """What a JSON value is, in words."""
    if isinstance(value, str):
        return f"the text {value[:20]!r}"
    if isinstance(value, bool) or value is None:
        return {True: "true", False: "false", None: "null"}[value]
    if isinstance(value, int | float):
        return f"the number {value:.6g}" if abs(value) < LARGEST else "a very large number"
    return "a list" if isinstance(value, list) else "an object" if isinstance(value, Mapping) else "no JSON"
