"""SHIFT: what a probe rests on, what of it a person strikes out, and how often it is right then, group by group."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import polars as pl
import traitlets as t

from ..errors import InterpError, TextError
from ..widgets.shift import ShiftWidget
from . import shift_traits as traits
from . import summaries
from .jobs import Job
from .panel import Panel

if TYPE_CHECKING:
    import altair as alt

    from ..methods.shift_run import ShiftRun
    from ..sae.dictionary import Dictionary
    from ..session.session import Session, Text

LISTED = 60
"""Atoms in the list."""
SPLITS = ("ambiguous", "test", "balanced")


class Shift(Panel, ShiftWidget):
    """The atoms that a probe rests on, with texts they fire in; those that are struck out are set to zero.

    >>> data = toy_biographies()        # of interp_widgets.lab.biographies
    >>> shift = iw.Shift(model, data, site="resid_post.1", dictionaries=saes)
    >>> shift.effects                   # see iw.methods.shift_effects
    >>> shift.strike("resid_post.1/183")
    >>> shift.frame                     # see iw.methods.shift
    >>> shift.compare()                 # random atoms, and what labels would have chosen
    """

    framed = ("struck", "compared")
    movable = False
    _of: list[str] | None = None
    """Strikes that the table is of."""
    _taking_back = 0
    """The thread that takes a strike back, so that nothing follows from it."""

    def __init__(
        self,
        model: Session,
        data: pl.DataFrame,
        *,
        site: str,
        dictionaries: Sequence[Dictionary],
        struck: Sequence[str] = (),
        others: Sequence[Text] = (),
        texts: int = 100,
        steps: int = 10,
        draws: int = 5,
        seed: int = 0,
    ) -> None:
        """Start in the background; returns at once.

        Args:
            model: a session from `iw.load`.
            data: texts with two labels that coincide in the ambiguous split (see `frames.SHIFT_TEXTS`).
            site: what the probe reads, such as resid_post.1.
            dictionaries: one a site, of sites up to the probe's.
            struck: names of atoms to begin with, as in resid_post.1/183; default none.
            others: texts from elsewhere, in which atoms are shown, too; default none. In the ambiguous texts alone nobody can tell
                what an atom fires for.
            texts, steps: of the effects, as in `iw.methods.shift_effects`. draws, seed: of random atoms, as in `iw.methods.shift`.
        """
        self._data, self._dictionaries = data, list(dictionaries)
        self._others = list(others)
        self._settings = (texts, steps, draws, seed)
        self._run: ShiftRun | None = None
        self._effects: pl.DataFrame | None = None
        self._fixed: list[dict[str, Any]] = []
        super().__init__(model, site=str(model.site(site)), struck=list(struck))
        self._start()

    @property
    def effects(self) -> pl.DataFrame:
        """What each atom does to the probe (see `frames.SHIFT_EFFECTS`); waits for it.

        Raises:
            InterpError: there is no result, because the only attempt failed or was stopped; says why.
        """
        _ = self.frame
        assert self._effects is not None
        return self._effects

    @property
    def selection(self) -> pl.DataFrame:
        """The row of `effects` of the selected atom."""
        return self.effects.filter(node=self.node)

    def select(self, node: str = "") -> None:
        """Select an atom by its name; no argument clears.

        Raises:
            TextError: it is not in the list.
        """
        _ = self.frame
        if node and node not in [row["node"] for row in self.listed]:
            raise TextError(
                f"{node!r} is not in the list. Strike it first, or choose one of the {len(self.listed)} listed."
            )
        self.node = node

    def strike(self, *nodes: str) -> None:
        """Strike atoms out, besides those that are; the accuracies follow in the background, and `frame` waits for them.

        If their work fails or is stopped, the strike is taken back, and `error` says why.

        Raises:
            TextError, DictionaryError: a name that is no atom of the dictionaries.
        """
        self._check(nodes)
        self.struck = list(dict.fromkeys([*self.struck, *nodes]))

    def spare(self, *nodes: str) -> None:
        """Take strikes back: of these atoms, or of all if none is named."""
        self.struck = [node for node in self.struck if nodes and node not in nodes]

    def compare(self) -> pl.DataFrame:
        """Also measures as many random atoms, the atoms and neurons that labels would choose, and a probe on balanced texts.

        Returns:
            `frame`, with these conditions.

        Raises:
            TextError: nothing is struck out, so there is nothing to compare.
        """
        _ = self.frame
        self._on_compare()
        assert self._job is not None
        self._job.wait()
        if self._job.error is not None:
            raise self._job.error
        return self.frame

    @property
    def chart(self) -> alt.Chart:
        """Accuracy by condition, with intervals: of the labels, of what coincides with them, and of the worst group."""
        from ..views.shift import shift_chart
        from .charts import offline

        return offline(shift_chart(self.frame, names=dict(map(tuple, self.groups))))

    @property
    def provenance(self) -> dict[str, Any]:
        texts, steps, draws, seed = self._settings
        return {
            **super().provenance,
            "seed": seed,
            "site": self.site,
            "texts": texts,
            "steps": steps,
            "draws": draws,
            "struck": list(self.struck),
            "dictionaries": [{"sae": s.name, "site": s.site, "sae_origin": dict(s.origin)} for s in self._dictionaries],
        }

    def code(self) -> str:
        """An nnsight script for the probe as it is, with the atoms struck out, and trained again."""
        from ..methods.shift_conditions import struck_atoms
        from ..session.scripts.shift import shift as script

        _ = self.frame
        assert self._run is not None
        return script(self.session, self._run, struck_atoms(self._dictionaries, self.struck))

    # work

    def _check(self, nodes: Sequence[str]) -> None:
        from ..methods.shift_conditions import struck_atoms

        struck_atoms(self._dictionaries, nodes)

    def _inputs(self) -> tuple[Any, ...]:
        return (id(self._data), self.site)

    def _compute(self, progress: Job) -> None:
        with self._or_taken_back(progress):
            self._check(self.struck)
            run, show = self._read(progress)
            while True:  # what was struck meanwhile counts, too
                nodes = list(self.struck)
                rows = self._struck_rows(run, nodes, progress)
                self._publish(progress, lambda: show(nodes, rows))  # noqa: B023
                if nodes == list(self.struck):
                    break

    def _read(self, progress: Job) -> tuple[ShiftRun, Callable[[list[str], list[dict[str, Any]]], None]]:
        """The probe and all that does not depend on what is struck; and what shows it, with strikes and their rows."""
        from ..methods.shift_conditions import unchanged
        from ..methods.shift_passes import atoms_at, read, some_texts
        from ..methods.shift_run import effects_frame, prepare_shift, run_effects

        texts, steps, _, _ = self._settings
        model, first = self.session, list(self.struck)
        run = prepare_shift(
            model, self._data, site=self.site, dictionaries=self._dictionaries, splits=SPLITS, progress=progress
        )
        found = run_effects(model, run, "ambiguous", "label", texts=texts, steps=steps, progress=progress)
        effects = effects_frame(found, run.dictionaries)
        atoms, ids = traits.listed(effects, first, LISTED), [model.encode(text) for text in self._others]
        there = traits.labelled(run.data.splits["ambiguous"], run.data, texts, ids)
        readings = [some_texts(run.readings["ambiguous"], texts)]
        if ids:
            readings.append(model.work(read, ids, self.site, readings[0].layer, progress=progress))
        found_in: list[tuple[list[str], list[Any], list[list[int]]]] = []
        for sae in run.dictionaries:
            mine = [row for row in atoms if row["site"] == sae.site]
            if mine:
                numbers = [row["atom"] for row in mine]
                each = [a for part in readings for a in model.work(atoms_at, part, sae, numbers, progress=progress)]
                found_in.append(([row["node"] for row in mine], each, traits.strongest(each, there)))
        wanted = sorted({text for _, _, chosen in found_in for some in chosen for text in some})
        place = {text: i for i, text in enumerate(wanted)}
        shown: dict[str, Any] = {}
        for names, each, chosen in found_in:
            shown |= traits.examples(each, chosen, names, place)
        fixed = unchanged(run)

        def show(nodes: list[str], rows: list[dict[str, Any]]) -> None:
            self._run, self._effects, self._fixed = run, effects, fixed
            self._started_with = None  # from now on a strike is computed by itself
            self.labels, self.spurious = list(run.data.labels), list(run.data.spurious)
            self.groups = [list(each) for each in traits.groups(run.data)]
            self.set_traits(traits.texts(model, there, wanted))
            self.listed, self.examples = atoms, shown
            self.node = self.node if self.node in shown else (atoms[0]["node"] if atoms else "")
            self._show(nodes, rows)

        return run, show

    def _struck_rows(self, run: ShiftRun, nodes: list[str], progress: Job) -> list[dict[str, Any]]:
        from ..methods.shift_conditions import changed, struck_atoms

        return changed(self.session, run, "struck", struck_atoms(run.dictionaries, nodes), progress=progress)

    def _strike(self, progress: Job, run: ShiftRun, nodes: list[str]) -> None:
        with self._or_taken_back(progress):
            rows = self._struck_rows(run, nodes, progress)
        self._publish(progress, lambda: self._show(nodes, rows))

    def _compare(self, progress: Job, run: ShiftRun, nodes: list[str]) -> None:
        from ..methods.shift_conditions import compared, struck_atoms

        texts, steps, draws, seed = self._settings
        with self._or_taken_back(progress):
            rows = self._struck_rows(run, nodes, progress)
            rows += compared(
                self.session, run, struck_atoms(run.dictionaries, nodes), draws=draws, texts=texts, steps=steps, seed=seed,
                progress=progress,
            )  # fmt: skip
        self._publish(progress, lambda: self._show(nodes, rows, compared=True))

    @contextmanager
    def _or_taken_back(self, progress: Job) -> Iterator[None]:
        """What is struck stays what the table is of, also where the work for a strike fails or is stopped."""
        try:
            yield
        except BaseException:
            self._publish(progress, lambda: self._take_back(self._of))
            raise

    def _take_back(self, nodes: list[str] | None) -> None:
        """Strikes as they were before; nothing is computed for them. None: there is no table yet."""
        self._taking_back = threading.get_ident()
        try:
            self.struck = list(self.struck if nodes is None else nodes)
        finally:
            self._taking_back = 0

    def _show(self, nodes: list[str], rows: list[dict[str, Any]], compared: bool = False) -> None:
        from ..methods.shift_conditions import accuracy_frame

        assert self._effects is not None
        self._of = nodes
        self._frame = accuracy_frame([*self._fixed, *rows])
        listed = [row["node"] for row in self.listed]
        self.listed = traits.listed(self._effects, [*listed, *self.struck], LISTED)
        self.compared = compared
        columns = [(name, said) for name, said in self.groups]
        self.accuracy = traits.table(self._frame, columns)
        self.notes = self._notes()
        self.summary = summaries.shift(self._frame, dict(columns))

    def _notes(self) -> list[str]:
        assert self._effects is not None
        missed = self._effects.filter(pl.col("atom").is_null())
        said = ", ".join(f"{row['effect']:.2f} at {row['site']}" for row in missed.to_dicts())
        notes = [
            "An effect is how much of the probe's logit for the right class goes with the atom, by integrated gradients, mean over "
            f"{self._effects['texts'][0] if len(self._effects) else 0} texts of the ambiguous split. Effects of different sites do "
            "not add up.",
            f"{' or '.join(self.labels)} is what the probe is trained to tell. {' or '.join(self.spurious)} coincides with it in "
            "the ambiguous split; its accuracy is that of the probe read as if it told this. One half is chance. "
            "Accuracies are on the test split, in which the four groups are equally large unless the data say otherwise. "
            "Intervals are 95 % (Wilson); of random atoms, mean, least and most.",
        ]
        if said:
            notes.insert(1, f"What the dictionaries miss stays in, whatever is struck out. Its effect: {said}.")
        return notes

    @t.observe("struck")
    def _follow_struck(self, change: t.Bunch) -> None:
        run, nodes = self._run, list(self.struck)  # a panel that is asleep wakes for it
        if self._job is None or self._taking_back == threading.get_ident():
            return
        with self._showing_errors():
            try:
                self._check(nodes)
            except InterpError:
                self._take_back(change.old)
                raise
            if run is not None and not (self._job.running and self._started_with is not None):
                self._launch(lambda progress: self._strike(progress, run, nodes))
            # else the computation that is running takes it up at its end

    # requests from the browser

    def _on_run(self) -> None:
        self._start()

    def _on_compare(self) -> None:
        run, nodes = self._run, list(self.struck)
        if run is None:
            raise TextError("There is nothing to compare yet. Run the panel first.")
        if not nodes:
            raise TextError("Nothing is struck out, so there is nothing to compare with. Strike out an atom first.")
        self._launch(lambda progress: self._compare(progress, run, nodes))
