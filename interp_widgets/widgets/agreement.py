"""Agreement as the browser sees it: a grid of layers x positions, and what both sessions say of one cell."""

from __future__ import annotations

import traitlets as t

from . import front
from .base import Widget

COLORS = ("total_variation", "logit_difference", "residual_difference")


class AgreementWidget(Widget):
    """Layers x positions of `S` = 2 sessions. `L` rows, `W` positions shown, `K` tokens a cell and session."""

    _esm = front.module("agreement.js")

    text = t.Unicode("").tag(sync=True)
    """The prompt as typed."""

    sides = t.List(t.Unicode(), ["", ""]).tag(sync=True)
    """What the two sessions are called beside each other."""

    tokens = t.List(t.Unicode()).tag(sync=True)
    """Exact text of every prompt token, all positions."""

    token_ids = t.List(t.Int()).tag(sync=True)
    """Vocabulary id of every prompt token."""

    masked = t.List(t.Int()).tag(sync=True)
    """Positions left out of the summary (attention sinks); marked in the strip."""

    window = t.List(t.Int(), [0, 0]).tag(sync=True)
    """`[start, stop)`: the positions that the grid shows, `W = stop - start`."""

    layers = t.List(t.Int()).tag(sync=True)
    """Layer of each grid row, top to bottom; the last row is the output of both."""

    vocabulary = t.List(t.Unicode()).tag(sync=True)
    """Texts that the table below refers to by index. Two ids with equal text are two entries."""

    vocabulary_ids = t.List(t.Int()).tag(sync=True)
    """Vocabulary id of each entry of `vocabulary`."""

    top_k = t.Int(0).tag(sync=True)
    """`K`."""

    top_index = t.Bytes(b"").tag(sync=True)
    """int32 [S, L, W, K]: index into `vocabulary`, most likely first, of each session."""

    top_probability = t.Bytes(b"").tag(sync=True)
    """float32 [S, L, W, K]."""

    probability_there = t.Bytes(b"").tag(sync=True)
    """float32 [S, L, W, K]: what the other session gives the same token; NaN where that was not compared."""

    verdict = t.Bytes(b"").tag(sync=True)
    """uint8 [L, W]: 0 the top token is the same, 1 it differs by a near tie, 2 it differs, 3 a logit is not a finite number."""

    total_variation = t.Bytes(b"").tag(sync=True)
    """float32 [L, W], 0 to 1."""

    total_variation_error = t.Bytes(b"").tag(sync=True)
    """float32 [L, W]: standard error of `total_variation`, 0 where it is exact."""

    logit_difference = t.Bytes(b"").tag(sync=True)
    """float32 [L, W]: largest difference over the compared tokens."""

    residual_difference = t.Bytes(b"").tag(sync=True)
    """float32 [L, W]: relative; NaN where the widths differ."""

    scales = t.Dict().tag(sync=True)
    """Per colour `[low, high]` of its logarithmic scale: always the same."""

    color = t.Enum(COLORS, "total_variation").tag(sync=True)
    """What the cells are coloured by."""

    sentences = t.List(t.Unicode()).tag(sync=True)
    """The result in sentences: the cells shown, the outputs alone, and what rounding alone does."""

    worst = t.List(t.List(t.Int())).tag(sync=True)
    """Cells `[layer, position]` to look at first: those that disagree without a near tie, then by total variation."""

    positions = t.List(t.Int()).tag(sync=True)
    """Selected token positions, ascending; a span has several. Link this between panels."""

    cell = t.List(t.Int()).tag(sync=True)
    """Selected grid cell `[layer, position]`, or empty."""
