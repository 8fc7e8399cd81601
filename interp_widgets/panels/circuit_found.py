"""What is known of one question so far, and how far the work on it is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import polars as pl

from ..progress import nobody
from .circuit_question import Question

if TYPE_CHECKING:
    from ..methods.circuits.check import CircuitCheck
    from ..methods.circuits.dictionaries import Dictionaries
    from ..methods.circuits.prompts import Prompts
    from ..methods.circuits.run import CircuitRun
    from ..progress import Progress

BASELINES = {"neurons": "MLP neurons", "coordinates": "coordinates"}
"""Nodes to compare with -> the name of their curve."""


@dataclass(eq=False)
class Found:
    """Results of one question, stage by stage."""

    question: Question
    method: str
    options: dict[str, Any]
    """`steps` and `positions`."""
    dictionaries: Dictionaries
    prompts: Prompts
    nodes: pl.DataFrame
    run: CircuitRun | None
    """What `nodes` was made of; None where they are those of a graph that was opened."""
    edges: pl.DataFrame | None = None
    edged: int = 0
    """Edges are known among the first so many nodes."""
    curves: dict[str, pl.DataFrame] = field(default_factory=dict)
    """How errors are treated -> faithfulness of circuits of growing size."""
    check: CircuitCheck | None = None
    baselines: dict[str, pl.DataFrame] = field(default_factory=dict)
    remarks: tuple[str, ...] = ()
    """What else belongs beside it, a sentence each."""

    @property
    def faithfulness(self) -> pl.DataFrame | None:
        """All curves; None while there is none."""
        return pl.concat(self.curves.values()) if self.curves else None

    def arguments(self, dictionaries: Any = None) -> dict[str, Any]:
        """What every method of circuits takes; with other dictionaries where they are given."""
        return {**self.question.arguments(), "dictionaries": dictionaries or self.dictionaries}


class Stage:
    """The progress of a part of some work, which says what part it is, and how to show what is known so far."""

    def __init__(self, progress: Progress, name: str, show: Callable[[Any], None] | None = None) -> None:
        self._progress, self._name, self._show = progress, name, show

    def __call__(self, done: int, total: int, message: str = "", partial: Any = None) -> None:
        words = f"{self._name}: {message}" if message else self._name
        shown = None if self._show is None or partial is None else (self._show, partial)
        self._progress(done, total, words, shown)

    def __reduce__(self) -> Any:
        """Work that travels to a server may hold on to it; nobody looks at it there."""
        return nobody, ()
