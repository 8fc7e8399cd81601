"""Activation patching between two prompts: where is the answer carried?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import polars as pl
import traitlets as t

from ..errors import AlignmentError, Cancelled, SiteError, TextError
from ..widgets.patching import PatchingWidget
from . import summaries
from .jobs import Job
from .models import as_text
from .panel import Panel, positions_of
from .patching_cell import describe_cell, describe_place
from .patching_history import Entry, History, Question, Recalls
from .patching_traits import grid_traits, prompt_traits

if TYPE_CHECKING:
    import altair as alt

    from ..methods.alignment import Pairs
    from ..methods.patching_run import PatchingRun
    from ..session.session import Session

KINDS = ("resid_post", "attn_out", "mlp_out")
GRIDS = ("resid_pre", "resid_mid", "resid_post", "attn_out", "mlp_out", "mlp_act", "head_out")
"""Kinds of site that a grid of layers x positions can show."""


def check_kinds(sites: Sequence[str], method: str) -> None:
    """Raises SiteError for a kind of site that has no grid."""
    if unknown := [kind for kind in sites if kind not in GRIDS]:
        raise SiteError(
            f"{unknown[0]!r} is not a kind of site that the panel draws; it draws one grid a kind, out of {', '.join(GRIDS)}. "
            f"For other sites call iw.methods.{method}."
        )


class Patching(Recalls, Panel, PatchingWidget):
    """Exact activation patching between a clean and a corrupt run, filled in as it is computed.

    >>> patching = iw.Patching(model, clean="When Mary and John went to the store, John gave a drink to",
    ...                        corrupt="When Mary and John went to the store, Mary gave a drink to", answer=" Mary", foil=" John")
    >>> patching.frame                  # see iw.methods.activation_patching
    >>> patching.select(site="resid_post", layer=15, position=9)
    >>> patching.predictions            # what that patched run says next
    """

    framed = ("metric",)

    def __init__(
        self,
        model: Session,
        clean: str = "",
        corrupt: str = "",
        answer: str | int = "",
        foil: str | int = "",
        *,
        sites: tuple[str, ...] = KINDS,
        metric: str = "logit_difference",
        direction: str = "denoise",
    ) -> None:
        """Start in the background; returns at once.

        Args:
            model: a session from `iw.load`.
            clean, corrupt: the two prompts.
            answer, foil: one token each (text or id); empty for what the clean and the corrupt run predict.
            sites: kinds of site, one grid each: resid_post, attn_out, mlp_out, resid_pre, resid_mid, mlp_act, head_out.
            metric: "logit_difference", "probability" or "recovery"; what the grid shows first.
            direction: "denoise" (default) puts clean activations into the corrupt run, "noise" corrupt ones into the clean run.

        Raises:
            SiteError: something that is no kind of site.
        """
        check_kinds(sites, "activation_patching")
        self._run: PatchingRun | None = None
        self._history = History()
        self._by_hand: tuple[str, str, Pairs] | None = None
        self._tokens: dict[str, str | int] = {"answer": answer, "foil": foil}
        self._direction = direction
        self._said: dict[str, Any] = {}
        shown = {role: model.text_of(x) if isinstance(x, int) else x for role, x in self._tokens.items()}
        super().__init__(
            model,
            clean=clean,
            corrupt=corrupt,
            sites=list(sites),
            site=sites[0],
            metric=metric,
            direction=direction,
            **shown,
        )
        if clean and corrupt:
            self._start()

    @property
    def frame(self) -> pl.DataFrame:
        """The result as a polars frame, for the metric that is shown; waits for a sweep that is still running."""
        from ..methods.patching_run import patching_frame

        if self._job is not None:
            self._job.wait()
        return patching_frame(self._finished_run(), self._base_metric())

    @property
    def selection(self) -> pl.DataFrame:
        """The row of `frame` for the selected cell; without a cell, all rows at the selected positions."""
        if self.cell:
            site, layer, position = self.cell
            return self.frame.filter((pl.col("site") == f"{site}.{layer}") & (pl.col("position") == position))
        return self.frame.filter(pl.col("position").is_in(self.positions))

    def select(
        self, position: int | tuple[int, int] | None = None, site: str | None = None, layer: int | None = None
    ) -> None:
        """Select positions of the patched prompt, or with `layer` (and `site`, default the one shown) a cell; no argument
        clears both.

        Raises:
            TextError, SiteError: a position, layer or kind of site that is not in the grid.
        """
        _ = self.frame  # waits for one
        prompt = self.corrupt_tokens if self.direction == "denoise" else self.clean_tokens
        chosen = positions_of(position, len(prompt))
        site = site or self.site
        if site not in self.sites or (layer is not None and layer not in self.layers):
            raise SiteError(
                f"{site}.{layer} is not in the grid; it has {', '.join(self.sites)} at layers 0 to {self.layers[-1]}."
            )
        with self.hold_sync():
            self.site, self.positions, self.origin = site, chosen, []
            self.cell = [site, layer, chosen[0]] if layer is not None and chosen else []

    @property
    def predictions(self) -> pl.DataFrame:
        """What the clean run, the corrupt run and the selected cell's patched run predict next (see `frames.PREDICTIONS`)."""
        from ..methods.predictions import predictions

        cells = [(f"{self.cell[0]}.{self.cell[1]}", self.cell[2])] if self.cell else []
        return predictions(self.session, self._finished_run(), cells)

    @property
    def chart(self) -> alt.Chart:
        """Layers x positions of the kind of site and the metric that are shown."""
        from ..views.patching import patching_chart
        from .charts import offline

        return offline(patching_chart(self.frame, site=self.site, metric=self.metric))

    @property
    def provenance(self) -> dict[str, Any]:
        run = self._finished_run()
        return {
            **super().provenance,
            "answer_id": run.answer,
            "foil_id": run.foil,
            "direction": run.direction,
            "alignment": [list(p) for p in run.pairs],
            "checks": self.checks,
        }

    def code(self) -> str:
        """An nnsight script that makes `frame`."""
        from ..methods.patching_run import UNDEFINED
        from ..session import scripts

        metric = self._base_metric()
        return scripts.patching(self.session, self._finished_run(), list(self.sites), metric, UNDEFINED[metric])

    # the grid

    def _question(self) -> Question:
        by_hand = self._by_hand[2] if self._by_hand and self._by_hand[:2] == (self.clean, self.corrupt) else None
        return Question(self.clean, self.corrupt, dict(self._tokens), self._direction, by_hand)

    def _inputs(self) -> tuple[Any, ...]:
        question = self._question()
        return (*question.grid, question.tokens["answer"], question.tokens["foil"])

    def _compute(self, progress: Job) -> None:
        from ..methods.activation_patching import prepare
        from ..methods.attribution_patching import estimate
        from ..methods.sweep import sweep

        question, former = self._question(), self._shown_entry()
        sites, first = list(self.sites), self.site
        progress(0, len(sites) * self.session.num_layers, "reading both prompts")
        run = self._known(question, former)
        if run is None:
            given = {role: None if token == "" else token for role, token in question.tokens.items()}
            run = prepare(
                self.session,
                question.clean,
                question.corrupt,
                given["answer"],
                given["foil"],
                sites,
                question.by_hand,
                direction=question.direction,
            )
        progress(0, 1, "both prompts are read")  # or hear that it was cancelled meanwhile
        entry = Entry(_name(run, self.session), question, run)
        self._publish(progress, lambda: self._add(entry, former))
        try:
            if not run.done[:, run.patchable].all():
                progress(0, 1, "estimating")
                run.estimate = estimate(self.session, run)
                self._publish(progress, lambda: self._show_grids(run))
            sweep(self.session, run, first=first, progress=progress)
        except Cancelled:
            raise
        except Exception:
            if former is not None and (not run.patched or former.run.same_grid(run)):
                self._publish(progress, lambda: self._give_back(run, former))  # a failure must not cost what was there
            raise
        finally:  # what is done stays, however it ended, and activations do not
            run.reading = None
            self._publish(progress, self._show_now)

    def _known(self, question: Question, former: Entry | None) -> PatchingRun | None:
        """The runs that there are already, measured as now asked; None if other runs are asked for, or the same once more."""
        if former is None or former.question.grid != question.grid:
            return None
        run, defaults = former.run, (former.run.clean_prediction, former.run.corrupt_prediction)
        wanted = [
            int(default.top_ids[0, 0])
            if question.tokens[role] == ""
            else self.session.single_token(question.tokens[role], role)
            for role, default in zip(("answer", "foil"), defaults, strict=True)
        ]
        complete = bool(run.done[:, run.patchable].all())
        same = wanted == [run.answer, run.foil]
        if (same and complete) or not (same or run.can_be_asked):
            return None
        return run.asked(self.session, *wanted) if run.can_be_asked else replace(run)

    def _translate(self, former: Session) -> None:
        self._tokens = {role: as_text(token, former) for role, token in self._tokens.items()}

    def _forget(self) -> None:
        self._run, self._history, self._by_hand = None, History(), None

    def _shown_entry(self) -> Entry | None:
        if self._away:  # what there is is of another model
            return None
        return self._history.entries[self._history.at] if self._history.entries else None

    def _add(self, entry: Entry, former: Entry | None) -> None:
        if former is not None and former.question == entry.question:
            self._history.drop(former.run)  # the same question again takes its place
            entry.name = former.name
        self._history.add(entry)
        self._show(entry.run)

    def _give_back(self, run: PatchingRun, former: Entry) -> None:
        self._history.drop(run)
        if former not in self._history.entries:
            self._history.add(former)
        self._history.at = self._history.entries.index(former)
        self._show(former.run)

    def _show_now(self) -> None:
        if self._run is not None:
            self._show_grids(self._run)

    def _show(self, run: PatchingRun) -> None:
        if self._run is None or not self._run.prompt.equals(run.prompt):
            self.cell, self.positions, self.frozen, self.origin = [], [], [], []
        self._run, self._said = run, {}
        self.history, self.history_at = [entry.name for entry in self._history.entries], self._history.at
        self.patch = {}
        self.set_traits(prompt_traits(run, self.session))
        self._show_grids(run)
        self._describe()

    def _show_partial(self, partial: PatchingRun) -> None:
        with self.hold_sync():
            self._show_grids(partial)

    def _show_grids(self, run: PatchingRun) -> None:
        self.set_traits(grid_traits(run, self.session) | {"summary": summaries.patching(run, self.session.text_of)})

    def _base_metric(self) -> str:
        return "logit_difference" if self.metric == "recovery" else self.metric

    def _finished_run(self) -> PatchingRun:
        while self._run is None and self._job is not None and self._job.running:
            self._job.wait(0.1)
        if self._run is None:
            raise TextError(self.error or "There is no result yet. Give the panel two prompts and call .run().")
        return self._run

    # one cell, beside the grid

    @t.observe("cell", "origin", "frozen")
    def _describe(self, change: t.Bunch | None = None) -> None:
        """Find out what the selected cell's run says, alone, moved or past frozen positions."""
        run = self._run
        if run is None or not self.cell:
            self.patch = {}
            return
        place = describe_place(self.cell, self.origin, self.frozen)
        if self.patch.get("place") == place and not self.patch.get("failed"):
            return  # one message of the browser may set several of the traits
        self.patch = {"place": place, "pending": True}
        self._aside(lambda job: describe_cell(self, run, place, job, self._said))

    @t.observe("positions")
    def _forget_other_cell(self, change: t.Bunch) -> None:
        if self.cell and self.cell[2] not in change.new:
            self.cell = []

    # requests from the browser

    def _on_run(self, clean: str, corrupt: str, answer: str = "", foil: str = "") -> None:
        self.clean, self.corrupt = clean, corrupt
        self._tokens = {
            role: self._tokens[role] if new == getattr(self, role) and isinstance(self._tokens[role], int) else new
            for role, new in (("answer", answer), ("foil", foil))
        }
        self._start()

    def _on_turn(self, direction: str) -> None:
        self._direction = direction
        self._start()

    def _on_align(self, clean: int, corrupt: int) -> None:
        from ..methods.alignment import pair

        self._shown()
        if not (0 <= clean < len(self.clean_tokens) and 0 <= corrupt < len(self.corrupt_tokens)):
            raise AlignmentError(f"There is no pair of positions {clean} and {corrupt} in these prompts.")
        self._realign(pair([(i, j) for i, j in self.alignment], clean, corrupt))

    def _on_unalign(self, corrupt: int) -> None:
        self._shown()
        self._realign([(i, j) for i, j in self.alignment if j != corrupt])

    def _on_reset_alignment(self) -> None:
        self._shown()
        self._realign(None)

    def _shown(self) -> PatchingRun:
        if self._run is None:
            raise AlignmentError("There are no prompts to pair yet. Type both and run them.")
        return self._run

    def _realign(self, pairs: Pairs | None) -> None:
        self._by_hand = None if pairs is None else (self.clean, self.corrupt, pairs)
        self._start()


def _name(run: PatchingRun, model: Session) -> str:
    way = "" if run.direction == "denoise" else ", noise"
    return f"{model.text_of(run.answer).strip() or '␣'} or {model.text_of(run.foil).strip() or '␣'}{way}"
