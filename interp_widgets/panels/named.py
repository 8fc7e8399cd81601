"""`iw.load_sae` where torch is not installed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..errors import NotRecorded
from .recipe import Stand


class NamedDictionary(Stand):
    """A dictionary of which only the name is here: panels of a recording are found by it."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __repr__(self) -> str:
        return f"NamedDictionary({self.name!r}), without weights: torch is not installed here"

    def plain(self) -> dict[str, Any]:
        return {"kind": "sae", "name": self.name}

    def check_atom(self, atom: int) -> None:
        """Any atom may be asked for; the recording says whether it is there."""

    def direction(self, atom: int) -> tuple[NamedDictionary, int]:
        """The direction of an atom, by its name."""
        return self, atom

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        raise NotRecorded(
            f"The weights of {self.name} cannot be read, so it has no {name} here: torch is not installed. Its name is enough for "
            "the panels of a recording."
        )


def load_sae(source: str | Path, **more: Any) -> NamedDictionary:
    """The name of a dictionary, for the panels of a recording. Weights are not read: that needs torch."""
    return NamedDictionary(str(source))
