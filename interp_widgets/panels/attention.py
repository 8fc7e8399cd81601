"""Attention: every head of a text as a thumbnail, one head to read, and what becomes of the answer without it."""

from __future__ import annotations

import math
from functools import partial
from typing import TYPE_CHECKING, Any

import polars as pl
import traitlets as t

from ..errors import InterpError, SiteError, TextError
from ..widgets import wire
from ..widgets.attention import AttentionWidget
from . import summaries
from .attention_traits import first_head, metric_words, notes_of
from .jobs import Job
from .models import as_text
from .panel import Panel, positions_of

if TYPE_CHECKING:
    import altair as alt

    from ..methods.attention_run import AttentionRun, Triangles
    from ..methods.head_scores import Effects
    from ..session.session import Session

MOST = 512
"""Tokens shown at most: a pattern of more cells than that can be neither read nor sent in one piece."""


class Attention(Panel, AttentionWidget):
    """The attention patterns of a text.

    >>> attention = iw.Attention(model, "one two three one two")
    >>> attention.heads                 # scores of every head, see iw.methods.head_scores
    >>> attention.select(layer=9, head=3)
    >>> attention.frame                 # that head's weights, see iw.methods.attention
    """

    framed = ("head", "value_weighted", "query_range", "key_range")
    asks_for_frame = True

    def __init__(
        self,
        model: Session,
        text: str = "",
        *,
        answer: str | int | None = None,
        foil: str | int | None = None,
        sort: str = "layer",
        value_weighted: bool = False,
    ) -> None:
        """Start on `text` in the background; returns at once.

        Args:
            model: a session from `iw.load`.
            text: the text; empty for none yet.
            answer, foil: measure each head's effect on the answer as well (see `iw.methods.head_scores`); one token each, text or
                id.
            sort: the order of the heads: "layer", or a score: "induction", "previous_token", "duplicate_token", "first_token",
                "entropy" or "effect".
            value_weighted: multiply the weights by the length of what each value adds.

        Raises:
            TextError: a foil without an answer.
        """
        if foil is not None and answer is None:
            raise TextError("A foil needs an answer to be compared with; give both, or neither.")
        self._asked = None if answer is None else (answer, foil)
        self._unread = False
        self._run: AttentionRun | None = None
        self._effects: Effects | None = None
        self._exact: tuple[AttentionRun, tuple[Any, ...], pl.DataFrame] | None = None
        super().__init__(model, text=text, sort=sort, value_weighted=value_weighted)
        self.answer, self.foil = (self._name(token) for token in (answer, foil))
        if text:
            self._start()

    @property
    def heads(self) -> pl.DataFrame:
        """Scores of every head (see `frames.HEADS`); waits for a computation that is still running."""
        return super().frame

    @property
    def frame(self) -> pl.DataFrame:
        """Weights of the head shown, in the ranges shown (see `frames.ATTENTION`); waits for what is still running.

        They are exact: read by one more forward pass when first asked for, since the panel itself keeps eight bits of each.
        """
        from ..methods.attention import attention

        run = self._finished_run()
        layer, head = self.head
        queries, keys = self._range(self.query_range), self._range(self.key_range)
        state = (layer, head, queries, keys, self.value_weighted)
        if self._exact is None or self._exact[0] is not run or self._exact[1] != state:
            rows = attention(
                self.session,
                run.ids,
                layers=[layer],
                heads=[head],
                queries=queries,
                keys=keys,
                value_weighted=self.value_weighted,
            )
            self._exact = (run, state, rows)
        return self._exact[2]

    @property
    def selection(self) -> pl.DataFrame:
        """Rows of `frame` of the selected queries and the selected key; no rows if neither is selected."""
        rows = self.frame
        if not self.positions and not self.key_positions:
            return rows.clear()
        if self.positions:
            rows = rows.filter(pl.col("position").is_in(self.positions))
        return rows.filter(pl.col("key_position").is_in(self.key_positions)) if self.key_positions else rows

    def select(
        self,
        position: int | tuple[int, int] | None = None,
        *,
        key: int | None = None,
        layer: int | None = None,
        head: int | None = None,
    ) -> None:
        """Select queries (one, or a span `(first, last)`) and a key, and show another head; no argument clears the selection.

        Raises:
            TextError, SiteError: a position, a layer or a head that does not exist.
        """
        if not self.tokens:
            _ = self.heads  # waits for them
        queries, keys = positions_of(position, len(self.tokens)), positions_of(key, len(self.tokens))
        at = [self.head[0] if layer is None else layer, self.head[1] if head is None else head]
        if at[0] not in self.layers or not 0 <= at[1] < self.head_count:
            raise SiteError(
                f"Layer {at[0]}, head {at[1]} does not exist: there are layers 0 to {self.layers[-1]} with heads 0 to "
                f"{self.head_count - 1}."
            )
        with self.hold_sync():
            self.positions, self.key_positions, self.head = queries, keys, at

    @property
    def chart(self) -> alt.Chart:
        """Queries x keys of the head shown."""
        from ..views.attention import attention_chart
        from .charts import offline

        return offline(attention_chart(self.frame, leave_first=self.leave_first))

    def code(self) -> str:
        """An nnsight script that makes `frame`."""
        from ..session import scripts

        run = self._finished_run()
        layer, head = self.head
        ranges = self._range(self.query_range), self._range(self.key_range)
        return scripts.attention(self.session, run.ids, layer, head, *ranges, self.value_weighted)

    @property
    def provenance(self) -> dict[str, Any]:
        return {**super().provenance, "effect_of": self.effect_of or None}

    # work

    def _inputs(self) -> tuple[Any, ...]:
        return self.text, self._asked

    def _start(self) -> Job:
        self._unread = True
        return super()._start()

    def _compute(self, progress: Job) -> None:
        from ..methods.attention_run import run_attention

        text, asked = self.text, self._asked
        count = len(self.session.encode(text))
        if count > MOST:
            raise TextError(
                f"The text has {count} tokens and this panel shows at most {MOST}. Shorten it by {count - MOST} tokens, or call "
                "iw.methods.attention with the queries and keys that you want."
            )
        tokens = None if asked is None else self._tokens(*asked)  # a bad answer is told before anything is computed
        run = run_attention(self.session, text, progress=progress)
        self._publish(progress, lambda: self._show(run))
        self._complete(progress, run)
        self._unread = False
        if tokens is not None:
            self._measure(progress, run, *tokens)

    def _translate(self, former: Session) -> None:
        if self._asked is not None:
            self._asked = (as_text(self._asked[0], former), as_text(self._asked[1], former))

    def _show(self, run: AttentionRun) -> None:
        from ..methods.head_scores import heads_frame

        if self._run is None or not self._run.tokens.equals(run.tokens):
            self.positions, self.key_positions, self.query_range, self.key_range = [], [], [], []
        self._run, self._effects, self._frame = run, None, heads_frame(run.layers, run.scores)
        self.tokens, self.token_ids = run.tokens["token"].to_list(), run.tokens["token_id"].to_list()
        self.layers, self.head_count = run.layers, run.scores.shape[-1]
        self.thumbnail, self.thumbnails = run.thumbnail, wire.uint8(run.thumbnails)
        self.loaded, self.valued, self.effect_of = -1, -1, ""
        self._show_scores()
        self.notes = notes_of(run, self.session)
        if not self.head or self.head[0] not in run.layers or self.head[1] >= self.head_count:
            self.head = first_head(run)
        self._bring()

    def _show_scores(self) -> None:
        import torch

        from ..methods.head_scores import heads_frame

        run, effects = self._run, self._effects
        assert run is not None
        effect = torch.full((len(run.layers), self.head_count), math.nan) if effects is None else effects.effect
        self.scores = wire.float32(torch.cat([run.scores, effect[:, None].float()], 1).transpose(0, 1))
        self._frame = heads_frame(run.layers, run.scores, effect)
        self.summary = summaries.attention(run, effects, self.session.text_of)

    def _show_partial(self, partial: Effects) -> None:
        with self.hold_sync():
            self._effects, self.effect_of = partial, metric_words(partial, self.session)
            self._show_scores()

    def _measure(self, progress: Job, run: AttentionRun, answer: int | None, foil: int | None) -> None:
        """The effect of every head; what was measured before a stop is kept."""
        from ..methods.head_scores import measure_effects

        so_far: Effects | None = None

        def note(done: int, total: int, message: str = "", partial: Any = None) -> None:
            nonlocal so_far
            so_far = partial or so_far
            progress(done, total, message, partial)

        try:
            so_far = measure_effects(self.session, run.ids, run.layers, answer, foil, progress=note)
        finally:
            if so_far is not None:
                self._publish(progress, partial(self._show_effects, so_far))

    def _show_effects(self, effects: Effects) -> None:
        self._show_partial(effects)
        self.answer, self.foil = self._name(effects.answer), self._name(effects.foil)

    def _tokens(self, answer: str | int | None, foil: str | int | None) -> tuple[int | None, int | None]:
        """The ids of answer and foil; None where none is named."""
        token = self.session.single_token
        return None if answer is None else token(answer, "answer"), None if foil is None else token(foil, "foil")

    def _name(self, token: str | int | None) -> str:
        return "" if token is None else self.session.text_of(token) if isinstance(token, int) else token

    # the layer of the head shown

    def _bring(self) -> None:
        """Let the browser have what the head shown needs: what is kept at once, the rest with a forward pass."""
        run = self._run
        if run is None or not self.head:
            return
        layer = self.head[0]
        if layer != self.loaded and layer in run.triangles:
            self._show_layer(layer, run.triangles[layer])
        if self._lacks() and not self._reading:
            self._launch(lambda progress: self._complete(progress, run))

    def _lacks(self) -> bool:
        """Whether the browser lacks something of the head shown."""
        layer = self.head[0]
        return layer != self.loaded or (self.value_weighted and layer != self.valued)

    @property
    def _reading(self) -> bool:
        """Whether the text is still being read: the job that does so brings what is lacking itself."""
        return self._unread and self._job is not None and self._job.running

    def _complete(self, progress: Job, run: AttentionRun) -> None:
        """Read what is lacking; the head may change meanwhile."""
        from ..methods.attention_run import layer_triangles

        while self._lacks():
            layer, values = self.head[0], self.head[0] == self.loaded
            progress(0, 1, f"values of layer {layer}" if values else f"layer {layer}")
            try:
                triangles = layer_triangles(self.session, run.ids, layer, value_weighted=values)
            except InterpError:
                self._publish(progress, lambda: self.set_trait("value_weighted", False))
                raise
            show = self._show_values if values else self._show_layer
            self._publish(progress, partial(show, layer, triangles))

    def _show_layer(self, layer: int, triangles: Triangles) -> None:
        with self._lock, self.hold_sync():
            self.patterns, self.peaks = wire.uint8(triangles.bytes), wire.float32(triangles.peak)
            self.loaded = layer

    def _show_values(self, layer: int, triangles: Triangles) -> None:
        self.values = wire.uint8(triangles.bytes)
        self.value_tops, self.value_peaks = wire.float32(triangles.top), wire.float32(triangles.peak)
        self.valued = layer

    def _finished_run(self) -> AttentionRun:
        _ = self.heads  # waits, and raises if there is none
        assert self._run is not None
        return self._run

    def _range(self, shown: list[int]) -> range:
        """The positions of a range as the browser sends it."""
        count = len(self.tokens)
        return range(*shown) if len(shown) == 2 and 0 <= shown[0] < shown[1] <= count else range(count)

    # requests from the browser

    def _on_run(self, text: str) -> None:
        self.text, self._asked = text, None
        self._start()

    def _on_effect(self, answer: str = "", foil: str = "") -> None:
        run = self._run
        if run is None:
            raise TextError("There is no text yet. Run one, then measure the effect of its heads.")
        tokens = self._tokens(answer or None, foil or None)
        self._launch(lambda progress: self._measure(progress, run, *tokens))

    @t.observe("head", "value_weighted")
    def _follow_head(self, change: t.Bunch) -> None:
        with self._showing_errors():
            self._bring()
