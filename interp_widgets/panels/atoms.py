"""Atoms: which SAE atoms are active at each token, how much they explain, what they do, and where else they fire."""

from __future__ import annotations

import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl
import traitlets as t

from ..errors import TextError
from ..widgets import wire
from ..widgets.atoms import AtomsWidget
from . import atoms_card, atoms_find, atoms_traits
from .atoms_corpus import Reading
from .jobs import Job
from .panel import Panel, positions_of

if TYPE_CHECKING:
    import altair as alt

    from ..methods.atom_activations import AtomsRun
    from ..methods.atom_effects import AblationRun, EffectsRun
    from ..sae.corpus.reader import Corpus
    from ..sae.dictionary import Dictionary
    from ..session.harvest import Texts
    from ..session.session import Session

REFRESH = 3.0
"""Seconds between two looks at a corpus that grows."""


class Atoms(Panel, AtomsWidget):
    """The active atoms of a dictionary at every token of a text, and a card for each atom that is chosen.

    >>> atoms = iw.Atoms(model, "The keys to the cabinet are on the table.", sae=sae, corpus=corpus)
    >>> atoms.frame                     # see iw.methods.atom_activations
    >>> atoms.reconstruction            # the error beside them
    >>> atoms.effects                   # what removing each would do to the prediction
    >>> atoms.select(position=3, atom=1213)
    >>> atoms.corpus.examples(1213)     # where else it fires
    """

    charts_more = True

    def __init__(
        self,
        model: Session,
        text: str = "",
        *,
        sae: Dictionary,
        corpus: Corpus | str | Path | None = None,
        answer: str = "",
    ) -> None:
        """Start on `text` in the background; returns at once.

        Args:
            model: a session from `iw.load`.
            text: the text; empty for none yet.
            sae: a dictionary that was trained on this model, from `iw.load_sae`.
            corpus: where its atoms fire, from `iw.corpus`, or the folder of one. Default: the examples that come with a bundled
                dictionary; none for others, until `read_corpus`.
            answer: a text of one token, the prediction whose log-probability `effects` is about; default the likeliest.

        Raises:
            SiteError, DictionaryError: the dictionary does not fit the model.
            CorpusError: the corpus is damaged, or of another dictionary.
        """
        from ..sae.corpus.reader import open_corpus
        from ..sae.fits import check_fits
        from ..sae.load import bundled_corpus

        check_fits(model, sae)
        self.sae = sae
        self._run: AtomsRun | None = None
        self._effects: EffectsRun | None = None
        self._removed: dict[int, tuple[AblationRun, pl.DataFrame | None]] = {}
        self._reading: Reading | None = None
        self._corpus: Corpus | None = None
        self._refreshed = 0.0
        self._cards_of: tuple[Any, ...] = ()  # the state of the corpus that `cards` tell of
        name = f"{sae.name} ({atoms_traits.sites(sae)}, {sae.width} atoms)"
        super().__init__(model, text=text, answer=answer, sae_name=name)
        where = bundled_corpus(sae) if corpus is None else corpus
        self.corpus = open_corpus(where) if isinstance(where, str | Path) else where
        if text:
            self._start()

    @property
    def reconstruction(self) -> pl.DataFrame:
        """Error, bias and number of active atoms of each token (see `frames.RECONSTRUCTION`)."""
        from ..methods.atom_activations import reconstruction_frame

        return reconstruction_frame(self._finished_run())

    @property
    def effects(self) -> pl.DataFrame:
        """What removing each active atom would do to the prediction, to first order (see `frames.ATOM_EFFECTS`)."""
        from ..methods.atom_effects import effects_frame

        self._finished_run()
        if self._effects is None:
            raise TextError(self.error or "The effects have not been computed. Call .run().")
        return effects_frame(self._effects, self.sae)

    @property
    def corpus(self) -> Corpus | None:
        """Where the atoms fire in a large amount of text; what is shown on the cards. May be set."""
        return self._corpus

    @corpus.setter
    def corpus(self, found: Corpus | None) -> None:
        if found is not None:
            found.check_is_of(self.sae)
        self._corpus = found
        with self.hold_sync():
            self.set_traits(atoms_traits.corpus_traits(found, self._reading))
            self._show_cards()

    def read_corpus(self, texts: Texts, *, folder: str | Path | None = None, tokens: int | None = None) -> None:
        """Read a corpus in the background; cards fill as it grows. `pause_corpus` and "Read on" stop and go on.

        Args:
            texts, folder, tokens: as in `iw.corpus`; without a folder it is gone with this panel.
        """
        if self._reading is not None:
            self._reading.pause()
        self._reading = Reading(self.session, self.sae, texts, folder, tokens, self._on_reading)
        self._reading.start()

    def pause_corpus(self) -> None:
        """Stop reading the corpus after the present batch; nothing is lost."""
        if self._reading is not None:
            self._reading.pause()

    def find(self, how: str, query: str = "") -> pl.DataFrame:
        """Search for atoms; the list also appears in the panel.

        Args:
            how: "effect" (that carry the answer), "here" (on the selected tokens and not on the others), "contrast" (in this text
                and not in `query`), "token" (on the token `query`, in the corpus), or "similar" (like the chosen atom).
            query: a text or token, where `how` needs one.

        Returns:
            `frames.STRONGEST_EFFECTS`, `ATOM_SEARCH`, `TOKEN_ATOMS` or `SIMILAR_ATOMS`, the first atom first.

        Raises:
            TextError: something that it needs is not there.
        """
        found, shown = self._search(how, query)
        self.found = shown
        return found

    def _search(self, how: str, query: str) -> tuple[pl.DataFrame, dict[str, Any]]:
        found, about = atoms_find.find(
            how,
            query,
            model=self.session,
            sae=self.sae,
            run=self._finished_run(),
            effects=self._effects,
            positions=self.positions,
            atom=self.atom,
            corpus=self.corpus,
        )
        return found, {"how": how, "about": about, "rows": atoms_find.rows(how, found)}

    @property
    def selection(self) -> pl.DataFrame:
        """Rows of `frame` at the selected positions; if an atom is chosen, only its rows."""
        rows = self.frame.filter(pl.col("position").is_in(self.positions)) if self.positions else self.frame
        if self.atom >= 0:
            return rows.filter(pl.col("atom") == self.atom)
        return rows if self.positions else rows.clear()

    def select(self, position: int | tuple[int, int] | None = None, atom: int | None = None) -> None:
        """Select a position or a span `(first, last)`, and the atom that colours the text; no argument clears both.

        Raises:
            TextError, DictionaryError: a position or an atom that does not exist.
        """
        _ = self.frame  # waits for one
        chosen = positions_of(position, len(self.tokens))
        if atom is not None:
            self.sae.check_atom(atom)
        with self.hold_sync():
            self.positions, self.atom = chosen, -1 if atom is None else atom

    @property
    def chart(self) -> alt.Chart:
        """The text coloured by the chosen and pinned atoms; without any, the strongest atoms at the selected token."""
        from ..views.atoms import atoms_chart, text_chart
        from .charts import offline

        wanted = self._wanted()
        if wanted:
            return offline(text_chart(self.activations(wanted), masked=self.masked))
        return offline(atoms_chart(self.frame, self.reconstruction, self.positions[0] if self.positions else None))

    def activations(self, atoms: list[int]) -> pl.DataFrame:
        """Activations of some atoms at every token, zeros included: `position`, `token_id`, `token`, `atom`, `activation`."""
        run = self._finished_run()
        for atom in atoms:
            self.sae.check_atom(atom)
        parts = [
            run.tokens.with_columns(
                pl.lit(atom, pl.Int32).alias("atom"), pl.Series("activation", run.of_atom(atom).tolist(), pl.Float64)
            )
            for atom in atoms
        ]
        return pl.concat(parts) if parts else run.tokens.clear().with_columns(atom=pl.lit(0), activation=pl.lit(0.0))

    @property
    def provenance(self) -> dict[str, Any]:
        own = {"sae": self.sae.name, "site": atoms_traits.sites(self.sae), "sae_origin": dict(self.sae.origin)}
        return {**super().provenance, **own, "corpus": self.corpus and self.corpus.provenance}

    def code(self) -> str:
        """An nnsight script that makes `frame`."""
        from ..session import scripts

        return scripts.atoms(self.session, self._finished_run().tokens["token_id"].to_list(), self.sae)

    # work

    def _inputs(self) -> tuple[Any, ...]:
        return (self.text, self.answer)

    def _forget(self) -> None:
        self._run, self._effects, self._removed = None, None, {}
        self.positions, self.found = [], {}

    def _compute(self, progress: Job) -> None:
        from ..methods.atom_activations import run_atoms
        from ..methods.atom_effects import run_effects

        run = run_atoms(self.session, self.text, sae=self.sae, progress=progress)
        self._publish(progress, lambda: self._show(run))
        progress(1, 2, "effects on the answer")
        effects = run_effects(self.session, self.text, sae=self.sae, answer=self.answer)
        self._publish(progress, lambda: self._show_effects(run, effects))

    def _show(self, run: AtomsRun) -> None:
        from ..methods.atom_activations import atoms_frame

        if self._run is not None and not self._run.tokens.equals(run.tokens):
            self.positions, self.found = [], {}
        self._run, self._frame = run, atoms_frame(run)
        self._effects, self._removed = None, {}
        self.set_traits({**atoms_traits.run_traits(run, self.session, self.sae), **atoms_traits.no_effects()})
        self._show_pinned()
        self._show_cards()

    def _show_effects(self, run: AtomsRun, effects: EffectsRun) -> None:
        self._effects = effects
        self.set_traits(atoms_traits.effect_traits(run, effects, self.session, self.sae))
        self._show_cards()

    def _show_cards(self) -> None:
        """The cards of the chosen and pinned atoms: at once what is known, then what removing them does."""
        self._refreshed = time.monotonic()
        corpus, wanted, cards = self.corpus, self._wanted(), {}
        state = (corpus, corpus.tokens, corpus.complete) if corpus is not None and wanted else (corpus,)
        known, self._cards_of = self.cards if state == self._cards_of else {}, state
        for atom in wanted:
            cards[str(atom)] = {**(known.get(str(atom)) or atoms_card.card(atom, self.sae, corpus)), "removed": None}
            if atom in self._removed:
                cards[str(atom)]["removed"] = atoms_card.removed(self.session, *self._removed[atom], self._effects)
        self.cards = cards
        missing = [atom for atom in wanted if atom not in self._removed]
        if missing and self._run is not None:
            self._aside(lambda progress: self._measure(missing, self._run, progress), "measure")

    def _measure(self, atoms: list[int], run: AtomsRun | None, progress: Job) -> None:
        from ..methods.atom_effects import run_atom_ablation
        from ..methods.direct_weights import direct_logits, writes_stream

        assert run is not None
        ids = run.tokens["token_id"].to_list()
        for done, atom in enumerate(atoms):
            progress(done, len(atoms), f"without #{atom}")
            without = run_atom_ablation(self.session, ids, sae=self.sae, atom=atom, answer=self.answer)
            direct = direct_logits(self.session, self.sae, atom) if writes_stream(self.session, self.sae) else None
            found = (without, direct)
            self._publish(progress, partial(self._show_removed, run, atom, found))

    def _show_removed(self, run: AtomsRun, atom: int, found: tuple[AblationRun, pl.DataFrame | None]) -> None:
        if run is self._run and str(atom) in self.cards:
            self._removed[atom] = found
            without = atoms_card.removed(self.session, *found, self._effects)
            self.cards = {**self.cards, str(atom): {**self.cards[str(atom)], "removed": without}}

    def _on_reading(self, found: Corpus | None, status: dict[str, Any], error: str) -> None:
        """The corpus that is being read has grown, or its reading has ended."""
        running = status["state"] == "running"
        with self._lock, self.hold_sync():
            self._corpus = found or self._corpus
            self.set_traits(atoms_traits.corpus_traits(self._corpus, self._reading, status))
            if not running or time.monotonic() - self._refreshed > REFRESH:
                self._show_cards()
            if error:
                self.error = error

    def _wanted(self) -> list[int]:
        return list(dict.fromkeys([*([self.atom] if self.atom >= 0 else []), *self.atoms]))

    @t.observe("atom", "atoms")
    def _on_atoms(self, change: t.Bunch) -> None:
        wrong = [atom for atom in self._wanted() if atom >= self.sae.width]
        if wrong:  # as from the number field: say so, and go on without it
            with self._showing_errors():
                self.atoms = [atom for atom in self.atoms if atom not in wrong]
                self.atom = -1 if self.atom in wrong else self.atom
                self.sae.check_atom(wrong[0])
        elif self._run is not None:
            with self.hold_sync():
                self._show_pinned()
                self._show_cards()

    def _show_pinned(self) -> None:
        import torch

        run, wanted = self._run, self._wanted()
        assert run is not None
        values = torch.stack([run.of_atom(atom) for atom in wanted]) if wanted else torch.zeros(0, len(run.tokens))
        seen = [p for p in range(len(run.tokens)) if p not in run.masked] or list(range(len(run.tokens)))
        self.pinned, self.pinned_activation = wanted, wire.float32(values)
        self.pinned_scale = [float(row[seen].max()) for row in values]

    def _finished_run(self) -> AtomsRun:
        _ = self.frame  # waits, and raises if there is none
        if self._run is None:
            raise TextError("There is no result yet.")
        return self._run

    # requests from the browser

    def _on_run(self, text: str, answer: str = "") -> None:
        self.text, self.answer = text, answer
        self._start()

    def _on_find(self, how: str, query: str = "") -> None:
        def work(progress: Job) -> None:
            _, shown = self._search(how, query)
            self._publish(progress, lambda: self.set_traits({"found": shown}))

        self._aside(work, "find")

    def _on_pause(self) -> None:
        self.pause_corpus()

    def _on_read_on(self) -> None:
        if self._reading is not None:
            self._reading.start()
