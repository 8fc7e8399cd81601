"""What a patching panel has shown: results with names, to go back to without computing them again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ..errors import TextError

if TYPE_CHECKING:
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


@dataclass(eq=False)  # the same question may have been asked twice
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


class Recalls:
    """The part of a patching panel that goes back and on."""

    if TYPE_CHECKING:
        _history: History
        _direction: str
        _tokens: dict[str, str | int]
        _by_hand: tuple[str, str, Pairs] | None
        clean: str
        corrupt: str
        history: list[str]
        _lock: Any
        cancel: Callable[[], None]
        hold_sync: Callable[[], Any]
        _show: Callable[[PatchingRun], None]

    def undo(self) -> None:
        """Show the result before this one, as it was; nothing is computed. Raises TextError if there is none."""
        self.recall(self._history.at - 1)

    def redo(self) -> None:
        """Show the result after this one. Raises TextError if there is none."""
        self.recall(self._history.at + 1)

    def recall(self, index: int) -> None:
        """Show the result `history[index]`, with its prompts and tokens; nothing is computed."""
        entry = self._history.go(index)
        self.cancel()
        question = entry.question
        with self._lock, self.hold_sync():
            self.clean, self.corrupt, self._direction = question.clean, question.corrupt, question.direction
            self._tokens = dict(question.tokens)
            self._by_hand = None if question.by_hand is None else (question.clean, question.corrupt, question.by_hand)
            self._show(entry.run)

    def rename(self, name: str) -> None:
        """Name the result that is shown."""
        self._history.rename(name)
        self.history = [entry.name for entry in self._history.entries]

    _on_undo, _on_redo, _on_recall, _on_rename = undo, redo, recall, rename
