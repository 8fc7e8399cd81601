"""What panels compute when a person chooses something: which traits choose, and which are filled. For recordings."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from .circuit_question import FIRST

Get = Callable[[str], Any]
"""From the name of a trait to its value."""


class Answer(NamedTuple):
    """What a choice asks for, and what answers it."""

    asked: tuple[str, ...]
    """Traits that choose."""
    filled: tuple[str, ...]
    """Traits that are computed for the choice."""
    wanted: Callable[[Get], Any] | None = None
    """What a panel asks for, by its traits; None: the values of `asked`."""
    given: Callable[[Get], Any] | None = None
    """What a state answers; None: the same."""

    def of(self, panel: Get) -> Any:
        """What a panel asks for."""
        return self.wanted(panel) if self.wanted else [panel(name) for name in self.asked]

    def by(self, state: Get) -> Any:
        """What a state answers."""
        return self.given(state) if self.given else [state(name) for name in self.asked]


FOLLOWED: dict[str, dict[str, list[Answer]]] = {
    "Patching": {"_describe": [Answer(("cell", "origin", "frozen"), ("patch",))]},
    "Attention": {
        "_follow_head": [
            Answer(("head",), ("patterns", "peaks", "loaded"), lambda get: get("head")[0], lambda get: get("loaded")),
            Answer(("head", "value_weighted"), ("values", "value_tops", "value_peaks", "valued"),
                   lambda get: get("value_weighted") and get("head")[0], lambda get: get("value_weighted") and get("valued")),
        ]
    },
    "PatchingPairs": {
        "_show_numbers": [
            Answer(("metric",), ("mean", "low", "high", "p", "q", "scale", "baseline")), Answer(("cell", "metric"), ("dots",))
        ],
        "_show_dots": [Answer(("cell", "metric"), ("dots",))],
    },
    "Atoms": {"_on_atoms": [Answer(("atom", "atoms"), ("pinned", "pinned_activation", "pinned_scale", "cards"))]},
    "Circuit": {
        "_show_cards": [Answer(("selected",), ("cards",), lambda get: get("selected")[-1:], lambda get: get("selected")[-1:])],
        "_predict": [
            Answer(("switches", "prompt"), ("prediction",), None,
                   lambda get: [(get("prediction") or {}).get("of", {}), (get("prediction") or {}).get("prompt", FIRST)]),
            Answer(("switches",), ("mean_change",), None, lambda get: [(get("mean_change") or {}).get("of", get("switches"))]),
        ],
    },
    "Audit": {"_follow_bin": [Answer(("bin", "source", "dictionary"), ("listed",))]},
    "Shift": {"_follow_struck": [Answer(("struck",), ("listed", "accuracy", "compared", "summary"))]},
    "Steering": {
        "_mark_stale": [Answer(("mode", "where", "positions"), ("stale",))],
        "_on_atom": [Answer(("atom",), ())],
    },
}  # fmt: skip
"""Class -> the observer that computes -> what it fills."""

CONTEXT = {
    ("Atoms", "find"): ("positions", "atom"),
    ("Audit", "effect"): ("dictionary", "source"),
    ("Shift", "run"): ("struck",),
    ("Steering", "strength"): ("mode", "where", "positions"),
    ("Steering", "run"): ("mode", "where", "positions"),
}
"""Class and request -> other traits that its answer depends on."""
