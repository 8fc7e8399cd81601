"""Activation patching over many pairs of prompts: how sure is a cell?"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
import traitlets as t

from ..errors import SiteError, TextError
from ..widgets import wire
from ..widgets.pairs import PairsWidget
from . import summaries
from .jobs import Job
from .panel import Panel
from .patching import check_kinds

if TYPE_CHECKING:
    from collections.abc import Sequence

    import altair as alt

    from ..methods.patching_pairs import PairsRun
    from ..session.session import Session


class PatchingPairs(Panel, PairsWidget):
    """Exact activation patching of every pair of a frame, cell by cell with its mean, interval and test.

    >>> pairs = pl.DataFrame({"clean": [...], "corrupt": [...], "answer": [...], "foil": [...]})
    >>> panel = iw.PatchingPairs(model, pairs, baseline=True)
    >>> panel.frame                     # one row per pair and cell, see iw.methods.patching_pairs
    >>> panel.cells                     # one row per cell, see iw.methods.pair_summary
    """

    charts_more = True
    framed = ("metric",)
    movable = False

    def __init__(
        self,
        model: Session,
        pairs: pl.DataFrame,
        *,
        sites: tuple[str, ...] = ("resid_post",),
        positions: Sequence[int | Sequence[int]] | None = None,
        metric: str = "recovery",
        direction: str = "denoise",
        baseline: bool = False,
        seed: int = 0,
    ) -> None:
        """Start in the background; returns at once.

        Args:
            model: a session from `iw.load`.
            pairs: columns `clean`, `corrupt`, `answer`, `foil`, one pair a row; all prompts have the same number of tokens.
            sites: kinds of site, one grid each, as in `Patching`.
            positions: positions or spans (first, last) to patch, negative ones from the end; default all.
            metric: "recovery" (default), "logit_difference" or "probability"; what the grid shows first.
            direction: "denoise" or "noise", as in `Patching`.
            baseline: also patch each pair from a random other one, for comparison (twice the work).
            seed: of that choice, of the bootstrap and of the test.

        Raises:
            SiteError: something that is no kind of site.
        """
        check_kinds(sites, "patching_pairs")
        self._pairs, self._asked = pairs, (list(sites), positions, direction, baseline, seed)
        self._run: PairsRun | None = None
        super().__init__(model, sites=list(sites), site=sites[0], metric=metric, direction=direction)
        self._start()

    @property
    def frame(self) -> pl.DataFrame:
        """One row per pair and cell, for the metric shown (see `frames.PAIR_EFFECTS`); waits for a sweep that is running."""
        from ..methods.patching_pairs import pairs_frame

        if self._job is not None:
            self._job.wait()
        return pairs_frame(self._finished_run(), self._base_metric())

    @property
    def cells(self) -> pl.DataFrame:
        """One row per cell: mean, interval, p and q of what is shown (see `frames.PAIR_SUMMARY`)."""
        from ..methods.patching_pairs import pair_summary

        return pair_summary(
            self.frame, value="recovery" if self.metric == "recovery" else "effect", seed=self._asked[4]
        )

    @property
    def selection(self) -> pl.DataFrame:
        """The rows of `frame` of the selected cell, else of the selected positions; of the selected pair, if there is one."""
        frame = self.frame if self.pair < 0 else self.frame.filter(pair=self.pair)
        if self.cell:
            return frame.filter(site=f"{self.cell[0]}.{self.cell[1]}", position=self.cell[2])
        return frame.filter(pl.col("position").is_in(self.positions))

    def select(
        self, position: int | None = None, site: str | None = None, layer: int | None = None, pair: int = -1
    ) -> None:
        """Select a column by its (first) position, with `layer` a cell, and a pair; no argument clears all.

        Raises:
            TextError, SiteError: a position, pair, layer or kind of site that is not in the grid.
        """
        _ = self.frame  # waits for one
        site = site or self.site
        spans = [list(range(c["position"], c["last"] + 1)) for c in self.columns if c["position"] == position]
        if position is not None and not spans:
            there = [column["position"] for column in self.columns]
            raise TextError(f"Position {position} is not in the grid; it has {there}.")
        if not -1 <= pair < len(self.pairs):
            raise TextError(f"Pair {pair} does not exist; there are pairs 0 to {len(self.pairs) - 1}.")
        if site not in self.sites or (layer is not None and layer not in self.layers):
            raise SiteError(
                f"{site}.{layer} is not in the grid; it has {', '.join(self.sites)} at layers 0 to {self.layers[-1]}."
            )
        with self.hold_sync():
            self.site, self.pair, self.positions = site, pair, spans[0] if spans else []
            self.cell = [site, layer, position] if layer is not None and spans else []

    @property
    def chart(self) -> alt.Chart:
        """Mean over pairs by layer, one line and one band of uncertainty per position, for the kind of site shown."""
        from ..views.pairs import pairs_chart
        from .charts import offline

        return offline(pairs_chart(self.cells, site=self.site, metric=self.metric, tokens=self._token_names()))

    @property
    def provenance(self) -> dict[str, Any]:
        return {
            **super().provenance,
            "seed": self._asked[4],
            "pairs": len(self._pairs),
            "done": self.done,
            "checks": self.checks,
        }

    def code(self) -> str:
        """An nnsight script that makes `frame`."""
        from ..methods.patching_run import UNDEFINED
        from ..session import scripts

        metric = self._base_metric()
        return scripts.pairs(self.session, self._finished_run(), list(self.sites), metric, UNDEFINED[metric])

    # work

    def _inputs(self) -> tuple[Any, ...]:
        return (id(self._pairs),)

    def _compute(self, progress: Job) -> None:
        from ..methods.patching_pairs import prepare_pairs, sweep_pairs

        progress(0, len(self._pairs), "checking the pairs")
        former = self._run
        run = former if former is not None and former.done < len(former.pairs) else None
        if run is None:
            run = prepare_pairs(self.session, self._pairs, *self._asked)
            if former is None:
                self._publish(progress, lambda: self._show(run))
        try:
            sweep_pairs(self.session, run, progress=progress)
        finally:  # what is done stays, however it ended
            if run.done or former is None:
                self._publish(progress, lambda: self._show(run))

    def _show(self, run: PairsRun) -> None:
        self._run = run
        self.pairs, self.layers = run.pairs, list(range(self.session.num_layers))
        self.columns = self._columns(run)
        notes = [
            f"Effects of {len(run.pairs)} pairs count as independent of each other. Pairs that share words are less than that, and "
            "their intervals too narrow. Cells with q over 0.05 are hatched: with so many cells they may be chance."
        ]
        if (least := 2 / 2 ** len(run.pairs)) > 0.05:  # every effect of one sign is two flips of them all
            notes.append(f"With {len(run.pairs)} pairs no p can be below {least:.2g}, so every cell is hatched.")
        self.notes = notes
        self._show_numbers()

    def _show_partial(self, partial: PairsRun) -> None:
        if partial.done and (self._run is partial or self._run is None):
            with self.hold_sync():
                self._show_numbers()

    def _columns(self, run: PairsRun) -> list[dict[str, Any]]:
        side = "corrupt" if run.direction == "denoise" else "clean"
        tokens = [self.session.tokens(pair[side])["token"].to_list() for pair in run.pairs]
        # Tokens that are whole words have no space of their own.
        gap = " " if self.session.texts.style == "words" else ""
        texts = [[gap.join(one[span[0] : span[-1] + 1]) for one in tokens] for span in run.columns]
        spans = [{"position": span[0], "last": span[-1]} for span in run.columns]
        return [{**s, "token": text[0], "varies": len(set(text)) > 1} for s, text in zip(spans, texts, strict=True)]

    def _token_names(self) -> dict[int, str]:
        return {column["position"]: f"{column['token']}{'…' if column['varies'] else ''}" for column in self.columns}

    @t.observe("metric")
    def _show_numbers(self, change: t.Bunch | None = None) -> None:
        from ..methods.pair_statistics import mean_over_pairs, summarise

        run = self._run
        if run is None:
            return
        shape = (len(run.rows), len(run.columns))
        found = summarise(run.shown(self.metric).reshape(len(run.pairs), -1), seed=self._asked[4])
        self.summary = summaries.pairs(run, self.metric, found, self.level)
        empty = found["pairs"] == 0
        for name in ("mean", "low", "high", "p", "q"):
            setattr(self, name, wire.float32(np.where(empty, np.nan, found[name]).reshape(shape)))
        known = np.abs(found["mean"][~empty])
        self.scale = max(float(known.max()) if known.size else 0.0, run.tolerance)
        self.baseline = b"" if run.others is None else wire.float32(mean_over_pairs(run.shown(self.metric, wrong=True)))
        self.done = run.done
        clean, corrupt = (run.source, run.prompt) if run.direction == "denoise" else (run.prompt, run.source)
        self.right = {
            "clean": int((clean["logit_difference"] > 0).sum()),
            "corrupt": int((corrupt["logit_difference"] < 0).sum()),
        }
        passed = run.identity <= run.tolerance
        said = f"identity: the largest change is {run.identity:.1g} over {run.done} pairs (tolerance {run.tolerance:g})"
        self.checks = [{"name": "identity", "passed": passed, "text": said}] if run.done else []
        self._show_dots()

    @t.observe("cell")
    def _show_dots(self, change: t.Bunch | None = None) -> None:
        """The selected cell, pair by pair."""
        run = self._run
        if run is None or not self.cell:
            self.dots = {}
            return
        kind, layer, position = self.cell
        row = self.sites.index(kind) * len(self.layers) + layer
        column = [span[0] for span in run.columns].index(position)
        values, wrong = run.shown(self.metric)[:, row, column], run.shown(self.metric, wrong=True)[:, row, column]
        known = np.concatenate([values, wrong, [0.0]])
        known = known[np.isfinite(known)]
        self.dots = {
            "values": [None if x != x else x for x in values.tolist()],
            "baseline": [] if run.others is None else [None if x != x else x for x in wrong.tolist()],
            "low": float(known.min()),
            "high": float(known.max()),
        }

    @t.observe("positions")
    def _forget_other_cell(self, change: t.Bunch) -> None:
        if self.cell and self.cell[2] not in change.new:
            self.cell = []

    def _base_metric(self) -> str:
        return "logit_difference" if self.metric == "recovery" else self.metric

    def _finished_run(self) -> PairsRun:
        while self._run is None and self._job is not None and self._job.running:
            self._job.wait(0.1)
        if self._run is None:
            raise TextError(self.error or "There is no result yet. Call .run().")
        return self._run

    def _on_run(self) -> None:
        self._start()
