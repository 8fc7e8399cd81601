"""Cards of a circuit's nodes: that of the atom in the dictionary of its site, as the Atoms panel has it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import traitlets as t

from ..frames.circuits import parse_node
from .jobs import Job

if TYPE_CHECKING:
    from ..sae.corpus.reader import Corpus
    from ..sae.dictionary import Dictionary
    from ..session.session import Session


class Cards:
    """The part of a circuit panel that knows what its nodes are."""

    if TYPE_CHECKING:
        session: Session
        selected: list[str]
        pinned: list[str]
        cards: dict[str, dict[str, Any]]
        has_model: bool
        _corpora: Mapping[str, Corpus | str | Path]
        _dictionaries: Mapping[str, Dictionary] | None
        _clean: list[int]
        _answer: int | None
        _aside: Callable[..., Job]
        _publish: Callable[[Job, Callable[[], None]], None]

    def _cards_wanted(self, change: t.Bunch | None = None) -> None:
        """The cards of the last selected and the pinned nodes: at once what is known, then what removing the atom does."""
        if not self.has_model:
            return
        wanted = [node for node in dict.fromkeys([*self.selected[-1:], *self.pinned]) if _atom(node) is not None]
        known = {node: card for node, card in self.cards.items() if node in wanted}
        if known != self.cards:
            self.cards = known
        missing = [node for node in wanted if node not in known or known[node].get("removed", 0) is None]
        if missing and self._dictionaries is not None:
            self._aside(lambda job: self._fill_cards(missing, job), "cards")

    def _fill_cards(self, nodes: list[str], progress: Job) -> None:
        from ..methods.atom_effects import run_atom_ablation
        from ..methods.direct_weights import direct_logits, writes_stream
        from . import atoms_card

        assert self._dictionaries is not None
        found = {}
        for node in nodes:
            sae, atom = self._dictionary(node)
            if not sae.trained:
                continue
            found[node] = sae, atom
            card = {**atoms_card.card(atom, sae, self._corpus_of(sae)), "removed": None}
            self._publish(progress, partial(self._add_card, node, card))
        for done, (node, (sae, atom)) in enumerate(found.items()):
            progress(done, len(found), f"without {node}")
            without = run_atom_ablation(self.session, self._clean, sae=sae, atom=atom, answer=self._answer)
            direct = direct_logits(self.session, sae, atom) if writes_stream(self.session, sae) else None
            removed = atoms_card.removed(self.session, without, direct, None)
            self._publish(progress, partial(self._add_card, node, {"removed": removed}))

    def _add_card(self, node: str, part: dict[str, Any]) -> None:
        if node in self.selected[-1:] or node in self.pinned:
            self.cards = {**self.cards, node: {**self.cards.get(node, {}), **part}}

    def _dictionary(self, node: str) -> tuple[Dictionary, int]:
        found = parse_node(node)
        assert found is not None and found.atom is not None and self._dictionaries is not None
        return self._dictionaries[found.site], found.atom

    def _corpus_of(self, sae: Dictionary) -> Corpus | None:
        """Where the atoms of a dictionary fire: as given for its site, or as it comes with the dictionary."""
        from ..sae.corpus.reader import open_corpus
        from ..sae.load import bundled_corpus

        where = self._corpora.get(sae.site) or bundled_corpus(sae)
        found = open_corpus(where) if isinstance(where, str | Path) else where
        if found is not None:
            found.check_is_of(sae)
        return found


def _atom(node: str) -> int | None:
    found = parse_node(node)
    return None if found is None else found.atom
