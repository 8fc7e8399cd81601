"""Atoms: which SAE atoms are active at each token, how much they explain, and where else they fire."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import polars as pl
import torch
import traitlets as t

from ..errors import TextError
from ..methods.atom_activations import AtomsRun, atoms_frame, reconstruction_frame, run_atoms
from ..sae.dictionary import Dictionary
from ..sae.fits import check_fits
from ..session import scripts
from ..session.session import Session
from ..widgets import wire
from ..widgets.atoms import AtomsWidget
from .jobs import Job
from .lens import unknown_words
from .panel import Panel, positions_of

if TYPE_CHECKING:
    import altair as alt

LISTED = 48
"""Active atoms sent for each token; a dictionary with more active ones is cut off, and the panel says so."""


class Atoms(Panel, AtomsWidget):
    """The active atoms of a dictionary at every token of a text.

    >>> atoms = iw.Atoms(model, "The keys to the cabinet are on the table.", sae=sae)
    >>> atoms.frame                     # see iw.methods.atom_activations
    >>> atoms.reconstruction            # the error beside them
    >>> atoms.select(position=3, atom=2779)
    """

    def __init__(self, model: Session, text: str = "", *, sae: Dictionary) -> None:
        """Start on `text` in the background; returns at once.

        Args:
            model: a session from `iw.load`.
            text: the text; empty for none yet.
            sae: a dictionary that was trained on this model, from `iw.load_sae`.

        Raises:
            SiteError, DictionaryError: the dictionary does not fit the model.
        """
        check_fits(model, sae)
        self.sae = sae
        self._run: AtomsRun | None = None
        super().__init__(model, text=text, sae_name=f"{sae.name} ({_sites(sae)}, {sae.width} atoms)")
        if text:
            self._start()

    @property
    def reconstruction(self) -> pl.DataFrame:
        """Error, bias and number of active atoms of each token (see `frames.RECONSTRUCTION`)."""
        return reconstruction_frame(self._finished_run())

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
        self._finished_run()
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
            return offline(text_chart(self.activations(wanted)))
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
        return {
            **super().provenance,
            "sae": self.sae.name,
            "site": _sites(self.sae),
            "sae_origin": dict(self.sae.origin),
        }

    def code(self) -> str:
        """An nnsight script that makes `frame`."""
        return scripts.atoms(self.session, self._finished_run().tokens["token_id"].to_list(), self.sae)

    # work

    def _inputs(self) -> tuple[Any, ...]:
        return (self.text,)

    def _compute(self, progress: Job) -> None:
        run = run_atoms(self.session, self.text, sae=self.sae, progress=progress)
        self._publish(progress, lambda: self._show(run))

    def _show(self, run: AtomsRun) -> None:
        if self._run is not None and not self._run.tokens.equals(run.tokens):
            self.positions = []
        self._run, self._frame = run, atoms_frame(run)
        self.tokens, self.token_ids = run.tokens["token"].to_list(), run.tokens["token_id"].to_list()
        self.masked, self.active = run.masked, run.active.tolist()
        self.notes = _notes(run, self.session, self.sae)
        self.norm, self.error_norm = wire.float32(run.norm), wire.float32(run.error_norm)
        self.error_share, self.bias_share = wire.float32(run.error_share), wire.float32(run.bias_share + run.skip_share)
        self._show_lists(run)
        counted = [n for p, n in enumerate(self.active) if p not in run.masked]
        self.summary = {
            "explained_variance": run.explained_variance(),
            "mean_active": sum(counted) / len(counted) if counted else None,
            "tokens": len(counted),
        }
        self._show_pinned()

    def _show_lists(self, run: AtomsRun) -> None:
        """The active atoms as tables [tokens, listed], padded with -1."""
        most = max(1, int(run.active.max()))
        self.complete, self.top_k = most <= LISTED, min(most, LISTED)
        starts = torch.cumsum(run.active, 0) - run.active
        column = torch.arange(len(run.position)) - starts[run.position]
        keep = column < self.top_k
        where = (run.position[keep], column[keep])
        shape = (len(run.x), self.top_k)
        self.top_atom = wire.int32(torch.full(shape, -1).index_put_(where, run.atom[keep]))
        self.top_activation = wire.float32(torch.zeros(shape).index_put_(where, run.activation[keep]))
        self.top_share = wire.float32(torch.zeros(shape).index_put_(where, run.share[keep]))

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

    def _show_pinned(self) -> None:
        run, wanted = self._run, self._wanted()
        assert run is not None
        values = torch.stack([run.of_atom(atom) for atom in wanted]) if wanted else torch.zeros(0, len(run.x))
        seen = [p for p in range(len(run.x)) if p not in run.masked] or list(range(len(run.x)))
        self.pinned, self.pinned_activation = wanted, wire.float32(values)
        self.pinned_scale = [float(row[seen].max()) for row in values]

    def _finished_run(self) -> AtomsRun:
        _ = self.frame  # waits, and raises if there is none
        if self._run is None:
            raise TextError("There is no result yet.")
        return self._run

    # requests from the browser

    def _on_run(self, text: str) -> None:
        self.text = text
        self._start()


def _sites(sae: Dictionary) -> str:
    return f"{sae.site} to {sae.site_out}" if sae.transcodes else sae.site


def _notes(run: AtomsRun, model: Session, sae: Dictionary) -> list[str]:
    notes = []
    if sae.transcodes:
        notes.append(
            f"A transcoder: its atoms are read from {sae.site}; shares, error and norm are of {sae.site_out}, which it writes."
        )
    if sae.W_skip is not None:
        notes.append("The share of the bias holds that of the skip connection; .reconstruction has them apart.")
    if run.masked:
        at = ", ".join(str(p) for p in run.masked)
        notes.append(
            f"Position {at} is left out of scales and of the summary: an attention sink or a start marker, which the "
            "dictionary was not made for."
        )
    if int(run.active.max()) > LISTED:
        notes.append(f"At most {LISTED} atoms of a token are listed; .frame has all of them.")
    return notes + unknown_words(model, run.tokens)
