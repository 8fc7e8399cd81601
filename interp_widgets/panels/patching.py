"""Activation patching between two prompts: where is the answer carried?"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import polars as pl
import torch
import traitlets as t

from ..errors import AlignmentError, Cancelled, SiteError, TextError
from ..methods.activation_patching import PATCHABLE, prepare
from ..methods.alignment import Pairs, explain, pair
from ..methods.attribution_patching import estimate
from ..methods.patching_run import PatchingRun, patching_frame
from ..methods.predictions import predictions
from ..methods.sweep import sweep
from ..session import scripts
from ..session.session import Session
from ..widgets import wire
from ..widgets.patching import PatchingWidget
from .jobs import Job
from .lens import unknown_words
from .panel import Panel, positions_of

if TYPE_CHECKING:
    import altair as alt

KINDS = ("resid_post", "attn_out", "mlp_out")


class Patching(Panel, PatchingWidget):
    """Exact activation patching of a clean run into a corrupt one, filled in as it is computed.

    >>> patching = iw.Patching(model, clean="When Mary and John went to the store, John gave a drink to",
    ...                        corrupt="When Mary and John went to the store, Mary gave a drink to", answer=" Mary", foil=" John")
    >>> patching.frame                  # see iw.methods.activation_patching
    >>> patching.select(site="resid_post", layer=15, position=9)
    >>> patching.predictions            # what that patched run says next
    """

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
    ) -> None:
        """Start in the background; returns at once.

        Args:
            model: a session from `iw.load`.
            clean, corrupt: the two prompts; activations of the clean run are put into the corrupt run.
            answer, foil: one token each (text or id); empty for what the clean and the corrupt run predict.
            sites: kinds of site, one grid each: resid_post, attn_out, mlp_out, resid_pre, resid_mid.
            metric: "logit_difference", "probability" or "recovery"; what the grid shows first.

        Raises:
            SiteError: something that is no kind of site.
        """
        if unknown := [kind for kind in sites if kind not in PATCHABLE]:
            raise SiteError(
                f"{unknown[0]!r} is not a kind of site; the panel draws one grid a kind, out of {', '.join(PATCHABLE)}. "
                "For single sites call iw.methods.activation_patching."
            )
        self._run: PatchingRun | None = None
        self._by_hand: tuple[str, str, Pairs] | None = None
        self._tokens = {"answer": answer, "foil": foil}
        shown = {role: model.text_of(x) if isinstance(x, int) else x for role, x in self._tokens.items()}
        super().__init__(model, clean=clean, corrupt=corrupt, sites=list(sites), site=sites[0], metric=metric, **shown)
        if clean and corrupt:
            self._start()

    @property
    def frame(self) -> pl.DataFrame:
        """The result as a polars frame, for the metric that is shown; waits for a sweep that is still running."""
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
        """Select corrupt positions, or with `layer` (and `site`, default the one shown) a cell; no argument clears both.

        Raises:
            TextError, SiteError: a position, layer or kind of site that is not in the grid.
        """
        self._finished_run()
        chosen = positions_of(position, len(self.corrupt_tokens))
        site = site or self.site
        if site not in self.sites or (layer is not None and layer not in self.layers):
            raise SiteError(
                f"{site}.{layer} is not in the grid; it has {', '.join(self.sites)} at layers 0 to {self.layers[-1]}."
            )
        with self.hold_sync():
            self.site, self.positions = site, chosen
            self.cell = [site, layer, chosen[0]] if layer is not None and chosen else []

    @property
    def predictions(self) -> pl.DataFrame:
        """What the clean run, the corrupt run and the selected cell's patched run predict next (see `frames.PREDICTIONS`)."""
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
            "alignment": [list(p) for p in run.pairs],
            "identity_check": self.identity,
        }

    def code(self) -> str:
        """An nnsight script that makes `frame`."""
        run = self._finished_run()
        return scripts.patching(
            self.session,
            run.source["token_id"].to_list(),
            run.prompt["token_id"].to_list(),
            run.answer,
            run.foil,
            list(self.sites),
            run.pairs,
            run.unaffected,
            self._base_metric(),
        )

    # work

    def _inputs(self) -> tuple[Any, ...]:
        return self.clean, self.corrupt, self._tokens["answer"], self._tokens["foil"], self._by_hand

    def _compute(self, progress: Job) -> None:
        former = self._run
        pairs = self._by_hand[2] if self._by_hand and self._by_hand[:2] == (self.clean, self.corrupt) else None
        sites, first = list(self.sites), self.site
        answer, foil = (self._tokens[role] or None for role in ("answer", "foil"))
        progress(0, len(sites) * self.session.num_layers, "reading both prompts")
        run = prepare(self.session, self.clean, self.corrupt, answer, foil, sites, pairs)
        self._publish(progress, lambda: self._show(run))
        try:
            progress(0, 1, "estimating")
            run.estimate = estimate(self.session, run)
            self._publish(progress, lambda: self._show_grids(run))
            sweep(self.session, run, first=first, progress=progress)
        except Cancelled:
            raise
        except Exception:
            if former is not None and (not run.identity or former.same_grid(run)):
                run = former  # a failure must not cost the result that was there
                self._publish(progress, lambda: self._show(run))
            raise
        finally:  # what is done stays, however it ended
            self._publish(progress, lambda: self._show_grids(run))

    def _show(self, run: PatchingRun) -> None:
        if self._run is None or not self._X:
            self.cell, self.positions = [], []
        self._run = run
        self.clean_tokens, self.clean_ids = run.source["token"].to_list(), run.source["token_id"].to_list()
        self.corrupt_tokens, self.corrupt_ids = run.prompt["token"].to_list(), run.prompt["token_id"].to_list()
        self.alignment = [list(p) for p in run.pairs]
        self.alignment_note = explain(self.clean_tokens, self.corrupt_tokens, run.pairs)
        self.layers, self.unaffected = list(range(self.session.num_layers)), run.unaffected
        self.answer, self.foil = self.session.text_of(run.answer), self.session.text_of(run.foil)
        self.baselines = {
            "clean": self._baseline(run.clean_prediction),
            "corrupt": self._baseline(run.corrupt_prediction),
        }
        self.notes = _notes(run, self.session)
        self._show_grids(run)

    def _baseline(self, prediction: Any) -> dict[str, Any]:
        top = zip(prediction.top_ids[0].tolist(), prediction.top_probabilities[0].tolist(), strict=True)
        return {
            "logit_difference": float(prediction.logit_difference[0]),
            "probability": float(prediction.probability[0]),
            "top": [{"token_id": i, "token": self.session.text_of(i), "probability": p} for i, p in top],
        }

    def _show_partial(self, partial: PatchingRun) -> None:
        with self.hold_sync():
            self._show_grids(partial)

    def _show_grids(self, run: PatchingRun) -> None:
        grids = {
            "logit_difference": run.effect("logit_difference"),
            "probability": run.effect("probability"),
            "recovery": run.recovery("logit_difference"),
        }
        for name, grid in grids.items():
            setattr(self, name, wire.float32(grid))
        left = run.estimate_left()
        self.estimate = b"" if left is None else wire.float32(left)
        shown = {name: [grid] for name, grid in grids.items()}
        shown["logit_difference"] += [] if left is None else [left]
        # Rounding must not look like an effect, so the scale ends no lower than what the identity check forgives.
        self.scales = {
            name: max(run.tolerance, *(float(grid.abs().nan_to_num(0).max()) for grid in all_))
            for name, all_ in shown.items()
        }
        ids = sorted(set(run.cells.top_ids.flatten().tolist()) - {-1})
        index = torch.full((self.session.vocabulary_size + 1,), -1)  # the last entry is for "not computed"
        index[torch.tensor(ids, dtype=torch.long)] = torch.arange(len(ids))
        self.vocabulary, self.vocabulary_ids = [self.session.text_of(i) for i in ids], ids
        self.top_k = run.cells.top_ids.shape[-1]
        self.top_index, self.top_probability = (
            wire.int32(index[run.cells.top_ids]),
            wire.float32(run.cells.top_probabilities),
        )
        worst = run.largest_identity
        self.identity = (
            {"cells": len(run.identity), "largest": worst, "tolerance": run.tolerance, "passed": worst <= run.tolerance}
            if run.identity
            else {}
        )

    def _base_metric(self) -> str:
        return "logit_difference" if self.metric == "recovery" else self.metric

    def _finished_run(self) -> PatchingRun:
        while self._run is None and self._job is not None and self._job.running:
            self._job.wait(0.1)
        if self._run is None:
            raise TextError(self.error or "There is no result yet. Give the panel two prompts and call .run().")
        return self._run

    # requests from the browser

    def _on_run(self, clean: str, corrupt: str, answer: str = "", foil: str = "") -> None:
        self.clean, self.corrupt = clean, corrupt
        self._tokens = {
            role: self._tokens[role] if new == getattr(self, role) and isinstance(self._tokens[role], int) else new
            for role, new in (("answer", answer), ("foil", foil))
        }
        self._start()

    def _on_align(self, clean: int, corrupt: int) -> None:
        run = self._shown()
        if not (0 <= clean < len(run.source) and 0 <= corrupt < len(run.prompt)):
            raise AlignmentError(f"There is no pair of positions {clean} and {corrupt} in these prompts.")
        self._realign(pair(run.pairs, clean, corrupt))

    def _on_unalign(self, corrupt: int) -> None:
        self._realign([(i, j) for i, j in self._shown().pairs if j != corrupt])

    def _on_reset_alignment(self) -> None:
        self._realign(None)

    def _shown(self) -> PatchingRun:
        if self._run is None:
            raise AlignmentError("There are no prompts to pair yet. Type both and run them.")
        return self._run

    def _realign(self, pairs: Pairs | None) -> None:
        self._by_hand = None if pairs is None else (self.clean, self.corrupt, pairs)
        self._start()

    @t.observe("positions")
    def _forget_other_cell(self, change: t.Bunch) -> None:
        if self.cell and self.cell[2] not in change.new:
            self.cell = []


def _notes(run: PatchingRun, model: Session) -> list[str]:
    notes = []
    if run.same_prompt:
        notes.append("Clean and corrupt are the same text, so every effect must be 0: this run is a check of the tool.")
    elif run.unaffected:
        notes.append(
            f"The first {len(run.unaffected)} tokens are the same in both prompts. A causal model has equal activations there, "
            "so those columns are 0 and were not computed."
        )
    return notes + unknown_words(model, run.prompt)
