"""Audit: how much a dictionary keeps of the model, and how much it misses, on one page."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
import traitlets as t

from ..errors import DictionaryError, TextError
from ..widgets.audit import AuditWidget
from . import audit_traits as traits
from . import summaries
from .jobs import Job
from .panel import Panel

if TYPE_CHECKING:
    import altair as alt

    from ..methods.audit_fit import Split
    from ..methods.audit_run import AuditRun
    from ..sae.dictionary import Dictionary
    from ..session.harvest import Texts
    from ..session.session import Session

LISTED = 60
"""Atoms listed for a column of the histogram."""
SPLIT_WINDOWS = 16
"""Windows of text on which an atom is compared with those of a wider dictionary."""


class Audit(Panel, AuditWidget):
    """A card of numbers for a dictionary, each with its definition, its interval, and the same of dictionaries nobody trained.

    >>> audit = iw.Audit(model, texts, sae=sae, text="The keys to the cabinet are on the table.")
    >>> audit.frame                     # see iw.methods.audit
    >>> audit.faithfulness              # what atoms and errors do to the answer of the text
    >>> audit.effect(122)               # one atom over many contexts
    """

    charts_more = True
    framed = ("dictionary",)
    movable = False

    def __init__(
        self,
        model: Session,
        texts: Texts,
        *,
        sae: Dictionary | Sequence[Dictionary],
        text: str = "",
        answer: str | int | None = None,
        foil: str | int | None = None,
        baselines: bool = True,
        tokens: int = 16_384,
        loss_tokens: int = 4_096,
        context: int | None = None,
        batch: int = 8,
        outliers: bool = False,
        seed: int = 0,
    ) -> None:
        """Start in the background; returns at once.

        Args:
            model: a session from `iw.load`.
            texts: texts, or named sources of them, to measure on.
            sae: a dictionary of this model, or several, which are shown one at a time. Where a wider one of the same site is among
                them, the card of an atom says what becomes of it there.
            text: a text to measure by itself beside them; empty for none.
            answer, foil, baselines, tokens, loss_tokens, context, batch, outliers, seed: as in `iw.methods.audit`.

        Raises:
            DictionaryError: no dictionary.
        """
        from ..methods.audit_fit import Settings
        from ..sae.dictionary import Dictionary

        self.saes = [sae] if isinstance(sae, Dictionary) else list(sae)
        if not self.saes:
            raise DictionaryError("There is no dictionary to audit. Give one that iw.load_sae reads.")
        self._texts, self._answer = texts, (answer, foil)
        self._settings = Settings(baselines, tokens, loss_tokens, context, batch, outliers, seed)
        self._windows: Split | None = None
        self._runs: list[AuditRun] = []
        self._parts: list[pl.DataFrame] = []
        self._effects: pl.DataFrame | None = None
        self._split: pl.DataFrame | None = None
        self._looked_at = ""
        super().__init__(model, text=text, quantities=traits.quantities(), columns=list(traits.COLUMNS))
        self._start()

    @property
    def faithfulness(self) -> pl.DataFrame:
        """The answer of the text with some atoms kept, with errors and without (see `frames.FAITHFULNESS`).

        Raises:
            TextError: there is no text.
        """
        from ..methods.error_effect import effect_frame

        _ = self.frame
        found = [effect_frame(run.effects[run.sae.name]) for run in self._runs if run.effects]
        if not found:
            raise TextError("There is no text to look at. Give the panel one and call .run().")
        return pl.concat(found)

    @property
    def effects(self) -> pl.DataFrame:
        """The effect of the chosen atom over contexts (see `frames.CONTEXT_EFFECTS`); waits for one that is being measured.

        Raises:
            TextError: none was measured.
        """
        if self._job is not None:
            self._job.wait()
        if self._effects is None:
            raise TextError(self.error or "No atom's effect was measured yet. Call .effect(atom).")
        return self._effects

    @property
    def splitting(self) -> pl.DataFrame:
        """The chosen atom's set in the widest other dictionary of its site (see `frames.SPLITTING`); waits like `effects`.

        Raises:
            TextError: no atom was measured, or no wider dictionary of this site was given.
        """
        _ = self.effects
        if self._split is None:
            raise TextError(
                "There is no wider dictionary of this site to look in. Give one more: Audit(model, texts, sae=[sae, wider])."
            )
        return self._split

    def effect(self, atom: int) -> pl.DataFrame:
        """Measures an atom of the shown dictionary over contexts of the texts, and returns the frame of it.

        Raises:
            DictionaryError: an atom that does not exist or never fires. TextError: the audit is still running.
        """
        self._on_effect(atom)
        assert self._job is not None
        self._job.wait()
        if self._job.error is not None:
            raise self._job.error
        return self.effects

    @property
    def selection(self) -> pl.DataFrame:
        """The rows of `frame` of the selected quantity, source and dictionary."""
        frame, about = self.frame, self.dictionaries[self.dictionary]
        names = [about["name"], *traits.OTHERS]
        return frame.filter(
            (pl.col("site") == about["site"])
            & pl.col("dictionary").is_in(names)
            & (pl.col("source") == self.source)
            & (pl.col("quantity") == self.quantity)
        )

    def select(self, quantity: str | None = None, source: str | None = None, dictionary: int | None = None) -> None:
        """Select a row of the table, the source it is of, and which dictionary (by its index); what is not given stays.

        Raises:
            TextError: a quantity or source that is not there. DictionaryError: a dictionary that is not there.
        """
        _ = self.frame  # waits for one
        if quantity is not None and quantity not in traits.LABELS:
            raise TextError(f"{quantity!r} is not measured; the table has {', '.join(traits.LABELS)}.")
        if source is not None and source not in self.sources:
            raise TextError(f"There is no source {source!r}; there are {', '.join(map(repr, self.sources))}.")
        if dictionary is not None and not 0 <= dictionary < len(self.dictionaries):
            raise DictionaryError(f"There is no dictionary {dictionary}; there are 0 to {len(self.dictionaries) - 1}.")
        with self.hold_sync():
            self.quantity, self.source = quantity or self.quantity, source or self.source
            self.dictionary = self.dictionary if dictionary is None else dictionary

    @property
    def chart(self) -> alt.Chart:
        """The selected quantity of the shown dictionary and its baselines, by source, with intervals."""
        from ..views.audit import audit_chart
        from .charts import offline

        run = self._finished_runs()[self.dictionary]
        label = traits.LABELS[self.quantity][0]
        return offline(audit_chart(self._parts[self._runs.index(run)], quantity=self.quantity, label=label))

    @property
    def provenance(self) -> dict[str, Any]:
        settings = self._settings
        return {
            **super().provenance,
            "seed": settings.seed,
            "tokens": settings.tokens,
            "loss_tokens": settings.loss_tokens,
            "outliers": settings.outliers,
            "dictionaries": [{"sae": s.name, "site": s.site, "sae_origin": dict(s.origin)} for s in self.saes],
            "measured": [{"done": about["done"], "total": about["total"]} for about in self.dictionaries],
        }

    def code(self) -> str:
        """An nnsight script for the shown dictionary on all texts: explained variance, L0, loss and loss recovered."""
        from ..session import scripts

        run = self._finished_runs()[self.dictionary]
        return scripts.audit(self.session, run)

    # work

    def _inputs(self) -> tuple[Any, ...]:
        return (id(self._texts), self.text)

    def _compute(self, progress: Job) -> None:
        from ..methods.audit_fit import split
        from ..methods.audit_run import measure_texts, start, without_text

        whole = len(self._runs) == len(self.saes) and all(run.done for run in self._runs)
        runs = [without_text(run) for run in self._runs] if whole else []
        text = self.text

        def tell(done: int, total: int, message: str = "", partial: Any = None) -> None:
            progress(done, total, message, [*runs])

        try:
            self._windows = self._windows or split(self.session, self._texts, self._settings)
            for sae in self.saes[len(runs) :]:
                run = start(self.session, self._windows, sae, self._settings, progress)
                runs.append(run)
                self._look(run, text, progress)
                measure_texts(self.session, run, tell)
            for run in runs:
                if not run.effects:
                    self._look(run, text, progress)
        finally:  # what is done stays, however it ended; a text that could not be read leaves the former result
            if any(run.sources for run in runs) and (not whole or not text or all(run.effects for run in runs)):
                self._publish(progress, lambda: self._show(runs, text))

    def _look(self, run: AuditRun, text: str, progress: Job) -> None:
        from ..methods.audit_run import measure_text

        if text:
            answer, foil = self._answer
            measure_text(self.session, run, text, answer=answer, foil=foil, progress=progress)

    def _show(self, runs: list[AuditRun], text: str, samples: int = 0) -> None:
        from ..methods.audit import SAMPLES, audit_frame
        from ..methods.audit_fit import ALL

        runs = [run for run in runs if run.sources]
        self._runs, self._looked_at = runs, text
        self._parts = [audit_frame(run, samples=samples or SAMPLES) for run in runs]
        self._frame = pl.concat(self._parts)
        names = traits.sources(self._frame)
        self.sources, self.source = names, self.source if self.source in names else ALL
        self.dictionaries = [traits.about(run) for run in runs]
        self.dictionary = min(self.dictionary, len(runs) - 1)
        self.set_traits(traits.numbers(self._parts, names) | traits.histograms(runs, names))
        self.curves = [traits.curve(self.session, run) for run in runs]
        self.notes = _notes(runs)
        self._list()
        self._summarise()

    def _show_partial(self, partial: list[AuditRun]) -> None:
        if any(run.sources for run in partial):
            with self.hold_sync():
                self._show(partial, self.text, samples=100)

    def _measure(self, progress: Job, run: AuditRun, atom: int) -> None:
        from ..methods.context_effects import context_summary, contexts_of, effect_over_contexts
        from ..methods.splitting import splitting
        from ..session.harvest import markers

        strength = float(run.strength()[atom])
        if not np.isfinite(strength):
            raise DictionaryError(
                f"Atom {atom} of {run.sae.name} fires at none of the tokens read, so there is no strength to add it with. "
                "Choose another."
            )
        contexts = contexts_of(self.session, run.measured, seed=self._settings.seed)
        effects = effect_over_contexts(
            self.session,
            contexts,
            sae=run.sae,
            atom=atom,
            strength=strength,
            seed=self._settings.seed,
            progress=progress,
        )
        found = traits.spread(self.session, run.sae.name, atom, strength, effects, context_summary(effects), contexts)
        pieces = None
        if wider := [sae for sae in self.saes if sae.site == run.sae.site and sae.width > run.sae.width]:
            widest, front = max(wider, key=lambda sae: sae.width), len(markers(self.session))
            texts = [window.ids[front:] for window in run.measured[:SPLIT_WINDOWS]]
            pieces = splitting(run.sae, widest, atoms=[atom], model=self.session, texts=texts, progress=progress)
            found |= {"split": traits.split(widest.name, pieces)}

        def show() -> None:
            self._effects, self._split, self.spread, self.atom, self.context = effects, pieces, found, atom, -1

        self._publish(progress, show)

    def _finished_runs(self) -> list[AuditRun]:
        _ = self.frame  # waits, and raises if there is none
        return self._runs

    @t.observe("bin", "source", "dictionary")
    def _follow_bin(self, change: t.Bunch) -> None:
        if self._job is not None and not self._job.running:  # a run that is filling is not read from another thread
            self._list()

    @t.observe("dictionary")
    def _summarise(self, change: t.Bunch | None = None) -> None:
        at, parts = self.dictionary, vars(self).get("_parts", [])  # one that is asleep has none
        if at < len(parts):
            self.summary = summaries.audit(self._runs[at], parts[at], at, len(self._runs))

    def _list(self) -> None:
        """The atoms of the selected column of the histogram."""
        runs = self._runs
        if self.bin < 0 or self.dictionary >= len(runs):
            self.listed = []
        else:
            self.listed = runs[self.dictionary].atoms_in(self.source, self.bin)[:LISTED]

    # requests from the browser

    def _on_run(self, text: str) -> None:
        self.text = text
        self._start()

    def _on_effect(self, atom: int) -> None:
        if self._job is not None and self._job.running:
            raise TextError("The audit is still running. Wait for its end, or cancel it, before asking for an atom.")
        run = self._finished_runs()[self.dictionary]
        run.sae.check_atom(atom)
        self._launch(lambda progress: self._measure(progress, run, atom))


def _notes(runs: list[AuditRun]) -> list[str]:
    from ..methods.audit_fit import ALL

    run = runs[0]
    notes = [
        f"PCA, random directions and coordinates get {run.fit.k} numbers a token, as many as the dictionary has active atoms. They "
        f"and the mean were fitted on {run.fit.tokens} tokens on which nothing was measured.",
        "Tokens that count are replaced and measured: all but start markers and attention sinks"
        + ("." if run.settings.outliers else ", and other tokens of a norm over 5 times the median of their window."),
        "Intervals are 95 % by bootstrap over windows of text. Windows of one text are less independent than that takes them for.",
    ]
    if run.settings.baselines and "pca" not in run.fit.others:
        notes.insert(1, "There is no PCA: it needs more tokens to be fitted on than it has components. Give more text.")
    unfinished = [r for r in runs if not r.done]
    if unfinished:
        r = unfinished[0]
        notes.insert(0, f"{r.site}: {int(r.at(ALL).sum())} of {len(r.measured)} windows so far.")
    return notes
