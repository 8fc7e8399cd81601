"""Agreement: one text in two sessions, so that one knows whether numbers from elsewhere are right."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import polars as pl
import traitlets as t

from ..errors import SiteError
from ..widgets.agreement import AgreementWidget
from . import lens, summaries
from .agreement_traits import run_traits
from .jobs import Job
from .panel import Panel, positions_of

if TYPE_CHECKING:
    import altair as alt

    from ..methods.agreement_run import AgreementRun
    from ..session.session import Session


class Agreement(Panel, AgreementWidget):
    """One text in two sessions, as a grid of layers x positions: top-1 agreement and total variation in every cell.

    >>> local, other = iw.load("smollm2-135m"), iw.load("smollm2-135m", dtype="bfloat16")
    >>> agreement = iw.Agreement(local, other, "The Eiffel Tower is in the city of")
    >>> agreement.frame                 # see iw.methods.agreement
    >>> agreement.totals                # two rows: every cell, and the outputs
    """

    def __init__(
        self,
        model: Session,
        other: Session,
        text: str = "",
        *,
        top_k: int = 5,
        color: str = "total_variation",
        sampled: bool | None = None,
        seed: int = 0,
    ) -> None:
        """Start on `text` in the background; returns at once.

        Args:
            model: a session from `iw.load`.
            other: another one that reads the text as the same tokens: on a server, in another dtype, on another backend.
            text: the prompt; empty for none yet.
            top_k: tokens listed of each session in each cell, at most 64.
            color: "total_variation", "logit_difference" or "residual_difference".
            sampled: whether to compare a sample of the vocabulary; default where a session is remote (see
                `iw.methods.agreement`).
            seed: of that sample.
        """
        self.other = other
        self._asked = (top_k, sampled, seed)
        self._run: AgreementRun | None = None
        self._first = 0
        super().__init__(model, text=text, color=color)
        if text:
            self._start()

    @property
    def predictions(self) -> pl.DataFrame:
        """The tokens listed of both sessions (see `frames.AGREEMENT_TOKENS`), in the selected cell if there is one."""
        from ..methods.agreement import tokens_frame

        rows = tokens_frame(self.session, self.other, self._finished_run(), self._asked[0])
        return rows.filter(layer=self.cell[0], position=self.cell[1]) if self.cell else rows

    @property
    def totals(self) -> pl.DataFrame:
        """The result in two rows, every cell shown and the outputs (see `frames.AGREEMENT_SUMMARY`)."""
        from ..methods.agreement import agreement_summary

        return agreement_summary(self.frame)

    @property
    def selection(self) -> pl.DataFrame:
        """The row of `frame` of the selected cell; without a cell, the rows of all layers at the selected positions."""
        rows = self.frame.filter(pl.col("position").is_in(self.positions))
        return rows.filter(pl.col("layer") == self.cell[0]) if self.cell else rows

    def select(self, position: int | tuple[int, int] | None = None, layer: int | None = None) -> None:
        """Select a position, a span `(first, last)`, or with `layer` a cell; no argument clears the selection.

        Raises:
            TextError, SiteError: a position or layer that does not exist, or is not shown.
        """
        _ = self.frame  # waits for one
        chosen = positions_of(position, len(self.tokens))
        if layer is not None and layer not in self.layers:
            raise SiteError(f"Layer {layer} is not shown; the layers are {self.layers[0]} to {self.layers[-1]}.")
        with self.hold_sync():
            self.positions = chosen
            self.cell = [layer, chosen[0]] if layer is not None and chosen else []

    @property
    def chart(self) -> alt.LayerChart:
        """Layers x positions, coloured as in the panel; disagreements carry a mark."""
        from ..views.agreement import agreement_chart
        from .charts import offline

        return offline(agreement_chart(self.frame, color=self.color))

    def code(self) -> str:
        """An nnsight script that makes `frame`; always over the whole vocabulary."""
        from ..methods.agreement import TIE
        from ..session.scripts import agreement as scripts

        return scripts.agreement(self.session, self.other, self._finished_run(), TIE)

    @property
    def provenance(self) -> dict[str, Any]:
        """What the result rests on: that of `model`, that of the other session under `other`, and what was compared."""
        compared = self._run.compared if self._run is not None else None
        return {
            **super().provenance,
            "other": self.other.provenance(),
            "compared_tokens": compared or "the whole vocabulary",
            "seed": self._asked[2] if compared else None,
        }

    # work

    def _inputs(self) -> tuple[Any, ...]:
        return self.text, self._first

    def _compute(self, progress: Job) -> None:
        from ..methods.agreement import agreement_frame, run_agreement, same_tokens

        text = self.text
        top_k, sampled, seed = self._asked
        tokens = self.session.tokens(same_tokens(self.session, self.other, text))
        start = max(0, len(tokens) - lens.WINDOW)
        if self._run is not None and self._run.tokens.equals(tokens):
            start = self._first
        run = run_agreement(
            self.session,
            self.other,
            text,
            positions=range(len(tokens))[start : start + lens.WINDOW],
            top_k=top_k,
            sampled=sampled,
            seed=seed,
            progress=progress,
        )
        frame = agreement_frame(self.session, self.other, run)
        traits = run_traits(self.session, self.other, run, frame)
        self._publish(progress, lambda: self._show(run, frame, traits))

    def _show(self, run: AgreementRun, frame: pl.DataFrame, traits: dict[str, Any]) -> None:
        if self._run is None or not self._run.tokens.equals(run.tokens):
            self.positions, self.cell = [], []
        self._run, self._frame, self._first = run, frame, run.positions[0]
        self.set_traits(traits)
        self.summary = summaries.agreement(self.sides, frame)

    def _finished_run(self) -> AgreementRun:
        _ = self.frame  # waits, and raises if there is none
        assert self._run is not None
        return self._run

    # requests from the browser

    def _on_run(self, text: str) -> None:
        self.text = text
        self._start()

    def _on_window(self, start: int) -> None:
        self._first = max(0, min(int(start), len(self.tokens) - lens.WINDOW))
        self._start()

    @t.observe("positions")
    def _forget_other_cell(self, change: t.Bunch) -> None:
        if self.cell and self.cell[1] not in change.new:
            self.cell = []
