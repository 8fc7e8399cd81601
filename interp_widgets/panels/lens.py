"""The lens: what each layer predicts at each position, and how a token's probability grows through the layers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import polars as pl
import traitlets as t

from ..errors import SiteError
from ..widgets import wire
from ..widgets.lens import LensWidget
from . import summaries
from .jobs import Job
from .models import as_text
from .panel import Panel, positions_of

if TYPE_CHECKING:
    import altair as alt

    from ..methods.logit_lens import LensRun
    from ..session.session import Session

WINDOW = 128
"""Positions shown at once; more columns than that can be neither read nor drawn smoothly."""


class Lens(Panel, LensWidget):
    """The logit lens of a text, as a grid of layers x positions.

    >>> lens = iw.Lens(model, "The Eiffel Tower is in the city of")
    >>> lens.frame                      # see iw.methods.logit_lens
    >>> lens.select(position=8, layer=20)
    """

    def __init__(
        self,
        model: Session,
        text: str = "",
        *,
        top_k: int = 5,
        track: str | int | None = None,
        color: str = "probability",
    ) -> None:
        """Start on `text` in the background; returns at once.

        Args:
            model: a session from `iw.load`.
            text: the prompt; empty for none yet.
            top_k: tokens listed in each cell.
            track: token (text of one token, or id) whose rank can colour the grid; default the model's last prediction.
            color: "probability", "entropy", "kl" or "rank".
        """
        self._run: LensRun | None = None
        self._track = track
        self._first = 0
        super().__init__(model, text=text, top_k=top_k, color=color)
        if text:
            self._start()

    @property
    def selection(self) -> pl.DataFrame:
        """Rows of `frame` in the selected cell; without a cell, of all layers at the selected positions."""
        rows = self.frame.filter(pl.col("position").is_in(self.positions))
        return rows.filter(pl.col("layer") == self.cell[0]) if self.cell else rows

    def select(self, position: int | tuple[int, int] | None = None, layer: int | None = None) -> None:
        """Select a position, a span `(first, last)`, or with `layer` a cell; no argument clears the selection.

        Raises:
            TextError, SiteError: a position or layer that does not exist.
        """
        _ = self.frame  # waits for one
        chosen = positions_of(position, len(self.tokens))
        if layer is not None and layer not in self.layers:
            raise SiteError(f"Layer {layer} is not shown; the layers are {self.layers[0]} to {self.layers[-1]}.")
        with self.hold_sync():
            self.positions = chosen
            self.cell = [layer, chosen[0]] if layer is not None and chosen else []

    @property
    def chart(self) -> alt.Chart:
        """Layers x positions, coloured as in the panel."""
        from ..views.lens import lens_chart
        from .charts import offline

        return offline(lens_chart(self.frame, color=self.color, masked=self.masked))

    def code(self) -> str:
        """An nnsight script that makes `frame`."""
        from ..session import scripts

        run = self._finished_run()
        return scripts.lens(self.session, run.tokens["token_id"].to_list(), run.positions, self.top_k, run.tracked)

    # work

    def _inputs(self) -> tuple[Any, ...]:
        return self.text, self.top_k, self._track, self._first

    def _compute(self, progress: Job) -> None:
        from ..methods.logit_lens import run_lens

        text, track = self.text, self._track
        tokens = self.session.tokens(text)
        start = max(0, len(tokens) - WINDOW)
        if self._run is not None and self._run.tokens.equals(tokens):
            start = self._first
        shown = list(range(len(tokens)))[start : start + WINDOW]
        run = run_lens(
            self.session,
            text,
            positions=shown,
            top_k=self.top_k,
            track=track,
            track_output=True,
            progress=progress,
        )
        self._publish(progress, lambda: self._show(run, shown))

    def _translate(self, former: Session) -> None:
        self._track = as_text(self._track, former)

    def _show(self, run: LensRun, shown: list[int]) -> None:
        from ..methods.logit_lens import lens_frame, masked_positions

        old = self._run
        self._run, self._frame = run, lens_frame(self.session, run)
        if old is None or not old.tokens.equals(run.tokens):
            self.positions, self.cell, self.pins, self.extra_lines = [], [], [], []
        else:  # the window may have moved on from a pinned line
            self.extra_lines = [*self.extra_lines, *self._lines_left_behind(old, shown)]
        self.tokens, self.token_ids = run.tokens["token"].to_list(), run.tokens["token_id"].to_list()
        self._first, self.window, self.layers = shown[0], [shown[0], shown[-1] + 1], run.layers
        self.masked = masked_positions(self.session, run)
        self.notes = _notes(run, shown, self.masked, self.session)
        self.summary = summaries.lens(self.session.name, run, self.session.text_of)
        self._show_tables(run)

    def _lines_left_behind(self, old: LensRun, shown: list[int]) -> list[dict[str, Any]]:
        """Pinned lines of positions that are no longer shown."""
        kept = {(line["position"], line["token_id"]) for line in self.extra_lines}
        lines = []
        for position, token_id in self.pins:
            if position in shown or position not in old.positions or (position, token_id) in kept:
                continue
            row = old.positions.index(position)
            if token_id in (stored := old.line_ids[row].tolist()):
                probability = old.line_probabilities[:, row, stored.index(token_id)].tolist()
                lines.append(self._line(position, token_id, probability))
        return lines

    def _line(self, position: int, token_id: int, probability: list[float]) -> dict[str, Any]:
        return {
            "position": position,
            "token_id": token_id,
            "token": self.session.text_of(token_id),
            "probability": probability,
        }

    def _show_tables(self, run: LensRun) -> None:
        ids = sorted({*run.top_ids.flatten().tolist(), *run.line_ids.flatten().tolist()} - {-1})
        index = {token_id: i for i, token_id in enumerate(ids)} | {-1: -1}
        self.vocabulary, self.vocabulary_ids = [self.session.text_of(i) for i in ids], ids
        self.top_index = wire.int32([index[i] for i in run.top_ids.flatten().tolist()])
        self.top_probability = wire.float32(run.top_probabilities)
        self.lines_index = wire.int32([index[i] for i in run.line_ids.flatten().tolist()])
        self.lines = wire.unit16(run.line_probabilities.permute(1, 2, 0))
        self.entropy, self.kl, self.rank = (
            wire.float32(run.entropy),
            wire.float32(run.kl),
            wire.float32(run.tracked_rank),
        )
        if run.tracked is not None:
            self.tracked = {"token_id": run.tracked, "token": self.session.text_of(run.tracked)}
        seen = [i for i, p in enumerate(run.positions) if p not in self.masked] or list(range(len(run.positions)))
        self.scales = {
            "probability": [0.0, 1.0],
            "entropy": [0.0, float(run.entropy[:, seen].max())],
            "kl": [0.0, float(run.kl[:, seen].max())],
            "rank": [1.0, float(run.tracked_rank[:, seen].max().clamp(min=2))],
        }

    def _finished_run(self) -> LensRun:
        _ = self.frame  # waits, and raises if there is none
        assert self._run is not None
        return self._run

    # requests from the browser

    def _on_run(self, text: str) -> None:
        self.text = text
        self._start()

    def _on_track(self, token_id: int | None = None, text: str = "") -> None:
        self._track = self.session.single_token(token_id if token_id is not None else text)
        self.color = "rank"
        self._start()

    def _on_window(self, start: int) -> None:
        self._first = max(0, min(int(start), len(self.tokens) - WINDOW))
        self._start()

    def _on_line(self, position: int, token_id: int) -> None:
        """A line that is not among the stored ones: one more forward pass."""
        from ..methods.logit_lens import lens_lines

        run = self._run
        if run is None:
            return
        stored = {(line["position"], line["token_id"]) for line in self.extra_lines}
        if (position, token_id) in stored:
            return

        def work(progress: Job) -> None:
            progress(0, 1, "line")
            rows = lens_lines(self.session, run.tokens["token_id"].to_list(), position, [token_id])
            line = self._line(position, token_id, rows["probability"].to_list())
            self._publish(progress, lambda: self.set_trait("extra_lines", [*self.extra_lines, line]))

        self._launch(work)

    @t.observe("positions")
    def _forget_other_cell(self, change: t.Bunch) -> None:
        if self.cell and self.cell[1] not in change.new:
            self.cell = []


def _notes(run: LensRun, shown: list[int], masked: list[int], model: Session) -> list[str]:
    notes = []
    if len(shown) < len(run.tokens):
        notes.append(
            f"Positions {shown[0]} to {shown[-1]} of {len(run.tokens)} are shown; press a token outside to move there."
        )
    if any(p in shown for p in masked):
        at = ", ".join(str(p) for p in masked)
        notes.append(f"Position {at} is left out of the colour scales: an attention sink or a start marker, not text.")
    return notes + unknown_words(model, run.tokens)


def unknown_words(model: Session, tokens: pl.DataFrame) -> list[str]:
    """A sentence if the tokeniser replaced words by its unknown token."""
    unknown = getattr(model.tokenizer, "unk_token_id", None)
    count = (tokens["token_id"] == unknown).sum() if unknown is not None else 0
    if not count:
        return []
    return [f"{model.name} does not know {count} of these words and reads them as {model.tokenizer.unk_token}."]
