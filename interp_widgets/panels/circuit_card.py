"""Cards of a circuit's nodes: that of the atom in the dictionary of its site, as the Atoms panel has it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import traitlets as t

from ..frames.circuits import parse_node
from . import atoms_card
from .circuit_question import checked_prompt
from .jobs import Job

if TYPE_CHECKING:
    from ..sae.corpus.reader import Corpus
    from ..sae.dictionary import Dictionary
    from ..session.session import Session
    from .circuit_found import Found

COORDINATE = (
    "Coordinate {atom} of {site} as it is: nobody trained a dictionary here, so there is no direction to explain and there are no "
    "examples."
)
NO_DICTIONARY = "This node of the graph is of none of the dictionaries given, so nothing is known of it here."
NO_CORPUS = (
    "No examples: no corpus has been read with this dictionary. Give one: iw.Circuit(..., corpora={{{site!r}: iw.corpus(model, "
    "texts, sae=sae)}})."
)


class Cards:
    """The part of a circuit panel that knows what its nodes are."""

    if TYPE_CHECKING:
        session: Session
        selected: list[str]
        prompt: str
        pinned: list[str]
        cards: dict[str, dict[str, Any]]
        _found: Found | None
        _corpora: Mapping[str, Corpus | str | Path]
        _aside: Callable[..., Job]
        _publish: Callable[[Job, Callable[[], None]], None]

    def _cards_wanted(self, change: t.Bunch | None = None) -> None:
        """The cards of the last selected and the pinned nodes: at once what is known, then what removing the atom does."""
        found = self._found
        if found is None:
            return
        there = set(found.nodes["node"])
        wanted = [node for node in dict.fromkeys([*self.selected[-1:], *self.pinned]) if _atom(node) is not None]
        known = {node: card for node, card in self.cards.items() if node in wanted}
        if known != self.cards:
            self.cards = known
        missing = [node for node in wanted if node not in known or not _measured(known[node], self.prompt)]
        if missing:
            for node in set(missing) - there:
                self._add_card(node, {**atoms_card.EMPTY, "atom": _atom(node), "corpus": NO_DICTIONARY})
            missing = [node for node in missing if node in there]
            prompt = self.prompt
            self._aside(lambda job: self._fill_cards(missing, found, prompt, job), "cards")

    def _fill_cards(self, nodes: list[str], found: Found, prompt: str, progress: Job) -> None:
        from ..methods.atom_effects import run_atom_ablation
        from ..methods.direct_weights import direct_logits, writes_stream

        saes = {}
        for node in nodes:
            saes[node] = sae, atom = self._dictionary(node, found)
            there = "atom" in self.cards.get(node, {})  # after another prompt only the run is another
            card = {} if there else self._bare_card(sae, atom)
            self._publish(progress, partial(self._add_card, node, {**card, "removed": None}))
        side, row = checked_prompt(prompt, found.prompts)
        ids, answer = found.prompts.ids(row, side), found.prompts.answers[row][0]
        tokens = [self.session.text_of(each) for each in ids]
        for done, (node, (sae, atom)) in enumerate(saes.items()):
            progress(done, len(saes), f"without {node}")
            without = run_atom_ablation(self.session, ids, sae=sae, atom=atom, answer=answer)
            direct = direct_logits(self.session, sae, atom) if writes_stream(self.session, sae) else None
            removed = {**atoms_card.removed(self.session, without, direct, None), "prompt": prompt, "tokens": tokens}
            self._publish(progress, partial(self._add_card, node, {"removed": removed}))

    def _bare_card(self, sae: Dictionary, atom: int) -> dict[str, Any]:
        """What is known of an atom without running the model."""
        if sae.origin.get("format") == "coordinates":
            return {**atoms_card.EMPTY, "atom": atom, "corpus": COORDINATE.format(atom=atom, site=sae.site)}
        corpus = self._corpus_of(sae)
        card = atoms_card.card(atom, sae, corpus)
        return card if corpus is not None else {**card, "corpus": NO_CORPUS.format(site=sae.site)}

    def _add_card(self, node: str, part: dict[str, Any]) -> None:
        if node in self.selected[-1:] or node in self.pinned:
            self.cards = {**self.cards, node: {**self.cards.get(node, {}), **part}}

    def _dictionary(self, node: str, found: Found) -> tuple[Dictionary, int]:
        name = parse_node(node)
        assert name is not None
        assert name.atom is not None
        return found.dictionaries[name.site], name.atom

    def _corpus_of(self, sae: Dictionary) -> Corpus | None:
        """Where the atoms of a dictionary fire: as given for its site, or as it comes with the dictionary."""
        from ..sae.corpus.reader import open_corpus
        from ..sae.load import bundled_corpus

        where = self._corpora.get(sae.site) or bundled_corpus(sae)
        found = open_corpus(where) if isinstance(where, str | Path) else where
        if found is not None:
            found.check_is_of(sae)
        return found


def _measured(card: dict[str, Any], prompt: str) -> bool:
    """Whether a card says what the model does without the atom after this prompt, or is not to say it."""
    removed = card.get("removed", {})
    return removed is not None and removed.get("prompt", prompt) == prompt


def _atom(node: str) -> int | None:
    found = parse_node(node)
    return None if found is None else found.atom
