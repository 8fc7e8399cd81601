"""What a patching panel has shown: results with names, to go back to without computing them again."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from ..errors import TextError
from ..methods.alignment import Pairs
from ..methods.patching_run import PatchingRun

KEPT = 12
"""Results kept; beyond that the oldest goes. One of 1,260 cells and width 576 holds 3 MB."""


@dataclass
class Question:
    """What a panel was asked."""

    clean: str
    corrupt: str
    tokens: dict[str, str | int]
    """answer and foil as given; empty for what is predicted"""
    direction: str
    by_hand: Pairs | None = None
    """Pairs (clean position, corrupt position) if the proposed ones were changed."""

    @property
    def grid(self) -> tuple[Any, ...]:
        """What decides which runs there are: all but the tokens that they are measured by."""
        return self.clean, self.corrupt, self.direction, self.by_hand


@dataclass
class Entry:
    """One result."""

    name: str
    question: Question
    run: PatchingRun


@dataclass
class History:
    """Results in the order in which they were asked for, and which of them is shown."""

    entries: list[Entry] = field(default_factory=list)
    at: int = -1

    def add(self, entry: Entry) -> None:
        """Show a new result, last in order."""
        self.entries = [*self.entries, entry][-KEPT:]
        self.at = len(self.entries) - 1

    def drop(self, run: PatchingRun) -> None:
        """Forget a result that came to nothing."""
        self.entries = [entry for entry in self.entries if entry.run is not run]
        self.at = len(self.entries) - 1

    def go(self, index: int) -> Entry:
        """Show another one.

        Raises:
            TextError: there is none.
        """
        if not 0 <= index < len(self.entries):
            where = "further back" if index < 0 else "further on"
            raise TextError(f"There is no result {where}; {len(self.entries)} are kept.")
        self.at = index
        return self.entries[index]

    def rename(self, name: str) -> None:
        """Name the one that is shown."""
        if self.entries and name.strip():
            self.entries[self.at].name = name.strip()[:60]
